"""Perturbations on NEST: what is silenced is silent, what is scaled is scaled, and it is said."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import admitted, tiny_lgn_cells, tiny_network
from v1sim.config_perturb import Scale, Silence, Stimulate
from v1sim.errors import InputError
from v1sim.simulation.native.library import native_or_none
from v1sim.simulation.plan import make_plan
from v1sim.simulation.run import run_trials
from v1sim.stimulus.gratings import Grating, GratingStimulus

NET = tiny_network()
CHECKED = admitted(NET)
EXC = "e23"
PROJECTIONS = ("recurrent", "lgn", "background")


def plan_of(*perturb, dynamics="glif_psc", background="mean"):
    return make_plan(CHECKED, background=background, seed=3, dynamics=dynamics, perturb=perturb)


def counts(*perturb, dynamics="glif_psc", background="mean"):
    """Spikes of each neuron in one trial of 300 ms."""
    shown = GratingStimulus(tiny_lgn_cells(), [Grating(0.0, grey_ms=50, grating_ms=250)], repeats=1)
    output = run_trials(
        plan_of(*perturb, dynamics=dynamics, background=background),
        shown,
        threads=1,
        between_trials="rebuild",
        voltage_of=np.empty(0, np.int32),
        progress=lambda *_: None,
    )
    return np.bincount(output.spikes.neuron, minlength=NET.n_neurons)


def weights(plan, label):
    (projection,) = [p for p in plan.projections if p.label == label]
    return np.concatenate([block.weight_pa for block in projection.blocks(size=97)])


def members(name):
    classes = plan_of().classes
    return classes.of_neuron == classes.names.index(name)


def needs(dynamics):
    if dynamics != "glif_psc" and native_or_none() is None:
        pytest.skip("no NEST module")


@pytest.mark.parametrize("dynamics", ["glif_psc", "training", "training_float32"])
def test_silenced_neurons_are_silent_and_others_are_not(dynamics):
    needs(dynamics)
    before = counts(dynamics=dynamics)
    after = counts(Silence(kind="silence", neurons=(EXC, 59)), dynamics=dynamics)
    silenced = members(EXC)
    silenced[59] = True
    assert before[silenced].sum() > 0
    assert after[silenced].sum() == 0
    assert after[~silenced].sum() > 0


@pytest.mark.parametrize("dynamics", ["glif_psc", "training"])
def test_stimulated_neurons_fire_more_and_inhibited_ones_less(dynamics):
    needs(dynamics)
    target = members(EXC)
    before = counts(dynamics=dynamics)[target].sum()
    more = Stimulate(kind="stimulate", neurons=(EXC,), current_pa=200.0)
    less = Stimulate(kind="stimulate", neurons=(EXC,), current_pa=-200.0)
    assert counts(more, dynamics=dynamics)[target].sum() > 1.5 * before
    assert counts(less, dynamics=dynamics)[target].sum() < 0.5 * before


def test_stimulation_is_the_current_that_it_says():
    """Alone, it holds the membrane where the same current through g does."""
    current_pa, neuron = 40.0, 5
    silent = [Scale(kind="scale", projection=label, factor=0.0) for label in PROJECTIONS]
    plan = plan_of(*silent, Stimulate(kind="stimulate", neurons=(neuron,), current_pa=current_pa))
    shown = GratingStimulus(tiny_lgn_cells(), [Grating(0.0, grey_ms=0, grating_ms=400)], repeats=1)
    output = run_trials(
        plan,
        shown,
        threads=1,
        between_trials="rebuild",
        voltage_of=np.array([neuron], np.int32),
        progress=lambda *_: None,
    )
    row = NET.neurons.cell_type[neuron]
    expected_mv = current_pa / NET.cell_types.g_ns[row]
    reached_mv = output.voltage.v_mv[0, -1, 0] - NET.cell_types.e_l_mv[row]
    assert len(output.spikes) == 0
    assert reached_mv == pytest.approx(expected_mv, rel=0.01)


def test_scaling_is_of_what_is_named_and_nothing_else():
    before = weights(plan_of(), "recurrent")
    table = NET.tables["recurrent"]
    pre, post = members("i4Sst")[table.pre], members(EXC)[table.post]
    both = Scale(kind="scale", projection="recurrent", factor=0.5, pre=("i4Sst",), post=(EXC,))
    after = weights(plan_of(both), "recurrent")
    np.testing.assert_array_equal(after, np.where(pre & post, before * 0.5, before))
    assert (pre & post).any()
    by_receptor = Scale(kind="scale", projection="recurrent", factor=3.0, receptor="inh_to_exc")
    after = weights(plan_of(by_receptor), "recurrent")
    np.testing.assert_array_equal(after, np.where(table.receptor == 1, before * 3, before))
    np.testing.assert_array_equal(weights(plan_of(both), "lgn"), weights(plan_of(), "lgn"))


def test_scales_come_one_after_the_other_and_files_stay_as_they_are():
    stored = NET.tables["recurrent"].weight.copy()
    before = weights(plan_of(), "recurrent")
    twice = [Scale(kind="scale", projection="recurrent", factor=f) for f in (2.0, 0.25)]
    np.testing.assert_array_equal(weights(plan_of(*twice), "recurrent"), before * 2.0 * 0.25)
    np.testing.assert_array_equal(NET.tables["recurrent"].weight, stored)


def test_lgn_cells_are_named_by_index():
    table = NET.tables["lgn"]
    off = Scale(kind="scale", projection="lgn", factor=0.0, pre=(0, 7))
    after = weights(plan_of(off), "lgn")
    np.testing.assert_array_equal(after == 0, np.isin(table.pre, [0, 7]))
    with pytest.raises(InputError, match="no class"):
        plan_of(Scale(kind="scale", projection="lgn", factor=0.0, pre=(EXC,)))


@pytest.mark.parametrize(
    ("perturbation", "match"),
    [
        (Silence(kind="silence", neurons=("e99",)), "no class 'e99'.*\n.*e23"),
        (Silence(kind="silence", neurons=(60,)), "no index 60.*\n.*0 to 59"),
        (Scale(kind="scale", projection="recurrent", factor=1.0, post=("x",)), "perturb.0.post"),
    ],
)
def test_what_is_not_there_is_refused(perturbation, match):
    with pytest.raises(InputError, match=match):
        plan_of(perturbation)


def test_no_stimulation_in_float32():
    with pytest.raises(InputError, match="training_float32"):
        plan_of(
            Stimulate(kind="stimulate", neurons=(EXC,), current_pa=1.0),
            dynamics="training_float32",
        )
