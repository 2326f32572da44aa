"""What DPointNet does in silence becomes findings, each under its own name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.networks import findings, tiny_network
from v1sim import guard
from v1sim.checks import dpointnet
from v1sim.checks.registry import registered_checks
from v1sim.model import Severity, SourceRemark
from v1sim.sources.dpointnet.remarks import REMARKS, Remarks


def noted(name: str) -> tuple[SourceRemark, ...]:
    remarks = Remarks()
    remarks.add(
        name,
        "v1_v1_edges.h5, edges/v1_to_v1",
        "3 of 7 edges are odd",
        hint="mend them",
        n=3,
        total=7,
        examples=("row 2", "row 4", "row 5"),
    )
    return remarks.all()


@pytest.mark.parametrize("name", REMARKS)
def test_every_kind_of_remark_is_a_finding(name: str) -> None:
    network = replace(tiny_network(), remarks=noted(name))
    (finding,) = findings(network, name)
    assert finding.severity is REMARKS[name].severity
    assert finding.where == "v1_v1_edges.h5, edges/v1_to_v1"
    assert finding.message.startswith("3 of 7 edges are odd")
    assert (finding.n_bad, finding.n_seen, finding.hint) == (3, 7, "mend them")
    assert finding.examples == ("row 2", "row 4", "row 5")


@pytest.mark.parametrize("name", REMARKS)
def test_without_the_remark_there_is_no_finding(name: str) -> None:
    other = next(n for n in REMARKS if n != name)
    assert findings(replace(tiny_network(), remarks=noted(other)), name) == []
    assert findings(tiny_network(), name) == []


def test_errors_refuse_and_can_be_waived() -> None:
    network = replace(tiny_network(), remarks=noted("dpointnet.dead_cells"))
    assert not guard.examine(network, guard.Policy(require="any")).passed
    waived = guard.Policy(
        require="any", waivers={"dpointnet.dead_cells": "they are meant to be silent"}
    )
    assert guard.examine(network, waived).passed


def test_warnings_pass() -> None:
    network = replace(tiny_network(), remarks=noted("dpointnet.nsyns"))
    assert guard.examine(network, guard.Policy(require="any")).passed


def test_every_kind_of_remark_has_its_rule_and_calibration() -> None:
    assert set(dpointnet.RULES) == set(REMARKS)
    for name, rule in dpointnet.RULES.items():
        entry = registered_checks()[name]
        assert entry.function.__doc__ == rule.rule
        assert rule.rule.endswith(".")
        assert entry.calibration == rule.calibration
        assert entry.severity in Severity
