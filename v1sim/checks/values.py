"""Checks of values: finite, of the right sign, not constant, delays on the time grid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from v1sim import units
from v1sim.checks.examples import N_EXAMPLES
from v1sim.checks.registry import Consequence, Context, LeftOut, Observation, check
from v1sim.model import NetworkModel, Severity, SynapseTable
from v1sim.receptors import Kind

__all__ = ["MAX_DELAY_MS", "MAX_DELAY_PA_MS", "MIN_VARIED"]

#: Longest delay in ms. Networks in use have 1..5; four times that leaves room
#: for distance-dependent delays of wider models, and finds microseconds and seconds.
MAX_DELAY_MS = 20.0
#: The same of networks with weights in pA, which are not those of one training: up to 5 ms in
#: public SONATA networks, some tens of ms between areas.
MAX_DELAY_PA_MS = 200.0
#: Weights of one receptor that cannot all be equal by chance. Training moves each
#: weight by itself, and initial weights are drawn or depend on distance and tuning.
MIN_VARIED = 20
#: Synapses handled at a time: the work arrays stay within the CPU's cache.
_BLOCK = 1 << 16


@check(
    "values.finite",
    severity=Severity.ERROR,
    reason="NEST takes a NaN weight as 'not given' and uses its default of 1 pA instead; an "
    "infinite one silences or explodes the target.",
    calibration="Exact.",
    consequence=Consequence.ZEROS_ARE_VOID,
    waivable=False,
)
def finite(context: Context) -> Iterator[Observation]:
    """No NaN and no infinity, in any array."""
    network = context.network
    for group, table in context.tables.items():
        for column, values in (("weight", table.weight), ("delay_ms", table.delay_ms)):
            if not _all_finite(values):
                bad = ~np.isfinite(values)
                yield _not_finite(f"{group}.{column}", values, bad, context.examples(table, bad))
    types = network.cell_types
    for name, parameter in types.columns.items():
        yield from _finite_array(f"cell_types.{name}", parameter, types.expected(name))
    arrays: dict[str, NDArray[np.floating]] = {}
    if network.background_weight is not None:
        arrays["background.weight"] = network.background_weight
    if network.neurons.position_um is not None:
        arrays["neurons.position_um"] = network.neurons.position_um
    for array, values in arrays.items():
        yield from _finite_array(array, values, np.bool_(True))


def _finite_array(
    array: str, values: NDArray[np.floating], expected: NDArray[np.bool_] | np.bool_
) -> Iterator[Observation]:
    """Values that are not finite, where numbers are expected."""
    bad = ~np.isfinite(values) & expected
    if bad.any():
        rows = [tuple(int(i) for i in row) for row in np.argwhere(bad)[:N_EXAMPLES]]
        shown = tuple(f"[{', '.join(map(str, row))}]: {values[row]}" for row in rows)
        yield _not_finite(array, values, bad, shown)


def _all_finite(values: NDArray[np.floating]) -> bool:
    # NaN is both extremes of what holds one; no array of truth values is needed.
    return all(np.isfinite(end(values)) for end in (np.min, np.max)) if values.size else True


def _not_finite(
    array: str,
    values: NDArray[np.floating],
    bad: NDArray[np.bool_],
    examples: tuple[str, ...],
) -> Observation:
    n_nan, n_bad = int(np.isnan(values).sum()), int(bad.sum())
    return Observation(
        array,
        f"{n_bad:,} of {values.size:,} values are not finite ({n_nan:,} NaN, "
        f"{n_bad - n_nan:,} infinite)",
        "training diverged or the file is damaged: go back to a checkpoint that is finite",
        n_bad=n_bad,
        n_seen=values.size,
        examples=examples,
    )


@check(
    "values.weight_sign",
    severity=Severity.ERROR,
    reason="Training keeps the sign of every weight (Dale's law): those from excitatory cells are "
    ">= 0, those from inhibitory cells <= 0. In the Billeh model's files the receptor says which "
    "they are (0 and 2 excitatory, 1 and 3 inhibitory), elsewhere the class of the source cell.",
    calibration="Of 92,245 weights of the reference networks none has the wrong sign, trained or "
    "not. Zeros of either sign are right: training leaves -0.0 on inhibitory synapses.",
    needs=("structure.index_range", "structure.receptor_range"),
    consequence=Consequence.ZEROS_ARE_VOID,
)
def weight_sign(context: Context) -> Iterator[Observation | LeftOut]:
    """Nonzero weights have the sign of the cells that they come from, where their kind is known."""
    network = context.network
    for group, table in context.tables.items():
        yield from context.without_kind(group)
        blocks = range(0, len(table), _BLOCK)
        if not any(_wrong_sign(network, table, slice(i, i + _BLOCK)).any() for i in blocks):
            continue
        presynaptic = network.presynaptic_kind(table)
        wrong = _wrong_sign(network, table, slice(None))
        for receptor, name in enumerate(network.receptors.names):
            for kind, relation, allowed in (
                (Kind.EXCITATORY, "<", ">="),
                (Kind.INHIBITORY, ">", "<="),
            ):
                of_receptor = (table.receptor == receptor) & (presynaptic == kind)
                bad = wrong & of_receptor
                n_bad, n_seen = int(np.count_nonzero(bad)), int(np.count_nonzero(of_receptor))
                if not n_bad:
                    continue
                largest = float(np.abs(table.weight[bad]).max())
                n_nonzero = int(np.count_nonzero(table.weight[of_receptor]))
                all_of_them = " (all that are not zero)" if n_bad == n_nonzero else ""
                yield Observation(
                    (f"{group}.weight", name),
                    f"{n_bad:,} of {n_seen:,} synapses are {relation} 0{all_of_them} "
                    f"(max |w| {largest:g} {table.unit}); {kind.name.lower()} weights must be "
                    f"{allowed} 0",
                    "the sign constraint was not applied, or weights and receptors are in "
                    "different orders: convert the network again",
                    n_bad=n_bad,
                    n_seen=n_seen,
                    examples=context.examples(table, bad),
                )


def _wrong_sign(network: NetworkModel, table: SynapseTable, rows: slice) -> NDArray[np.bool_]:
    presynaptic, weight = network.presynaptic_kind(table, rows), table.weight[rows]
    wrong = (weight > 0) & (presynaptic == Kind.INHIBITORY)
    wrong |= (weight < 0) & (presynaptic == Kind.EXCITATORY)
    return wrong


@check(
    "values.constant",
    severity=Severity.ERROR,
    reason="Weights that are all zero or all equal are placeholders, not weights.",
    calibration=f"From {MIN_VARIED} synapses of a receptor on. The reference networks' receptors "
    "have thousands of different values. Weights in pA may be those of an edge type, and are found "
    "where all of a table are zero.",
    needs=("structure.index_range", "structure.receptor_range", "values.finite"),
    consequence=Consequence.ZEROS_ARE_VOID,
)
def constant(context: Context) -> Iterator[Observation]:
    """The weights of a receptor that are not zero are not all the same."""
    for group, table in context.tables.items():
        if table.unit == "pA" and table.weight.any():
            continue  # one weight for all edges of a type, as SONATA's tables of types have it
        profile = context.profile(group)
        for receptor, name in enumerate(context.network.receptors.names):
            # Weights of several sizes are not all the same: most receptors need no closer look.
            _, counts = profile.nonzero(receptor)
            if np.count_nonzero(counts.sum(axis=0)) > 1:
                continue
            weight = table.weight[table.receptor == receptor]
            nonzero = weight[weight != 0]
            if len(weight) < MIN_VARIED or 0 < len(nonzero) < MIN_VARIED:
                continue
            if len(nonzero) and nonzero.min() != nonzero.max():
                continue
            n_zero = len(weight) - len(nonzero)
            value = f"{float(nonzero[0]):g}" if len(nonzero) else "0"
            others = f", the {n_zero:,} others 0" if n_zero and len(nonzero) else ""
            yield Observation(
                (f"{group}.weight", name),
                f"all {len(nonzero) or n_zero:,} weights are {value}{others}",
                "convert the network again: this array was never filled",
                n_bad=len(weight),
                n_seen=len(weight),
            )


@check(
    "values.delay",
    severity=Severity.ERROR,
    reason="NEST rounds a delay to its time grid without a word, and training knows whole steps "
    "only: another delay is another network. What is below half a step NEST refuses.",
    calibration=f"Whole steps from 1 to {MAX_DELAY_MS:g} ms; networks in use have 1..5 ms. Of "
    f"networks with weights in pA, from half a step to {MAX_DELAY_PA_MS:g} ms; see "
    "values.delay_rounding.",
    needs=("values.finite",),
)
def delay(context: Context) -> Iterator[Observation]:
    """Delays are whole steps, at least one, and plausible."""
    for group, table in context.tables.items():
        if table.unit == "pA":
            yield from _implausible_pa(context, group, table)
            continue
        delays = context.delays_ms(group)
        for wrong, what, hint in (
            (
                ~units.on_time_grid(delays, context.dt_ms),
                f"are no whole number of steps of {context.dt_ms:g} ms",
                "round them as the training did, or convert the checkpoint again",
            ),
            (
                delays < context.dt_ms,
                f"are shorter than one step of {context.dt_ms:g} ms",
                "delays are in ms and count from 1 step; are these steps from 0, or seconds?",
            ),
            (
                delays > MAX_DELAY_MS,
                f"are longer than {MAX_DELAY_MS:g} ms",
                "delays are in ms; are these microseconds or another column?",
            ),
        ):
            if not wrong.any():
                continue
            bad = np.isin(table.delay_ms, delays[wrong])
            n_bad = int(np.count_nonzero(bad))
            yield Observation(
                f"{group}.delay_ms",
                f"{n_bad:,} of {len(table):,} delays {what} "
                f"({float(delays.min()):g}..{float(delays.max()):g} ms)",
                hint,
                n_bad=n_bad,
                n_seen=len(table),
                examples=context.examples(table, bad),
            )


def _implausible_pa(context: Context, group: str, table: SynapseTable) -> Iterator[Observation]:
    """Delays of weights in pA, which NEST rounds: those that it refuses, or that are none."""
    if not len(table):
        return
    low, high = float(table.delay_ms.min()), float(table.delay_ms.max())
    wrong = []
    if units.delay_steps(np.array([low]), context.dt_ms)[0] < 1:
        bad = units.delay_steps(table.delay_ms, context.dt_ms) < 1
        what = f"are shorter than half a step of {context.dt_ms:g} ms"
        wrong.append((bad, what, "take a smaller dt, or longer delays"))
    if high > MAX_DELAY_PA_MS:
        what = f"are longer than {MAX_DELAY_PA_MS:g} ms"
        hint = "delays are in ms; are these microseconds or another column?"
        wrong.append((table.delay_ms > MAX_DELAY_PA_MS, what, hint))
    for bad, what, hint in wrong:
        n_bad = int(np.count_nonzero(bad))
        yield Observation(
            f"{group}.delay_ms",
            f"{n_bad:,} of {len(table):,} delays {what} ({low:g}..{high:g} ms)",
            hint,
            n_bad=n_bad,
            n_seen=len(table),
            examples=context.examples(table, bad),
        )


@check(
    "values.delay_rounding",
    severity=Severity.INFO,
    reason="NEST rounds delays to whole time steps, the nearest, halves up. Networks in pA, whose "
    "delays need not fit a step, are built so here, and in BMTK.",
    calibration="Information. 1.82 ms in steps of 0.25 ms, as the model of 2026 has them, are "
    "1.75.",
    needs=("values.delay",),
)
def delay_rounding(context: Context) -> Iterator[Observation]:
    """Which delays in pA networks lie between two time steps, and how far they move."""
    for group, table in context.tables.items():
        if table.unit != "pA" or not len(table):
            continue
        n, largest, at = 0, 0.0, 0
        for start in range(0, len(table), _BLOCK):
            delays = table.delay_ms[start : start + _BLOCK].astype(np.float64)
            on_grid = units.on_time_grid(delays, context.dt_ms)
            if on_grid.all():
                continue
            n += int(np.count_nonzero(~on_grid))
            change = np.abs(units.delay_steps(delays, context.dt_ms) * context.dt_ms - delays)
            change[on_grid] = 0.0
            if change.max() > largest:
                largest, at = float(change.max()), start + int(change.argmax())
        if n:
            before = float(table.delay_ms[at])
            after = int(units.delay_steps(np.array([before]), context.dt_ms)[0]) * context.dt_ms
            yield Observation(
                f"{group}.delay_ms",
                f"{n:,} of {len(table):,} delays are no whole number of steps of "
                f"{context.dt_ms:g} ms; the largest change is by {largest:.3g} ms, from "
                f"{before:g} to {after:g} ms",
                n_bad=n,
                n_seen=len(table),
                observed={"largest_change_ms": largest},
            )
