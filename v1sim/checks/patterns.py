"""Checks of what belongs together: weights and delays with cell types, a weight with its like.

In data-driven networks weights and delays depend on the cell types that a synapse
connects. Values that were shuffled among synapses, or stand in another order than their
synapses, lose that; values of one kind that keep it show that the other had it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from v1sim import units
from v1sim.checks.profile import SIZES, Separation, separation
from v1sim.checks.registry import Consequence, Context, Observation, check
from v1sim.checks.tail import MIN_TAIL, TAIL, expected_largest
from v1sim.checks.training import RANDOM_SIGMAS, zero_evidence
from v1sim.model import Severity

__all__ = ["class_pair_separation", "delay_separation", "out_of_place"]

I64 = NDArray[np.int64]

_VALUES = ("structure.index_range", "structure.receptor_range", "values.finite")

#: Synapses handled at a time.
_BLOCK = 1 << 17
#: Separation of pairs of cell types, in standard deviations of chance: below the first, values
#: do not depend on cell types; above the second, they plainly do. Logarithms of sizes by
#: receptor: 10..40 in the trained network, 100..2400 before training, -2..1 shuffled within
#: receptors. Delays: 4100, and 0.6 shuffled.
_CHANCE_SIGMAS, _PLAIN_SIGMAS = 4.0, 20.0
#: Synapses and pairs from which on separation means something.
_MIN_SYNAPSES, _MIN_PAIRS, _MIN_TYPES = 4000, 20, 4
#: Correlation of delay and distance, times the root of the number of synapses: 0.60 * 282 in
#: the trained network.
_MAX_DISTANCE_SIGMAS = 5.0

#: Targets with several delays that must all ascend with the source; none does by itself.
_MIN_ASCENDING = 50

#: A weight beyond the largest that its receptor's tail leads one to expect by this factor, and
#: beyond all others of its pair of cell types by the second. Seen at most: 0.8 and, of weights
#: beyond the 99.9 %, 26. One of median size becomes 25 and 100 when multiplied by 1,000.
_BEYOND_RECEPTOR, _BEYOND_PAIR = 2.0, 10.0
#: Nonzero weights of a pair that one is compared with.
_MIN_LIKE = 8

#: Weights that are not zero which a pair of cell types would have at its table's share, and that
#: cannot all be missing by training: at most 65 % are zero in the trained network (of such pairs).
_MIN_BLANK = 45
#: The same for a cell: at most 56 % of its weights are zero in the trained network.
_MIN_BLANK_CELL = 15
_MIN_BLANK_CELLS = 2
#: Share of a cell's or pair's weights from which on it is blank.
_BLANK = 0.98


def class_pair_separation(context: Context, group: str) -> dict[str, Separation]:
    """How far pairs of cell types differ in the logarithm of nonzero sizes, by receptor."""
    profile = context.profile(group)
    octave = np.log2(np.maximum(SIZES, SIZES[1]))
    found = {}
    for receptor, name in enumerate(context.network.receptors.names):
        _, counts = profile.nonzero(receptor)
        if counts.sum() >= _MIN_SYNAPSES:
            found[name] = separation(counts, octave)
    return found


def delay_separation(context: Context, group: str) -> Separation:
    """How far pairs of cell types differ in the delays of a recurrent table."""
    return context.once((delay_separation, group), lambda: _delay_separation(context, group))


def _delay_separation(context: Context, group: str) -> Separation:
    table, delays = context.tables[group], context.delays_ms(group)
    codes = context.pair_codes(group)
    n_pairs, n_delays = context.profile(group).n.size, len(delays)
    counts = np.zeros(n_pairs * n_delays, dtype=np.int64)
    index_of = _index_of_step(delays, context.dt_ms)
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        index = codes[part].astype(np.int64)
        index *= n_delays
        index += index_of.take(_steps(table.delay_ms[part], context.dt_ms))
        np.add.at(counts, index, 1)
    return separation(counts.reshape(n_pairs, n_delays), delays.astype(np.float64))


def _steps(delay_ms: NDArray[np.floating], dt_ms: float) -> NDArray[np.int64]:
    """Whole steps of delays, as NEST rounds them."""
    return units.delay_steps(delay_ms, dt_ms)


def _index_of_step(delays: NDArray[np.floating], dt_ms: float) -> NDArray[np.intp]:
    """Index into the distinct delays of each number of steps."""
    steps = _steps(delays, dt_ms)
    index = np.zeros(int(steps.max(initial=0)) + 1, dtype=np.intp)
    index[steps] = np.arange(len(delays))
    return index


def _told(separated: Separation) -> bool:
    return separated.n >= _MIN_SYNAPSES and separated.n_groups >= _MIN_PAIRS


def out_of_place(context: Context, group: str) -> bool:
    """Whether nothing shows that recurrent weights are on the synapses that they belong to.

    Neither do sizes depend on cell types, where delays do, nor do zeros lie on cells as
    training leaves them.
    """
    separated = _separated(context, group)
    if not separated or any(s.sigmas >= _CHANCE_SIGMAS for s in separated.values()):
        return False
    if delay_separation(context, group).sigmas < _PLAIN_SIGMAS:
        return False
    zeros = zero_evidence(context, group)
    return max(zeros.over_targets.sigmas, zeros.over_sources.sigmas) < RANDOM_SIGMAS


def _separated(context: Context, group: str) -> dict[str, Separation]:
    found = class_pair_separation(context, group)
    return {name: separation for name, separation in found.items() if _told(separation)}


@check(
    "patterns.class_pairs",
    severity=Severity.WARNING,
    reason="In most networks whose delays depend on the cell types that a synapse connects, "
    "weights do too, trained or not. Where they do not, they may stand on other synapses than they "
    "belong to, and zeros among them are no evidence of training.",
    calibration="Separation of pairs of cell types by log |w| within a receptor, in standard "
    "deviations of chance: 10..40 in a trained network, 100 and more before training, -2..1 once "
    f"shuffled. Found below {_CHANCE_SIGMAS:g} for every receptor, where delays separate the same "
    f"pairs by {_PLAIN_SIGMAS:g} or more, unless zeros lie as unevenly over cells as training "
    "leaves them: initial weights that were drawn without regard to cell types are no damage.",
    needs=(*_VALUES, "values.delay"),
    by_looks=True,
)
def class_pairs(context: Context) -> Iterator[Observation]:
    """Weights depend on the cell types that they connect."""
    for group, table in context.recurrent.items():
        if not out_of_place(context, group):
            continue
        separated = _separated(context, group)
        n = sum(s.n for s in separated.values())
        shown = ", ".join(f"{name} {s.f:.2f}" for name, s in separated.items())
        yield Observation(
            f"{group}.weight",
            f"the sizes of {n:,} weights do not depend on the cell types that they connect "
            f"(variance between pairs of types relative to chance: {shown}), though delays do: the "
            "weights look shuffled among synapses, or belong to another network",
            "are weights and edges in the same order? compare with --checkpoint or --baseline, or "
            "convert the checkpoint again",
            n_bad=n,
            n_seen=len(table),
            observed={"separation": {name: s.f for name, s in separated.items()}},
        )


@check(
    "patterns.input_types",
    severity=Severity.WARNING,
    reason="In a network whose recurrent weights depend on cell types, input weights mostly do "
    "too. Where they do not, they may stand on other synapses than they belong to.",
    calibration="Separation of target types by log |w| within a receptor, in standard deviations "
    f"of chance: 40..540 in trained networks, -1..1 once shuffled. Found below {_CHANCE_SIGMAS:g}.",
    needs=_VALUES,
    by_looks=True,
)
def input_types(context: Context) -> Iterator[Observation]:
    """Input weights depend on the cell types of their targets."""
    recurrent = [
        s for group in context.recurrent for s in class_pair_separation(context, group).values()
    ]
    if max((s.sigmas for s in recurrent if _told(s)), default=0.0) < _CHANCE_SIGMAS:
        return
    for group, table in context.from_lgn.items():
        separated = class_pair_separation(context, group).values()
        told = [s for s in separated if s.n >= _MIN_SYNAPSES and s.n_groups >= _MIN_TYPES]
        if not told or any(s.sigmas >= _CHANCE_SIGMAS for s in told):
            continue
        n = sum(s.n for s in told)
        yield Observation(
            f"{group}.weight",
            f"the sizes of {n:,} input weights do not depend on the cell types of their targets, "
            "though recurrent weights do: they may be shuffled, or another network's; the file "
            "alone cannot tell",
            "compare with --checkpoint or --baseline",
            n_bad=n,
            n_seen=len(table),
        )


@check(
    "patterns.delays",
    severity=Severity.ERROR,
    reason="Delays depend on distance and cell types. In a network whose weights depend on the "
    "cell types, delays that depend on nothing stand in another order than the synapses.",
    calibration="Separation of pairs of cell types by delay, in standard deviations of chance: "
    "4,100 in the reference networks, 0.6 shuffled; of the correlation with distance (0.60 and "
    f"0.00) 170 and 0. Found below {_CHANCE_SIGMAS:g} and {_MAX_DISTANCE_SIGMAS:g}, where weights "
    f"separate the same pairs by {_PLAIN_SIGMAS:g} or more.",
    needs=(*_VALUES, "values.delay"),
    by_looks=True,
)
def delays(context: Context) -> Iterator[Observation]:
    """Delays depend on the cells that they connect."""
    for group in context.recurrent:
        yield from _delays_of(context, group)


def _delays_of(context: Context, group: str) -> Iterator[Observation]:
    if len(context.delays_ms(group)) < 2:
        return
    table = context.tables[group]
    if _ascend_with_source(context, group):
        n = len(table)
        yield Observation(
            f"{group}.delay_ms",
            f"{n:,} delays ascend with the index of the source, at every target: the delays stand "
            "in the order of a checkpoint (by delay, then source), the edges in that of their "
            "sources",
            "write delays in the order of the edges, or convert the checkpoint again",
            n_bad=n,
            n_seen=n,
        )
        return
    separated = delay_separation(context, group)
    if not _told(separated) or separated.sigmas >= _CHANCE_SIGMAS:
        return
    weights = class_pair_separation(context, group).values()
    if max((s.sigmas for s in weights if _told(s)), default=0.0) < _PLAIN_SIGMAS:
        return
    if abs(_distance_sigmas(context, group)) >= _MAX_DISTANCE_SIGMAS:
        return
    yield Observation(
        f"{group}.delay_ms",
        f"{len(table):,} delays depend neither on the cell types nor on the distance of the cells "
        f"that they connect (variance between pairs of types {separated.f:.2f} of chance), though "
        "weights do: they look like those of the same synapses in another order",
        "write delays in the order of the edges, or convert the checkpoint again",
        n_bad=len(table),
        n_seen=len(table),
        observed={"separation": separated.f},
    )


def _ascend_with_source(context: Context, group: str) -> bool:
    """Whether longer delays have higher sources, at each target and receptor.

    One pair of neighbours that does not is enough to say no, so that a first block decides
    for nearly every network.
    """
    table, n = context.tables[group], context.network.n_neurons
    delays = context.delays_ms(group)
    n_receptors = context.network.receptors.n
    shape = (n * n_receptors, len(delays))
    lowest = np.full(shape[0] * shape[1], np.iinfo(np.int32).max, dtype=np.int32)
    highest = np.full(shape[0] * shape[1], -1, dtype=np.int32)
    index_of = _index_of_step(delays, context.dt_ms)
    n_groups = 0
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        key = table.post[part].astype(np.int64) * n_receptors + table.receptor[part]
        key *= len(delays)
        key += index_of[_steps(table.delay_ms[part], context.dt_ms)]
        np.minimum.at(lowest, key, table.pre[part])
        np.maximum.at(highest, key, table.pre[part])
        reached = np.maximum.accumulate(highest.reshape(shape), axis=1)
        present = highest.reshape(shape)[:, 1:] >= 0
        before = reached[:, :-1]
        if (present & (before > lowest.reshape(shape)[:, 1:])).any():
            return False
        n_groups = int((present & (before >= 0)).any(axis=1).sum())
    return n_groups >= _MIN_ASCENDING


def _distance_sigmas(context: Context, group: str) -> float:
    """Correlation of delay and distance, in standard deviations of chance; 0 without positions."""
    table, position = context.tables[group], context.network.neurons.position_um
    if position is None:
        return 0.0
    sums = np.zeros(5)
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        d = np.linalg.norm(position[table.pre[part]] - position[table.post[part]], axis=1)
        t = table.delay_ms[part].astype(np.float64)
        sums += [d.sum(), t.sum(), d @ d, t @ t, d @ t]
    n = len(table)
    d, t, dd, tt, dt = sums / n
    spread = (dd - d * d) * (tt - t * t)
    return float((dt - d * t) / spread**0.5 * n**0.5) if spread > 0 else 0.0


@check(
    "patterns.outlier",
    severity=Severity.ERROR,
    reason="One weight far beyond all others of its receptor and of its pair of cell types is a "
    "damaged value.",
    calibration=f"Found {_BEYOND_RECEPTOR:g} times beyond the largest that the receptor's tail "
    f"(from {TAIL[0]:.0%} and {TAIL[1]:.1%} continued as a lognormal) leads one to expect, and "
    f"{_BEYOND_PAIR:g} times beyond all others of its pair of cell types. A weight times 1,000 is "
    "found unless it was among the smallest of its pair: it then becomes an ordinary weight, which "
    "only provenance or a checkpoint tells.",
    needs=(*_VALUES, "values.weight_sign"),
    by_looks=True,
)
def outlier(context: Context) -> Iterator[Observation]:
    """No weight is far beyond its like."""
    for group, table in context.tables.items():
        suspects = _suspects(context, group)
        if not suspects:
            continue
        codes = context.pair_codes(group)
        bad = np.zeros(len(table), dtype=bool)
        with np.errstate(over="ignore"):
            for pair, least in suspects.items():
                bad |= (codes == pair) & (np.abs(table.weight) >= np.float32(least))
        n_bad = int(np.count_nonzero(bad))
        largest = float(np.abs(table.weight[bad]).max())
        yield Observation(
            f"{group}.weight",
            f"{n_bad:,} of {len(table):,} weights are far beyond all others of their receptor and "
            f"cell types (max |w| {largest:g} {table.unit})",
            "go back to the checkpoint: these values are damaged",
            n_bad=n_bad,
            n_seen=len(table),
            examples=context.examples(table, bad),
        )


#: Weights of one pair that can be damaged apart from the others.
_MAX_ALONE = 3


def _suspects(context: Context, group: str) -> dict[int, float]:
    """Pairs with weights that are far beyond their like, and the size from which on they are."""
    profile = context.profile(group)
    found: dict[int, float] = {}
    for receptor in range(context.network.receptors.n):
        pairs, counts = profile.nonzero(receptor)
        total = counts.sum(axis=0)
        if total.sum() < MIN_TAIL:
            continue
        receptor_limit = _expected_largest(total) * _BEYOND_RECEPTOR
        n_like = counts.sum(axis=1)
        top = counts.shape[1] - 1 - np.argmax(counts[:, ::-1] > 0, axis=1)
        for row in np.flatnonzero((SIZES[top] > receptor_limit) & (n_like > _MIN_LIKE)):
            sizes = np.flatnonzero(counts[row])
            gaps = np.flatnonzero(SIZES[sizes[1:]] >= _BEYOND_PAIR * SIZES[sizes[:-1]])
            for gap in gaps:
                first = sizes[gap + 1]
                n_above = counts[row, first:].sum()
                if n_above <= _MAX_ALONE and SIZES[first] > receptor_limit:
                    # The lower edge of the bin: its middle would miss half of its weights.
                    found[int(pairs[row])] = float(SIZES[first - 1])
                    break
    return found


def _expected_largest(counts: I64) -> float:
    """The largest of as many values, if their tail goes on as a lognormal one."""
    n = int(counts.sum())
    low, high = (float(SIZES[np.searchsorted(np.cumsum(counts), n * p)]) for p in TAIL)
    return expected_largest(low, high, n)


@check(
    "patterns.blank",
    severity=Severity.ERROR,
    reason="Cells or pairs of cell types whose weights are all zero were blanked: a block of a "
    "file that was never written, or a part that was switched off.",
    calibration=f"Pairs of cell types where {_MIN_BLANK} weights would not be zero, at the share "
    "of all, have at most 65 % zeros in the trained network; cells where "
    f"{_MIN_BLANK_CELL} would not, at most 56 %. Found from {_BLANK:.0%} on, for cells from "
    f"{_MIN_BLANK_CELLS} on.",
    needs=(*_VALUES, "values.constant"),
    consequence=Consequence.ZEROS_ARE_VOID,
    by_looks=True,
)
def blank(context: Context) -> Iterator[Observation]:
    """No cell and no pair of cell types has only zeros."""
    hint = "convert the checkpoint again: these weights were never written"
    for group, table in context.tables.items():
        profile = context.profile(group)
        n_all, n_zero_all = int(profile.n.sum()), int(profile.n_zero.sum())
        kept = 1 - n_zero_all / max(n_all, 1)
        pairs = (profile.n * kept >= _MIN_BLANK) & (profile.n_zero >= _BLANK * profile.n)
        if pairs.any():
            n_bad = int(profile.n_zero[pairs].sum())
            role = context.network.role(group)
            source = "LGN" if role == "lgn" else context.network.projections[group].source
            yield Observation(
                f"{group}.weight",
                f"{int(pairs.sum())} of {int((profile.n > 0).sum())} pairs of cell types have only "
                f"zero weights ({n_bad:,} of {len(table):,})",
                hint,
                n_bad=n_bad,
                n_seen=len(table),
                examples=tuple(
                    f"{source or f'type {a}'} -> type {b}: {profile.n[a, b]:,} synapses"
                    for a, b in np.argwhere(pairs)[:5]
                ),
            )
        n, n_zero = context.cells(group).incoming, context.cells(group).incoming_zero
        cells = (n * kept >= _MIN_BLANK_CELL) & (n_zero >= _BLANK * n)
        if int(cells.sum()) >= _MIN_BLANK_CELLS and not pairs.any():
            yield Observation(
                f"{group}.weight",
                f"{int(cells.sum()):,} of {cells.size:,} cells have {int(n[cells].min())} or more "
                "synapses and only zero weights: a block of weights is missing",
                hint,
                n_bad=int(n_zero[cells].sum()),
                n_seen=len(table),
                examples=tuple(f"neuron {i}: {n[i]} synapses" for i in np.flatnonzero(cells)[:5]),
            )
