"""What readers of SONATA and DPointNet files saw becomes findings, each under its own name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.networks import findings, tiny_network
from v1sim import guard
from v1sim.checks import dpointnet, sonata
from v1sim.checks.registry import registered_checks
from v1sim.model import Severity, SourceRemark
from v1sim.sources.dpointnet import remarks as dpointnet_remarks
from v1sim.sources.sonata import remarks as sonata_remarks

FAMILIES = {"sonata": (sonata, sonata_remarks), "dpointnet": (dpointnet, dpointnet_remarks)}
KINDS = {name: kind for _, remarks in FAMILIES.values() for name, kind in remarks.REMARKS.items()}


def noted(name: str) -> tuple[SourceRemark, ...]:
    _, module = FAMILIES[name.partition(".")[0]]
    remarks = module.Remarks()
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


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_remark_is_a_finding(name: str) -> None:
    network = replace(tiny_network(), remarks=noted(name))
    (finding,) = findings(network, name)
    assert finding.severity is KINDS[name].severity
    assert finding.where == "v1_v1_edges.h5, edges/v1_to_v1"
    assert finding.message.startswith("3 of 7 edges are odd")
    assert (finding.n_bad, finding.n_seen, finding.hint) == (3, 7, "mend them")
    assert finding.examples == ("row 2", "row 4", "row 5")


@pytest.mark.parametrize("name", KINDS)
def test_without_the_remark_there_is_no_finding(name: str) -> None:
    _, module = FAMILIES[name.partition(".")[0]]
    other = next(n for n in module.REMARKS if n != name)
    assert findings(replace(tiny_network(), remarks=noted(other)), name) == []
    assert findings(tiny_network(), name) == []


@pytest.mark.parametrize("name", ["sonata.fed_twice", "dpointnet.dead_cells"])
def test_errors_refuse_and_can_be_waived(name: str) -> None:
    network = replace(tiny_network(), remarks=noted(name))
    assert not guard.examine(network, guard.Policy(require="any")).passed
    waived = guard.Policy(require="any", waivers={name: "it is meant to be so"})
    assert guard.examine(network, waived).passed


@pytest.mark.parametrize("name", ["sonata.edge_group_index", "dpointnet.nsyns"])
def test_warnings_pass(name: str) -> None:
    network = replace(tiny_network(), remarks=noted(name))
    assert guard.examine(network, guard.Policy(require="any")).passed


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_of_remark_has_its_rule_and_calibration(family: str) -> None:
    checks, remarks = FAMILIES[family]
    assert set(checks.RULES) == set(remarks.REMARKS)
    for name, rule in checks.RULES.items():
        entry = registered_checks()[name]
        assert entry.function.__doc__ == rule.rule
        assert rule.rule.endswith(".")
        assert entry.calibration == rule.calibration
        assert entry.severity in Severity
