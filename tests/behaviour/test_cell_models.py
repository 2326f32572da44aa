"""Cells of every model in one network: the spikes of bare NEST, and a start for every trial."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.cell_models import (
    MODELS,
    bare_nest_spikes,
    mixed_network,
    mixed_types,
    model_of,
    nest_parameters_by_hand,
)
from tests.networks import admitted, tiny_network
from v1sim import guard
from v1sim.cell_models import CELL_MODELS
from v1sim.errors import InputError
from v1sim.model import NetworkModel, Severity, Trial
from v1sim.simulation.kernel import backend
from v1sim.simulation.plan import make_plan
from v1sim.simulation.run import run_trials
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.trials import Schedule

SEED, N_STEPS = 11, 150
NET = mixed_network()


def show(n_trials: int = 1) -> FixedProbabilities:
    trials = tuple(
        Trial(i, i * float(N_STEPS), float(N_STEPS), (0.0, float(N_STEPS)), {})
        for i in range(n_trials)
    )
    values = np.full((N_STEPS, NET.lgn.size), 0.05, dtype=np.float32)
    return FixedProbabilities(NET.lgn.size, Schedule(trials, (0,) * n_trials), [values])


def simulate(network: NetworkModel, *, n_trials=1, between_trials="rebuild", threads=1):
    plan = make_plan(admitted(network), background="none", seed=SEED, dynamics="nest")
    return run_trials(
        plan,
        show(n_trials),
        threads=threads,
        between_trials=between_trials,
        voltage_of=np.array([0], dtype=np.int32),
        progress=lambda *_: None,
    )


def spikes_of(output) -> list[tuple[int, int]]:
    table = output.spikes
    step = np.rint(table.time_ms).astype(int)
    return list(zip(step.tolist(), table.neuron.tolist(), strict=True))


def test_the_test_network_has_every_model():
    assert set(MODELS) == set(CELL_MODELS)


@pytest.mark.parametrize("native", [True, False], ids=["with the native module", "PyNEST alone"])
def test_spikes_are_those_of_bare_nest(native, monkeypatch):
    if not native:
        monkeypatch.setattr("v1sim.simulation.build.native_or_none", lambda: None)
    output = simulate(NET, threads=2)
    lgn = show().input(0, SEED)
    expected = bare_nest_spikes(NET, lgn.source, lgn.step, N_STEPS)
    assert spikes_of(output) == expected
    of_model = np.bincount(model_of(NET)[output.spikes.neuron], minlength=len(MODELS))
    assert (of_model > 20).all(), dict(zip(MODELS, of_model, strict=True))
    assert [p.n_synapses for p in output.readback] == [
        len(NET.tables["recurrent"]),
        len(NET.tables["lgn"]),
    ]


def test_every_trial_starts_where_the_first_did():
    fresh = simulate(NET, n_trials=3)
    waited = simulate(NET, n_trials=3, between_trials="gap")
    for column in ("trial", "neuron", "time_ms"):
        np.testing.assert_array_equal(getattr(fresh.spikes, column), getattr(waited.spikes, column))
    assert waited.gap_ms > 0


def test_levels_of_glif_differ_by_their_switches():
    """Level 5 with moving thresholds, and level 1 without after-spike currents."""
    levels = {
        "glif_psc": {
            "spike_dependent_threshold": 1.0,
            "adapting_threshold": 1.0,
            "th_spike_add_mv": 3.0,
            "th_spike_decay_per_ms": 0.02,
            "th_voltage_index_per_ms": 0.005,
            "th_voltage_decay_per_ms": 0.03,
        },
        "glif_psc_double_alpha": {"after_spike_currents": 0.0},
    }
    network = mixed_network(types=mixed_types(**levels))
    output = simulate(network)
    lgn = show().input(0, SEED)
    expected = bare_nest_spikes(network, lgn.source, lgn.step, N_STEPS, **levels)
    assert spikes_of(output) == expected
    assert expected != bare_nest_spikes(NET, lgn.source, lgn.step, N_STEPS)
    fresh = simulate(network, n_trials=2)
    waited = simulate(network, n_trials=2, between_trials="gap")
    np.testing.assert_array_equal(fresh.spikes.neuron, waited.spikes.neuron)
    np.testing.assert_array_equal(fresh.spikes.time_ms, waited.spikes.time_ms)


@pytest.mark.parametrize("name", MODELS)
def test_a_current_of_weight_one_has_the_peak_that_checks_expect(name):
    """What NEST's neuron does with one spike, receptor by receptor."""
    types, t = mixed_types(), 2 * MODELS.index(name)
    peak_mv = types.receptors.time_courses.peak_psp_mv(types.c_m_pf, types.g_ns)[t]
    at_rest = {"v_start_mv": float(types.e_l_mv[t]), "v_th_mv": 100.0}
    nest, _ = backend()
    for receptor in range(int(types.n_receptors[t])):
        nest.ResetKernel()
        nest.resolution = 0.01
        neuron = nest.Create(name, params=nest_parameters_by_hand(name, **at_rest))
        source = nest.Create("spike_generator", params={"spike_times": [1.0]})
        meter = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": 0.01})
        has_ports = CELL_MODELS[name].has_ports
        spec = {
            "weight": -1.0 if not has_ports and receptor == 1 else 1.0,
            "delay": 0.01,
            "receptor_type": receptor + 1 if has_ports else 0,
        }
        nest.Connect(source, neuron, syn_spec=spec)
        nest.Connect(meter, neuron)
        nest.Simulate(80.0)
        moved = np.asarray(meter.events["V_m"]) - types.e_l_mv[t]
        assert np.abs(moved).max() == pytest.approx(peak_mv[receptor], rel=2e-3)


def test_the_guards_judge_what_they_can():
    report = guard.examine(NET, guard.Policy(require="any"))
    assert [f for f in report.findings if f.severity is Severity.ERROR] == []
    assert any(f.check == "guard.left_out" for f in report.findings)
    broken = mixed_types(iaf_psc_alpha={"c_m_pf": np.nan})
    report = guard.examine(replace(NET, cell_types=broken), guard.Policy(require="any"))
    (finding,) = [f for f in report.findings if f.check == "values.finite"]
    assert finding.n_bad == 2
    broken = mixed_types(iaf_psc_alpha={"tau_syn_ms": [2.0, np.nan]})
    report = guard.examine(replace(NET, cell_types=broken), guard.Policy(require="any"))
    (finding,) = [f for f in report.findings if f.check == "values.finite"]
    assert (finding.where, finding.n_bad) == ("cell_types.tau_syn_ms", 2)


@pytest.mark.parametrize("dynamics", ["training", "training_float32", "glif_psc"])
def test_other_dynamics_refuse_these_models_by_name(dynamics):
    with pytest.raises(InputError, match="iaf_psc_alpha"):
        make_plan(admitted(NET), background="none", seed=1, dynamics=dynamics)


def test_models_outside_the_list_are_refused_by_name():
    with pytest.raises(InputError, match="'hh_psc_alpha' cannot be built"):
        replace(mixed_types(), model=("hh_psc_alpha", *MODELS[1:]))


def test_glif_psc_is_the_nest_model_of_its_types():
    network = tiny_network()
    spikes = [
        run_trials(
            make_plan(admitted(network), background="mean", seed=SEED, dynamics=dynamics),
            show(),
            threads=1,
            between_trials="rebuild",
            voltage_of=np.array([], dtype=np.int32),
            progress=lambda *_: None,
        ).spikes
        for dynamics in ("glif_psc", "nest")
    ]
    np.testing.assert_array_equal(spikes[0].neuron, spikes[1].neuron)
    np.testing.assert_array_equal(spikes[0].time_ms, spikes[1].time_ms)
