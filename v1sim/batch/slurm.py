"""Runs as Slurm job arrays, submitted through submitit.

Each element of an array starts `Job`, as on this machine. When Slurm announces the end of its time
(SIGUSR1 or SIGUSR2), the run is ended and counted as failed. When it preempts the job, the run is
ended, and the job waits until Slurm takes it off its node and puts it back into the queue: one
that ended by itself in the time of grace would count as failed. A job that Slurm requeues
starts its run anew. A sweep of more runs than an array may have becomes several arrays.

Slurm's commands are given the environment without what a user's shell sets for them (SQUEUE_*,
SBATCH_*, SLURM_*), which would change their output or the jobs.

Which runs are in the queue is asked of Slurm alone: each array has a name of its own, and
a file of that name, written before the array is submitted, says which run each element is.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from v1sim.batch.folder import QueuedRun, SweepFolder
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
#: Longest time of grace that is waited for.
_LONGEST_GRACE_S = 24 * 3600
#: What a user may choose for all jobs, where the sweep does not.
_CHOICES = ("ACCOUNT", "PARTITION", "QOS", "RESERVATION", "CONSTRAINT")
#: Slurm's own default of MaxArraySize, less one.
_USUAL_ARRAY_SIZE = 1000
#: Slurm's reasons for which a job waits in any queue.
_USUAL_REASONS = ("", "None", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Cleaning")


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
                if not _is_preempted():
                    job.give_up("Slurm ended the job (scancel, time limit or shutdown)")
                    raise SystemExit(1) from None
                job.give_up("Slurm preempted the job, which goes back into the queue if it may")
                # Until Slurm takes the job: a job that ends by itself now counts as failed.
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(_LONGEST_GRACE_S)
                raise SystemExit(1) from None

    def checkpoint(self) -> Any:
        """What submitit puts back into the queue after a preemption: the same run."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def _is_preempted() -> bool:
    """Whether Slurm has begun to preempt this job: it then has a time of preemption."""
    job = os.environ.get("SLURM_JOB_ID", "")
    done = _slurm("scontrol", "--oneliner", "show", "job", job)
    times = re.findall(r"\bPreemptTime=(\S+)", done.stdout)
    return any(when not in ("None", "N/A") for when in times)


def _slurm(*command: str) -> subprocess.CompletedProcess[str]:
    """One of Slurm's commands, as if the user's shell had set nothing for it."""
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=_plain_environment()
    )


def _plain_environment(keep: Collection[str] = ()) -> dict[str, str]:
    """The environment without Slurm's variables, but for where its configuration lies."""
    prefixes = ("SQUEUE_", "SBATCH_", "SLURM_", "SLURMD_", "SRUN_", "SCONTROL_", "SUBMITIT_")
    return {
        name: value
        for name, value in os.environ.items()
        if name == "SLURM_CONF" or name in keep or not name.startswith(prefixes)
    }


@contextmanager
def _environment_for_sbatch(config: SlurmConfig) -> Iterator[None]:
    """What submitit's sbatch is started with: its variables go before what its script says."""
    chosen = {"ACCOUNT": config.account, "PARTITION": config.partition}
    keep = [f"SBATCH_{name}" for name in _CHOICES if chosen.get(name) is None]
    before = dict(os.environ)
    plain = _plain_environment(keep)
    os.environ.clear()
    os.environ.update(plain)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


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
) -> tuple[str, ...]:
    """Give runs to Slurm as job arrays; their ids.

    Parameters
    ----------
    folder : SweepFolder
        The sweep's folder, prepared; on a file system that the nodes share.
    needs : mapping
        What each run is expected to need, by its name.
    config : SlurmConfig
        What to ask for.
    max_jobs : int, optional
        Most jobs at a time, shared among the arrays; by default what ``config`` says.
    name : str
        What the arrays' names in the queue begin with.

    Raises
    ------
    MissingExtraError
        If submitit is not installed.
    InputError
        If there is no Slurm, or it refuses.
    """
    if importlib.util.find_spec("submitit") is None:
        raise MissingExtraError("submitit", "hpc", "v1sim batch --slurm")
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise InputError(
            "there is no Slurm on this machine: sbatch and srun are not found",
            hint="give the batch on a login node, or run it here with --local",
        )
    runs = list(needs)
    size = _largest_array()
    parts = [runs[start : start + size] for start in range(0, len(runs), size)]
    most = max_jobs or config.max_jobs
    if most is not None:
        most = max(1, most // len(parts))
    arrays: list[str] = []
    for part in parts:
        try:
            arrays.append(
                _submit_array(folder, {run: needs[run] for run in part}, config, most, name)
            )
        except InputError as error:
            if not arrays:
                raise
            raise InputError(
                error.seen,
                where=error.where,
                expected=f"{len(parts)} arrays of at most {size:,} runs",
                hint=f"{' and '.join(arrays)} were taken and stay in the queue; give the batch "
                "again when there is room for the others",
            ) from error
    return tuple(arrays)


def _largest_array() -> int:
    """Elements that an array may have on this cluster."""
    done = _slurm("scontrol", "show", "config")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
    return max(1, int(found[1])) if found else _USUAL_ARRAY_SIZE


def _submit_array(
    folder: SweepFolder,
    needs: Mapping[str, Need],
    config: SlurmConfig,
    max_jobs: int | None,
    name: str,
) -> str:
    """Submit one array; its id."""
    import submitit

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
        "array_parallelism": max_jobs,
        "additional_parameters": config.options or None,
    }
    with replacing(_members_path(folder, array)) as temporary:
        temporary.write_text(ArrayMembers(tuple(needs)).model_dump_json(), encoding="utf-8")
    there = set(folder.slurm.iterdir())
    executor = submitit.SlurmExecutor(folder=str(folder.slurm.absolute()), max_num_timeout=0)
    executor.update_parameters(**{key: value for key, value in asked.items() if value is not None})
    calls = [
        SlurmJob(folder.root.absolute(), run, config.cpus, need.memory_mb)
        for run, need in needs.items()
    ]
    try:
        with _environment_for_sbatch(config):
            jobs = executor.submit_array(calls)
    except submitit.core.utils.FailedJobError as error:
        _members_path(folder, array).unlink()
        for path in (
            set(folder.slurm.iterdir()) - there
        ):  # what submitit wrote for jobs that are none
            path.unlink(missing_ok=True)
        raise InputError(
            f"Slurm does not take the jobs: {' '.join(str(error).split())}",
            where="slurm",
            hint="check partition, account, time_min, memory_mb and options of the sweep",
        ) from None
    return str(jobs[0].job_id).partition("_")[0]


def _members_path(folder: SweepFolder, array: str) -> Path:
    return folder.slurm / f"{array}.json"


def runs_in_queue(folder: SweepFolder) -> Mapping[str, QueuedRun]:
    """Runs of the sweep that wait or run in Slurm.

    Raises
    ------
    InputError
        If Slurm does not answer.
    """
    members = {path.stem: path for path in folder.slurm.glob("*.json")}
    if not members or shutil.which("squeue") is None:
        return {}
    form = "%K|%j|%T|%r"
    done = _slurm(
        "squeue", "--noheader", "--array", f"--format={form}", f"--name={','.join(members)}"
    )
    if done.returncode:
        raise InputError(
            f"Slurm does not answer: {' '.join(done.stderr.split())}",
            where="squeue",
            hint="wait until it does: what is in its queue must not be given to it twice",
        )
    found = {}
    for line in done.stdout.splitlines():
        index, array, state, reason = (part.strip() for part in line.split("|", 3))
        runs = ArrayMembers.model_validate_json(members[array].read_text(encoding="utf-8")).root
        waits = state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED")
        found[runs[int(index) if index.isdigit() else 0]] = QueuedRun(
            waits, reason if waits and reason not in _USUAL_REASONS else ""
        )
    return found
