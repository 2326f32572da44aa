"""Runs forked from a process that has imported what they import.

Importing takes longer than a short run simulates. A `WarmProcess` does it once, then
forks one run after the other. Each run still is a process of its own and does all that
``python -m v1sim run`` does, from there on. NEST is not imported before the fork: its kernel,
its threads and MPI begin within the run.

The process and the run that it waits for are one process group. Its standard input is a socket:
the driver sends the run's arguments with the descriptors of its log and its lock, and gets
the exit code back. When the driver is killed, a run goes on, as any process would, and the
process ends after it; when the process is killed, too.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from typing import IO, NoReturn

from v1sim.cores import restrict_to

__all__ = ["WarmProcess", "WarmProcesses", "import_what_runs_need"]

#: What a run imports, apart from NEST itself: PyNEST imports pandas, PyNN neo.
_IMPORTED = (
    *("v1sim.cli", "v1sim.pipeline", "v1sim.report.run_folder"),
    *("pandas", "neo", "pynwb"),
)

_LONGEST_MESSAGE = 1 << 16
_TERMINATION = {signal.SIGTERM}


class WarmProcess:
    """Give it one run after the other; in between, it looks like the run's `subprocess.Popen`.

    Parameters
    ----------
    environment : mapping
        Its environment and that of its runs.
    cpus : sequence of int, optional
        CPUs that they may use alone.
    """

    def __init__(self, environment: Mapping[str, str], cpus: Sequence[int] = ()) -> None:
        self.cpus = cpus
        self._channel, its_end = socket.socketpair()
        with its_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "v1sim.batch.warm", *map(str, cpus)],
                stdin=its_end.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C goes to the driver, which ends its runs in order
                env=dict(environment),
            )
        self._is_busy = self._is_ending = False

    def start(self, arguments: Sequence[str], log: IO[bytes], lock: int) -> None:
        """Start ``v1sim ARGUMENTS`` with a log; ``lock`` stays open as long as it lives."""
        self._is_busy = True
        message = json.dumps(arguments).encode()
        with contextlib.suppress(BrokenPipeError):  # it was killed: `poll` says so
            socket.send_fds(self._channel, [message], [log.fileno(), lock])

    def poll(self) -> int | None:
        """Exit code of the run, negative for a signal; None while it goes on."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Exit code of the run.

        Raises
        ------
        subprocess.TimeoutExpired
            If it goes on for longer.
        """
        if not select.select([self._channel], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self._process.args, timeout or 0.0)
        try:
            answer = self._channel.recv(_LONGEST_MESSAGE)
        except ConnectionResetError:
            answer = b""
        # Without an answer it ended before the run did, which may go on.
        code = int(answer) if answer else self._process.wait()
        self._is_busy = False
        return code

    @property
    def is_idle(self) -> bool:
        """Whether it can be given a run."""
        return not (self._is_busy or self._is_ending) and self._process.poll() is None

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, and no run in it."""
        return not self._is_busy and self._process.poll() is not None

    def terminate(self) -> None:
        """Ask the run to end; the process ends after it."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End both."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        self._is_ending = True
        if self._process.returncode is None:  # not reaped yet, so that its number is its own
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """End the process, and a run if it has one."""
        self.terminate()
        self._process.wait()
        self._channel.close()


class WarmProcesses:
    """As many as there are runs at a time."""

    def __init__(self) -> None:
        self._processes: list[WarmProcess] = []

    def warm_up(
        self, n: int, environment: Mapping[str, str], cpus: Sequence[Sequence[int]] | None = None
    ) -> None:
        """Begin ``n`` of them, to be ready when they are needed; ``cpus`` of each, if given."""
        self._processes += [WarmProcess(environment, cpus[i] if cpus else ()) for i in range(n)]

    def launch(
        self,
        arguments: Sequence[str],
        *,
        log: IO[bytes],
        lock: int,
        environment: Mapping[str, str],
    ) -> WarmProcess:
        """Start ``v1sim ARGUMENTS`` in the first that is idle, or a new one."""
        process = next((p for p in self._processes if p.is_idle), None)
        if process is None:
            gone = next((p for p in self._processes if p.is_gone), None)
            process = WarmProcess(environment, gone.cpus if gone else ())
            if gone:
                gone.close()
                self._processes.remove(gone)
            self._processes.append(process)
        process.start(arguments, log, lock)
        return process

    def close(self) -> None:
        """End them all."""
        for process in self._processes:
            process.close()


def import_what_runs_need() -> None:
    """Import it; NEST stays out. What cannot be imported is for the run to complain of."""
    for name in _IMPORTED:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _serve(channel: socket.socket) -> list[str] | None:
    """Fork a run at each message. Returns its arguments in each fork, None in the end."""
    import_what_runs_need()
    gc.freeze()  # what is there stays, and its pages stay shared
    while True:
        message, received, _, _ = socket.recv_fds(channel, _LONGEST_MESSAGE, 2)
        if not message:
            return None
        # SIGTERM is for the run: the group gets it, and this process takes it when the run is over.
        signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINATION)
        with warnings.catch_warnings():
            # Python 3.12 warns of threads: those of OpenBLAS and Arrow, which are made for it.
            warnings.simplefilter("ignore", DeprecationWarning)
            run = os.fork()
        if run == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERMINATION)
            log, _lock = received
            channel.close()
            nothing = os.open(os.devnull, os.O_RDONLY)
            for descriptor, number in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(descriptor, number)
            os.close(nothing)
            os.close(log)
            arguments: list[str] = json.loads(message)
            return arguments
        for descriptor in received:
            os.close(descriptor)
        _, status = os.waitpid(run, 0)
        try:
            channel.send(str(os.waitstatus_to_exitcode(status)).encode())
        except BrokenPipeError:
            return None  # the driver is gone
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERMINATION)


def _run(arguments: list[str]) -> NoReturn:
    """``python -m v1sim ARGUMENTS``, but for taking Python and NEST apart in the end.

    That touches every page that is shared, and takes a tenth of a short run.
    """
    sys.argv = ["v1sim", *arguments]
    code = 1
    try:
        runpy.run_module("v1sim", run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _main() -> None:
    cpus = [int(cpu) for cpu in sys.argv[1:]]
    if cpus:
        restrict_to(cpus)
    arguments = _serve(socket.socket(fileno=0))
    if arguments is not None:
        _run(arguments)


if __name__ == "__main__":
    _main()
