"""What a run is expected to cost: wall time and memory, before anything is built."""

from __future__ import annotations

from dataclasses import dataclass

from v1sim.simulation.native.library import has_native
from v1sim.simulation.plan import BuildPlan
from v1sim.stimulus.base import Stimulus

__all__ = ["Need", "expected_need", "memory_estimate_mb"]

#: Measured on two cores of a 2020s server: a step of a neuron on one thread, by dynamics;
#: connecting a synapse; reading one back through PyNEST and natively; start and end.
_STEP_S = {
    "glif_psc": 81e-9,
    "nest": 81e-9,
    "training": 10e-9,
    "training_single": 6e-9,
    "training_float32": 20e-9,
}
#: Likewise, a step of a synapse with analog input.
_ANALOG_S = {"training": 10e-9, "training_single": 10e-9, "training_float32": 190e-9}
_CONNECT_S, _READ_BACK_S, _NATIVE_READ_BACK_S, _START_S = 0.4e-6, 10e-6, 0.15e-6, 3.0


@dataclass(frozen=True)
class Need:
    """Wall time and peak memory that a run is expected to take."""

    seconds: float
    memory_mb: float


def expected_need(plan: BuildPlan, stimulus: Stimulus, threads: int) -> Need:
    """What a run of a plan with a stimulus is expected to take on ``threads`` threads."""
    n_steps = stimulus.schedule.duration_ms / plan.dt_ms
    read_back_s = _NATIVE_READ_BACK_S if has_native() else _READ_BACK_S
    step_s = plan.n_neurons * _STEP_S[plan.dynamics] * 1.5
    if stimulus.analog:
        n_lgn_synapses = sum(len(p) for p in plan.projections if p.source == plan.lgn)
        step_s += n_lgn_synapses * _ANALOG_S[plan.dynamics]
    return Need(
        seconds=_START_S
        + plan.n_synapses * (_CONNECT_S + read_back_s)
        + n_steps * step_s / threads,
        memory_mb=memory_estimate_mb(plan),
    )


def memory_estimate_mb(plan: BuildPlan) -> float:
    """Peak memory that the run is expected to need, MB.

    Per synapse: 17 bytes of file columns, 48 in NEST (measured: 46-48 after
    connecting). Per neuron: 2 kB of glif_psc and its buffers and 33 kB that NEST
    spends on each recorded neuron. 400 MB for Python, NEST and the libraries.
    """
    return 400 + plan.n_synapses * 65e-6 + plan.n_neurons * 35e-3 + plan.n_lgn * 1e-3
