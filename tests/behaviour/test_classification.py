"""Classification through `v1sim run` on a network that was really trained."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from v1sim import pipeline
from v1sim.analysis.readout import wilson_interval
from v1sim.config import load_config
from v1sim.errors import InputError
from v1sim.report.run_folder import renew_report

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
        renew_report(tmp_path / name)
        renewed = json.loads((tmp_path / name / "report.json").read_text())
        assert renewed["results"]["classification"] == found
        assert "Accuracy" in (tmp_path / name / "report.html").read_text()
    low, high = wilson_interval(65, 80)  # TensorFlow: 0.8125
    assert low - 0.05 <= accuracy["trained"] <= high + 0.05
    assert accuracy["untrained"] < 0.25


def accuracy_of(shared_data, folder, *overrides, network="trained"):
    """Accuracy on all samples, through `v1sim run` in the training dynamics."""
    data = shared_data / "trained_a"
    config = load_config(
        CLASSIFY,
        [
            f"network={data / f'net_A_{network}.h5'}",
            f"stimulus.file={data / 'stimuli_A.h5'}",
            "require=any",
            "simulation.dynamics=training",
            "waive={guard.required: the untrained twin is classified too}",
            "recording={nwb: false, sonata: false}",
            *overrides,
        ],
    )
    pipeline.run(config, out=folder, progress=lambda *_: None, command="test")
    report = json.loads((folder / "report.json").read_text())
    return report["results"]["classification"]["accuracy"]


#: Training's own input: 1.3 p enters the synapses.
ANALOG = ("stimulus.input=analog", "stimulus.divide_by=1.0")


def test_training_s_own_input_with_its_mean_background(shared_data, tmp_path):
    """Nothing is drawn: TensorFlow's decisions, 73 of 80."""
    accuracy = accuracy_of(shared_data, tmp_path / "run", *ANALOG, "background=mean")
    assert accuracy == 73 / 80


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", ["training", "training_float32"])
def test_training_s_own_input_without_background(shared_data, tmp_path, dynamics):
    """Nothing is drawn: TensorFlow's decisions, 10 of 80."""
    overrides = (*ANALOG, "background=none", f"simulation.dynamics={dynamics}")
    assert accuracy_of(shared_data, tmp_path / "run", *overrides) == 10 / 80


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "overrides", "tensorflow"),
    [
        ("trained", ANALOG, 0.95),
        ("trained", ("stimulus.input=analog",), 0.875),
        ("trained", (), 0.8125),
        ("trained", ("stimulus.divide_by=1.0",), 0.9375),
        ("untrained", ANALOG, 0.075),
        ("trained", (*ANALOG, "stimulus.response_window_ms=[50, 100]"), 0.075),
    ],
    ids=["analog 1.3 p", "analog p", "spikes p", "spikes 1.3 p", "untrained", "other window"],
)
def test_tensorflow_s_accuracy_for_each_way_of_drawing(
    shared_data, tmp_path, network, overrides, tensorflow
):
    """One draw of either side: the difference of two proportions of 80."""
    accuracy = accuracy_of(shared_data, tmp_path / "run", *overrides, network=network)
    mean = (accuracy + tensorflow) / 2
    assert abs(accuracy - tensorflow) < 2.58 * np.sqrt(2 * mean * (1 - mean) / 80)


def test_labels_without_a_readout_group_are_refused_before_anything_is_built(shared_data, tmp_path):
    data = shared_data / "trained_a"
    with h5py.File(data / "stimuli_A.h5") as old, h5py.File(tmp_path / "s.h5", "w") as new:
        new["spike_trains"] = old["spike_trains"][:2]
        new["labels"] = [3, 10]
    overrides = [f"network={data / 'net_A_trained.h5'}", f"stimulus.file={tmp_path / 's.h5'}"]
    with pytest.raises(InputError, match="label 10, but the readout has 10 classes"):
        pipeline.preview(load_config(CLASSIFY, overrides))
