"""Classification by groups of readout neurons, as training reads the network out.

Every class has a group of neurons; the group with most spikes in the response
window is the decision. Training takes the first of several equal groups.

================== =========================================================
`classify`         votes, decisions and accuracy of a recording
`labels`           what each trial showed
`votes`            spikes of each group in a window of each trial
`accuracy_curve`   accuracy with the window moved over the trial
`wilson_interval`  95 % confidence interval of a proportion
================== =========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v1sim.analysis.rates import in_window
from v1sim.model import SpikeTable, Trial

__all__ = [
    "Classification",
    "accuracy_curve",
    "classify",
    "labels",
    "votes",
    "wilson_interval",
]

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

#: Quantile of the normal distribution for 95 %.
_Z = 1.959963984540054
#: Windows of the curve: one each this part of the window's width.
_CURVE_STEP = 0.2


@dataclass(frozen=True, eq=False)
class Classification:
    """Decisions of n trials among c classes.

    Attributes
    ----------
    window_ms : (float, float)
        Response window: start included, stop excluded.
    label, decision : int array, shape (n,)
        What was shown, and the class with most votes.
    votes : int array, shape (n, c)
        Spikes of each group in the window.
    n_undecided : int
        Trials in which several classes had most votes, silent ones included.
    accuracy : float
        Fraction of right decisions.
    interval : (float, float)
        Its 95 % confidence interval (Wilson).
    confusion : int array, shape (c, c)
        Trials by label (row) and decision (column).
    curve_start_ms, curve_accuracy : float array, shape (w,)
        Accuracy with the window, as wide as it is, starting elsewhere.
    """

    window_ms: tuple[float, float]
    label: I64
    decision: I64
    votes: I64
    n_undecided: int
    accuracy: float
    interval: tuple[float, float]
    confusion: I64
    curve_start_ms: F64
    curve_accuracy: F64

    @property
    def best_start_ms(self) -> float:
        """Start of the window with the highest accuracy, the first of several."""
        return float(self.curve_start_ms[np.argmax(self.curve_accuracy)])


def classify(
    spikes: SpikeTable, trials: Sequence[Trial], groups: Sequence[NDArray[np.integer]]
) -> Classification | None:
    """Classify each trial; None without groups, or where trials do not all have a label.

    Parameters
    ----------
    spikes : SpikeTable
        Spikes of the neurons.
    trials : sequence of Trial
        With ``label`` in their stimulus, and one window for all.
    groups : sequence of int array
        Neurons of each class, in the order of the classes.

    Raises
    ------
    ValueError
        If a label is no class, or windows differ.
    """
    label = labels(trials, len(groups))
    if label is None:
        return None
    window_ms = trials[0].window_ms
    counts = votes(spikes, len(trials), groups, window_ms)
    decision = counts.argmax(axis=1)
    n_right = int(np.count_nonzero(decision == label))
    n_classes = len(groups)
    confusion = np.bincount(label * n_classes + decision, minlength=n_classes**2)
    start_ms, accuracy = accuracy_curve(spikes, trials, groups, label)
    return Classification(
        window_ms=window_ms,
        label=label,
        decision=decision,
        votes=counts,
        n_undecided=int(np.count_nonzero((counts == counts.max(axis=1)[:, None]).sum(axis=1) > 1)),
        accuracy=n_right / len(trials),
        interval=wilson_interval(n_right, len(trials)),
        confusion=confusion.reshape(n_classes, n_classes),
        curve_start_ms=start_ms,
        curve_accuracy=accuracy,
    )


def labels(trials: Sequence[Trial], n_classes: int) -> I64 | None:
    """Label of each trial, shape (n,); None if trials without label or classes are there.

    Raises
    ------
    ValueError
        If a label is no class, or trials have different windows.
    """
    given = [trial.stimulus.get("label") for trial in trials]
    if not n_classes or not given or any(not isinstance(label, int) for label in given):
        return None
    label = np.array(given, dtype=np.int64)
    outside = label[(label < 0) | (label >= n_classes)]
    if outside.size:
        msg = f"label {outside[0]}, but the readout has {n_classes} classes"
        raise ValueError(msg)
    n_windows = len({trial.window_ms for trial in trials})
    if n_windows != 1:
        msg = f"{n_windows} different response windows"
        raise ValueError(msg)
    return label


def votes(
    spikes: SpikeTable,
    n_trials: int,
    groups: Sequence[NDArray[np.integer]],
    window_ms: tuple[float, float],
) -> I64:
    """Spikes of each group in a window of each trial, shape (n_trials, classes)."""
    total = np.zeros((n_trials, len(groups)), dtype=np.int64)
    inside = in_window(spikes.time_ms, *window_ms)
    trial, neuron = spikes.trial[inside], spikes.neuron[inside]
    for index, group in enumerate(groups):
        mine = np.isin(neuron, group)
        total[:, index] = np.bincount(trial[mine], minlength=n_trials)
    return total


def accuracy_curve(
    spikes: SpikeTable,
    trials: Sequence[Trial],
    groups: Sequence[NDArray[np.integer]],
    label: I64,
) -> tuple[F64, F64]:
    """Accuracy against the start of the window.

    Returns
    -------
    start_ms, accuracy : float array, shape (w,)
        From the start of the trial to the last whole window in a fifth of its width; the
        response window itself is one of them.
    """
    start_ms, stop_ms = trials[0].window_ms
    width_ms = stop_ms - start_ms
    last_ms = min(trial.duration_ms for trial in trials) - width_ms
    step_ms = max(width_ms * _CURVE_STEP, 1.0)
    starts = start_ms + step_ms * np.arange(
        -np.floor(start_ms / step_ms), np.floor((last_ms - start_ms) / step_ms) + 1
    )
    readout = np.isin(spikes.neuron, np.concatenate(groups))
    heard = SpikeTable(spikes.trial[readout], spikes.neuron[readout], spikes.time_ms[readout])
    accuracy = [
        np.mean(votes(heard, len(trials), groups, (s, s + width_ms)).argmax(axis=1) == label)
        for s in starts
    ]
    return starts, np.array(accuracy)


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """95 % confidence interval of a proportion, Wilson 1927, doi 10.1080/01621459.1927.10502953."""
    if n == 0:
        return 0.0, 1.0
    p = n_right / n
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    # Rounding must not put the interval of 0 or 1 beside it.
    return min(p, max(0.0, float(centre - half))), max(p, min(1.0, float(centre + half)))
