"""Spikes and voltages of two runs on the same input, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SpikeAgreement", "VoltageAgreement", "compare_spikes", "compare_voltages"]


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
