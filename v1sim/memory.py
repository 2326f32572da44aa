"""How much memory this process may have, what limits it, and how a lack of it is told from a fault.

A lack of memory shows in many ways: as ``MemoryError``, as a library that cannot be mapped, as a
thread that cannot start. None of them says anything about a network or an installation.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from v1sim.cgroups import cgroups_of_this_process
from v1sim.errors import MemoryLimitError

try:
    import resource
except ImportError:  # not on this platform: then there are no such limits
    resource = None  # type: ignore[assignment]

__all__ = [
    "MemoryLimit",
    "does_not_fit",
    "is_lack_of_memory",
    "lack_of_memory",
    "memory_limit",
    "memory_limits",
    "raise_lack_of_memory",
    "require_address_space",
    "workers",
]

_T = TypeVar("_T")

_MB = 1e6
#: Address space in which NEST 3.10, PyNN and what a run writes with can be loaded (measured:
#: 800 MB are too few, 1,000 MB enough; much of it is reserved, not used).
_NEST_ADDRESS_SPACE_MB = 1000.0
#: Address space that a thread reserves: its stack and an arena of malloc.
_THREAD_ADDRESS_SPACE_MB = 160.0
#: A limit above this is none: what version 1 of cgroups says where nothing was set.
_NO_LIMIT_MB = 1e12
#: What other errors say of it. HDF5 says "memory allocation failed" of damaged files, too.
_SIGNS = (
    "cannot allocate memory", "failed to map segment", "can't start new thread", "bad_alloc",
)  # fmt: skip


class MemoryLimit(NamedTuple):
    """Memory that may be used, what says so, and what to ask for instead."""

    mb: float
    because: str
    hint: str
    is_address_space: bool = False


def memory_limits(environment: Mapping[str, str] = os.environ) -> list[MemoryLimit]:
    """Every limit of memory that this process has."""
    return [*_address_space_limits(), *_cgroup_limits(), *_slurm_limits(environment)]


def memory_limit() -> MemoryLimit | None:
    """The smallest limit, None where there is none."""
    return min(memory_limits(), key=lambda limit: limit.mb, default=None)


def _address_space_limits() -> Iterator[MemoryLimit]:
    if resource is None:
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield MemoryLimit(
            soft / _MB,
            "address space of a process (RLIMIT_AS, ulimit -v)",
            "ulimit -v unlimited, a node that is no login node, or more of the scheduler's h_vmem",
            is_address_space=True,
        )


def _cgroup_limits() -> Iterator[MemoryLimit]:
    for cgroup in cgroups_of_this_process("memory"):
        name = "memory.max" if cgroup.version == 2 else "memory.limit_in_bytes"
        text = cgroup.read(name) or ""
        if text.isdigit() and int(text) / _MB < _NO_LIMIT_MB:
            yield MemoryLimit(
                int(text) / _MB,
                f"{name} of the cgroup {cgroup.folder}",
                "more memory for the job or container (Slurm: --mem, Docker: --memory)",
            )


def _slurm_limits(environment: Mapping[str, str]) -> Iterator[MemoryLimit]:
    """What the job asked for; whether Slurm enforces it, its cgroups say."""
    per_node = environment.get("SLURM_MEM_PER_NODE", "")
    if per_node.isdigit() and int(per_node) > 0:
        yield MemoryLimit(int(per_node) * 2**20 / _MB, "the job's memory on a node", "sbatch --mem")
    per_cpu, cpus = (
        environment.get(name, "") for name in ("SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE")
    )
    if per_cpu.isdigit() and cpus.isdigit() and int(per_cpu) * int(cpus) > 0:
        yield MemoryLimit(
            int(per_cpu) * int(cpus) * 2**20 / _MB, "the job's memory on a node", "--mem-per-cpu"
        )


def does_not_fit(expected_mb: float) -> str | None:
    """One sentence where more is expected than may be used, None where it fits."""
    limit = memory_limit()
    if limit is None or expected_mb <= limit.mb:
        return None
    return (
        f"this will probably not fit: about {expected_mb:,.0f} MB are expected, "
        f"{limit.mb:,.0f} MB are allowed ({limit.because}); ask for more: {limit.hint}"
    )


def require_address_space(expected_mb: float = 0.0) -> None:
    """Refuse, before NEST is loaded, an address space in which it cannot be.

    Parameters
    ----------
    expected_mb : float, optional
        Memory that the run is expected to need, for the message.

    Raises
    ------
    MemoryLimitError
        If there is too little.
    """
    limit = next((limit for limit in memory_limits() if limit.is_address_space), None)
    if limit is None or limit.mb >= _NEST_ADDRESS_SPACE_MB:
        return
    expected = f"; this run is expected to need {expected_mb:,.0f} MB" if expected_mb else ""
    raise MemoryLimitError(
        f"only {limit.mb:,.0f} MB are allowed: {limit.because}",
        expected=f"at least {_NEST_ADDRESS_SPACE_MB:,.0f} MB, in which NEST and PyNN can be loaded"
        + expected,
        hint=limit.hint,
    )


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it came from, is a lack of memory."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, MemoryError | MemoryLimitError):
            return True
        if isinstance(one, OSError) and one.errno == errno.ENOMEM:
            return True
        if isinstance(one, OSError | RuntimeError | ImportError) or _is_of_nest(one):
            text = str(one).lower()
            if any(sign in text for sign in _SIGNS):
                return True
        one = one.__cause__ or one.__context__
    return False


def _is_of_nest(error: BaseException) -> bool:
    return type(error).__module__.split(".")[0] in ("nest", "pynestkernel")


def lack_of_memory(error: BaseException) -> MemoryLimitError:
    """The error that says so, with the limit that was met where one is known."""
    limit = memory_limit()
    said = " ".join(str(error).split())[:200]
    if limit is None:
        return MemoryLimitError(
            f"there is not enough memory{f': {said}' if said else ''}",
            hint="v1sim run --dry-run says how much a run needs",
        )
    return MemoryLimitError(
        f"there is not enough memory{f': {said}' if said else ''}",
        expected=f"more than the {limit.mb:,.0f} MB that are allowed ({limit.because})",
        hint=f"{limit.hint}; v1sim run --dry-run says how much a run needs",
    )


def raise_lack_of_memory(error: BaseException) -> None:
    """Raise `MemoryLimitError` where an error is a lack of memory; else return.

    For handlers that take any error of a library for damage of what they read.
    """
    if isinstance(error, MemoryLimitError):
        raise error
    if is_lack_of_memory(error):
        raise lack_of_memory(error) from error


class _Inline(Executor):
    """Runs what it is given at once, in the caller's thread."""

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Call ``fn``; its result or error is the future's."""
        future: Future[_T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def workers(n: int) -> Executor:
    """A pool of threads; the caller's own thread where address space is too short for their stacks.

    A Python thread that finds no memory for its first steps makes the one that started it wait for
    ever (CPython 3.11 waits for a sign of the new thread, which never comes).
    """
    limit = next((limit for limit in memory_limits() if limit.is_address_space), None)
    if limit is not None and limit.mb - _address_space_mb() < n * _THREAD_ADDRESS_SPACE_MB:
        return _Inline()
    return ThreadPoolExecutor(max_workers=n)


def _address_space_mb() -> float:
    """Address space that this process has in use (proc(5), statm)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB
