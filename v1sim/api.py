"""The functions of v1sim for programs and notebooks; the command line calls them too.

==================== ============================================================
`open_network`       read a network; nothing is checked yet
`check`              say what a network's weights are, and what is wrong with it
`build`              PyNN populations and projections of a network that passes
`preview`            what a run would check, build and need
`run`                check, simulate, and leave a run folder
`open_run`           a run folder: report, recording, results, figure
`compare`            how runs differ: configuration, rates, tuning, accuracy, spikes
`diff`               how two networks differ
`convert`            a TensorFlow checkpoint into a network file with its proof
`verify`             who signed a network, and whether it is what was signed
`verify_dynamics`    NEST's spikes against true ones
`build_column`       the built-in column as a network file
==================== ============================================================

They are the members of the package itself: ``v1sim.check("net.h5")``. A path may be a `str` or
any `os.PathLike`; ``~`` and ``$NAME`` in it are what a shell would make of them. What goes wrong
is raised as an error of `v1sim.errors`, whose text says what was seen, where, what was expected
and what to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from v1sim import guard
from v1sim.errors import InputError
from v1sim.invocation import called_as
from v1sim.model import (
    ArrayRequirements,
    CheckReport,
    NetworkModel,
    Requirement,
    Strength,
    TrainingMinimum,
)
from v1sim.sources import open_network as _open_network
from v1sim.user_paths import expanded

if TYPE_CHECKING:  # checking loads no simulator, no plotting and no YAML
    from v1sim.comparison import Comparison
    from v1sim.config import Dynamics, RunConfig
    from v1sim.conversion.convert import Conversion
    from v1sim.conversion.dpointnet import DPointNetConversion
    from v1sim.pipeline import Preview
    from v1sim.runs import Run
    from v1sim.signing.signature import NetworkSignature
    from v1sim.simulation.build import Simulation
    from v1sim.sources.difference import NetworkDifference
    from v1sim.verification import Verification

__all__ = [
    "AnyPath",
    "build",
    "build_column",
    "check",
    "compare",
    "convert",
    "diff",
    "open_network",
    "open_run",
    "preview",
    "run",
    "verify",
    "verify_dynamics",
]

#: A path as people write it.
AnyPath = str | os.PathLike[str]
#: Told the stage, how much of it is done, and how much there is.
_Progress = Callable[[str, float, float], None]


def _path(path: AnyPath) -> Path:
    return expanded(Path(path))


def _path_or_none(path: AnyPath | None) -> Path | None:
    return None if path is None else _path(path)


def open_network(path: AnyPath) -> NetworkModel:
    """Read a network as it is, whatever its format: nothing converted, nothing judged.

    Parameters
    ----------
    path : str or PathLike
        A network file.

    Returns
    -------
    NetworkModel
        Its neurons, cell types and synapses as read-only arrays.

    Raises
    ------
    NetworkFileError
        If nothing is there that is a network.

    Examples
    --------
    >>> network = v1sim.open_network("net.h5")
    >>> network.tables["recurrent"].weight
    """
    return _open_network(_path(path))


def _network(network: AnyPath | NetworkModel) -> NetworkModel:
    return network if isinstance(network, NetworkModel) else open_network(network)


def check(
    network: AnyPath | NetworkModel,
    *,
    require: Requirement | ArrayRequirements = "trained",
    checkpoint: AnyPath | None = None,
    baseline: AnyPath | None = None,
    minimum: TrainingMinimum = TrainingMinimum(),  # noqa: B008, it is frozen
    strength: Strength = "evidence",
    trusted_keys: AnyPath | None = None,
    waive: Mapping[str, str] | None = None,
) -> CheckReport:
    """Say what a network's weights are, and everything that is wrong with it.

    Parameters
    ----------
    network : str, PathLike or NetworkModel
        A network file, or one that was read.
    require : {"trained", "constructed", "any"} or ArrayRequirements
        What the weights must be, all alike or array by array.
    checkpoint : str or PathLike, optional
        TensorFlow checkpoint (or its ``.index``) to prove the weights by.
    baseline : str or PathLike, optional
        The same network before training.
    minimum : TrainingMinimum
        The least that counts as a training.
    strength : {"evidence", "proof", "signed"}
        What settles the question whether the weights are trained.
    trusted_keys : str or PathLike, optional
        The keys that you trust (ssh-keygen's ``allowed_signers``); ``signed`` needs them.
    waive : mapping of str to str, optional
        The reason for each check that may fail, by its name.

    Returns
    -------
    CheckReport
        ``passed``, ``verdict``, ``proof``, ``findings``. A network that is refused is no
        error here.

    Raises
    ------
    NetworkFileError
        If the network or its baseline cannot be read.
    CheckpointError
        If the checkpoint cannot be used.
    InputError
        If ``signed`` is wanted and no keys are trusted, or the other way round.

    Examples
    --------
    >>> report = v1sim.check("net.h5")
    >>> report.passed, report.verdict
    (True, <Verdict.TRAINED: 'trained'>)
    """
    policy = guard.Policy(
        require=require,
        minimum=minimum,
        strength=strength,
        trusted_keys=_path_or_none(trusted_keys),
        waivers=dict(waive or {}),
        checkpoint=_path_or_none(checkpoint),
        baseline=_path_or_none(baseline),
    )
    return guard.examine(_network(network), policy)


def build(
    network: AnyPath | NetworkModel,
    *,
    require: Requirement | ArrayRequirements = "trained",
    waive: Mapping[str, str] | None = None,
    background: Literal["none", "mean", "shared_binomial", "independent_poisson"] = "mean",
    dynamics: Dynamics | Literal["auto"] = "auto",
    seed: int = 1,
    threads: int | None = None,
) -> Simulation:
    """Build a network that passes the guards as PyNN populations and projections on NEST.

    The kernel of NEST is reset: what was built before is gone.

    Parameters
    ----------
    network : str, PathLike or NetworkModel
        A network file, or one that was read.
    require, waive
        As in `check`.
    background : str
        What drives the background weights (docs/configuration.md).
    dynamics : str
        Equations of the neurons; "auto" takes what a run would.
    seed : int
        Of what NEST draws.
    threads : int, optional
        NEST's threads; by default the cores that this process may use.

    Returns
    -------
    Simulation
        ``populations`` and ``projections`` are PyNN's, by name; ``pynn`` is the module
        `pyNN.nest` that they belong to, as in ``simulation.pynn.run(100.0)``.

    Raises
    ------
    GuardRefusal
        If the guards refuse the network; it carries the report, and no neuron exists.
    NetworkFileError
        If the network cannot be read.

    Examples
    --------
    >>> simulation = v1sim.build("column.h5", require="constructed")
    >>> simulation.populations["e23"].record("V_m")
    >>> simulation.pynn.run(100.0)
    """
    policy = guard.Policy(require=require, waivers=dict(waive or {}))
    checked = guard.admit(_network(network), policy)
    from v1sim.cores import available_threads
    from v1sim.simulation.build import build as build_plan
    from v1sim.simulation.from_config import chosen_dynamics
    from v1sim.simulation.plan import make_plan

    plan = make_plan(
        checked, background=background, seed=seed, dynamics=chosen_dynamics(dynamics, checked)
    )
    return build_plan(plan, threads=available_threads() if threads is None else threads)


def _settings(
    config: AnyPath | Mapping[str, Any] | RunConfig, changes: Mapping[str, Any] | None
) -> RunConfig:
    from v1sim.config import RunConfig, resolved_config
    from v1sim.documents.document import plain
    from v1sim.inputs.run_file import load_run

    given, from_here = changes or {}, Path("changes")  # relative to the working directory
    if isinstance(config, RunConfig) and not given:
        return config
    if isinstance(config, RunConfig | Mapping):
        values = config.model_dump(mode="json") if isinstance(config, RunConfig) else plain(config)
        return resolved_config(
            values, {}, Path("configuration"), changes=given, changes_from=from_here
        )
    return load_run(_path(config), changes=given, changes_from=from_here)


def preview(
    config: AnyPath | Mapping[str, Any] | RunConfig, changes: Mapping[str, Any] | None = None
) -> Preview:
    """What a run would check, build and need; nothing is simulated or written.

    Parameters
    ----------
    config, changes
        As in `run`.

    Returns
    -------
    Preview
        The guards' report, and a text with populations, synapses, time and memory.

    Raises
    ------
    GuardRefusal, InputError
        As `run` would.
    """
    from v1sim import pipeline
    from v1sim.simulation.group import join

    return pipeline.preview(_settings(config, changes), join())


def run(
    config: AnyPath | Mapping[str, Any] | RunConfig,
    changes: Mapping[str, Any] | None = None,
    *,
    out: AnyPath | None = None,
    shared: AnyPath | None = None,
    save_state: AnyPath | None = None,
    force: bool = False,
    progress: bool | _Progress | None = None,
) -> Run:
    """Check a network, simulate it, and leave a folder with spikes, figure and report.

    Parameters
    ----------
    config : str, PathLike, mapping or RunConfig
        A run's YAML file, a SONATA simulation configuration, or what a YAML file would hold
        as a mapping (docs/configuration.md). Paths in a file are relative to it, those in a
        mapping to the working directory.
    changes : mapping, optional
        Values by dotted key (``{"stimulus.trials": 2, "simulation.threads": 4}``), with paths
        relative to the working directory.
    out : str or PathLike, optional
        Run folder; by default ``runs/NAME_TIME``.
    shared : str or PathLike, optional
        The folder ``shared`` of a sweep: what was checked and computed there is used.
    save_state : str or PathLike, optional
        File for the network's state at the end of the run.
    force : bool
        Whether to replace the run that is in ``out``.
    progress : bool or callable, optional
        True shows bars, False nothing; a callable is told ``(stage, done, total)``. By default
        bars are shown in a notebook alone.

    Returns
    -------
    Run
        The run folder.

    Raises
    ------
    GuardRefusal
        If the guards refuse the network; no neuron is created.
    InputError
        If configuration, network, stimulus or output folder cannot be used.
    SimulationError
        If the simulation fails.

    Examples
    --------
    >>> run = v1sim.run("configs/drifting_gratings.yaml", {"stimulus.trials": 1})
    >>> run.results.rate_hz.mean()
    """
    from v1sim import pipeline
    from v1sim.inputs.shared import SharedInput
    from v1sim.runs import Run
    from v1sim.simulation.group import join

    group = join()
    settings = _settings(config, changes)
    with _shown(progress if group.is_first else False) as told:
        result = pipeline.run(
            settings,
            out=_path_or_none(out),
            progress=told,
            command=called_as("v1sim.run"),
            inputs=None if shared is None else SharedInput(_path(shared)),
            group=group,
            save_state=_path_or_none(save_state),
            force=force,
        )
    return Run.of(result)


def _shown(progress: bool | _Progress | None) -> Any:
    """A context manager that gives the function to be told of progress."""
    from v1sim.report.notebook import NotebookProgress, in_notebook

    if callable(progress):
        return nullcontext(progress)
    if in_notebook() and progress is not False:
        return nullcontext(NotebookProgress())
    if progress:
        from rich.console import Console

        from v1sim.report.terminal import StageProgress

        return StageProgress(Console(stderr=True, highlight=False))
    return nullcontext(lambda *_: None)


def open_run(folder: AnyPath) -> Run:
    """A run folder: report, recording, results and figure.

    Parameters
    ----------
    folder : str or PathLike
        What ``v1sim run`` or `run` left.

    Returns
    -------
    Run
        Each file is read when it is first asked for.

    Raises
    ------
    InputError
        If the folder is not a run's.

    Examples
    --------
    >>> run = v1sim.open_run("runs/my_run")
    >>> run.recording.spikes.time_ms      # arrays
    >>> run.to_neo().segments[0]          # Neo
    >>> run.spikes()                      # pandas
    """
    from v1sim.runs import Run

    found = Run(_path(folder))
    _ = found.report  # raises, and says what it lacks, where the folder is no run's
    return found


def compare(*runs: AnyPath | Run, spikes: bool = False) -> Comparison:
    """Say how runs differ from the first of them.

    Neurons are paired where both runs have the same network, whatever its weights.

    Parameters
    ----------
    *runs : str, PathLike or Run
        Run folders, or folders of sweeps, which stand for all their complete runs.
    spikes : bool
        Whether to compare spike by spike as well, and say where they part.

    Returns
    -------
    Comparison
        ``document`` holds differences with intervals and effect sizes; ``text`` and
        ``figure()`` show them.

    Raises
    ------
    InputError
        If there are fewer than two runs, one cannot be read, or spikes of other trials are to
        be compared.

    Examples
    --------
    >>> v1sim.compare("runs/untrained", "runs/trained").figure()
    """
    from v1sim.comparison import compare_runs, find_runs
    from v1sim.runs import Run

    found = [
        run
        for given in runs
        for run in ([given] if isinstance(given, Run) else find_runs(_path(given)))
    ]
    return compare_runs(found, spikes=spikes)


def diff(before: AnyPath | NetworkModel, after: AnyPath | NetworkModel) -> NetworkDifference:
    """Say how two networks differ, whatever the order of their synapses.

    Parameters
    ----------
    before, after : str, PathLike or NetworkModel
        Two network files, or networks that were read.

    Returns
    -------
    NetworkDifference
        By array, pair of cell classes and receptor.

    Raises
    ------
    NetworkFileError
        If one of them cannot be read.
    InputError
        If indices of one are out of range.
    """
    from v1sim.sources.difference import compare_networks

    return compare_networks(_network(before), _network(after))


def convert(
    checkpoint: AnyPath,
    out: AnyPath,
    *,
    base: AnyPath | None = None,
    data_dir: AnyPath | None = None,
    readout: AnyPath | None = None,
    n_lgn: int | None = None,
    baseline: AnyPath | None = None,
    initial: AnyPath | None = None,
    weights: Literal["raw", "average"] = "raw",
    allow_untrained: bool = False,
    force: bool = False,
) -> Conversion | DPointNetConversion:
    """Convert what training left into a network file that carries its proof.

    Parameters
    ----------
    checkpoint : str or PathLike
        Prefix, ``.index`` or shard of the checkpoint; or the folder that DPointNet left.
    out : str or PathLike
        Network file to write; it appears when everything is proven, or not at all.
    base : str or PathLike, optional
        DPointNet's configuration, which names the circuit that was trained; then no other option
        but ``allow_untrained`` and ``force`` means anything.
    data_dir : str or PathLike, optional
        Training-data folder; gives names of types, positions, readout groups and the number
        of LGN cells, and is checked against the checkpoint.
    readout : str or PathLike, optional
        File with the readout groups.
    n_lgn : int, optional
        Number of LGN cells, where it is above the highest index in use.
    baseline, initial : str or PathLike, optional
        The network's file before training, or an earlier checkpoint of the same training.
    weights : {"raw", "average"}
        The weights, or the moving average that an optimizer with use_ema keeps of them.
    allow_untrained : bool
        Convert weights that are not trained, or not known to be, and mark them so.
    force : bool
        Whether to replace the file ``out``.

    Returns
    -------
    Conversion or DPointNetConversion
        The network, what its weights are called and why.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be used, or shows no training.
    InputError
        If the folder or the readout groups do not fit the checkpoint, ``base`` is not the circuit
        of the training, or its weights are untrained.
    MissingExtraError
        If TensorFlow is not installed.
    OutputError
        If the file cannot be written.
    """
    from v1sim.output import refuse_to_replace

    refuse_to_replace(_path(out), force=force)
    from v1sim.conversion import dpointnet

    if base is not None or dpointnet.is_training(_path(checkpoint)):
        given = {
            "data_dir": data_dir,
            "readout": readout,
            "n_lgn": n_lgn,
            "baseline": baseline,
            "initial": initial,
            "weights": None if weights == "raw" else weights,
        }
        if named := [name for name, value in given.items() if value is not None]:
            raise InputError(
                f"{', '.join(named)} mean nothing for a training of DPointNet",
                expected="base alone, which names all that it needs",
            )
        return dpointnet.convert(
            _path(checkpoint),
            _path_or_none(base),
            _path(out),
            command=called_as("v1sim.convert"),
            allow_untrained=allow_untrained,
        )
    from v1sim.conversion import convert as conversion

    return conversion.convert(
        _path(checkpoint),
        _path(out),
        command=called_as("v1sim.convert"),
        data_dir=_path_or_none(data_dir),
        readout=_path_or_none(readout),
        n_lgn=n_lgn,
        baseline=_path_or_none(baseline),
        initial=_path_or_none(initial),
        weights=weights,
        allow_untrained=allow_untrained,
    )


def verify(network: AnyPath | NetworkModel, trusted_keys: AnyPath) -> NetworkSignature:
    """Say who signed a network, and whether it is still what was signed.

    Parameters
    ----------
    network : str, PathLike or NetworkModel
        A network file, or one that was read.
    trusted_keys : str or PathLike
        The keys that you trust (ssh-keygen's ``allowed_signers``).

    Returns
    -------
    NetworkSignature
        ``holds`` says whether the signature does, ``problem`` why not, ``statement`` what
        was signed.

    Raises
    ------
    InputError
        If the network or the keys cannot be read.
    """
    from v1sim.signing.signature import read_signature

    return read_signature(_network(network), _path(trusted_keys))


def verify_dynamics(
    network: AnyPath,
    *,
    config: AnyPath | None = None,
    spikes: AnyPath | Sequence[AnyPath] | None = None,
    truth: AnyPath | None = None,
    voltages: AnyPath | None = None,
    groups: tuple[str, ...] = (),
    threads: int | None = None,
    progress: bool | _Progress | None = None,
) -> Verification:
    """Compare NEST's neurons with the equations of training, spike by spike.

    Parameters
    ----------
    network : str or PathLike
        A network file, trained or not.
    config : str or PathLike, optional
        Configuration of DPointNet: ``truth`` then are spikes that it wrote of an inference.
    spikes : str or PathLike, or a sequence of them, optional
        HDF5 file with ``input_spikes``; by default those of the truth, or drawn ones. With
        ``config``: SONATA files of recorded spikes of source populations, in place of those that
        it names.
    truth : str or PathLike, optional
        HDF5 file with another simulator's spikes; by default v1sim's NumPy reference.
    voltages : str or PathLike, optional
        With ``config``: normalised voltages that DPointNet wrote of the inference.
    groups : tuple of str
        Groups of the truth; by default all that are of this network.
    threads : int, optional
        NEST's threads; by default the cores that this process may use.
    progress
        As in `run`.

    Returns
    -------
    Verification
        ``proven`` says whether every spike is equal; the rest is by group and trial.

    Raises
    ------
    InputError
        If a file cannot be used, or fits no other.
    """
    from v1sim import verification

    one = (spikes,) if isinstance(spikes, str | os.PathLike) else tuple(spikes or ())
    given = [_path(path) for path in one]
    if config is not None and (truth is None or groups):
        raise InputError(
            "a configuration of DPointNet without a truth, or with groups",
            where="verify-dynamics",
            expected="CONFIG.json and SPIKES.h5 (--truth), as DPointNet wrote them",
        )
    if config is None and (voltages is not None or len(given) > 1):
        raise InputError(
            "voltages, or several files of spikes, without a configuration of DPointNet",
            where="verify-dynamics",
            expected="its configuration (--config)",
        )
    with _shown(progress) as told:
        if config is not None and truth is not None:
            return verification.verify_dpointnet(
                _path(network),
                _path(config),
                _path(truth),
                voltages=_path_or_none(voltages),
                replayed=given,
                threads=threads,
                progress=told,
            )
        return verification.verify_dynamics(
            _path(network),
            spikes=given[0] if given else None,
            truth=_path_or_none(truth),
            groups=groups,
            threads=threads,
            progress=told,
        )


def build_column(
    out: AnyPath,
    *,
    neurons: int = 2000,
    lgn: int | None = None,
    seed: int = 1,
    force: bool = False,
) -> NetworkModel:
    """Write the built-in column: constructed from published figures, not trained.

    Parameters
    ----------
    out : str or PathLike
        Network file to write.
    neurons : int
        Number of neurons, 200 to 250,000.
    lgn : int, optional
        Number of LGN cells; by default as many as fit the neurons.
    seed : int
        Of the construction.
    force : bool
        Whether to replace the file.

    Returns
    -------
    NetworkModel
        The network in that file.

    Raises
    ------
    ConfigError
        If a number is out of range.
    OutputError
        If the file cannot be written.
    """
    from v1sim.output import refuse_to_replace

    refuse_to_replace(_path(out), force=force)
    from v1sim.config import BuiltInColumn, validate
    from v1sim.sources.column import open_column
    from v1sim.sources.hdf5 import write_network

    wanted = {"neurons": neurons, "lgn": lgn, "seed": seed}
    column = validate(BuiltInColumn, wanted, "build_column")
    return write_network(open_column(column, command=called_as("v1sim.build_column")), _path(out))
