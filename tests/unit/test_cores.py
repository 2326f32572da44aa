"""The smallest limit of cores holds, and says what it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from v1sim import cores
from v1sim.cgroups import Cgroup

MANY = "100000"


def limit(monkeypatch, variables: dict[str, str], cgroups: list[Cgroup] = ()) -> cores.CoreLimit:
    monkeypatch.setattr(cores, "_cpus", frozenset(range(10_000, 10_064)))  # 64 cores of no name
    monkeypatch.setattr(cores, "cgroups_of_this_process", lambda _: iter(cgroups))
    return min(cores.core_limits(variables), key=lambda found: found.cores)


@pytest.mark.parametrize(
    ("variables", "n", "because"),
    [
        ({}, 64, "CPU affinity"),
        ({"SLURM_CPUS_PER_TASK": "3", "SLURM_CPUS_ON_NODE": "8"}, 3, "SLURM_CPUS_PER_TASK=3"),
        ({"SLURM_CPUS_PER_TASK": MANY}, 64, "CPU affinity"),
        # What Slurm 22.05 sets in a job without --cpus-per-task.
        ({"SLURM_CPUS_ON_NODE": "1", "SLURM_TASKS_PER_NODE": "1"}, 1, "SLURM_CPUS_ON_NODE=1"),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_TASKS_PER_NODE": "4(x2)"}, 2, "for 4 tasks"),
        (
            {"SLURM_CPUS_ON_NODE": "8", "SLURM_TASKS_PER_NODE": "4(x2),1", "SLURM_NODEID": "2"},
            8,
            "SLURM_CPUS_ON_NODE=8",
        ),
        (
            {
                "SLURM_CPUS_ON_NODE": "8",
                "SLURM_TASKS_PER_NODE": "8",
                "SLURM_STEP_TASKS_PER_NODE": "2",
            },
            4,
            "for 2 tasks",
        ),
        ({"SLURM_CPUS_ON_NODE": "2", "SLURM_TASKS_PER_NODE": "4"}, 1, "for 4 tasks"),
        ({"OMP_NUM_THREADS": "5"}, 5, "OMP_NUM_THREADS=5"),
        ({"OMP_NUM_THREADS": "2,7"}, 2, "OMP_NUM_THREADS=2,7"),  # one number a level of nesting
        ({"OMP_NUM_THREADS": " 1"}, 1, "OMP_NUM_THREADS=1"),
        ({"OMP_NUM_THREADS": "all"}, 64, "CPU affinity"),
        ({"OMP_NUM_THREADS": "0"}, 64, "CPU affinity"),
        ({"OMP_THREAD_LIMIT": "6", "OMP_NUM_THREADS": "8"}, 6, "OMP_THREAD_LIMIT=6"),
        ({"OMP_NUM_THREADS": "4", "SLURM_CPUS_PER_TASK": "2"}, 2, "SLURM_CPUS_PER_TASK"),
    ],
)
def test_the_smallest_limit_wins(monkeypatch, variables, n, because):
    found = limit(monkeypatch, variables)
    assert found.cores == n
    assert because in found.because


@pytest.mark.parametrize(
    ("version", "files", "n"),
    [
        (2, {"cpu.max": "250000 100000\n"}, 2),
        (2, {"cpu.max": "50000 100000\n"}, 1),
        (2, {"cpu.max": "max 100000\n"}, 64),
        (1, {"cpu.cfs_quota_us": "400000\n", "cpu.cfs_period_us": "100000\n"}, 4),
        (1, {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, 64),
        (1, {}, 64),
    ],
)
def test_a_quota_of_any_cgroup_above_holds(monkeypatch, tmp_path, version, files, n):
    inner = tmp_path / "inner"
    inner.mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    cgroups = [Cgroup(version, inner), Cgroup(version, tmp_path)]
    found = limit(monkeypatch, {}, cgroups)
    assert found.cores == n
    assert (str(tmp_path) in found.because) == (n < 64)


def test_processes_get_cores_of_their_own_or_none(monkeypatch):
    monkeypatch.setattr(cores, "_cpus", frozenset(range(10_000, 10_005)))
    assert cores.separate_cores(2, 2) == [[10_000, 10_001], [10_002, 10_003]]
    assert cores.separate_cores(5, 1) == [[10_000 + i] for i in range(5)]
    assert cores.separate_cores(3, 2) is None


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({}, []),
        ({"OMP_PROC_BIND": "true"}, ["OMP_PROC_BIND"]),
        ({"OMP_PROC_BIND": "FALSE", "OMP_PLACES": "cores"}, []),
        ({"OMP_PLACES": "cores"}, ["OMP_PLACES"]),
        ({"GOMP_CPU_AFFINITY": "0 1", "OMP_PROC_BIND": " "}, ["GOMP_CPU_AFFINITY"]),
    ],
)
def test_variables_that_bind_are_named(variables, names):
    assert cores.variables_that_bind(variables) == names


@pytest.mark.skipif(cores.core_limit().cores < 2, reason="needs two cores")
def test_cores_are_counted_before_openmp_binds_to_one():
    """libgomp 12 binds the thread that loads it to the first place of OMP_PROC_BIND."""
    code = (
        "import os, v1sim.cores as c; from v1sim.simulation.kernel import backend; backend(); "
        "print(len(os.sched_getaffinity(0)), c.core_limits()[0].cores)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP", "SLURM"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"OMP_PROC_BIND": "true"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    bound, counted = map(int, done.stdout.split())
    assert bound == 1
    assert counted >= 2
