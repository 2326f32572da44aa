"""Populations and projections through PyNN's own calls: they do what they say, on any threads.

PyNN 0.13 on NEST 3.10: a recorded trace begins with 0.0 where no initial value is known; NEST lists
connections in no fixed order on several threads; a view of [3, 1] is sorted, and an overlapping
view is dropped from an assembly, each without more than a line in a log.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import admitted, sealed, tiny_network
from v1sim.simulation.build import Simulation, build
from v1sim.simulation.kernel import backend
from v1sim.simulation.native.library import has_native
from v1sim.simulation.plan import make_plan

CASES = [(1, "glif_psc"), (2, "glif_psc"), (1, "training"), (2, "training")]


def built(threads: int, dynamics: str) -> Simulation:
    if dynamics == "training" and not has_native():
        pytest.skip("needs v1sim's NEST module")
    checked = admitted(sealed(tiny_network(), kind="constructed"))
    plan = make_plan(checked, background="mean", seed=1, dynamics=dynamics)
    return build(plan, threads=threads)


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]} {case[1]}")
def simulation(request) -> Simulation:
    return built(*request.param)


def planned(simulation: Simulation, label: str = "recurrent"):
    """(source, target, delay) of the plan's synapses as PyNN indexes them, in PyNN's order."""
    plan = next(p for p in simulation.plan.projections if p.label == label)
    (block,) = plan.blocks()
    source, target = simulation.source_node[label][block.pre], simulation.neuron_node[block.post]
    order = np.lexsort((block.delay_ms, target, source))
    return source[order], target[order], block.delay_ms[order], block.weight_pa[order]


def test_voltages_begin_with_the_initial_value(simulation):
    _, sim = backend()
    for population in list(simulation.populations.values())[:5]:
        population.record("V_m")
    sim.run(4.0)
    for population in list(simulation.populations.values())[:5]:
        trace = population.get_data("V_m").segments[0].analogsignals[0].magnitude
        e_l = np.broadcast_to(population.get("E_L"), trace.shape[1:])
        np.testing.assert_allclose(trace[0], e_l)  # V_reset is E_L in this network
        assert np.abs(trace[1] - trace[0]).max() < 20


def test_a_given_initial_value_is_what_is_recorded(simulation):
    _, sim = backend()
    population = simulation.populations["e23"]
    population.initialize(V_m=-70.0)
    population.record("V_m")
    sim.run(2.0)
    trace = population.get_data("V_m").segments[0].analogsignals[0].magnitude
    np.testing.assert_allclose(trace[0], -70.0)


def test_a_connection_is_one_synapse_before_and_after_a_run(simulation):
    _, sim = backend()
    projection = simulation.projections["recurrent"]
    source, target, delay, weight_pa = planned(simulation)
    assert len(projection) == len(source)

    def seen():
        picked = [projection[i] for i in (0, 3, len(source) - 1)]
        return [(int(c.source), int(c.target), c.delay) for c in picked]

    expected = [(source[i], target[i], delay[i]) for i in (0, 3, len(source) - 1)]
    assert seen() == expected
    sim.run(3.0)
    assert seen() == expected
    held = np.array([c.weight for c in projection.connections]) * 1000.0
    np.testing.assert_allclose(held, weight_pa, rtol=1e-6)
    projection[3].weight = 0.125
    after = np.array([c.weight for c in projection.connections]) * 1000.0
    changed = ~np.isclose(after, held, rtol=1e-6)
    assert np.flatnonzero(changed).tolist() == [3]


def test_weights_are_set_by_number_by_array_and_by_what_get_gave(simulation):
    projection = simulation.projections["recurrent"]
    before = np.array(projection.get("weight", "list", with_address=False))
    projection.set(weight=(before * 2).tolist())
    after = projection.get("weight", "list", with_address=False)
    np.testing.assert_allclose(after, before * 2, rtol=1e-6)
    projection.set(weight=0.03125)
    np.testing.assert_allclose(projection.get("weight", "list", with_address=False), 0.03125)


def test_projections_and_populations_describe_themselves(simulation):
    for label, projection in simulation.projections.items():
        text = projection.describe()
        assert label in text
        assert projection.describe(template=None)["size_local"] == len(projection)
    assert "e23" in simulation.populations["e23"].describe()


def test_views_have_the_cells_that_were_asked_for_or_are_refused(simulation):
    population = simulation.populations["e23"]
    first = int(population.all_cells[0])
    view = population[[1, 3]]
    assert [int(cell) - first for cell in view.all_cells] == [1, 3]
    assert [int(cell) - first for cell in population[2:8][[0, 2]].all_cells] == [2, 4]
    mask = np.arange(population.size) % 2 == 1
    assert population[mask].size == mask.sum()
    for unordered in ([3, 1], [1, 1], np.array([5, 2]), slice(None, None, -1)):
        with pytest.raises(ValueError, match="ascending order"):
            population[unordered]
    with pytest.raises(ValueError, match="ascending order"):
        population[2:8][[2, 0]]


def test_assemblies_keep_every_part_or_are_refused(simulation):
    population = simulation.populations["e23"]
    other = simulation.populations["e4"]
    assert (population[0:3] + population[3:5]).size == 5
    assert (population + other).size == population.size + other.size
    for a, b in ((population[0:3], population[2:5]), (population, population[0:2])):
        for one, two in ((a, b), (b, a)):
            with pytest.raises(ValueError, match="share"):
                one + two
