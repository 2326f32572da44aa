"""Every path of a sweep, and the state of each of its runs, as the files tell it.

::

    SWEEP/
      runs.csv              names and parameters
      configs/NAME.yaml     the resolved configuration of a run
      runs/NAME/            its run folder: there when it is complete
      logs/NAME.log         what its process printed, every attempt
      states/NAME.json      what became of it, while it is not complete
      locks/NAME            held by whoever runs it
      shared/               checked and computed once, read by all runs
      slurm/                Slurm's own logs
      results.csv ...       what v1sim batch --collect writes

A run is done when its folder is there, which happens in one rename. It is running
while its lock is held; the lock belongs to the run's process and goes with it, however
that ends. So a state left behind by anything that was killed cannot be taken for more
than it is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from v1sim.batch.sweep import SweepRun
from v1sim.config import dump_config
from v1sim.documents.batch import RunStateDocument
from v1sim.errors import InputError, OutputError
from v1sim.output import replacing, write_csv

__all__ = ["QueuedRun", "RunState", "Status", "SweepFolder"]

_LOG_TAIL_BYTES = 8192


class Status(StrEnum):
    """What a run is."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    MISSING = "missing"


@dataclass(frozen=True)
class RunState:
    """A run's status; ``reason`` and the last lines of its log where it failed.

    A run that is done has a ``reason`` where its activity shows errors.
    """

    status: Status
    reason: str = ""
    log_tail: tuple[str, ...] = ()


class QueuedRun(NamedTuple):
    """A run in Slurm's queue: whether its job waits, and why where that is not usual."""

    waits: bool
    reason: str


@dataclass(frozen=True)
class SweepFolder:
    """The folder of one sweep."""

    root: Path

    def config(self, name: str) -> Path:
        """Resolved configuration of a run."""
        return self.root / "configs" / f"{name}.yaml"

    def run(self, name: str) -> Path:
        """Run folder; there when the run is done."""
        return self.root / "runs" / name

    def log(self, name: str) -> Path:
        """Log of all attempts at a run."""
        return self.root / "logs" / f"{name}.log"

    @property
    def shared(self) -> Path:
        """Shared input."""
        return self.root / "shared"

    @property
    def slurm(self) -> Path:
        """Slurm's logs."""
        return self.root / "slurm"

    def _state(self, name: str) -> Path:
        return self.root / "states" / f"{name}.json"

    def make(self, runs: Sequence[SweepRun]) -> None:
        """Make the folder, and write what each run is.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        try:
            for part in ("configs", "runs", "logs", "states", "locks", "shared", "slurm"):
                (self.root / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot be made: {error.strerror}",
                where=str(self.root),
                expected="a folder that may be written",
                hint="choose another with --out",
            ) from None
        for run in runs:
            if not self.config(run.name).exists():
                with replacing(self.config(run.name)) as temporary:
                    temporary.write_text(dump_config(run.config), encoding="utf-8")
        keys = list(dict.fromkeys(key for run in runs for key in run.parameters))
        rows = ([run.name, *(run.parameters.get(key) for key in keys)] for run in runs)
        write_csv(self.root / "runs.csv", [["run", *keys], *rows])

    @contextmanager
    def one_driver(self) -> Iterator[None]:
        """Only one command at a time starts runs of this sweep.

        Raises
        ------
        InputError
            If another one is at it.
        """
        lock = _try_lock(self.root / "locks" / "driver")
        if lock is None:
            raise InputError(
                "another v1sim batch is running this sweep",
                where=str(self.root),
                hint="wait for it, or look with --status",
            )
        try:
            yield
        finally:
            os.close(lock)

    def lock(self, name: str, *, wait_s: float = 0.0) -> int | None:
        """File descriptor that holds a run's lock, to be inherited by its process; None if held."""
        deadline = time.monotonic() + wait_s
        while (lock := _try_lock(self.root / "locks" / name)) is None:
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.05)
        return lock

    def is_done(self, name: str) -> bool:
        """Whether the run's folder is there."""
        return self.run(name).is_dir()

    def clear_leftovers(self, name: str) -> None:
        """Remove what a killed run left under temporary names; the caller holds its lock."""
        for path in (self.root / "runs").glob(f".{name}.*.part"):
            shutil.rmtree(path, ignore_errors=True)

    def write_state(self, name: str, state: RunStateDocument) -> None:
        """Write down what became of a run."""
        state.write(self._state(name))

    def clear_state(self, name: str) -> None:
        """Forget it: the run is done."""
        self._state(name).unlink(missing_ok=True)

    def _read_state(self, name: str) -> RunStateDocument | None:
        """What was written down; None where nothing was, or the run is done."""
        if not self._state(name).exists():
            return None
        try:
            return RunStateDocument.read(self._state(name), expected="the state of a run")
        except InputError:  # damaged: that it was begun is all that is known
            return RunStateDocument(state="running")

    def state(
        self, name: str, in_queue: Mapping[str, QueuedRun] = MappingProxyType({})
    ) -> RunState:
        """What a run is now.

        Parameters
        ----------
        name : str
            The run.
        in_queue : mapping
            Runs that wait or run in Slurm.
        """
        written = self._read_state(name)
        began = written is not None and written.state == "running"
        held = self.is_held(name)
        if self.is_done(name):  # asked last: a run that ends meanwhile is done
            told = written.reason if written is not None and written.state == "done" else None
            return RunState(Status.DONE, told or "")
        queued = in_queue.get(name)
        if held or (began and queued is not None and not queued.waits):
            return RunState(Status.RUNNING)
        if queued is not None:
            return RunState(Status.QUEUED, f"Slurm: {queued.reason}" if queued.reason else "")
        if written is None or written.state == "done":  # its folder was removed
            return RunState(Status.MISSING)
        if began:
            return RunState(Status.INTERRUPTED, "it was killed", self._log_tail(name))
        return RunState(Status.FAILED, written.reason or "", self._log_tail(name))

    def is_held(self, name: str) -> bool:
        """Whether a process is at the run."""
        path = self.root / "locks" / name
        if not path.exists():
            return False
        lock = _try_lock(path, shared=True)
        if lock is None:
            return True
        os.close(lock)
        return False

    def _log_tail(self, name: str) -> tuple[str, ...]:
        try:
            with self.log(name).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return ()
        return tuple([line for line in lines if line.strip()][-5:])

    def strangers(self, runs: Sequence[SweepRun]) -> list[str]:
        """Complete run folders that are none of ``runs``: of an earlier state of the sweep."""
        known = {run.name for run in runs}
        folder = self.root / "runs"
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        return sorted(n for n in names if n not in known and not n.startswith("."))


def _try_lock(path: Path, *, shared: bool = False) -> int | None:
    """An open descriptor that holds the file's lock, or None where another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        # A file system without locks: Slurm's queue and the one rename at the end still hold.
        return descriptor
    return descriptor
