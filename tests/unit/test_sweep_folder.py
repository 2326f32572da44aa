"""The sweep's folder: what the state of a run is, by what processes left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from types import MappingProxyType

import pytest
import yaml

from v1sim.batch.folder import QueuedRun, Status, SweepFolder
from v1sim.batch.sweep import SweepRun
from v1sim.config import load_config
from v1sim.documents.batch import RunStateDocument
from v1sim.errors import InputError, OutputError

FAILED = RunStateDocument(state="failed", reason="the simulation failed")
RUNNING = RunStateDocument(state="running")


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "base.yaml"
    path.write_text(yaml.safe_dump({"stimulus": {"kind": "drifting_gratings"}}))
    return SweepRun("0123456789abcdef", load_config(path), MappingProxyType({"seed": 1}))


@pytest.fixture
def folder(tmp_path, run):
    made = SweepFolder(tmp_path / "sweep")
    made.make([run])
    return made


def test_a_new_folder_says_what_each_run_is(folder, run):
    assert (folder.root / "runs.csv").read_text() == f"run,seed\n{run.name},1\n"
    assert load_config(folder.config(run.name)) == run.config
    assert folder.state(run.name).status is Status.MISSING


def test_a_run_is_done_when_its_folder_is_there_whatever_was_written(folder, run):
    folder.write_state(run.name, FAILED)
    folder.run(run.name).mkdir()
    assert folder.state(run.name).status is Status.DONE


def test_temporary_folders_are_nothing_and_are_cleared(folder, run):
    for name in (f".{run.name}.77.part", ".ffffffffffffffff.77.part"):
        (folder.root / "runs" / name).mkdir()
    assert folder.state(run.name).status is Status.MISSING
    assert folder.strangers([run]) == []
    folder.clear_leftovers(run.name)
    left = [p.name for p in (folder.root / "runs").iterdir()]
    assert left == [".ffffffffffffffff.77.part"]


def test_a_run_is_running_while_its_process_lives_and_interrupted_after(folder, run):
    lock = folder.lock(run.name)
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,)
    )
    os.close(lock)  # as if the driver had been killed
    folder.write_state(run.name, RUNNING)
    assert folder.state(run.name).status is Status.RUNNING
    assert folder.lock(run.name) is None
    child.kill()
    child.communicate()
    state = folder.state(run.name)
    assert state.status is Status.INTERRUPTED
    assert "killed" in state.reason


def test_failures_carry_the_reason_and_the_end_of_the_log(folder, run):
    folder.log(run.name).write_text("".join(f"line {i}\n\n" for i in range(5000)))
    folder.write_state(run.name, FAILED)
    state = folder.state(run.name)
    assert state.status is Status.FAILED
    assert state.reason == "the simulation failed"
    assert state.log_tail == tuple(f"line {i}" for i in range(4995, 5000))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "flying"}', "\x00" * 20])
def test_a_damaged_state_is_an_interrupted_run(folder, run, content):
    (folder.root / "states" / f"{run.name}.json").write_text(content)
    assert folder.state(run.name).status is Status.INTERRUPTED


@pytest.mark.parametrize(
    ("written", "waits", "expected"),
    [
        (None, True, Status.QUEUED),
        (FAILED, True, Status.QUEUED),
        (RUNNING, False, Status.RUNNING),
        (RUNNING, True, Status.QUEUED),  # requeued: its run begins anew
    ],
)
def test_the_queue_counts_where_no_lock_is_seen(folder, run, written, waits, expected):
    if written:
        folder.write_state(run.name, written)
    state = folder.state(run.name, {run.name: QueuedRun(waits, "")})
    assert (state.status, state.reason) == (expected, "")


def test_an_unusual_reason_to_wait_is_shown(folder, run):
    queue = {run.name: QueuedRun(True, "PartitionTimeLimit")}
    assert folder.state(run.name, queue).reason == "Slurm: PartitionTimeLimit"


def test_one_driver_at_a_time(folder):
    again = folder.one_driver()
    with folder.one_driver(), pytest.raises(InputError, match="another v1sim batch"):
        again.__enter__()
    with folder.one_driver():
        pass


def test_strangers_are_complete_runs_of_another_state(folder, run):
    (folder.root / "runs" / "ffffffffffffffff").mkdir()
    folder.run(run.name).mkdir()
    assert folder.strangers([run]) == ["ffffffffffffffff"]


def test_a_folder_that_cannot_be_made(tmp_path, run):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        SweepFolder(tmp_path / "file" / "sweep").make([run])
