"""Checks against a baseline: the same network before training.

Synapses are matched in whatever order. What did not change is untrained; what is the
baseline's in other units, or in another order, is untrained too; what does not resemble
the baseline at all belongs to other synapses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.checks.checkpoint import frozen_by
from v1sim.checks.profile import pair_codes
from v1sim.checks.registry import Consequence, Context, Observation, check
from v1sim.checks.tail import MIN_TAIL, TAIL, expected_largest
from v1sim.model import MIN_CHANGE, NetworkModel, Severity, SynapseTable, Verdict
from v1sim.sources.difference import array_differences, match_synapses

__all__ = ["BaselineWeights", "baseline_weights", "shared_tables", "usable_baseline"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: Relative change (L2) of an array below which it is as good as unchanged, where the policy sets no
#: other minimum: 0.02..0.08 after five steps and 0.14..0.9 after training for recurrent weights,
#: 0.01..0.02 and 0.04..0.26 for input.
ALMOST_UNCHANGED = {"recurrent": MIN_CHANGE, "lgn": 0.025}
#: Share of unchanged weights from which on a part is untrained: at most 0.013 in trained networks,
#: of cells that never spiked in training.
PARTLY_UNCHANGED = 0.1
#: Share of a cell type's synapses that are unchanged from which on it was left out. Where that
#: are few cells, they may all have been silent in training, which is no fault.
_UNCHANGED_TYPE = 0.95
_MIN_OF_TYPE, MIN_CELLS_OF_TYPE = 20, 5
#: The same for a pair of cell types, with as many source cells.
_MIN_OF_PAIR = 50
#: Correlation with the baseline within pairs of cell types: 0.61..0.98 in trained networks,
#: 0.00 once its weights are shuffled within such pairs, or are another network's.
MIN_CORRELATION = 0.1
_MIN_FOR_CORRELATION = 500
#: Spread of log(after / before) among a target's synapses below which one factor explains all.
_ONE_FACTOR = 1e-3
#: A change beyond the largest that the tail of all changes leads one to expect by this factor, and
#: beyond all others by the second, is none of training. Seen at most: 1.0 and 1.05.
BEYOND_CHANGES, _BEYOND_NEXT = 3.0, 2.0
#: Share of exact zeros from which on a baseline is not untrained: up to 0.006 after five steps.
_BASELINE_ZEROS = 0.01


@dataclass(frozen=True, eq=False)
class BaselineWeights:
    """A weight array against the baseline's: what it is by that, and the numbers behind it."""

    group: str
    n: int
    n_matched: int
    n_delay_changed: int
    n_unchanged: int
    n_sign_changed: int
    relative_change: float | None
    correlation: float | None
    verdict: Verdict
    what: str
    #: Whether the array as a whole is the baseline's, or all but.
    kept: Literal["no", "almost", "identical"] = "no"
    parts: tuple[str, ...] = ()
    sign_examples: tuple[str, ...] = ()
    n_jumps: int = 0
    jump_examples: tuple[str, ...] = ()
    observed: dict[str, Any] = field(default_factory=dict)

    @property
    def same_wiring(self) -> bool:
        """Whether every synapse of either network has its partner."""
        return self.n_matched == self.n


def usable_baseline(baseline: NetworkModel) -> str:
    """Why a network cannot serve as a baseline; empty where it can."""
    provenance, name_of = baseline.provenance, baseline.source.name_of
    if provenance is not None and provenance.kind in ("trained", "mixed"):
        return f"its provenance says that it is {provenance.kind}"
    recurrent = baseline.tables_of("recurrent").values()
    n = sum(map(len, recurrent))
    zeros = sum(int(np.count_nonzero(t.weight == 0)) for t in recurrent) / max(n, 1)
    if zeros > _BASELINE_ZEROS:
        return f"{zeros:.1%} of its recurrent weights are exactly zero, as after training"
    for column in baseline.index_columns():
        if not column.in_range:
            return f"its {name_of(column.array)} are out of range"
    for name, table in baseline.tables_of("recurrent", "lgn", "other").items():
        if not np.isfinite(table.weight).all():
            return f"its {name_of(f'{name}.weight')} are not all finite"
    return ""


def shared_tables(context: Context) -> set[str]:
    """Tables that network and baseline read from the same files: nothing claims their training.

    Where weights are trained, a SONATA configuration names other files of edges than the plain
    one; it shares those of the rest with it.
    """
    return context.once(shared_tables, lambda: _shared_tables(context))


def _shared_tables(context: Context) -> set[str]:
    baseline, network = context.baseline, context.network
    if baseline is None or not network.source.table_files:
        return set()
    names, of_baseline = (
        {group: [Path(p).name for p in paths] for group, paths in one.source.table_files.items()}
        for one in (network, baseline)
    )
    same = {group for group, given in names.items() if given and given == of_baseline.get(group)}
    if set(context.tables) <= same:
        return set()  # no name tells trained files from plain ones: all claim to be trained
    compared = baseline_weights(context)
    return {group for group in same if group in compared and compared[group].kept != "no"}


def baseline_weights(context: Context) -> dict[str, BaselineWeights]:
    """Both weight arrays against the baseline's; empty where there is none to compare with."""
    return context.once(baseline_weights, lambda: _baseline_weights(context))


def _baseline_weights(context: Context) -> dict[str, BaselineWeights]:
    baseline, network = context.baseline, context.network
    if baseline is None or baseline.n_neurons != network.n_neurons or usable_baseline(baseline):
        return {}
    least = {"recurrent": context.minimum.change, "lgn": ALMOST_UNCHANGED["lgn"]}
    return {
        group: _compare(
            group,
            baseline.tables[group],
            table,
            network,
            least.get(network.role(group), ALMOST_UNCHANGED["lgn"]),
        )
        for group, table in context.tables.items()
        if group in baseline.tables
    }


def _compare(
    group: str,
    before: SynapseTable,
    after: SynapseTable,
    network: NetworkModel,
    least_change: float,
) -> BaselineWeights:
    row_before, row_after = match_synapses(before, after)
    a = before.weight[row_before].astype(np.float64)
    b = after.weight[row_after].astype(np.float64)
    size = float(a @ a)
    difference = b - a
    relative = float((difference @ difference / size) ** 0.5) if size > 0 else None
    post, receptor = after.post[row_after], after.receptor[row_after]
    nonzero = a != 0
    unchanged = nonzero & (a == b)
    flipped = np.flatnonzero(a * b < 0)
    jumps = _jumps(np.abs(difference))
    names = network.receptors.names

    def examples(rows: NDArray[np.intp]) -> tuple[str, ...]:
        return tuple(
            f"{after.pre[row_after[i]]} -> {post[i]} ({names[receptor[i]]}): "
            f"{a[i]:g} became {b[i]:g}"
            for i in rows[:5]
        )

    codes = pair_codes(after, network, external=network.role(group) != "recurrent")[row_after]
    correlation = _correlation_within(codes, a, b)
    n_unchanged, n_nonzero = int(unchanged.sum()), int(nonzero.sum())
    parts: tuple[str, ...] = ()
    kept: Literal["no", "almost", "identical"] = "no"
    verdict, what = Verdict.TRAINED, "changed as by training"
    if not n_nonzero:
        verdict, what = Verdict.UNDETERMINED, "all zero in the baseline"
    elif n_unchanged == n_nonzero:
        kept = "identical"
        verdict, what = Verdict.UNTRAINED, "identical to the baseline's"
    elif relative is not None and relative < least_change:
        verdict, kept = Verdict.UNTRAINED, "almost"
        what = (
            f"almost the baseline's (they differ by {relative:.2g}, L2; below {least_change:g} it "
            "counts as no training)"
        )
    elif factor := _one_factor(a, b, post, network):
        verdict, what = Verdict.UNTRAINED, f"the baseline's {factor}"
    elif np.array_equal(np.sort(a), np.sort(b)):
        verdict, what = Verdict.UNTRAINED, "the baseline's, on other synapses (shuffled)"
    elif correlation is not None and correlation < MIN_CORRELATION:
        verdict = Verdict.UNDETERMINED
        what = "unlike the baseline's: they were shuffled or belong to other synapses"
    elif relative is not None and relative < _almost_unchanged(network, group):
        what = f"changed by little ({relative:.2g}, L2), which the policy's minimum accepts"
    else:
        parts, large = _unchanged_parts(group, codes, unchanged, nonzero, row_after, after, network)
        if large or n_unchanged >= PARTLY_UNCHANGED * n_nonzero:
            verdict = Verdict.MIXED
            what = f"in part the baseline's ({n_unchanged / n_nonzero:.0%} are unchanged)"
        elif parts:
            what += ", but for some types of few cells, which may have been silent in training"
    return BaselineWeights(
        group=group,
        n=max(len(before), len(after)),
        n_matched=len(a),
        n_delay_changed=int(
            np.count_nonzero(before.delay_ms[row_before] != after.delay_ms[row_after])
        ),
        n_unchanged=n_unchanged,
        n_sign_changed=len(flipped),
        relative_change=relative,
        correlation=correlation,
        verdict=verdict,
        what=what,
        kept=kept,
        parts=parts,
        sign_examples=examples(flipped),
        n_jumps=len(jumps),
        jump_examples=examples(jumps),
        observed={
            "relative_change": relative,
            "correlation_within_pairs": correlation,
            "fraction_unchanged": n_unchanged / max(n_nonzero, 1),
            "fraction_zero_before": float(np.mean(a == 0)) if len(a) else None,
            "fraction_zero_after": float(np.mean(b == 0)) if len(b) else None,
        },
    )


def _almost_unchanged(network: NetworkModel, group: str) -> float:
    role = "recurrent" if network.role(group) == "recurrent" else "lgn"
    return ALMOST_UNCHANGED[role]


def _jumps(change: F64) -> NDArray[np.intp]:
    """Changes far beyond all others, each of whose size training cannot have been; usually none."""
    n = len(change)
    if n < MIN_TAIL:
        return np.empty(0, dtype=np.intp)
    low, high = (float(v) for v in np.quantile(change, TAIL))
    if low <= 0:
        return np.empty(0, dtype=np.intp)
    beyond = change > BEYOND_CHANGES * expected_largest(low, high, n)
    found = np.flatnonzero(beyond)
    if len(found) and change[found].min() < _BEYOND_NEXT * change[~beyond].max():
        return found[:0]
    return found


def _correlation_within(codes: NDArray[np.uint16], a: F64, b: F64) -> float | None:
    """Pearson's correlation of what is left of both after the mean of their pair of types."""
    if len(a) < _MIN_FOR_CORRELATION:
        return None
    n = np.maximum(np.bincount(codes), 1)
    left = [values - (np.bincount(codes, weights=values) / n)[codes] for values in (a, b)]
    spread = float((left[0] @ left[0]) * (left[1] @ left[1]))
    return float(left[0] @ left[1]) / spread**0.5 if spread > 0 else None


def _one_factor(a: F64, b: F64, post: NDArray[np.int32], network: NetworkModel) -> str:
    """How one factor for each target makes the baseline's weights the network's; empty if none."""
    both = (a != 0) & (b != 0)
    if both.sum() < 0.99 * (a != 0).sum() or (a * b < 0).any():
        return ""
    log_ratio, cell = np.log(b[both] / a[both]), post[both]
    n = np.maximum(np.bincount(cell, minlength=network.n_neurons), 1)
    mean = np.bincount(cell, weights=log_ratio, minlength=network.n_neurons) / n
    if np.abs(log_ratio - mean[cell]).max() > _ONE_FACTOR:
        return ""
    factor = np.exp(mean[np.unique(cell)])
    scale = network.voltage_scale_mv[np.unique(cell)]
    if np.allclose(factor, scale, rtol=1e-3):
        return "times V_th - E_L: in pA, not normalised"
    if np.allclose(factor * scale, 1, rtol=1e-3):
        return "divided by V_th - E_L: normalised twice"
    if np.allclose(factor, factor[0], rtol=1e-3):
        return f"times {factor[0]:.6g}"
    return "times one factor for each target cell"


def _unchanged_parts(
    group: str,
    codes: NDArray[np.uint16],
    unchanged: NDArray[np.bool_],
    nonzero: NDArray[np.bool_],
    rows: I64,
    table: SynapseTable,
    network: NetworkModel,
) -> tuple[tuple[str, ...], bool]:
    """Receptors, types and pairs of them that did not change; whether one has more than few cells.

    ``codes`` are those of the pairs of types (`pair_codes`), all arrays but the table by ``rows``.
    """
    types, n_types = network.neurons.cell_type, len(network.cell_types)
    many = np.bincount(types, minlength=n_types) >= MIN_CELLS_OF_TYPE
    receptors = network.receptors.names
    names = network.cell_types.name or tuple(f"type {i}" for i in range(n_types))
    divisions: list[tuple[str, tuple[str, ...], NDArray[np.integer], NDArray[np.bool_]]] = [
        ("receptor", receptors, table.receptor[rows], np.ones(len(receptors), dtype=bool)),
        ("onto", names, types[table.post[rows]], many),
    ]
    recurrent = network.role(group) == "recurrent"
    if recurrent:
        divisions.append(("from", names, types[table.pre[rows]], many))
    found, large = [], False
    named = np.zeros(len(rows), dtype=bool)
    for what, labels, index, counts in divisions:
        n, n_unchanged = _tally(index, unchanged, nonzero, len(labels))
        left_out = _left_out(n, n_unchanged, _MIN_OF_TYPE)
        named |= left_out[index]
        found += [
            f"{what} {labels[i]}: {n_unchanged[i]:,} of {n[i]:,} synapses"
            for i in np.flatnonzero(left_out)
        ]
        large = large or bool((left_out & counts).any())
    if recurrent:
        n, n_unchanged = _tally(codes, unchanged, nonzero & ~named, int(codes.max(initial=0)) + 1)
        for code in np.flatnonzero(_left_out(n, n_unchanged, _MIN_OF_PAIR)):
            first = rows[np.flatnonzero(codes == code)]
            if len(np.unique(table.pre[first])) >= MIN_CELLS_OF_TYPE:
                pre, post = (types[end[first[0]]] for end in (table.pre, table.post))
                pair = f"{names[pre]} -> {names[post]}"
                found.append(f"{pair}: {n_unchanged[code]:,} of {n[code]:,} synapses")
                large = True
    return tuple(found), large


def _tally(
    index: NDArray[np.integer], unchanged: NDArray[np.bool_], nonzero: NDArray[np.bool_], n: int
) -> tuple[I64, I64]:
    """Synapses of each index that were not zero, and of those the unchanged ones."""
    n_all = np.bincount(index[nonzero], minlength=n)
    return n_all, np.bincount(index[nonzero & unchanged], minlength=n)


def _left_out(n: I64, n_unchanged: I64, least: int) -> NDArray[np.bool_]:
    return (n >= least) & (n_unchanged >= _UNCHANGED_TYPE * n)


_VALUES = ("structure.index_range", "structure.receptor_range", "values.finite")


@check(
    "baseline.usable",
    severity=Severity.ERROR,
    reason="A baseline is the network before training: one that was trained itself would make an "
    "untrained network look trained.",
    calibration=f"Exact zeros in more than {_BASELINE_ZEROS:.0%} of its recurrent weights (up to "
    "0.6 % after five steps), or a provenance that says so.",
    consequence=Consequence.BASELINE_IS_VOID,
)
def usable(context: Context) -> Iterator[Observation]:
    """The baseline is an untrained network."""
    if context.baseline is not None and (why := usable_baseline(context.baseline)):
        yield Observation(
            "baseline",
            f"the baseline cannot be used: {why} ({context.baseline.source.path})",
            "give the network before training: v1sim baseline --data-dir DIR --out UNTRAINED.h5; "
            "were the two files exchanged?",
        )


@check(
    "baseline.same_network",
    severity=Severity.ERROR,
    reason="Weights can be compared with a baseline of the same cells and synapses only. Training "
    "changes neither.",
    calibration="Exact, whatever the order of the synapses.",
    needs=(*_VALUES, "baseline.usable"),
    consequence=Consequence.BASELINE_IS_VOID,
)
def same_network(context: Context) -> Iterator[Observation]:
    """The baseline has the same cells, synapses and delays."""
    baseline, network = context.baseline, context.network
    if baseline is None:
        return
    hint = "take the baseline of this network; does the file hold another network?"
    if baseline.n_neurons != network.n_neurons:
        yield Observation(
            "neurons",
            f"the network has {network.n_neurons:,} neurons, the baseline {baseline.n_neurons:,}",
            hint,
        )
        return
    for one, other, where in (
        (network, baseline, "the network"),
        (baseline, network, "the baseline"),
    ):
        for group in one.tables_of("recurrent", "lgn", "other"):
            if group not in other.tables:
                n = len(one.tables[group])
                yield Observation(
                    group, f"is in {where} only ({n:,} synapses)", hint, n_bad=n, n_seen=n
                )
    for group, compared in baseline_weights(context).items():
        n_other = compared.n - compared.n_matched
        if n_other:
            yield Observation(
                group,
                f"{n_other:,} of {compared.n:,} synapses are in one of network and baseline only",
                hint,
                n_bad=n_other,
                n_seen=compared.n,
            )
        if compared.n_delay_changed:
            yield Observation(
                f"{group}.delay_ms",
                f"{compared.n_delay_changed:,} of {compared.n:,} delays differ from the baseline's",
                "training changes no delay: write delays in the order of the edges, or convert "
                "the checkpoint again",
                n_bad=compared.n_delay_changed,
                n_seen=compared.n,
            )


@check(
    "baseline.signs",
    severity=Severity.ERROR,
    reason="Training under Dale's law keeps the sign of every weight.",
    calibration="Exact: 0 of 92,245 weights change their sign in the trained network.",
    needs=(*_VALUES, "baseline.usable"),
    consequence=Consequence.CHANGES_ARE_VOID,
)
def signs(context: Context) -> Iterator[Observation]:
    """No weight changed its sign."""
    for group, compared in baseline_weights(context).items():
        if compared.n_sign_changed:
            yield Observation(
                f"{group}.weight",
                f"{compared.n_sign_changed:,} of {compared.n:,} weights have another sign than in "
                "the baseline",
                "the sign constraint was not applied, or the weights are those of other synapses",
                n_bad=compared.n_sign_changed,
                n_seen=compared.n,
                examples=compared.sign_examples,
            )


@check(
    "baseline.resemblance",
    severity=Severity.ERROR,
    reason="Training starts from the baseline: its weights stay recognisable, synapse by synapse.",
    calibration="Correlation within pairs of cell types: 0.61..0.98 in trained networks, 0.00 "
    f"once shuffled within such pairs; refused below {MIN_CORRELATION}.",
    needs=(*_VALUES, "baseline.same_network"),
    consequence=Consequence.UNLIKE_BASELINE,
)
def resemblance(context: Context) -> Iterator[Observation]:
    """Weights resemble those that training started from."""
    for group, compared in baseline_weights(context).items():
        if compared.verdict is Verdict.UNDETERMINED and compared.correlation is not None:
            yield Observation(
                f"{group}.weight",
                f"the weights do not resemble those of the same synapses in the baseline "
                f"(correlation within pairs of cell types {compared.correlation:.2f}): they were "
                "shuffled among synapses, or belong to another network",
                "are weights and edges in the same order? convert the checkpoint again",
                n_bad=compared.n,
                n_seen=compared.n,
                observed=compared.observed,
            )


@check(
    "baseline.unchanged",
    severity=Severity.WARNING,
    reason="Weights that are those of the baseline were not trained, or got lost on their way. "
    "Whether that is accepted is decided by what is required of the network.",
    calibration="Relative change (L2) of recurrent weights 0.14..0.9 in trained networks, 0.02.."
    f"0.08 after five steps, limit {ALMOST_UNCHANGED['recurrent']}; of input weights 0.04..0.26 "
    f"and 0.01..0.02, limit {ALMOST_UNCHANGED['lgn']}. Unchanged weights: at most 1.3 % in "
    f"trained networks; a part is untrained from {PARTLY_UNCHANGED:.0%} on, or where "
    f"{_UNCHANGED_TYPE:.0%} of a receptor's are, of a cell type's of {MIN_CELLS_OF_TYPE} or more "
    f"cells, or of a pair's with {_MIN_OF_PAIR} or more synapses of as many cells.",
    needs=(*_VALUES, "baseline.same_network"),
)
def unchanged(context: Context) -> Iterator[Observation]:
    """No weights are still those of the baseline."""
    for group, compared in baseline_weights(context).items():
        role = context.network.role(group)
        if role == "lgn" and compared.kept != "no" and frozen_by(context):
            continue
        if group in shared_tables(context):
            continue
        if compared.parts or compared.verdict in (Verdict.UNTRAINED, Verdict.MIXED):
            parts = f": {'; '.join(compared.parts[:5])}" if compared.parts else ""
            yield Observation(
                f"{group}.weight",
                f"the weights are {compared.what}{parts}",
                "convert the trained checkpoint again",
                n_bad=compared.n_unchanged,
                n_seen=compared.n,
                examples=compared.parts[:5],
                observed=compared.observed,
            )


@check(
    "baseline.jumps",
    severity=Severity.ERROR,
    reason="Training moves weights by small steps, so that the largest changes are of one size. A "
    "weight that changed by several times as much as any other was damaged afterwards.",
    calibration="The largest change is at most as large as the tail of all (from "
    f"{TAIL[0]:.0%} and {TAIL[1]:.1%} continued as a lognormal) leads one to expect, and 1.05 "
    f"times the next; found beyond {BEYOND_CHANGES:g} and {_BEYOND_NEXT:g} times. Finds a trained "
    "weight times 1,000 in 95 of 100 and more.",
    needs=(*_VALUES, "baseline.same_network"),
    by_looks=True,
)
def jumps(context: Context) -> Iterator[Observation]:
    """No weight changed by far more than any other."""
    for group, compared in baseline_weights(context).items():
        if compared.n_jumps:
            yield Observation(
                f"{group}.weight",
                f"{compared.n_jumps:,} of {compared.n:,} weights changed against the baseline by "
                "several times as much as any other",
                "go back to the checkpoint: these values are damaged",
                n_bad=compared.n_jumps,
                n_seen=compared.n,
                examples=compared.jump_examples,
            )


@check(
    "baseline.changes",
    severity=Severity.INFO,
    reason="How far training went.",
    calibration="Information.",
    needs=(*_VALUES, "baseline.same_network"),
)
def changes(context: Context) -> Iterator[Observation]:
    """How weights changed against the baseline."""
    for group, compared in baseline_weights(context).items():
        if compared.relative_change is None:
            continue
        correlation = "-" if compared.correlation is None else f"{compared.correlation:.2f}"
        yield Observation(
            f"{group}.weight",
            f"against the baseline the weights differ by {compared.relative_change:.3g} (L2, "
            f"relative), correlate by {correlation} within pairs of cell types, and "
            f"{compared.n_unchanged:,} of {compared.n:,} did not change",
            n_seen=compared.n,
            observed=compared.observed,
        )


#: Relative difference of cell parameters below which they are equal: those that are recovered from
#: a checkpoint went through exponentials in float32.
_ROUNDING = 1e-4


@check(
    "baseline.other_arrays",
    severity=Severity.ERROR,
    reason="Training changes weights. Cell parameters and readout groups that differ from the "
    "baseline's, and a background that is the baseline's times a factor, were damaged on their "
    "way.",
    calibration=f"Parameters beyond {_ROUNDING:g}, relative; readout groups exact.",
    needs=(*_VALUES, "baseline.usable"),
)
def other_arrays(context: Context) -> Iterator[Observation]:
    """Cell parameters, background and readout groups are as in the baseline."""
    baseline, network = context.baseline, context.network
    if baseline is None or baseline.n_neurons != network.n_neurons:
        return
    for differing in array_differences(baseline, network):
        array, seen = differing.array, differing.note
        if array.startswith("cell_types."):
            change = differing.max_relative_change
            if change is not None and change < _ROUNDING:
                continue
            seen = f"{differing.n_changed:,} of {differing.n:,} neurons have other values"
        elif array == "background.weight":
            seen = _background_factor(baseline, network)
        elif array == "readout.neuron" and not (baseline.readout and network.readout):
            seen = ""
        if seen and array != "neurons.position_um":
            yield Observation(
                array,
                f"differs from the baseline: {seen}",
                "take it as it was before training, or convert the checkpoint again",
                n_bad=differing.n_changed,
                n_seen=differing.n,
            )


def _background_factor(baseline: NetworkModel, network: NetworkModel) -> str:
    """The one factor that makes the baseline's background the network's; empty if none."""
    a, b = baseline.background_weight, network.background_weight
    if a is None or b is None or not (a != 0).any() or ((a == 0) != (b == 0)).any():
        return ""
    rows, columns = np.nonzero(a)
    ratio = b[rows, columns].astype(np.float64) / a[rows, columns]
    for name, expected in (
        ("times 10: the factor of the layout is there twice", 10.0),
        ("a tenth: the factor 10 of the layout is missing", 0.1),
        (
            "times (V_th - E_L) / 10: raw pA, not ten times normalised",
            network.voltage_scale_mv[rows] / 10,
        ),
        ("times V_th - E_L: not normalised", network.voltage_scale_mv[rows]),
    ):
        if np.allclose(ratio, expected, rtol=1e-3):
            return f"it is the baseline's {name}"
    if np.allclose(ratio, ratio[0], rtol=1e-4):
        return f"it is the baseline's times {ratio[0]:.6g}"
    return ""
