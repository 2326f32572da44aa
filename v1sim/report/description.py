"""What a run simulated, what came out and what a reader must know of it, for its report."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.analysis.readout import Classification
from v1sim.analysis.results import ClassResult, Results
from v1sim.analysis.tuning import published_tuning
from v1sim.config import RunConfig
from v1sim.documents.run import NetworkFacts, ReadBackFacts, ResultsDocument, SimulationFacts
from v1sim.model import CheckReport, NetworkModel
from v1sim.simulation import perturbation
from v1sim.simulation.plan import BuildPlan
from v1sim.simulation.run import Output
from v1sim.stimulus.base import Stimulus

__all__ = ["describe_network", "describe_results", "describe_simulation", "notes"]

#: A refractory period that is rounded by more than this is worth a sentence.
_MOST_ROUNDING = 0.01
_DYNAMICS_NOTES = {
    "training": "Neurons follow the equations of training, in float64.",
    "training_single": "Neurons follow the equations of training, in float32.",
    "training_float32": "Neurons follow the equations of training, in float32, as TensorFlow "
    "rounds them.",
    "nest": "Each neuron is the NEST model that its cell type names: {models}.",
    "glif_psc": "Neurons are NEST's glif_psc. It differs from the equations of training at every "
    "spike: V is held at V_reset and after-spike currents are frozen for t_ref.",
}


def describe_network(network: NetworkModel, plan: BuildPlan) -> NetworkFacts:
    """Path, digests and sizes of the network."""
    return NetworkFacts(
        path=network.source.path,
        file_sha256=network.source.sha256,
        network_sha256=plan.network_sha256,
        n_neurons=plan.n_neurons,
        n_lgn=plan.n_lgn,
        n_cell_types=len(plan.cell_types),
        populations={p.label: len(p.neuron) for p in plan.populations},
        projections={p.label: len(p) for p in plan.projections},
        classes="inferred" if plan.classes.inferred else "named by the file",
    )


def describe_simulation(
    plan: BuildPlan,
    stimulus: Stimulus,
    output: Output,
    *,
    between_trials: str,
    threads: int,
) -> SimulationFacts:
    """What was simulated, and what the read-back found."""
    return SimulationFacts(
        dynamics=plan.dynamics,
        dt_ms=plan.dt_ms,
        threads=threads,
        processes=output.simulation.group.size,
        seed=plan.seed,
        n_trials=len(stimulus.trials),
        simulated_ms=stimulus.schedule.duration_ms,
        gap_ms=output.gap_ms,
        between_trials=between_trials,
        background=plan.background,
        read_back=[
            ReadBackFacts(
                projection=result.label,
                n_synapses=result.n_synapses,
                digest=result.digest,
                by_receptor=result.by_receptor,
                equal_to_plan=True,  # a difference stops the run (ReadbackError)
            )
            for result in output.readback
        ],
    )


def describe_results(results: Results) -> ResultsDocument:
    """Rates, tuning and decisions, by class."""
    tuning = results.tuning
    return ResultsDocument.of(
        {
            "mean_rate_hz": _mean(results.rate_hz),
            "lgn_mean_rate_hz": _mean(results.lgn_rate_hz),
            "n_silent": np.count_nonzero(results.rate_hz == 0),
            "classes": [
                _class_row(row, published=tuning is not None and tuning.like_published)
                for row in results.classes
            ],
            "tuning": None
            if tuning is None
            else {
                "axis": tuning.axis,
                "direction_deg": tuning.direction_deg,
                "n_repeats": tuning.n_repeats,
                "untuned_osi": tuning.untuned_osi,
                "untuned_dsi": tuning.untuned_dsi,
            },
            "classification": None
            if results.classification is None
            else _classification(results.classification),
        }
    )


def _classification(result: Classification) -> dict[str, Any]:
    start_ms = result.best_start_ms
    return {
        "accuracy": result.accuracy,
        "interval_95": result.interval,
        "n_trials": len(result.label),
        "n_classes": len(result.confusion),
        "chance": 1 / len(result.confusion),
        "n_undecided": result.n_undecided,
        "window_ms": result.window_ms,
        "best_window_ms": [start_ms, start_ms + result.window_ms[1] - result.window_ms[0]],
        "best_window_accuracy": result.curve_accuracy.max(),
        "confusion": result.confusion,
        "window_curve": {
            "start_ms": result.curve_start_ms,
            "accuracy": result.curve_accuracy,
        },
    }


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else math.nan


def _class_row(row: ClassResult, *, published: bool) -> dict[str, Any]:
    """One class beside the published one, whose figures are for drifting gratings only."""
    nearest = published_tuning(row.name) if published else None
    return {**asdict(row), "published": None if nearest is None else asdict(nearest)}


def _rounded_refractory_periods(plan: BuildPlan) -> list[str]:
    """NEST's models round refractory periods up to whole steps: who is changed by more than 1 %."""
    t_ref_ms = plan.cell_types.columns.get("t_ref_ms")
    if plan.in_training_dynamics or t_ref_ms is None:
        return []
    # A period that is a whole number of steps to within rounding stays as it is.
    steps = np.ceil(np.round(t_ref_ms / plan.dt_ms, 9))
    change = np.nan_to_num(steps * plan.dt_ms / t_ref_ms - 1.0, nan=0.0, posinf=0.0)
    changed = np.flatnonzero(change > _MOST_ROUNDING)
    if changed.size == 0:
        return []
    worst = int(np.argmax(change))
    return [
        f"NEST rounds refractory periods up to whole steps of {plan.dt_ms:g} ms. That of "
        f"{len(changed)} of {len(t_ref_ms)} cell types is longer by more than {_MOST_ROUNDING:.0%} "
        f"for it, most in type {worst}: {steps[worst] * plan.dt_ms:g} ms in place of "
        f"{t_ref_ms[worst]:g} ms."
    ]


def _rounded_delays(plan: BuildPlan) -> list[str]:
    return [
        f"{one.n_changed:,} of {one.n:,} delays of {one.projection} are no whole number of steps "
        f"of {plan.dt_ms:g} ms. NEST takes the nearest, halves up; the largest change is "
        f"{one.largest_ms:g} ms, from {one.from_ms:g} to {one.to_ms:g} ms."
        for one in plan.rounded
    ]


def notes(
    config: RunConfig,
    report: CheckReport,
    plan: BuildPlan,
    stimulus: Stimulus,
    output: Output,
    *,
    between_trials: str,
) -> list[str]:
    """What a reader must know to judge the run, in sentences."""
    said = []
    if report.verdict == "constructed":
        said.append(
            "The network is constructed from published figures, not trained; "
            f"this run accepts it because its configuration says require: {config.require}."
        )
    said += [perturbation.describe(item) for item in config.perturb]
    for check, reason in report.waived.items():
        said.append(f"The check {check} was waived: {reason}")
    said.append(
        "Every synapse was read back from NEST after building and equals the plan: pre, post, "
        "receptor, delay and weight."
    )
    models = ", ".join(plan.cell_types.models)
    said.append(_DYNAMICS_NOTES[plan.dynamics].format(models=models))
    said += _rounded_refractory_periods(plan)
    said += _rounded_delays(plan)
    said += stimulus.remarks()
    said += stimulus.feed_remarks()
    if output.gap_ms:
        said.append(
            "All trials ran on one build. Between them the network was without input until it had "
            "been silent for 45 time constants of its slowest synapse, then every membrane and "
            "after-spike current was set to its start: spikes are those of a fresh build."
        )
    elif len(stimulus.trials) > 1 and between_trials == "reset":
        said.append(
            "All trials ran on one build. Between them every neuron and its input was set back to "
            "its start inside NEST: spikes are those of a fresh build."
        )
    if plan.background == "independent_poisson":
        said.append(
            "The background is drawn by NEST: its spikes, and so the network's, depend on the "
            "number of threads."
        )
    return said
