"""Analog input: numbers enter the synapses of the LGN, as training may feed them."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from tests.behaviour.test_command_line import assert_refused, v1sim
from tests.networks import admitted, tiny_network, write_tiny
from v1sim import verification
from v1sim.config import WatchConfig
from v1sim.config_perturb import Scale, Silence, Stimulate
from v1sim.errors import InputError, SimulationError
from v1sim.model import Trial
from v1sim.simulation import run
from v1sim.simulation.build import build
from v1sim.simulation.kernel import backend
from v1sim.simulation.plan import make_plan
from v1sim.simulation.reference import integrate
from v1sim.simulation.run import run_trials
from v1sim.sources import open_network
from v1sim.stimulus.background import DRAWS, event_weight
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.given import GivenValues
from v1sim.stimulus.kinds.probabilities import Probabilities
from v1sim.stimulus.stimulus_file import SCALE
from v1sim.stimulus.trials import Schedule

N_TRIALS, N_STEPS = 2, 80
CHECKED = admitted(tiny_network())
NET = CHECKED.network
NEURONS = np.arange(NET.n_neurons, dtype=np.int32)


def drawn_values(n_trials=N_TRIALS, n_steps=N_STEPS, n_lgn=NET.lgn.size):
    """Numbers up to 0.5, a third of them 0."""
    rng = np.random.default_rng(2)
    values = rng.uniform(0, 0.5, (n_trials, n_steps, n_lgn)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = 0
    return values


def shown(values, *, analog=True):
    n_trials, n_steps, n_lgn = values.shape
    trials = tuple(
        Trial(i, float(n_steps * i), float(n_steps), (0.0, float(n_steps)), {})
        for i in range(n_trials)
    )
    kind = GivenValues if analog else FixedProbabilities
    return kind(n_lgn, Schedule(trials, tuple(range(n_trials))), values)


def simulate(stimulus, *, dynamics="training", threads=1, between_trials="reset", **plan):
    plan = {"background": "none", "seed": 1} | plan
    return run_trials(
        make_plan(CHECKED, dynamics=dynamics, **plan),
        stimulus,
        threads=threads,
        between_trials=between_trials,
        voltage_of=NEURONS,
        progress=lambda *_: None,
    )


def spike_array(output, shape):
    spike = np.zeros(shape, dtype=bool)
    spikes = output.spikes
    spike[spikes.trial, np.rint(spikes.time_ms).astype(int), spikes.neuron] = True
    return spike


@pytest.mark.parametrize(
    ("threads", "between_trials"), [(1, "reset"), (2, "reset"), (2, "rebuild"), (1, "gap")]
)
@pytest.mark.parametrize(
    ("dynamics", "precision"), [("training", "float64"), ("training_float32", "float32")]
)
def test_every_spike_is_the_references(dynamics, precision, threads, between_trials):
    """Recurrent spikes and a background at the same time, which are not multiplied."""
    values = drawn_values()
    draws = np.random.default_rng(3).integers(0, 4, (N_TRIALS, N_STEPS))
    output = simulate(
        shown(values),
        dynamics=dynamics,
        threads=threads,
        between_trials=between_trials,
        background="recorded",
        draws=draws,
    )
    expected = integrate(NET, values, draws / DRAWS, precision=precision)
    assert expected.spike.sum() > 500
    np.testing.assert_array_equal(spike_array(output, expected.spike.shape), expected.spike)
    voltage_mv = expected.voltage_mv(NET, NEURONS)
    np.testing.assert_allclose(output.voltage.v_mv, voltage_mv, rtol=0, atol=1e-4)
    assert not len(output.lgn_spikes)


def test_zeros_and_ones_act_as_spikes_do():
    values = (np.random.default_rng(4).random((N_TRIALS, N_STEPS, NET.lgn.size)) < 0.1) * 1.0
    values = values.astype(np.float32)
    numbers, spikes = (simulate(shown(values, analog=analog)) for analog in (True, False))
    assert len(spikes.spikes) > 100
    for column in ("trial", "neuron", "time_ms"):
        np.testing.assert_array_equal(
            getattr(numbers.spikes, column), getattr(spikes.spikes, column)
        )
    np.testing.assert_array_equal(numbers.voltage.v_mv, spikes.voltage.v_mv)
    assert len(spikes.lgn_spikes) == values.sum()


@pytest.mark.parametrize("dynamics", ["training", "training_float32"])
def test_events_of_a_device_are_not_multiplied(dynamics):
    """The Poisson generator sits outside NEST's table of sources."""
    nothing = np.zeros((N_TRIALS, N_STEPS, NET.lgn.size), dtype=np.float32)
    options = {"dynamics": dynamics, "background": "independent_poisson"}
    numbers = simulate(shown(nothing), **options)
    spikes = simulate(shown(nothing, analog=False), **options)
    assert np.ptp(numbers.voltage.v_mv) > 1
    np.testing.assert_array_equal(numbers.voltage.v_mv, spikes.voltage.v_mv)


def test_perturbations_act_on_the_weights_as_ever():
    values = drawn_values()
    silenced = simulate(shown(values), perturb=[Scale(kind="scale", projection="lgn", factor=0.0)])
    assert not len(silenced.spikes)
    assert np.ptp(silenced.voltage.v_mv, axis=1).max() == 0
    halved = simulate(shown(values), perturb=[Scale(kind="scale", projection="lgn", factor=0.5)])
    by_hand = simulate(shown(values / 2))
    np.testing.assert_array_equal(halved.spikes.neuron, by_hand.spikes.neuron)
    quiet = simulate(shown(values), perturb=[Silence(kind="silence", neurons=(3, 4))])
    assert not np.isin(quiet.spikes.neuron, (3, 4)).any()
    driven = simulate(
        shown(np.zeros_like(values)),
        perturb=[Stimulate(kind="stimulate", neurons=(5,), current_pa=500.0)],
    )
    assert driven.spikes.neuron[0] == 5


def test_a_source_given_spikes_sends_numbers_no_more():
    simulation = build(
        make_plan(CHECKED, background="none", seed=1, dynamics="training"),
        threads=1,
        voltage_of=NEURONS,
    )
    nest, _ = backend()
    lgn = simulation.populations["lgn"]
    simulation.native.give_values(int(lgn.first_id), 1, drawn_values()[0])
    none = np.empty(0, dtype=np.int64)
    simulation.native.give_spikes(int(lgn.first_id), NET.lgn.size, none, none)
    nest.Simulate(30.0)
    assert not len(simulation.native.take_spikes()[0])
    at_rest_mv = NET.cell_types.v_reset_mv[NET.neurons.cell_type]
    assert set(simulation.multimeter.events["V_m"]) == set(at_rest_mv)
    simulation.native.give_values(int(lgn.first_id), 31, drawn_values()[0])
    nest.Simulate(30.0)
    assert len(simulation.native.take_spikes()[0])


def test_glif_psc_takes_spikes_alone(monkeypatch):
    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(run, "build", never)
    with pytest.raises(InputError, match=r"simulation\.dynamics=training"):
        simulate(shown(drawn_values()), dynamics="glif_psc")


def write_stimulus(path, n_samples=2, largest=0.1):
    rng = np.random.default_rng(5)
    with h5py.File(path, "w") as file:
        values = rng.uniform(0, largest, (n_samples, 60, NET.lgn.size))
        file["spike_trains"] = values.astype(np.float32)
        file["labels"] = np.arange(n_samples, dtype=np.int32) % 2
        file["response_window"] = np.array([20, 60], dtype=np.int32)


CONFIG = """
network: tiny.h5
require: any
stimulus: {kind: probabilities, file: s.h5, input: analog}
background: mean
simulation: {dynamics: training, threads: 1}
watch: {fail_fast: true, fail_fast_ms: 50}
"""


def test_the_command(tmp_path):
    """What a run says of analog input: no spikes of the LGN, and no alarm about it."""
    write_tiny(tmp_path / "tiny.h5")
    write_stimulus(tmp_path / "s.h5")
    config = tmp_path / "run.yaml"
    config.write_text(CONFIG)
    done = v1sim("run", config, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["config"]["stimulus"]["input"] == "analog"
    assert report["results"]["lgn_mean_rate_hz"] is None
    assert report["results"]["mean_rate_hz"] > 1
    assert not [f for f in report["findings"] if f["check"].startswith("run.lgn")]
    (said,) = [note for note in report["notes"] if "LGN input is analog" in note]
    assert "divided by 1.3" in said
    assert "none are recorded" in said
    renewed = v1sim("report", "out", cwd=tmp_path)
    assert renewed.returncode == 0, renewed.stderr
    again = json.loads((tmp_path / "out" / "report.json").read_text())
    assert again["results"] == report["results"]
    for options in (["--dry-run"], ["--out", "other"]):
        done = v1sim("run", config, *options, "--set", "simulation.dynamics=glif_psc", cwd=tmp_path)
        assert_refused(done, 2, "stimulus.input: analog", "simulation.dynamics=training")
    assert not (tmp_path / "other").exists()


def test_a_silent_network_is_still_noticed():
    with pytest.raises(SimulationError, match="no neuron spiked in 50 ms, with analog LGN input"):
        run_trials(
            make_plan(CHECKED, background="none", seed=1, dynamics="training"),
            shown(drawn_values() * np.float32(1e-3)),
            threads=1,
            between_trials="reset",
            voltage_of=NEURONS,
            progress=lambda *_: None,
            watch=WatchConfig(fail_fast=True, fail_fast_ms=50),
        )


def test_verification_of_analog_input(tmp_path):
    """Truth of analog input, and groups of networks of other sizes beside it."""
    network = write_tiny(tmp_path / "net.h5")
    values = drawn_values(n_lgn=network.lgn.size)
    mean = np.full(values.shape[:2], event_weight("mean"))
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["input_spikes"] = values
        file["a/mean_background/z"] = integrate(network, values, mean).spike
        file["a/no_background/z"] = integrate(network, values, None).spike
        file["b/no_background/z"] = np.zeros((N_TRIALS, N_STEPS, 7), dtype=np.uint8)
        file["unnamed/z"] = np.zeros((N_TRIALS, N_STEPS, network.n_neurons), dtype=np.uint8)
    result = verification.verify_dynamics(
        *(tmp_path / "net.h5",),
        spikes=None,
        truth=tmp_path / "truth.h5",
        threads=2,
        progress=lambda *_: None,
    )
    assert result.proven
    assert result.input.endswith("truth.h5 (analog)")
    assert [group.group for group in result.groups] == ["a/mean_background", "a/no_background"]
    assert [a.name for a in result.groups[0].agreements][:2] == ["training", "training_float32"]
    assert "glif_psc" not in [a.name for a in result.groups[0].agreements]
    sizes, unnamed = result.left_out
    assert sizes.startswith("b/no_background: shape (2, 80, 7)")
    assert "nothing says what drove the background" in unnamed


@pytest.mark.parametrize("divide_by", [1.0, SCALE])
def test_the_trained_network_spikes_as_the_reference_does(shared_data, divide_by):
    folder = shared_data / "trained_a"
    network = open_network(folder / "net_A_trained.h5")
    samples = (0, 41)
    stimulus = Probabilities(
        kind="probabilities",
        file=folder / "stimuli_A.h5",
        samples=samples,
        divide_by=divide_by,
        input="analog",
    ).made_for(network)
    with h5py.File(folder / "stimuli_A.h5") as file:
        values = file["spike_trains"][list(samples)] / np.float32(divide_by)
    mean = np.full(values.shape[:2], event_weight("mean"))
    for dynamics, precision in (("training", "float64"), ("training_float32", "float32")):
        output = run_trials(
            make_plan(admitted(network), background="mean", seed=1, dynamics=dynamics),
            stimulus,
            threads=2,
            between_trials="reset",
            voltage_of=np.arange(50, dtype=np.int32),
            progress=lambda *_: None,
        )
        expected = integrate(network, values, mean, precision=precision)
        assert expected.spike.sum() > 500
        np.testing.assert_array_equal(spike_array(output, expected.spike.shape), expected.spike)
        voltage = expected.voltage_mv(network, np.arange(50))
        if precision == "float32":
            np.testing.assert_array_equal(output.voltage.v_mv, voltage)
        else:
            np.testing.assert_allclose(output.voltage.v_mv, voltage, rtol=0, atol=5e-5)
