"""The training dynamics in NEST: one neuron by hand, networks against TensorFlow's own spikes."""

from __future__ import annotations

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests.networks import admitted, sealed, tiny_network, tiny_types, with_parts, write_tiny
from v1sim import verification
from v1sim.errors import InputError
from v1sim.model import Trial
from v1sim.simulation.build import build
from v1sim.simulation.cells import nest_parameters
from v1sim.simulation.kernel import backend, reset_kernel
from v1sim.simulation.native import library
from v1sim.simulation.native.compile import CompilationError
from v1sim.simulation.native.library import MODELS, NORMALISED_SYNAPSES, native_module
from v1sim.simulation.plan import make_plan
from v1sim.simulation.reference import integrate
from v1sim.simulation.run import run_trials
from v1sim.stimulus.background import DRAWS, event_weight, events
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.trials import Schedule

TYPES = tiny_types()
N_STEPS = 120
SYNAPSE = {MODELS[name]: synapse for name, synapse in NORMALISED_SYNAPSES.items()}
SYNAPSE["glif3_training_float32"] = "static_synapse"


def fresh_kernel(*, threads=1, dt_ms=1.0, max_delay_ms=5.0):
    nest, _ = backend()
    reset_kernel(dt_ms=dt_ms, threads=threads, seed=1, max_delay_ms=max_delay_ms)
    native_module().install()
    return nest


def one_neuron(events, *, model="glif3_training", index=0, constants=None, chunks=(N_STEPS + 2,)):
    """(spike steps, V_m) of a neuron that gets (step, receptor, weight_pa, multiplicity) events."""
    nest = fresh_kernel()
    parameters = nest_parameters(TYPES, index, "training")
    if constants is not None:
        parameters["step_constants"] = constants
    neuron = nest.Create(model, params=parameters)
    for step, receptor, weight_pa, multiplicity in events:
        # A generator's spike of stamp t arrives, one delay later, in the interval that ends at t+2.
        source = nest.Create(
            "spike_generator",
            params={"spike_times": [step + 1.0], "spike_multiplicities": [multiplicity]},
        )
        syn = {"weight": weight_pa, "delay": 1.0, "receptor_type": receptor + 1}
        nest.Connect(source, neuron, syn_spec=syn)
    meter = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": 1.0})
    nest.Connect(meter, neuron)
    for chunk in chunks:
        nest.Simulate(float(chunk))
    _, stamp = native_module().take_spikes()
    return np.sort(stamp.astype(int) - 2), np.asarray(meter.events["V_m"])[1 : N_STEPS + 1]


def by_hand(events, index=0, constants=None):
    """The equations once more, for one neuron, with plain numbers."""
    c = nest_parameters(TYPES, index, "training")
    c_k = c["step_constants"] if constants is None else constants
    decay, factor, reset = c_k[:3]
    d, rise_of, a_decay, a_amp = (np.array(x) for x in (c_k[3:7], c_k[7:11], c_k[11:13], c_k[13:]))
    scale = c["V_th"] - c["E_L"]
    rise, psc, asc = np.zeros(4), np.zeros(4), np.zeros(2)
    v, r, z = reset + 1.0, 0.0, 0.0
    spikes, trace = [], []
    for step in range(N_STEPS):
        i = np.zeros(4)
        for when, receptor, weight_pa, multiplicity in events:
            i[receptor] += (when == step) * weight_pa * multiplicity / scale
        v = decay * v + factor * (psc.sum() + asc.sum()) + z * reset
        psc, rise = d * psc + d * rise, d * rise + i * rise_of
        asc = a_decay * asc + z * a_amp
        r = max(0.0, r + z * c["t_ref"] - 1.0)
        z = float(v > 1.0 and r == 0.0)
        if z:
            spikes.append(step)
        trace.append(c["E_L"] + v * scale)
    return np.array(spikes), np.array(trace)


STRONG = [
    (5, 0, 900.0, 1),
    (8, 0, 1500.0, 1),
    (30, 1, -400.0, 2),
    (40, 2, 700.0, 3),
    (60, 3, -50.0, 1),
]


@pytest.mark.parametrize("index", range(len(TYPES)))
def test_one_neuron_follows_the_equations(index):
    spikes, v_mv = one_neuron(STRONG, index=index)
    expected, trace = by_hand(STRONG, index)
    assert len(spikes) >= 2
    np.testing.assert_array_equal(spikes, expected)
    np.testing.assert_allclose(v_mv, trace, atol=1e-10)


def test_the_reset_is_subtractive_and_one_step_late():
    spikes, v_mv = one_neuron(STRONG)
    first = spikes[0]
    v_th_mv = TYPES.v_th_mv[0]
    assert v_mv[first] > v_th_mv
    _, without = one_neuron(STRONG, constants=without_spiking())
    # Up to the spike all is as without it; the step after, v_reset - v_th is added.
    np.testing.assert_allclose(v_mv[: first + 1], without[: first + 1], atol=1e-10)
    fall_mv = v_mv[first + 1] - without[first + 1]
    assert fall_mv == pytest.approx(TYPES.v_reset_mv[0] - v_th_mv, abs=1e-4)


def without_spiking():
    """Constants of a neuron that neither resets nor has after-spike currents."""
    constants = np.array(nest_parameters(TYPES, 0, "training")["step_constants"])
    constants[2] = 0.0
    constants[13:] = 0.0
    return constants.tolist()


def test_the_membrane_integrates_while_refractory_and_spikes_are_suppressed():
    events = [(5, 0, 9000.0, 1)]
    spikes, v_mv = one_neuron(events)
    t_ref_steps = int(np.ceil(TYPES.t_ref_ms[0]))
    assert np.diff(spikes).min() == t_ref_steps
    held = v_mv[spikes[0] + 1 : spikes[1]]
    assert (np.diff(held) != 0).all()
    assert (held > TYPES.v_th_mv[0]).any()  # above threshold, and silent


@pytest.mark.parametrize("model", MODELS.values())
def test_the_threshold_is_strict(model):
    """A membrane that keeps its potential, exactly at the threshold and one rounding above."""
    above = 1.0 + 2.0**-23
    keeps = [1.0, 1.0, -1.0, *[0.5] * 4, *[1.0] * 4, *[1.0] * 2, *[0.0] * 2]
    nest = fresh_kernel()
    parameters = {"E_L": 0.0, "V_th": 1.0, "V_reset": 0.0, "step_constants": keeps}
    at, over = nest.Create(model, 2, params=parameters)
    at.V_m, over.V_m = 1.0, above
    nest.Simulate(2.0)
    node, _ = native_module().take_spikes()
    assert node.tolist() == [over.global_id]


def test_simulating_in_pieces_changes_nothing():
    whole = one_neuron(STRONG)
    pieces = one_neuron(STRONG, chunks=(1, 3, 40, 7, N_STEPS + 2 - 51))
    np.testing.assert_array_equal(whole[0], pieces[0])
    np.testing.assert_array_equal(whole[1], pieces[1])


@pytest.mark.parametrize("min_delay_ms", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("model", MODELS.values())
def test_spikes_arrive_after_their_delay(model, threads, min_delay_ms):
    """A chain a -> b_d for each delay d: b_d's current starts d steps after a's spike."""
    nest, _ = backend()
    nest.ResetKernel()  # unlike PyNN's setup it leaves the delays to the connections
    nest.resolution, nest.local_num_threads = 1.0, threads
    native_module().install()
    parameters = nest_parameters(TYPES, 0, "training")
    a = nest.Create(model, params=parameters)
    delays = np.arange(min_delay_ms, 6.0)
    b = nest.Create(model, len(delays), params=parameters)
    source = nest.Create("spike_generator", params={"spike_times": [3.0]})
    nest.Connect(source, a, syn_spec={"weight": 5000.0, "delay": min_delay_ms, "receptor_type": 1})
    for target, delay in zip(b, delays, strict=True):
        nest.Connect(a, target, syn_spec={"weight": 10.0, "delay": delay, "receptor_type": 1})
    meter = nest.Create("multimeter", params={"record_from": ["I_syn"], "interval": 1.0})
    nest.Connect(meter, b, syn_spec={"delay": min_delay_ms})
    nest.Simulate(30.0)
    node, stamp = native_module().take_spikes()
    first = stamp[node == a.global_id].min()
    assert nest.min_delay == min_delay_ms
    events = meter.events
    for target, delay in zip(b, delays, strict=True):
        mine = events["senders"] == target.global_id
        onset_ms = events["times"][mine][events["I_syn"][mine] > 0].min()
        # a's spike of step s reaches rise in step s + d, psc in the next.
        assert onset_ms == first + delay + 1


def test_a_resolution_other_than_trainings():
    """Constants follow from the parameters then."""
    nest = fresh_kernel(dt_ms=0.1)
    parameters = nest_parameters(TYPES, 0, "training") | {"V_m": float(TYPES.e_l_mv[0]) + 5.0}
    del parameters["step_constants"]  # those of 1 ms
    neuron = nest.Create("glif3_training", params=parameters)
    nest.Simulate(10.0)
    left = np.exp(-10.0 * TYPES.g_ns[0] / TYPES.c_m_pf[0])
    assert neuron.V_m == pytest.approx(TYPES.e_l_mv[0] + 5.0 * left, rel=1e-9)


def test_setting_a_parameter_drops_the_given_constants():
    nest = fresh_kernel()
    neuron = nest.Create("glif3_training", params=nest_parameters(TYPES, 0, "training"))
    given = np.array(neuron.step_constants)
    neuron.set(V_m=-60.0)
    np.testing.assert_array_equal(neuron.step_constants, given)
    neuron.set(C_m=200.0)
    assert neuron.step_constants[0] == np.exp(-neuron.g / 200.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tau_syn": []},
        {"tau_syn": [1.0, 2.0, 3.0, 0.0]},
        {"step_constants": [1.0] * 14},
        {"C_m": 0.0},
        {"V_th": -90.0},
        {"asc_decay": [0.0, 1.0]},
    ],
)
def test_impossible_parameters_are_refused(wrong):
    nest = fresh_kernel()
    with pytest.raises(nest.NESTError):
        nest.Create("glif3_training", params=wrong)


@pytest.mark.parametrize("model", MODELS.values())
def test_receptors_cannot_be_taken_from_a_neuron_with_synapses(model):
    nest = fresh_kernel()
    neuron = nest.Create(model, params={"tau_syn": [1.0, 2.0]})
    source = nest.Create("spike_generator")
    nest.Connect(source, neuron, syn_spec={"receptor_type": 2, "synapse_model": SYNAPSE[model]})
    with pytest.raises(nest.NESTError, match="cannot be reduced"):
        neuron.set(tau_syn=[1.0])
    assert len(neuron.tau_syn) == 2


@pytest.mark.parametrize("port", [0, 5])
def test_other_receptors_are_refused(port):
    nest = fresh_kernel()
    neuron = nest.Create("glif3_training")
    with pytest.raises(nest.NESTError):
        nest.Connect(neuron, neuron, syn_spec={"weight": 1.0, "receptor_type": port})


def test_the_kernel_can_be_reset_again_and_again():
    for threads in (2, 1, 2):
        nest = fresh_kernel(threads=threads)
        neurons = nest.Create("glif3_training", 10, params={"V_m": -10.0})
        nest.Simulate(3.0)
        node, step = native_module().take_spikes()
        assert sorted(node) == sorted(neurons.tolist())
        assert set(step) == {1}
        assert not len(native_module().take_spikes()[0])


@pytest.mark.parametrize(("name", "threads"), [("trained", 1), ("untrained", 2)])
def test_every_spike_is_tensorflows(shared_data, name, threads):
    folder = shared_data / "trained_a"
    result = verification.verify_dynamics(
        folder / f"net_A_{name}.h5",
        spikes=None,
        truth=folder / "ground_truth_A.h5",
        threads=threads,
        progress=lambda *_: None,
    )
    assert result.proven
    assert [group.group for group in result.groups] == [
        f"{name}/mean_background",
        f"{name}/no_background",
    ]
    assert len(result.left_out) == 2
    for group in result.groups:
        by_name = {agreement.name: agreement for agreement in group.agreements}
        equal = (
            "training",
            "training_float32",
            "training_single",
            "NumPy float64",
            "NumPy float32",
        )
        for dynamics in equal:
            assert by_name[dynamics].all_equal, (group.group, dynamics)
        for voltages in by_name["training"].voltages:
            assert voltages.largest < 5e-5
        for voltages in by_name["training_float32"].voltages:
            assert voltages.n_equal == voltages.n == 10_000
        assert not by_name["glif_psc"].all_equal


def test_the_readout_counts_are_tensorflows(shared_data):
    """The truth file's own counts, from the spikes that were found equal to it above."""
    with h5py.File(shared_data / "trained_a" / "ground_truth_A.h5") as file:
        groups = file["readout_groups"][()]
        z = file["trained/mean_background/z"][()]
        counts = file["trained/mean_background/readout_counts"][()]
    np.testing.assert_array_equal(z[:, 150:200][:, :, groups].sum(axis=(1, 3)), counts)


def test_float32_sums_as_the_reference_does():
    """Dense input, so that the order in which a step's spikes are added shows."""
    checked = admitted(tiny_network())
    network = checked.network
    rng = np.random.default_rng(2)
    lgn_spike = rng.random((2, 80, network.lgn.size)) < 0.3
    truth = verification.GroundTruth(
        "", "mean", integrate(network, lgn_spike, np.full((2, 80), float(np.float32(0.1)))).spike,
        np.arange(network.n_neurons), np.empty((2, 80, 0), np.float32), None,
    )  # fmt: skip
    found = [
        verification._run_nest(checked, truth, lgn_spike, "training_float32", threads)
        for threads in (1, 2)
    ]
    rounded = integrate(
        network, lgn_spike, np.full((2, 80), float(np.float32(0.1))), precision="float32"
    )
    assert rounded.spike.sum() > 100
    for spike, v_mv in found:
        np.testing.assert_array_equal(spike, rounded.spike)
        np.testing.assert_array_equal(v_mv, rounded.voltage_mv(network, truth.voltage_neuron))


def driven_by_background(background, draws=None):
    """V_m of every neuron of the tiny network, 2 trials of 40 ms, and of the reference.

    The reference gets one series of draws for all neurons.
    """
    checked = admitted(tiny_network())
    network, n_steps = checked.network, 40
    trials = tuple(Trial(i, 40.0 * i, 40.0, (0.0, 40.0), {}) for i in range(2))
    silent = np.zeros((n_steps, network.lgn.size), dtype=np.float32)
    output = run_trials(
        make_plan(checked, background=background, seed=5, dynamics="training", draws=draws),
        FixedProbabilities(network.lgn.size, Schedule(trials, (0, 0)), [silent]),
        threads=2,
        between_trials="reset",
        voltage_of=np.arange(network.n_neurons, dtype=np.int32),
        progress=lambda *_: None,
    )
    n = [events(background, n_steps, 5, trial, draws) for trial in range(2)]
    run = integrate(
        network, np.zeros((2, n_steps, network.lgn.size)), np.stack(n) * event_weight(background)
    )
    return output.voltage.v_mv, run.voltage_mv(network, np.arange(network.n_neurons)), network


def test_the_shared_draw_is_shared_by_all_neurons():
    v_mv, expected, network = driven_by_background("shared_binomial")
    np.testing.assert_allclose(v_mv, expected, atol=1e-4)
    same_type = v_mv[:, :12, network.neurons.cell_type == 0]  # too early for a spike
    assert np.ptp(same_type, axis=2).max() == 0
    assert np.ptp(same_type, axis=1).min() > 0


def test_a_recorded_draw_is_shared_by_all_neurons():
    draws = np.random.default_rng(3).integers(0, 4, (2, 40))
    v_mv, expected, _ = driven_by_background("recorded", draws)
    np.testing.assert_allclose(v_mv, expected, atol=1e-4)
    assert (v_mv[0] != v_mv[1]).any()


def test_the_independent_draw_is_shared_by_none():
    v_mv, _, network = driven_by_background("independent_poisson")
    same_type = v_mv[:, 11, network.neurons.cell_type == 0]
    assert len(np.unique(same_type)) > 0.9 * same_type.size


def test_independent_draws_have_the_statistics_of_a_poisson_process():
    """Mean, variance, independence: without spikes, V is a sum of responses to single events."""
    network = tiny_network()
    weak = network.background_weight * np.float32(0.3)
    network = sealed(with_parts(network, background_weight=weak), kind="constructed")
    n, n_steps, n_trials = network.n_neurons, 120, 60
    trials = tuple(
        Trial(i, float(n_steps * i), float(n_steps), (0.0, float(n_steps)), {})
        for i in range(n_trials)
    )
    silent = np.zeros((n_steps, network.lgn.size), dtype=np.float32)
    output = run_trials(
        make_plan(admitted(network), background="independent_poisson", seed=5, dynamics="training"),
        FixedProbabilities(network.lgn.size, Schedule(trials, (0,) * n_trials), [silent]),
        threads=2,
        between_trials="reset",
        voltage_of=np.arange(n, dtype=np.int32),
        progress=lambda *_: None,
    )
    assert not len(output.spikes)
    one = np.zeros((1, n_steps))
    one[0, 0] = 1 / DRAWS
    at_rest_mv = network.cell_types.e_l_mv[network.neurons.cell_type]
    alone = integrate(network, silent[None], one).voltage_mv(network, np.arange(n))[0]
    response = alone.astype(np.float64) - at_rest_mv
    # One event a step on average: Campbell's theorem.
    z = (output.voltage.v_mv[:, -1] - at_rest_mv - response.sum(axis=0)) / np.sqrt(
        (response**2).sum(axis=0)
    )
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 6 * np.sqrt(2 / z.size)
    between = (z.sum(axis=1) ** 2 - (z**2).sum(axis=1)).mean() / (n * (n - 1))
    assert abs(between) < 6 * np.sqrt(2 / n_trials) / n


def test_without_the_module_the_message_says_what_to_install(monkeypatch, tmp_path):
    def fails(folder):
        raise CompilationError("a C++20 compiler was not found; install it: apt-get install g++")

    monkeypatch.setattr(library, "compile_module", fails)
    monkeypatch.setattr(library, "fitting_module", lambda folder: None)
    library.native_module.cache_clear()
    library._native_path.cache_clear()
    try:
        assert library.native_or_none() is None
        assert not library.has_native()
        plan = make_plan(admitted(tiny_network()), background="none", seed=1, dynamics="training")
        with pytest.raises(InputError, match=r"apt-get install g\+\+[\s\S]*glif_psc"):
            build(plan, threads=1)
    finally:
        library.native_module.cache_clear()
        library._native_path.cache_clear()


def v1sim(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "v1sim", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_without_a_truth(tmp_path):
    write_tiny(tmp_path / "net.h5")
    done = v1sim("verify-dynamics", tmp_path / "net.h5", "--json", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr
    assert "PROVEN" in done.stdout
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["proven"] is True
    assert content["input"] == "drawn"
    training = content["groups"][0]["agreements"][0]
    assert training["name"] == "training"
    assert sum(trial["n_equal"] for trial in training["spikes"]) > 100


def test_the_command_with_another_networks_truth(tmp_path):
    network = write_tiny(tmp_path / "net.h5")
    rng = np.random.default_rng(1)
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["input_spikes"] = (rng.random((1, 60, network.lgn.size)) < 0.1).astype(np.uint8)
        file["no_background/z"] = rng.integers(0, 2, (1, 60, network.n_neurons))
    files = {"spikes": None, "truth": tmp_path / "truth.h5", "progress": lambda *_: None}
    with pytest.raises(InputError, match="no group's spikes are this network's"):
        verification.verify_dynamics(tmp_path / "net.h5", **files)
    with pytest.raises(InputError, match="expected: one of no_background"):
        verification.verify_dynamics(tmp_path / "net.h5", groups=["nothing"], **files)
    done = v1sim(
        *("verify-dynamics", tmp_path / "net.h5", "--truth", tmp_path / "truth.h5"),
        *("--group", "no_background"),
    )
    assert done.returncode == 1
    assert "NOT PROVEN" in done.stdout
    assert "differ from the truth" in done.stderr
