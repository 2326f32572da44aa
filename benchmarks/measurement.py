"""Measuring in processes of their own, and saying on what was measured.

Standard library only: the process that runs BMTK imports it in another environment.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("v1sim", "nest-simulator", "pynn", "neo", "numpy", "h5py", "pynwb")


def peak_mb() -> float:
    """Peak resident memory of this process so far; getrusage's starts at its parent's."""
    return _status_mb("VmHWM")


def in_own_process(
    module: str,
    *arguments: object,
    python: str | Path = sys.executable,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """What ``python -m module arguments`` prints as its last line, which is JSON.

    ``{"failed": reason}`` if the process fails or takes longer than ``timeout_s``.
    """
    command = [str(python), "-m", module, *map(str, arguments)]
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {timeout_s:g} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"rc {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def environment() -> dict[str, Any]:
    """Machine, load and versions."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory_bytes / 1e9, 1),
        "load_average": os.getloadavg(),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def available_gb() -> float:
    """Memory that a new process may take without anything being swapped out."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) / 1e6
    return float("inf")


def write_json(path: Path | None, result: dict[str, Any]) -> None:
    """Write ``result`` where it was asked for."""
    if path:
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


class Clock:
    """Wall and CPU seconds of all threads, from its making on.

    On a machine with other load the wall time of a run says little and varies by
    several times; its CPU time, with OMP_WAIT_POLICY=passive, stays within a few per cent.
    """

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def wall_s(self) -> float:
        return time.perf_counter() - self._wall

    def cpu_s(self) -> float:
        return time.process_time() - self._cpu


@dataclass(frozen=True)
class Call:
    """One call of nest.Simulate; ``after`` began when it ended."""

    simulated_ms: float
    wall_s: float
    cpu_s: float
    after: Clock


class TimedNest:
    """NEST whose Simulate calls are measured: ``calls``."""

    def __init__(self, nest: Any) -> None:
        self._nest = nest
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._nest, name)

    def Simulate(self, t: float) -> None:  # noqa: N802
        clock = Clock()
        self._nest.Simulate(t)
        self.calls.append(Call(t, clock.wall_s(), clock.cpu_s(), Clock()))


class MemoryGrowth:
    """How far memory grows, at its highest, above what it is at the start: ``peak_mb()``."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM, the peak, begins again
        self._before = _status_mb("VmRSS")

    def peak_mb(self) -> float:
        return _status_mb("VmHWM") - self._before


def _status_mb(name: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1000
    raise KeyError(name)
