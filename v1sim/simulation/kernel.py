"""NEST and PyNN, loaded quietly and set up for one run.

Importing PyNN's NEST backend runs cmake whenever it finds a ``nest-config``;
the one in the NEST wheel names a compiler of the machine that built it. So
the import happens here, once, out of sight of nest-config, and with the
banner and the two packages' deprecation notices kept off the user's screen.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from v1sim.errors import InputError

__all__ = ["Backend", "available_threads", "backend", "reset_kernel"]

_log = logging.getLogger("v1sim")


class Backend(NamedTuple):
    """The two modules that simulate."""

    nest: ModuleType
    pynn: ModuleType


@contextlib.contextmanager
def _without_nest_config() -> Iterator[None]:
    """A PATH in which no folder holds nest-config."""
    path = os.environ.get("PATH", "")
    kept = [p for p in path.split(os.pathsep) if not (Path(p) / "nest-config").exists()]
    os.environ["PATH"] = os.pathsep.join(kept)
    try:
        yield
    finally:
        os.environ["PATH"] = path


@functools.cache
def backend() -> Backend:
    """NEST and ``pyNN.nest``, imported at the first call.

    Raises
    ------
    InputError
        If they are installed but cannot be loaded.
    """
    # Spinning OpenMP threads made the same calls up to 18 times slower on a loaded machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("PYNEST_QUIET", "1")
    with _without_nest_config(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                import nest
                import pyNN.nest as pynn
            except ImportError as error:
                raise InputError(
                    f"NEST or PyNN cannot be loaded: {error}",
                    hint="pip install 'nest-simulator>=3.10' 'pynn>=0.13'",
                ) from error
    # PyNN 0.13 calls what NEST 3.10 has deprecated, at every turn.
    warnings.filterwarnings("ignore", message=r"\s*[SG]etStatus\(\) is deprecated")
    logging.getLogger("PyNN").setLevel(logging.ERROR)
    return Backend(nest, pynn)


def available_threads() -> int:
    """Physical cores that this process may use: affinity, cgroup and Slurm limits respected."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {*range(_cpus())}
    cores = {_core_of(cpu) for cpu in allowed}
    limits = [len(cores), _cgroup_cpus(), _environment_cpus()]
    return max(1, min(limit for limit in limits if limit is not None))


def _cpus() -> int:
    return os.cpu_count() or 1


def _core_of(cpu: int) -> tuple[int, str]:
    """The CPUs that share a physical core give the same answer."""
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return 0, siblings.read_text().strip()
    except OSError:
        return 1, str(cpu)


def _cgroup_cpus() -> int | None:
    """CPU quota of this process's cgroup (version 2, then 1), in whole cores, at least one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            folder = Path("/sys/fs/cgroup/cpu")
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not re.fullmatch(r"\d+", quota) or not int(period):
        return None
    return max(1, int(quota) // int(period))


def _environment_cpus() -> int | None:
    for name in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return None


def reset_kernel(*, dt_ms: float, threads: int, seed: int, max_delay_ms: float) -> None:
    """An empty NEST kernel behind an empty PyNN, ready for populations."""
    nest, pynn = backend()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pynn.setup(
            timestep=dt_ms,
            min_delay=dt_ms,
            max_delay=max_delay_ms,
            threads=threads,
            rng_seed=seed + 1,  # NEST refuses 0
            spike_precision="on_grid",
            verbosity="error",
        )
    _log.debug("NEST %s, %d threads", nest.__version__, threads)
