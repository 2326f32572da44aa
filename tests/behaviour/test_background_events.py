"""What reaches a neuron from the background in every step of a trial, the first one included.

NEST 3.10's poisson_generator sends stamps start + 2 steps to stop + 1 step, where spike_generator
and spike_train_injector with the same times send from start on; and a start before 0 is refused.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import admitted, sealed, tiny_network, with_parts
from v1sim.model import Trial
from v1sim.simulation import build, run
from v1sim.simulation.kernel import backend
from v1sim.simulation.plan import make_plan
from v1sim.stimulus.background import events
from v1sim.stimulus.given import GivenSpikes
from v1sim.stimulus.spikes import LgnSpikeTimes
from v1sim.stimulus.trials import Schedule

N_STEPS = 16
SEED = 5


def weakly_driven():
    """A network whose background makes nothing spike, and whose V_reset is not its rest."""
    network = tiny_network()
    types = network.cell_types
    network = with_parts(
        network,
        background_weight=network.background_weight * np.float32(0.3),
        cell_types=types.with_columns(v_reset_mv=types.v_reset_mv - 2.0),
    )
    return admitted(sealed(network, kind="constructed"))


CHECKED = weakly_driven()
NEURONS = np.arange(CHECKED.network.n_neurons, dtype=np.int32)


def voltages(background, n_trials, *, dynamics, between_trials, draws=None):
    """V_m of every neuron, shape (trials, steps, n), driven by nothing but the background."""
    trials = tuple(
        Trial(i, float(N_STEPS * i), float(N_STEPS), (0.0, float(N_STEPS)), {})
        for i in range(n_trials)
    )
    silence = GivenSpikes(
        CHECKED.network.lgn.size,
        Schedule(trials, (0,) * n_trials),
        [LgnSpikeTimes(np.empty(0), np.empty(0, dtype=int))],
    )
    output = run.run_trials(
        make_plan(CHECKED, background=background, seed=SEED, dynamics=dynamics, draws=draws),
        silence,
        threads=2,
        between_trials=between_trials,
        voltage_of=NEURONS,
        progress=lambda *_: None,
    )
    assert not len(output.spikes)
    return output.voltage.v_mv.astype(np.float64)


def decoded(v_mv, response_mv, at_rest_mv):
    """Events of each step from voltages: those of a step show first `lag` steps later."""
    lag = int((np.abs(response_mv) > 1e-3).all(axis=1).argmax())
    n_known = N_STEPS - lag
    rest = v_mv - at_rest_mv
    counts = np.zeros((len(v_mv), n_known, v_mv.shape[2]))
    for step in range(n_known):
        exact = rest[:, step + lag] / response_mv[lag]
        counts[:, step] = np.rint(exact)
        assert np.abs(exact - counts[:, step]).max() < 0.1
        rest[:, step:] -= counts[:, step, np.newaxis] * response_mv[: N_STEPS - step]
    return counts


def counts_of(background, n_trials, *, dynamics, between_trials, draws=None):
    how = {"dynamics": dynamics, "between_trials": between_trials}
    quiet, one = (
        voltages("recorded", 1, draws=np.eye(1, N_STEPS, dtype=np.int64) * n, **how)[0]
        for n in (0, 1)
    )
    v_mv = voltages(background, n_trials, draws=draws, **how)
    return decoded(v_mv, one - quiet, quiet)


HOW = [
    ("training", "reset"),
    ("training", "rebuild"),
    ("training", "gap"),
    ("training_float32", "reset"),
    ("glif_psc", "reset"),
    ("glif_psc", "rebuild"),
    ("glif_psc", "gap"),
]


@pytest.mark.parametrize(("dynamics", "between_trials"), HOW)
def test_independent_events_have_their_statistics_in_every_step(dynamics, between_trials):
    """Those of a Poisson process of one event a step: mean and variance 1, and e^-1 of none."""
    n_trials = 5 if between_trials == "rebuild" else 30
    counts = counts_of(
        "independent_poisson", n_trials, dynamics=dynamics, between_trials=between_trials
    )
    n = counts.shape[0] * counts.shape[2]
    by_step = counts.swapaxes(0, 1).reshape(counts.shape[1], n)
    assert len(by_step) >= N_STEPS - 3
    np.testing.assert_allclose(by_step.mean(axis=1), 1, atol=5 / np.sqrt(n))
    # The variance of the sample variance of Poisson counts of mean 1 is 3 / n.
    np.testing.assert_allclose(by_step.var(axis=1), 1, atol=5 * np.sqrt(3 / n))
    np.testing.assert_allclose((by_step == 0).mean(axis=1), np.exp(-1), atol=5 * 0.48 / np.sqrt(n))


@pytest.mark.parametrize("between_trials", ["gap", "rebuild"])
def test_without_the_native_module_they_are_the_same(monkeypatch, between_trials):
    monkeypatch.setattr(build, "native_or_none", lambda: None)
    counts = counts_of("independent_poisson", 5, dynamics="glif_psc", between_trials=between_trials)
    n = counts.shape[0] * counts.shape[2]
    np.testing.assert_allclose(counts.mean(axis=(0, 2)), 1, atol=5 / np.sqrt(n))


@pytest.mark.parametrize(("dynamics", "between_trials"), HOW)
@pytest.mark.parametrize("background", ["shared_binomial", "recorded"])
def test_shared_events_are_those_that_were_drawn(background, dynamics, between_trials):
    draws = np.random.default_rng(3).integers(0, 4, (3, N_STEPS))
    counts = counts_of(background, 3, dynamics=dynamics, between_trials=between_trials, draws=draws)
    expected = [events(background, N_STEPS, SEED, trial, draws) for trial in range(3)]
    n_known = counts.shape[1]
    np.testing.assert_array_equal(
        counts, np.broadcast_to(np.stack(expected)[:, :n_known, np.newaxis], counts.shape)
    )


@pytest.mark.parametrize("between_trials", ["reset", "gap"])
def test_independent_events_end_with_the_trial(monkeypatch, between_trials):
    """What arrives in the last step moves no membrane within the trial: a probe counts it."""
    built = run.build

    def build_with_probes(plan, **options):
        simulation = built(plan, **options)
        nest, _ = backend()
        probes = nest.Create(
            "iaf_psc_delta",
            400,
            {"C_m": 1.0, "tau_m": 1e12, "E_L": 0.0, "V_m": 0.0, "V_th": 1e9, "V_reset": -1e9},
        )
        source = simulation.populations["background"].node_collection
        # A device sends through one synapse model only.
        kind = nest.GetConnections(source)[0].synapse_model
        one = {"synapse_model": kind, "weight": 1.0, "delay": plan.dt_ms}
        nest.Connect(source, probes, syn_spec=one)
        meter = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": plan.dt_ms})
        nest.Connect(meter, probes)
        meters.append(meter)
        return simulation

    meters = []
    monkeypatch.setattr(run, "build", build_with_probes)
    n_trials = 3
    voltages("independent_poisson", n_trials, dynamics="glif_psc", between_trials=between_trials)
    (meter,) = meters
    step, first = np.unique(meter.events["times"], return_index=True)
    assert len(first) == len(step)
    order = np.lexsort((meter.events["senders"], meter.events["times"]))
    v = meter.events["V_m"][order].reshape(len(step), -1)
    counts = np.rint(np.diff(v, axis=0, prepend=0))
    driven = np.flatnonzero(counts.any(axis=1))
    assert len(driven) == n_trials * N_STEPS
    runs = np.split(driven, np.flatnonzero(np.diff(driven) > 1) + 1)
    assert [len(run) for run in runs] == [N_STEPS] * n_trials
    np.testing.assert_allclose(counts[driven].mean(axis=1), 1, atol=5 / np.sqrt(400))
