"""Spike counts and firing rates.

====================== ==========================================================
`in_window`            which spikes lie in a window
`spike_counts`         spikes of each unit in the window of each trial
`window_s`             length of each trial's window
`mean_rate_hz`         rate of each unit over all windows
`population_rate_hz`   rate of each group of units over the time of a trial
====================== ==========================================================

Elephant's `mean_firing_rate` and `time_histogram` take one SpikeTrain object at
a time, which would be 4 million of them for 52,000 neurons and 80 trials. These
functions work on the arrays; the tests hold them to Elephant's results.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from v1sim.model import SpikeTable, Trial

__all__ = ["in_window", "mean_rate_hz", "population_rate_hz", "spike_counts", "window_s"]

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


def spike_counts(spikes: SpikeTable, trials: Sequence[Trial], n_units: int) -> I64:
    """Spikes of each unit in each trial's window (start included, stop excluded).

    Parameters
    ----------
    spikes : SpikeTable
        Spikes of ``n_units`` units.
    trials : sequence of Trial
        ``trials[i].index`` is i.
    n_units : int
        Silent units included.

    Returns
    -------
    int array, shape (n_trials, n_units)
    """
    window_ms = np.array([trial.window_ms for trial in trials]).reshape(-1, 2)
    start_ms, stop_ms = window_ms[spikes.trial].T
    inside = in_window(spikes.time_ms, start_ms, stop_ms)
    cell = spikes.trial[inside] * np.int64(n_units) + spikes.neuron[inside]
    return np.bincount(cell, minlength=len(trials) * n_units).reshape(len(trials), n_units)


def in_window(time_ms: F64, start_ms: F64 | float, stop_ms: F64 | float) -> NDArray[np.bool_]:
    """Which spikes lie in a window: the one place that says that its end does not belong to it.

    Elephant 1.2's mean_firing_rate, pynwb 4.2's in_interval and pynapple 0.11's count include
    both ends; spikes on a grid do lie on borders.

    Parameters
    ----------
    time_ms : float array, shape (q,)
        Times of spikes.
    start_ms, stop_ms : float, or float array of shape (q,)
        Start (included) and stop (excluded) of the window, or of each spike's own.

    Returns
    -------
    bool array, shape (q,)
    """
    inside: NDArray[np.bool_] = (time_ms >= start_ms) & (time_ms < stop_ms)
    return inside


def window_s(trials: Sequence[Trial]) -> F64:
    """Length of each trial's window in s, shape (n_trials,)."""
    return np.array([trial.window_ms[1] - trial.window_ms[0] for trial in trials]) / 1000.0


def mean_rate_hz(counts: I64, trials: Sequence[Trial]) -> F64:
    """Rate of each unit over the windows of all trials, Hz, shape (n_units,).

    NaN where there is no trial. ``counts`` is that of `spike_counts`.
    """
    total_s = window_s(trials).sum()
    return counts.sum(axis=0) / total_s if total_s else np.full(counts.shape[1], np.nan)


def population_rate_hz(
    spikes: SpikeTable,
    trials: Sequence[Trial],
    group_of_unit: NDArray[np.integer],
    n_groups: int,
    bin_ms: float,
) -> tuple[F64, F64]:
    """Mean rate of each group's units over the time of a trial, averaged over trials.

    Parameters
    ----------
    spikes : SpikeTable
        Spikes of the units.
    trials : sequence of Trial
        The trials to average over; ones of other indices are left out. Where
        trials differ in length, a bin is averaged over those that reach it.
    group_of_unit : int array, shape (n_units,)
        Group of each unit, below ``n_groups``.
    n_groups : int
        Number of groups.
    bin_ms : float
        Width of the bins; the last may be cut by the end of the trials.

    Returns
    -------
    start_ms : float array, shape (n_bins,)
        Start of each bin (included; its end is excluded), from the trial's start.
    rate_hz : float array, shape (n_groups, n_bins)
        NaN for a group without units.
    """
    duration_ms = np.array([trial.duration_ms for trial in trials])
    n_bins = int(np.ceil(duration_ms.max(initial=0.0) / bin_ms))
    start_ms = np.arange(n_bins, dtype=np.float64) * bin_ms
    wanted = np.isin(spikes.trial, [trial.index for trial in trials])
    time_bin = (spikes.time_ms[wanted] / bin_ms).astype(np.int64)
    cell = group_of_unit[spikes.neuron[wanted]] * np.int64(n_bins) + time_bin
    counts = np.bincount(cell, minlength=n_groups * n_bins).reshape(n_groups, n_bins)
    exposure_s = np.clip(duration_ms[:, None] - start_ms, 0.0, bin_ms).sum(axis=0) / 1000.0
    group_size = np.bincount(group_of_unit, minlength=n_groups).astype(np.float64)
    group_size[group_size == 0] = np.nan
    rate_hz: F64 = counts / exposure_s / group_size[:, None]
    return start_ms, rate_hz
