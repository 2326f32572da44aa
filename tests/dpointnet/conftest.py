"""Circuits of DPointNet: the ready sample, and those that tests train themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHARED_DATA
from v1sim.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def sample() -> Path:
    """A circuit that was trained, with TensorFlow's spikes; the test skips where it is absent."""
    folder = SHARED_DATA / "dpointnet"
    if not folder.is_dir():
        pytest.skip(f"no sample of DPointNet at {folder}")
    return folder


@pytest.fixture
def copied(sample, tmp_path):
    """A copy of the sample that may be changed."""
    folder = tmp_path / "sample"
    shutil.copytree(sample, folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command; gives its exit code, output and errors."""

    def command(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["v1sim", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        seen = capsys.readouterr()
        return code, seen.out, seen.err

    return command


@pytest.fixture
def circuit_folder(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Makes a circuit (`tests.dpointnet.maker`) that is not trained: no TensorFlow needed."""
    pytest.importorskip("bmtk")
    from tests.dpointnet.maker import write_circuit

    def make(name: str = "circuit", **what: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        with monkeypatch.context() as inside:
            inside.chdir(folder)
            write_circuit(what)
        return folder

    return make


def train(folder: Path, **what: Any) -> Path:
    """Train a circuit in a process of its own; skip where DPointNet or TensorFlow are absent."""
    pytest.importorskip("bmtk.builder")
    pytest.importorskip("tensorflow")
    folder.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.dpointnet.maker", json.dumps(what)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder
