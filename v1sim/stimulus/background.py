"""The background that drives every neuron, as events of one source a step.

Training draws n ~ Binomial(10, 0.1) once a step, shared by all neurons, and adds
``weight * n / 10`` to every receptor's input (Chen, Scherr & Maass 2022,
doi 10.1126/sciadv.abq7592). ``mean`` is the expectation of that, every step.

- `event_weight`: what one event delivers
- `events`: the events of each step
- `poisson_key`: of the random numbers of ``independent_poisson`` inside v1sim's neurons
- `read_draws`: the draws n of a recorded background
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.config_section import InputFile, Section
from v1sim.errors import StimulusError
from v1sim.files.hdf5 import given_hdf5
from v1sim.files.numpy_array import read_array
from v1sim.stimulus.random_streams import stream

__all__ = [
    "DRAWS",
    "PROBABILITY",
    "Background",
    "RecordedBackground",
    "event_weight",
    "events",
    "poisson_key",
    "read_draws",
]

#: What drives the file's background weights; "recorded" is written as ``{recorded: FILE}``.
Background = Literal["none", "mean", "shared_binomial", "independent_poisson", "recorded"]

DRAWS = 10
PROBABILITY = 0.1


class RecordedBackground(Section):
    """Draws that were recorded elsewhere (`read_draws`)."""

    recorded: InputFile


def event_weight(background: Background) -> float:
    """What one event of the source delivers, as a part of the file's background weight.

    That of ``mean`` is the float32 that training multiplies by.
    """
    return float(np.float32(PROBABILITY)) if background == "mean" else 1.0 / DRAWS


def events(
    background: Background,
    n_steps: int,
    seed: int,
    trial: int,
    draws: NDArray[np.int64] | None = None,
    first_step: int = 0,
) -> NDArray[np.int64]:
    """Events of the one background source in each step of a trial, shape (n_steps,).

    Parameters
    ----------
    background : {"none", "mean", "shared_binomial", "independent_poisson", "recorded"}
        ``independent_poisson`` is drawn inside NEST, for each neuron and receptor: no events here.
    n_steps : int
        Steps of the trial.
    seed, trial : int
        Which random stream.
    draws : int array, shape (trials, steps), optional
        The recorded ones, of this run's steps.
    first_step : int, optional
        Step of the trial's random stream with which to begin: that of a trial that goes on.
    """
    if background == "mean":
        return np.ones(n_steps, dtype=np.int64)
    if background == "shared_binomial":
        drawn = stream(seed, "background", trial).binomial(DRAWS, PROBABILITY, first_step + n_steps)
        return drawn[first_step:]
    if background == "recorded":
        if draws is None:
            msg = "a recorded background needs its draws"
            raise ValueError(msg)
        return draws[trial, :n_steps]
    return np.zeros(n_steps, dtype=np.int64)


def poisson_key(seed: int, trial: int) -> int:
    """Key of the events that each neuron of ``training`` draws for itself in a trial, 64 bits."""
    return int(stream(seed, "background", trial).integers(2**64, dtype=np.uint64))


def read_draws(path: Path, n_steps: Sequence[int]) -> NDArray[np.int64]:
    """Draws of a recorded background, shape (trials, steps).

    Parameters
    ----------
    path : Path
        A NumPy file (.npy), or an HDF5 file with the dataset ``draws``: whole numbers from 0
        to `DRAWS`, of shape [trials, steps], or [steps] if every trial has the same.
    n_steps : sequence of int
        Steps of each trial that is to be run; there may be more draws than that.

    Raises
    ------
    StimulusError
        If the file holds anything else, or too few.
    """
    values = _stored_draws(path)
    expected = f"whole numbers from 0 to {DRAWS} of shape [steps] or [trials, steps]"
    if values.ndim not in (1, 2) or values.dtype.kind not in "iuf":
        seen = f"shape {values.shape} of {values.dtype}"
        raise StimulusError(seen, where=str(path), expected=expected)
    wrong = ~((values >= 0) & (values <= DRAWS) & (values == np.floor(values)))
    if wrong.any():
        seen = f"{np.count_nonzero(wrong)} of {wrong.size} values, for example {values[wrong][0]}"
        raise StimulusError(seen, where=str(path), expected=expected)
    longest = max(n_steps, default=0)
    if values.shape[-1] < longest or (values.ndim == 2 and len(values) < len(n_steps)):
        raise StimulusError(
            f"draws of shape {values.shape}",
            where=str(path),
            expected=f"for {len(n_steps)} trials of up to {longest} steps",
        )
    shape = (len(n_steps), values.shape[-1])
    return np.broadcast_to(values[: len(n_steps)] if values.ndim == 2 else values, shape).astype(
        np.int64
    )


def _stored_draws(path: Path) -> NDArray[Any]:
    expected = "a .npy file, or HDF5 with the dataset 'draws'"
    if path.suffix == ".npy":
        return read_array(path, error=StimulusError, expected=expected)
    with given_hdf5(path, error=StimulusError, expected=expected) as file:
        data = file.dataset("draws")
        if data is None:
            raise file.missing("draws")
        return file.read(data)
