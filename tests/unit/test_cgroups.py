"""Cgroups are found as the kernel names them: both versions, nested, and seen from a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from v1sim.cgroups import cgroups_of_this_process


def process(folder: Path, memberships: str, mounts: str) -> Path:
    made = folder / "proc"
    made.mkdir()
    (made / "cgroup").write_text(memberships)
    (made / "mountinfo").write_text(mounts.format(root=folder))
    return made


@pytest.mark.parametrize(
    ("memberships", "mounts", "folders"),
    [
        # Version 2, nested as systemd and Slurm do it.
        (
            "0::/system.slice/job_7/step_0\n",
            "31 23 0:28 / {root}/cg rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n",
            ["cg/system.slice/job_7/step_0", "cg/system.slice/job_7", "cg/system.slice", "cg"],
        ),
        # Version 1: the controller's own hierarchy, mounted with others.
        (
            "5:memory:/other\n4:cpu,cpuacct:/slurm/uid_0/job_7\n0::/\n",
            "31 23 0:28 / {root}/cg/memory rw - cgroup cgroup rw,memory\n"
            "32 23 0:29 / {root}/cg/cpu rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n",
            ["cg/cpu/slurm/uid_0/job_7", "cg/cpu/slurm/uid_0", "cg/cpu/slurm", "cg/cpu"],
        ),
        # A container that sees the host's names, with its own cgroup mounted alone.
        (
            "4:cpu:/docker/abc/inner\n",
            "32 23 0:29 /docker/abc {root}/cg/cpu rw - cgroup cgroup rw,cpu\n",
            ["cg/cpu/inner", "cg/cpu"],
        ),
        # A name outside of the cgroup namespace.
        ("0::/../other\n", "31 23 0:28 / {root}/cg rw - cgroup2 cgroup2 rw\n", ["cg"]),
        ("0::/gone\n", "31 23 0:28 / {root}/cg rw - cgroup2 cgroup2 rw\n", ["cg"]),
        ("4:cpuset:/a\n", "31 23 0:28 / {root}/cg rw - cgroup cgroup rw,cpuset\n", []),
    ],
)
def test_the_cgroup_and_all_above_it_are_found(tmp_path, memberships, mounts, folders):
    proc = process(tmp_path, memberships, mounts)
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    found = [cgroup.folder for cgroup in cgroups_of_this_process("cpu", proc)]
    assert found == [tmp_path / folder for folder in folders]


def test_a_system_without_cgroups_has_none(tmp_path):
    assert list(cgroups_of_this_process("cpu", tmp_path / "nothing")) == []


def test_the_real_ones_of_this_process_are_folders():
    assert all(cgroup.folder.is_dir() for cgroup in cgroups_of_this_process("memory"))
