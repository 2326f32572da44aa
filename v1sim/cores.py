"""How many cores this process may use, and what sets the limit.

The smallest of all limits holds: CPU affinity, the quota of the process's cgroup and of those
above it, Slurm's share for a task, and OpenMP's number of threads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from v1sim.cgroups import Cgroup, cgroups_of_this_process

__all__ = [
    "LISTS_OF_CORES",
    "CoreLimit",
    "available_threads",
    "core_limit",
    "core_limits",
    "restrict_to",
    "separate_cores",
    "variables_that_bind",
]

#: Variables with which OpenMP binds threads to a list of cores: every process to the same ones.
LISTS_OF_CORES = ("OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")


class CoreLimit(NamedTuple):
    """A number of cores, and what limits them to it."""

    cores: int
    because: str


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


#: CPUs of the process as it was started. Asked later, the answer may be one CPU: where
#: OMP_PROC_BIND is set, OpenMP binds the thread that loads it (NEST does) to its first place.
_cpus = _affinity()


def restrict_to(cpus: Sequence[int]) -> None:
    """Let this process and its children use these CPUs alone.

    To be called before OpenMP is loaded, which asks once.
    """
    global _cpus
    os.sched_setaffinity(0, cpus)
    _cpus = _affinity()


def available_threads() -> int:
    """Physical cores that this process may use."""
    return core_limit().cores


def core_limit() -> CoreLimit:
    """The smallest limit of cores."""
    return min(core_limits(), key=lambda limit: limit.cores)


def core_limits(environment: Mapping[str, str] = os.environ) -> list[CoreLimit]:
    """Every limit of cores that this process has, each at least 1."""
    cores = _physical_cores(_cpus)
    limits = [CoreLimit(len(cores), f"CPU affinity: {len(_cpus)} CPUs on {len(cores)} cores")]
    for cgroup in cgroups_of_this_process("cpu"):
        quota = _quota(cgroup)
        if quota is not None:
            limits.append(CoreLimit(max(1, int(quota)), f"CPU quota {quota:g} of {cgroup.folder}"))
    limits += _slurm_limits(environment)
    limits += _openmp_limits(environment)
    return limits


def _physical_cores(cpus: frozenset[int]) -> list[list[int]]:
    """CPUs that share a physical core, together; in ascending order."""
    cores: dict[str, list[int]] = {}
    for cpu in sorted(cpus):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            core = siblings.read_text().strip()
        except OSError:
            core = f"cpu {cpu}"
        cores.setdefault(core, []).append(cpu)
    return list(cores.values())


def _quota(cgroup: Cgroup) -> float | None:
    """CPU time that a cgroup may have in a period, in CPUs; None without a limit."""
    if cgroup.version == 2:
        parts = (cgroup.read("cpu.max") or "").split()
    else:
        parts = [
            cgroup.read("cpu.cfs_quota_us") or "",
            cgroup.read("cpu.cfs_period_us") or "",
        ]
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or int(parts[1]) == 0:
        return None
    return int(parts[0]) / int(parts[1])


def _slurm_limits(environment: Mapping[str, str]) -> Iterator[CoreLimit]:
    cpus = environment.get("SLURM_CPUS_PER_TASK", "").strip()
    if cpus.isdigit() and int(cpus) > 0:
        yield CoreLimit(int(cpus), f"SLURM_CPUS_PER_TASK={cpus}")
        return
    # Without --cpus-per-task: what the job has on this node, for the tasks that it has there.
    on_node = environment.get("SLURM_CPUS_ON_NODE", "").strip()
    if not on_node.isdigit() or int(on_node) < 1:
        return
    tasks = _tasks_on_this_node(environment)
    because = f"SLURM_CPUS_ON_NODE={on_node}"
    if tasks > 1:
        because += f" for {tasks} tasks"
    yield CoreLimit(max(1, int(on_node) // tasks), because)


def _tasks_on_this_node(environment: Mapping[str, str]) -> int:
    """Tasks of the step, or else of the job, on this node ("2(x3),1": three nodes with two)."""
    for name in ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"):
        tasks: list[int] = []
        for part in environment.get(name, "").split(","):
            match = re.fullmatch(r"\s*(\d+)(?:\(x(\d+)\))?\s*", part)
            if match:
                tasks += [int(match[1])] * min(int(match[2] or 1), 1 << 16)
        node = environment.get("SLURM_NODEID", "0")
        if tasks:
            index = int(node) if node.isdigit() else 0
            return max(1, tasks[min(index, len(tasks) - 1)])
    return 1


def _openmp_limits(environment: Mapping[str, str]) -> Iterator[CoreLimit]:
    """OpenMP's own: a list has a number for each level of nesting, of which NEST has one."""
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT"):
        value = environment.get(name, "")
        first = value.split(",")[0].strip()
        if first.isdigit() and int(first) > 0:
            yield CoreLimit(int(first), f"{name}={value.strip()}")


def variables_that_bind(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that make OpenMP bind threads to cores, as they are set."""
    found = [name for name in LISTS_OF_CORES if environment.get(name, "").strip()]
    bind = environment.get("OMP_PROC_BIND", "").strip().lower()
    if bind == "false":
        return []
    return ["OMP_PROC_BIND", *found] if bind else found


def separate_cores(n_processes: int, threads: int) -> list[list[int]] | None:
    """CPUs for each of several processes with cores of their own, None if there are too few.

    Parameters
    ----------
    n_processes, threads : int
        Processes side by side, and threads of each.

    Returns
    -------
    list of lists of int, or None
        CPUs of ``threads`` physical cores for each process.
    """
    cores = _physical_cores(_cpus)
    if n_processes * threads > len(cores):
        return None
    return [
        [cpu for core in cores[i * threads : (i + 1) * threads] for cpu in core]
        for i in range(n_processes)
    ]
