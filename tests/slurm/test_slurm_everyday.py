"""What happens on a cluster every day: preemption, long queues, small arrays, a user's own shell.

Slurm 22.05: a job that ends by itself in its time of grace counts as failed and is not requeued; an
array has at most MaxArraySize elements; SQUEUE_* changes what squeue lists; SBATCH_* goes before
what the script of a job says.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.slurm import cluster as clusters
from tests.slurm.cluster import CONFIGURATION, Cluster
from tests.slurm.test_slurm import until
from tests.sweeps import batch, write_sweep

pytest.importorskip("submitit")
pytestmark = pytest.mark.slurm

PARTITION = "PartitionName=test Nodes={host} Default=YES MaxTime=60 State=UP"
PARTITIONS = """PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MaxArraySize=4
PartitionName=test Nodes={host} Default=YES MaxTime=60 State=UP PreemptMode=REQUEUE
PartitionName=low Nodes={host} MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=15
PartitionName=high Nodes={host} MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF"""
LONG = {"stimulus.trials": 900, "simulation.between_trials": "rebuild", "recording.sonata": False}


@pytest.fixture(scope="module")
def everyday(tmp_path_factory) -> Iterator[Cluster]:
    lacking = clusters.missing()
    if lacking:
        pytest.skip(lacking)
    configuration = CONFIGURATION.replace(PARTITION, PARTITIONS)
    assert configuration != CONFIGURATION
    folder = tmp_path_factory.mktemp("slurm") / "everyday"
    with clusters.running(folder, configuration) as started:
        before = dict(os.environ)
        os.environ.update(started.environment)
        yield started
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def idle(everyday: Cluster) -> Iterator[Cluster]:
    yield everyday
    everyday.run("scancel", "--user=root", check=False)
    until(lambda: not everyday.run("squeue", "--noheader"), 120)


def occupy(cluster: Cluster, partition: str = "test", seconds: int = 600) -> None:
    cluster.run(
        "sbatch", f"--partition={partition}", "--exclusive", "--mem=100", "--output=/dev/null",
        "--wrap", f"sleep {seconds}",
    )  # fmt: skip


def states(cluster: Cluster, name: str) -> list[str]:
    lines = cluster.run("squeue", "--noheader", "--array", "--format=%j %T").splitlines()
    return [line.split()[1] for line in lines if line.startswith(name)]


def test_a_preempted_job_goes_back_into_the_queue_and_says_so(idle, tmp_path):
    slurm = {"partition": "low", "memory_mb": 600, "time_min": 30}
    sweep = write_sweep(tmp_path, {"cases": [LONG]}, slurm=slurm)
    batch(sweep, "--slurm")
    until(lambda: "1 running" in batch(sweep, "--status"), 120)
    occupy(idle, "high", seconds=25)
    until(lambda: "PENDING" in states(idle, "sweep"), 180)
    text = batch(sweep, "--status")
    assert "1 queued" in text, text
    until(lambda: "1 running" in batch(sweep, "--status"), 300)


def test_a_sweep_larger_than_an_array_becomes_several(idle, tmp_path):
    sweep = write_sweep(tmp_path, {"grid": {"seed": list(range(1, 8))}}, slurm={"memory_mb": 600})
    text = batch(sweep, "--slurm")
    assert "7 runs given to Slurm as job arrays" in text
    assert len(list((tmp_path / "sweeps" / "sweep" / "slurm").glob("*.json"))) == 2
    assert len(states(idle, "sweep")) == 7
    until(lambda: "7 runs: 7 done" in batch(sweep, "--status"), 900)


def test_a_job_that_can_never_start_says_why(idle, tmp_path):
    slurm = {"memory_mb": 600, "time_min": 600}  # the partition's MaxTime is 60
    sweep = write_sweep(tmp_path, {"grid": {"seed": [1, 2]}}, slurm=slurm)
    batch(sweep, "--slurm")
    time.sleep(1)
    text = batch(sweep, "--status")
    assert "2 queued" in text
    assert "Slurm: PartitionTimeLimit" in text


def test_what_a_users_shell_sets_for_slurm_changes_nothing(idle, tmp_path, monkeypatch):
    occupy(idle)
    sweep = write_sweep(tmp_path, {"grid": {"seed": [1, 2]}}, slurm={"memory_mb": 600})
    for name, value in {
        "SQUEUE_PARTITION": "high", "SQUEUE_FORMAT": "%i", "SQUEUE_STATES": "RUNNING",
        "SBATCH_TIMELIMIT": "1", "SBATCH_JOB_NAME": "mine", "SBATCH_OUTPUT": "/nowhere/x",
        "SLURM_JOB_ID": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert "2 runs given to Slurm" in batch(sweep, "--slurm")
    assert "2 runs: 2 queued" in batch(sweep, "--slurm")
    assert "2 runs: 2 queued" in batch(sweep, "--status")
    monkeypatch.undo()
    os.environ.update(idle.environment)
    assert len(states(idle, "sweep")) == 2


def test_what_was_written_for_jobs_that_slurm_refuses_is_removed(idle, tmp_path):
    slurm = {"partition": "nowhere", "memory_mb": 600}
    sweep = write_sweep(tmp_path, {"grid": {"seed": [1, 2]}}, slurm=slurm)
    batch(sweep, "--slurm", code=2)
    assert list((tmp_path / "sweeps" / "sweep" / "slurm").iterdir()) == []
