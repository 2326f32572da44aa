"""Runs forked from a process that has imported what they need: they are as if started alone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.sweeps import batch, batch_command, runs_of, write_sweep
from v1sim.batch.warm import WarmProcess, WarmProcesses
from v1sim.cores import core_limit


@pytest.fixture
def processes() -> Iterator[WarmProcesses]:
    with contextlib.closing(WarmProcesses()) as made:
        yield made


def launch(processes: WarmProcesses, folder: Path, *arguments: str) -> tuple[WarmProcess, Path]:
    """A command in a warm process, and its log."""
    path = folder / f"{len(list(folder.iterdir()))}.log"
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    try:
        with path.open("ab") as log:
            process = processes.launch(arguments, log=log, lock=lock, environment=os.environ)
    finally:
        os.close(lock)
    return process, path


def test_commands_end_as_they_do_alone(processes, tmp_path):
    first, first_log = launch(processes, tmp_path, "check", str(tmp_path / "nothing.h5"))
    assert first.wait(60) == 2
    second, second_log = launch(processes, tmp_path, "--help")
    assert second is first  # one after the other in one
    assert second.wait(60) == 0
    for arguments, log in (
        (["check", str(tmp_path / "nothing.h5")], first_log),
        (["--help"], second_log),
    ):
        alone = subprocess.run(
            [sys.executable, "-m", "v1sim", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert log.read_bytes() == alone.stdout


def test_nothing_of_nest_begins_before_the_fork():
    code = "import sys, v1sim.batch.warm as w; w.import_what_runs_need(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"v1sim.pipeline", "matplotlib", "pandas", "neo", "pynwb"} <= loaded
    assert not loaded & {"nest", "pyNN.nest", "mpi4py"}


def test_another_takes_the_place_of_one_that_was_killed(processes, tmp_path):
    first, _ = launch(processes, tmp_path, "--help")
    assert first.wait(60) == 0
    assert first.is_idle
    first.kill()
    while first.is_idle:
        time.sleep(0.01)
    second, _ = launch(processes, tmp_path, "--help")
    assert second is not first
    assert second.wait(60) == 0


def test_what_cannot_be_imported_is_for_the_run_to_complain_of(processes, tmp_path, monkeypatch):
    (tmp_path / "h5py.py").write_text("raise RuntimeError('broken here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    process, _ = launch(processes, tmp_path, "--help")
    assert process.wait(60) == 0
    process, log = launch(processes, tmp_path, "check", str(tmp_path / "nothing.h5"))
    assert process.wait(60) == 3
    assert "broken here" in log.read_text()


def run_of(driver: int) -> psutil.Process | None:
    """The forked run of a sweep with one job."""
    for warm in psutil.Process(driver).children():
        for run in warm.children():
            return run
    return None


def long_sweep(folder: Path) -> Path:
    return write_sweep(folder, {"grid": {"seed": [1]}}, set={"stimulus.trials": 10})


def began(sweep: Path, driver: subprocess.Popen[bytes]) -> psutil.Process:
    """The run, suspended when it has its folder."""
    runs = sweep.parent / "sweeps" / "sweep" / "runs"
    while not list(runs.glob(".*.part")):
        assert driver.poll() is None
        time.sleep(0.02)
    run = run_of(driver.pid)
    assert run is not None
    run.suspend()
    return run


@pytest.mark.parametrize("killed", ["warm process", pytest.param("run", marks=pytest.mark.slow)])
def test_what_is_killed_within_a_sweep(tmp_path, killed):
    """A run whose warm process is killed goes on and is waited for; a killed run failed."""
    sweep = long_sweep(tmp_path)
    driver = subprocess.Popen(
        batch_command(sweep), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    run = began(sweep, driver)
    (run.parent() if killed == "warm process" else run).kill()
    if killed == "warm process":
        run.resume()
    out, _ = driver.communicate(timeout=120)
    name = runs_of(sweep)[0]
    log = tmp_path / "sweeps" / "sweep" / "logs" / f"{name}.log"
    if killed == "warm process":
        assert driver.returncode == 0, out
        assert log.read_text().count("report.html") == 1
        assert not list((tmp_path / "sweeps" / "sweep" / "states").iterdir())
    else:
        assert driver.returncode == 3, out
        assert b"killed by SIGKILL, probably for memory: about" in out
        assert "1 done" in batch(sweep, "--retry-failed")


@pytest.mark.slow
def test_a_run_outlives_a_killed_driver_and_keeps_its_lock(tmp_path):
    sweep = long_sweep(tmp_path)
    driver = subprocess.Popen(
        batch_command(sweep), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    run = began(sweep, driver)
    warm = run.parent()
    driver.kill()
    driver.wait()
    lock = os.open(tmp_path / "sweeps" / "sweep" / "locks" / runs_of(sweep)[0], os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)
    assert "1 running" in batch(sweep, "--status")
    run.resume()
    assert "1 done" in batch(sweep)
    psutil.wait_procs([run, warm], timeout=30)
    assert not run.is_running()
    assert not warm.is_running()


def test_sigterm_ends_run_and_warm_process(processes, tmp_path):
    sweep = long_sweep(tmp_path)
    process, log = launch(
        processes,
        tmp_path,
        "run",
        str(tmp_path / "base.yaml"),
        "--set",
        "stimulus.trials=100000",
        "--out",
        str(tmp_path / "out"),
    )
    assert sweep.exists()
    while not list(tmp_path.glob(".out.*.part")):
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    process.terminate()
    assert process.wait(60) == 3
    assert "interrupted" in log.read_text()
    assert not list(tmp_path.glob(".out.*"))
    assert not process.is_idle
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.skipif(core_limit().cores < 2, reason="needs two cores")
def test_runs_that_openmp_would_bind_to_one_core_get_their_own(tmp_path, monkeypatch):
    """With OMP_PROC_BIND each process binds its threads to the first of the cores it may use."""
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    monkeypatch.setenv("OMP_PLACES", "cores")
    sweep = write_sweep(tmp_path, {"grid": {"seed": [1, 2]}})
    text = batch(sweep, "-j", "2", "--threads", "1")
    assert "each had its own" in text
    cores, machines = set(), 0
    for path in (sweep.parent / "sweeps" / "sweep" / "runs").glob("*/report.json"):
        cores.add(json.loads(path.read_text())["machine"]["usable cores"])
        machines += 1
    assert machines == 2
    assert cores == {"1 (CPU affinity: 1 CPUs on 1 cores)"}
