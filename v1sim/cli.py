"""The command line: parse, call one function, print, exit.

Exit codes: 0 done, 1 refused by the guards, 2 usage or input, 3 simulation failed
(or interrupted).
"""

from __future__ import annotations

import functools
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast, get_args

import typer
from rich.console import Console

from v1sim.errors import (
    DisagreementError,
    GuardRefusal,
    InputError,
    NetworkFileError,
    SimulationError,
    V1simError,
)
from v1sim.invocation import as_command
from v1sim.memory import is_lack_of_memory, lack_of_memory
from v1sim.model import ArrayRequirements, Requirement, Strength, TrainingMinimum
from v1sim.printable import printable
from v1sim.user_paths import expanded

if TYPE_CHECKING:  # pydantic takes a tenth of a second
    from v1sim.config_section import Section
    from v1sim.documents.check import CheckDocument
    from v1sim.documents.document import Document
    from v1sim.model import CheckReport, NetworkModel
    from v1sim.verdict import Policy

__all__ = ["app", "main"]

app = typer.Typer(
    rich_markup_mode="rich" if sys.stderr.isatty() else None,  # boxes are for terminals
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    help="Guarded simulation of the Billeh/Allen mouse V1 model through PyNN on NEST.",
)
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)
_silent = Console(quiet=True)

#: What ``v1sim`` alone shows.
_GUIDE = """\
v1sim simulates networks of mouse V1 in NEST, and only such as its guards let through.

  v1sim run configs/drifting_gratings.yaml        show gratings to a column; figure and report
  v1sim demo                                      trained or not? why it matters, in a minute
  v1sim check net.h5                              are these weights trained? what is wrong?
  v1sim convert ckpt_1000 --out net.h5            a TensorFlow checkpoint, with its proof
  v1sim run CONFIG --set network=net.h5           any key of a configuration can be set
  v1sim compare runs/a runs/b                     how two runs differ
  v1sim batch configs/sweeps/contrast.yaml -j 2   many runs, resumed where they were left
  v1sim doctor                                    is anything wrong with this installation?

v1sim --help lists all commands, v1sim COMMAND --help the options of one.
v1sim --install-completion lets the Tab key complete both.
"""

_Section = TypeVar("_Section", bound="Section")
_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key, for example stimulus.trials=2."
    ),
]
_Waive = Annotated[
    list[str] | None,
    typer.Option("--waive", metavar="CHECK=REASON", help="Let one check pass, for a reason."),
]
_Baseline = Annotated[
    Path | None, typer.Option("--baseline", help="The same network before training.")
]
_Initial = Annotated[
    Path | None,
    typer.Option("--initial", help="An earlier checkpoint of the same training, to compare with."),
]
_Force = Annotated[bool, typer.Option("--force", help="Replace what is under that name.")]
_Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        envvar="V1SIM_SIGNING_KEY",
        help="Sign the file with this SSH key once it is written.",
    ),
]
_TrustedKeys = Annotated[
    Path | None,
    typer.Option(
        "--trusted-keys",
        help="Require the signature of one of these keys (ssh-keygen's allowed_signers).",
    ),
]
_Json = Annotated[
    Path | None, typer.Option("--json", help="Write it as JSON ('-': to the screen).")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        from v1sim import __version__

        _print(f"v1sim {__version__}")
        raise typer.Exit


@app.callback()
def _any_command(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Say which it is."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Anywhere: show the full traceback of an error.")
    ] = False,
) -> None:
    """What stands before the command; `_main` takes ``--debug`` wherever it is."""
    if context.invoked_subcommand is None:
        _print(_GUIDE)


def _expanded(value: Any) -> Any:
    """An argument; of a path what ``~`` and variables in it stand for."""
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return expanded(value) if isinstance(value, Path) else value


def _command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command; Ctrl-C in it is an error of ours, not an exit code of typer's."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def interruptible(**arguments: Any) -> None:
            try:
                function(**{key: _expanded(value) for key, value in arguments.items()})
            except KeyboardInterrupt:
                raise SimulationError("interrupted; nothing was left under a final name") from None

        app.command(name)(interruptible)
        return function

    return register


def _waivers(given: Sequence[str] | None) -> dict[str, str]:
    waivers = {}
    for item in given or ():
        check, equals, reason = item.partition("=")
        if not (check.strip() and equals and reason.strip()):
            raise InputError(
                f"{item!r} waives nothing",
                where="--waive",
                expected="CHECK=REASON, for example 'structure.duplicates=known, see notebook 12'",
            )
        waivers[check.strip()] = reason.strip()
    return waivers


@_command("run")
def run(
    config: Annotated[Path, typer.Argument(help="A run's YAML file, or a SONATA configuration.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Run folder; default: runs/NAME_TIME.")
    ] = None,
    overrides: _Set = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="NEST's threads.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the network and print what would be built.")
    ] = False,
    waive: _Waive = None,
    shared: Annotated[
        Path | None,
        typer.Option("--shared", help="What a batch has checked and computed (v1sim batch)."),
    ] = None,
    save_state: Annotated[
        Path | None,
        typer.Option("--save-state", help="File for the network's state at the end of the run."),
    ] = None,
    force: _Force = False,
) -> None:
    """Check a network, simulate it, and leave a folder with spikes, figure and report."""
    from v1sim import api
    from v1sim.inputs.run_file import load_run
    from v1sim.report.terminal import StageProgress, check_report, show
    from v1sim.simulation.group import join

    group = join()
    settings = load_run(config, [*(overrides or ()), *_thread_override(threads)])
    settings = settings.model_copy(update={"waive": {**settings.waive, **_waivers(waive)}})
    if dry_run:
        preview = api.preview(settings)
        if group.is_first:
            show(_out, check_report(preview.guard.to_report()))
            _print("\n" + preview.text)
        return
    with StageProgress(_err if group.is_first else _silent) as progress:
        done = api.run(
            settings,
            out=out,
            shared=shared,
            save_state=save_state,
            force=force,
            progress=progress,
        )
    if group.is_first:
        show(_out, check_report(done.report.guard.to_report()))
        _print("\n" + done.text)
    if done.report.errors and settings.watch.on_error == "fail":
        raise typer.Exit(SimulationError.exit_code)


def _thread_override(threads: int | None) -> list[str]:
    return [] if threads is None else [f"simulation.threads={threads}"]


@_command("batch")
def batch(
    sweep: Annotated[Path, typer.Argument(help="A sweep's YAML file.")],
    local: Annotated[bool, typer.Option("--local", help="Run on this machine (default).")] = False,
    slurm: Annotated[bool, typer.Option("--slurm", help="Give the runs to Slurm.")] = False,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, help="Most runs at a time.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="NEST's threads of each run here.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Sweep folder; default: sweeps/NAME.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a sweep; refuse to begin one.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run only what failed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the networks; print runs and what they need.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Say where each run stands.")] = False,
    collect: Annotated[
        bool, typer.Option("--collect", help="Write one table and figure of all results.")
    ] = False,
) -> None:
    """Run a sweep: what is not done yet, each run in a process and folder of its own."""
    from v1sim.batch import command
    from v1sim.report.terminal import StageProgress

    wanted = {"--dry-run": dry_run, "--status": status, "--collect": collect}
    wanted |= {"--local": local, "--slurm": slurm}
    given = [name for name, value in wanted.items() if value]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} exclude each other", expected="one of them")
    request = command.Request(
        sweep=sweep,
        out=out,
        slurm=slurm,
        jobs=jobs,
        threads=threads,
        resume=resume,
        retry_failed=retry_failed,
        command=shlex.join(sys.argv),
    )
    with StageProgress(_err) as progress:
        if dry_run:
            text = command.dry_run(request, progress)
        elif status:
            text = command.status(request)
        elif collect:
            text = command.collect(request)
        else:
            text = command.start(request, progress)
    _print(text)


@_command("check")
def check(
    network: Annotated[Path, typer.Argument(help="A network's HDF5 file.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="TensorFlow checkpoint, or its .index, to prove it by."),
    ] = None,
    baseline: _Baseline = None,
    trained: Annotated[
        Path | None,
        typer.Option(
            "--trained",
            help="Weights that DPointNet left, of the circuit of its configuration NETWORK.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report as JSON ('-': to the screen).")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write the report as a page with pictures.")
    ] = None,
    require: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="What the weights must be: trained, constructed or any; or each array, as "
            "recurrent=trained,input=any.",
        ),
    ] = "trained",
    minimum: Annotated[
        str,
        typer.Option(
            metavar="LEAST", help="What counts as a training, as updates=20,change=0.1 (default)."
        ),
    ] = "",
    strength: Annotated[Strength, typer.Option(help="What settles it.")] = "evidence",
    trusted_keys: _TrustedKeys = None,
    waive: _Waive = None,
) -> None:
    """Say what a network file's weights are, and everything that is wrong with it."""
    from v1sim import api
    from v1sim.report.terminal import check_report, show

    try:
        held = api.open_network(network) if trained is None else _trained(trained, network)
        report = api.check(
            held,
            require=_requirement(require),
            checkpoint=checkpoint,
            baseline=baseline,
            minimum=_minimum(minimum),
            strength="signed" if trusted_keys is not None else strength,
            trusted_keys=trusted_keys,
            waive=_waivers(waive),
        )
    except NetworkFileError as error:
        unreadable = functools.partial(_check_document, error)
        _write_json(json_file, unreadable)
        if html_file is not None:
            from v1sim.report.network_html import write_unreadable_html

            write_unreadable_html(unreadable(), html_file)
        raise
    _write_json(json_file, lambda: _check_document(report))
    if html_file is not None:
        from v1sim.report.network_html import write_network_html

        write_network_html(held, report, html_file, baseline=baseline, checkpoint=checkpoint)
    if str(json_file) != "-":
        show(_out, check_report(report))
    if not report.passed:
        raise typer.Exit(GuardRefusal.exit_code)


def _trained(trained: Path, config: Path) -> NetworkModel:
    """What DPointNet left of the circuit of its configuration, as a network."""
    from v1sim.conversion.dpointnet import open_training

    return open_training(trained, config, command=shlex.join(sys.argv)).sealed()


def _requirement(text: str) -> Requirement | ArrayRequirements:
    """``--require``: a word for all weights, or one for each array."""
    if text in get_args(Requirement):
        return cast("Requirement", text)
    from v1sim.config import RequireConfig  # it knows every stimulus: only where it is needed

    return _section(RequireConfig, text, "--require").of_arrays()


def _minimum(text: str) -> TrainingMinimum:
    """``--minimum``: what counts as a training."""
    if not text:
        return TrainingMinimum()
    from v1sim.config import MinimumConfig

    return _section(MinimumConfig, text, "--minimum").of_training()


def _section(model: type[_Section], text: str, option: str) -> _Section:
    """``key=value,key=value`` as a section of a configuration."""
    from v1sim.config import validate
    from v1sim.yaml_reader import YamlReader

    value = YamlReader(f"{{{text.replace('=', ': ')}}}", option).value
    return validate(model, value, option)


def _check_document(seen: CheckReport | NetworkFileError) -> CheckDocument:
    from v1sim.documents.check import CheckDocument

    if isinstance(seen, NetworkFileError):
        return CheckDocument.of_unreadable(seen)
    return CheckDocument.of_report(seen)


def _write_json(path: Path | None, document: Callable[[], Document]) -> None:
    """Write a document, which is made where it is wanted."""
    if path is None:
        return
    if str(path) == "-":
        sys.stdout.write(document().to_text())
        return
    document().write(path)


@_command("build-column")
def build_column(
    out: Annotated[Path, typer.Option("--out", help="Network file to write.")],
    neurons: Annotated[int, typer.Option("--neurons", min=200, max=250_000)] = 2000,
    lgn: Annotated[int | None, typer.Option("--lgn", min=100, help="LGN cells.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 1,
    force: _Force = False,
) -> None:
    """Write the built-in column: constructed from published figures, not trained."""
    from v1sim import api

    network = api.build_column(out, neurons=neurons, lgn=lgn, seed=seed, force=force)
    _print(
        f"{out}: {network.n_neurons:,} neurons, {network.lgn.size:,} LGN cells, "
        f"{len(network.tables['recurrent']):,} recurrent and "
        f"{len(network.tables['lgn']):,} LGN synapses (constructed, not trained)"
    )


@_command("convert")
def convert(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A checkpoint: its prefix or its .index; or the folder that DPointNet left."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Network file to write.")],
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Training data: names, positions, readout.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", help="DPointNet's configuration: the circuit that was trained."),
    ] = None,
    readout: Annotated[
        Path | None, typer.Option("--readout", help="Readout groups: .h5, .json, .npy or text.")
    ] = None,
    lgn: Annotated[int | None, typer.Option("--lgn", min=1, help="LGN cells.")] = None,
    baseline: _Baseline = None,
    initial: _Initial = None,
    weights: Annotated[
        Literal["raw", "average"],
        typer.Option("--weights", help="The weights, or their moving average (use_ema)."),
    ] = "raw",
    allow_untrained: Annotated[
        bool,
        typer.Option(
            "--allow-untrained",
            help="Convert weights that are not trained, or not known to be, and mark them.",
        ),
    ] = False,
    key: _Key = None,
    force: _Force = False,
) -> None:
    """Convert what training left into a network file that carries its proof."""
    from v1sim import api
    from v1sim.output import refuse_to_replace

    refuse_to_replace(out, force=force)
    if key is not None:
        from v1sim.signer import require_key

        require_key(key)
    from v1sim.report.dpointnet import conversion_text

    done = api.convert(
        checkpoint,
        out,
        base=base,
        data_dir=data_dir,
        readout=readout,
        n_lgn=lgn,
        baseline=baseline,
        initial=initial,
        weights=weights,
        allow_untrained=allow_untrained,
        force=True,  # asked above
    )
    _print(conversion_text(done))
    if key is not None:
        required = "any" if allow_untrained else "trained"
        proof = None if base is not None else checkpoint  # DPointNet leaves none
        _sign(out, key, _policy_of_signing(required, proof, baseline))


@_command("stamp")
def stamp(
    network: Annotated[Path, typer.Argument(help="A network's HDF5 file.")],
    checkpoint: Annotated[
        Path, typer.Option("--checkpoint", help="Its checkpoint; the .index alone is enough.")
    ],
    baseline: _Baseline = None,
    initial: _Initial = None,
    key: _Key = None,
) -> None:
    """Prove an existing network file against its checkpoint and write the proof into it."""
    if key is not None:
        from v1sim.signer import require_key

        require_key(key)
    from v1sim.conversion import convert as conversion
    from v1sim.report.conversion import comparison_text, conversion_text

    done = conversion.stamp(
        network, checkpoint, command=shlex.join(sys.argv), baseline=baseline, initial=initial
    )
    if not done.comparison.equal:
        _print(f"{network}: nothing was written, it is {comparison_text(done.comparison)}")
        raise typer.Exit(GuardRefusal.exit_code)
    _print(conversion_text(done))
    if key is not None:
        _sign(network, key, _policy_of_signing("trained", checkpoint, baseline))


def _policy_of_signing(
    require: str, checkpoint: Path | None, baseline: Path | None, waive: _Waive = None
) -> Policy:
    from v1sim.verdict import Policy

    return Policy(
        require=_requirement(require),
        waivers=_waivers(waive),
        checkpoint=checkpoint,
        baseline=baseline,
    )


def _sign(network: Path, key: Path, policy: Policy, training_code: str | None = None) -> None:
    from v1sim.report.terminal import check_report, show
    from v1sim.signer import sign_file
    from v1sim.signing.signature import statement_path

    signed = sign_file(network, key, policy, training_code=training_code)
    if signed.statement is None:
        show(_out, check_report(signed.report))
        _print(f"{network}: nothing was signed")
        raise typer.Exit(GuardRefusal.exit_code)
    said = signed.statement.predicate
    proof = f" (proof: {said.proof})" if said.proof else ""
    at = statement_path(network)
    _print(f"{network}: signed as {said.verdict}{proof}")
    _print(f"  {at} and {at.name}.sig go with it wherever it goes")


@_command("demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to make.")] = Path("v1sim-demo"),
    force: _Force = False,
) -> None:
    """Show what the guards are for, on a small network that was really trained."""
    from v1sim.demo import demonstrate
    from v1sim.report.terminal import StageProgress

    with StageProgress(_err) as progress:
        for step in demonstrate(out, progress, force=force):
            _print(f"$ {step.typed}\n{step.seen}\n")


@_command("compare")
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, or a sweep's; the first is the reference.")
    ],
    spikes: Annotated[
        bool, typer.Option("--spikes", help="Compare spike by spike, and say where they part.")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Write the figure: .png, .pdf or .svg.")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write the comparison as a page.")
    ] = None,
    json_file: _Json = None,
) -> None:
    """Say how runs differ: configuration, network, rates, tuning, accuracy, and spikes."""
    from v1sim import api

    done = api.compare(*runs, spikes=spikes)
    _write_json(json_file, lambda: done.document)
    if html_file is not None:
        from v1sim.report.comparison import write_comparison_html

        write_comparison_html(done.document, html_file)
    if figure is not None:
        from v1sim.report.figures import save_figure

        save_figure(done.figure(), figure)
    if str(json_file) != "-":
        _print(done.text)


@_command("sign")
def sign(
    network: Annotated[Path, typer.Argument(help="A network.")],
    key: Annotated[
        Path,
        typer.Option("--key", envvar="V1SIM_SIGNING_KEY", help="SSH key to sign it with."),
    ],
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="TensorFlow checkpoint to prove it by.")
    ] = None,
    baseline: _Baseline = None,
    require: Annotated[
        str, typer.Option(metavar="WHAT", help="What the weights must be, as of v1sim check.")
    ] = "trained",
    training_code: Annotated[
        str | None,
        typer.Option("--training-code", metavar="COMMIT", help="Of the code that trained it."),
    ] = None,
    waive: _Waive = None,
) -> None:
    """Check a network and sign it: who holds the key vouches for what it is."""
    _sign(network, key, _policy_of_signing(require, checkpoint, baseline, waive), training_code)


@_command("verify")
def verify(
    network: Annotated[Path, typer.Argument(help="A network.")],
    trusted_keys: Annotated[
        Path,
        typer.Option("--trusted-keys", help="The keys that you trust (allowed_signers)."),
    ],
) -> None:
    """Say who signed a network, and whether it is still what was signed."""
    from v1sim import api

    signature = api.verify(network, trusted_keys)
    if not signature.holds or signature.statement is None:
        _print(f"{network}: NOT SIGNED by a trusted key: {signature.problem}")
        raise typer.Exit(GuardRefusal.exit_code)
    said = signature.statement
    proof = f" (proof: {said.proof})" if said.proof else ""
    _print(f"{network}: signed by {signature.signer} on {said.signed_at}")
    _print(f"  as {said.verdict}{proof}; every array is the one that was signed")
    if said.checkpoint is not None:
        _print(f"  equal to the checkpoint {said.checkpoint.name}, {said.checkpoint.compared}")
    if said.training_code is not None:
        _print(f"  trained by the code at {said.training_code}")


@_command("inspect")
def inspect(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint: its prefix or its .index.")],
    baseline: _Baseline = None,
    initial: _Initial = None,
    json_file: _Json = None,
) -> None:
    """Say what a checkpoint is, from its index, and what convert would make of it."""
    from v1sim.conversion.inspection import inspect_checkpoint, inspection_document
    from v1sim.report.conversion import inspection_text

    inspection = inspect_checkpoint(checkpoint, baseline=baseline, initial=initial)
    _write_json(json_file, lambda: inspection_document(inspection))
    if str(json_file) != "-":
        _print(inspection_text(inspection))


@_command("baseline")
def baseline(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Folder of the training data.")],
    out: Annotated[Path, typer.Option("--out", help="Network file to write.")],
    neurons: Annotated[
        int | None, typer.Option("--neurons", min=1, help="Neurons; default: all.")
    ] = None,
    selection: Annotated[
        Literal["connected", "core", "random"],
        typer.Option(help="Nearest to the axis, within 400 um of it, or any."),
    ] = "connected",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of core and random.")] = 3000,
    delays: Annotated[
        Literal["own", "published"],
        typer.Option(help="Each synapse's own, or as the published loader mixes them."),
    ] = "own",
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Take the neurons and delays of this one.")
    ] = None,
    force: _Force = False,
) -> None:
    """Write the untrained network of a training-data folder."""
    from v1sim.output import refuse_to_replace

    refuse_to_replace(out, force=force)
    from v1sim.checkpoints.baseline import write_baseline

    done = write_baseline(
        data_dir,
        out,
        command=shlex.join(sys.argv),
        n_neurons=neurons,
        selection=selection,
        seed=seed,
        delays=delays,
        checkpoint=checkpoint,
    )
    made = done.network
    _print(
        f"{out}: {made.n_neurons:,} neurons (selected: {done.selection}), {made.lgn.size:,} LGN "
        f"cells, {len(made.tables['recurrent']):,} recurrent and "
        f"{len(made.tables['lgn']):,} LGN synapses, delays: {done.delays} (untrained)"
    )


@_command("diff")
def diff(
    before: Annotated[Path, typer.Argument(help="A network's HDF5 file.")],
    after: Annotated[Path, typer.Argument(help="Another.")],
    json_file: _Json = None,
    html_file: Annotated[
        Path | None,
        typer.Option("--html", help="Write the guards' page of the second beside the first."),
    ] = None,
) -> None:
    """Say how two networks differ, by array, class pair and receptor, whatever their edge order."""
    from v1sim import api
    from v1sim.report.conversion import difference_text
    from v1sim.sources.difference import difference_document

    other = api.open_network(after)
    difference = api.diff(before, other)
    _write_json(json_file, lambda: difference_document(difference))
    if html_file is not None:
        from v1sim.report.network_html import write_network_html

        report = api.check(other, require="any", baseline=before)
        write_network_html(other, report, html_file, baseline=before)
    if str(json_file) != "-":
        _print(difference_text(difference))


@_command("export")
def export(
    network: Annotated[Path, typer.Argument(help="A network's file.")],
    sonata: Annotated[
        Path | None, typer.Option("--sonata", help="Folder of the SONATA circuit to write.")
    ] = None,
    edges_like: Annotated[
        Path | None,
        typer.Option("--edges-like", help="Edges file whose rows the weights are written into."),
    ] = None,
    suffix: Annotated[
        str, typer.Option("--suffix", help="Of the new edges file, beside the other.")
    ] = "trained",
    out: Annotated[Path | None, typer.Option("--out", help="Another name for it.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration of the edges file's circuit.")
    ] = None,
    spikes: Annotated[
        Path | None, typer.Option("--spikes", help="SONATA spikes of the LGN, for the circuit.")
    ] = None,
    background: Annotated[
        Path | None,
        typer.Option("--background", help="Recorded draws of the background; default: its mean."),
    ] = None,
    duration: Annotated[
        float, typer.Option("--duration", min=1.0, help="What the circuit simulates, ms.")
    ] = 1000.0,
    force: _Force = False,
) -> None:
    """Write a network as a SONATA circuit, or its weights into the rows of an edges file."""
    if (sonata is None) == (edges_like is None):
        raise InputError(
            "nothing says what to write" if sonata is None else "two things are to be written",
            where="v1sim export",
            expected="--sonata FOLDER or --edges-like EDGES.h5",
        )
    from v1sim.sources import open_network

    held = open_network(network)
    if edges_like is not None:
        from v1sim.sources.edges_like import write_edges_like

        written = write_edges_like(
            held, edges_like, command=shlex.join(sys.argv), suffix=suffix, out=out, config=config,
            force=force,
        )  # fmt: skip
        counts = [
            f"{n:,} edges {name}, {written.n_changed[name]:,} with another weight"
            for name, n in written.n_edges.items()
        ]
        path, notes = written.path, written.notes
    else:
        from v1sim.sources.sonata.writer import write_circuit

        assert sonata is not None
        done = write_circuit(
            held, sonata, command=shlex.join(sys.argv), background=background, spikes=spikes,
            duration_ms=duration, force=force,
        )  # fmt: skip
        counts = [f"{n:,} nodes of {name}" for name, n in done.n_nodes.items()]
        counts += [f"{n:,} edges {name}" for name, n in done.n_edges.items()]
        path, notes = done.folder, done.notes
    _print("\n".join([f"{path}: {', '.join(counts)}", *(f"  {note}" for note in notes)]))


@_command("import")
def import_(
    circuit: Annotated[Path, typer.Argument(help="A SONATA configuration, or another network.")],
    out: Annotated[Path, typer.Option("--out", help="Network file to write.")],
    force: _Force = False,
) -> None:
    """Write a SONATA circuit as a network file, with its names, ids and what was odd in it."""
    from v1sim.output import refuse_to_replace

    refuse_to_replace(out, force=force)
    from v1sim.sources import open_network
    from v1sim.sources.hdf5 import write_network
    from v1sim.sources.sonata.origin import origin_of

    command = shlex.join(sys.argv)
    network = open_network(circuit)
    held = write_network(network, out, provenance=origin_of(network, command))
    synapses = [f"{len(table):,} synapses {name}" for name, table in held.tables.items()]
    remarks = f"; {len(held.remarks)} remarks: v1sim check says them" if held.remarks else ""
    _print(f"{out}: {held.n_neurons:,} neurons, {', '.join(synapses)}{remarks}")


def _print(text: str) -> None:
    """Text as it is: no markup, no wrapping, and no control characters that a file may hold."""
    _out.print(printable(text), markup=False, soft_wrap=True)


def _print_error(text: str) -> None:
    _err.print(f"v1sim: {printable(text)}", style="red", markup=False, soft_wrap=True)


@_command("verify-dynamics")
def verify_dynamics(
    network: Annotated[Path, typer.Argument(help="A network's HDF5 file, trained or not.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", help="DPointNet's configuration, for spikes that it wrote."),
    ] = None,
    spikes: Annotated[
        list[Path] | None,
        typer.Option(
            "--spikes",
            help="HDF5 with input_spikes; default: the truth's, or drawn. With --config: recorded "
            "spikes of source populations (SONATA), may be repeated.",
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="HDF5 with another simulator's spikes z and voltage_mV."),
    ] = None,
    voltages: Annotated[
        Path | None,
        typer.Option("--voltages", help="With --config: normalised voltages that it wrote."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="Group of the truth; default: all of this network."),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="NEST's threads.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the result as JSON ('-': to the screen).")
    ] = None,
) -> None:
    """Compare NEST's neurons with the equations of training, spike by spike."""
    from v1sim import api
    from v1sim.report.terminal import StageProgress, agreement_report, show

    with StageProgress(_err) as progress:
        result = api.verify_dynamics(
            network,
            config=config,
            spikes=[expanded(path) for path in spikes or ()],
            truth=truth,
            voltages=voltages,
            groups=tuple(group or ()),
            threads=threads,
            progress=progress,
        )
    _write_json(json_file, result.to_document)
    if str(json_file) != "-":
        show(_out, agreement_report(result))
    if not result.proven:
        raise DisagreementError(
            "the training dynamics in NEST differ from the truth",
            where=str(truth or "NumPy reference"),
            expected="every spike equal, in float64 or in float32",
            hint="the distances from threshold above tell rounding (below 1e-5) from other causes",
        )


@_command("stimulus")
def stimulus(
    config: Annotated[Path, typer.Argument(help="A run's YAML file.")],
    out: Annotated[Path, typer.Option("--out", help="Stimulus file (HDF5) to write.")],
    overrides: _Set = None,
    force: _Force = False,
) -> None:
    """Write what a run will be shown: LGN probabilities, and a picture of them."""
    from v1sim.output import refuse_to_replace

    refuse_to_replace(out, force=force)
    from v1sim.inputs.run_file import load_run
    from v1sim.report.stimulus_file import write_stimulus

    settings = load_run(config, overrides or ())
    text = write_stimulus(settings, out, command=shlex.join(sys.argv))
    _print(text)


@_command("report")
def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
) -> None:
    """Analyse a run's spikes again and renew its figure, tables and report."""
    from v1sim.report.run_folder import renew_report

    _print(f"{renew_report(folder)}")


@_command("doctor")
def doctor(json_file: _Json = None) -> None:
    """Look at what v1sim runs in (NEST, compiler, MPI, caches, cores), and say what to do."""
    from v1sim.doctor import examine_environment
    from v1sim.report.terminal import doctor_text

    found = examine_environment()
    _write_json(json_file, lambda: found)
    if str(json_file) != "-":
        _print(doctor_text(found))
    if found.is_bad:
        raise typer.Exit(InputError.exit_code)


def main() -> None:
    """Run the command line; every error ends as one message and an exit code.

    A process that fails among several (mpirun, srun) ends all of them.
    """
    try:
        _main()
    except SystemExit as end:
        if end.code:
            from v1sim.simulation.group import abort

            abort(end.code if isinstance(end.code, int) else 3)
        raise


def _run_app(arguments: list[str]) -> None:
    try:
        with as_command(shlex.join(sys.argv)):
            app(arguments, prog_name="v1sim", standalone_mode=True)
    except Exception:
        from v1sim.simulation.group import wait_for_first

        wait_for_first()
        raise


def _main() -> None:
    debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    # A cluster ends jobs with SIGTERM: then, as after Ctrl-C, nothing half-written stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run_app(arguments)
    except V1simError as error:
        if debug:
            raise
        if isinstance(error, GuardRefusal):
            from v1sim.report.terminal import check_report, show

            show(_out, check_report(error.report))
        _print_error(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        if is_lack_of_memory(error):
            told = lack_of_memory(error)
            _print_error(str(told))
            sys.exit(told.exit_code)
        _print_error(
            f"unexpected {type(error).__name__}: {error}\n"
            "  what to do: this is a fault of v1sim; repeat with --debug and report the trace"
        )
        sys.exit(3)
