"""Runs as a Slurm job array, submitted through submitit.

Each element of the array starts `Job`, as on this machine. When Slurm announces the end of its time
(SIGUSR1 or SIGUSR2), the run is ended and counted as failed; when it announces anything else
(preemption), the job goes back into the queue. A job that Slurm requeues by itself
starts its run anew.

Which runs are in the queue is asked of Slurm alone: each array has a name of its own, and
a file of that name, written before the array is submitted, says which run each element is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from v1sim.batch.folder import SweepFolder
from v1sim.batch.job import Job
from v1sim.batch.sweep import SlurmConfig
from v1sim.documents.batch import ArrayMembers
from v1sim.errors import InputError, MissingExtraError
from v1sim.output import replacing

if TYPE_CHECKING:
    from v1sim.simulation.cost import Need

__all__ = ["SlurmJob", "runs_in_queue", "submit"]

#: Memory asked for is this much more than expected, and at least the least.
_MEMORY_MARGIN, _LEAST_MEMORY_MB = 1.5, 1024
#: How long before the end of its time a job is told, if its time is not short.
_NOTICE_S = 90
#: Longest wait for a run's lock: a look at the state of a sweep holds it for a moment.
_LOCK_WAIT_S = 10.0


class SlurmJob:
    """What an element of the array does; submitit writes it to a file and calls it there.

    Parameters
    ----------
    root : Path
        The sweep's folder.
    name : str
        The run.
    threads : int
        Of a run whose configuration leaves them open.
    expected_mb : float
        Memory that the run is expected to need, MB.
    """

    def __init__(self, root: Path, name: str, threads: int, expected_mb: float) -> None:
        self.root = root
        self.name = name
        self.threads = threads
        self.expected_mb = expected_mb

    def __call__(self) -> None:
        """Run it; returns when the run has ended, well or not."""
        import submitit

        slurm_job = submitit.JobEnvironment().job_id
        with (
            Job(
                SweepFolder(self.root),
                self.name,
                self.threads,
                slurm_job=slurm_job,
                expected_mb=self.expected_mb,
            ) as job,
            _terminated_in_order(),
        ):
            with _ignoring(signal.SIGUSR1, signal.SIGUSR2):  # Slurm tells the run, too
                started = job.start(wait_s=_LOCK_WAIT_S)
            if not started:
                return
            try:
                job.wait()
            except submitit.core.utils.UncompletedJobError:
                job.give_up("its time limit was reached (slurm.time_min)")
                raise
            except KeyboardInterrupt:
                job.give_up("Slurm ended the job (scancel, time limit or shutdown)")
                raise SystemExit(1) from None

    def checkpoint(self) -> Any:
        """What submitit puts back into the queue after a preemption: the same run."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt; SIGUSR1 does what submitit makes of SIGUSR2."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
        signal.signal(signal.SIGUSR1, signal.getsignal(signal.SIGUSR2))
    yield


@contextmanager
def _ignoring(*numbers: signal.Signals) -> Iterator[None]:
    """Signals ignored by the processes that are started in the block."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def submit(
    folder: SweepFolder,
    needs: Mapping[str, Need],
    config: SlurmConfig,
    *,
    max_jobs: int | None,
    name: str,
) -> str:
    """Give runs to Slurm as one job array; its id.

    Parameters
    ----------
    folder : SweepFolder
        The sweep's folder, prepared; on a file system that the nodes share.
    needs : mapping
        What each run is expected to need, by its name.
    config : SlurmConfig
        What to ask for.
    max_jobs : int, optional
        Most jobs at a time; by default what ``config`` says.
    name : str
        What the array's name in the queue begins with.

    Raises
    ------
    MissingExtraError
        If submitit is not installed.
    InputError
        If there is no Slurm, or it refuses.
    """
    try:
        import submitit
    except ImportError:
        raise MissingExtraError("submitit", "hpc", "v1sim batch --slurm") from None
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise InputError(
            "there is no Slurm on this machine: sbatch and srun are not found",
            hint="give the batch on a login node, or run it here with --local",
        )
    memory_mb = config.memory_mb or max(
        _LEAST_MEMORY_MB, round(_MEMORY_MARGIN * max(need.memory_mb for need in needs.values()))
    )
    array = f"{name}-{uuid.uuid4().hex[:12]}"
    asked = {
        "job_name": array,
        "partition": config.partition,
        "account": config.account,
        "time": config.time_min,
        "mem": f"{memory_mb}M",
        "cpus_per_task": config.cpus,
        "ntasks_per_node": 1,
        "signal_delay_s": min(_NOTICE_S, 15 * config.time_min),
        "array_parallelism": max_jobs or config.max_jobs,
        "additional_parameters": config.options or None,
    }
    with replacing(_members_path(folder, array)) as temporary:
        temporary.write_text(ArrayMembers(tuple(needs)).model_dump_json(), encoding="utf-8")
    executor = submitit.SlurmExecutor(folder=str(folder.slurm.absolute()), max_num_timeout=0)
    executor.update_parameters(**{key: value for key, value in asked.items() if value is not None})
    calls = [
        SlurmJob(folder.root.absolute(), run, config.cpus, need.memory_mb)
        for run, need in needs.items()
    ]
    inside = "SLURM_JOB_ID" in os.environ
    try:
        # A batch given inside a job must not hand that job's own settings down.
        with submitit.helpers.clean_env() if inside else contextlib.nullcontext():
            jobs = executor.submit_array(calls)
    except submitit.core.utils.FailedJobError as error:
        _members_path(folder, array).unlink()
        raise InputError(
            f"Slurm does not take the jobs: {' '.join(str(error).split())}",
            where="slurm",
            hint="check partition, account, time_min, memory_mb and options of the sweep",
        ) from None
    return str(jobs[0].job_id).partition("_")[0]


def _members_path(folder: SweepFolder, array: str) -> Path:
    return folder.slurm / f"{array}.json"


def runs_in_queue(folder: SweepFolder) -> frozenset[str]:
    """Runs of the sweep that wait or run in Slurm.

    Raises
    ------
    InputError
        If Slurm does not answer.
    """
    members = {path.stem: path for path in folder.slurm.glob("*.json")}
    if not members or shutil.which("squeue") is None:
        return frozenset()
    done = subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%K %j", f"--name={','.join(members)}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InputError(
            f"Slurm does not answer: {' '.join(done.stderr.split())}",
            where="squeue",
            hint="wait until it does: what is in its queue must not be given to it twice",
        )
    found = set()
    for line in done.stdout.splitlines():
        index, array = line.split()
        runs = ArrayMembers.model_validate_json(members[array].read_text(encoding="utf-8")).root
        found.add(runs[int(index) if index.isdigit() else 0])
    return frozenset(found)
