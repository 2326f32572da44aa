"""One run as a process of its own: ``v1sim run`` under the run's lock, its end written down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import IO, Protocol

import psutil

from v1sim.batch.folder import SweepFolder
from v1sim.batch.sweep import run_name
from v1sim.config import load_config
from v1sim.cores import LISTS_OF_CORES, available_threads
from v1sim.documents.batch import RunStateDocument
from v1sim.documents.run import read_report
from v1sim.errors import ConfigError, InputError, SimulationError
from v1sim.memory import memory_limit

__all__ = ["Job", "RunProcess", "environment", "launch", "threads_for"]

_MEANING = {
    1: "the guards refused the network",
    2: "its input cannot be used, or its results cannot be written",
    3: "the simulation failed, or there was not enough memory",
}
#: What a process gets to clean up after SIGTERM; Slurm's own default is 30 s.
_GRACE_S = 20.0


def threads_for(n_jobs: int) -> int:
    """Threads of each of ``n_jobs`` jobs side by side."""
    return max(1, available_threads() // n_jobs)


class RunProcess(Protocol):
    """The process of a run; the methods are those of `subprocess.Popen`."""

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it goes on."""

    def wait(self, timeout: float | None = None) -> int:
        """Exit code, or `subprocess.TimeoutExpired`."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""


class Launch(Protocol):
    """Start ``v1sim ARGUMENTS`` with a log; ``lock`` is to stay open as long as it lives."""

    def __call__(
        self,
        arguments: Sequence[str],
        *,
        log: IO[bytes],
        lock: int,
        environment: Mapping[str, str],
    ) -> RunProcess: ...


def environment(threads: int, *, bind: bool = True) -> dict[str, str]:
    """What a run's process is started with.

    Lists of cores that OpenMP is to bind threads to are left out: they are the same for every
    run. ``bind=False`` keeps OpenMP from binding at all.
    """
    kept = {name: value for name, value in os.environ.items() if name not in LISTS_OF_CORES}
    if not bind:
        kept["OMP_PROC_BIND"] = "false"
    return {
        **kept,
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
    }


def launch(
    arguments: Sequence[str], *, log: IO[bytes], lock: int, environment: Mapping[str, str]
) -> RunProcess:
    """Start ``v1sim ARGUMENTS`` in a new Python."""
    return subprocess.Popen(
        [sys.executable, "-m", "v1sim", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C goes to the driver, which ends its runs in order
        pass_fds=(lock,),
        env=dict(environment),
    )


class Job:
    """One attempt at one run. Use it as a context manager: what it began ends with it.

    Parameters
    ----------
    folder : SweepFolder
        The sweep's folder.
    name : str
        The run.
    threads : int
        Of a run whose configuration leaves them open.
    slurm_job : str, optional
        The Slurm job that this is.
    expected_mb : float, optional
        Memory that the run is expected to need, MB.
    launch : callable, optional
        Starts the run's process.
    """

    def __init__(
        self,
        folder: SweepFolder,
        name: str,
        threads: int,
        *,
        slurm_job: str | None = None,
        expected_mb: float | None = None,
        launch: Launch = launch,
    ) -> None:
        self.folder = folder
        self.name = name
        self._threads = threads
        self._expected_mb = expected_mb
        self._slurm_job = slurm_job
        self._lock: int | None = None
        self._launch = launch
        self._process: RunProcess | None = None

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._terminate(self._process)
        self._release()

    def start(self, *, wait_s: float = 0.0) -> bool:
        """Start the process; False if the run is done, or another process is at it."""
        self._lock = self.folder.lock(self.name, wait_s=wait_s)
        if self._lock is None:
            return False
        if self.folder.is_done(self.name):
            self._note_done()
            self._release()
            return False
        self.folder.clear_leftovers(self.name)
        self.folder.write_state(
            self.name,
            RunStateDocument(
                state="running",
                began=datetime.now().astimezone().isoformat(timespec="seconds"),
                host=os.uname().nodename,
                job=self._slurm_job,
            ),
        )
        try:
            arguments = self._arguments()
        except ConfigError as error:
            self._fail(str(error))
            self._release()
            return False
        with self.folder.log(self.name).open("ab") as log:
            self._process = self._launch(
                arguments, log=log, lock=self._lock, environment=environment(self._threads)
            )
        return True

    def _arguments(self) -> list[str]:
        path = self.folder.config(self.name)
        config = load_config(path)
        if run_name(config) != self.name:
            raise ConfigError(
                "its configuration or input files have changed since the batch was begun",
                where=str(path),
                hint="run the batch again: what changed becomes another run",
            )
        return [
            *("run", str(path), "--out", str(self.folder.run(self.name))),
            *("--shared", str(self.folder.shared)),
            *(("--threads", str(self._threads)) if config.simulation.threads == "auto" else ()),
        ]

    def poll(self) -> bool:
        """Whether the process has ended; its end is then written down."""
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return False
        self._process = None
        if code == 0 or (code == SimulationError.exit_code and self.folder.is_done(self.name)):
            self._note_done()
        elif code < 0:
            self._fail(self._why_killed(signal.Signals(-code)))
        else:
            self._fail(_MEANING.get(code, f"exit code {code}"))
        self._release()
        return True

    def wait(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until the process has ended."""
        while not self.poll():
            sleep(0.1)

    def give_up(self, reason: str) -> None:
        """End the process, and write the reason down."""
        if self._process is not None:
            self._terminate(self._process)
        self._fail(reason)
        self._release()

    def _note_done(self) -> None:
        """The run's folder is complete: errors that its activity shows are all there is to say."""
        try:
            errors = read_report(self.folder.run(self.name)).errors
        except InputError:  # it says so to whoever reads it
            errors = []
        if errors:
            counts = Counter(error.check for error in errors)
            named = ", ".join(f"{check} ({n})" for check, n in counts.items())
            reason = f"the run shows errors: {named}"
            state = RunStateDocument(state="done", reason=reason, job=self._slurm_job)
            self.folder.write_state(self.name, state)
        else:
            self.folder.clear_state(self.name)

    def _fail(self, reason: str) -> None:
        state = RunStateDocument(state="failed", reason=reason, job=self._slurm_job)
        self.folder.write_state(self.name, state)

    def _why_killed(self, number: signal.Signals) -> str:
        """The signal, and what it probably was: the kernel kills what has no memory left."""
        reason = f"killed by {number.name}"
        if number is not signal.SIGKILL:
            return reason
        reason += ", probably for memory"
        if self._expected_mb is not None:
            reason += f": about {self._expected_mb:,.0f} MB were expected"
        limit = memory_limit()
        if limit is not None:
            reason += f"; {limit.mb:,.0f} MB are allowed ({limit.because})"
        else:
            total_mb = psutil.virtual_memory().total / 1e6
            reason += f"; this machine has {total_mb:,.0f} MB in all"
        return reason

    def _terminate(self, process: RunProcess) -> None:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None
        self.folder.clear_leftovers(self.name)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
