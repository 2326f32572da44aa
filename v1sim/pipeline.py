"""From a configuration to a finished run folder: the one place where the steps meet.

What writes the folder is imported by what needs it: matplotlib takes a third of a second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from v1sim import __version__
from v1sim.analysis.readout import labels
from v1sim.analysis.results import Results, analyse
from v1sim.cache import place_caches
from v1sim.config import RunConfig
from v1sim.documents.check import CheckDocument, FindingDocument
from v1sim.documents.run import RunReport
from v1sim.errors import InputError
from v1sim.inputs.fresh import NETWORK_FILE, FreshInput
from v1sim.inputs.protocol import RunInput
from v1sim.memory import does_not_fit, require_address_space
from v1sim.model import CheckReport, Finding, NetworkModel, NeuronPopulation
from v1sim.output import new_folder
from v1sim.recording import InputRecording, Recording
from v1sim.report import description
from v1sim.simulation.cost import expected_need
from v1sim.simulation.from_config import (
    configured_plan,
    configured_threads,
    configured_voltage_neurons,
    return_between_trials,
)
from v1sim.simulation.group import ALONE, Group
from v1sim.simulation.machine import describe_machine, peak_memory_mb
from v1sim.simulation.native.library import has_native
from v1sim.simulation.plan import BuildPlan
from v1sim.simulation.readback import read_back_findings
from v1sim.simulation.run import Output, run_trials
from v1sim.simulation.state import (
    NetworkState,
    read_state,
    refuse_state,
    refuse_unwritable,
    write_state,
)
from v1sim.simulation.watch import watch_run
from v1sim.stimulus.base import Stimulus

__all__ = ["Preview", "RunResult", "preview", "run"]

_log = logging.getLogger(__name__)

#: Errors of a run that its last lines name.
_MOST_ERRORS = 5

Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Preview:
    """What the guards say of a run's network, and what would be built and needed."""

    guard: CheckDocument
    text: str


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder, its report, and the results by neuron.

    Every one of several processes that simulate together has it.
    """

    folder: Path
    report: RunReport
    results: Results
    n_spikes: int


@dataclass(frozen=True)
class _Prepared:
    """A run before anything is built; ``report`` is the first process's alone."""

    network: NetworkModel
    report: CheckReport | None
    plan: BuildPlan
    stimulus: Stimulus
    threads: int
    between_trials: Literal["reset", "gap", "rebuild"]
    voltage_of: NDArray[np.int32]
    start: NetworkState | None


@dataclass
class _Clock:
    """Wall time of each stage, s."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        since = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - since


def run(
    config: RunConfig,
    *,
    out: Path | None,
    progress: Progress,
    command: str,
    inputs: RunInput | None = None,
    group: Group = ALONE,
    save_state: Path | None = None,
    force: bool = False,
) -> RunResult:
    """Check, build, simulate, analyse; leave a folder that is complete or not there.

    Where several processes simulate together, each calls this, and the first one writes.

    Parameters
    ----------
    config : RunConfig
        The run.
    out : Path, optional
        Run folder; by default ``<config.output>/<name>_<date>-<time>``, with a number where
        that is taken.
    progress : callable
        Told ``(stage, done, total)``.
    command : str
        The command line, for the report.
    inputs : RunInput, optional
        What the batch that this run is part of has checked and computed before; by default
        everything is read, checked and computed now.
    group : Group, optional
        The processes that simulate together (`v1sim.simulation.group.join`).
    save_state : Path, optional
        File for the network's state at the end of the last trial.
    force : bool, optional
        Whether to replace the run that is in ``out``.

    Raises
    ------
    GuardRefusal
        If the network is refused; no neuron is created.
    InputError
        If network, stimulus or output folder cannot be used.
    SimulationError
        If the simulation fails.
    """
    if group.is_first:
        place_caches()
    from v1sim.report.run_folder import prepare_to_write, write_recording, write_report

    if group.is_first:
        prepare_to_write(config)
    clock = _Clock()
    began = datetime.now().astimezone()
    default = config.output / f"{config.name}_{began:%Y%m%d-%H%M%S}"
    result: RunResult | None = None
    with (
        new_folder(out or default, or_next=out is None, force=force)
        if group.is_first
        else nullcontext()
    ) as folder:
        source = inputs or (
            FreshInput(command, folder.temporary, called=folder.final)
            if folder
            else FreshInput(command)
        )
        prepared = _prepare(config, source, clock, progress, group)
        _refuse_or_warn_of_memory(prepared)
        if save_state is not None:
            refuse_state(prepared.plan, None, where="--save-state")
            refuse_unwritable(save_state)
        output = run_trials(
            prepared.plan,
            prepared.stimulus,
            threads=prepared.threads,
            between_trials=prepared.between_trials,
            voltage_of=prepared.voltage_of,
            progress=progress,
            watch=config.watch,
            group=group,
            skip_frozen_nodes=config.simulation.skip_frozen_nodes,
            start=prepared.start,
            save_state=save_state is not None,
        )
        if save_state is not None and output.state is not None and group.is_first:
            write_state(save_state, output.state)
        if folder is not None and prepared.report is not None:
            clock.seconds |= output.seconds
            recording = _recording(config, prepared, output)
            with clock.stage("analyse"):
                results = analyse(recording)
            with clock.stage("write"):
                path = prepared.network.source.path
                settled = _settled(config, prepared)
                write_recording(folder.temporary, settled, recording, results, path)
            report = _report(
                settled, prepared, output, results, clock=clock, command=command, began=began
            )
            write_report(folder.temporary, report, recording, results)
            result = RunResult(folder.final, report, results, len(recording.spikes))
    if result is not None and folder is not None:
        result = replace(result, folder=folder.final)  # another where the name was taken meanwhile
    return group.broadcast(result)


def _settled(config: RunConfig, prepared: _Prepared) -> RunConfig:
    """The configuration with everything that it leaves open as this run had it.

    A built-in column is the file that the run has left beside it.
    """
    network = config.network
    if not isinstance(network, Path) and Path(prepared.network.source.path).name == NETWORK_FILE:
        network = Path(NETWORK_FILE)
    simulation = config.simulation.model_copy(
        update={
            "dynamics": prepared.plan.dynamics,
            "dt_ms": prepared.plan.dt_ms,
            "threads": prepared.threads,
            "between_trials": prepared.between_trials,
        }
    )
    return config.model_copy(update={"network": network, "simulation": simulation})


def preview(config: RunConfig, group: Group = ALONE) -> Preview:
    """What a run would check, build and need; nothing is simulated or written.

    Raises
    ------
    GuardRefusal, InputError
        As `run` would.
    """
    prepared = _prepare(config, FreshInput("--dry-run"), _Clock(), lambda *_: None, group)
    return group.broadcast(
        None
        if prepared.report is None
        else Preview(CheckDocument.of_report(prepared.report), _preview_text(prepared))
    )


def _preview_text(prepared: _Prepared) -> str:
    plan, trials = prepared.plan, prepared.stimulus.trials
    need = expected_need(plan, prepared.stimulus, prepared.threads)
    simulated_ms = sum(trial.duration_ms for trial in trials)
    lines = [
        f"{len(plan.populations)} populations: "
        + ", ".join(f"{p.label} {len(p.neuron):,}" for p in plan.populations),
        "projections: " + ", ".join(f"{p.label} {len(p):,} synapses" for p in plan.projections),
        f"{len(trials)} trials, {simulated_ms / 1000:,.1f} s of activity, "
        f"{prepared.threads} threads, background {plan.background}",
        f"expected: about {need.seconds:,.0f} s and {need.memory_mb:,.0f} MB",
    ]
    too_much = does_not_fit(need.memory_mb)
    if too_much is not None:
        lines.append(f"warning: {too_much}")
    return "\n".join(lines)


def _prepare(
    config: RunConfig, inputs: RunInput, clock: _Clock, progress: Progress, group: Group
) -> _Prepared:
    """Everything that needs no simulator: network, gate, stimulus, plan.

    Of several processes the first alone reads and checks, and has the report. The others get
    network and plan without synapses; those that they host come as NEST connects them.
    """
    if group.size > 1:
        with group.first_before_others():  # one of them compiles it, the others find it
            has_native()
    if not group.is_first:
        known: tuple[NetworkModel, BuildPlan] = group.broadcast(None)
        network, plan = known
        report, stimulus = None, inputs.stimulus(config, network)
    else:
        with clock.stage("load"):
            network = inputs.network(config)
            progress("load", 1, 1)
        with clock.stage("gate"):
            checked = inputs.admit(config, network)
            progress("gate", 1, 1)
        stimulus = inputs.stimulus(config, network)
        report, plan = checked.report, configured_plan(config, checked, stimulus)
        group.broadcast((network.without_synapses(), plan.without_synapses()))
    with clock.stage("stimulus"):
        stimulus.prepare()  # what is wrong with it shows before anything is built
    _refuse_other_labels(stimulus, network)
    start = None
    if config.simulation.warm_start is not None:
        file = config.simulation.warm_start
        start = group.broadcast(read_state(file) if group.is_first else None)
        refuse_state(plan, start, where=f"simulation.warm_start: {file}")
    return _Prepared(
        network=network,
        report=report,
        plan=plan,
        stimulus=stimulus,
        threads=configured_threads(config),
        between_trials=return_between_trials(config, network.cell_types),
        voltage_of=configured_voltage_neurons(config, network),
        start=start,
    )


def _refuse_or_warn_of_memory(prepared: _Prepared) -> None:
    """Before NEST is loaded: a limit in which it cannot be, or what will probably not fit."""
    need = expected_need(prepared.plan, prepared.stimulus, prepared.threads)
    require_address_space(need.memory_mb)
    too_much = does_not_fit(need.memory_mb)
    if too_much is not None:
        _log.warning("warning: %s", too_much)


def _refuse_other_labels(stimulus: Stimulus, network: NetworkModel) -> None:
    """Labels that the network has no readout group for: the stimulus is for another one."""
    try:
        labels(stimulus.trials, len(network.readout))
    except ValueError as error:
        given = [trial.stimulus.get("label") for trial in stimulus.trials]
        known = [label for label in given if isinstance(label, int)]
        from_one = known and min(known) == 1 and max(known) == len(network.readout)
        raise InputError(
            f"the trials cannot be classified: {error}",
            where=network.source.path,
            expected="a readout group for each label, and one response window",
            hint="the labels count from 1: --set stimulus.first_label=1" if from_one else None,
        ) from error


def _recording(config: RunConfig, prepared: _Prepared, output: Output) -> Recording:
    plan, stimulus = prepared.plan, prepared.stimulus
    configuration = config.model_dump(mode="json")
    populations = {
        name: NeuronPopulation(name, one.ids)
        for name, one in prepared.network.source_populations.items()
    }
    return Recording(
        spikes=output.spikes,
        lgn_spikes=output.lgn_spikes,
        trials=stimulus.trials,
        classes=plan.classes,
        n_lgn=plan.n_lgn,
        dt_ms=plan.dt_ms,
        voltage=output.voltage,
        populations=prepared.network.populations,
        lgn_population=populations.get(plan.lgn),
        inputs=tuple(
            InputRecording(populations[name], sent) for name, sent in output.input_spikes.items()
        ),
        annotations={
            "run": config.name,
            "seed": config.seed,
            "institution": config.recording.institution,
            "experimenter": list(config.recording.experimenter),
            "network_sha256": plan.network_sha256,
            "built": {result.label: result.digest for result in output.readback},
            "dynamics": plan.dynamics,
            "background": plan.background,
            "between_trials": prepared.between_trials,
            "perturb": configuration["perturb"],
            "stimulus": configuration["stimulus"]["kind"],
            "configuration": configuration,
            "readout": [group.tolist() for group in prepared.network.readout],
            "lgn_input": "analog" if stimulus.analog else "spikes",
            "v1sim_version": __version__,
        },
    )


def _report(
    config: RunConfig,
    prepared: _Prepared,
    output: Output,
    results: Results,
    *,
    clock: _Clock,
    command: str,
    began: datetime,
) -> RunReport:
    assert prepared.report is not None
    return RunReport(
        notes=description.notes(
            config,
            prepared.report,
            prepared.plan,
            prepared.stimulus,
            output,
            between_trials=prepared.between_trials,
        ),
        guard=CheckDocument.of_report(prepared.report),
        findings=[
            FindingDocument.of_finding(finding)
            for finding in _run_findings(config, prepared, output)
        ],
        network=description.describe_network(prepared.network, prepared.plan),
        simulation=description.describe_simulation(
            prepared.plan,
            prepared.stimulus,
            output,
            between_trials=prepared.between_trials,
            threads=prepared.threads,
        ),
        results=description.describe_results(results),
        timings_s=clock.seconds,
        peak_memory_mb=peak_memory_mb(),
        command=command,
        began=began.isoformat(timespec="seconds"),
        config=config.model_dump(mode="json"),
        machine=describe_machine(),
    )


def _run_findings(config: RunConfig, prepared: _Prepared, output: Output) -> tuple[Finding, ...]:
    """What read-back and activity show, in the language of the guards."""
    plan, stimulus = prepared.plan, prepared.stimulus
    return (
        *read_back_findings(output.readback),
        *watch_run(
            config.watch,
            plan.classes,
            output.spikes,
            None if stimulus.analog else output.lgn_spikes,
            plan.n_lgn,
            stimulus.schedule.duration_ms,
        ),
    )
