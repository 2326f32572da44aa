"""The configurations in configs/ on the built-in column, shortened, as a user runs them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from v1sim.recording import read_nwb

ROOT = Path(__file__).parents[2]

#: What shortens each, and the trials that are left.
SHORTENED = {
    "drifting_gratings": (["directions_deg=[0,90]", "trials=1", "grating_ms=300"], 2),
    "contrast": (["directions_deg=[0,90]", "contrast=[0.1,1.0]", "trials=1"], 4),
    "static_gratings": (["spatial_frequencies_cpd=[0.04]", "phases_deg=[0]", "trials=1"], 6),
    "images": (["trials=1"], 6),
    "spontaneous": (["trials=2", "duration_ms=500"], 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORTENED)
def test_ready_configuration_runs(name, tmp_path):
    changes, n_trials = SHORTENED[name]
    folder = tmp_path / "out"
    done = subprocess.run(
        [
            ROOT / "scripts" / "v1sim",
            "run",
            ROOT / "configs" / f"{name}.yaml",
            "--out",
            folder,
            "--set=network.built_in.neurons=600",
            "--threads=1",
            *(f"--set=stimulus.{change}" for change in changes),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    recording = read_nwb(folder / "spikes.nwb")
    assert len(recording.trials) == n_trials
    assert len(np.unique(recording.spikes.trial)) == n_trials  # every trial has spikes
    report = json.loads((folder / "report.json").read_text())
    assert 0.1 < report["results"]["mean_rate_hz"] < 50
    assert 1 < report["results"]["lgn_mean_rate_hz"] < 50


def test_every_ready_configuration_of_the_built_in_column_is_tested():
    built_in = {
        path.stem for path in (ROOT / "configs").glob("*.yaml") if "built_in:" in path.read_text()
    }
    assert built_in <= set(SHORTENED)
