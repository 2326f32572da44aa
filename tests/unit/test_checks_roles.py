"""Networks whose projections have names of their own are judged like those of the Billeh model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import DRAFT, tiny_network
from v1sim import guard
from v1sim.checks.roles import by_role
from v1sim.model import Projection, SourcePopulation, SynapseTable
from v1sim.sources.provenance import ProvenanceDraft


def named(network):
    """The same network with the names of a SONATA circuit."""
    return replace(
        network,
        projections={
            "v1_to_v1": network.projections["recurrent"],
            "lgn_to_v1": replace(network.projections["lgn"], source="LGN"),
        },
        source_populations={"LGN": network.source_populations["lgn"]},
        provenance=None,
    )


def in_two(network):
    """The same network with its recurrent and LGN synapses in two projections each."""
    tables = {name: network.tables[name] for name in ("recurrent", "lgn")}
    size = network.lgn.size
    projections, populations = {}, {}
    for name, table in tables.items():
        first = table.pre < (size // 3 if name == "lgn" else network.n_neurons // 2)
        for part, rows in (("a", first), ("b", ~first)):
            columns = {key: values[rows] for key, values in table.columns.items()}
            if name == "lgn" and part == "b":
                columns["pre"] = (columns["pre"] - size // 3).astype(np.int32)
            source = None if name == "recurrent" else f"lgn_{part}"
            projections[f"{name}_{part}"] = Projection(SynapseTable(**columns), source)
    populations["lgn_a"] = SourcePopulation("lgn", size // 3)
    populations["lgn_b"] = SourcePopulation("lgn", size - size // 3)
    return replace(
        network, projections=projections, source_populations=populations, provenance=None
    )


def test_a_network_of_the_billeh_model_is_returned_as_it_is():
    network = tiny_network()
    assert by_role(network) is network


def test_one_projection_a_role_is_not_copied():
    network = named(tiny_network())
    seen = by_role(network)
    assert seen.tables["recurrent"] is network.tables["v1_to_v1"]
    assert seen.tables["lgn"] is network.tables["lgn_to_v1"]
    assert seen.lgn.size == network.lgn.size
    assert seen.source.name_of("recurrent.weight") == "v1_to_v1.weight"
    assert seen.source.name_of("lgn") == "lgn_to_v1"


def test_several_projections_of_a_role_are_put_together():
    whole = tiny_network()
    seen = by_role(in_two(whole))
    for name in ("recurrent", "lgn"):
        a, b = seen.tables[name], whole.tables[name]
        order_a = np.lexsort((a.receptor, a.post, a.pre))
        order_b = np.lexsort((b.receptor, b.post, b.pre))
        for column in a.columns:
            np.testing.assert_array_equal(a.columns[column][order_a], b.columns[column][order_b])
    assert seen.lgn.size == whole.lgn.size
    assert seen.source.name_of("lgn.weight") == "lgn_a.weight, lgn_b.weight"


@pytest.mark.parametrize("renamed", [named, in_two])
@pytest.mark.parametrize("zeros", [0.0, 0.2])
def test_findings_and_verdict_do_not_depend_on_names(renamed, zeros):
    whole = replace(tiny_network(zeros=zeros), provenance=None)
    one = guard.examine(whole, guard.Policy(require="any"))
    other = guard.examine(renamed(whole), guard.Policy(require="any"))
    assert one.verdict == other.verdict
    assert [(f.check, f.severity, f.n_bad, f.n_seen) for f in one.findings] == [
        (f.check, f.severity, f.n_bad, f.n_seen) for f in other.findings
    ]


def test_provenance_is_that_of_the_projections():
    network = named(tiny_network())
    trained = ProvenanceDraft(
        "trained", "tests", "tests", "copied",
        {"v1_to_v1.weight": ("trained variable", "said so")},
    )  # fmt: skip
    report = guard.examine(replace(network, provenance=trained.seal(network)), guard.Policy())
    assert (report.verdict, report.proof) == ("trained", "provenance")
    assert report.arrays["v1_to_v1.weight"].why.startswith("trained variable: said so")
    weight = network.tables["v1_to_v1"].weight.copy()
    weight[0] *= 2
    edited = replace(network.tables["v1_to_v1"], weight=weight)
    edited = replace(network.with_tables(v1_to_v1=edited), provenance=trained.seal(network))
    report = guard.examine(edited, guard.Policy())
    (finding,) = (f for f in report.findings if f.check == "provenance.digests")
    assert "v1_to_v1.weight" in finding.where


def test_a_network_without_an_lgn_is_judged():
    network = tiny_network()
    network = replace(
        network,
        projections={"v1_to_v1": network.projections["recurrent"]},
        source_populations={},
        provenance=None,
    )
    network = replace(network, provenance=DRAFT.seal(network))
    report = guard.examine(network, guard.Policy(require="constructed"))
    assert report.verdict == "constructed"
    assert [f.message for f in report.blocking] == []
