"""A real Slurm on this machine: munged, slurmctld and slurmd on loopback, in a folder of their own.

Needs root, and Debian's packages slurm-wlm and munge (scripts/test --all installs them).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")

CONFIGURATION = """
ClusterName=v1sim
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
SlurmdPort={slurmd_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
SchedulerParameters=bf_interval=5,sched_interval=5
MinJobAge=300
KillWait=5
OverTimeLimit=0
SlurmdTimeout=20
InactiveLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=60 State=UP
"""


def missing() -> str:
    """What a Slurm here lacks; empty if nothing."""
    if os.geteuid() != 0:
        return "a Slurm of one's own needs root"
    lacking = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Cluster:
    """The daemons, and what a test does to them."""

    def __init__(self, folder: Path, configuration: str | None = None) -> None:
        self.folder = folder
        self._configuration = configuration or CONFIGURATION
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}

    def _configure(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        ports = []
        for _ in range(2):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                ports.append(probe.getsockname()[1])
        (self.folder / "slurm.conf").write_text(
            self._configuration.format(
                host=socket.gethostname().partition(".")[0],
                folder=self.folder,
                port=ports[0],
                slurmd_port=ports[1],
                cpus=os.cpu_count(),
                memory_mb=int(psutil.virtual_memory().total / 2**20 * 0.9),
            )
        )

    def start(self) -> None:
        """Configure and start everything; returns when the node takes jobs."""
        self._configure()
        self._spawn(
            "munged",
            *("--foreground", "--force", f"--key-file={self.folder}/munge.key"),
            *(f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munge.pid"),
            *(f"--log-file={self.folder}/munge.log", f"--seed-file={self.folder}/munge.seed"),
        )
        _until(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._spawn("slurmctld", "-D", "-i")
        self.start_slurmd()

    def start_slurmd(self) -> None:
        """Start the node's daemon; returns when the node takes jobs."""
        self._spawn("slurmd", "-D")
        _until(self._node_is_up, "slurmd")

    def stop_slurmd(self) -> None:
        """Stop the node's daemon; jobs that run go on."""
        self._end("slurmd")

    def stop(self) -> None:
        """Cancel every job and end every daemon."""
        self.run("scancel", "--user=root", check=False)
        with contextlib.suppress(AssertionError):
            _until(lambda: not self.run("squeue", "--noheader"), "the queue", seconds=20)
        for name in ("slurmd", "slurmctld", "munged"):
            self._end(name)

    def run(self, *command: str, check: bool = True, timeout_s: float = 60) -> str:
        """Output of one of Slurm's commands."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _node_is_up(self) -> bool:
        states = self.run("sinfo", "--noheader", "--format=%t", check=False).split()
        return bool(states) and all(state in ("idle", "mix", "alloc") for state in states)

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(shutil.which(name, path=_path())), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def _end(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(condition: object, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"{what} is not there after {seconds:g} s"
        time.sleep(0.2)


@contextlib.contextmanager
def running(folder: Path, configuration: str | None = None) -> Iterator[Cluster]:
    """A cluster that takes jobs."""
    cluster = Cluster(folder, configuration)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
