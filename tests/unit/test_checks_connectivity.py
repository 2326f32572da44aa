"""Networks without inhibition, and neurons without input, are worth a remark."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.networks import findings, tiny_network
from v1sim.checks.connectivity import MANY_WITHOUT_INPUT
from v1sim.model import NetworkModel, Severity, SynapseTable
from v1sim.receptors import Kind


def of(table: SynapseTable, chosen) -> SynapseTable:
    return SynapseTable(
        *(column[chosen] for column in (table.pre, table.post, table.receptor, table.delay_ms)),
        table.weight[chosen],
    )


def test_a_network_without_inhibition_is_remarked_upon():
    network = tiny_network()
    table = network.tables["recurrent"]
    kind = network.presynaptic_kind(table)
    assert findings(network, "connectivity.no_inhibition") == []
    excitatory = kind == Kind.EXCITATORY
    (seen,) = findings(
        network.with_tables(recurrent=of(table, excitatory)), "connectivity.no_inhibition"
    )
    assert seen.severity is Severity.INFO
    assert seen.n_bad == np.count_nonzero(excitatory)
    one = excitatory.copy()
    one[np.flatnonzero(~excitatory)[0]] = True
    assert not findings(network.with_tables(recurrent=of(table, one)), "connectivity.no_inhibition")
    none = network.with_tables(recurrent=SynapseTable.empty())
    assert findings(none, "connectivity.no_inhibition") == []


def without_input(n: int) -> NetworkModel:
    """The tiny network without the synapses onto its first neurons."""
    network = replace(tiny_network(), provenance=None)
    kept = {name: of(table, table.post >= n) for name, table in network.tables.items()}
    return network.with_tables(**kept)


def test_many_neurons_without_input_are_remarked_upon():
    n_neurons = tiny_network().n_neurons
    least = int(np.ceil(MANY_WITHOUT_INPUT * n_neurons))
    assert findings(without_input(0), "connectivity.without_input") == []
    assert findings(without_input(least - 1), "connectivity.without_input") == []
    (seen,) = findings(without_input(least), "connectivity.without_input")
    assert (seen.severity, seen.n_bad, seen.n_seen) == (Severity.INFO, least, n_neurons)
    assert seen.examples[0] == "neuron 0"
