"""The gate: what it admits, what it refuses, and what no policy gets past."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.networks import damaged, sealed, tiny_network, with_parts
from tests.unit.test_page import part
from tests.unit.test_sources_provenance import permuted
from v1sim.checks import registry
from v1sim.documents.check import CheckDocument
from v1sim.errors import GuardRefusal, NetworkFileError
from v1sim.guard import CheckedNetwork, Policy, admit, examine
from v1sim.model import CheckReport, NetworkModel, Severity, SynapseTable, Verdict
from v1sim.report.terminal import check_report
from v1sim.sources import open_network
from v1sim.sources.column import build_column
from v1sim.sources.hdf5 import write_network
from v1sim.verdict import EVIDENCE

NET = tiny_network()
TRAINED = tiny_network(zeros=0.2)
N_SYNAPSES = len(NET.tables["recurrent"])


def unstamped(network: NetworkModel) -> NetworkModel:
    return replace(network, provenance=None)


def blocking(report: CheckReport) -> set[str]:
    return {finding.check for finding in report.blocking}


def test_only_the_guard_makes_a_checked_network():
    report = examine(NET, Policy("constructed"))
    for make in (
        lambda: CheckedNetwork(NET, report),
        lambda: CheckedNetwork(NET, report, object()),
        lambda: replace(admit(NET, Policy("constructed")), network=TRAINED),
    ):
        with pytest.raises(TypeError, match=r"guard\.admit"):
            make()
    checked = admit(NET, Policy("constructed"))
    assert checked.network is NET
    assert checked.report.passed


@pytest.mark.parametrize(
    ("kind", "require", "passes"),
    [
        ("trained", "trained", True),
        ("trained", "constructed", False),
        ("trained", "any", True),
        ("constructed", "trained", False),
        ("constructed", "constructed", True),
        ("constructed", "any", True),
        ("untrained", "trained", False),
        ("untrained", "constructed", False),
        ("untrained", "any", False),
        ("mixed", "trained", False),
        ("mixed", "any", False),
    ],
)
@pytest.mark.parametrize("strength", ["proof", "evidence"])
def test_what_provenance_proves(kind, require, passes, strength):
    network = sealed(unstamped(NET), kind=kind)
    report = examine(network, Policy(require, strength))
    assert (report.verdict, report.proof) == (Verdict(kind), "provenance")
    assert report.passed is passes
    assert blocking(report) == (set() if passes else {"guard.required"})


@pytest.mark.parametrize(
    ("network", "require", "strength", "passes"),
    [
        (TRAINED, "trained", "evidence", True),
        (TRAINED, "trained", "proof", False),
        (TRAINED, "constructed", "evidence", False),
        (NET, "trained", "evidence", False),
        (NET, "constructed", "evidence", False),
        (NET, "any", "evidence", True),
        (NET, "any", "proof", False),
    ],
)
def test_what_the_weights_alone_show(network, require, strength, passes):
    report = examine(unstamped(network), Policy(require, strength))
    trained = network is TRAINED
    assert report.verdict is (Verdict.TRAINED if trained else Verdict.UNDETERMINED)
    assert report.proof == ("evidence" if trained else None)
    assert report.passed is passes


def test_undetermined_weights_name_the_commands_that_settle_it():
    with pytest.raises(GuardRefusal) as caught:
        admit(unstamped(NET), Policy())
    assert caught.value.exit_code == 1
    for words in ("--checkpoint", "--baseline", "v1sim convert"):
        assert words in caught.value.report.blocking[0].hint


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("trained", True),
        ("few_steps", False),
        ("untrained", False),
        ("fallback", False),
    ],
)
def test_reference_networks(training, name, passes):
    network = training.open(name)
    report = examine(network, Policy())
    assert report.passed is passes
    expected = {"trained": set(), "fallback": {"guard.required", "units.psp"}}
    assert blocking(report) >= expected.get(name, {"guard.required"})
    if name != "fallback":
        assert blocking(report) <= {"guard.required"}
    assert report.groups["recurrent"]["n"] == len(network.tables["recurrent"])


def test_a_pass_by_the_file_alone_says_what_the_file_cannot_show(training):
    network, untrained = training.open("trained"), training.open("untrained")
    for lgn in (network.tables["lgn"], untrained.tables["lgn"]):
        report = examine(with_parts(network, lgn=lgn), Policy())
        assert report.passed
        (finding,) = [f for f in report.findings if f.check == EVIDENCE]
        assert ("whether input weights are trained" in finding.message) is (
            lgn is untrained.tables["lgn"]
        )
        for words in ("readout groups", "which checkpoint", "what was learned"):
            assert words in finding.message
        assert "--checkpoint" in finding.hint
    assert report.arrays["input/weights"].verdict is Verdict.UNDETERMINED
    assert "look alike" in report.arrays["input/weights"].why
    screen = Console(width=1000, file=io.StringIO())
    screen.print(check_report(report))
    shown = screen.file.getvalue()
    assert finding.message in shown
    assert "input/weights: undetermined" in shown
    proven = examine(network, Policy(baseline=training.files["untrained"]))
    assert EVIDENCE not in {f.check for f in proven.findings}


def test_weights_drawn_without_cell_types_are_no_damage():
    """Shuffled weights look like them, but then zeros are no evidence either."""
    rng = np.random.default_rng(5)
    column = build_column(400, seed=6)
    table = column.tables["recurrent"]
    size = rng.lognormal(-2, 0.5, len(table)).astype(np.float32)
    weight = np.where(table.receptor % 2, -size, size)
    plain = damaged(column, "recurrent", weight=weight)
    report = examine(plain, Policy("any"))
    assert report.passed
    assert "patterns.class_pairs" in {f.check for f in report.findings}
    # Uneven zeros, as training leaves them, show that weights are in place; even ones do not.
    eager = rng.uniform(0.0, 0.4, column.n_neurons)[table.post]
    for share, trained in ((eager, True), (0.2, False)):
        zeros = damaged(plain, "recurrent", weight=weight * (rng.random(len(table)) >= share))
        report = examine(zeros, Policy())
        assert report.verdict is (Verdict.TRAINED if trained else Verdict.UNDETERMINED)
        assert report.passed is trained


def test_an_edited_array_is_named_and_its_provenance_proves_nothing():
    weight = NET.tables["recurrent"].weight * np.float32(1.001)
    edited = replace(damaged(NET, "recurrent", weight=weight), provenance=NET.provenance)
    report = examine(edited, Policy("any"))
    (finding,) = report.blocking
    assert (finding.check, finding.where) == ("provenance.digests", "recurrent.weight")
    assert report.verdict is Verdict.UNDETERMINED
    stolen = replace(TRAINED, provenance=NET.provenance)
    assert "provenance.digests" in blocking(examine(stolen, Policy("any")))


def test_edited_zeros_are_no_evidence_beside_a_broken_provenance():
    stolen = replace(TRAINED, provenance=sealed(unstamped(NET), kind="trained").provenance)
    assert examine(stolen, Policy()).verdict is Verdict.UNDETERMINED


def test_a_waiver_covers_its_check_only_and_stays_in_the_report():
    weight = -NET.tables["recurrent"].weight
    network = damaged(NET, "recurrent", weight=weight)
    policy = Policy("any", waivers={"values.weight_sign": "a test"})
    report = examine(network, policy)
    assert report.passed
    assert dict(report.waived) == {"values.weight_sign": "a test"}
    assert "values.weight_sign" in {finding.check for finding in report.findings}
    assert not examine(network, replace(policy, waivers={"values.delay": "another"})).passed


def test_untrained_weights_can_be_waived_by_name():
    network = sealed(unstamped(NET), kind="untrained")
    report = examine(network, Policy(waivers={"guard.required": "the untrained twin"}))
    assert report.passed
    assert report.verdict is Verdict.UNTRAINED


@pytest.mark.parametrize(
    "name", ["values.fnite", "values.finite", "structure.index_range", "guard.crash"]
)
def test_waivers_that_do_not_work_are_errors(name):
    report = examine(NET, Policy("any", waivers={name: "because"}))
    assert blocking(report) == {"guard.waiver"}
    assert name not in report.waived


@pytest.mark.parametrize("name", ["structure.duplicates", "values.finite"])
def test_a_check_that_crashes_refuses_like_one_that_fails(monkeypatch, name):
    """A waiver of the check, by its name, covers its crash: where a waiver of it is possible."""

    def crash(_):
        raise RuntimeError("broken")
        yield

    checks = dict(registry.registered_checks())
    monkeypatch.setitem(registry._CHECKS, name, replace(checks[name], function=crash))
    report = examine(NET, Policy("any"))
    assert blocking(report) == {"guard.crash"}
    waivable = checks[name].waivable
    hint = report.blocking[0].hint
    assert (f"--waive {name}=" if waivable else "no waiver goes on without it") in hint
    assert blocking(examine(NET, Policy("any", waivers={"guard.crash": "because"}))) == {
        "guard.crash",
        "guard.waiver",
    }
    waived = examine(NET, Policy("any", waivers={name: "because"}))
    assert waived.passed is waivable
    if waivable:
        assert waived.doubts == (f"Errors that were found are waived: {name}.",)
        shown = CheckDocument.of_report(waived)
        page = part("findings(found, waived, [])")(found=shown.findings, waived=shown.waived)
        assert "waived: because" in page


@pytest.mark.parametrize("tables", [("recurrent",), ("lgn",), ("recurrent", "lgn")])
@pytest.mark.parametrize("zeros", [0.0, 0.2])
def test_no_check_says_anything_of_a_table_without_synapses(tables, zeros, tmp_path):
    """Every check is silent on it, but for the one whose waiver lets such a network run."""
    full = tiny_network(zeros=zeros)
    network = with_parts(full, provenance=None, **dict.fromkeys(tables, SynapseTable.empty()))
    baseline = tmp_path / "empty.h5"
    write_network(network, baseline)
    waived = {"structure.no_synapses": "a control without them"}
    for policy in (Policy("any", waivers=waived), Policy("any", "evidence", waived, 0.5)):
        for other in (None, baseline):
            report = examine(network, replace(policy, baseline=other))
            about = {f.check for f in report.findings if f.severity is not Severity.INFO}
            assert "structure.no_synapses" in about
            assert not any("crash" in check for check in about)
            for finding in report.findings:
                if finding.check not in ("structure.no_synapses", "training.zeros"):
                    assert not finding.where.startswith(tuple(tables)), finding
    report = examine(network, Policy("any", waivers=waived))
    assert report.passed
    assert not examine(network, Policy("any")).passed


def test_checks_left_out_are_said():
    network = damaged(NET, "recurrent", pre=NET.tables["recurrent"].pre + 1000)
    report = examine(network, Policy("any"))
    left_out = {f.where for f in report.findings if f.check == "guard.skipped"}
    assert "units.psp" in left_out
    assert left_out.isdisjoint(report.checks_run)
    assert left_out | set(report.checks_run) == set(registry.registered_checks())
    assert report.groups == {}
    assert report.network_sha256


def test_json_is_the_contract():
    report = examine(unstamped(NET), Policy())
    document = json.loads(CheckDocument.of_report(report).to_text())
    assert set(document) >= {
        "verdict",
        "proof",
        "passed",
        "findings",
        "groups",
        "network_sha256",
    }
    assert document["verdict"] == "undetermined"
    assert document["proof"] is None
    assert document["passed"] is False
    for finding in document["findings"]:
        assert set(finding) >= {
            "check",
            "severity",
            "where",
            "message",
            "hint",
            "n_bad",
            "n_seen",
            "examples",
        }
    assert set(document["groups"]) == {"recurrent", "lgn"}


def test_json_of_a_file_that_is_no_network(tmp_path):
    path = tmp_path / "net.h5"
    path.write_bytes(b"text")
    with pytest.raises(NetworkFileError) as caught:
        open_network(path)
    document = json.loads(CheckDocument.of_unreadable(caught.value).to_text())
    assert document["passed"] is False
    assert document["verdict"] == "undetermined"
    assert document["findings"][0]["check"] == "structure.file"


def test_the_guard_loads_no_simulator():
    code = (
        "import sys, v1sim.guard, v1sim.sources.hdf5\n"
        "print([m for m in ('nest', 'pyNN', 'neo', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


# --- properties ------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), damage=st.sampled_from(["none", "sign", "nan", "index", "twice"]))
def test_the_order_of_synapses_changes_no_report(seed, damage):
    network = NET if damage == "none" else damage_some(damage)
    as_is, otherwise = (
        CheckDocument.of_report(examine(n, Policy())) for n in (network, permuted(network, seed))
    )
    assert as_is.network_sha256 != otherwise.network_sha256
    assert as_is == otherwise.model_copy(update={"network_sha256": as_is.network_sha256})


def damage_some(kind: str) -> NetworkModel:
    table, some = NET.tables["recurrent"], slice(100, 130)
    if kind == "twice":
        columns = {
            k: np.concatenate([getattr(table, k), getattr(table, k)[some]]) for k in table.columns
        }
        return damaged(NET, "recurrent", **columns)
    weight, pre = table.weight.copy(), table.pre.copy()
    if kind == "sign":
        weight[some] *= -1
    elif kind == "nan":
        weight[some] = np.nan
    else:
        pre[some] = 60
    return damaged(NET, "recurrent", weight=weight, pre=pre)


@settings(max_examples=60, deadline=None)
@given(
    index=st.integers(0, N_SYNAPSES - 1),
    damage=st.sampled_from(["nan", "inf", "sign", "x1000"]),
    stamped=st.booleans(),
)
def test_one_damaged_weight_is_always_found(index, damage, stamped):
    """Of any size where the file has a provenance; without, x1000 where it moves 0.1 mV.

    A weight of less becomes one of ordinary size, which no look at the file alone can tell.
    """
    weight = NET.tables["recurrent"].weight.copy()
    weight[index] = {
        "nan": np.nan,
        "inf": np.inf,
        "sign": -weight[index],
        "x1000": weight[index] * np.float32(1000),
    }[damage]
    network = damaged(NET, "recurrent", weight=weight)
    if stamped:
        network = replace(network, provenance=NET.provenance)
    report = examine(network, Policy("any"))
    expected = {
        "nan": "values.finite",
        "inf": "values.finite",
        "sign": "values.weight_sign",
        "x1000": "units.largest_psp",
    }[damage]
    if stamped:
        assert "provenance.digests" in blocking(report)
    psp_mv = registry.Context(NET, 1.0).psp_mv("recurrent")[index]
    if damage != "x1000" or psp_mv > 0.1:
        assert expected in blocking(report)
    assert {f.severity for f in report.blocking} == {Severity.ERROR} or not report.blocking


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_good_networks_raise_no_alarm(seed):
    for zeros in (0.0, 0.2):
        report = examine(tiny_network(seed, zeros=zeros), Policy("any"))
        assert [f for f in report.findings if f.severity is not Severity.INFO] == []
