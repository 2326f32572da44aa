"""Processes that were started together, as launchers say it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from v1sim.simulation.group import ALONE, Group, launched
from v1sim.simulation.native.compile import wanted_stamp

VARIABLES = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for names in VARIABLES:
        for name in names:
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("names", VARIABLES)
def test_launchers(monkeypatch, names):
    assert launched() == ALONE
    for name, value in zip(names, ("4", "3"), strict=True):
        monkeypatch.setenv(name, value)
    assert launched() == Group(4, 3)


@pytest.mark.parametrize(
    "environment",
    [
        {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
        {"OMPI_COMM_WORLD_SIZE": "2"},
        {"PMI_SIZE": "two", "PMI_RANK": "0"},
        {"SLURM_NTASKS": "8", "SLURM_PROCID": "0"},  # in a job, but not started by srun
    ],
)
def test_one_process(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched() == ALONE


def test_a_group_of_one_gives_back_what_it_is_given():
    assert ALONE.is_first
    assert ALONE.broadcast("network") == "network"
    assert ALONE.all_gather(3.5) == [3.5]
    assert list(ALONE.scatter([["a"], ["b"]])) == ["a", "b"]
    with ALONE.first_before_others():
        pass


@pytest.mark.parametrize(("rank", "code"), [(0, 2), (1, 0)])
def test_the_wheel_refuses_once(tmp_path, monkeypatch, rank, code):
    if wanted_stamp()["mpi"]:
        pytest.skip("this NEST was built with MPI")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", str(rank))
    done = subprocess.run(
        [sys.executable, "-m", "v1sim", "run", "none.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    text = " ".join((done.stdout + done.stderr).split())
    assert ("2 processes were started together" in text) == (rank == 0)
    assert (text == "") == (rank == 1)
