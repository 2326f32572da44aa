"""Array conversions between the file's units, training's and NEST's, and the time grid.

A weight is *normalised* in the network file: its physical size in pA divided by
the voltage scale ``V_th - E_L`` (mV) of the **target** neuron.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GRID_TOLERANCE_STEPS",
    "MODEL_STEP_MS",
    "delay_steps",
    "divides_model_step",
    "on_time_grid",
    "peak_of_sum_mv_per_pa",
    "peak_psp_mv_per_pa",
    "stamp_steps",
    "to_pa",
    "to_steps",
]

F64 = NDArray[np.float64]

#: The step of the published training, and of all that is given in it: delays of a checkpoint, LGN
#: rates and probabilities, films, draws of the background. A simulation may take shorter steps.
MODEL_STEP_MS = 1.0
#: NEST counts time in whole multiples of this.
_TIC_MS = 0.001
_TICS_PER_MS = 1000.0
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


def divides_model_step(dt_ms: float) -> bool:
    """Whether a time step can be simulated: `MODEL_STEP_MS` by a whole number, and NEST has it."""
    if not _TIC_MS <= dt_ms <= MODEL_STEP_MS:
        return False
    return all(abs(n - round(n)) < 1e-6 for n in (MODEL_STEP_MS / dt_ms, dt_ms / _TIC_MS))


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
    exact = np.asarray(time_ms, dtype=np.float64) / dt_ms
    steps = np.rint(exact)
    with np.errstate(invalid="ignore"):  # inf - inf: not on the grid
        on_grid = np.abs(exact - steps) <= GRID_TOLERANCE_STEPS
    if not on_grid.all():
        bad = np.asarray(time_ms)[~on_grid]
        msg = f"{bad.size} times are not multiples of {dt_ms} ms, for example {bad[0]} ms"
        raise ValueError(msg)
    return steps.astype(np.int64)


def delay_steps(delay_ms: NDArray[np.floating], dt_ms: float) -> NDArray[np.int64]:
    """Whole steps of delays as NEST counts them: the nearest, halves up.

    A delay of less than half a step becomes 0, which NEST refuses.
    """
    steps_per_ms = 1.0 / (round(dt_ms / _TIC_MS) / _TICS_PER_MS)
    steps = np.floor(np.asarray(delay_ms, dtype=np.float64) * steps_per_ms + 0.5)
    return steps.astype(np.int64)


def stamp_steps(time_ms: NDArray[np.floating], dt_ms: float) -> NDArray[np.int64]:
    """The step whose stamp NEST gives to a spike at a time: the first that is not before it.

    A time is taken as the number that it is, and a step's end as NEST computes it, operation by
    operation (``Time::fromstamp``): one rounding moves a spike by a step.
    """
    time_ms = np.asarray(time_ms, dtype=np.float64)
    tics_per_step = round(dt_ms / _TIC_MS)
    steps = (time_ms * _TICS_PER_MS).astype(np.int64) // tics_per_step
    end_ms = steps * tics_per_step * (1.0 / tics_per_step) * (tics_per_step / _TICS_PER_MS)
    steps += end_ms < time_ms
    return steps


def peak_psp_mv_per_pa(c_m_pf: F64, g_ns: F64, tau_syn_ms: F64) -> F64:
    """Peak of the postsynaptic potential that an alpha current of 1 pA peak gives, mV/pA.

    The maximum over time of the solution of ``C dV/dt = -g V + (t / tau) exp(1 - t / tau)``
    from rest, within 0.01 %.

    Parameters
    ----------
    c_m_pf, g_ns : float arrays, shape (n_types,)
        Capacitance in pF and leak conductance in nS, both > 0.
    tau_syn_ms : float array, shape (n_types, n_receptors)
        Synaptic time constants in ms, > 0.

    Returns
    -------
    float array, shape (n_types, n_receptors)
    """
    tau = tau_syn_ms[..., np.newaxis]
    tau_m = (c_m_pf / g_ns)[:, np.newaxis, np.newaxis]
    # The peak lies between a fraction of and a few times the two time constants.
    time_ms = (tau + tau_m) * _TIMES
    c_m = c_m_pf[:, np.newaxis, np.newaxis]
    peak: F64 = _alpha_response(time_ms, c_m, tau_m, tau).max(axis=-1)
    return peak


def peak_of_sum_mv_per_pa(
    c_m_pf: F64, g_ns: F64, tau_syn_ms: F64, amplitude: F64, *, alpha: bool
) -> F64:
    """The same for currents that are sums of alpha functions, or of exponentials.

    Parameters
    ----------
    c_m_pf, g_ns : float arrays, shape (n_types,)
        As above.
    tau_syn_ms, amplitude : float arrays, shape (n_types, n_receptors, n_functions)
        Time constant in ms and relative amplitude of each function; NaN where there is none.
    alpha : bool
        Alpha functions with their peak at the amplitude, or exponentials that begin there.

    Returns
    -------
    float array, shape (n_types, n_receptors)
    """
    tau_m = (c_m_pf / g_ns)[:, np.newaxis, np.newaxis]
    c_m = c_m_pf[:, np.newaxis, np.newaxis]
    with np.errstate(all="ignore"):  # NaN where there is no function
        slowest = np.fmax.reduce(tau_syn_ms, axis=-1)[..., np.newaxis]
        time_ms = (slowest + tau_m) * _TIMES
        response = _alpha_response if alpha else _exponential_response
        total = np.zeros(time_ms.shape)
        for function in range(tau_syn_ms.shape[-1]):
            tau = tau_syn_ms[..., function, np.newaxis]
            part = amplitude[..., function, np.newaxis] * response(time_ms, c_m, tau_m, tau)
            total += np.nan_to_num(part)
        extremes = np.stack([total.max(axis=-1), total.min(axis=-1)])
    size = np.abs(extremes)
    peak: F64 = np.take_along_axis(extremes, size.argmax(axis=0)[np.newaxis], axis=0)[0]
    return np.where(np.isnan(slowest[..., 0]), np.nan, peak)


#: Where the peak of a response is looked for, in sums of the two time constants.
_TIMES = np.geomspace(1e-3, 5.0, 3000)


def _rate(tau_m: F64, tau: F64) -> F64:
    rate = 1 / tau - 1 / tau_m
    # Equal time constants make the solution 0 / 0; a ten-thousandth apart it is not.
    return np.where(np.abs(rate) * tau < 1e-4, 1e-4 / tau, rate)


def _alpha_response(time_ms: F64, c_m: F64, tau_m: F64, tau: F64) -> F64:
    rate = _rate(tau_m, tau)
    leak = 1 / tau - rate
    shape = np.exp(-leak * time_ms) - np.exp(-time_ms / tau) * (1 + rate * time_ms)
    return np.e / (tau * c_m) * shape / rate**2


def _exponential_response(time_ms: F64, c_m: F64, tau_m: F64, tau: F64) -> F64:
    rate = _rate(tau_m, tau)
    leak = 1 / tau - rate
    return (np.exp(-leak * time_ms) - np.exp(-time_ms / tau)) / (rate * c_m)
