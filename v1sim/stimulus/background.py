"""The background that drives every neuron, as events of one source a step.

Training draws n ~ Binomial(10, 0.1) once a step, shared by all neurons, and adds
``bkg_weights * n / 10`` to every receptor's input (Chen, Scherr & Maass 2022,
doi 10.1126/sciadv.abq7592). ``mean`` is the expectation of that, every step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from v1sim.config import Background
from v1sim.stimulus.random_streams import stream

__all__ = ["DRAWS", "PROBABILITY", "event_weight", "events"]

DRAWS = 10
PROBABILITY = 0.1


def event_weight(background: Background) -> float:
    """What one event of the source delivers, as a part of the file's background weight.

    That of ``mean`` is the float32 that training multiplies by.
    """
    return float(np.float32(PROBABILITY)) if background == "mean" else 1.0 / DRAWS


def events(background: Background, n_steps: int, seed: int, trial: int) -> NDArray[np.int64]:
    """Events of the one background source in each step of a trial, shape (n_steps,).

    Parameters
    ----------
    background : {"none", "mean", "shared_binomial", "independent_poisson"}
        ``independent_poisson`` is drawn inside NEST, for each neuron and receptor: no events here.
    n_steps : int
        Steps of the trial.
    seed, trial : int
        Which random stream.
    """
    if background == "mean":
        return np.ones(n_steps, dtype=np.int64)
    if background == "shared_binomial":
        return stream(seed, "background", trial).binomial(DRAWS, PROBABILITY, n_steps)
    return np.zeros(n_steps, dtype=np.int64)
