"""Other time steps than training's: spikes of bare NEST, and what cannot be had is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from tests.behaviour.test_command_line import v1sim
from tests.cell_models import bare_nest_spikes, mixed_network
from tests.networks import admitted, tiny_network, with_parts, write_tiny
from v1sim import guard
from v1sim.errors import InputError, StimulusError
from v1sim.model import Trial
from v1sim.simulation.plan import make_plan
from v1sim.simulation.run import run_trials
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.given import GivenSpikes, GivenValues
from v1sim.stimulus.spikes import LgnSpikes, LgnSpikeTimes, draw_spikes, in_shorter_steps
from v1sim.stimulus.trials import Schedule

SEED, DURATION_MS = 11, 60.0


def show(n_lgn: int, n_trials: int = 1) -> FixedProbabilities:
    trials = tuple(
        Trial(i, i * DURATION_MS, DURATION_MS, (0.0, DURATION_MS), {}) for i in range(n_trials)
    )
    values = np.full((round(DURATION_MS), n_lgn), 0.05, dtype=np.float32)
    return FixedProbabilities(n_lgn, Schedule(trials, (0,) * n_trials), [values])


def in_steps(network, dt_ms, *, n_trials=1, between_trials="rebuild", background="none"):
    checked = guard.admit(network, guard.Policy(require="any", dt_ms=dt_ms))
    plan = make_plan(checked, background=background, seed=SEED, dynamics="nest", dt_ms=dt_ms)
    return run_trials(
        plan,
        show(network.lgn.size, n_trials),
        threads=2,
        between_trials=between_trials,
        voltage_of=np.array([0], dtype=np.int32),
        progress=lambda *_: None,
    )


@pytest.mark.parametrize("dt_ms", [0.1, 0.25, 1.0])
def test_spikes_are_those_of_bare_nest(dt_ms):
    network = mixed_network(delay_ms=0.7 if dt_ms == 0.1 else 0.75 if dt_ms == 0.25 else 1.0)
    output = in_steps(network, dt_ms)
    lgn = show(network.lgn.size).input(0, SEED, dt_ms)
    n_steps = round(DURATION_MS / dt_ms)
    expected = bare_nest_spikes(network, lgn.source, lgn.step, n_steps, dt_ms)
    step = np.rint(output.spikes.time_ms / dt_ms).astype(int)
    found = list(zip(step.tolist(), output.spikes.neuron.tolist(), strict=True))
    assert found == expected
    assert len(found) > 100
    assert output.voltage.v_mv.shape == (1, n_steps, 1)


@pytest.mark.parametrize("dt_ms", [0.1, 0.25])
def test_every_trial_starts_where_the_first_did(dt_ms):
    network = mixed_network(delay_ms=dt_ms * 5)
    fresh = in_steps(network, dt_ms, n_trials=2)
    waited = in_steps(network, dt_ms, n_trials=2, between_trials="gap")
    glif_alone = replace(tiny_network(), provenance=None)
    a = in_steps(glif_alone, dt_ms, n_trials=2, background="mean")
    b = in_steps(glif_alone, dt_ms, n_trials=2, background="mean", between_trials="reset")
    for one, other in ((fresh, waited), (a, b)):
        assert len(one.spikes) > 50
        for column in ("trial", "neuron", "time_ms"):
            np.testing.assert_array_equal(
                getattr(one.spikes, column), getattr(other.spikes, column)
            )


@pytest.mark.parametrize("background", ["mean", "shared_binomial", "independent_poisson"])
def test_the_background_drives_as_much_in_any_step(background):
    network = replace(tiny_network(), provenance=None)
    weak = with_parts(network, background_weight=network.background_weight * np.float32(0.5))
    mean_mv = [
        in_steps(weak, dt_ms, n_trials=10, background=background).voltage.v_mv.mean()
        for dt_ms in (1.0, 0.25)
    ]
    at_rest_mv = network.cell_types.e_l_mv[network.neurons.cell_type[0]]
    assert mean_mv[0] - at_rest_mv > 3.0
    assert mean_mv[1] - at_rest_mv == pytest.approx(mean_mv[0] - at_rest_mv, rel=0.15)


def test_delays_off_the_grid_are_refused():
    network = mixed_network(delay_ms=0.7)
    report = guard.examine(network, guard.Policy(require="any", dt_ms=0.25))
    (finding, *_) = [f for f in report.findings if f.check == "values.delay"]
    assert "no whole number of steps of 0.25 ms" in finding.message
    assert guard.examine(network, guard.Policy(require="any", dt_ms=0.1)).passed
    own = replace(network, step_ms=0.1)
    assert guard.examine(own, guard.Policy(require="any")).passed


@pytest.mark.parametrize("dynamics", ["training", "training_float32"])
def test_training_has_its_own_step_alone(dynamics):
    checked = admitted(tiny_network())
    with pytest.raises(InputError, match=r"steps of 1 ms, not 0\.25 ms"):
        make_plan(checked, background="mean", seed=1, dynamics=dynamics, dt_ms=0.25)
    assert make_plan(checked, background="mean", seed=1, dynamics=dynamics).dt_ms == 1.0


def test_the_step_of_a_plan_is_the_networks_own_unless_another_is_wanted():
    checked = admitted(replace(tiny_network(), step_ms=0.5, provenance=None))
    assert make_plan(checked, background="none", seed=1).dt_ms == 0.5
    assert make_plan(checked, background="none", seed=1, dt_ms=0.1).dt_ms == 0.1


def test_the_same_spikes_in_any_step_each_within_its_millisecond():
    shown = show(200)
    whole = shown.input(0, 3)
    for dt_ms, n in ((0.1, 10), (0.25, 4), (0.5, 2)):
        short = shown.input(0, 3, dt_ms)
        back = np.lexsort((short.source, short.step // n))
        np.testing.assert_array_equal(short.step[back] // n, whole.step)
        np.testing.assert_array_equal(short.source[back], whole.source)
        assert (np.diff(short.step) >= 0).all()
        place = np.bincount(short.step % n, minlength=n)
        expected = len(whole) / n
        assert (np.abs(place - expected) < 5 * np.sqrt(expected)).all()
        again = shown.input(0, 3, dt_ms)
        np.testing.assert_array_equal(again.step, short.step)
    with pytest.raises(StimulusError, match=r"0\.3 ms"):
        shown.input(0, 3, 0.3)


def test_a_certain_spike_stays_one():
    drawn = draw_spikes(np.ones((20, 3), dtype=np.float32), 1, 0)
    assert len(in_shorter_steps(drawn, 1.0, 0.1, 1, 0)) == 60


def test_given_spikes_keep_their_times():
    times = LgnSpikeTimes(np.array([3.0, 0.26, 2.9999999, 0.1, 0.1]), np.array([1, 2, 0, 4, 4]))
    schedule = show(5).schedule
    shown = GivenSpikes(5, schedule, [times])
    assert shown.input(0, 1).step.tolist() == [0, 0, 0, 3, 3]
    quarter = shown.input(0, 1, 0.25)
    assert quarter.step.tolist() == [0, 0, 1, 12, 12]
    assert quarter.source.tolist() == [4, 4, 2, 0, 1]
    assert shown.input(0, 1, 0.1).step.tolist() == [1, 1, 2, 30, 30]
    assert isinstance(quarter, LgnSpikes)


def test_numbers_have_the_step_that_they_are_given_in():
    shown = GivenValues(2, show(2).schedule, [np.ones((60, 2), dtype=np.float32)])
    assert shown.input(0, 1).shape == (60, 2)
    with pytest.raises(StimulusError, match=r"steps of 1 ms, the simulation takes 0\.25 ms"):
        shown.input(0, 1, 0.25)


def test_a_run_takes_the_step_from_its_configuration(tmp_path):
    write_tiny(tmp_path / "tiny.h5")
    (tmp_path / "run.yaml").write_text(
        "network: tiny.h5\nrequire: any\n"
        "stimulus: {kind: spontaneous, rate_hz: 40.0, duration_ms: 100.0, trials: 2}\n"
        "simulation: {dt_ms: 0.25, dynamics: glif_psc}\n"
    )
    done = v1sim("run", "run.yaml", "--out", "out", "--threads", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["simulation"]["dt_ms"] == 0.25
    assert report["config"]["simulation"]["dt_ms"] == 0.25
    with h5py.File(tmp_path / "out" / "spikes.h5") as file:
        stamps = file["spikes/v1/timestamps"][()]
    np.testing.assert_allclose(stamps / 0.25, np.rint(stamps / 0.25), atol=1e-6)
    assert (stamps % 1.0 > 0.1).any()
    for override, words in (
        ("simulation.dt_ms=0.3", "divided by a whole number"),
        ("simulation.dt_ms=2.0", "divided by a whole number"),
        ("simulation.dynamics=training", "steps of 1 ms, not 0.25 ms"),
    ):
        done = v1sim("run", "run.yaml", "--set", override, cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr
