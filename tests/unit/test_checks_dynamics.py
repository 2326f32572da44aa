"""Which dynamics a network was trained in, and which it is run in: a warning, or an error."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.networks import admitted, sealed, tiny_network
from v1sim import guard
from v1sim.config import RunConfig
from v1sim.errors import GuardRefusal
from v1sim.inputs.protocol import policy_of
from v1sim.model import Severity, TrainingDynamics
from v1sim.simulation.from_config import configured_plan
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.trials import Schedule

UNKNOWN = sealed(tiny_network(), kind="constructed")
KNOWN = sealed(
    replace(tiny_network(), dynamics=TrainingDynamics("hard", 1.0, "dpointnet")), kind="constructed"
)


def policy(dynamics, require="any"):
    config = RunConfig.model_validate(
        {
            "require": "any",
            "require_dynamics": require,
            "stimulus": {"kind": "drifting_gratings"},
            "simulation": {"dynamics": dynamics},
        }
    )
    return policy_of(config), config


def found(network, *asked):
    report = guard.examine(network, policy(*asked)[0])
    return [f for f in report.findings if f.check.startswith("dynamics.")], report


@pytest.mark.parametrize("dynamics", ["auto", "training", "training_single", "training_float32"])
@pytest.mark.parametrize("require", ["any", "own"])
def test_own_dynamics_are_nothing_to_speak_of(dynamics, require):
    assert not found(KNOWN, dynamics, require)[0]


@pytest.mark.parametrize("dynamics", ["glif_psc", "nest"])
def test_other_dynamics_are_a_warning_that_says_what_they_cost(dynamics):
    (finding,), report = found(KNOWN, dynamics)
    assert (finding.check, finding.severity) == ("dynamics.other", Severity.WARNING)
    assert (
        f"dpointnet, hard reset, steps of 1 ms) than it is run in ({dynamics})" in finding.message
    )
    assert "204 spikes for 289" in finding.message
    assert report.passed


def test_other_dynamics_are_an_error_where_own_ones_are_required():
    (finding,), report = found(KNOWN, "glif_psc", "own")
    assert (finding.check, finding.severity) == ("dynamics.required", Severity.ERROR)
    assert not report.passed
    with pytest.raises(GuardRefusal):
        guard.admit(KNOWN, policy("glif_psc", "own")[0])


def test_a_file_that_names_none_is_not_judged_unless_own_ones_are_required():
    assert not found(UNKNOWN, "glif_psc")[0]
    (finding,), _ = found(UNKNOWN, "training", "own")
    assert finding.check == "dynamics.required"
    assert "does not say" in finding.message


def test_a_check_without_a_run_says_nothing():
    report = guard.examine(KNOWN, guard.Policy(require="any"))
    assert not [f for f in report.findings if f.check.startswith("dynamics.")]


@pytest.mark.parametrize(("network", "dynamics"), [(KNOWN, "training"), (UNKNOWN, "glif_psc")])
def test_auto_is_a_networks_own(network, dynamics):
    stimulus = FixedProbabilities(network.lgn.size, Schedule((), ()), [])
    plan = configured_plan(policy("auto")[1], admitted(network), stimulus)
    assert plan.dynamics == dynamics
    assert plan.trained == (network.dynamics or TrainingDynamics())
