"""Saved states: a run that goes on is the rest of the whole run, spike for spike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from tests.behaviour.test_command_line import assert_refused, v1sim
from tests.networks import admitted, tiny_network, write_tiny
from v1sim.errors import InputError
from v1sim.model import Trial
from v1sim.simulation.plan import make_plan
from v1sim.simulation.run import run_trials
from v1sim.simulation.state import read_state, write_state
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.trials import Schedule

CHECKED = admitted(tiny_network())
NET = CHECKED.network
WHOLE, FIRST = 160, 70
PROBABILITY = np.random.default_rng(1).uniform(0, 0.12, (WHOLE, NET.lgn.size)).astype(np.float32)
DRAWS = np.random.default_rng(2).integers(0, 4, (2, WHOLE))


def shown(part: slice, n_trials=1) -> FixedProbabilities:
    values = PROBABILITY[part].copy()
    length = float(len(values))
    trials = tuple(Trial(i, i * length, length, (0.0, length), {}) for i in range(n_trials))
    return FixedProbabilities(NET.lgn.size, Schedule(trials, (0,) * n_trials), [values])


def simulated(part, *, dynamics="training", background="none", threads=1, n_trials=1, **options):
    draws = DRAWS[:, part] if background == "recorded" else None
    plan = make_plan(CHECKED, background=background, seed=3, dynamics=dynamics, draws=draws)
    return run_trials(
        plan,
        shown(part, n_trials),
        threads=threads,
        between_trials="reset",
        voltage_of=np.array([0, 5], dtype=np.int32),
        progress=lambda *_: None,
        **options,
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "background", ["none", "mean", "shared_binomial", "independent_poisson", "recorded"]
)
@pytest.mark.parametrize("dynamics", ["training", "training_single"])
def test_a_run_that_goes_on_is_the_rest_of_the_whole_run(tmp_path, dynamics, background, threads):
    options = {"dynamics": dynamics, "background": background}
    whole = simulated(slice(0, WHOLE), **options)
    first = simulated(slice(0, FIRST), save_state=True, **options)
    write_state(tmp_path / "state.npz", first.state)
    rest = simulated(
        slice(FIRST, WHOLE),
        threads=threads,
        start=read_state(tmp_path / "state.npz"),
        **options,
    )
    later = whole.spikes.time_ms >= FIRST
    assert later.sum() > 100
    order = np.lexsort((rest.spikes.neuron, rest.spikes.time_ms))
    np.testing.assert_array_equal(rest.spikes.neuron[order], whole.spikes.neuron[later])
    np.testing.assert_array_equal(rest.spikes.time_ms[order] + FIRST, whole.spikes.time_ms[later])
    equal = whole.voltage.v_mv[:, FIRST:]
    if threads == 1:
        np.testing.assert_array_equal(rest.voltage.v_mv, equal)
    else:  # sums of other threads
        np.testing.assert_allclose(rest.voltage.v_mv, equal, atol=1e-4)


def test_every_trial_starts_from_the_state():
    first = simulated(slice(0, FIRST), background="mean", save_state=True)
    values = slice(FIRST, WHOLE)
    both = simulated(values, background="mean", n_trials=2, start=first.state)
    alone = simulated(values, background="mean", start=first.state)
    of_first = both.spikes.trial == 0
    np.testing.assert_array_equal(both.spikes.neuron[of_first], alone.spikes.neuron)
    np.testing.assert_array_equal(both.voltage.v_mv[0], alone.voltage.v_mv[0])
    assert both.voltage.v_mv[1, 0, 0] == pytest.approx(both.voltage.v_mv[0, 0, 0], abs=1e-9)


def test_a_chain_of_states():
    whole = simulated(slice(0, WHOLE), background="shared_binomial")
    state, spikes = None, []
    for begin, end in ((0, 50), (50, 70), (70, WHOLE)):
        output = simulated(
            slice(begin, end), background="shared_binomial", start=state, save_state=True
        )
        spikes.append(output.spikes.time_ms + begin)
        state = output.state
    np.testing.assert_array_equal(np.concatenate(spikes), whole.spikes.time_ms)
    assert state.n_steps == WHOLE


def test_states_of_something_else_are_refused(tmp_path):
    saved = simulated(slice(0, 20), save_state=True).state
    for wrong, says in (
        (replace(saved, network_sha256="0" * 64), "another network"),
        (replace(saved, dynamics="training_single"), "another dynamics"),
        (replace(saved, dt_ms=0.5), "another time step"),
        (replace(saved, state=saved.state[:-1]), "another number of neurons"),
    ):
        with pytest.raises(InputError, match=says):
            simulated(slice(0, 20), start=wrong)
    with pytest.raises(InputError, match="cannot be saved"):
        simulated(slice(0, 20), dynamics="glif_psc", save_state=True)
    path = tmp_path / "state.npz"
    with pytest.raises(InputError, match="no such file"):
        read_state(path)
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="cannot be read"):
        read_state(path)
    write_state(path, replace(saved, state=np.full_like(saved.state, np.nan)))
    with pytest.raises(InputError, match="no numbers"):
        read_state(path)


def test_the_command(tmp_path):
    write_tiny(tmp_path / "tiny.h5")
    config = {
        "network": "tiny.h5",
        "require": "any",
        "stimulus": {"kind": "spontaneous", "duration_ms": 200, "trials": 1},
        "background": "mean",
        "simulation": {"dynamics": "training", "threads": 1},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    saves = ["--save-state", "state.npz"]
    done = v1sim("run", "run.yaml", "--out", "first", *saves, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_state(tmp_path / "state.npz").n_steps == 200
    goes_on = ["--set", "simulation.warm_start=state.npz"]
    done = v1sim("run", "run.yaml", "--out", "second", *goes_on, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    other = [*goes_on, "--set", "simulation.dynamics=glif_psc"]
    assert_refused(
        v1sim("run", "run.yaml", "--out", "third", *other, cwd=tmp_path), 2, "cannot be saved"
    )
    nowhere = ["--save-state", "nowhere/state.npz"]
    done = v1sim("run", "run.yaml", "--out", "fourth", *nowhere, cwd=tmp_path)
    assert_refused(done, 2, "cannot be written")
