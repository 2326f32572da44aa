"""Sweeps on this machine as a user meets them: run, fail, resume, change, collect."""

from __future__ import annotations

import contextlib
import csv
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

from tests.networks import write_tiny
from tests.sweeps import batch, batch_command, fingerprints, runs_of, write_sweep

pq = pytest.importorskip("pyarrow.parquet")


def results(sweep: Path) -> list[dict[str, str]]:
    with (sweep.parent / "sweeps" / "sweep" / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_sweep_from_dry_run_to_table(tmp_path):
    sweep = write_sweep(tmp_path, {"grid": {"seed": [1, 2], "stimulus.contrast": [0.1, 0.9]}})
    text = batch(sweep, "--dry-run")
    assert "4 runs, 0 done" in text
    assert text.count(" MB  ") == 4
    assert not (tmp_path / "sweeps").exists()
    assert "no run is done" in batch(sweep, "--collect", code=2)
    assert "no sweep to resume" in batch(sweep, "--resume", code=2)

    assert "4 runs: 4 done" in batch(sweep, "-j", 2)
    folder = tmp_path / "sweeps" / "sweep"
    names = runs_of(sweep)
    assert sorted(p.name for p in (folder / "runs").iterdir()) == sorted(names)
    assert len(list((folder / "shared").glob("pass-*.json"))) == 1
    assert not list((folder / "states").iterdir())

    # A run of the sweep is the run that v1sim run makes of the same configuration.
    alone = tmp_path / "alone"
    subprocess.run(
        [*batch_command(sweep)[:3], "run", folder / "configs" / f"{names[3]}.yaml", "--out", alone],
        check=True,
        capture_output=True,
    )
    with (
        h5py.File(alone / "spikes.h5") as a,
        h5py.File(folder / "runs" / names[3] / "spikes.h5") as b,
    ):
        for name in ("node_ids", "timestamps"):
            np.testing.assert_array_equal(a[f"spikes/v1/{name}"], b[f"spikes/v1/{name}"])
            assert len(a[f"spikes/v1/{name}"])

    before = fingerprints(sweep)
    assert "4 runs: 4 done" in batch(sweep, "-j", 2, "--resume")
    assert fingerprints(sweep) == before

    batch(sweep, "--collect")
    rows = results(sweep)
    assert {row["run"] for row in rows} == set(names)
    assert {(row["seed"], row["stimulus.contrast"]) for row in rows} == {
        (seed, contrast) for seed in ("1", "2") for contrast in ("0.1", "0.9")
    }
    for name in names:
        mine = [row for row in rows if row["run"] == name]
        assert mine[0]["cell_class"] == "all"
        with (folder / "runs" / name / "classes.csv").open() as file:
            for row, expected in zip(mine[1:], csv.DictReader(file), strict=True):
                assert row["cell_class"] == expected["name"]
                assert float(row["mean_rate_hz"]) == pytest.approx(
                    float(expected["mean_rate_hz"]), rel=1e-5
                )
    table = pq.read_table(folder / "results.parquet").to_pylist()
    assert [row["mean_rate_hz"] for row in table] == [float(row["mean_rate_hz"]) for row in rows]
    assert (folder / "results.png").stat().st_size > 10_000


def test_a_refused_network_starts_nothing(tmp_path):
    sweep = write_sweep(tmp_path, {"grid": {"network": ["tiny.h5", "bad.h5"]}})
    write_tiny(tmp_path / "bad.h5", seed=2)
    with h5py.File(tmp_path / "bad.h5", "r+") as file:
        file["recurrent/weights"][7] = np.nan
    for arguments in (["--dry-run"], ["-j", 2]):
        text = batch(sweep, *arguments, code=1)
        assert "REFUSED" in text
        assert "bad.h5" in text
    folder = tmp_path / "sweeps" / "sweep"
    assert not list((folder / "runs").iterdir())
    assert not list((folder / "logs").iterdir())


def test_failures_are_listed_and_tried_again(tmp_path):
    cases = [{"seed": 1}, {"recording.voltage_of": [7000]}]
    sweep = write_sweep(tmp_path, {"cases": cases})
    for arguments in ([], ["--retry-failed"]):
        text = batch(sweep, *arguments, code=3)
        assert "1 done, 1 failed" in text
        assert "recording.voltage_of=[7000]: its input cannot be used, or its results" in text
        assert "indices from 0 to 59" in text  # from its log
    log = tmp_path / "sweeps" / "sweep" / "logs" / f"{runs_of(sweep)[1]}.log"
    assert log.read_text().count("neuron 7000 is not in the network") == 2
    assert "1 done, 1 failed" in batch(sweep, "--status")


def test_runs_that_show_errors_are_done_and_named(tmp_path):
    axes = {"grid": {"watch.exploding_above_hz": [0.1, 1000.0]}}
    sweep = write_sweep(tmp_path, axes)
    for text in (batch(sweep), batch(sweep, "--status"), batch(sweep, "--resume")):
        assert "2 runs: 2 done" in text
        (line,) = [line for line in text.splitlines() if "the run shows errors" in line]
        assert "watch.exploding_above_hz=0.1" in line
        assert "run.exploding (" in line
    base = tmp_path / "base.yaml"
    base.write_text(base.read_text() + "watch: {on_error: fail}\n")
    text = batch(sweep, code=3)
    assert "2 runs: 2 done" in text
    assert "watch.on_error: fail" in text


@pytest.mark.slow
def test_what_changed_runs_again_and_the_rest_does_not(tmp_path):
    write_tiny(tmp_path / "other.h5", seed=2)
    sweep = write_sweep(tmp_path, {"grid": {"network": ["tiny.h5", "other.h5"]}})
    batch(sweep, "-j", 2)
    before = fingerprints(sweep)
    write_tiny(tmp_path / "other.h5", seed=3)
    text = batch(sweep)
    assert "2 runs: 2 done" in text
    assert "1 more complete run" in text
    after = fingerprints(sweep)
    runs = tmp_path / "sweeps" / "sweep" / "runs"
    assert {k: v for k, v in after.items() if k in before} == before
    assert len(list(runs.iterdir())) == 3
    batch(sweep, "--collect")
    assert {row["run"] for row in results(sweep)} == set(runs_of(sweep))


@pytest.mark.slow
def test_input_that_changes_under_way_fails_the_run(tmp_path):
    """Between the gate and a run's turn: no run is simulated under another one's name."""
    sweep = write_sweep(tmp_path, {"grid": {"seed": list(range(1, 5))}})
    driver = subprocess.Popen(
        batch_command(sweep), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    runs = tmp_path / "sweeps" / "sweep" / "runs"
    while not list(runs.glob("[!.]*")):
        time.sleep(0.05)
    write_tiny(tmp_path / "tiny.h5", seed=9)
    out, _ = driver.communicate(timeout=120)
    assert driver.returncode == 3
    assert b"have changed since the batch was begun" in out
    assert len(list(runs.glob("[!.]*"))) < 4


def test_options_that_exclude_each_other(tmp_path):
    sweep = write_sweep(tmp_path, {"grid": {"seed": [1]}})
    assert "exclude each other" in batch(sweep, "--slurm", "--local", code=2)
    assert "exclude each other" in batch(sweep, "--status", "--collect", code=2)


def test_interrupted_driver_ends_its_runs_and_leaves_nothing_half(tmp_path):
    sweep = write_sweep(
        tmp_path,
        {"grid": {"seed": [1, 2]}},
        set={"stimulus.trials": 500, "simulation.between_trials": "rebuild"},
    )
    driver = subprocess.Popen(
        batch_command(sweep, "-j", 2),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    runs = tmp_path / "sweeps" / "sweep" / "runs"
    while len(list(runs.glob(".*.part"))) < 2:
        time.sleep(0.05)
    children = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGTERM)
    out, _ = driver.communicate(timeout=60)
    assert driver.returncode == 3, out
    assert "Traceback" not in out
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)
    assert list(runs.iterdir()) == []
    assert "2 interrupted" in batch(sweep, "--status")


@pytest.mark.slow
def test_killed_at_random_points_always_ends_in_the_same_table(tmp_path):
    axes = [{"grid": {"seed": [1, 2, 3], "stimulus.contrast": [0.1, 0.9]}}]
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = write_sweep(tmp_path / "whole", *axes)
    batch(whole, "-j", 2)
    batch(whole, "--collect")
    expected = (whole.parent / "sweeps" / "sweep" / "results.csv").read_bytes()

    rng = random.Random(8)
    n_kills = 0
    for attempt in range(20):
        folder = tmp_path / "killed" / str(attempt)
        folder.mkdir()
        sweep = write_sweep(folder, *axes)
        shutil.copy(whole.parent / "tiny.h5", folder)  # the same bytes: the same names
        for _ in range(rng.randint(1, 3)):
            driver = subprocess.Popen(
                batch_command(sweep, "-j", 2),
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(rng.uniform(0.5, 9))
            family = psutil.Process(driver.pid).children(recursive=True)
            victims = rng.sample(family, rng.randint(0, len(family)))
            if not victims or rng.random() < 0.7:
                driver.kill()
            for victim in victims:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.kill()
                n_kills += 1
            driver.wait(timeout=120)
        before = fingerprints(sweep) if (folder / "sweeps" / "sweep" / "runs").is_dir() else {}
        batch(sweep, "-j", 2)
        after = fingerprints(sweep)
        assert {k: after[k] for k in before} == before
        batch(sweep, "--collect")
        assert (folder / "sweeps" / "sweep" / "results.csv").read_bytes() == expected
        runs = folder / "sweeps" / "sweep" / "runs"
        assert sorted(p.name for p in runs.iterdir()) == sorted(runs_of(whole))
    assert n_kills > 5
