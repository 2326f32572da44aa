"""Direction or orientation tuning of each neuron, and what was published for the Billeh column.

===================== ===========================================================
`direction_tuning`    mean rates by direction, OSI, DSI, preferred direction
`aligned_curves`      rates by direction from each neuron's preferred one
`PUBLISHED_TUNING`    the same figures of the published column, by class
`published_tuning`    the published figures to set beside one of our classes
===================== ===========================================================

Elephant has no measure of orientation or direction tuning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.analysis.rates import window_s
from v1sim.model import Trial

__all__ = [
    "PUBLISHED_TUNING",
    "DirectionTuning",
    "PublishedTuning",
    "aligned_curves",
    "direction_tuning",
    "published_tuning",
]

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DirectionTuning:
    """Tuning of n neurons over d directions of drift, or orientations of static gratings.

    Attributes
    ----------
    axis : {"direction", "orientation"}
        What was shown. Orientations have no direction selectivity: ``dsi`` is NaN.
    like_published : bool
        Whether the published figures are for such trials: one contrast, drifting.
    direction_deg : float array, shape (d,)
        Directions (or orientations) shown, ascending.
    n_repeats : int array, shape (d,)
        Trials of each direction.
    rate_hz : float array, shape (d, n)
        Mean rate over the repeats of each direction.
    osi, dsi : float array, shape (n,)
        Orientation and direction selectivity index, 0 to 1; NaN for neurons
        without a spike.
    preferred_deg : float array, shape (n,)
        Direction of the highest mean rate (the first, if several are equal);
        NaN for neurons without a spike.
    untuned_osi, untuned_dsi : float
        What a neuron of equal rates would score with these directions: 0 if
        they are spread evenly.
    """

    axis: Literal["direction", "orientation"]
    like_published: bool
    direction_deg: F64
    n_repeats: I64
    rate_hz: F64
    osi: F64
    dsi: F64
    preferred_deg: F64
    untuned_osi: float
    untuned_dsi: float

    def __post_init__(self) -> None:
        for column in fields(self):
            value = getattr(self, column.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False


@dataclass(frozen=True, eq=False)
class _Shown:
    """Trials that tuning is read from, the angles, and which of them each trial showed."""

    axis: Literal["direction", "orientation"]
    like_published: bool
    trial: list[int]
    angle_deg: F64
    which: I64


def _shown(trials: Sequence[Trial]) -> _Shown:
    """Trials of directions, or else of orientations, at the highest contrast."""
    stimuli = [trial.stimulus for trial in trials]
    moving = any("direction_deg" in stimulus for stimulus in stimuli)
    key = "direction_deg" if moving else "orientation_deg"
    chosen = [i for i, stimulus in enumerate(stimuli) if key in stimulus]
    contrast = {i: float(stimuli[i].get("contrast", 1.0)) for i in chosen}
    highest = max(contrast.values(), default=1.0)
    chosen = [i for i in chosen if contrast[i] == highest]
    angles = np.array([float(stimuli[i][key]) for i in chosen])
    angle_deg, which = np.unique(angles, return_inverse=True)
    return _Shown(
        axis="direction" if moving else "orientation",
        like_published=moving and len(set(contrast.values())) == 1,
        trial=chosen,
        angle_deg=angle_deg,
        which=which,
    )


def _mean_by(group: I64, n_groups: int) -> F64:
    """Matrix (n_groups, len(group)) that takes the mean of each group's rows."""
    member = group == np.arange(n_groups)[:, None]
    return member / member.sum(axis=1, keepdims=True)


def _selectivity(rate_hz: F64, angle_rad: F64) -> F64:
    """``|sum r e^(i angle)| / sum r`` over the first axis; NaN where the sum is 0."""
    total = rate_hz.sum(axis=0)
    vector = np.abs(np.tensordot(np.exp(1j * angle_rad), rate_hz, axes=1))
    return np.divide(vector, total, out=np.full(total.shape, np.nan), where=total > 0)


def direction_tuning(counts: I64, trials: Sequence[Trial]) -> DirectionTuning | None:
    """Tuning from spike counts of trials that showed a direction, or else an orientation.

    If contrast varies, only the trials at the highest contrast are used. With r the mean rate over
    the repeats of direction theta, OSI is ``|sum r e^(2i theta)| / sum r`` and DSI
    ``|sum r e^(i theta)| / sum r`` (the global indices, 1 - circular variance; Billeh et
    al. 2020, doi 10.1016/j.neuron.2020.01.040). Both are biased upwards for neurons of few
    spikes: one spike alone scores 1.

    Parameters
    ----------
    counts : int array, shape (n_trials, n)
        Spikes in the trials' windows (`v1sim.analysis.rates.spike_counts`).
    trials : sequence of Trial
        Those without ``direction_deg`` (``orientation_deg``, if none has a direction) in
        their stimulus are left out.

    Returns
    -------
    DirectionTuning or None
        None with fewer than three directions, for which the indices mean nothing.
    """
    shown = _shown(trials)
    n_directions = len(shown.angle_deg)
    if n_directions < 3:
        return None
    rate_of_trial = counts[shown.trial] / window_s(trials)[shown.trial, None]
    rate_hz = _mean_by(shown.which, n_directions) @ rate_of_trial
    theta = np.deg2rad(shown.angle_deg)
    equal = np.ones(n_directions)
    silent = ~rate_hz.any(axis=0)
    moving = shown.axis == "direction"
    return DirectionTuning(
        axis=shown.axis,
        like_published=shown.like_published,
        direction_deg=shown.angle_deg,
        n_repeats=np.bincount(shown.which, minlength=n_directions),
        rate_hz=rate_hz,
        osi=_selectivity(rate_hz, 2 * theta),
        dsi=_selectivity(rate_hz, theta) if moving else np.full(rate_hz.shape[1], np.nan),
        preferred_deg=np.where(silent, np.nan, shown.angle_deg[rate_hz.argmax(axis=0)]),
        untuned_osi=float(_selectivity(equal, 2 * theta)),
        untuned_dsi=float(_selectivity(equal, theta)) if moving else 0.0,
    )


def aligned_curves(counts: I64, trials: Sequence[Trial]) -> tuple[F64, F64] | None:
    """Rate of each neuron by direction from its preferred one.

    The preferred direction is found on every second repeat and the rates are
    those of the others: with the same trials for both, noise alone would make a
    peak. Neurons silent in the first half get NaN.

    Parameters
    ----------
    counts, trials
        As in `direction_tuning`.

    Returns
    -------
    offset_deg : float array, shape (d,)
        From the preferred direction, ascending, in (-180, 180] (orientations: (-90, 90]).
    rate_hz : float array, shape (d, n)
        None instead of both, if a direction has but one trial or the
        directions (three or more) are not spread evenly over the circle.
    """
    shown = _shown(trials)
    which, n_directions = shown.which, len(shown.angle_deg)
    step = (360.0 if shown.axis == "direction" else 180.0) / max(n_directions, 1)
    if n_directions < 3 or not np.allclose(np.diff(shown.angle_deg), step):
        return None
    if np.bincount(which).min() < 2:
        return None
    repeat = (np.tril(which[:, None] == which, -1)).sum(axis=1)  # 0, 1, ... within a direction
    rate_of_trial = counts[shown.trial] / window_s(trials)[shown.trial, None]
    finding, showing = (
        _mean_by(which[half], n_directions) @ rate_of_trial[half]
        for half in (repeat % 2 == 0, repeat % 2 == 1)
    )
    turn = np.arange(n_directions) - (n_directions - 1) // 2
    row = (finding.argmax(axis=0) + turn[:, None]) % n_directions
    rate_hz = np.take_along_axis(showing, row, axis=0)
    rate_hz[:, ~finding.any(axis=0)] = np.nan
    return turn.astype(np.float64) * step, rate_hz


@dataclass(frozen=True)
class PublishedTuning:
    """Median OSI and DSI, mean rate, and number of neurons of one published class."""

    name: str
    median_osi: float
    median_dsi: float
    mean_rate_hz: float
    n: int


#: The Billeh column on drifting gratings (8 directions, 10 repeats, 2 Hz), neurons without a
#: spike left out. Billeh et al. 2020, doi 10.1016/j.neuron.2020.01.040; medians and means over
#: the neurons in the table of simulated responses of github.com/JavierGalvan9/V1_GLIF_model.
#: "e4", "e5", "i4" and so on pool the published classes of that layer.
PUBLISHED_TUNING = MappingProxyType(
    {
        row[0]: PublishedTuning(*row)
        for row in (
            ("i1Htr3a", 0.053, 0.039, 5.10, 586),
            ("e23Cux2", 0.319, 0.152, 1.73, 11456),
            ("i23", 0.096, 0.130, 7.72, 1650),
            ("i23Htr3a", 0.067, 0.081, 6.63, 546),
            ("i23Pvalb", 0.114, 0.149, 8.54, 640),
            ("i23Sst", 0.086, 0.126, 7.86, 464),
            ("e4", 0.273, 0.164, 2.07, 9276),
            ("e4Nr5a1", 0.292, 0.178, 1.81, 1203),
            ("e4Rorb", 0.381, 0.240, 1.85, 1961),
            ("e4Scnn1a", 0.241, 0.136, 2.18, 2903),
            ("e4other", 0.263, 0.166, 2.21, 3209),
            ("i4", 0.105, 0.134, 6.27, 1648),
            ("i4Htr3a", 0.148, 0.238, 2.20, 270),
            ("i4Pvalb", 0.087, 0.097, 8.76, 963),
            ("i4Sst", 0.249, 0.367, 3.15, 415),
            ("e5", 0.318, 0.190, 3.55, 5957),
            ("e5Rbp4", 0.339, 0.202, 3.24, 4527),
            ("e5noRbp4", 0.244, 0.139, 4.56, 1430),
            ("i5", 0.198, 0.191, 5.03, 823),
            ("i5Htr3a", 0.269, 0.491, 1.56, 45),
            ("i5Pvalb", 0.157, 0.126, 6.88, 520),
            ("i5Sst", 0.294, 0.372, 1.91, 258),
            ("e6Ntsr1", 0.239, 0.170, 3.71, 12594),
            ("i6", 0.131, 0.212, 8.06, 2100),
            ("i6Htr3a", 0.315, 0.391, 4.79, 186),
            ("i6Pvalb", 0.115, 0.201, 11.05, 989),
            ("i6Sst", 0.153, 0.223, 5.53, 925),
        )
    }
)

#: Our class -> the published class that comes nearest where the names differ. Vip cells are
#: most, not all, of the Htr3a class; IT, ET and NP cells cut layer 5 otherwise than Rbp4 does.
_NEAREST = {
    "i1": "i1Htr3a",
    "e23": "e23Cux2",
    "i23Vip": "i23Htr3a",
    "i4Vip": "i4Htr3a",
    "e5IT": "e5",
    "e5ET": "e5",
    "e5NP": "e5",
    "i5Vip": "i5Htr3a",
    "e6": "e6Ntsr1",
    "i6Vip": "i6Htr3a",
}


def published_tuning(class_name: str) -> PublishedTuning | None:
    """Published figures for a class, or those of the nearest published class (see its name)."""
    return PUBLISHED_TUNING.get(_NEAREST.get(class_name, class_name))
