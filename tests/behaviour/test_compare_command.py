"""Runs beside each other: what differs is found, and what does not is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import v1sim
from tests.behaviour.test_command_line import assert_refused
from tests.behaviour.test_command_line import v1sim as command
from tests.networks import N_NEURONS, sealed, tiny_network, write_tiny
from v1sim.sources.hdf5 import write_network

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "comparison.schema.json"
CONFIG = {
    "require": "constructed",
    "stimulus": {
        "kind": "drifting_gratings",
        "directions_deg": [0, 90, 180, 270],
        "trials": 2,
        "grey_ms": 50,
        "grating_ms": 200,
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Five runs: the first, the same again, another seed, more input, another network."""
    folder = tmp_path_factory.mktemp("compare")
    network = write_tiny(folder / "tiny.h5")
    lgn = network.tables["lgn"]
    stronger = tiny_network().with_tables(lgn=replace(lgn, weight=lgn.weight * np.float32(2)))
    write_network(sealed(stronger, kind="constructed"), folder / "stronger.h5")
    write_tiny(folder / "other.h5", seed=2)
    for name, changes in (
        ("first", {}),
        ("again", {}),
        ("seed", {"seed": 5}),
        ("stronger", {"network": folder / "stronger.h5"}),
        ("other", {"network": folder / "other.h5"}),
    ):
        v1sim.run(
            CONFIG, {"network": folder / "tiny.h5", "name": name, **changes}, out=folder / name
        )
    return folder


def test_a_run_that_is_repeated_differs_in_nothing(folder):
    (one,) = v1sim.compare(folder / "first", folder / "again", spikes=True).document.differences
    assert one.configuration == []
    assert one.network.equal
    assert one.spikes.equal and one.spikes.n_before == one.spikes.n_equal > 50
    assert one.spikes.first is None
    assert all(row.difference == 0 == row.effect_size and row.q_value == 1 for row in one.measures)


def test_another_seed_parts_at_its_first_spike(folder):
    comparison = v1sim.compare(folder / "first", folder / "seed", spikes=True)
    (one,) = comparison.document.differences
    assert [(c.key, c.before, c.after) for c in one.configuration] == [("seed", 1, 5)]
    assert one.network.same_neurons
    a, b = (v1sim.open_run(folder / name).recording.spikes for name in ("first", "seed"))
    sets = [
        set(zip(t.trial.tolist(), t.time_ms.tolist(), t.neuron.tolist(), strict=True))
        for t in (a, b)
    ]
    assert one.spikes.n_equal == len(sets[0] & sets[1])
    trial, time_ms, neuron = min(sets[0] ^ sets[1])
    first = one.spikes.first
    assert (first.trial, first.time_ms, first.neuron) == (trial, time_ms, neuron)
    assert (first.in_run == "before") == ((trial, time_ms, neuron) in sets[0])
    assert f"in neuron {neuron}" in comparison.text


def test_the_same_network_with_other_weights_is_paired(folder):
    (one,) = v1sim.compare(folder / "first", folder / "stronger").document.differences
    assert (one.network.same_neurons, one.network.equal) == (True, False)
    assert one.network.tables["input"].relative_change == pytest.approx(1.0)
    whole = next(row for row in one.measures if row.cell_class == "all")
    rates = [v1sim.open_run(folder / name).results.rate_hz for name in ("first", "stronger")]
    assert whole.paired
    assert whole.n_before == N_NEURONS
    assert whole.difference == pytest.approx((rates[1] - rates[0]).mean())
    assert whole.interval_95[0] > 0
    assert whole.effect_size > 0.5
    assert whole.q_value < 0.01


def test_neurons_of_another_network_are_not_paired(folder):
    comparison = v1sim.compare(folder / "first", folder / "other")
    (one,) = comparison.document.differences
    assert not one.network.same_neurons
    assert not any(row.paired for row in one.measures)
    assert any("not paired" in note for note in comparison.document.notes)


def test_the_command_writes_text_page_figure_and_json(folder, tmp_path):
    names = [folder / name for name in ("first", "stronger", "other")]
    files = {"--html": "a.html", "--figure": "a.svg", "--json": "a.json"}
    options = [part for pair in files.items() for part in pair]
    done = command("compare", *names, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "stronger: the same network with other values" in done.stdout
    written = json.loads((tmp_path / "a.json").read_text())
    jsonschema.validate(written, json.loads(SCHEMA.read_text()))
    page = (tmp_path / "a.html").read_text()
    assert (
        page.index("stronger")
        < page.index("data:image/png;base64")
        < page.index("Accuracy" if "Accuracy by" in page else "q: p with")
    )
    assert (tmp_path / "a.svg").read_text().count("<svg") == 1
    assert_refused(command("compare", names[0], cwd=tmp_path), 2, "two runs or more")
    bad = command("compare", *names, "--figure", "a.bmp", cwd=tmp_path)
    assert_refused(bad, 2, ".png, .pdf or .svg")


def test_what_cannot_be_compared_spike_by_spike_is_told(folder, tmp_path):
    shorter = v1sim.run(
        CONFIG, {"network": folder / "tiny.h5", "stimulus.trials": 1}, out=tmp_path / "short"
    )
    with pytest.raises(v1sim.InputError, match="durations of trials"):
        v1sim.compare(folder / "first", shorter, spikes=True)
    assert v1sim.compare(folder / "first", shorter).document.differences[0].network.equal


def test_a_network_that_is_gone_leaves_a_comparison_without_pairs(folder, tmp_path):
    write_tiny(tmp_path / "gone.h5", seed=3)
    run = v1sim.run(CONFIG, {"network": tmp_path / "gone.h5"}, out=tmp_path / "run")
    (tmp_path / "gone.h5").unlink()
    (one,) = v1sim.compare(folder / "first", run).document.differences
    assert (one.network.same_neurons, one.network.equal) == (False, None)
    assert "cannot be read" in one.network.why
