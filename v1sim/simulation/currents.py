"""Currents that are injected into cells, stepwise in time (``currents`` of a configuration).

NEST's ``step_current_generator`` is connected with a delay of one step, as BMTK does it for a
``current_clamp``: what is to begin at t acts on the membrane from the step after the one that ends
at t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.config import CurrentClamp
from v1sim.errors import InputError
from v1sim.model import NetworkModel
from v1sim.simulation.kernel import backend
from v1sim.simulation.selection import neurons_of
from v1sim.units import on_time_grid

__all__ = ["CurrentPlan", "create_currents", "current_plans", "load_current"]


@dataclass(frozen=True, eq=False)
class CurrentPlan:
    """One current: its cells, and from which steps of a trial on it has which value in pA."""

    neuron: NDArray[np.int32]
    step: NDArray[np.int64]
    value_pa: NDArray[np.float64]


def current_plans(
    clamps: Sequence[CurrentClamp], network: NetworkModel, dt_ms: float
) -> tuple[CurrentPlan, ...]:
    """The currents of a configuration.

    Raises
    ------
    InputError
        If a cell is not there, or a time is no whole number of steps.
    """
    plans = []
    for i, clamp in enumerate(clamps):
        where = f"currents.{i}"
        time_ms, value_pa = _steps_of(clamp)
        off = ~on_time_grid(time_ms, dt_ms)
        if off.any():
            raise InputError(
                f"the current changes at {time_ms[off][0]:g} ms, which is no whole number of steps "
                f"of {dt_ms:g} ms",
                where=where,
                expected="changes at the end of a step",
            )
        step = np.rint(time_ms / dt_ms).astype(np.int64)
        plans.append(CurrentPlan(neurons_of(clamp.cells, network, where), step, value_pa))
    return tuple(plans)


def _steps_of(clamp: CurrentClamp) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When the current changes, and to what: each lasts until its end, or until the next begins."""
    time_ms: list[float] = []
    value_pa: list[float] = []
    starts = [*clamp.delay_ms, np.inf]
    for i, (amp_pa, duration_ms) in enumerate(zip(clamp.amp_pa, clamp.duration_ms, strict=True)):
        time_ms.append(starts[i])
        value_pa.append(amp_pa)
        end_ms = starts[i] + duration_ms
        if end_ms < starts[i + 1]:
            time_ms.append(end_ms)
            value_pa.append(0.0)
    return np.array(time_ms), np.array(value_pa)


def create_currents(
    plans: Sequence[CurrentPlan], neuron_node: NDArray[np.int64], dt_ms: float
) -> tuple[Any, ...]:
    """A generator for each current, connected to its cells, that sends nothing yet."""
    nest, _ = backend()
    generators = []
    for plan in plans:
        generator = nest.Create("step_current_generator")
        cells = nest.NodeCollection(np.sort(neuron_node[plan.neuron]))
        nest.Connect(generator, cells, syn_spec={"delay": dt_ms})
        generators.append(generator)
    return tuple(generators)


def load_current(
    plan: CurrentPlan, generator: Any, start_step: int, n_steps: int, dt_ms: float
) -> None:
    """Let a generator send its current in the trial that begins at NEST's step ``start_step``."""
    inside = plan.step < n_steps
    step, value_pa = plan.step[inside], plan.value_pa[inside]
    if len(value_pa) and value_pa[-1]:  # nothing is left of it after the trial
        step, value_pa = np.append(step, n_steps), np.append(value_pa, 0.0)
    generator.set(amplitude_times=(start_step + step) * dt_ms, amplitude_values=value_pa)
