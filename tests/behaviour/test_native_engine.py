"""The engine of the training dynamics as NEST's users meet it: nodes, synapses, status, pieces.

Networks are held against the same one with NEST's own static synapses, whose events reach each
neuron by themselves. Weights are multiples of 1/64, so that sums do not depend on their order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from tests.networks import tiny_types
from v1sim.errors import SimulationError
from v1sim.simulation.cells import nest_parameters
from v1sim.simulation.kernel import backend
from v1sim.simulation.native.library import NORMALISED_SYNAPSES, SPIKE_SOURCE, native_module

TYPES = tiny_types()
SCALE_MV = float(TYPES.voltage_scale_mv[0])
N, N_SOURCES, N_STEPS = 203, 20, 240
MODEL = "glif3_training"
NORMALISED_SYNAPSE = NORMALISED_SYNAPSES["training"]


def fresh(threads=1, **keys):
    nest, _ = backend()
    nest.ResetKernel()
    nest.set(resolution=1.0, local_num_threads=threads, **keys)
    native_module().install()
    return nest


@dataclass
class Block:
    """What of a block of synapses the module reads."""

    receptor: np.ndarray
    delay_ms: np.ndarray
    weight: np.ndarray


def drawn_synapses(min_delay=1, seed=1):
    """(pre, post, receptor, delay, weight) of 8,000 recurrent and 2,000 input synapses, from 0."""
    rng = np.random.default_rng(seed)
    k, k_in = 8000, 2000
    weight = np.round(rng.normal(0, 0.3, k) * 64) / 64
    weight[rng.random(k) < 0.3] = 0
    recurrent = (
        rng.integers(0, N, k),
        rng.integers(0, N, k),
        rng.integers(0, 4, k),
        min_delay + rng.integers(0, 4, k),
        weight,
    )
    lgn = (
        rng.integers(0, N_SOURCES, k_in),
        rng.integers(0, N, k_in),
        np.zeros(k_in, dtype=int),
        np.full(k_in, min_delay),
        np.full(k_in, 0.75),
    )
    return recurrent, lgn


def connect(nest, how, table, first_pre, first_post):
    pre, post, receptor, delay, weight = table
    if how == "filled":
        with native_module().filling(NORMALISED_SYNAPSE) as filling:
            block = Block(receptor, delay.astype(np.float32), weight.astype(np.float32))
            for step in (filling.count, filling.write):
                step(pre + first_pre, post + first_post, block, 1.0)
        return
    model = "static_synapse" if how == "static" else NORMALISED_SYNAPSE
    nest.Connect(
        pre + first_pre,
        post + first_post,
        "one_to_one",
        {
            "synapse_model": model,
            "weight": weight * SCALE_MV,
            "delay": delay.astype(float),
            "receptor_type": receptor + 1,
        },
    )


@dataclass
class Built:
    nest: object
    cells: object
    sources: object
    model: str


def make(how, *, threads=1, min_delay=1, **kernel):
    nest = fresh(threads, **kernel)
    cells = nest.Create(MODEL, N, params=nest_parameters(TYPES, 0, "training"))
    sources = nest.Create(SPIKE_SOURCE, N_SOURCES)
    recurrent, lgn = drawn_synapses(min_delay)
    first_cell, first_source = int(cells[0].global_id), int(sources[0].global_id)
    connect(nest, how, recurrent, first_cell, first_cell)
    connect(nest, how, lgn, first_source, first_cell)
    rng = np.random.default_rng(2)
    source, stamp = np.nonzero(rng.random((N_SOURCES, 2 * N_STEPS)) < 0.2)
    native_module().give_spikes(first_source, N_SOURCES, source, stamp + 1)
    return Built(nest, cells, sources, "static_synapse" if how == "static" else NORMALISED_SYNAPSE)


def taken():
    node, step = native_module().take_spikes()
    order = np.lexsort((node, step))
    return node[order].tolist(), step[order].tolist()


def simulated(how, *, pieces=(N_STEPS,), **options):
    built = make(how, **options)
    for piece in pieces:
        built.nest.Simulate(float(piece))
    return taken()


@pytest.mark.parametrize("min_delay", [1, 3])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("how", ["connected", "filled"])
def test_spikes_are_those_with_nests_own_synapses(how, threads, min_delay):
    expected = simulated("static", min_delay=min_delay)
    assert len(expected[0]) > 300
    assert simulated(how, threads=threads, min_delay=min_delay) == expected


@pytest.mark.parametrize("how", ["connected", "filled"])
def test_pieces_that_are_no_multiples_of_the_shortest_delay(how):
    pieces = (1, 61, 58, 120)
    expected = simulated("static", min_delay=3)
    assert simulated(how, min_delay=3, pieces=pieces, threads=2) == expected


def test_rows_that_nest_does_not_sort():
    """Without compressed spikes, each synapse of a source is a row by itself."""
    expected = simulated("static")
    assert simulated("connected", use_compressed_spikes=False) == expected


def synapses_of(built, cells):
    """Connections in an order that does not depend on where NEST keeps them."""
    found = built.nest.GetConnections(source=cells, synapse_model=built.model)
    held = found.get(["source", "target", "receptor", "delay", "weight"])
    columns = [np.round(held[name], 6) for name in held]
    return [found[int(i)] for i in np.lexsort(columns[::-1])]


def change_weights(built):
    """To 0, from 0, and in between: rows are not in order any more."""
    chosen = synapses_of(built, built.cells[10:14])
    for i, synapse in enumerate(chosen):
        synapse.weight = (0.0, 0.5 * SCALE_MV, 0.25 * SCALE_MV)[i % 3]


def scale_weights(built):
    for synapse in synapses_of(built, built.cells[10:14]):
        synapse.weight = 2 * synapse.weight


def change_delays(built):
    for i, synapse in enumerate(synapses_of(built, built.cells[20:23])):
        synapse.delay = 1.0 + i % 4


def disconnect(built):
    """Of pairs with one synapse: NEST disconnects the first that it finds of a pair."""
    found = synapses_of(built, built.cells[20:24])
    pairs = Counter((synapse.source, synapse.target) for synapse in found)
    alone = [synapse for synapse in found if pairs[synapse.source, synapse.target] == 1]
    assert len(alone) > 50
    for synapse in alone[::2]:
        synapse.disconnect()


def connect_more(built):
    """New neurons, and synapses from and to them."""
    new = built.nest.Create(MODEL, 11, params=nest_parameters(TYPES, 0, "training"))
    rng = np.random.default_rng(4)
    for sources, targets in ((built.cells, new), (new, built.cells), (built.sources, new)):
        k = 200
        pre, post = sources[0].global_id, targets[0].global_id
        built.nest.Connect(
            rng.integers(0, len(sources), k) + pre,
            rng.integers(0, len(targets), k) + post,
            "one_to_one",
            {
                "synapse_model": built.model,
                "weight": np.full(k, 0.5 * SCALE_MV),
                "delay": rng.integers(1, 5, k).astype(float),
                "receptor_type": rng.integers(1, 5, k),
            },
        )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "change", [change_weights, scale_weights, change_delays, disconnect, connect_more]
)
def test_changes_between_runs_act_as_on_nests_own_synapses(change, threads):
    results = []
    for how, n in (("static", 1), ("connected", threads), ("filled", threads)):
        built = make(how, threads=n)
        built.nest.Simulate(60.0)
        change(built)
        built.nest.Simulate(61.0)
        built.nest.Simulate(59.0)
        results.append((taken(), built.nest.num_connections))
    assert len(results[0][0][0]) > 200
    assert results[1] == results[0]
    assert results[2] == results[0]


def test_a_handle_means_the_same_synapse_after_its_weight_was_set():
    built = make("filled")
    built.nest.Simulate(5.0)
    (synapse, *_) = synapses_of(built, built.cells[3:4])
    target, receptor = synapse.target, synapse.receptor
    for weight_pa in (0.0, 3.25, 0.0):
        synapse.weight = weight_pa
        built.nest.Simulate(5.0)
        assert (synapse.target, synapse.receptor) == (target, receptor)
        assert synapse.weight == pytest.approx(weight_pa, rel=1e-7)


def test_a_weight_of_the_file_comes_back_in_every_bit():
    nest = fresh(2)
    cells = nest.Create(MODEL, 50, params=nest_parameters(TYPES, 0, "training"))
    weight = np.random.default_rng(0).normal(0, 1, 5000).astype(np.float32)
    pre, post = np.random.default_rng(1).integers(1, 51, (2, 5000))
    receptor = np.arange(5000) % 4
    delay = np.full(5000, 2)
    in_pa = weight.astype(np.float64) * SCALE_MV
    connect(nest, "connected", (pre, post, receptor, delay, in_pa / SCALE_MV), 0, 0)
    connect(nest, "filled", (pre, post, receptor, delay, weight), 0, 0)
    held = nest.GetConnections(synapse_model=NORMALISED_SYNAPSE).get(
        ["source", "target", "receptor", "weight", "delay"]
    )
    assert set(held["delay"]) == {2.0}
    expected = sorted(zip(pre, post, receptor + 1, in_pa, strict=True))
    found = sorted(
        zip(held["source"], held["target"], held["receptor"], held["weight"], strict=True)
    )
    assert found == sorted(expected * 2)
    assert len(cells) == 50


def test_copied_models_and_defaults():
    nest = fresh()
    nest.CopyModel(NORMALISED_SYNAPSE, "mine", {"weight": 7.5, "delay": 3.0, "receptor_type": 2})
    assert nest.GetDefaults("mine")["weight"] == 7.5
    cells = nest.Create(MODEL, 2)
    nest.Connect(cells[:1], cells[1:], syn_spec={"synapse_model": "mine"})
    (synapse,) = nest.GetConnections(synapse_model="mine")
    assert synapse.weight == pytest.approx(7.5, rel=1e-7)
    assert (synapse.delay, synapse.receptor) == (3.0, 2)


@pytest.mark.parametrize("model", [MODEL, "glif3_training_single"])
def test_recorders_and_multimeters_see_every_neuron(model):
    nest = fresh(2)
    recorder = nest.Create("spike_recorder")
    cells = nest.Create(model, 30, params={"V_m": -10.0})
    meter = nest.Create("multimeter", params={"record_from": ["V_m", "I_syn", "ASCurrents_sum"]})
    nest.Connect(cells, recorder)
    nest.Connect(meter, cells[3:6])
    nest.Simulate(30.0)
    node, step = native_module().take_spikes()
    events = recorder.events
    seen = sorted(
        zip(events["senders"].tolist(), events["times"].astype(int).tolist(), strict=True)
    )
    assert seen == sorted(zip(node.tolist(), step.tolist(), strict=True))
    assert len(set(node)) == 30
    logged = meter.events
    assert sorted(set(logged["senders"])) == cells[3:6].tolist()
    last = logged["V_m"][(logged["senders"] == cells[4].global_id)][-1]
    nest.Simulate(1.0)
    assert last != cells[4].V_m
    assert len(meter.events["V_m"]) == 3 * 30


def test_devices_and_static_synapses_reach_the_neurons():
    nest = fresh(2)
    parameters = nest_parameters(TYPES, 0, "training")
    cells = nest.Create(MODEL, 3, params=parameters)
    events = {"spike_times": [3.0, 6.0], "spike_multiplicities": [2, 1]}
    generator = nest.Create("spike_generator", params=events)
    for target, model in zip(cells, ("static_synapse", NORMALISED_SYNAPSE), strict=False):
        spec = {"synapse_model": model, "weight": 32.0 * SCALE_MV / 64, "receptor_type": 1}
        nest.Connect(generator, target, syn_spec=spec)
    meter = nest.Create("multimeter", params={"record_from": ["V_m"]})
    nest.Connect(meter, cells)
    nest.Simulate(20.0)
    held = meter.events
    static, compact, alone = (held["V_m"][held["senders"] == c.global_id] for c in cells)
    np.testing.assert_array_equal(static, compact)
    assert np.ptp(static) > 1
    assert np.ptp(alone) == 0


@pytest.mark.parametrize("n_receptors", [1, 2, 5])
def test_any_number_of_receptors(n_receptors):
    """Input at the last receptor gives the current of its own time constant."""
    nest = fresh(2)
    tau_ms = np.linspace(2.0, 9.0, n_receptors)
    cells = nest.Create(MODEL, 20, params={"tau_syn": tau_ms, "V_th": 1000.0})
    generator = nest.Create("spike_generator", params={"spike_times": [1.0]})
    spec = {"weight": 100.0, "receptor_type": n_receptors, "synapse_model": NORMALISED_SYNAPSE}
    nest.Connect(generator, cells, syn_spec=spec)
    meter = nest.Create("multimeter", params={"record_from": ["I_syn"]})
    nest.Connect(meter, cells[7:8])
    nest.Simulate(60.0)
    t = np.arange(59.0) - 1  # it arrives in the step that ends at 3, and shows one later
    tau = tau_ms[-1]
    expected = np.where(t > 0, 100.0 * t / tau * np.exp(1 - t / tau), 0)
    np.testing.assert_allclose(meter.events["I_syn"], expected, rtol=1e-5, atol=1e-9)
    with pytest.raises(nest.NESTError):
        nest.Connect(generator, cells[:1], syn_spec={**spec, "receptor_type": n_receptors + 1})
    with pytest.raises(nest.NESTError, match="before the first synapse"):
        cells[3].tau_syn = [3.0] * (n_receptors + 1)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("V_th", -40.0, "V_th - E_L must stay"), ("frozen", True, "updated together")],
)
def test_what_would_break_the_engine_is_refused_by_name(name, value, says):
    built = make("filled")
    with pytest.raises(built.nest.NESTError, match=says):
        built.cells[3].set({name: value})
    with pytest.raises(built.nest.NESTError):
        built.cells[0].set({name: value})


def test_synapses_that_cannot_be_are_refused():
    nest = fresh()
    cells = nest.Create(MODEL, 2)
    spec = {"synapse_model": NORMALISED_SYNAPSE, "receptor_type": 1}
    recorder, other = nest.Create("spike_recorder"), nest.Create("iaf_psc_alpha")
    for pre, post, changes in (
        (cells[:1], recorder, {}),
        (cells[:1], other, {}),
        (cells[:1], cells[1:], {"receptor_type": 5}),
        (cells[:1], cells[1:], {"receptor_type": 0}),
        (cells[:1], cells[1:], {"weight": float("inf")}),
        (cells[:1], cells[1:], {"weight": 1e300}),
    ):
        with pytest.raises(nest.NESTError):
            nest.Connect(pre, post, syn_spec={**spec, **changes})
    nest.Connect(cells[:1], cells[1:], syn_spec=spec)
    nest.Simulate(5.0)
    (synapse,) = nest.GetConnections(synapse_model=NORMALISED_SYNAPSE)
    with pytest.raises(nest.NESTError, match="finite"):
        synapse.weight = float("inf")


@pytest.mark.parametrize(
    ("column", "value"), [("pre", 0), ("pre", 99), ("receptor", 4), ("delay", 0), ("delay", 900)]
)
def test_filling_refuses_what_nest_would(column, value):
    nest = fresh(2)
    nest.set(min_delay=1.0, max_delay=5.0)
    nest.Create(MODEL, 10, params=nest_parameters(TYPES, 0, "training"))
    columns = {name: np.ones(4, dtype=int) for name in ("pre", "post", "receptor", "delay")}
    columns[column][2] = value
    table = (*(columns[name] for name in ("pre", "post", "receptor", "delay")), np.ones(4))
    with pytest.raises(SimulationError):
        connect(nest, "filled", table, 0, 0)


def test_a_reset_of_the_kernel_forgets_all():
    for threads in (2, 1, 2):
        assert len(simulated("filled", threads=threads)[0]) > 300


@pytest.mark.parametrize("threads", [1, 2])
def test_leaving_out_frozen_nodes_changes_nothing(threads):
    """With devices behind the neurons, runs in pieces, and nodes and synapses made in between."""
    results = []
    for skips in (False, True):
        built = make("filled", threads=threads)
        nest = built.nest
        native_module().skip_frozen_nodes(skips)
        meter = nest.Create("multimeter", params={"record_from": ["V_m"]})
        nest.Connect(meter, built.cells[5:8])
        recorder, poisson = nest.Create("spike_recorder"), nest.Create("poisson_generator")
        poisson.rate = 2000.0
        nest.Connect(built.cells, recorder)
        spec = {"weight": 300.0, "receptor_type": 1}
        nest.Connect(poisson, built.cells[:20], syn_spec=spec)
        nest.Simulate(50.0)
        connect_more(built)
        other = nest.Create("iaf_psc_alpha", 3, params={"I_e": 500.0})
        nest.Connect(other, recorder)
        for piece in (1.0, 33.0, 40.0):
            nest.Simulate(piece)
        assert nest.network_size == len(nest.GetNodes())
        events, voltages = recorder.events, meter.events
        order = np.lexsort((events["senders"], events["times"]))
        by_node = np.lexsort((voltages["times"], voltages["senders"]))
        results.append(
            (
                taken(),
                events["senders"][order].tolist(),
                events["times"][order].tolist(),
                voltages["V_m"][by_node].tolist(),
            )
        )
    assert len(results[0][1]) > 200
    assert set(results[0][1]) & set(other.tolist())
    assert results[0] == results[1]
