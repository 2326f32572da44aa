"""From a configuration to a finished run folder: the one place where the steps meet.

Figures are imported by what draws them: matplotlib takes a third of a second.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from v1sim import __version__, guard
from v1sim.analysis.readout import labels
from v1sim.analysis.results import Results, analyse
from v1sim.config import Background, Dynamics, RecordedBackground, RunConfig, dump_config
from v1sim.cores import available_threads, core_limit
from v1sim.errors import InputError
from v1sim.model import CheckReport, Finding, NetworkModel, Verdict
from v1sim.output import new_folder
from v1sim.recording import Recording, read_nwb, write_nwb, write_sonata
from v1sim.report import description, digest, html
from v1sim.shared_input import SharedInput
from v1sim.simulation.group import ALONE, Group
from v1sim.simulation.kernel import backend
from v1sim.simulation.native.library import has_native, native_module
from v1sim.simulation.plan import BuildPlan, make_plan, memory_estimate_mb
from v1sim.simulation.readback import read_back_findings
from v1sim.simulation.run import Output, refuse_other_input, run_trials
from v1sim.simulation.watch import watch_run
from v1sim.sources import open_network
from v1sim.sources.column import open_column
from v1sim.sources.hdf5 import write_network
from v1sim.stimulus.background import read_draws
from v1sim.stimulus.from_config import presentation as make_presentation
from v1sim.stimulus.presentation import Presentation
from v1sim.stimulus.probabilities import write_stimulus_file

__all__ = [
    "Need",
    "Preview",
    "RunResult",
    "describe_machine",
    "expected_need",
    "policy_of",
    "preview",
    "renew_report",
    "run",
    "write_stimulus",
]

Progress = Callable[[str, float, float], None]

_PACKAGES = ("nest-simulator", "pynn", "neo", "numpy", "h5py", "pynwb")

#: For `preview`, measured on two cores of a 2020s server: a step of a neuron on one thread, by
#: dynamics; connecting a synapse; reading one back through PyNEST and natively; start and end.
_STEP_S = {"glif_psc": 81e-9, "training": 25e-9, "training_float32": 20e-9}
#: Likewise, a step of a synapse with analog input.
_ANALOG_S = {"training": 65e-9, "training_float32": 190e-9}
_CONNECT_S, _READ_BACK_S, _NATIVE_READ_BACK_S, _START_S = 0.4e-6, 10e-6, 0.15e-6, 3.0


@dataclass(frozen=True)
class Need:
    """Wall time and peak memory that a run is expected to take."""

    seconds: float
    memory_mb: float


@dataclass(frozen=True)
class Preview:
    """What a run would build and need."""

    report: CheckReport
    text: str


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    folder: Path
    check_report: CheckReport
    results: Results
    text: str


@dataclass(frozen=True)
class _RunFolder:
    """Where a run writes, and what the folder will be called when it is complete."""

    temporary: Path
    final: Path


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
    shared: SharedInput | None = None,
    group: Group = ALONE,
) -> RunResult | None:
    """Check, build, simulate, analyse; leave a folder that is complete or not there.

    Where several processes simulate together, each calls this; the first one writes, and
    the others return None.

    Parameters
    ----------
    config : RunConfig
        The run.
    out : Path, optional
        Run folder; by default ``<config.output>/<name>_<date>-<time>``.
    progress : callable
        Told ``(stage, done, total)``.
    command : str
        The command line, for the report.
    shared : SharedInput, optional
        What the batch that this run is part of has checked and computed before.
    group : Group, optional
        The processes that simulate together (`v1sim.simulation.group.join`).

    Raises
    ------
    GuardRefusal
        If the network is refused; no neuron is created.
    InputError
        If network, stimulus or output folder cannot be used.
    SimulationError
        If the simulation fails.
    """
    from v1sim.report import figures

    clock = _Clock()
    began = datetime.now().astimezone()
    folder = out or config.output / f"{config.name}_{began:%Y%m%d-%H%M%S}"
    with new_folder(folder) if group.is_first else nullcontext() as temporary:
        run_folder = _RunFolder(temporary, folder) if temporary else None
        network, check_report, plan, presentation = _prepare(
            config, run_folder, clock, progress, command, group, shared
        )
        threads, between_trials = _threads(config), _between_trials(config)
        output = run_trials(
            plan,
            presentation,
            threads=threads,
            between_trials=between_trials,
            voltage_of=_voltage_neurons(config, network),
            progress=progress,
            watch=config.watch,
            group=group,
        )
        if temporary is None or check_report is None:
            return None
        for stage, seconds in output.seconds.items():
            clock.seconds[stage] = seconds
        recording = _recording(config, network, plan, presentation, output)
        with clock.stage("analyse"):
            results = analyse(recording)
        with clock.stage("write"):
            _write_recording(config, recording, temporary)
            figure = figures.summary_figure(recording, results, title=_title(config, network))
            figures.save_png(figure, temporary / "summary.png")
            (temporary / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        report = digest.build_report(
            config=config.model_dump(mode="json"),
            command=command,
            began=began.isoformat(timespec="seconds"),
            machine=describe_machine(),
            network=description.describe_network(network, plan),
            guard=guard.report_to_json(check_report),
            simulation=description.describe_simulation(
                plan, presentation, output, between_trials=between_trials, threads=threads
            ),
            timings_s=clock.seconds,
            peak_memory_mb=_peak_memory_mb(),
            results=results,
            notes=description.notes(
                config, check_report, plan, presentation, output, between_trials=between_trials
            ),
            findings=[
                guard.finding_to_json(finding)
                for finding in _run_findings(config, plan, presentation, output)
            ],
        )
        digest.write_json(report, temporary / "report.json")
        digest.write_tables(results, plan.classes, temporary)
        html.write_html(report, temporary / "summary.png", temporary / "report.html")
    return RunResult(folder, check_report, results, _summary(folder, recording, results, clock))


def renew_report(folder: Path) -> Path:
    """Analyse a run's spikes again and renew its figure, tables and reports.

    What was simulated and the guards' report stay as the run wrote them.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder is not a run's, or its spikes are not there.
    """
    from v1sim.report import figures

    report = digest.read_json(folder)
    recording = read_nwb(folder / "spikes.nwb")
    results = analyse(recording)
    name = Path(report["network"]["path"]).name
    title = f"{report['config']['name']}: {recording.n_neurons:,} neurons, {name}"
    figures.save_png(
        figures.summary_figure(recording, results, title=title), folder / "summary.png"
    )
    report = digest.with_results(report, results)
    digest.write_tables(results, recording.classes, folder)
    digest.write_json(report, folder / "report.json")
    page = folder / "report.html"
    html.write_html(report, folder / "summary.png", page)
    return page


def preview(config: RunConfig, group: Group = ALONE) -> Preview | None:
    """What a run would check, build and need; nothing is simulated or written.

    Of several processes that were started together, the first one alone has an answer.

    Raises
    ------
    GuardRefusal, InputError
        As `run` would.
    """
    _, report, plan, presentation = _prepare(
        config, None, _Clock(), lambda *_: None, "--dry-run", group
    )
    if report is None:
        return None
    threads = _threads(config)
    need = _need(plan, presentation, threads)
    simulated_ms = sum(trial.duration_ms for trial in presentation.trials)
    lines = [
        f"{len(plan.populations)} populations: "
        + ", ".join(f"{p.label} {len(p.neuron):,}" for p in plan.populations),
        "projections: " + ", ".join(f"{p.label} {len(p):,} synapses" for p in plan.projections),
        f"{len(presentation.trials)} trials, {simulated_ms / 1000:,.1f} s of activity, "
        f"{threads} threads, background {plan.background}",
        f"expected: about {need.seconds:,.0f} s and {need.memory_mb:,.0f} MB",
    ]
    return Preview(report, "\n".join(lines))


def expected_need(
    config: RunConfig, checked: guard.CheckedNetwork, presentation: Presentation, threads: int
) -> Need:
    """What a run is expected to take."""
    return _need(_plan(config, checked, presentation), presentation, threads)


def _need(plan: BuildPlan, presentation: Presentation, threads: int) -> Need:
    n_steps = sum(trial.duration_ms for trial in presentation.trials) / plan.dt_ms
    read_back_s = _NATIVE_READ_BACK_S if has_native() else _READ_BACK_S
    step_s = plan.n_neurons * _STEP_S[plan.dynamics] * 1.5
    if presentation.analog:
        n_lgn_synapses = sum(len(p) for p in plan.projections if p.label == "lgn")
        step_s += n_lgn_synapses * _ANALOG_S[plan.dynamics]
    return Need(
        seconds=_START_S
        + plan.n_synapses * (_CONNECT_S + read_back_s)
        + n_steps * step_s / threads,
        memory_mb=memory_estimate_mb(plan),
    )


def write_stimulus(config: RunConfig, path: Path, *, command: str) -> str:
    """Write what a run will be shown: LGN probabilities, and a picture beside them.

    The network is read for its LGN cells and neither checked nor built.

    Parameters
    ----------
    config : RunConfig
        The run.
    path : Path
        The stimulus HDF5 to write; the picture has its name with ``.png``.
    command : str
        The command line.

    Returns
    -------
    str
        A line on what was written.

    Raises
    ------
    InputError
        If network or stimulus cannot be used, or a file cannot be written.
    """
    from v1sim.report import figures, stimulus_figure

    if path.suffix == ".png":
        raise InputError(
            f"{path} would be both the file and its picture",
            where="--out",
            expected="a name for an HDF5 file, such as stimulus.h5",
        )
    presentation = make_presentation(config, _load_network(config, None, command))
    n_samples = write_stimulus_file(presentation, path)
    figure = stimulus_figure.stimulus_figure(presentation, seed=config.seed, title=config.name)
    figures.save_png(figure, path.with_suffix(".png"))
    first = presentation.trials[0]
    return (
        f"{path}: {n_samples} stimuli of {first.duration_ms:g} ms for {presentation.n_lgn:,} "
        f"LGN cells (1.3 p); {path.with_suffix('.png')}: what they look like"
    )


def describe_machine() -> dict[str, str]:
    """Versions, threads and the NEST build, as plain text by name."""
    nest, _ = backend()
    build = nest.build_info
    return {
        "v1sim": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "nest threads": "yes" if build["have_threads"] else "no",
        "nest mpi": "yes" if build["have_mpi"] else "no",
        "nest built": str(build["built"]),
        "v1sim's nest module": _native_state(),
        "usable cores": _usable_cores(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _usable_cores() -> str:
    limit = core_limit()
    return f"{limit.cores} ({limit.because})"


def _native_state() -> str:
    try:
        return str(native_module().path)
    except InputError as error:
        return f"not there: {error.seen}"


def _prepare(
    config: RunConfig,
    folder: _RunFolder | None,
    clock: _Clock,
    progress: Progress,
    command: str,
    group: Group,
    shared: SharedInput | None = None,
) -> tuple[NetworkModel, CheckReport | None, BuildPlan, Presentation]:
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
        report, presentation = None, _presentation(config, network, shared)
    else:
        with clock.stage("load"):
            network = _load_network(config, folder, command, shared)
            progress("load", 1, 1)
        with clock.stage("gate"):
            policy = policy_of(config)
            checked = shared.admit(network, policy) if shared else guard.admit(network, policy)
            progress("gate", 1, 1)
        presentation = _presentation(config, network, shared)
        report, plan = checked.report, _plan(config, checked, presentation)
        group.broadcast((network.without_synapses(), plan.without_synapses()))
    with clock.stage("stimulus"):
        presentation.probability(0)  # what is wrong with it shows before anything is built
    _voltage_neurons(config, network)
    _refuse_other_labels(presentation, network)
    return network, report, plan, presentation


def _presentation(
    config: RunConfig, network: NetworkModel, shared: SharedInput | None
) -> Presentation:
    presentation = make_presentation(config, network)
    return shared.presentation(presentation) if shared else presentation


def policy_of(config: RunConfig) -> guard.Policy:
    """What a run requires of its network."""
    return guard.Policy(
        require=config.require,
        strength=config.strength,
        waivers=config.waive,
        checkpoint=config.checkpoint,
        baseline=config.baseline,
    )


def _plan(
    config: RunConfig, checked: guard.CheckedNetwork, presentation: Presentation
) -> BuildPlan:
    if isinstance(config.background, RecordedBackground):
        n_steps = [presentation.n_steps(trial.index) for trial in presentation.trials]
        background: Background = "recorded"
        draws = read_draws(config.background.recorded, n_steps)
    else:
        background, draws = config.background, None
    plan = make_plan(
        checked,
        background=background,
        seed=config.seed,
        dynamics=_dynamics(config, checked.report),
        draws=draws,
        perturb=config.perturb,
    )
    refuse_other_input(plan, presentation)
    return plan


def _load_network(
    config: RunConfig, folder: _RunFolder | None, command: str, shared: SharedInput | None = None
) -> NetworkModel:
    """The configured network; a run keeps the built-in column, as it was simulated, in a file."""
    if isinstance(config.network, Path):
        return open_network(config.network)
    if shared:
        return open_network(shared.column_path(config.network.built_in))
    network = open_column(config.network.built_in, command=command)
    if folder is None:
        return network
    name = "network.h5"
    return write_network(network, folder.temporary / name, known_as=folder.final / name)


def _dynamics(config: RunConfig, report: CheckReport) -> Dynamics:
    """The neuron model: that of training for networks that come from training, if it is there."""
    asked = config.simulation.dynamics
    if asked != "auto":
        return asked
    from_training = report.verdict is not Verdict.CONSTRUCTED
    return "training" if from_training and has_native() else "glif_psc"


def _between_trials(config: RunConfig) -> Literal["reset", "gap", "rebuild"]:
    asked = config.simulation.between_trials
    if asked == "auto":
        return "reset" if has_native() else "gap"
    if asked == "reset":
        native_module()  # raises, and says what to install, where it is not there
    return asked


def _threads(config: RunConfig) -> int:
    threads = config.simulation.threads
    return available_threads() if threads == "auto" else threads


def _voltage_neurons(config: RunConfig, network: NetworkModel) -> np.ndarray[Any, Any]:
    wanted = np.array(config.recording.voltage_of, dtype=np.int64)
    bad = wanted[wanted >= network.n_neurons]
    if bad.size:
        raise InputError(
            f"neuron {bad[0]} is not in the network",
            where="recording.voltage_of",
            expected=f"indices from 0 to {network.n_neurons - 1}",
        )
    return wanted.astype(np.int32)


def _refuse_other_labels(presentation: Presentation, network: NetworkModel) -> None:
    """Labels that the network has no readout group for: the stimulus is for another one."""
    try:
        labels(presentation.trials, len(network.readout))
    except ValueError as error:
        raise InputError(
            f"the trials cannot be classified: {error}",
            where=network.source.path,
            expected="a readout group for each label, and one response window",
        ) from error


def _recording(
    config: RunConfig,
    network: NetworkModel,
    plan: BuildPlan,
    presentation: Presentation,
    output: Output,
) -> Recording:
    return Recording(
        spikes=output.spikes,
        lgn_spikes=output.lgn_spikes,
        trials=presentation.trials,
        classes=plan.classes,
        n_lgn=plan.n_lgn,
        dt_ms=plan.dt_ms,
        voltage=output.voltage,
        annotations={
            "run": config.name,
            "seed": config.seed,
            "network_sha256": plan.network_sha256,
            "readout": [group.tolist() for group in network.readout],
            "lgn_input": "analog" if presentation.analog else "spikes",
            "v1sim_version": __version__,
        },
    )


def _write_recording(config: RunConfig, recording: Recording, folder: Path) -> None:
    if config.recording.nwb:
        write_nwb(recording, folder / "spikes.nwb")
    if config.recording.sonata:
        write_sonata(recording, folder / "spikes.h5")


def _run_findings(
    config: RunConfig, plan: BuildPlan, presentation: Presentation, output: Output
) -> tuple[Finding, ...]:
    """What read-back and activity show, in the language of the guards."""
    return (
        *read_back_findings(output.readback),
        *watch_run(
            config.watch,
            plan.classes,
            output.spikes,
            None if presentation.analog else output.lgn_spikes,
            plan.n_lgn,
            sum(trial.duration_ms for trial in presentation.trials),
        ),
    )


def _title(config: RunConfig, network: NetworkModel) -> str:
    return f"{config.name}: {network.n_neurons:,} neurons, {Path(network.source.path).name}"


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def _summary(folder: Path, recording: Recording, results: Results, clock: _Clock) -> str:
    """A few lines for the end of the command."""
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in clock.seconds.items())
    return "\n".join(
        [
            f"{len(recording.spikes):,} spikes of {recording.n_neurons:,} neurons in "
            f"{len(recording.trials)} trials, {np.nanmean(results.rate_hz):.2f} Hz on average",
            stages,
            f"{folder}/report.html",
        ]
    )
