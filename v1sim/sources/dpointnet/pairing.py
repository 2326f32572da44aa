"""Which trained edge is which edge of the original circuit.

DPointNet writes recurrent edges in another order than it read them (by target and source, edges
of one pair in any order). The multisets of source, target and edge type are compared, so that no
edge is paired by its place alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError

__all__ = ["EdgeKeys", "paired"]

I64 = NDArray[np.int64]
_MOST_EXAMPLES = 5


@dataclass(frozen=True, eq=False)
class EdgeKeys:
    """What an edge goes by: ids of its source and target, and its type; shape (s,) each."""

    source: I64
    target: I64
    edge_type: I64

    def __len__(self) -> int:
        return len(self.source)

    def text(self, row: int) -> str:
        """One edge, for people."""
        return f"{self.source[row]} -> {self.target[row]} of type {self.edge_type[row]}"


def paired(
    before: EdgeKeys,
    after: EdgeKeys,
    weight_before: NDArray[np.floating],
    weight_after: NDArray[np.floating],
    *,
    delay: NDArray[np.integer] | None,
    where: str,
    original: str,
) -> I64:
    """Rows of trained edges in the order of the original ones.

    Edges of one pair and type are told apart by nothing but their weights: they are paired in the
    order of these, which are the fewest changes that training can have made. If they have the same
    delay it does not matter; otherwise it does, and they are refused.

    Parameters
    ----------
    before, after : EdgeKeys
        Original and trained edges.
    weight_before, weight_after : float array, shape (s,)
        Their weights.
    delay : int array, shape (s,), optional
        Delays of the original edges in steps, where they act.
    where, original : str
        The trained and the original file, for messages.

    Returns
    -------
    int64 array, shape (s,)
        ``weight_after[rows]`` are the trained weights in the original order.

    Raises
    ------
    InputError
        If the edges are not the same, or cannot be told apart where that matters.
    """
    order_before = np.lexsort((weight_before, before.edge_type, before.source, before.target))
    order_after = np.lexsort((weight_after, after.edge_type, after.source, after.target))
    _require_same(before, after, order_before, order_after, where, original)
    if delay is not None:
        _require_told_apart(before, order_before, delay, where)
    rows = np.empty(len(before), dtype=np.int64)
    rows[order_before] = order_after
    return rows


def _columns(keys: EdgeKeys, order: I64) -> I64:
    return np.stack([keys.source[order], keys.target[order], keys.edge_type[order]], axis=1)


def _require_same(
    before: EdgeKeys,
    after: EdgeKeys,
    order_before: I64,
    order_after: I64,
    where: str,
    original: str,
) -> None:
    a, b = _columns(before, order_before), _columns(after, order_after)
    if len(a) == len(b) and np.array_equal(a, b):
        return
    # Count both in one sorted table: an edge stands there +1 time for each original, -1 trained.
    both = np.concatenate([a, b])
    sign = np.repeat(np.array([1, -1]), [len(a), len(b)])
    order = np.lexsort((both[:, 2], both[:, 0], both[:, 1]))
    both, sign = both[order], sign[order]
    first = np.concatenate([[True], (both[1:] != both[:-1]).any(axis=1)])
    total = np.add.reduceat(sign, np.flatnonzero(first))
    names = both[first]
    n_lost, n_new = int(total[total > 0].sum()), int(-total[total < 0].sum())

    def examples(which: NDArray[np.bool_]) -> str:
        rows = names[which][:_MOST_EXAMPLES]
        return "; ".join(f"{s} -> {t} of type {e}" for s, t, e in rows.tolist())

    parts = []
    if n_lost:
        parts.append(f"{n_lost:,} of {len(a):,} edges are in the original only "
                     f"({examples(total > 0)})")  # fmt: skip
    if n_new:
        parts.append(f"{n_new:,} of {len(b):,} edges are in the trained file only "
                     f"({examples(total < 0)})")  # fmt: skip
    zeros = int((b[:, 2] == 0).sum()) - int((a[:, 2] == 0).sum())
    hint = "take the configuration and the network files that this training read"
    if zeros > 0 and n_lost >= zeros:
        hint = (
            f"{zeros:,} trained edges have no type: DPointNet reads one file with one edge group "
            "of a source population, and overwrites what it read before with a second one. "
            "Train again from one file with one group"
        )
    raise InputError(
        "; ".join(parts),
        where=where,
        expected=f"the edges of {original}, each with the same source, target and edge type",
        hint=hint,
    )


def _require_told_apart(
    before: EdgeKeys, order: I64, delay: NDArray[np.integer], where: str
) -> None:
    a = _columns(before, order)
    as_next = (a[1:] == a[:-1]).all(axis=1)
    differ = as_next & (delay[order][1:] != delay[order][:-1])
    if not differ.any():
        return
    place = np.flatnonzero(differ)
    n_pairs = len(np.unique(a[place][:, :2], axis=0))
    i = int(place[0])
    steps = sorted({int(delay[order[i]]), int(delay[order[i + 1]])})
    raise InputError(
        f"edges of {n_pairs:,} pairs of cells have the same type but other delays, and DPointNet "
        f"writes the edges of a pair in any order: which weight has which delay cannot be told "
        f"(the first: {before.text(int(order[i]))}, {steps[0]} and {steps[1]} steps)",
        where=where,
        expected="edges that source, target and type tell apart, or that have the same delay",
        hint="give edges of one pair types of their own, or one delay, and train again",
    )
