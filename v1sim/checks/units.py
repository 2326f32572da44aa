"""Checks of units, by physics: cell parameters and the potentials that synapses cause.

Limits stand beside what was seen in the 201 public GLIF3 models of the Allen
Cell Types Database and in a network of 1,000 such neurons before and after
training. They leave room for other cells and trainings, and find factors: volts
for millivolts (1,000), pA for normalised weights (15-41), nA (1,000).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v1sim.checks.examples import N_EXAMPLES
from v1sim.checks.profile import SIZES
from v1sim.checks.registry import Context, LeftOut, Observation, check
from v1sim.model import CellTypeTable, Severity
from v1sim.receptors import Kind

__all__ = [
    "MAX_PSP_MV",
    "PARAMETER_RANGES",
    "STRONG_PRODUCT",
    "TYPICAL",
    "WEAK",
    "ParameterRange",
    "SynapticStrength",
    "synaptic_strength",
]

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class ParameterRange:
    """Allowed range of a GLIF3 parameter (ends included), and the range of the public models."""

    symbol: str
    unit: str
    low: float
    high: float
    seen_low: float
    seen_high: float
    hint: str


@dataclass(frozen=True)
class TypicalStrength:
    """Median |PSP| and mean depolarisation for each Hz of all sources; rest to threshold is 1."""

    psp: float
    drive: float


#: By field of `CellTypeTable` or by name in `_derived`. Seen: the 201 public models.
PARAMETER_RANGES = {
    "c_m_pf": ParameterRange(
        "C_m", "pF", 5.0, 2000.0, 37.1, 227.6, "C_m is in pF; is it in nF or F?"
    ),
    "g_ns": ParameterRange("g", "nS", 0.2, 200.0, 1.30, 15.5, "g is in nS; is it in uS or S?"),
    "e_l_mv": ParameterRange("E_L", "mV", -110.0, -35.0, -85.7, -59.8, "is it in V, or relative?"),
    "v_th_mv": ParameterRange(
        "V_th", "mV", -75.0, -10.0, -59.7, -31.6, "is it in V, or relative to E_L?"
    ),
    "voltage_scale_mv": ParameterRange(
        "V_th - E_L", "mV", 4.0, 100.0, 15.1, 41.0, "are V_th and E_L of one kind and unit?"
    ),
    "reset_depth_mv": ParameterRange(
        "V_th - V_reset", "mV", 1.0, 120.0, 15.1, 41.0, "V_reset lies below V_th, in mV"
    ),
    "reset_height_mv": ParameterRange(
        # Up to 32 mV in a public SONATA network of iaf_psc_alpha; relative to E_L it would be 60.
        "V_reset - E_L",
        "mV",
        -45.0,
        45.0,
        0.0,
        0.0,
        "V_reset is in mV, not relative to E_L",
    ),
    "t_ref_ms": ParameterRange("t_ref", "ms", 0.1, 50.0, 1.05, 9.95, "t_ref is in ms; seconds?"),
    "tau_m_ms": ParameterRange(
        "C_m / g", "ms", 1.0, 250.0, 5.5, 51.8, "are C_m in pF and g in nS, not exchanged?"
    ),
    "k_per_ms": ParameterRange(
        "k", "1/ms", 1e-4, 1.5, 0.003, 0.3, "k is a rate in 1/ms; is it a time constant (1/k)?"
    ),
    "tau_syn_ms": ParameterRange("tau_syn", "ms", 0.1, 100.0, 2.8, 8.5, "tau_syn is in ms"),
    "asc_ratio": ParameterRange(
        "max |asc_amps| / (g (V_th - E_L))",
        "",
        0.0,
        60.0,
        0.036,
        12.1,
        "asc_amps are in pA already: do not multiply them by V_th - E_L",
    ),
}
#: Range of the median over types of the largest after-spike amplitude relative to
#: the current that just reaches threshold. Seen: 0.95 over the 201 models, 1.00 over
#: the 45 types of the reference network, 0.18..4 for the medians of single classes.
#: Amplitudes divided by the voltage scale give 0.03, multiplied by it 27.
ASC_MEDIAN_LOW, ASC_MEDIAN_HIGH = 0.08, 10.0


_E, _I = Kind.EXCITATORY, Kind.INHIBITORY
#: What synapses of each table and kind of receptor (presynaptic, postsynaptic) typically do: median
#: of the nonzero |PSP|, and
#: mean depolarisation for each Hz that all sources fire at, both relative to the distance
#: from rest to threshold. The middle of a trained network of 1,000 cells and of the
#: built-in column of 200 to 51,978 cells, whose figures come from synaptic physiology:
#: recurrent PSPs 0.002..0.023 and drives 0.006..0.036, input 0.04..0.12 and 0.014..0.072.
TYPICAL: dict[str, dict[tuple[Kind, Kind], TypicalStrength]] = {
    "recurrent": {
        (_E, _E): TypicalStrength(psp=0.008, drive=0.008),
        (_I, _E): TypicalStrength(psp=0.008, drive=0.02),
        (_E, _I): TypicalStrength(psp=0.008, drive=0.03),
        (_I, _I): TypicalStrength(psp=0.008, drive=0.018),
    },
    "lgn": {
        (pre, post): TypicalStrength(psp=0.065, drive=0.025)
        for pre in (_E, _I)
        for post in (_E, _I)
    },
}
#: In networks of few strong synapses a PSP is large and the drive ordinary; where there are many
#: weak ones it is the reverse. A wrong unit moves both: pA for normalised weights by 15..41. The
#: product of the two, relative to the typical one: 0.2..5.4 in the networks above and
#: 170..4,900 with their weights in pA.
STRONG_PRODUCT = 45.0
#: Both are this much below the typical ones where weights were divided by the voltage scale
#: twice (PSP 0.03..0.1 and drive 0.03..0.05 of it, or less) or are in nA. Seen otherwise: the
#: larger of the two 0.6 of the typical one or more.
WEAK = 0.2
#: Largest |PSP| of a single synapse in mV. Seen: 21 (the untrained network's heavy
#: tail), 560 with weights in pA. Three times the distance from rest to threshold.
MAX_PSP_MV = 100.0
#: Synapses of a receptor from which on their median means something.
_MIN_FOR_MEDIAN = 20
#: Mean depolarisation by the background relative to V_th - E_L (1: threshold), median
#: over neurons. Seen 0.67; without the factor 10 of the layout 0.067, twice with it 6.7.
BACKGROUND_LOW, BACKGROUND_HIGH = 0.15, 3.0
#: The same where it deserves a look: raw pA instead of ten times normalised gives 2.1.
BACKGROUND_UNUSUAL_LOW, BACKGROUND_UNUSUAL_HIGH = 0.2, 1.5
#: Mean of a Binomial(10, 0.1) draw divided by 10, in draws a ms.
_MEAN_DRAW_PER_MS = 0.1


def _derived(types: CellTypeTable) -> dict[str, F64]:
    with np.errstate(all="ignore"):
        scale = types.voltage_scale_mv
        largest_asc_pa = np.full(len(types), np.nan)
        if "asc_amp_pa" in types.columns:
            largest_asc_pa = np.fmax.reduce(np.abs(types.asc_amp_pa), axis=1)
        return {
            "voltage_scale_mv": scale,
            "reset_depth_mv": types.v_th_mv - types.v_reset_mv,
            "reset_height_mv": types.v_reset_mv - types.e_l_mv,
            "tau_m_ms": types.c_m_pf / types.g_ns,
            "asc_ratio": largest_asc_pa / (types.g_ns * scale),
        }


@check(
    "units.parameters",
    severity=Severity.ERROR,
    reason="A parameter in another unit makes cells that never or always fire.",
    calibration="The ranges of the 201 public GLIF3 models, widened several times: "
    + "; ".join(
        f"{limits.symbol} {limits.low:g}..{limits.high:g} {limits.unit}".rstrip()
        for limits in PARAMETER_RANGES.values()
    )
    + ".",
    needs=("values.finite",),
)
def parameters(context: Context) -> Iterator[Observation]:
    """Parameters of the cells, and what follows from them, are in physical ranges."""
    types = context.network.cell_types
    derived = _derived(types)
    for name, limits in PARAMETER_RANGES.items():
        values = derived[name] if name in derived else types.columns.get(name, np.empty(0))
        # NaN where a model has no such parameter, and of a zero denominator, which has its own
        # finding.
        bad = (values < limits.low) | (values > limits.high)
        if not bad.any():
            continue
        rows = np.unique(np.nonzero(bad)[0])
        unit = f" {limits.unit}" if limits.unit else ""
        yield Observation(
            f"{context.name_of('cell_types')}: {limits.symbol}",
            f"{int(bad.sum())} of {values.size} values of {limits.symbol} are outside "
            f"{limits.low:g}..{limits.high:g}{unit} ({float(np.nanmin(values)):g}.."
            f"{float(np.nanmax(values)):g}; public models "
            f"{limits.seen_low:g}..{limits.seen_high:g})",
            limits.hint,
            n_bad=int(bad.sum()),
            n_seen=values.size,
            examples=tuple(
                f"type {row}: {np.array2string(values[row], precision=4)}"
                for row in rows[:N_EXAMPLES]
            ),
        )


@check(
    "units.after_spike_currents",
    severity=Severity.ERROR,
    reason="After-spike currents are stored in pA. Divided by the voltage scale they vanish, "
    "multiplied by it (a known bug) they silence every cell that fires.",
    calibration="Median over types of max |asc_amps| / (g (V_th - E_L)): 0.95 for the public "
    f"models; allowed {ASC_MEDIAN_LOW}..{ASC_MEDIAN_HIGH}.",
    needs=("units.parameters",),
)
def after_spike_currents(context: Context) -> Iterator[Observation]:
    """After-spike amplitudes are of the size of the threshold current."""
    ratio = _derived(context.network.cell_types)["asc_ratio"]
    ratio = ratio[~np.isnan(ratio)]
    if not ratio.size:
        return  # no model has after-spike currents
    median = float(np.median(ratio))
    if ASC_MEDIAN_LOW <= median <= ASC_MEDIAN_HIGH:
        return
    scale = float(np.median(context.network.cell_types.voltage_scale_mv))
    yield Observation(
        "cell_types.asc_amp_pa",
        f"after-spike amplitudes are {median:.3g} of the threshold current (median over "
        f"{ratio.size} types), expected {ASC_MEDIAN_LOW:g}..{ASC_MEDIAN_HIGH:g}",
        f"asc_amps are in pA: {_asc_remedy(median, scale)}",
        n_bad=ratio.size,
        n_seen=ratio.size,
        observed={"median_ratio": median},
    )


def _asc_remedy(median: float, scale_mv: float) -> str:
    """The one change of unit that makes after-spike amplitudes what they mostly are."""
    remedies = {
        scale_mv: "multiply them by V_th - E_L",
        1 / scale_mv: "divide them by V_th - E_L",
        1e3: "they look like nA, multiply them by 1000",
        1e-3: "they look like fA, divide them by 1000",
    }
    return remedies[min(remedies, key=lambda factor: abs(np.log(max(median, 1e-30) * factor)))]


_PHYSICAL = (
    "structure.index_range",
    "structure.receptor_range",
    "values.finite",
    "units.parameters",
)


@dataclass(frozen=True)
class SynapticStrength:
    """What the synapses of a table and receptor do, and what their like typically does."""

    n: int
    median_psp: float
    drive_per_hz: float
    typical: TypicalStrength

    @property
    def psp_ratio(self) -> float:
        """Median |PSP| relative to the typical one."""
        return self.median_psp / self.typical.psp

    @property
    def drive_ratio(self) -> float:
        """Mean depolarisation relative to the typical one."""
        return self.drive_per_hz / self.typical.drive


def synaptic_strength(context: Context, group: str) -> dict[str, SynapticStrength]:
    """Strength of a table's nonzero synapses by receptor; needs physical parameters.

    Receptors whose kinds are unknown are left out, and tables of other sources than the LGN and
    the network itself: what is typical of them is not known either.
    """
    network, profile = context.network, context.profile(group)
    types, typical = network.cell_types, TYPICAL.get(network.role(group), {})
    n_groups = profile.counts.shape[1]
    gain = context.psp_gain_mv / types.voltage_scale_mv[:, np.newaxis]
    # A spike leaves weight * e * tau; normalised / g is a fraction of threshold. 1/Hz: 1000 ms.
    charge = types.receptors.time_courses.charge_pa_ms() / types.g_ns[:, np.newaxis] * 1e-3
    n_types = np.maximum(np.bincount(profile.group_of_type, minlength=n_groups), 1)
    by_group = [
        np.bincount(profile.group_of_type, weights=values[:, receptor], minlength=n_groups)
        / n_types
        for values in (gain, charge)
        for receptor in range(network.receptors.n)
    ]
    n_targets = context.receives_kind
    found = {}
    for receptor, name in enumerate(network.receptors.names):
        kinds = network.receptors.common_kinds(receptor)
        if Kind.UNKNOWN in kinds or kinds not in typical:
            continue
        pairs, counts = profile.nonzero(receptor)
        n = int(counts.sum())
        if n < _MIN_FOR_MEDIAN:
            continue
        target = pairs % n_groups
        psp = (by_group[receptor][target, np.newaxis] * SIZES)[counts > 0]
        order = np.argsort(psp)
        up_to = np.cumsum(counts[counts > 0][order])
        median = psp[order][np.searchsorted(up_to, n / 2)]
        total = (by_group[network.receptors.n + receptor][target] * (counts @ SIZES)).sum()
        drive = total / max(int(n_targets[kinds[1]]), 1)
        found[name] = SynapticStrength(n, float(median), float(drive), typical[kinds])
    return found


@check(
    "units.psp",
    severity=Severity.ERROR,
    reason="What a synapse does to its target shows the unit of its weight: pA where normalised "
    "weights belong, nA, or weights normalised twice, are tens or thousands of times off.",
    calibration="Median |PSP| and mean depolarisation for each Hz of all sources, relative to rest "
    "to threshold, by receptor. Their product relative to the typical one: 0.2..5.4 in trained and "
    f"untrained networks, 170..4,900 with weights in pA; refused above {STRONG_PRODUCT:g}. "
    "The larger of the two relative to the typical one: 0.6 and more, 0.01..0.1 with weights "
    f"normalised twice; refused below {WEAK:g}. See [calibration](calibration.md).",
    needs=_PHYSICAL,
)
def psp(context: Context) -> Iterator[Observation | LeftOut]:
    """Synapses of receptors whose kinds are known are of physical strength."""
    scale = float(np.median(context.network.cell_types.voltage_scale_mv))
    for group in context.tables:
        yield from context.without_kind(group)
        for name, strength in synaptic_strength(context, group).items():
            psp_ratio, drive_ratio = strength.psp_ratio, strength.drive_ratio
            strong = psp_ratio * drive_ratio > STRONG_PRODUCT
            if not strong and max(psp_ratio, drive_ratio) >= WEAK:
                continue
            yield Observation(
                (f"{group}.weight", name),
                f"synapses are too {'strong' if strong else 'weak'}: the median potential of "
                f"{strength.n:,} synapses is {strength.median_psp:.2g} of the way from rest to "
                f"threshold ({psp_ratio:.2g} times the typical one), and all together depolarise "
                f"by {strength.drive_per_hz:.2g} of it for each Hz of their sources "
                f"({drive_ratio:.2g} times)",
                "these weights are probably in pA, and the file must hold pA divided by "
                "V_th - E_L (an old converter wrote initial weights in pA when it found no "
                "checkpoint): convert the checkpoint again"
                if strong
                else _weak_remedy(max(psp_ratio, drive_ratio), scale),
                n_bad=strength.n,
                n_seen=strength.n,
                observed={
                    "median_psp": strength.median_psp,
                    "drive_per_hz": strength.drive_per_hz,
                    "psp_ratio": psp_ratio,
                    "drive_ratio": drive_ratio,
                },
            )


#: Median |PSP| in mV of the synapses between two classes of cells, below and above which weights in
#: pA are in another unit. Seen: 0.09..5 in public SONATA networks; in nA 0.0001..0.005.
MEDIAN_PSP_LOW_MV, MEDIAN_PSP_HIGH_MV = 0.005, 50.0


@check(
    "units.psp_by_class",
    severity=Severity.WARNING,
    reason="Where receptors are ports that say nothing of the cells on both sides, as in SONATA, "
    "the classes of the cells do: what synapses do to their targets shows the unit of weights.",
    calibration="Median |PSP| between excitatory and inhibitory cells: 0.09..5 mV in public "
    f"SONATA networks of weights in pA; found below {MEDIAN_PSP_LOW_MV:g} and above "
    f"{MEDIAN_PSP_HIGH_MV:g} mV.",
    needs=_PHYSICAL,
)
def psp_by_class(context: Context) -> Iterator[Observation]:
    """Synapses between cells of known classes, through ports, are of physical strength."""
    network = context.network
    if (network.receptors.presynaptic != Kind.UNKNOWN).any():
        return
    for group, table in context.tables.items():
        for (pre, post), (n, median) in _median_psp_mv(context, group).items():
            if n < _MIN_FOR_MEDIAN or MEDIAN_PSP_LOW_MV <= median <= MEDIAN_PSP_HIGH_MV:
                continue
            weak = median < MEDIAN_PSP_LOW_MV
            yield Observation(
                (f"{group}.weight", f"{pre.name.lower()} onto {post.name.lower()}"),
                f"the median potential of {n:,} synapses is {median:.2g} mV",
                "syn_weight is in pA (mV for iaf_psc_delta): are these nA?"
                if weak
                else "syn_weight is in pA (mV for iaf_psc_delta): are these fA, or pA for mV?",
                n_bad=n,
                n_seen=len(table),
                observed={"median_psp_mv": median},
            )


def _median_psp_mv(context: Context, group: str) -> dict[tuple[Kind, Kind], tuple[int, float]]:
    """Number and median |PSP| of a table's nonzero synapses by the kinds of their ends."""
    network, profile = context.network, context.profile(group)
    sources, own = network.source_kind(group), network.cell_types.kind
    if sources is None or own is None or not len(sources):
        return {}
    n_groups = profile.counts.shape[1]
    first = np.zeros(n_groups, dtype=np.intp)  # a type of each group: several are alike
    first[profile.group_of_type[::-1]] = np.arange(len(own))[::-1]
    gain = np.abs(context.psp_gain_mv[first])
    post_kind = own[first]
    pre_kind = post_kind if not context.is_external(group) else np.array([sources[0]])
    if context.is_external(group) and (sources != sources[0]).any():
        return {}
    sizes = gain[np.arange(n_groups), profile.receptor][..., np.newaxis] * SIZES
    counts = np.where(np.isnan(sizes), 0, profile.counts)
    counts[..., 0] = 0
    found = {}
    for pre, post in ((a, b) for a in (_E, _I) for b in (_E, _I)):
        pairs = np.ix_(pre_kind == pre, post_kind == post)
        of_pairs, n = sizes[pairs], counts[pairs]
        total = int(n.sum())
        if total:
            order = np.argsort(of_pairs, axis=None)
            up_to = np.cumsum(n.ravel()[order])
            found[pre, post] = (
                total,
                float(of_pairs.ravel()[order][np.searchsorted(up_to, total / 2)]),
            )
    return found


def _weak_remedy(ratio: float, scale_mv: float) -> str:
    """What may be wrong with weights that are too weak, and what would be right of each."""
    remedies = (
        (scale_mv, "divided by V_th - E_L twice (multiply them by V_th - E_L)"),
        (1e3 / scale_mv, "like nA (multiply them by 1000 and divide them by V_th - E_L)"),
        (1e3, "like nA that were divided by V_th - E_L (multiply them by 1000)"),
    )
    fitting = [what for factor, what in remedies if WEAK <= ratio * factor <= 1 / WEAK]
    look = f"the weights look {', or '.join(fitting)}" if fitting else "the weights are in no unit"
    return f"{look}; or convert the checkpoint again"


@check(
    "units.largest_psp",
    severity=Severity.ERROR,
    reason="One synapse that moves its target by several times the distance to threshold is a "
    "damaged value or a diverged training.",
    calibration=f"Largest seen 21 mV (trained or not); refused above {MAX_PSP_MV:g} mV.",
    needs=_PHYSICAL,
)
def largest_psp(context: Context) -> Iterator[Observation]:
    """No single synapse is exploded."""
    for group, table in context.tables.items():
        if not len(table):
            continue
        # An upper limit first: all sizes need be computed only where one may be beyond.
        highest = np.flatnonzero(context.profile(group).counts.sum(axis=(0, 1)))[-1]
        if highest < len(SIZES) - 1 and SIZES[highest] * 1.2 * np.nanmax(context.psp_gain_mv) <= (
            MAX_PSP_MV
        ):
            continue
        size = context.psp_mv(group)
        bad = size > MAX_PSP_MV
        n_bad = int(np.count_nonzero(bad))
        if n_bad:
            yield Observation(
                f"{group}.weight",
                f"{n_bad:,} of {len(table):,} synapses would move their target by more than "
                f"{MAX_PSP_MV:g} mV each (max {float(np.nanmax(size)):,.4g} mV)",
                "go back to the checkpoint: these values are damaged or training diverged",
                n_bad=n_bad,
                n_seen=len(table),
                examples=context.examples(table, bad),
            )


def _background_drive(context: Context) -> F64 | None:
    """Mean depolarisation by the background of each neuron that has one, threshold = 1."""
    network = context.network
    weight = network.background_weight
    if weight is None or not weight.any():
        return None
    types, of_neuron = network.cell_types, network.neurons.cell_type
    # Mean of alpha currents: weight * e * tau a draw. Normalised / g is a fraction of threshold.
    charge = types.receptors.time_courses.charge_pa_ms(_MEAN_DRAW_PER_MS)
    gain = np.nan_to_num(charge) / types.g_ns[:, np.newaxis]
    drive = np.abs((weight * gain[of_neuron]).sum(axis=1))
    return drive[weight.any(axis=1)]


@check(
    "units.background",
    severity=Severity.ERROR,
    reason="Background weights are stored normalised and times ten; without the factor the cells "
    "are silent, with it twice they fire without input.",
    calibration="Mean depolarisation relative to threshold, median over neurons: 0.67 in the "
    f"reference network; allowed {BACKGROUND_LOW}..{BACKGROUND_HIGH}.",
    needs=_PHYSICAL,
)
def background(context: Context) -> Iterator[Observation]:
    """The background depolarises cells by a fair part of the way to threshold."""
    yield from _background(
        context,
        BACKGROUND_LOW,
        BACKGROUND_HIGH,
        f"{context.name_of('background')} are pA / (V_th - E_L), times 10: is the factor 10 "
        "missing or there twice?",
    )


@check(
    "units.background_unusual",
    severity=Severity.WARNING,
    reason="A background of raw pA is about three times too strong, which a trained one may be.",
    calibration="0.67 in the reference network, 2.1 for the same in pA; "
    f"usual {BACKGROUND_UNUSUAL_LOW}..{BACKGROUND_UNUSUAL_HIGH}.",
    needs=("units.background",),
)
def background_unusual(context: Context) -> Iterator[Observation]:
    """The background is of the usual size."""
    yield from _background(
        context,
        BACKGROUND_UNUSUAL_LOW,
        BACKGROUND_UNUSUAL_HIGH,
        f"are {context.name_of('background')} in pA instead of pA / (V_th - E_L) times 10?",
    )


def _background(context: Context, low: float, high: float, hint: str) -> Iterator[Observation]:
    drive = _background_drive(context)
    if drive is None:
        return
    median = float(np.median(drive))
    if not low <= median <= high:
        yield Observation(
            "background.weight",
            f"the mean background depolarises cells to {median:.3g} of the way from rest to "
            f"threshold (median over {drive.size:,} neurons), expected {low:g}..{high:g}",
            hint,
            n_bad=int(np.count_nonzero((drive < low) | (drive > high))),
            n_seen=drive.size,
            observed={"median_drive": median},
        )
