"""Statistics of weights for the report: information, not judgement.

One pass over a table in blocks. Sums are taken over whole numbers and sizes
are counted in bins, so that the order of synapses changes no digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.model import RECEPTORS, NetworkModel, SynapseTable

__all__ = ["PERCENTILES", "SizeCounts", "count_values", "group_statistics", "size_counts"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: Percentiles of the size of nonzero weights.
PERCENTILES = (1, 10, 50, 90, 99)
#: Synapses handled at a time.
_BLOCK = 1 << 20
#: Low bits of a float32 that a bin does not tell apart: a bin is 0.2 % wide.
_DROPPED_BITS = 14
_BIN_BITS = 31 - _DROPPED_BITS
_N_RECEPTORS = len(RECEPTORS)
#: Steps of the largest size in which values are summed. The sums over a block are
#: whole numbers below 2**53, which float64 adds without rounding, in any order.
_STEPS = 2.0**32


@dataclass(frozen=True, eq=False)
class SizeCounts:
    """How many values of each size there are, by receptor: ``counts`` (4, bins).

    A bin holds the float32 numbers whose leading bits are its index.
    """

    counts: I64

    def n_nonzero(self, receptor: int | None = None) -> int:
        """Number of values that are not zero."""
        return int(self._nonzero(receptor).sum())

    def percentile(self, percent: float, receptor: int | None = None) -> float | None:
        """Percentile of the nonzero sizes, within 0.1 %; None where there are none."""
        up_to = np.cumsum(self._nonzero(receptor))
        if up_to[-1] == 0:
            return None
        rank = max(1.0, percent / 100 * up_to[-1])
        index = np.uint32(1 + np.searchsorted(up_to, rank))
        middle = (index << np.uint32(_DROPPED_BITS)) + np.uint32(1 << (_DROPPED_BITS - 1))
        return float(middle.view(np.float32))

    def _nonzero(self, receptor: int | None) -> I64:
        counts = self.counts.sum(axis=0) if receptor is None else self.counts[receptor]
        return counts[1:]


def count_values(values: NDArray[np.integer], n: int) -> I64:
    """How often each of 0..n-1 occurs; `numpy.bincount` without its copy as int64 of it all."""
    counts = np.zeros(n, dtype=np.int64)
    for start in range(0, len(values), _BLOCK):
        counts += np.bincount(values[start : start + _BLOCK], minlength=n)
    return counts


def size_counts(values: F32, receptor: NDArray[np.uint8]) -> SizeCounts:
    """Count the sizes of finite float32 values by receptor (0..3)."""
    counts = np.zeros(_N_RECEPTORS << _BIN_BITS, dtype=np.int64)
    for start in range(0, len(values), _BLOCK):
        part = slice(start, start + _BLOCK)
        index = values[part].view(np.uint32) & np.uint32(0x7FFFFFFF)
        index >>= np.uint32(_DROPPED_BITS)
        index |= receptor[part].astype(np.uint32) << np.uint32(_BIN_BITS)
        counts += np.bincount(index, minlength=counts.size)
    return SizeCounts(counts.reshape(_N_RECEPTORS, -1))


def group_statistics(table: SynapseTable, network: NetworkModel) -> dict[str, Any]:
    """Statistics of one synapse table, in all and by receptor, ready for JSON.

    Indices and receptors must be in range.

    Returns
    -------
    dict
        ``n``, ``n_zero``, ``fraction_zero``, and in ``normalised`` and ``pa``
        mean, standard deviation, extremes and percentiles of the size of nonzero
        weights (None where a value is not finite); ``receptors`` has the same for
        each receptor that occurs.
    """
    n = count_values(table.receptor, _N_RECEPTORS)
    n_zero = count_values(table.receptor[table.weight == 0], _N_RECEPTORS)
    with np.errstate(over="ignore", invalid="ignore"):
        weight_pa = network.voltage_scale_mv.astype(np.float32)[table.post]
        weight_pa *= table.weight
    units = {
        "normalised": _summaries(table.weight, table.receptor, n),
        "pa": _summaries(weight_pa, table.receptor, n),
    }
    receptors = {
        name: {
            **_shares(int(n[i]), int(n_zero[i])),
            **{unit: summaries[name] for unit, summaries in units.items()},
        }
        for i, name in enumerate(RECEPTORS)
        if n[i]
    }
    return {
        **_shares(int(n.sum()), int(n_zero.sum())),
        **{unit: summaries["all"] for unit, summaries in units.items()},
        "receptors": receptors,
    }


def _shares(n: int, n_zero: int) -> dict[str, Any]:
    return {"n": n, "n_zero": n_zero, "fraction_zero": n_zero / n if n else None}


def _summaries(values: F32, receptor: NDArray[np.uint8], n: I64) -> dict[str, Any]:
    """Moments and percentiles of all values and of those of each receptor."""
    names = ("all", *RECEPTORS)
    low, high = (float(f(values)) if len(values) else 0.0 for f in (np.min, np.max))
    largest = max(abs(low), abs(high))
    if not np.isfinite(largest):
        return dict.fromkeys(names)
    counts = size_counts(values, receptor)
    totals = np.zeros((2, _N_RECEPTORS), dtype=object)  # Python's integers do not overflow
    extremes = np.array([[np.inf] * _N_RECEPTORS, [-np.inf] * _N_RECEPTORS])
    for start in range(0, len(values), _BLOCK):
        kind, relative = receptor[start : start + _BLOCK], values[start : start + _BLOCK]
        for i in range(_N_RECEPTORS):
            own = relative[kind == i]
            if own.size:
                extremes[0, i] = min(extremes[0, i], own.min())
                extremes[1, i] = max(extremes[1, i], own.max())
        steps = relative / np.float64(largest or 1.0)
        for row, summed in enumerate((steps, steps * steps)):
            rounded = np.rint(summed * _STEPS)
            part = np.bincount(kind, weights=rounded, minlength=_N_RECEPTORS)
            totals[row] += [int(total) for total in part]
    summaries = {}
    for i, name in enumerate(names, start=-1):
        chosen = slice(None) if i < 0 else slice(i, i + 1)
        size = int(n[chosen].sum())
        summaries[name] = _summary(
            size,
            [int(sum(row[chosen])) for row in totals],
            largest,
            (float(extremes[0, chosen].min()), float(extremes[1, chosen].max())),
            {str(p): counts.percentile(p, None if i < 0 else i) for p in PERCENTILES},
        )
    return summaries


def _summary(
    n: int,
    totals: list[int],
    largest: float,
    extremes: tuple[float, float],
    percentiles: dict[str, float | None],
) -> dict[str, Any] | None:
    if n == 0:
        return None
    mean, mean_square = (total / n / _STEPS for total in totals)
    return {
        "mean": mean * largest,
        "std": max(mean_square - mean * mean, 0.0) ** 0.5 * largest,
        "min": extremes[0] + 0.0,
        "max": extremes[1] + 0.0,
        "abs_percentiles": percentiles,
    }
