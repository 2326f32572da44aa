"""Spikes and voltages of two runs on the same input, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v1sim.model import SpikeTable

__all__ = [
    "SpikeAgreement",
    "VoltageAgreement",
    "compare_spike_tables",
    "compare_spikes",
    "compare_voltages",
]


@dataclass(frozen=True)
class SpikeAgreement:
    """How the spikes of one trial agree with the true ones.

    ``n_equal`` are those of the same neuron in the same step; ``first_step`` and
    ``first_neuron`` say where the two part, None where they never do.
    """

    n_truth: int
    n_equal: int
    n_missing: int
    n_extra: int
    first_step: int | None
    first_neuron: int | None


def compare_spikes(
    truth: NDArray[np.bool_], found: NDArray[np.bool_]
) -> tuple[SpikeAgreement, ...]:
    """Compare trial by trial.

    Parameters
    ----------
    truth, found : bool array, shape (trials, steps, n)
        Where each neuron spiked.
    """
    if truth.shape != found.shape:
        msg = f"spikes of shape {truth.shape} cannot be compared with {found.shape}"
        raise ValueError(msg)
    return tuple(_compare_trial(t, f) for t, f in zip(truth, found, strict=True))


def _compare_trial(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> SpikeAgreement:
    step, neuron = np.nonzero(truth != found)
    return SpikeAgreement(
        n_truth=int(np.count_nonzero(truth)),
        n_equal=int(np.count_nonzero(truth & found)),
        n_missing=int(np.count_nonzero(truth & ~found)),
        n_extra=int(np.count_nonzero(found & ~truth)),
        first_step=int(step[0]) if step.size else None,
        first_neuron=int(neuron[0]) if step.size else None,
    )


def compare_spike_tables(
    truth: SpikeTable, found: SpikeTable, *, n_trials: int, n_neurons: int, dt_ms: float
) -> tuple[SpikeAgreement, ...]:
    """The same of spikes that are listed, trial by trial.

    Parameters
    ----------
    truth, found : SpikeTable
        Spikes in the same steps of ``dt_ms``; a neuron has at most one in a step.
    n_trials, n_neurons : int
        Of both.
    dt_ms : float
        Time step.
    """
    steps = [np.rint(table.time_ms / dt_ms).astype(np.int64) for table in (truth, found)]
    n_steps = 1 + max((int(step.max()) for step in steps if step.size), default=0)
    true, other = (
        (table.trial * np.int64(n_steps) + step) * n_neurons + table.neuron
        for table, step in zip((truth, found), steps, strict=True)
    )
    equal = np.intersect1d(true, other)
    one_sided = np.setxor1d(true, other)
    size = n_steps * n_neurons
    counts = [np.bincount(keys // size, minlength=n_trials) for keys in (true, other, equal)]
    trial, first = np.unique(one_sided // size, return_index=True)  # ascending: the first of each
    parted = dict(zip(trial.tolist(), (one_sided[first] % size).tolist(), strict=True))
    agreements = []
    for i, (n_true, n_found, n_equal) in enumerate(
        zip(*map(np.ndarray.tolist, counts), strict=True)
    ):
        at = parted.get(i)
        agreements.append(
            SpikeAgreement(
                n_truth=n_true,
                n_equal=n_equal,
                n_missing=n_true - n_equal,
                n_extra=n_found - n_equal,
                first_step=None if at is None else at // n_neurons,
                first_neuron=None if at is None else at % n_neurons,
            )
        )
    return tuple(agreements)


@dataclass(frozen=True)
class VoltageAgreement:
    """How the voltages of one trial agree with the true ones.

    ``n_equal`` of ``n`` are the same float32. ``largest`` is the largest difference in the
    unit given, None where there are no voltages.
    """

    n: int
    n_equal: int
    largest: float | None


def compare_voltages(
    truth: NDArray[np.float32], found: NDArray[np.float32]
) -> tuple[VoltageAgreement, ...]:
    """Compare trial by trial.

    Parameters
    ----------
    truth, found : float32 array, shape (trials, steps, m)
    """
    if truth.shape != found.shape:
        msg = f"voltages of shape {truth.shape} cannot be compared with {found.shape}"
        raise ValueError(msg)
    difference = np.abs(np.subtract(truth, found, dtype=np.float64)).reshape(len(truth), -1)
    return tuple(
        VoltageAgreement(
            row.size, int(np.count_nonzero(row == 0)), float(row.max()) if row.size else None
        )
        for row in difference
    )
