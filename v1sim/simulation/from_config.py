"""What a configuration leaves open, settled: the plan, dynamics, threads, return between trials."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.cell_types import CellTypeTable
from v1sim.config import Background, Dynamics, RecordedBackground, RunConfig
from v1sim.cores import available_threads
from v1sim.errors import InputError
from v1sim.guard import CheckedNetwork
from v1sim.model import NetworkModel, Verdict
from v1sim.simulation.native.library import has_native, native_module
from v1sim.simulation.plan import BuildPlan, make_plan
from v1sim.simulation.run import refuse_other_input, refuse_unfed
from v1sim.simulation.selection import neurons_of
from v1sim.stimulus.background import read_draws
from v1sim.stimulus.base import Stimulus

__all__ = [
    "chosen_dynamics",
    "configured_plan",
    "configured_threads",
    "configured_voltage_neurons",
    "return_between_trials",
]


def configured_plan(config: RunConfig, checked: CheckedNetwork, stimulus: Stimulus) -> BuildPlan:
    """The plan of a network that passed the guards, as the configuration wants it simulated.

    Raises
    ------
    InputError
        If a recorded background, a perturbation or the stimulus does not fit.
    """
    if isinstance(config.background, RecordedBackground):
        n_steps = [stimulus.n_steps(trial.index) for trial in stimulus.trials]
        background: Background = "recorded"
        draws = read_draws(config.background.recorded, n_steps)
    else:
        background, draws = config.background, None
    plan = make_plan(
        checked,
        background=background,
        seed=config.seed,
        dynamics=chosen_dynamics(config.simulation.dynamics, checked),
        draws=draws,
        perturb=config.perturb,
        currents=config.currents,
        dt_ms=None if config.simulation.dt_ms == "auto" else config.simulation.dt_ms,
    )
    refuse_other_input(plan, stimulus)
    refuse_unfed(plan, stimulus)
    return plan


def chosen_dynamics(asked: Dynamics | Literal["auto"], checked: CheckedNetwork) -> Dynamics:
    """The neuron model: a network's own, or training's for those that come from training."""
    if asked != "auto":
        return asked
    types = checked.network.cell_types
    if checked.network.dynamics is not None:
        native_module()  # raises, and says what to install: other dynamics are another network
        return "training"
    # Weights in pA are not those of training's equations, which has them normalised.
    normalised = all(table.unit == "normalised" for table in checked.network.tables.values())
    from_training = checked.report.verdict is not Verdict.CONSTRUCTED and normalised
    if from_training and not types.why_not_of_training and has_native():
        return "training"
    return "glif_psc" if set(types.model) == {"glif_psc"} else "nest"


def return_between_trials(
    config: RunConfig, types: CellTypeTable
) -> Literal["reset", "gap", "rebuild"]:
    """How the network returns to its start between trials.

    Raises
    ------
    InputError
        If ``reset`` was asked for and v1sim's NEST module is not there, or does not know the
        models of the cells; if ``gap`` was, and nothing is known of the state of a model.
    """
    asked = config.simulation.between_trials
    others = sorted(name for name, model in types.models.items() if not model.cleared_by_module)
    unknown = sorted(name for name, model in types.models.items() if not model.restarts)
    if asked == "auto" and unknown:
        return "rebuild"
    if asked == "gap" and unknown:
        raise InputError(
            f"nothing is known of the state of {', '.join(unknown)}",
            where="simulation.between_trials",
            expected="rebuild",
        )
    if asked == "auto":
        return "reset" if has_native() and not others else "gap"
    if asked == "reset":
        if others:
            raise InputError(
                f"v1sim's NEST module cannot reset cells of {', '.join(others)}",
                where="simulation.between_trials",
                expected="gap or rebuild",
            )
        native_module()  # raises, and says what to install, where it is not there
    return asked


def configured_threads(config: RunConfig) -> int:
    """NEST's threads."""
    threads = config.simulation.threads
    return available_threads() if threads == "auto" else threads


def configured_voltage_neurons(config: RunConfig, network: NetworkModel) -> NDArray[np.int32]:
    """Neurons whose membrane potential is recorded.

    Raises
    ------
    InputError
        If one is not in the network.
    """
    wanted = np.array(config.recording.voltage_of, dtype=np.int64)
    of_reports = [
        neurons_of(report.cells, network, f"recording.reports.{name}.cells")
        for name, report in config.recording.reports.items()
    ]
    bad = wanted[wanted >= network.n_neurons]
    if bad.size:
        raise InputError(
            f"neuron {bad[0]} is not in the network",
            where="recording.voltage_of",
            expected=f"indices from 0 to {network.n_neurons - 1}",
        )
    return np.unique(np.concatenate([wanted, *of_reports])).astype(np.int32)
