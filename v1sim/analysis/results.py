"""What one recording shows: rates and tuning by neuron and by class, and decisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v1sim.analysis.rates import mean_rate_hz, spike_counts
from v1sim.analysis.readout import Classification, classify
from v1sim.analysis.tuning import DirectionTuning, aligned_curves, direction_tuning
from v1sim.cell_classes import CellClasses
from v1sim.recording import Recording

__all__ = ["ClassResult", "Results", "analyse"]

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class ClassResult:
    """Results of one class. Medians are over neurons that spiked; NaN where there are none."""

    name: str
    is_excitatory: bool
    n: int
    n_silent: int
    mean_rate_hz: float
    median_rate_hz: float
    median_osi: float = np.nan
    median_dsi: float = np.nan


@dataclass(frozen=True, eq=False)
class Results:
    """Results of one recording.

    ``rate_hz`` (n,) and ``lgn_rate_hz`` (n_lgn,) are over the windows of all
    trials, the latter NaN where the input was analog; ``tuning`` is None for a run without
    directions, ``aligned`` (see `v1sim.analysis.tuning.aligned_curves`) also for one without
    repeats, ``classification`` for one without labels or readout groups.
    """

    rate_hz: F64
    lgn_rate_hz: F64
    classes: tuple[ClassResult, ...]
    tuning: DirectionTuning | None
    aligned: tuple[F64, F64] | None
    classification: Classification | None = None

    def __post_init__(self) -> None:
        self.rate_hz.flags.writeable = False
        self.lgn_rate_hz.flags.writeable = False


def analyse(recording: Recording) -> Results:
    """Rates of all neurons, their tuning if the trials showed directions, decisions on labels.

    Decisions need the neurons of each class in the recording's annotation ``readout``.
    """
    readout = [
        np.array(group, dtype=np.int64) for group in recording.annotations.get("readout", ())
    ]
    trials = recording.trials
    counts = spike_counts(recording.spikes, trials, recording.n_neurons)
    rate_hz = mean_rate_hz(counts, trials)
    tuning = direction_tuning(counts, trials)
    return Results(
        rate_hz=rate_hz,
        lgn_rate_hz=np.full(recording.n_lgn, np.nan)
        if recording.analog_input
        else mean_rate_hz(spike_counts(recording.lgn_spikes, trials, recording.n_lgn), trials),
        classes=_by_class(recording.classes, rate_hz, tuning),
        tuning=tuning,
        aligned=aligned_curves(counts, trials),
        classification=classify(recording.spikes, trials, readout),
    )


def _median(values: F64) -> float:
    values = values[~np.isnan(values)]
    return float(np.median(values)) if values.size else np.nan


def _by_class(
    classes: CellClasses, rate_hz: F64, tuning: DirectionTuning | None
) -> tuple[ClassResult, ...]:
    """One result for each class that has neurons."""
    rows = []
    for name, is_excitatory in zip(classes.names, classes.is_excitatory, strict=True):
        members = classes.ids(name)
        if not members.size:
            continue
        rates = rate_hz[members]
        rows.append(
            ClassResult(
                name=name,
                is_excitatory=bool(is_excitatory),
                n=members.size,
                n_silent=int(np.count_nonzero(rates == 0)),
                mean_rate_hz=float(rates.mean()),
                median_rate_hz=_median(rates[rates > 0]),
                median_osi=_median(tuning.osi[members]) if tuning else np.nan,
                median_dsi=_median(tuning.dsi[members]) if tuning else np.nan,
            )
        )
    return tuple(rows)
