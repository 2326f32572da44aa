"""Array conversions between the file's units, training's and NEST's, and the time grid.

A weight is *normalised* in the network file: its physical size in pA divided by
the voltage scale ``V_th - E_L`` (mV) of the **target** neuron.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GRID_TOLERANCE_STEPS",
    "on_time_grid",
    "to_normalised",
    "to_pa",
    "to_steps",
]

F64 = NDArray[np.float64]

#: A float32 delay of up to 100 steps is exact to 4e-6 steps; ten times that is
#: still far from any value that somebody meant.
GRID_TOLERANCE_STEPS = 1e-4


def to_pa(weight: NDArray[np.floating], post: NDArray[np.integer], voltage_scale_mv: F64) -> F64:
    """Physical weight in pA of normalised weights.

    Parameters
    ----------
    weight : float array, shape (n_synapses,)
        Normalised weight, pA/mV.
    post : int array, shape (n_synapses,)
        Target neuron of each synapse.
    voltage_scale_mv : float array, shape (n_neurons,)
        ``V_th - E_L`` of each neuron.
    """
    return np.multiply(weight, np.take(voltage_scale_mv, post), dtype=np.float64)


def to_normalised(
    weight_pa: NDArray[np.floating], post: NDArray[np.integer], voltage_scale_mv: F64
) -> F64:
    """Inverse of `to_pa`."""
    return np.divide(weight_pa, np.take(voltage_scale_mv, post), dtype=np.float64)


def on_time_grid(time_ms: NDArray[np.floating], dt_ms: float) -> NDArray[np.bool_]:
    """Whether each time is a whole number of steps, within `GRID_TOLERANCE_STEPS`."""
    steps = np.asarray(time_ms, dtype=np.float64) / dt_ms
    with np.errstate(invalid="ignore"):  # inf - inf: not on the grid
        return np.abs(steps - np.rint(steps)) <= GRID_TOLERANCE_STEPS


def to_steps(time_ms: NDArray[np.floating], dt_ms: float) -> NDArray[np.int64]:
    """Times in whole steps.

    Raises
    ------
    ValueError
        If a time is not on the grid.
    """
    on_grid = on_time_grid(time_ms, dt_ms)
    if not on_grid.all():
        bad = np.asarray(time_ms)[~on_grid]
        msg = f"{bad.size} times are not multiples of {dt_ms} ms, for example {bad[0]} ms"
        raise ValueError(msg)
    return np.rint(np.asarray(time_ms, dtype=np.float64) / dt_ms).astype(np.int64)
