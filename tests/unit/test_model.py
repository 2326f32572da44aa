"""Networks of several populations and projections: what the types hold, and who refuses them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import N_LGN, N_NEURONS, admitted, findings, tiny_network, with_parts
from v1sim.cell_classes import cell_classes
from v1sim.config import RunConfig, validate
from v1sim.errors import InputError
from v1sim.guard import examine
from v1sim.model import (
    NetworkModel,
    NeuronPopulation,
    Projection,
    SourcePopulation,
    SynapseTable,
)
from v1sim.simulation.plan import make_plan
from v1sim.simulation.run import refuse_unfed
from v1sim.sources.difference import compare_networks
from v1sim.sources.provenance import canonical_arrays, network_sha256
from v1sim.verdict import Policy

NET = tiny_network(seed=3)
#: Ids in the source of two populations that share one index: 40 and 20 neurons.
AREA_1 = NeuronPopulation("area_1", np.arange(100, 140))
AREA_2 = NeuronPopulation("area_2", np.arange(20)[::-1].astype(np.int64))


def in_pa(table: SynapseTable) -> SynapseTable:
    return replace(table, weight=table.weight_pa(NET), unit="pA")


def with_other_source(network: NetworkModel = NET) -> NetworkModel:
    """A network that 7 cells send to which are neither LGN nor background."""
    lgn = network.tables["lgn"]
    table = replace(lgn, pre=lgn.pre % 7)
    return replace(
        network,
        projections={**network.projections, "feedback": Projection(table, source="higher")},
        source_populations={
            **network.source_populations,
            "higher": SourcePopulation("other", 7, node_id=np.arange(7) + 50),
        },
        provenance=None,
    )


def test_projections_have_the_role_and_the_cells_of_their_source():
    network = with_other_source()
    roles = {name: network.role(name) for name in network.tables}
    assert roles == {
        "recurrent": "recurrent",
        "lgn": "lgn",
        "background": "background",
        "feedback": "other",
    }
    n_pre = {name: network.n_pre(name) for name in network.tables}
    assert n_pre == {"recurrent": N_NEURONS, "lgn": N_LGN, "background": 1, "feedback": 7}
    assert list(network.tables_of("lgn", "other")) == ["lgn", "feedback"]
    assert all(column.in_range for column in network.index_columns())


def test_an_index_beyond_its_own_source_is_found_and_named():
    network = with_other_source()
    table = network.tables["feedback"]
    pre = table.pre.copy()
    pre[5] = 7  # a cell of the LGN, but none of these
    network = network.with_tables(feedback=replace(table, pre=pre))
    (finding,) = findings(network, "structure.index_range")
    assert (finding.where, finding.n_bad) == ("feedback.pre", 1)
    with pytest.raises(InputError, match=r"feedback\.pre has indices from 0 to 7"):
        compare_networks(network, network)


def test_a_background_is_a_matrix_where_it_is_one():
    weight = NET.background_weight
    table = NET.tables["background"]
    assert np.array_equal(table.as_matrix(N_NEURONS, 4), weight)
    assert len(table) == 4 * N_NEURONS
    for column in ("pre", "post", "receptor"):
        values = getattr(table, column).copy()
        values[9] += 1
        other = NET.with_tables(background=replace(table, **{column: values}))
        assert other.background_weight is None
        assert f"background.{column}" in canonical_arrays(other)
        assert network_sha256(other) != network_sha256(NET)
    assert with_parts(NET, background_weight=None).source_populations.keys() == {"lgn"}


def test_what_a_network_has_beside_the_files_of_the_model_is_in_its_digest():
    two = replace(NET, neurons=replace(NET.neurons, populations=(AREA_1, AREA_2)))
    recurrent = NET.tables["recurrent"]
    digests = {
        network_sha256(network)
        for network in (
            NET,
            two,
            with_other_source(),
            NET.with_tables(recurrent=replace(recurrent, unit="pA")),
        )
    }
    assert len(digests) == 4
    assert {"higher.size", "feedback.weight"} <= canonical_arrays(with_other_source()).keys()


def test_a_projection_that_one_network_lacks_is_a_difference():
    more = with_other_source()
    found = compare_networks(NET, more)
    assert not found.same_network
    assert found.tables["feedback"].n_only_after == len(more.tables["feedback"])
    assert found.tables["recurrent"].equal


def test_weights_in_pa_are_built_as_they_are():
    network = NET.with_tables(recurrent=in_pa(NET.tables["recurrent"]))
    network = replace(network, provenance=None)
    assert np.array_equal(network.tables["recurrent"].weight_pa(network),
                          NET.tables["recurrent"].weight_pa(NET))  # fmt: skip
    plans = [make_plan(admitted(one), background="none", seed=1) for one in (NET, network)]
    blocks = [next(plan.projections[0].blocks()) for plan in plans]
    assert np.array_equal(blocks[0].weight_pa, blocks[1].weight_pa)
    with pytest.raises(InputError, match="recurrent are in pA"):
        make_plan(admitted(network), background="none", seed=1, dynamics="training")


def test_checks_see_weights_in_pa_as_normalised_ones():
    """The same network in float64 pA: same findings, same statistics but for rounding."""
    tables = {name: in_pa(table) for name, table in NET.tables_of("recurrent", "lgn").items()}
    reports = [
        examine(replace(one, provenance=None), Policy(require="any"))
        for one in (NET, NET.with_tables(**tables))
    ]
    seen = [{(f.check, f.where, f.n_bad, f.n_seen) for f in r.findings} for r in reports]
    assert seen[0] == seen[1]
    for table in ("recurrent", "lgn"):
        means = [report.groups[table]["pa"]["mean"] for report in reports]
        assert means[0] == pytest.approx(means[1], rel=1e-6)


def test_a_population_that_nothing_makes_spike_is_refused():
    network = with_other_source()
    plan = make_plan(admitted(network), background="none", seed=1)
    shown = validate(RunConfig, {"stimulus": {"kind": "spontaneous"}}, "test").stimulus.made_for(
        network
    )
    with pytest.raises(InputError, match="nothing says what the cells of higher send"):
        refuse_unfed(plan, shown)
    shown.feed({"higher": "silent"}, network)
    refuse_unfed(plan, shown)


def test_populations_that_are_not_all_neurons_are_refused():
    with pytest.raises(ValueError, match="populations of 40 neurons for 60"):
        replace(NET.neurons, populations=(AREA_1,))


def test_classes_come_from_all_recurrent_projections():
    table = NET.tables["recurrent"]
    half = len(table) // 2
    parts = [
        SynapseTable(*(column[part] for column in table.columns.values()))
        for part in (slice(None, half), slice(half, None))
    ]
    types = replace(NET.cell_types, cell_class=None)
    whole = replace(NET, cell_types=types, provenance=None)
    split = replace(
        whole,
        projections={"a": Projection(parts[0]), "b": Projection(parts[1])}
        | {name: NET.projections[name] for name in ("lgn", "background")},
    )
    assert cell_classes(split).names == cell_classes(whole).names
    assert np.array_equal(cell_classes(split).of_neuron, cell_classes(whole).of_neuron)
