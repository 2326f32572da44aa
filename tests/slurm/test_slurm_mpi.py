"""One simulation on several processes that Slurm starts: srun itself, and mpirun within a job."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.mpi.test_mpi import PYTHON, ROOT, assert_same, run, write
from tests.mpi.test_mpi import pytestmark as needs_mpi

pytestmark = [pytest.mark.slurm, *needs_mpi]

NETWORK = {"built_in": {"neurons": 500}}


@pytest.fixture(autouse=True)
def checkout(cluster, monkeypatch):
    """Every process, those on the node too, has this checkout's v1sim."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")


SRUN = ["srun", "--ntasks=2", "--kill-on-bad-exit=1", "--mem=2G"]


def command(config: Path, out: str, python: str = PYTHON) -> list[str]:
    """``v1sim run`` as one of the processes."""
    return [python, "-m", "v1sim", "run", str(config), "--threads", "1", "--out", out]


def test_srun_gives_the_spikes_of_one_process(cluster, tmp_path):
    if "pmix" not in cluster.run("srun", "--mpi=list"):
        pytest.skip("this Slurm has no PMIx")
    config = write(tmp_path, network=NETWORK)
    run(config, "one", processes=1, threads=2)
    done = subprocess.run(
        [*SRUN, "--mpi=pmix", *command(config, "several")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("report.html") == 1
    simulation = assert_same(tmp_path / "one", tmp_path / "several")
    assert (simulation["processes"], simulation["threads"]) == (2, 1)


def test_mpirun_within_a_job_gives_the_spikes_of_one_process(cluster, tmp_path):
    config = write(tmp_path, network=NETWORK)
    run(config, "one", processes=1, threads=2)
    several = shlex.join(["mpirun", *command(config, "several")])
    (tmp_path / "job.sbatch").write_text(f"#!/bin/bash\n{several}\n")
    cluster.run(
        *("sbatch", "--wait", "--ntasks=2", "--mem=2G", "--output=job.log", "--chdir"),
        *(str(tmp_path), str(tmp_path / "job.sbatch")),
        timeout_s=300,
    )
    simulation = assert_same(tmp_path / "one", tmp_path / "several")
    assert (simulation["processes"], simulation["threads"]) == (2, 1)


def test_a_cancelled_job_leaves_nothing(cluster, tmp_path):
    config = write(tmp_path, network=NETWORK, simulation={"between_trials": "rebuild"})
    config.write_text(config.read_text().replace("trials: 1", "trials: 3000"))
    with (tmp_path / "log").open("wb") as log:
        job = subprocess.Popen(
            [*SRUN, "--mpi=pmix", "--job-name=cancelled", *command(config, "out")],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
        while "simulate" not in (tmp_path / "log").read_text():
            assert job.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        cluster.run("scancel", "--name=cancelled")
        assert job.wait(60) != 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not [p for p in tmp_path.iterdir() if p.name.endswith("out") or "part" in p.name]


def test_nest_without_mpi_is_refused_once(cluster, tmp_path):
    config = write(tmp_path, network=NETWORK)
    done = subprocess.run(
        [*SRUN, *command(config, "out", sys.executable)],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == 2, text
    assert text.count("was built without MPI") == 1
    assert not (tmp_path / "out").exists()
