"""What the weights themselves say about training.

Under the sign constraint, training pushes weights to exactly zero and holds them
there. No initial weights have exact zeros. Gradients differ from cell to cell, and so
does the share of zeros among a cell's synapses, far beyond chance: zeros that were dealt
out at random, by hand or by shuffling weights, lack that. All this is evidence that a
training took place, not what was learned: a network trained on shuffled labels has the
same zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.checks.profile import WeightProfile
from v1sim.checks.registry import Consequence, Context, Observation, check
from v1sim.model import Severity

__all__ = [
    "FEW_ZEROS",
    "TRAINED_ZEROS",
    "Dispersion",
    "ZeroEvidence",
    "zero_evidence",
]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
_End = Literal["targets", "sources"]

#: Synapses handled at a time.
_BLOCK = 1 << 17

#: Fraction of recurrent weights that are exactly zero from which on they say
#: "trained". Seen: 0.22 and 0.23 in two trained networks (0.18 in one trained on shuffled
#: labels), 0.02..0.06 after trainings that were short or held near the initial weights,
#: 0.0005..0.006 after five steps, 0 before.
TRAINED_ZEROS = 0.02
#: Below this they count with a warning.
FEW_ZEROS = 0.05
#: The same for input weights: 0.00..0.02 in the trained networks, 0 after five steps. Few
#: enough that their absence says nothing.
TRAINED_INPUT_ZEROS = 0.005
#: The same for each receptor, relative to the whole's: 0.26..2.9 in trained networks. One
#: that has none was not trained. One of which nearly all are was blanked.
_RECEPTOR_LOW, _RECEPTOR_HIGH = 0.05, 0.9
#: Zeros that a receptor would have at the whole's fraction from which on theirs means something.
_EXPECTED_IN_RECEPTOR = 25.0
#: Training leaves zeros on every cell; a block of zeros leaves most cells without. The
#: median over cells of the fraction of zeros, relative to the whole's: 0.82..1.03 in trained
#: networks, 0.36 after a short training, 0 with a block.
_SPREAD_LOW = 0.1
#: Zeros that a cell would have at the whole's fraction from which on theirs means something, and
#: cells of which the median does.
_EXPECTED_OF_CELL, _MIN_CELLS = 4.0, 20

#: Dispersion of zeros over targets and sources together, in standard deviations of chance:
#: 7..67 in trained networks, -2..1 once weights are shuffled within class pairs. Below this,
#: zeros are as if dealt out at random.
RANDOM_SIGMAS = 3.0
#: Dispersion grows with the variance of a cell's zeros: taken together, by 0.084 and more for each
#: unit of it in those networks. Where 0.1 would show by so many standard deviations, a network is
#: judged, and a quarter of that is enough.
_EXCESS_PER_VARIANCE = 0.1
MIN_EXPECTED_SIGMAS, SHARE_OF_EXPECTED = 4.5, 0.25
#: Cells whose expected number of zeros varies less than this say nothing.
_MIN_VARIANCE = 0.5

#: Zeros that a part would have from which on their absence means something, and the share of the
#: expected ones below which they are absent: initial weights have none. Seen at least: 0.11 of what
#: is expected among cell types as targets and pairs of types, 0.10 as sources.
_EXPECTED_IN_TYPE, _EXPECTED_IN_PAIR = 25.0, 60.0
ABSENT = 0.01
#: Zeros that a cell would have from which on their absence means something: by chance it
#: happens to one cell in three thousand.
_EXPECTED_IN_CELL = 8.0
#: Share of such cells without any zero: at most 4 % of the targets and 1 % of the sources in
#: trained networks, half of them where half the cells kept their initial weights. Sources that
#: never spiked in training keep theirs by right.
_UNTOUCHED_TARGETS, _UNTOUCHED_SOURCES = 0.15, 0.35


@dataclass(frozen=True)
class Dispersion:
    """How unevenly zeros lie over cells, given the cell types of their synapses.

    ``index`` is the mean over cells of (observed - expected)**2 / variance, 1 by
    chance; ``n_cells`` how many cells count; ``mean_variance`` of their zeros.
    """

    index: float
    n_cells: int
    mean_variance: float

    @property
    def sigmas(self) -> float:
        """How far the index lies above chance, in standard deviations of chance."""
        return (self.index - 1) * (self.n_cells / 2) ** 0.5

    @property
    def sigmas_if_trained(self) -> float:
        """The same as it would be after a training like those it was calibrated on."""
        return _EXCESS_PER_VARIANCE * self.mean_variance * (self.n_cells / 2) ** 0.5


@dataclass(frozen=True)
class ZeroEvidence:
    """Fractions of weights that are exactly zero, and what they amount to.

    ``spread`` is the median over cells of the fraction among incoming
    synapses, divided by ``fraction`` (None where there are too few synapses).
    """

    fraction: float
    by_receptor: dict[str, float]
    spread: float | None
    over_targets: Dispersion
    over_sources: Dispersion
    trained: bool
    why_not: str


@dataclass(frozen=True, eq=False)
class _Zeros:
    """Zeros of each target or source: how many, and what chance would give within type pairs."""

    seen: I64
    expected: F64
    variance: F64

    @property
    def dispersion(self) -> Dispersion:
        counted = self.variance >= _MIN_VARIANCE
        n_cells = int(counted.sum())
        if not n_cells:
            return Dispersion(1.0, 0, 0.0)
        squares = (self.seen - self.expected)[counted] ** 2 / self.variance[counted]
        # Rounded: sums over synapses differ in their last digit with the order in the file.
        index, variance = (round(float(v.mean()), 6) for v in (squares, self.variance[counted]))
        return Dispersion(index, n_cells, variance)


def _zeros_of_cells(context: Context, group: str) -> dict[_End, _Zeros]:
    """Zeros of a table's targets and sources."""
    return context.once((_zeros_of_cells, group), lambda: _count_zeros(context, group))


def _count_zeros(context: Context, group: str) -> dict[_End, _Zeros]:
    table, cells = context.tables[group], context.cells(group)
    ends: dict[_End, tuple[NDArray[np.int32], I64]] = {
        "targets": (table.post, cells.incoming_zero),
        "sources": (table.pre, cells.outgoing_zero),
    }
    profile, codes = context.profile(group), context.pair_codes(group)
    share = (profile.n_zero / np.maximum(profile.n, 1)).ravel()
    # Expected zeros and their variance as one complex number: both are added up in one go.
    expected = share + 1j * (share * (1 - share))
    sums = {end: np.zeros(len(seen), dtype=np.complex128) for end, (_, seen) in ends.items()}
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        of_synapse = expected.take(codes[part])
        for end, (cell, _) in ends.items():
            np.add.at(sums[end], cell[part].astype(np.intp), of_synapse)
    return {
        end: _Zeros(seen, sums[end].real.copy(), sums[end].imag.copy())
        for end, (_, seen) in ends.items()
    }


def zero_evidence(context: Context, group: str) -> ZeroEvidence:
    """The evidence of the exact zeros in a table's weights.

    Needs indices and receptors in range and finite weights.
    """
    return context.once((zero_evidence, group), lambda: _zero_evidence(context, group))


def _zero_evidence(context: Context, group: str) -> ZeroEvidence:
    profile = context.profile(group)
    names = context.network.receptors.names
    n_synapses, n_zero = _by_receptor(profile, len(names))
    fraction = float(n_zero.sum() / max(n_synapses.sum(), 1))
    by_receptor = {
        name: float(n_zero[i] / n_synapses[i]) for i, name in enumerate(names) if n_synapses[i]
    }
    recurrent = not context.is_external(group)
    limit = TRAINED_ZEROS if recurrent else TRAINED_INPUT_ZEROS
    if fraction < limit:
        nothing = Dispersion(1.0, 0, 0.0)
        why_not = "too few to tell"
        if recurrent:
            why_not = f"training leaves at least {limit:.0%} of the recurrent weights at zero"
        return ZeroEvidence(fraction, by_receptor, None, nothing, nothing, False, why_not)
    zeros_of = _zeros_of_cells(context, group)
    targets = zeros_of["targets"]
    over_targets, over_sources = targets.dispersion, zeros_of["sources"].dispersion
    n_incoming = context.cells(group).incoming
    enough = n_incoming * fraction >= _EXPECTED_OF_CELL
    spread = None
    if np.count_nonzero(enough) >= _MIN_CELLS:
        spread = float(np.median(targets.seen[enough] / n_incoming[enough])) / fraction
    odd = [
        f"{name} {by_receptor[name]:.1%}"
        for i, name in enumerate(names)
        if n_synapses[i] * fraction >= _EXPECTED_IN_RECEPTOR
        and not _RECEPTOR_LOW * fraction <= by_receptor[name] <= _RECEPTOR_HIGH
    ]
    why_not = ""
    if odd and recurrent:
        why_not = f"not in every receptor as training leaves them ({', '.join(odd)})"
    elif recurrent and spread is not None and spread < _SPREAD_LOW:
        why_not = "they are concentrated on few cells, as a block of missing values would be"
    elif _at_random(over_targets, over_sources):
        why_not = "they lie on the synapses as if dealt out at random, which training never does"
    elif not recurrent and max(over_targets.sigmas, over_sources.sigmas) < RANDOM_SIGMAS:
        why_not = "they are too few to tell"
    return ZeroEvidence(
        fraction, by_receptor, spread, over_targets, over_sources, not why_not, why_not
    )


def _by_receptor(profile: WeightProfile, n_receptors: int) -> tuple[F64, F64]:
    """Synapses and zeros of each receptor."""
    receptor = profile.receptor.ravel()
    n, n_zero = (
        np.bincount(receptor, weights=counts.ravel(), minlength=n_receptors).astype(np.float64)
        for counts in (profile.n, profile.n_zero)
    )
    return n, n_zero


def _at_random(*parts: Dispersion) -> bool:
    """Whether zeros lie at random, in a network that is large enough to tell."""
    root = len(parts) ** 0.5
    expected = sum(part.sigmas_if_trained for part in parts) / root
    seen = sum(part.sigmas for part in parts) / root
    limit = min(RANDOM_SIGMAS, SHARE_OF_EXPECTED * expected)
    return expected >= MIN_EXPECTED_SIGMAS and seen < limit


_VALUES = ("structure.index_range", "structure.receptor_range", "values.finite")


@check(
    "training.zeros",
    severity=Severity.INFO,
    reason="Training under the sign constraint leaves exact zeros, and no initial weights have "
    "them. They show that a training took place, not what it was for.",
    calibration="Recurrent weights: 11-23 % in trained networks, 2..6 % after short or strongly "
    "regularised trainings, 0.05..0.6 % after five steps, 0 before; at least "
    f"{TRAINED_ZEROS:.0%} in all, and {_RECEPTOR_LOW:.0%} of that in each receptor, is evidence. "
    "See [calibration](calibration.md).",
    needs=_VALUES,
)
def zeros(context: Context) -> Iterator[Observation]:
    """How many weights are exactly zero, and what that says."""
    for group, table in context.tables.items():
        evidence = zero_evidence(context, group)
        shares = ", ".join(f"{name} {share:.1%}" for name, share in evidence.by_receptor.items())
        says = (
            "as in trained networks (which does not show what was learned)"
            if evidence.trained
            else f"which is no evidence of training: {evidence.why_not}"
        )
        yield Observation(
            f"{group}.weight",
            f"{evidence.fraction:.2%} of {len(table):,} weights are exactly zero ({shares}), "
            f"{says}",
            n_bad=0,
            n_seen=len(table),
            observed={
                "fraction_zero": evidence.fraction,
                "by_receptor": evidence.by_receptor,
                "spread": evidence.spread,
                "index_over_targets": evidence.over_targets.index,
                "index_over_sources": evidence.over_sources.index,
                "trained": evidence.trained,
            },
        )


@check(
    "training.few_zeros",
    severity=Severity.WARNING,
    reason="Few exact zeros come of a training that was short, slow or held near the weights it "
    "started from. Whether it was finished no weight shows.",
    calibration=f"Found from {TRAINED_ZEROS:.0%} to {FEW_ZEROS:.0%} of recurrent weights: 2..3 % "
    "after slow or strongly regularised trainings, and after 20 steps of others.",
    needs=_VALUES,
    by_looks=True,
)
def few_zeros(context: Context) -> Iterator[Observation]:
    """Zeros are as many as a finished training leaves."""
    for group, table in context.recurrent.items():
        evidence = zero_evidence(context, group)
        if evidence.trained and evidence.fraction < FEW_ZEROS:
            yield Observation(
                f"{group}.weight",
                f"only {evidence.fraction:.1%} of the weights are exactly zero: training was "
                "short, or held near the weights that it started from",
                "is it the last checkpoint of the training? --checkpoint or --baseline tells more",
                n_bad=int(context.profile(group).n_zero.sum()),
                n_seen=len(table),
            )


@check(
    "training.shuffled",
    severity=Severity.WARNING,
    reason="Gradients differ from cell to cell, so some cells end with many zero weights and "
    "others with few. Where they are even, the weights were shuffled among synapses of the "
    "same cell types, or zeros were put in by hand. Such zeros count as no evidence of training.",
    calibration="Variance of zeros over cells relative to chance: 1.2..3.8 in trained networks "
    "(7..67 standard deviations of chance), 0.9..1.0 once weights are shuffled within pairs of "
    f"cell types (-2..1). Found below {RANDOM_SIGMAS:g} standard deviations, and below "
    f"{SHARE_OF_EXPECTED:.0%} of what a network of that size would show, if that is "
    f"{MIN_EXPECTED_SIGMAS:g} or more.",
    needs=_VALUES,
    by_looks=True,
)
def shuffled(context: Context) -> Iterator[Observation]:
    """Zeros lie on cells as training leaves them, not at random."""
    for group, table in context.recurrent.items():
        evidence = zero_evidence(context, group)
        parts = (evidence.over_targets, evidence.over_sources)
        if not _at_random(*parts):
            continue
        n_zero = int(context.profile(group).n_zero.sum())
        yield Observation(
            f"{group}.weight",
            f"the {n_zero:,} weights that are exactly zero lie on the synapses as if dealt out at "
            f"random: the weights look shuffled among synapses, or their zeros were put in by hand "
            f"(variance over cells {parts[0].index:.2f} of chance for targets, "
            f"{parts[1].index:.2f} for sources; training leaves several times chance)",
            "are weights and edges in the same order? compare with --checkpoint or --baseline, or "
            "convert the checkpoint again",
            n_bad=n_zero,
            n_seen=len(table),
            observed={"index_over_targets": parts[0].index, "index_over_sources": parts[1].index},
        )


# --- parts that were not trained --------------------------------------------------------------


@check(
    "training.partly",
    severity=Severity.ERROR,
    reason="A part of the network without a single zero, where the rest has many, kept or got back "
    "its initial weights.",
    calibration="Zeros relative to those expected from the receptor: at least 0.11 for every "
    f"target type and pair of types in trained networks; found below {ABSENT}, as initial weights "
    f"have none. Cells without any, of those that would have {_EXPECTED_IN_CELL:g}: at most 4 % of "
    "the targets and 1 % of the sources; found above "
    f"{_UNTOUCHED_TARGETS:.0%} and {_UNTOUCHED_SOURCES:.0%}.",
    needs=(*_VALUES, "values.weight_sign", "patterns.blank"),
    consequence=Consequence.PARTLY_TRAINED,
    by_looks=True,
)
def partly(context: Context) -> Iterator[Observation]:
    """No part of a trained network is without zeros."""
    for group in context.recurrent:
        yield from _untouched_parts(context, group)


def _untouched_parts(context: Context, group: str) -> Iterator[Observation]:
    if not _has_zeros_of_training(context, group):
        return
    expected, seen = _zeros_of_pairs(context, group)
    silent = _absent(seen.sum(axis=1), expected.sum(axis=1), _EXPECTED_IN_TYPE)
    untouched = _absent(seen.sum(axis=0), expected.sum(axis=0), _EXPECTED_IN_TYPE)
    yield from _untouched_types(context, group, untouched)
    pairs = _absent(seen, expected, _EXPECTED_IN_PAIR)
    pairs &= ~silent[:, np.newaxis] & ~untouched
    if pairs.any():
        profile = context.profile(group)
        yield Observation(
            f"{group}.weight",
            f"{int(pairs.sum())} pairs of cell types have no zero weights, where "
            f"{expected[pairs].min():.0f} or more were expected: they look like initial weights",
            "compare with --baseline to see what is unchanged, or convert the checkpoint again",
            n_bad=int(profile.n[pairs].sum()),
            n_seen=int(profile.n.sum()),
            examples=tuple(
                f"type {a} -> type {b}: {profile.n[a, b]:,} synapses, none zero"
                for a, b in np.argwhere(pairs)[:5]
            ),
        )
    yield from _untouched_cells(context, group)


def _has_zeros_of_training(context: Context, group: str) -> bool:
    """Whether there are zeros enough, and not at random, whatever parts lack them."""
    evidence = zero_evidence(context, group)
    at_random = _at_random(evidence.over_targets, evidence.over_sources)
    return evidence.fraction >= TRAINED_ZEROS and not at_random


def _zeros_of_pairs(context: Context, group: str) -> tuple[F64, I64]:
    """Zeros that each pair of types would have at its receptor's share, and those it has."""
    profile = context.profile(group)
    n, n_zero = _by_receptor(profile, context.network.receptors.n)
    return profile.n * (n_zero / np.maximum(n, 1))[profile.receptor], profile.n_zero


def _absent(seen: NDArray[np.integer], expected: F64, least: float) -> NDArray[np.bool_]:
    return (expected >= least) & (seen < ABSENT * expected)


def _untouched_types(
    context: Context, group: str, without: NDArray[np.bool_]
) -> Iterator[Observation]:
    if not without.any():
        return
    n = context.profile(group).n.sum(axis=0)
    yield Observation(
        f"{group}.weight",
        f"synapses onto {int(without.sum())} of {without.size} cell types have no zero weights, as "
        "before training, where the rest has them: a part of the network is untrained or was reset",
        "compare with --baseline to see what is unchanged, or convert the checkpoint again",
        n_bad=int(n[without].sum()),
        n_seen=int(n.sum()),
        examples=tuple(
            f"type {i}: {n[i]:,} synapses, none zero" for i in np.flatnonzero(without)[:5]
        ),
    )


def _untouched_cells(context: Context, group: str) -> Iterator[Observation]:
    """Cells without zeros, whatever their types."""
    limits: dict[_End, float] = {"targets": _UNTOUCHED_TARGETS, "sources": _UNTOUCHED_SOURCES}
    for end, zeros_of in _zeros_of_cells(context, group).items():
        limit = limits[end]
        judged = zeros_of.expected >= _EXPECTED_IN_CELL
        without = judged & (zeros_of.seen == 0)
        share = without.sum() / max(judged.sum(), 1)
        if judged.sum() >= 20 and share > limit:
            yield Observation(
                f"{group}.weight",
                f"{int(without.sum()):,} of {int(judged.sum()):,} cells have no zero weight among "
                f"their synapses as {end} ({share:.0%}), where each was expected to have "
                f"{_EXPECTED_IN_CELL:g} or more: a part of the network is untrained or was reset",
                "compare with --baseline to see what is unchanged, or convert the checkpoint again",
                n_bad=int(without.sum()),
                n_seen=int(judged.sum()),
                examples=tuple(f"neuron {i}" for i in np.flatnonzero(without)[:5]),
            )


@check(
    "training.silent_sources",
    severity=Severity.WARNING,
    reason="A cell type whose outgoing synapses have no zeros either never spiked in training or "
    "got its initial weights back; the file cannot tell which.",
    calibration="Zeros among a source type's synapses relative to those expected: at least 0.10 in "
    f"trained networks; found below {ABSENT}.",
    needs=(*_VALUES, "values.weight_sign", "patterns.blank"),
    by_looks=True,
)
def silent_sources(context: Context) -> Iterator[Observation]:
    """Synapses of every source type were trained."""
    for group in context.recurrent:
        if not _has_zeros_of_training(context, group):
            continue
        expected, seen = _zeros_of_pairs(context, group)
        without = _absent(seen.sum(axis=1), expected.sum(axis=1), _EXPECTED_IN_TYPE)
        n = context.profile(group).n.sum(axis=1)
        if not without.any():
            continue
        yield Observation(
            f"{group}.weight",
            f"synapses from {int(without.sum())} of {without.size} cell types have no zero "
            "weights: these cells never spiked in training, or their weights are the initial "
            "ones; the file alone cannot tell",
            "compare with --baseline UNTRAINED.h5 or --checkpoint",
            n_bad=int(n[without].sum()),
            n_seen=int(n.sum()),
            examples=tuple(
                f"type {i}: {n[i]:,} synapses, none zero" for i in np.flatnonzero(without)[:5]
            ),
        )
