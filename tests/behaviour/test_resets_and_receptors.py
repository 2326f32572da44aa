"""The training dynamics with either reset and any number of receptors: NEST against NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import admitted, sealed, tiny_network, tiny_types
from v1sim.errors import InputError
from v1sim.model import NetworkModel, SynapseTable, TrainingDynamics, Trial
from v1sim.receptors import ReceptorKinds
from v1sim.simulation.cells import nest_parameters
from v1sim.simulation.kernel import backend, reset_kernel
from v1sim.simulation.native.library import native_module
from v1sim.simulation.plan import make_plan
from v1sim.simulation.reference import integrate
from v1sim.simulation.run import run_trials
from v1sim.stimulus.given import GivenSpikes
from v1sim.stimulus.spikes import LgnSpikeTimes
from v1sim.stimulus.trials import Schedule

N_TRIALS, N_STEPS = 2, 120
TAU_MS = np.array([5.5, 8.5, 2.8, 5.8, 0.7, 40.0, 1.3, 12.0, 3.0, 20.0])


def network(n_receptors: int, trained: TrainingDynamics, *, per_type: bool) -> NetworkModel:
    """The small network with weights of both signs on every receptor, and delays up to 19 steps."""
    rng = np.random.default_rng(n_receptors)
    tiny = tiny_network(lgn_cells=False)
    tau_ms = np.tile(TAU_MS[:n_receptors], (5, 1))
    if per_type:
        tau_ms *= np.linspace(0.8, 1.2, 5)[:, None]
    types = replace(
        tiny.cell_types,
        columns={**tiny.cell_types.columns, "tau_syn_ms": tau_ms},
        receptor_kinds=ReceptorKinds.unknown(n_receptors),
    )
    tables = {}
    for name, size in (("recurrent", 1500), ("lgn", 900)):
        longest = 20 if name == "recurrent" else 2
        rows = np.column_stack(
            [
                rng.integers(0, high, size)
                for high in (tiny.n_pre(name), longest - 1, tiny.n_neurons, n_receptors)
            ]
        )
        # As the training code sorts them, some twice: float32 sums depend on the order.
        rows = np.concatenate([rows, rows[: size // 4]])
        pre, delay, post, receptor = rows[np.lexsort(rows.T[::-1])].T
        is_input = name == "lgn"
        weight = rng.uniform(0, 1.5, len(pre)) if is_input else rng.normal(0.0, 0.4, len(pre))
        tables[name] = SynapseTable(
            pre=pre.astype(np.int32),
            post=post.astype(np.int32),
            receptor=receptor.astype(np.uint8),
            delay_ms=(delay + 1).astype(np.float32),
            weight=weight.astype(np.float32),
        )
    changed = replace(
        tiny.with_background(None).with_tables(**tables),
        cell_types=types,
        readout=(),
        dynamics=trained,
    )
    return sealed(changed, kind="constructed")


def in_nest(network, lgn, dynamics, threads, *, between_trials="reset"):
    """Spikes (trials, steps, n) and mV of every neuron (same)."""
    n = network.n_neurons
    trials = tuple(
        Trial(i, float(i * N_STEPS), float(N_STEPS), (0.0, float(N_STEPS)), {})
        for i in range(N_TRIALS)
    )
    times = [LgnSpikeTimes(step * 1.0, source) for step, source in map(np.nonzero, lgn)]
    output = run_trials(
        make_plan(admitted(network), background="none", seed=1, dynamics=dynamics),
        GivenSpikes(network.lgn.size, Schedule(trials, tuple(range(N_TRIALS))), times),
        threads=threads,
        between_trials=between_trials,
        voltage_of=np.arange(n, dtype=np.int32),
        progress=lambda *_: None,
    )
    spike = np.zeros((N_TRIALS, N_STEPS, n), dtype=bool)
    step = np.rint(output.spikes.time_ms).astype(int)
    spike[output.spikes.trial, step, output.spikes.neuron] = True
    return spike, output.voltage.v_mv


@pytest.mark.parametrize("trainer", ["billeh", "dpointnet"])
@pytest.mark.parametrize("reset", ["subtractive", "hard"])
@pytest.mark.parametrize("n_receptors", [1, 2, 3, 4, 5, 7, 10])
def test_nest_is_the_reference(n_receptors, reset, trainer):
    trained = TrainingDynamics(reset, 1.0, trainer)
    net = network(n_receptors, trained, per_type=n_receptors % 2 == 0)
    rng = np.random.default_rng(5)
    lgn = rng.random((N_TRIALS, N_STEPS, net.lgn.size)) < np.array([0.1, 0.3])[:, None, None]
    everyone = np.arange(net.n_neurons)
    threads = 1 + n_receptors % 2
    exact = integrate(net, lgn, None)
    spike, v_mv = in_nest(net, lgn, "training", threads)
    assert exact.spike.sum() > 200
    np.testing.assert_array_equal(spike, exact.spike)
    np.testing.assert_allclose(v_mv, exact.voltage_mv(net, everyone), atol=1e-4, rtol=0)
    rounded = integrate(net, lgn, None, precision="float32")
    spike, v_mv = in_nest(net, lgn, "training_float32", threads)
    np.testing.assert_array_equal(spike, rounded.spike)
    np.testing.assert_array_equal(v_mv, rounded.voltage_mv(net, everyone))
    spike, _ = in_nest(net, lgn, "training_single", threads)
    assert (spike != exact.spike).sum() <= 0.01 * exact.spike.sum()


def test_the_resets_are_two_networks():
    runs = []
    for reset in ("subtractive", "hard"):
        net = network(4, TrainingDynamics(reset), per_type=False)
        lgn = np.random.default_rng(5).random((N_TRIALS, N_STEPS, net.lgn.size)) < 0.3
        runs.append(integrate(net, lgn, None).spike)
    assert runs[0].sum() != runs[1].sum()


def test_the_hard_reset_holds_the_membrane_while_refractory():
    """At V_reset, from the step after the spike until the last in which no spike is possible."""
    nest, _ = backend()
    types = tiny_types(v_reset_mv=np.array([-80.0, -76.1, -77.6, -71.7, -71.8]))
    held = {}
    for model in ("glif3_training", "glif3_training_single", "glif3_training_float32"):
        reset_kernel(dt_ms=1.0, threads=1, seed=1, max_delay_ms=5.0)
        native_module().install()
        parameters = nest_parameters(types, 0, "training", TrainingDynamics("hard"))
        assert parameters["hard_reset"] is True
        hard, soft = nest.Create(model, 2, params=parameters)
        soft.hard_reset = False  # neurons of both kinds beside each other
        np.testing.assert_array_equal(soft.step_constants, hard.step_constants)
        source = nest.Create("spike_generator", params={"spike_times": [3.0, 4.0, 5.0]})
        syn = {"weight": 9000.0, "delay": 1.0, "receptor_type": 1}
        nest.Connect(source, hard + soft, syn_spec=syn)
        meter = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": 1.0})
        nest.Connect(meter, hard + soft)
        nest.Simulate(30.0)
        node, step = native_module().take_spikes()
        events = meter.events
        hard_mv, soft_mv = (events["V_m"][events["senders"] == i.global_id] for i in (hard, soft))
        first = int(step[node == hard.global_id].min()) - 1
        n_held = int(np.ceil(types.t_ref_ms[0])) - 1
        np.testing.assert_allclose(hard_mv[first + 1 : first + 1 + n_held], -80.0, rtol=1e-6)
        assert hard_mv[first + 1 + n_held] != hard_mv[first + n_held]
        assert (soft_mv[first + 1 : first + 1 + n_held] > -80.0).all()
        held[model] = hard_mv
    np.testing.assert_allclose(held["glif3_training"], held["glif3_training_float32"], atol=1e-3)


@pytest.mark.parametrize("trained", [TrainingDynamics("hard"), TrainingDynamics("hard", 0.5)])
def test_other_steps_than_trainings_are_refused(trained):
    net = network(3, trained, per_type=False)
    net = replace(net, step_ms=1.5 - trained.step_ms, provenance=None)
    with pytest.raises(InputError, match=f"steps of {trained.step_ms:g} ms"):
        make_plan(admitted(net), background="none", seed=1, dynamics="training")


def test_an_unknown_trainer_is_refused_in_its_dynamics_alone():
    net = network(2, TrainingDynamics(trainer="nobody"), per_type=False)
    with pytest.raises(InputError, match="trained by 'nobody'"):
        make_plan(admitted(net), background="none", seed=1, dynamics="training")
    make_plan(admitted(net), background="none", seed=1, dynamics="glif_psc")
