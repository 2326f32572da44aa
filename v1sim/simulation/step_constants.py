"""The constants of a time step as training holds them.

The published cell (Chen, Scherr & Maass 2022, doi 10.1126/sciadv.abq7592; trainer "billeh")
computes them in float32 and keeps them so. BMTK's DPointNet (`bmtk.simulator.dpointnet` of BMTK
1.2; trainer "dpointnet") computes those of its basis functions in float64. Rounding a
constant acts at every step in the same direction: with exact constants, float64 arithmetic is
five times further from training's voltages than with training's own. The largest part is
that of the after-spike currents, whose k goes through an inverse sigmoid and back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from v1sim.model import CellTypeTable, TrainingDynamics
from v1sim.units import MODEL_STEP_MS

__all__ = [
    "TRAINERS",
    "normalised_reset",
    "step_constants",
    "tensorflow_exp",
    "tensorflow_log",
    "tensorflow_sigmoid",
]

F32 = NDArray[np.float32]

#: Trainers whose constants are known.
TRAINERS = ("billeh", "dpointnet")

#: exp(m ln 2 + r) = 2^m exp(r): 1 / ln 2, and ln 2 in two parts.
_LOG2_E = np.float32(1.442695040888963)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
#: exp(r) = 1 + r + r^2 (p0 + p1 r + ...), as TensorFlow's exp and sigmoid approximate it.
_EXP: F32 = np.array(
    [
        *(0.4999998807907104, 0.16666518151760101, 4.166965186595917e-2),
        *(8.368944749236107e-3, 1.374496379867196e-3),
    ],
    dtype=np.float32,
)
_SIGMOID_EXP: F32 = np.array(
    [0.49999141693115234, 0.16666877269744873, 4.189866781234741e-2, 8.334713056683540e-3],
    dtype=np.float32,
)
#: log(1 + x) = p(x) / q(x) for sqrt(1/2) <= 1 + x < sqrt(2), highest power first.
_LOG_P: F32 = np.array(
    [0.18256296349849254, 1.0000000190281063, 1.0000000190281136, 0.0], dtype=np.float32
)
_LOG_Q: F32 = np.array(
    [0.049616247954120038, 0.59923249590823520, 1.4999999999999927, 1.0], dtype=np.float32
)
_LN2, _ROOT_HALF = np.float32(0.6931471805599453), np.float32(0.7071067811865475)
_ONE, _HALF = np.float32(1), np.float32(0.5)


def _exp(x: F32, coefficients: F32) -> F32:
    """The exponential in float32: every operation is rounded, and in this order."""
    m = np.floor(x * _LOG2_E + _HALF)
    r = (x - m * _LN2_HIGH) - m * _LN2_LOW
    squared = r * r
    even, odd = coefficients[0::2][::-1], coefficients[1::2][::-1]
    p_even, p_odd = even[0] + np.zeros_like(x), odd[0] + np.zeros_like(x)
    for c in even[1:]:
        p_even = squared * p_even + c
    for c in odd[1:]:
        p_odd = squared * p_odd + c
    result: F32 = np.ldexp(squared * (r * p_odd + p_even) + (r + _ONE), m.astype(np.int32))
    return result


def tensorflow_exp(x: F32) -> F32:
    """The exponential of float32 as TensorFlow's CPU kernel rounds it, for -80 < x < 80."""
    return _exp(x, _EXP)


def tensorflow_sigmoid(x: F32) -> F32:
    """The sigmoid of float32 as TensorFlow's CPU kernel rounds it, for -80 < x < 16."""
    root = _exp(x * _HALF, _SIGMOID_EXP)
    e = root * root
    result: F32 = e / (_ONE + e)
    return result


def _polynomial(x: F32, coefficients: F32) -> F32:
    value: F32 = coefficients[0] + np.zeros_like(x)
    for c in coefficients[1:]:
        value = x * value + c
    return value


def tensorflow_log(x: F32) -> F32:
    """The logarithm of float32 as TensorFlow's CPU kernel rounds it, for normal x > 0."""
    part, exponent = np.frexp(x)
    low = part < _ROOT_HALF
    above_one = np.where(low, part - _ONE + part, part - _ONE)
    e = exponent.astype(np.float32) - low.astype(np.float32)
    log: F32 = e * _LN2 + _polynomial(above_one, _LOG_P) / _polynomial(above_one, _LOG_Q)
    return log


def normalised_reset(types: CellTypeTable) -> F32:
    """Where the membrane of each cell type starts, ``v_reset``, as float32, shape (t,)."""
    e_l, v_th, v_reset = (
        np.asarray(column, dtype=np.float32)
        for column in (types.e_l_mv, types.v_th_mv, types.v_reset_mv)
    )
    start: F32 = (v_reset - e_l) / (v_th - e_l)
    return start


def step_constants(types: CellTypeTable, trained: TrainingDynamics | None = None) -> F32:
    """Constants of each cell type for a time step, as float32, shape (t, 7 + 2 receptors).

    As the trainer of ``trained`` computes them, one of `TRAINERS`, for its step; as the
    published training does, by default.

    In the order of the NEST model: decay and current factor of the membrane, the
    normalised reset ``v_reset - v_th``, decay of the synaptic currents (one a receptor), their
    initial slope e / tau (one a receptor), decay (2) and normalised amplitude (2) of the
    after-spike currents.
    """
    if trained is not None and trained.trainer == "dpointnet":
        return _dpointnet(types, trained.step_ms)
    return _billeh(types, MODEL_STEP_MS if trained is None else trained.step_ms)


def _billeh(types: CellTypeTable, dt_ms: float) -> F32:
    """Everything in float32, in the order of the published cell."""
    c_m, g, e_l, v_th, asc_amp, tau_syn = (
        np.asarray(column, dtype=np.float32)
        for column in (
            *(types.c_m_pf, types.g_ns, types.e_l_mv, types.v_th_mv),
            *(types.asc_amp_pa, types.tau_syn_ms),
        )
    )
    dt = np.float32(dt_ms)
    tau = c_m / g
    decay = np.exp(-dt / tau)
    return np.column_stack(
        [
            decay,
            _ONE / c_m * (_ONE - decay) * tau,
            normalised_reset(types) - _ONE,
            np.exp(-dt / tau_syn),
            np.float32(np.e) / tau_syn,
            _asc_decay(types, dt, np.log),
            asc_amp / (v_th - e_l)[:, None],
        ]
    )


def _dpointnet(types: CellTypeTable, dt_ms: float) -> F32:
    """The cells' in float32, those of the basis functions in float64 and then rounded."""
    c_m, g, e_l, v_th, asc_amp = (
        np.asarray(column, dtype=np.float32)
        for column in (types.c_m_pf, types.g_ns, types.e_l_mv, types.v_th_mv, types.asc_amp_pa)
    )
    dt = np.float32(dt_ms)
    decay = np.exp(-dt / (c_m / g))
    return np.column_stack(
        [
            decay,
            (_ONE - decay) / g,
            normalised_reset(types) - _ONE,
            np.exp(-dt_ms / types.tau_syn_ms).astype(np.float32),
            (np.e / types.tau_syn_ms).astype(np.float32),
            _asc_decay(types, dt, tensorflow_log),
            asc_amp / (v_th - e_l)[:, None],
        ]
    )


def _asc_decay(types: CellTypeTable, dt: np.float32, log: Callable[[F32], F32]) -> F32:
    """Decay of the after-spike currents in a step: k goes through an inverse sigmoid and back."""
    k: F32 = types.k_per_ms.astype(np.float32)
    # Training has no k outside 0..1 per ms: its inverse sigmoid does not exist.
    inside = np.clip(k, np.finfo(np.float32).tiny, _ONE - np.finfo(np.float32).epsneg)
    held = tensorflow_sigmoid(log(inside / (_ONE - inside)))
    decay: F32 = np.where(k == inside, tensorflow_exp(-dt * held), np.exp(-dt * k))
    return decay
