"""Classification through `v1sim run` on a network that was really trained."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import pytest

from v1sim import pipeline
from v1sim.analysis.readout import wilson_interval
from v1sim.config import load_config
from v1sim.errors import InputError

CLASSIFY = Path(__file__).parents[2] / "configs" / "classify.yaml"


def test_a_run_on_real_stimuli(shared_data, tmp_path):
    """The trained network through `v1sim run`: TensorFlow's accuracy within sampling error."""
    data = shared_data / "trained_a"
    accuracy = {}
    for name in ("trained", "untrained"):
        config = load_config(
            CLASSIFY,
            [
                f"network={data / f'net_A_{name}.h5'}",
                f"stimulus.file={data / 'stimuli_A.h5'}",
                "require=any",
                "simulation.dynamics=training",
                "waive={guard.required: the untrained twin is classified too}",
            ],
        )
        pipeline.run(config, out=tmp_path / name, progress=lambda *_: None, command="test")
        report = json.loads((tmp_path / name / "report.json").read_text())
        found = report["results"]["classification"]
        accuracy[name] = found["accuracy"]
        assert found["window_ms"] == [150.0, 200.0]
        with (tmp_path / name / "classification.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 80
        assert sum(int(row["right"]) for row in rows) == round(80 * found["accuracy"])
        pipeline.renew_report(tmp_path / name)
        renewed = json.loads((tmp_path / name / "report.json").read_text())
        assert renewed["results"]["classification"] == found
        assert "Accuracy" in (tmp_path / name / "report.html").read_text()
    low, high = wilson_interval(65, 80)  # TensorFlow: 0.8125
    assert low - 0.05 <= accuracy["trained"] <= high + 0.05
    assert accuracy["untrained"] < 0.25


def test_labels_without_a_readout_group_are_refused_before_anything_is_built(shared_data, tmp_path):
    data = shared_data / "trained_a"
    with h5py.File(data / "stimuli_A.h5") as old, h5py.File(tmp_path / "s.h5", "w") as new:
        new["spike_trains"] = old["spike_trains"][:2]
        new["labels"] = [3, 10]
    overrides = [f"network={data / 'net_A_trained.h5'}", f"stimulus.file={tmp_path / 's.h5'}"]
    with pytest.raises(InputError, match="label 10, but the readout has 10 classes"):
        pipeline.preview(load_config(CLASSIFY, overrides))
