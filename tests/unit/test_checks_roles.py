"""Networks whose projections have names of their own are judged like those of the Billeh model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import DRAFT, tiny_network
from v1sim import guard
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


@pytest.mark.parametrize("zeros", [0.0, 0.2])
def test_findings_and_verdict_do_not_depend_on_names(zeros):
    whole = replace(tiny_network(zeros=zeros), provenance=None)
    one = guard.examine(whole, guard.Policy(require="any"))
    other = guard.examine(named(whole), guard.Policy(require="any"))
    assert one.verdict == other.verdict
    assert [(f.check, f.severity, f.n_bad, f.n_seen) for f in one.findings] == [
        (f.check, f.severity, f.n_bad, f.n_seen) for f in other.findings
    ]


@pytest.mark.parametrize("zeros", [0.0, 0.2])
def test_several_projections_of_a_role_are_judged_one_by_one(zeros):
    whole = replace(tiny_network(zeros=zeros), provenance=None)
    one = guard.examine(whole, guard.Policy(require="any"))
    other = guard.examine(in_two(whole), guard.Policy(require="any"))
    assert one.verdict == other.verdict
    assert one.passed == other.passed
    names = {f"{name}_{part}.weight" for name in ("recurrent", "lgn") for part in "ab"}
    assert names <= set(other.arrays)


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
