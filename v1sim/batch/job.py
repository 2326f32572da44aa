"""One run as a process of its own: ``v1sim run`` under the run's lock, its end written down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any

from v1sim.batch.folder import Status, SweepFolder
from v1sim.batch.sweep import run_name
from v1sim.config import load_config
from v1sim.errors import ConfigError
from v1sim.simulation.kernel import available_threads

__all__ = ["Job", "threads_for"]

_MEANING = {
    1: "the guards refused the network",
    2: "its input cannot be used",
    3: "the simulation failed",
}
#: What a process gets to clean up after SIGTERM; Slurm's own default is 30 s.
_GRACE_S = 20.0


def threads_for(n_jobs: int) -> int:
    """Threads of each of ``n_jobs`` jobs side by side."""
    return max(1, available_threads() // n_jobs)


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
    """

    def __init__(
        self, folder: SweepFolder, name: str, threads: int, slurm_job: str | None = None
    ) -> None:
        self.folder = folder
        self.name = name
        self._threads = threads
        self._details: dict[str, Any] = {"job": slurm_job} if slurm_job else {}
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

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
            self._release()
            return False
        self.folder.clear_leftovers(self.name)
        self.folder.write_state(
            self.name,
            Status.RUNNING,
            began=datetime.now().astimezone().isoformat(timespec="seconds"),
            host=os.uname().nodename,
            **self._details,
        )
        try:
            command = self._command()
        except ConfigError as error:
            self._fail(str(error))
            self._release()
            return False
        with self.folder.log(self.name).open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C goes to the driver, which ends its runs in order
                pass_fds=(self._lock,),
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": str(self._threads),
                    "OPENBLAS_NUM_THREADS": str(self._threads),
                },
            )
        return True

    def _command(self) -> list[str]:
        path = self.folder.config(self.name)
        config = load_config(path)
        if run_name(config) != self.name:
            raise ConfigError(
                "its configuration or input files have changed since the batch was begun",
                where=str(path),
                hint="run the batch again: what changed becomes another run",
            )
        return [
            *(sys.executable, "-m", "v1sim", "run", str(path)),
            *("--out", str(self.folder.run(self.name)), "--shared", str(self.folder.shared)),
            *(("--threads", str(self._threads)) if config.simulation.threads == "auto" else ()),
        ]

    def poll(self) -> bool:
        """Whether the process has ended; its end is then written down."""
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return False
        self._process = None
        if code == 0:
            self.folder.clear_state(self.name)
        elif code < 0:
            self._fail(f"killed by {signal.Signals(-code).name}")
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

    def _fail(self, reason: str) -> None:
        self.folder.write_state(self.name, Status.FAILED, reason=reason, **self._details)

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
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
