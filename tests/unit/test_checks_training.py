"""The evidence of exact zeros: on really trained and untrained networks, and on imitations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import damaged, findings, tiny_network
from v1sim.checks.registry import Context
from v1sim.checks.training import TRAINED_ZEROS, zero_evidence
from v1sim.sources.hdf5 import read_network


def evidence(network):
    return zero_evidence(Context(network, 1.0))


@pytest.mark.parametrize(
    ("name", "fraction", "trained"),
    [
        ("trained", 0.2299, True),
        ("few_steps", 0.0042, False),
        ("untrained", 0.0, False),
        ("untrained_fallback_pA", 0.0, False),
    ],
)
def test_reference_networks(shared_data, name, fraction, trained):
    found = evidence(read_network(shared_data / "trained_a" / f"net_A_{name}.h5"))
    assert found.fraction == pytest.approx(fraction, abs=1e-4)
    assert found.trained is trained
    assert bool(found.why_not) is not trained


def test_the_limit_is_a_fraction_of_all_weights(shared_data):
    network = read_network(shared_data / "trained_a" / "net_A_untrained.h5")
    order = np.random.default_rng(0).permutation(len(network.recurrent))
    for share, trained in ((TRAINED_ZEROS * 0.99, False), (TRAINED_ZEROS * 1.01, True)):
        weight = network.recurrent.weight.copy()
        weight[order[: round(share * len(order))]] = 0.0
        assert evidence(damaged(network, "recurrent", weight=weight)).trained is trained


def test_a_block_of_zeros_is_no_training(shared_data):
    network = read_network(shared_data / "trained_a" / "net_A_untrained.h5")
    weight = network.recurrent.weight.copy()
    weight[: len(weight) // 4] = 0.0
    found = evidence(damaged(network, "recurrent", weight=weight))
    assert found.fraction > TRAINED_ZEROS
    assert not found.trained
    assert "few cells" in found.why_not


def test_a_blanked_receptor_is_no_training(shared_data):
    network = read_network(shared_data / "trained_a" / "net_A_untrained.h5")
    table = network.recurrent
    weight = np.where(table.receptor == 1, np.float32(0), table.weight)
    found = evidence(damaged(network, "recurrent", weight=weight))
    assert not found.trained
    assert "every receptor" in found.why_not


def test_the_finding_says_what_it_does_not_show():
    (finding,) = findings(tiny_network(zeros=0.2), "training.zeros")
    assert "does not show what was learned" in finding.message
    assert finding.observed["trained"] is True
    (finding,) = findings(tiny_network(), "training.zeros")
    assert "no evidence of training" in finding.message


def test_without_synapses_there_is_no_evidence():
    network = tiny_network()
    rows = {k: getattr(network.recurrent, k)[:0] for k in network.recurrent.__dataclass_fields__}
    assert not evidence(damaged(network, "recurrent", **rows)).trained
    assert not evidence(replace(network, provenance=None)).trained
