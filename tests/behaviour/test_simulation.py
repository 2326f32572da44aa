"""What is built and run on NEST, against bare NEST and against itself in other ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import admitted, sealed, tiny_network
from v1sim.errors import ReadbackError, SimulationError
from v1sim.model import SpikeTable, Trial
from v1sim.receptors import BILLEH_RECEPTORS
from v1sim.simulation.build import build
from v1sim.simulation.kernel import backend
from v1sim.simulation.plan import make_plan
from v1sim.simulation.readback import read_back
from v1sim.simulation.run import run_trials
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.trials import Schedule

SEED = 11
N_STEPS = 150


def show(n_lgn: int, n_trials: int = 2, probability: float = 0.05) -> FixedProbabilities:
    """Every LGN cell fires with one probability, in trials of 150 ms."""
    trials = tuple(
        Trial(i, i * float(N_STEPS), float(N_STEPS), (0.0, float(N_STEPS)), {})
        for i in range(n_trials)
    )
    values = np.full((N_STEPS, n_lgn), probability, dtype=np.float32)
    return FixedProbabilities(n_lgn, Schedule(trials, (0,) * n_trials), [values])


def simulate(
    checked,
    *,
    background="mean",
    threads=1,
    between_trials="gap",
    n_trials=2,
    dynamics="glif_psc",
):
    plan = make_plan(checked, background=background, seed=SEED, dynamics=dynamics)
    return run_trials(
        plan,
        show(checked.network.lgn.size, n_trials),
        threads=threads,
        between_trials=between_trials,
        voltage_of=np.array([0, 5], dtype=np.int32),
        progress=lambda *_: None,
    )


@pytest.fixture(scope="module")
def checked():
    return admitted(tiny_network())


@pytest.fixture(params=["glif_psc", "glif_psc, with PyNEST alone", "training", "training_single"])
def built(checked, request, monkeypatch):
    """A built network, to be read back in every way."""
    if "alone" in request.param:
        monkeypatch.setattr("v1sim.simulation.build.native_or_none", lambda: None)
    dynamics = request.param.split(",")[0]
    plan = make_plan(checked, background="mean", seed=SEED, dynamics=dynamics)
    return build(plan, threads=2)


def assert_same_spikes(a: SpikeTable, b: SpikeTable) -> None:
    for column in ("trial", "neuron", "time_ms"):
        np.testing.assert_array_equal(getattr(a, column), getattr(b, column))


def bare_nest_spikes(network) -> tuple[list[tuple[int, int]], np.ndarray]:
    """One trial of the network with nest.Create and nest.Connect alone, and V_m of neuron 5.

    LGN and background come from spike_generators, devices that v1sim does not use.
    Returns (step, neuron) of every spike, sorted.
    """
    nest, _ = backend()
    nest.ResetKernel()
    nest.resolution = 1.0
    types = network.cell_types
    nodes = []
    for t in network.neurons.cell_type:
        params = {
            "C_m": types.c_m_pf[t],
            "g": types.g_ns[t],
            "E_L": types.e_l_mv[t],
            "V_th": types.v_th_mv[t],
            "V_reset": types.v_reset_mv[t],
            "V_m": types.v_reset_mv[t],
            "t_ref": types.t_ref_ms[t],
            "asc_decay": list(types.k_per_ms[t]),
            "asc_amps": list(types.asc_amp_pa[t]),
            "asc_init": [0.0, 0.0],
            "asc_r": [1.0, 1.0],
            "tau_syn": list(types.tau_syn_ms[t]),
            "after_spike_currents": True,
        }
        nodes.append(nest.Create("glif_psc", params=params).global_id)
    scale = (types.v_th_mv - types.e_l_mv)[network.neurons.cell_type]
    rec = network.tables["recurrent"]
    for pre, post, receptor, delay, weight in zip(
        rec.pre, rec.post, rec.receptor, rec.delay_ms, rec.weight, strict=True
    ):
        nest.Connect(
            nest.NodeCollection([nodes[pre]]),
            nest.NodeCollection([nodes[post]]),
            syn_spec={
                "weight": float(weight) * scale[post],
                "delay": float(delay),
                "receptor_type": int(receptor) + 1,
            },
        )
    spikes = show(network.lgn.size).input(0, SEED)
    sources = nest.Create("spike_generator", network.lgn.size)
    for cell in range(network.lgn.size):
        # A device's spike of stamp t acts, one delay later, in the step that ends at t + 2.
        sources[cell].set(spike_times=spikes.step[spikes.source == cell] + 1.0)
    lgn = network.tables["lgn"]
    for pre, post, receptor, weight in zip(
        lgn.pre, lgn.post, lgn.receptor, lgn.weight, strict=True
    ):
        nest.Connect(
            sources[int(pre)],
            nest.NodeCollection([nodes[post]]),
            syn_spec={
                "weight": float(weight) * scale[post],
                "delay": 1.0,
                "receptor_type": int(receptor) + 1,
            },
        )
    steady = nest.Create("spike_generator", params={"spike_times": np.arange(N_STEPS) + 1.0})
    for post, receptor in zip(*np.nonzero(network.background_weight), strict=True):
        weight = 0.1 * float(network.background_weight[post, receptor]) * scale[post]
        nest.Connect(
            steady,
            nest.NodeCollection([nodes[post]]),
            syn_spec={"weight": weight, "delay": 1.0, "receptor_type": int(receptor) + 1},
        )
    recorder = nest.Create("spike_recorder")
    nest.Connect(nest.NodeCollection(nodes), recorder)
    meter = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": 1.0})
    nest.Connect(meter, nest.NodeCollection([nodes[5]]))
    nest.Simulate(N_STEPS + 2.0)
    events = recorder.events
    step = np.rint(events["times"]).astype(int) - 2
    index = {node: i for i, node in enumerate(nodes)}
    found = sorted(
        (int(s), index[int(n)]) for s, n in zip(step, events["senders"], strict=True) if s < N_STEPS
    )
    return found, np.asarray(meter.events["V_m"])[1 : N_STEPS + 1]


def test_spikes_and_voltages_are_those_of_bare_nest(checked):
    output = simulate(checked, n_trials=1)
    spikes, v_mv = bare_nest_spikes(checked.network)
    ours = list(
        zip(output.spikes.time_ms.astype(int), output.spikes.neuron.astype(int), strict=True)
    )
    assert len(spikes) > 50
    assert ours == spikes
    np.testing.assert_allclose(output.voltage.v_mv[0, :, 1], v_mv, rtol=1e-6)


@pytest.fixture
def without_native(monkeypatch):
    monkeypatch.setattr("v1sim.simulation.build.native_or_none", lambda: None)


@pytest.mark.parametrize("background", ["none", "mean", "shared_binomial"])
@pytest.mark.usefixtures("without_native")
def test_a_gap_gives_the_spikes_of_a_fresh_build(checked, background):
    gap = simulate(checked, background=background, between_trials="gap", n_trials=3)
    fresh = simulate(checked, background=background, between_trials="rebuild", n_trials=3)
    assert len(fresh.spikes) > 50
    assert_same_spikes(gap.spikes, fresh.spikes)
    np.testing.assert_array_equal(gap.voltage.v_mv, fresh.voltage.v_mv)


@pytest.mark.parametrize("background", ["none", "mean", "shared_binomial"])
@pytest.mark.parametrize(
    "dynamics", ["glif_psc", "training", "training_single", "training_float32"]
)
def test_a_reset_gives_the_spikes_of_a_fresh_build(background, dynamics):
    network = tiny_network()
    types = network.cell_types
    raised = types.with_columns(v_reset_mv=types.v_reset_mv + 3.0)  # a start that is not rest
    checked = admitted(sealed(replace(network, cell_types=raised)))
    given = {"background": background, "dynamics": dynamics, "n_trials": 3}
    reset = simulate(checked, between_trials="reset", **given)
    fresh = simulate(checked, between_trials="rebuild", **given)
    assert len(fresh.spikes) > 50
    assert_same_spikes(reset.spikes, fresh.spikes)
    np.testing.assert_array_equal(reset.voltage.v_mv, fresh.voltage.v_mv)


@pytest.mark.parametrize("dynamics", ["glif_psc", "training"])
def test_pieces_change_no_spike_and_tell_how_far_it_is(checked, dynamics, monkeypatch):
    whole = simulate(checked, dynamics=dynamics)
    monkeypatch.setattr("v1sim.simulation.run._PIECE_S", 0.0)  # as short as can be
    told = []
    pieces = run_trials(
        make_plan(checked, background="mean", seed=SEED, dynamics=dynamics),
        show(checked.network.lgn.size, 2),
        threads=1,
        between_trials="gap",
        voltage_of=np.array([0, 5], dtype=np.int32),
        progress=lambda stage, done, total: told.append((stage, done, total)),
    )
    assert_same_spikes(pieces.spikes, whole.spikes)
    np.testing.assert_array_equal(pieces.voltage.v_mv, whole.voltage.v_mv)
    done = [done for stage, done, _ in told if stage == "simulate"]
    assert done == sorted(done)
    assert len(done) > 50
    assert done[-1] == 2 * N_STEPS


def test_the_native_module_changes_no_spike_of_glif_psc(checked, monkeypatch):
    native = simulate(checked, between_trials="reset", n_trials=3)
    monkeypatch.setattr("v1sim.simulation.build.native_or_none", lambda: None)
    plain = simulate(checked, between_trials="gap", n_trials=3)
    assert_same_spikes(native.spikes, plain.spikes)
    np.testing.assert_array_equal(native.voltage.v_mv, plain.voltage.v_mv)


@pytest.mark.parametrize(
    ("dynamics", "background"),
    [
        ("glif_psc", "shared_binomial"),
        ("training", "shared_binomial"),
        ("training", "independent_poisson"),
        ("training_single", "shared_binomial"),
    ],
)
def test_spikes_do_not_depend_on_the_number_of_threads(checked, dynamics, background):
    one, two = (
        simulate(
            checked,
            background=background,
            threads=threads,
            dynamics=dynamics,
            between_trials="reset",
        )
        for threads in (1, 2)
    )
    assert len(one.spikes) > 50
    assert_same_spikes(one.spikes, two.spikes)


def test_independent_poisson_has_the_mean_of_the_others(checked):
    counts = {
        kind: len(simulate(checked, background=kind, n_trials=3).spikes)
        for kind in ("none", "mean", "independent_poisson")
    }
    assert counts["independent_poisson"] > counts["none"]
    assert counts["independent_poisson"] == pytest.approx(counts["mean"], rel=0.5)


def test_readback_equals_the_plan(checked, built):
    results = read_back(built, lambda *_: None)
    by_label = {result.label: result for result in results}
    network = checked.network
    assert by_label["recurrent"].n_synapses == len(network.tables["recurrent"])
    assert by_label["lgn"].n_synapses == len(network.tables["lgn"])
    assert by_label["background"].n_synapses == np.count_nonzero(network.background_weight)
    expected = np.bincount(network.tables["recurrent"].receptor, minlength=4)
    assert list(by_label["recurrent"].by_receptor.values()) == expected.tolist()


def change_weight(nest, connection):
    """By the least that NEST's synapse and v1sim's, which holds a float32, can hold."""
    weight = connection.weight
    connection.set(weight=weight * (1 + 1e-15) + 1e-9)
    if connection.weight == weight:
        connection.set(weight=weight * (1 + 2**-23) + 1e-9)
    assert connection.weight != weight


def change_delay(nest, connection):
    connection.set(delay=1.0 if connection.delay > 1.0 else 2.0)


def lose(nest, connection):
    connection.disconnect()


def double(nest, connection):
    nest.Connect(
        nest.NodeCollection([connection.source]),
        nest.NodeCollection([connection.target]),
        syn_spec={
            "synapse_model": "recurrent_synapse",
            "weight": connection.weight,
            "delay": connection.delay,
            "receptor_type": connection.receptor,
        },
    )


def move_receptor(nest, connection):
    double(nest, _Moved(connection))
    connection.disconnect()


class _Moved:
    """A connection like another, on the next receptor."""

    def __init__(self, other) -> None:
        self.source, self.target = other.source, other.target
        self.weight, self.delay = other.weight, other.delay
        self.receptor = other.receptor % BILLEH_RECEPTORS.n + 1


@pytest.mark.parametrize("damage", [change_weight, change_delay, lose, double, move_receptor])
def test_readback_notices(built, damage):
    nest, _ = backend()
    connections = nest.GetConnections(synapse_model="recurrent_synapse")
    damage(nest, connections[len(connections) // 2])
    with pytest.raises(ReadbackError, match="projection recurrent: NEST holds"):
        read_back(built, lambda *_: None)


def test_populations_and_projections_are_pynn_objects(checked, built):
    _, pynn = backend()
    plan = built.plan
    part = plan.populations[0]
    population = built.populations[part.label]
    assert isinstance(population, pynn.Population)
    assert population.size == len(part.neuron)
    cell_type = checked.network.neurons.cell_type[part.neuron]
    np.testing.assert_array_equal(
        np.broadcast_to(population.get("C_m"), population.size),
        checked.network.cell_types.c_m_pf[cell_type],
    )
    assert population[0].V_th == checked.network.cell_types.v_th_mv[cell_type[0]]
    projection = built.projections["recurrent"]
    assert isinstance(projection, pynn.Projection)
    assert len(projection) == len(checked.network.tables["recurrent"])
    weights_na = np.array(projection.get("weight", format="list", with_address=False))
    expected_pa = checked.network.tables["recurrent"].weight_pa(checked.network)
    np.testing.assert_allclose(np.sort(weights_na.ravel()) * 1000, np.sort(expected_pa), rtol=1e-12)
    population.record("spikes")
    pynn.run(20.0)
    assert len(population.get_data().segments[0].spiketrains) == population.size


def test_readback_notices_another_background(checked):
    plan = make_plan(checked, background="mean", seed=SEED, dynamics="training")
    built = build(plan, threads=2)
    weight = checked.network.background_weight.copy()
    built.native.set_background_weights(built.neuron_node, weight)
    read_back(built, lambda *_: None)
    weight[7, 0] = np.nextafter(weight[7, 0], np.float32(1e3))
    built.native.set_background_weights(built.neuron_node, weight)
    with pytest.raises(ReadbackError, match=r"projection background: [\s\S]*neuron 0 -> 7"):
        read_back(built, lambda *_: None)


def test_projections_of_training_are_changed_through_pynn(checked):
    """Weights that are set through PyNN, in nA, act and are read back by it."""
    _, pynn = backend()
    plan = make_plan(checked, background="none", seed=SEED, dynamics="training")
    projection = build(plan, threads=2).projections["recurrent"]
    before = np.array(projection.get(["weight"], format="list", with_address=False)).ravel()
    projection.set(weight=0.0125)
    after = np.array(projection.get(["weight"], format="list", with_address=False)).ravel()
    assert len(before) == len(after) == len(checked.network.tables["recurrent"])
    assert before.std() > 0
    np.testing.assert_allclose(after, 0.0125, rtol=1e-7)
    pynn.run(5.0)


def test_only_a_checked_network_is_planned():
    with pytest.raises(TypeError, match="CheckedNetwork"):
        make_plan(tiny_network(), background="none", seed=1)


def test_every_neuron_is_in_one_population(checked):
    plan = make_plan(checked, background="none", seed=1)
    neurons = np.concatenate([part.neuron for part in plan.populations])
    np.testing.assert_array_equal(np.sort(neurons), np.arange(checked.network.n_neurons))
    for part in plan.populations:
        types = np.repeat(part.type_index, part.type_count)
        np.testing.assert_array_equal(types, checked.network.neurons.cell_type[part.neuron])


@pytest.mark.usefixtures("without_native")
def test_a_network_that_never_rests_is_refused_by_gap(checked, monkeypatch):
    monkeypatch.setattr("v1sim.simulation.run._LONGEST_GAP_MS", 0.0)
    with pytest.raises(SimulationError, match="still fires"):
        simulate(checked, n_trials=2)
