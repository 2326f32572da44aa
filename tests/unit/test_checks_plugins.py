"""Checks of other packages: a real distribution on the path, good and broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.networks import write_tiny

GOOD = """
from v1sim.checks.registry import Observation, check
from v1sim.model import Severity

@check(
    "lab.mean",
    severity=Severity.ERROR,
    reason="Our networks have a mean above 5.",
    calibration="None.",
    needs=("structure.index_range",),
    page="https://lab.example/checks",
)
def mean(context):
    \"\"\"The mean weight is above 5.\"\"\"
    value = float(context.network.tables["recurrent"].weight.mean())
    if value < 5:
        yield Observation("recurrent.weight", f"the mean is {value:.3f}", "ask the lab")
"""
BROKEN = {
    "raises": "raise RuntimeError('no licence')",
    "name taken": GOOD.replace("lab.mean", "values.finite"),
    "unknown need": GOOD.replace("structure.index_range", "lab.nothing"),
}


def check(folder: Path, module: str) -> tuple[int, dict]:
    """What ``v1sim check`` says with a package of this module installed."""
    (folder / "lab_checks.py").write_text(module)
    info = folder / "lab_checks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-checks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[v1sim.checks]\nlab = lab_checks\n")
    write_tiny(folder / "net.h5")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "v1sim", "check", "net.h5"),
            *("--require", "constructed", "--json", "-"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def test_an_installed_check_runs_like_any_other(tmp_path):
    code, report = check(tmp_path, GOOD)
    assert code == 1
    (finding,) = [f for f in report["findings"] if f["severity"] == "error"]
    assert finding["check"] == "lab.mean"
    assert finding["message"].endswith("See https://lab.example/checks#lab-mean")
    assert "lab.mean" in report["checks_run"]


@pytest.mark.parametrize("fault", BROKEN)
def test_checks_that_cannot_be_loaded_refuse(tmp_path, fault):
    code, report = check(tmp_path, BROKEN[fault])
    assert code == 1
    (finding,) = [f for f in report["findings"] if f["severity"] == "error"]
    assert finding["check"] == "guard.crash"
    assert "lab-checks" in finding["message"]
    assert "values.finite" in report["checks_run"]
