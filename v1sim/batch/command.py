"""What ``v1sim batch`` does: start or resume a sweep, look at it, collect it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from v1sim.batch import slurm as slurm_jobs
from v1sim.batch.folder import RunState, Status, SweepFolder
from v1sim.batch.job import environment, threads_for
from v1sim.batch.local import run_local
from v1sim.batch.prepare import prepare
from v1sim.batch.sweep import Sweep, SweepRun, load_sweep
from v1sim.batch.warm import WarmProcesses
from v1sim.cores import separate_cores, variables_that_bind
from v1sim.errors import InputError, SimulationError
from v1sim.inputs.shared import SharedInput
from v1sim.output import naming_a_full_disk

__all__ = ["Request", "collect", "dry_run", "start", "status"]

Progress = Callable[[str, float, float], None]

#: Runs that are listed one by one at most, of each kind.
_MOST_LISTED = 20


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line.

    ``jobs`` is the most runs at a time, ``threads`` those of each; None leaves it to
    the machine (one run at a time) or the sweep (on Slurm).
    """

    sweep: Path
    out: Path | None
    slurm: bool
    jobs: int | None
    threads: int | None
    resume: bool
    retry_failed: bool
    command: str

    def load(self) -> tuple[Sweep, SweepFolder]:
        """The sweep and its folder."""
        sweep = load_sweep(self.sweep)
        return sweep, SweepFolder((self.out or sweep.default_folder).absolute())


def start(request: Request, progress: Progress) -> str:
    """Run what is not done, or give it to Slurm; a summary.

    Raises
    ------
    GuardRefusal
        If a network is refused; nothing is started.
    InputError
        If the sweep, a network or the folder cannot be used.
    SimulationError
        If runs failed; it lists them.
    """
    sweep, folder = request.load()
    with naming_a_full_disk(folder.root):
        return _start(sweep, folder, request, progress)


def _start(sweep: Sweep, folder: SweepFolder, request: Request, progress: Progress) -> str:
    if request.resume and not folder.root.is_dir():
        raise InputError(
            "there is no sweep to resume",
            where=str(folder.root),
            hint="leave --resume out to begin it, or name its folder with --out",
        )
    folder.make(sweep.runs)
    with folder.one_driver(), closing(WarmProcesses()) as processes:
        states = _states(sweep, folder)
        pending = [run for run in sweep.runs if _is_pending(states[run.name], request)]
        if not pending:
            return _summary(sweep, folder, states)
        n_jobs = min(request.jobs or 1, len(pending))
        threads = request.threads or threads_for(n_jobs)
        binding = variables_that_bind() if n_jobs > 1 and not request.slurm else []
        cpus = separate_cores(n_jobs, threads) if binding else None
        if not request.slurm:
            processes.warm_up(n_jobs, environment(threads, bind=not binding or bool(cpus)), cpus)
        needs = prepare(
            pending,
            SharedInput(folder.shared),
            threads=sweep.config.slurm.cpus if request.slurm else threads,
            keep_stimuli=True,
            command=request.command,
            progress=progress,
        )
        if request.slurm:
            arrays = slurm_jobs.submit(
                folder,
                needs,
                sweep.config.slurm,
                max_jobs=request.jobs,
                name=sweep.config.name,
            )
            named = f"job array{'s' if len(arrays) > 1 else ''} {', '.join(arrays)}"
            return f"{len(pending)} runs given to Slurm as {named}; see --status"
        run_local(folder, needs, processes, n_jobs=n_jobs, threads=threads, progress=progress)
    states = _states(sweep, folder)
    text = _summary(sweep, folder, states)
    if binding:
        text += "\n" + _on_binding(binding, cpus)
    if any(states[run.name].status is not Status.DONE for run in pending):
        raise SimulationError(f"not all runs are done\n{text}", hint="see the logs; then run again")
    if any(states[run.name].reason and run.config.watch.on_error == "fail" for run in pending):
        raise SimulationError(
            f"all runs are done, and some show errors (watch.on_error: fail)\n{text}",
            hint="see their reports",
        )
    return text


def _on_binding(variables: Sequence[str], cpus: Sequence[Sequence[int]] | None) -> str:
    """What was done about variables that bind every run to the same cores."""
    names = " and ".join(variables)
    if cpus is None:
        return (
            f"{names} would bind every run to the same cores: the runs were not bound, as there "
            "are fewer cores than they have threads together"
        )
    listed = "; ".join(",".join(map(str, of_run)) for of_run in cpus)
    return f"{names} would bind every run to the same cores: each had its own (CPUs {listed})"


def _is_pending(state: RunState, request: Request) -> bool:
    """Whether a run is to be started now."""
    if request.retry_failed:
        return state.status is Status.FAILED
    if request.slurm:
        return state.status not in (Status.DONE, Status.RUNNING, Status.QUEUED)
    # On this machine a run that is running belongs to a driver that was killed: wait for it.
    return state.status not in (Status.DONE, Status.QUEUED)


def dry_run(request: Request, progress: Progress) -> str:
    """Check every network; the runs by name, and what they need. Writes nothing.

    Raises
    ------
    GuardRefusal, InputError
        As `start` would.
    """
    sweep, folder = request.load()
    n_jobs = request.jobs or 1
    with tempfile.TemporaryDirectory() as scratch:
        needs = prepare(
            sweep.runs,
            SharedInput(Path(scratch)),
            threads=request.threads or threads_for(n_jobs),
            keep_stimuli=False,
            command=request.command,
            progress=progress,
        )
    done = {run.name for run in sweep.runs if folder.is_done(run.name)}
    lines = [
        f"{run.name}  {needs[run.name].memory_mb:7,.0f} MB  {needs[run.name].seconds:6,.0f} s  "
        f"{_parameters(run)}{'  (done)' if run.name in done else ''}"
        for run in sweep.runs
    ]
    total_s = sum(needs[run.name].seconds for run in sweep.runs if run.name not in done)
    largest_mb = max(need.memory_mb for need in needs.values())
    return "\n".join(
        [
            *lines,
            f"{len(sweep.runs)} runs, {len(done)} done; the others about {total_s / n_jobs:,.0f} s "
            f"with {n_jobs} at a time, {largest_mb:,.0f} MB each at most; folder {folder.root}",
        ]
    )


def status(request: Request) -> str:
    """Where each run stands, with the last lines of the logs of those that failed."""
    sweep, folder = request.load()
    return _summary(sweep, folder, _states(sweep, folder))


def collect(request: Request) -> str:
    """Write the table and figure of the runs that are done.

    Raises
    ------
    InputError
        If there is nothing to collect, or it cannot be written.
    """
    from v1sim.batch.collect import collect as collect_results  # draws: see v1sim.pipeline

    sweep, folder = request.load()
    written = collect_results(folder, sweep.runs)
    n_done = sum(folder.is_done(run.name) for run in sweep.runs)
    lines = [f"{n_done} of {len(sweep.runs)} runs", *map(str, written)]
    if not any(path.suffix == ".parquet" for path in written):
        lines.append("results.parquet needs pyarrow: pip install 'v1sim[hpc]'")
    return "\n".join(lines)


def _states(sweep: Sweep, folder: SweepFolder) -> dict[str, RunState]:
    in_queue = slurm_jobs.runs_in_queue(folder)
    return {run.name: folder.state(run.name, in_queue) for run in sweep.runs}


def _summary(sweep: Sweep, folder: SweepFolder, states: Mapping[str, RunState]) -> str:
    counts = Counter(state.status for state in states.values())
    numbers = ", ".join(f"{counts[s]} {s}" for s in Status if counts[s])
    lines = [f"{len(sweep.runs)} runs: {numbers}"]
    odd = [run for run in sweep.runs if states[run.name].status is Status.DONE]
    odd = [run for run in odd if states[run.name].reason]
    lines += [
        f"done {run.name}  {_parameters(run)}: {states[run.name].reason}"
        for run in odd[:_MOST_LISTED]
    ]
    if len(odd) > _MOST_LISTED:
        lines.append(f"... and {len(odd) - _MOST_LISTED} more done that show errors")
    for kind in (Status.FAILED, Status.INTERRUPTED, Status.RUNNING, Status.QUEUED):
        mine = [run for run in sweep.runs if states[run.name].status is kind]
        for run in mine[:_MOST_LISTED]:
            state = states[run.name]
            reason = f": {state.reason}" if state.reason else ""
            lines.append(f"{kind} {run.name}  {_parameters(run)}{reason}")
            if state.log_tail:
                lines += [f"    {line}" for line in state.log_tail]
                lines.append(f"    -- {folder.log(run.name)}")
        if len(mine) > _MOST_LISTED:
            lines.append(f"... and {len(mine) - _MOST_LISTED} more {kind}")
    strangers = folder.strangers(sweep.runs)
    if strangers:
        lines.append(
            f"{len(strangers)} more complete runs are of an earlier state of this sweep "
            f"(other configuration, input or version): {', '.join(strangers[:5])}"
            + (" ..." if len(strangers) > 5 else "")
        )
    lines.append(str(folder.root))
    return "\n".join(lines)


def _parameters(run: SweepRun) -> str:
    return ", ".join(f"{key}={value}" for key, value in run.parameters.items())
