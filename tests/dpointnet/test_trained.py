"""Circuits that are trained here, converted, and replayed: every spike of TensorFlow's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pytest

from tests.dpointnet.conftest import train
from tests.dpointnet.replay import counts_of, replay, spikes_of
from v1sim import guard
from v1sim.conversion.dpointnet import convert, open_training
from v1sim.errors import InputError
from v1sim.sources import open_network

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    """A circuit, and which of its populations training changes."""

    what: dict[str, Any]
    kind: str = "trained"
    trained: tuple[str, ...] = ("v1", "bkg")


_FILES = {"module": "spikes_files"}
CASES = {
    "hard reset, 34 cells, delays clipped and raised": Case(
        {
            "n": {"e": 24, "i": 10, "lgn": 12, "bkg": 4},
            "seed": 7,
            "chance": 0.3,
            "rnn": {"hard_reset": True},
            "delays": {"e2e": 2.5, "i2e": 4.6, "e2i": 0.4, "i2i": 7.0},
        }
    ),
    "several factors, some negative, delays of edges": Case(
        {
            "n": {"e": 20, "i": 8},
            "seed": 5,
            "tau_basis": [1.0, 3.6, 9.0],
            "factors": {
                "e2e": [0.7, -0.2, 0.4],
                "i2e": [0.0, 0.5, 0.6],
                "e2i": [0.9, 0.0, -0.1],
                "i2i": [0.0, 1.0, 0.0],
            },
            "factors_in": "json",
            "delay_of_edges": True,
            "synapses": {"e2i": 1, "i2e": 1},
            "weight_pa": [20, 90],
        }
    ),
    "scales of weights and of the learning rate, adam, a short limit of delays": Case(
        {
            "seed": 21,
            "inputs": {"lgn": _FILES, "bkg": {**_FILES, "trainable": True, "weight_scale": 2.0}},
            "rnn": {"lr_scale": 0.5, "recurrent_weight_scale": 1.3, "max_delay": 2},
            "optimizer": {"name": "adam"},
            "learning_rate": 0.4,
        }
    ),
    "node ids in another order": Case({"seed": 31, "permute_ids": True}),
    "frozen recurrent weights": Case(
        {"seed": 41, "rnn": {"train_recurrent": False}}, kind="mixed", trained=("bkg",)
    ),
    "drawn input, background inside the cell, sgd": Case(
        {
            "seed": 51,
            "inputs": {
                "lgn": {"module": "random", "firing_rate": 60.0},
                "bkg": {
                    "module": "poisson_spikes_internal",
                    "firing_rate": 250.0,
                    "trainable": True,
                },
            },
            "n": {"bkg": 10},
            "bkg_pa": [10, 20],
        }
    ),
    "a learning rate of 0": Case(
        {"seed": 11, "learning_rate": 0.0, "nsyns": 3}, kind="untrained", trained=()
    ),
    "asc_decay of 1": Case({"seed": 61, "cells": {"asc_decay": [1.0, 0.1]}}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_trained_circuit_is_converted_and_gives_tensorflows_spikes(name, tmp_path):
    case = CASES[name]
    folder = train(tmp_path / "circuit", **case.what)
    config, trained = folder / "config.json", folder / "training" / "trained_weights"
    out = tmp_path / "net.h5"
    if case.kind == "untrained":
        with pytest.raises(InputError, match="untrained"):
            convert(trained, config, out, command="tests")
    done = convert(trained, config, out, command="tests", allow_untrained=True)
    assert done.training.kind == case.kind
    changed = {p for p, held in done.training.weights.change.items() if held.trained}
    assert changed == set(case.trained)
    network = open_network(out)

    truth, circuit = np.load(folder / "internal.npz"), done.training.circuit
    for population, weight in done.training.weights.internal.items():
        recurrent = population == "v1"
        key = "recurrent" if recurrent else f"{population}_input_weight_values"
        np.testing.assert_array_max_ulp(np.sort(truth[key]), np.sort(weight), maxulp=1)
    steps = circuit.cells.refractory_steps(1.0)[circuit.cells.type_index]
    np.testing.assert_array_equal(truth["t_ref_steps"], steps)

    given = {
        p: counts_of(folder / "inputs" / f"{p}_spikes.h5", p, held.size, 200, once=False)
        for p, held in network.source_populations.items()
    }
    ids = network.neurons.populations[0].node_id
    theirs = spikes_of(folder / "spikes.h5")
    if (ids != np.arange(len(ids))).any():  # its spikes have wrong ids too
        theirs = [(step, int(ids[node])) for step, node in theirs]
    mine = replay(network, given)
    assert len(mine) > 100
    assert sorted(mine) == sorted(theirs)

    report = guard.examine(network, guard.Policy())
    assert report.verdict == case.kind
    assert report.passed == (case.kind == "trained"), [f.message for f in report.blocking]
    keras = open_training(folder / "model.weights.h5", config, command="tests").network
    for projection, table in keras.tables.items():
        np.testing.assert_array_max_ulp(table.weight, network.tables[projection].weight, maxulp=2)


def test_cells_that_training_silenced_leave_nothing_to_convert(tmp_path):
    """Their NaN reaches the weights; where they keep the original ones, the gate refuses them."""
    folder = train(tmp_path / "circuit", seed=61, cells={"asc_decay": [1.5, 0.1]})
    with h5py.File(folder / "spikes.h5", "r") as file:
        assert "v1" not in file.get("spikes", {})  # not one spike
    with pytest.raises(InputError, match="not finite") as caught:
        open_training(folder / "training", folder / "config.json", command="tests")
    assert "asc_decay" in str(caught.value)


def test_edges_that_cannot_be_told_apart_are_refused(tmp_path):
    folder = train(tmp_path / "circuit", seed=71, delay_of_edges=True)
    with pytest.raises(InputError, match="have the same type but other delays"):
        open_training(folder / "training", folder / "config.json", command="tests")
