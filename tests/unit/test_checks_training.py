"""The evidence of exact zeros: on really trained and untrained networks, and on imitations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests import damage
from tests.networks import damaged, findings, tiny_network
from v1sim.checks.registry import Context
from v1sim.checks.training import (
    FEW_ZEROS,
    RANDOM_SIGMAS,
    TRAINED_ZEROS,
    _zeros_of_cells,
    zero_evidence,
)
from v1sim.sources import open_network


def evidence(network):
    return zero_evidence(Context(network, 1.0), "recurrent")


@pytest.mark.parametrize("name", ["trained", "few_steps", "untrained", "fallback"])
def test_reference_networks(training, name):
    network = training.open(name)
    found = evidence(network)
    zeros = np.count_nonzero(network.tables["recurrent"].weight == 0)
    assert found.fraction == zeros / len(network.tables["recurrent"])
    assert bool(zeros) is (name in ("trained", "few_steps"))
    assert found.trained is (name == "trained")
    assert bool(found.why_not) is (name != "trained")


@pytest.mark.parametrize("limit", [TRAINED_ZEROS, FEW_ZEROS])
def test_the_limits_are_fractions_of_all_weights(training, limit):
    """The smallest weights stay at zero, as early in a training; the others get theirs again."""
    network = training.open()
    initial = training.open("untrained").tables["recurrent"].weight
    zeros = np.flatnonzero(network.tables["recurrent"].weight == 0)
    zeros = zeros[np.argsort(np.abs(initial[zeros]))]
    for share in (0.99 * limit, 1.01 * limit):
        weight = network.tables["recurrent"].weight.copy()
        filled = zeros[round(share * len(weight)) :]
        weight[filled] = initial[filled]
        some = damaged(network, "recurrent", weight=weight)
        assert evidence(some).trained is (share > TRAINED_ZEROS)
        assert bool(findings(some, "training.few_zeros")) is (TRAINED_ZEROS < share < FEW_ZEROS)


@pytest.mark.parametrize("share", [0.03, 0.045])
def test_few_zeros_count_only_where_they_are_uneven(network_a, share):
    network = network_a.open("untrained")
    zero = np.random.default_rng(3).random(len(network.tables["recurrent"])) < share
    found = evidence(
        damaged(network, "recurrent", weight=network.tables["recurrent"].weight * ~zero)
    )
    assert found.fraction > TRAINED_ZEROS
    assert not found.trained


def test_every_receptor_must_have_zeros(training):
    network = training.open()
    initial = training.open("untrained").tables["recurrent"].weight
    table = network.tables["recurrent"]
    for share, trained in ((0.0, False), (0.2, True)):
        again = (table.receptor == 2) & (np.random.default_rng(1).random(len(table)) > share)
        weight = np.where(again & (table.weight == 0), initial, table.weight)
        found = evidence(damaged(network, "recurrent", weight=weight))
        assert found.trained is trained
        assert ("not in every receptor" in found.why_not) is not trained


def shuffled_weights(network, key, seed=0):
    """Weights dealt out anew among synapses of the same key."""
    table = network.tables["recurrent"]
    mixed = np.random.default_rng(seed).permutation(len(table))
    weight = np.empty_like(table.weight)
    order = np.argsort(key, kind="stable")
    weight[order] = table.weight[mixed[np.argsort(key[mixed], kind="stable")]]
    return damaged(network, "recurrent", weight=weight)


def type_pairs(network):
    table, types = network.tables["recurrent"], network.neurons.cell_type.astype(int)
    return (types[table.pre] * 1000 + types[table.post]) * 4 + table.receptor


@pytest.mark.parametrize("within", ["receptor", "type pair"])
def test_shuffled_zeros_are_no_evidence(training, within):
    network = training.open()
    assert findings(network, "training.shuffled") == []
    key = network.tables["recurrent"].receptor if within == "receptor" else type_pairs(network)
    mixed = shuffled_weights(network, key)
    assert not evidence(mixed).trained
    (finding,) = findings(mixed, "training.shuffled")
    assert "shuffled among synapses" in finding.message
    patterns = findings(mixed, "patterns.class_pairs")
    assert bool(patterns) is (within == "receptor")


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_shuffles_are_found_in_small_networks_too(network_a, share, tmp_path):
    whole = damage.read_arrays(network_a.files["trained"])
    n = len(whole["neurons/node_type_ids"])
    kept = np.sort(np.random.default_rng(2).permutation(n)[: round(share * n)])
    damage.write_arrays(damage.subnetwork(whole, kept), tmp_path / "part.h5")
    network = open_network(tmp_path / "part.h5")
    assert evidence(network).trained
    for seed in range(3):
        mixed = shuffled_weights(network, type_pairs(network), seed)
        assert not evidence(mixed).trained
        assert findings(mixed, "training.shuffled")


def test_zeros_by_hand_are_no_evidence(training):
    network = training.open("untrained")
    weight = network.tables["recurrent"].weight.copy()
    weight[np.random.default_rng(1).random(len(weight)) < 0.2] = 0
    by_hand = damaged(network, "recurrent", weight=weight)
    assert not evidence(by_hand).trained
    assert findings(by_hand, "training.shuffled")


def test_five_steps_already_differ_between_cells(network_a):
    """The dispersion does not need many zeros, or a long training."""
    network = network_a.open("few_steps")
    counted = _zeros_of_cells(Context(network, 1.0), "recurrent")["targets"].dispersion
    assert counted.sigmas > 2 * RANDOM_SIGMAS


@pytest.mark.parametrize("part", ["targets", "sources", "type", "pair"])
def test_a_part_that_is_untrained_is_found(training, part, request):
    if part == "sources":  # 300 cells are too few to tell
        training = request.getfixturevalue("network_a")
    trained, untrained = training.open(), training.open("untrained")
    table, types = trained.tables["recurrent"], trained.neurons.cell_type
    n = trained.n_neurons
    chosen = {
        "targets": table.post < n // 2,
        "sources": table.pre < n // 2,
        "type": types[table.post] == 7,
        "pair": type_pairs(trained) == np.bincount(type_pairs(trained)).argmax(),
    }[part]
    weight = np.where(chosen, untrained.tables["recurrent"].weight, table.weight)
    assert findings(trained, "training.partly") == []
    found = findings(damaged(trained, "recurrent", weight=weight), "training.partly")
    assert found
    assert "initial" in found[0].message or "untrained" in found[0].message


def test_sources_that_never_spiked_are_a_warning_only(training):
    trained, untrained = training.open(), training.open("untrained")
    table = trained.tables["recurrent"]
    chosen = trained.neurons.cell_type[table.pre] == 7
    weight = np.where(chosen, untrained.tables["recurrent"].weight, table.weight)
    network = damaged(trained, "recurrent", weight=weight)
    assert findings(network, "training.partly") == []
    (finding,) = findings(network, "training.silent_sources")
    assert "file alone cannot tell" in finding.message
    assert evidence(network).trained


def test_a_block_of_zeros_is_no_training(training):
    network = training.open("untrained")
    weight = network.tables["recurrent"].weight.copy()
    weight[: len(weight) // 4] = 0.0
    found = evidence(damaged(network, "recurrent", weight=weight))
    assert found.fraction > TRAINED_ZEROS
    assert not found.trained
    assert "few cells" in found.why_not


def test_a_blanked_receptor_is_no_training(training):
    network = training.open("untrained")
    table = network.tables["recurrent"]
    weight = np.where(table.receptor == 1, np.float32(0), table.weight)
    found = evidence(damaged(network, "recurrent", weight=weight))
    assert not found.trained
    assert "every receptor" in found.why_not


def test_the_finding_says_what_it_does_not_show():
    finding, lgn = findings(tiny_network(zeros=0.2), "training.zeros")
    assert lgn.where == "lgn.weight"
    assert "does not show what was learned" in finding.message
    assert finding.observed["trained"] is True
    finding, _ = findings(tiny_network(), "training.zeros")
    assert "no evidence of training" in finding.message


def test_without_synapses_there_is_no_evidence():
    network = tiny_network()
    rows = {
        k: getattr(network.tables["recurrent"], k)[:0] for k in network.tables["recurrent"].columns
    }
    assert not evidence(damaged(network, "recurrent", **rows)).trained
    assert not evidence(replace(network, provenance=None)).trained
