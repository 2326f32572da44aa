"""The tutorial of docs/dpointnet.md, executed: training, conversion, checks, NEST, verification."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "dpointnet.md"


def block(language: str) -> str:
    """The one block of a language in the tutorial's part of the page."""
    text = PAGE.read_text(encoding="utf-8").partition("## A circuit from training to NEST")[2]
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return found


@pytest.mark.slow
def test_it_runs_and_gives_tensorflows_spikes(tmp_path):
    pytest.importorskip("bmtk")
    pytest.importorskip("tensorflow")
    (tmp_path / "train.py").write_text(block("python"))
    (tmp_path / "run.yaml").write_text(block("yaml"))
    said = {}
    for line in block("sh").splitlines():
        words = shlex.split(line)
        program = [sys.executable, "-m", "v1sim"] if words[0] == "v1sim" else [sys.executable]
        done = subprocess.run(
            [*program, *words[1:]],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYNEST_QUIET": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        said[words[1]] = done.stdout
    assert "net.h5: trained" in said["convert"]
    assert "frozen by the configuration" in said["convert"]
    assert "PASSED" in said["check"]
    spikes = []
    for path in (tmp_path / "spikes.h5", tmp_path / "run" / "spikes.h5"):
        with h5py.File(path, "r") as file:
            group = file["spikes/v1"]
            step = np.rint(group["timestamps"][()]).astype(int)
            spikes.append(sorted(zip(step.tolist(), group["node_ids"][()].tolist(), strict=True)))
    assert len(spikes[0]) > 50
    assert spikes[0] == spikes[1]
