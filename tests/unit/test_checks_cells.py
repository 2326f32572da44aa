"""Counts of synapses by cell: those of a plain count."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import damaged, tiny_network
from v1sim.checks import cells
from v1sim.checks.cells import cell_counts
from v1sim.checks.registry import Context

NET = tiny_network(zeros=0.2)


@pytest.mark.parametrize("block", [1, 7, 1 << 16])
def test_they_are_those_of_a_plain_count(block, monkeypatch):
    monkeypatch.setattr(cells, "_BLOCK", block)
    table, n = NET.tables["recurrent"], NET.n_neurons
    found = cell_counts(table, NET, n)
    zero = (table.weight == 0).astype(int)
    onto, sent = np.zeros((n, 4, 2), int), np.zeros((n, 2, 2), int)
    np.add.at(onto, (table.post, table.receptor, zero), 1)
    np.add.at(sent, (table.pre, np.isin(table.receptor, (1, 3)).astype(int), zero), 1)
    np.testing.assert_array_equal(found.onto, onto)
    np.testing.assert_array_equal(found.sent, sent)
    np.testing.assert_array_equal(found.incoming, np.bincount(table.post, minlength=n))
    at_zero = table.weight == 0
    np.testing.assert_array_equal(
        found.incoming_zero, np.bincount(table.post[at_zero], minlength=n)
    )
    np.testing.assert_array_equal(found.outgoing_zero, np.bincount(table.pre[at_zero], minlength=n))


def test_an_empty_table_and_weights_that_are_not_finite():
    none = {
        name: getattr(NET.tables["recurrent"], name)[:0] for name in NET.tables["recurrent"].columns
    }
    empty = damaged(NET, "recurrent", **none).tables["recurrent"]
    assert not cell_counts(empty, NET, NET.n_neurons).onto.any()
    weight = np.full(len(NET.tables["recurrent"]), np.nan, np.float32)
    found = cell_counts(
        damaged(NET, "recurrent", weight=weight).tables["recurrent"], NET, NET.n_neurons
    )
    assert not found.incoming_zero.any()
    assert found.incoming.sum() == len(weight)


def test_kinds_of_cells_in_a_context():
    context, table = Context(NET, 1.0), NET.tables["recurrent"]
    inhibitory = np.isin(table.receptor, (1, 3))
    for kind in (0, 1):
        expected = np.bincount(table.pre[inhibitory == kind], minlength=NET.n_neurons)
        np.testing.assert_array_equal(context.sends[:, kind], expected)
    onto_inhibitory = np.concatenate([t.post[t.receptor >= 2] for t in (table, NET.tables["lgn"])])
    expected = np.bincount(onto_inhibitory, minlength=NET.n_neurons)
    np.testing.assert_array_equal(context.receives[:, 1], expected)


@pytest.mark.parametrize("n_values", [1, 4, 32, 33, 500])
def test_distinct_delays(n_values):
    rng = np.random.default_rng(0)
    few = np.sort(rng.random(n_values).astype(np.float32))
    delay = few[rng.integers(0, n_values, len(NET.tables["recurrent"]))]
    delay[: min(n_values, len(delay))] = few[: len(delay)]
    context = Context(damaged(NET, "recurrent", delay_ms=delay), 1.0)
    np.testing.assert_array_equal(context.delays_ms("recurrent"), np.unique(delay))
