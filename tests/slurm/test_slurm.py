"""A sweep on a real Slurm: cancelled, requeued, out of time, its node's daemon stopped; resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.sweeps import batch, fingerprints, runs_of, write_sweep

pytest.importorskip("submitit")
pytestmark = pytest.mark.slurm

#: A run that takes more than the 45 s that a job of one minute has, and is no longer than it must.
LONG = {"stimulus.trials": 900, "simulation.between_trials": "rebuild", "recording.sonata": False}


def until(condition: Callable[[], object], seconds: float = 1200) -> object:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return value


def running(cluster: Cluster) -> list[int]:
    """Elements of the array that run."""
    lines = cluster.run("squeue", "--noheader", "--array", "--states=RUNNING", "--format=%K")
    return [int(line) for line in lines.splitlines()]


def array_id(text: str) -> str:
    return text.partition("job array ")[2].partition(";")[0]


def successes(sweep: Path, name: str) -> int:
    """How many times a run ran to its end."""
    log = sweep.parent / "sweeps" / "sweep" / "logs" / f"{name}.log"
    return log.read_text().count("report.html") if log.exists() else 0


def test_nothing_is_lost_and_nothing_done_twice(cluster, tmp_path):
    seeds = [{"seed": seed} for seed in range(1, 14)]
    sweep = write_sweep(
        tmp_path, {"cases": [LONG, *seeds[1:]]}, slurm={"time_min": 1, "memory_mb": 600}
    )
    text = batch(sweep, "--slurm")
    array = array_id(text)
    names = runs_of(sweep)
    assert len(names) == 13

    assert "is running this sweep" not in batch(sweep, "--slurm", code=0)  # all are in the queue
    assert len(list((tmp_path / "sweeps" / "sweep" / "slurm").glob("*.json"))) == 1

    def one_more_than(*known: int) -> int | None:
        return next((i for i in running(cluster) if i not in known), None)

    cancelled = until(lambda: one_more_than(0))
    cluster.run("scancel", f"{array}_{cancelled}")
    requeued = until(lambda: one_more_than(0, cancelled))
    cluster.run("scontrol", "requeue", f"{array}_{requeued}")
    until(lambda: one_more_than(0, cancelled, requeued))
    cluster.stop_slurmd()
    time.sleep(5)
    cluster.start_slurmd()
    until(lambda: not cluster.run("squeue", "--noheader"))

    text = batch(sweep, "--status")
    assert "11 done" in text, text
    folder = tmp_path / "sweeps" / "sweep"
    assert not (folder / "runs" / names[0]).exists()
    assert not (folder / "runs" / names[cancelled]).exists()
    assert f"failed {names[0]}" in text
    assert "its time limit was reached" in text
    assert not list((folder / "runs").glob(".*"))

    before = fingerprints(sweep)
    sweep.write_text(sweep.read_text().replace("time_min: 1", "time_min: 30"))
    assert "2 runs given to Slurm" in batch(sweep, "--slurm", "--resume")
    until(lambda: not cluster.run("squeue", "--noheader"))
    assert "13 runs: 13 done" in batch(sweep, "--status")
    after = fingerprints(sweep)
    assert {k: after[k] for k in before} == before
    assert [successes(sweep, name) for name in names] == [1] * 13
    assert "13 of 13 runs" in batch(sweep, "--collect")
    assert not list((folder / "states").iterdir())


def test_slurm_and_this_machine_give_the_same_folders(cluster, tmp_path):
    axes = {"grid": {"seed": [1, 2]}}
    sweep = write_sweep(tmp_path, axes, slurm={"memory_mb": 600})
    batch(sweep, "--slurm", "-j", 1)
    until(lambda: not cluster.run("squeue", "--noheader"))
    batch(sweep, "--collect")
    folder = tmp_path / "sweeps" / "sweep"
    table = (folder / "results.csv").read_bytes()
    files = {p.relative_to(folder).as_posix() for p in (folder / "runs").rglob("*")}
    folder.rename(tmp_path / "by_slurm")
    batch(sweep, "--local", "-j", 2)
    batch(sweep, "--collect")
    assert (folder / "results.csv").read_bytes() == table
    assert {p.relative_to(folder).as_posix() for p in (folder / "runs").rglob("*")} == files


def test_what_slurm_refuses_is_one_message(cluster, tmp_path):
    axes = {"grid": {"seed": [1, 2]}}
    sweep = write_sweep(tmp_path, axes, slurm={"partition": "nowhere"})
    text = batch(sweep, "--slurm", code=2)
    assert "Slurm does not take the jobs" in text
    assert "partition" in text
    assert "2 missing" in batch(sweep, "--status")
