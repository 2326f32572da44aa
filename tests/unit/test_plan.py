"""A plan is made of what passed the checks, and of nothing else."""

from __future__ import annotations

import pytest

from tests.networks import tiny_network
from v1sim.errors import NetworkFileError
from v1sim.guard import Policy, admit
from v1sim.simulation.plan import make_plan


def test_what_was_changed_after_the_checks_is_not_built():
    checked = admit(tiny_network(), Policy("constructed"))
    weight = checked.network.tables["recurrent"].weight
    weight.setflags(write=True)
    weight[3] *= 1.5
    with pytest.raises(NetworkFileError, match="no longer the one that passed"):
        make_plan(checked, background="none", seed=1)
