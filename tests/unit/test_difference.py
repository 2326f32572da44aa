"""Differences between networks, against counts made by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import damaged, tiny_network, with_parts
from v1sim.errors import InputError
from v1sim.model import SynapseTable
from v1sim.sources.difference import compare_networks, difference_document, match_synapses

NETWORK = tiny_network(seed=2)


def table(pre, post, receptor=0, delay=1.0, weight=0.5) -> SynapseTable:
    n = len(pre)
    return SynapseTable(
        np.array(pre, np.int32),
        np.array(post, np.int32),
        np.broadcast_to(np.uint8(receptor), n).copy(),
        np.broadcast_to(np.float32(delay), n).copy(),
        np.broadcast_to(np.float32(weight), n).copy(),
    )


def taken(of: SynapseTable, rows: np.ndarray) -> SynapseTable:
    return SynapseTable(*(column[rows] for column in of.columns.values()))


def test_pass_equal_in_any_order():
    rows = np.random.default_rng(0).permutation(len(NETWORK.tables["recurrent"]))
    other = with_parts(NETWORK, recurrent=taken(NETWORK.tables["recurrent"], rows))
    difference = compare_networks(NETWORK, other)
    assert difference.equal
    assert difference.same_network


def test_counts_by_class_pair_and_receptor():
    rec = NETWORK.tables["recurrent"]
    weight = rec.weight.copy()
    chosen = np.flatnonzero(rec.receptor == 1)[:10]
    weight[chosen] *= np.float32(2)
    weight[chosen[0]] *= -1
    difference = compare_networks(NETWORK, damaged(NETWORK, "recurrent", weight=weight))
    found = difference.tables["recurrent"]
    assert found.weights.n_changed == 10
    assert found.weights.n_sign_changed == 1
    assert {r: c.n_changed for r, c in found.receptors.items()} == {
        "exc_to_exc": 0, "inh_to_exc": 10, "exc_to_inh": 0, "inh_to_inh": 0,
    }  # fmt: skip
    names = np.array(NETWORK.cell_types.cell_class)[NETWORK.neurons.cell_type]
    for (pre, post), change in found.class_pairs.items():
        members = (names[rec.pre] == pre) & (names[rec.post] == post)
        assert change.n == np.count_nonzero(members)
        assert change.n_changed == np.count_nonzero(members[chosen])
        assert change.mean_before == pytest.approx(rec.weight[members].mean(), rel=1e-5)
    assert sum(c.n for c in found.class_pair_receptors.values()) == len(rec)
    assert difference.tables["lgn"].equal


def test_relative_change_and_correlation():
    rec = NETWORK.tables["recurrent"]
    weight = (rec.weight * np.random.default_rng(1).uniform(0.5, 2, len(rec))).astype(np.float32)
    found = compare_networks(NETWORK, damaged(NETWORK, "recurrent", weight=weight))
    change = found.tables["recurrent"].weights
    a, b = rec.weight.astype(float), weight.astype(float)
    assert change.relative_change == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a))
    assert change.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_shuffled_delays_leave_the_network_the_same():
    delay = np.roll(NETWORK.tables["recurrent"].delay_ms, 1)
    found = compare_networks(NETWORK, damaged(NETWORK, "recurrent", delay_ms=delay))
    assert found.same_network
    assert not found.equal
    expected = np.count_nonzero(delay != NETWORK.tables["recurrent"].delay_ms)
    assert found.tables["recurrent"].n_delay_changed == expected


def test_shuffled_weights_are_called_so():
    weight = np.random.default_rng(2).permutation(NETWORK.tables["recurrent"].weight)
    found = compare_networks(NETWORK, damaged(NETWORK, "recurrent", weight=weight))
    assert found.tables["recurrent"].same_weight_multiset


def test_synapses_without_a_partner():
    rec = NETWORK.tables["recurrent"]
    found = compare_networks(
        NETWORK, with_parts(NETWORK, recurrent=taken(rec, np.arange(3, len(rec))))
    )
    assert (found.tables["recurrent"].n_only_before, found.tables["recurrent"].n_only_after) == (
        3,
        0,
    )
    assert not found.same_network
    assert found.tables["recurrent"].weights.n_changed == 0


def test_several_synapses_between_the_same_cells():
    a = replace(table([1, 1, 2], [5, 5, 5]), delay_ms=np.array([2, 1, 1], np.float32))
    b = replace(table([2, 1, 1], [5, 5, 5]), delay_ms=np.array([1, 1, 2], np.float32))
    row_a, row_b = match_synapses(a, b)
    assert list(zip(row_a.tolist(), row_b.tolist(), strict=True)) == [(1, 1), (0, 2), (2, 0)]
    row_a, row_b = match_synapses(a, table([1], [5]))
    assert (row_a.tolist(), row_b.tolist()) == ([1], [0])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), max_size=30),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), max_size=30),
)
def test_matching_is_that_of_multisets(left, right):
    def made(edges):
        columns = np.array(edges, dtype=np.int64).reshape(-1, 3)
        return replace(table(columns[:, 0], columns[:, 1]), receptor=columns[:, 2].astype(np.uint8))

    row_a, row_b = match_synapses(made(left), made(right))
    assert [left[i] for i in row_a] == [right[i] for i in row_b]
    assert len(set(row_a)) == len(row_a) == len(set(row_b))
    common = sum(min(left.count(edge), right.count(edge)) for edge in set(left))
    assert len(row_a) == common


def test_arrays_that_differ():
    types = NETWORK.cell_types
    other = with_parts(
        NETWORK,
        cell_types=types.with_columns(c_m_pf=types.c_m_pf * np.array([1, 1, 2, 1, 1])),
        background_weight=None,
        readout=NETWORK.readout[::-1],
    )
    found = {a.array: a for a in compare_networks(NETWORK, other).arrays}
    assert set(found) == {"cell_types.c_m_pf", "background.weight", "readout.neuron"}
    assert found["cell_types.c_m_pf"].n_changed == 16
    assert found["cell_types.c_m_pf"].max_relative_change == pytest.approx(0.5)
    assert found["readout.neuron"].note == "the same groups in another order"


def test_other_number_of_neurons():
    other = replace(NETWORK, neurons=replace(NETWORK.neurons, cell_type=np.zeros(61, np.uint16)))
    found = compare_networks(NETWORK, other)
    assert not found.same_network
    assert found.tables == {}
    assert [a.array for a in found.arrays] == ["neurons.size"]


def test_indices_out_of_range_are_an_error():
    pre = NETWORK.tables["recurrent"].pre.copy()
    pre[0] = 60
    with pytest.raises(InputError, match=r"recurrent\.pre has indices from 0 to 60"):
        compare_networks(NETWORK, damaged(NETWORK, "recurrent", pre=pre))


def test_not_a_number_gives_null_in_json():
    weight = NETWORK.tables["recurrent"].weight.copy()
    weight[0] = np.nan
    found = compare_networks(NETWORK, damaged(NETWORK, "recurrent", weight=weight))
    text = json.dumps(difference_document(found).model_dump(mode="json"), allow_nan=False)
    assert json.loads(text)["tables"]["recurrent"]["weights"]["mean_after"] is None
    assert found.tables["recurrent"].weights.n_changed == 1
