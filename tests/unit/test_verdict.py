"""Was it trained: the judgement, which knows no check by its name, and its use without a gate."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.networks import damaged, sealed, tiny_network, with_parts
from tests.unit.test_page import part
from v1sim.checks import registry
from v1sim.checks.registry import Consequence, registered_checks
from v1sim.documents.check import CheckDocument
from v1sim.guard import Policy, examine
from v1sim.model import (
    MIN_CHANGE,
    MIN_UPDATES,
    ArrayRequirements,
    NetworkModel,
    Severity,
    TrainingMinimum,
    Verdict,
)
from v1sim.report.terminal import check_report
from v1sim.sources.hdf5 import write_network
from v1sim.verdict import EVIDENCE, FROZEN_INPUT, judge_weights

NET = tiny_network()
TRAINED = replace(tiny_network(zeros=0.2), provenance=None)
#: What the renamed checks are called.
SUFFIX = "_renamed"


def weights(network: NetworkModel, change) -> NetworkModel:
    """The network without provenance, its recurrent weights changed in place."""
    weight = network.tables["recurrent"].weight.copy()
    change(weight)
    return damaged(network, "recurrent", weight=weight)


def negate(weight):
    weight[:50] *= -1


def spoil(weight):
    weight[7] = np.nan


def blank(weight):
    weight[:200] = 0


NETWORKS = {
    "trained": TRAINED,
    "untrained": replace(NET, provenance=None),
    "other signs": weights(TRAINED, negate),
    "not finite": weights(TRAINED, spoil),
    "a block of zeros": weights(TRAINED, blank),
    "constant": weights(TRAINED, lambda weight: np.copyto(weight, np.sign(weight) * 0.1)),
    "indices out of range": damaged(
        TRAINED, "recurrent", pre=TRAINED.tables["recurrent"].pre + 1000
    ),
    "receptors out of range": damaged(
        TRAINED, "recurrent", receptor=TRAINED.tables["recurrent"].receptor + 4
    ),
    "edited": replace(TRAINED, provenance=NET.provenance),
    "proven, and odd": sealed(weights(TRAINED, blank), kind="trained"),
}


@pytest.fixture
def rename_checks(monkeypatch):
    """Gives every check another name, and returns how to read a report as if nothing was."""

    def rename() -> None:
        checks = dict(registered_checks())
        renamed = {
            entry.name + SUFFIX: replace(
                entry,
                name=entry.name + SUFFIX,
                needs=tuple(need + SUFFIX for need in entry.needs),
            )
            for entry in checks.values()
        }
        monkeypatch.setattr(registry, "_CHECKS", renamed)

    return rename


def plain(report) -> dict:
    """A report as JSON, with the names that checks had before."""

    def restored(value):
        if isinstance(value, str):
            return re.sub(rf"{SUFFIX}|{SUFFIX.replace('_', '-')}", "", value)
        if isinstance(value, dict):
            return {key: restored(inner) for key, inner in value.items()}
        return [restored(inner) for inner in value] if isinstance(value, list) else value

    return restored(CheckDocument.of_report(report).model_dump(mode="json"))


def same_whatever_the_names(networks, policies, rename) -> None:
    before = [plain(examine(n, p)) for n, p in zip(networks, policies, strict=True)]
    rename()
    after = [plain(examine(n, p)) for n, p in zip(networks, policies, strict=True)]
    assert all(finding["check"] for report in before for finding in report["findings"])
    for old, new in zip(before, after, strict=True):
        for report in (old, new):
            report["findings"].sort(key=lambda f: (f["check"], f["where"], f["message"]))
            report["checks_run"].sort()
        assert new == old


def test_checks_can_be_renamed(rename_checks, tmp_path):
    """Verdict, severity and words stay: what an error means is not looked up by a name."""
    untrained = tmp_path / "untrained.h5"
    write_network(replace(NET, provenance=None), untrained)
    others = tmp_path / "others.h5"
    write_network(replace(tiny_network(seed=5), provenance=None), others)
    usable = tmp_path / "trained.h5"
    write_network(TRAINED, usable)
    networks, policies = [], []
    for network in NETWORKS.values():
        for baseline in (None, untrained, others, usable):
            networks.append(network)
            policies.append(Policy(baseline=baseline))
    verdicts = {examine(network, Policy()).verdict for network in NETWORKS.values()}
    assert verdicts >= {Verdict.TRAINED, Verdict.UNDETERMINED}
    same_whatever_the_names(networks, policies, rename_checks)


def test_checks_can_be_renamed_where_there_is_a_checkpoint(rename_checks, training):
    trained, untrained = training.open("trained"), training.open("untrained")
    part = trained.tables["recurrent"].weight.copy()
    half = trained.tables["recurrent"].post < trained.n_neurons // 2
    part[half] = untrained.tables["recurrent"].weight[half]
    networks = [trained, untrained, damaged(trained, "recurrent", weight=part)]
    policies = [
        Policy(baseline=baseline, checkpoint=checkpoint)
        for baseline in (None, training.files["untrained"])
        for checkpoint in (None, training.indices["trained"])
    ]
    assert examine(networks[2], Policy()).verdict is Verdict.MIXED
    same_whatever_the_names(networks * len(policies), policies * len(networks), rename_checks)


def test_consequences_that_checks_have():
    """Each is some check's, and only of one whose errors are errors or that crashes."""
    stated = [entry.consequence for entry in registered_checks().values() if entry.consequence]
    for consequence in Consequence:
        assert any(consequence in one for one in stated), consequence
    for entry in registered_checks().values():
        assert not entry.consequence or entry.severity is Severity.ERROR


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("with_baseline", [False, True])
def test_weights_are_judged_alike_without_the_gate(name, with_baseline, tmp_path):
    """What conversion asks where no optimizer tells is what the gate says of the same file."""
    network = replace(NETWORKS[name], provenance=None)
    path = tmp_path / "untrained.h5"
    baseline = replace(NET, provenance=None)
    write_network(baseline, path)
    judged = judge_weights(network, baseline=baseline if with_baseline else None)
    report = examine(network, Policy(baseline=path if with_baseline else None))
    assert dict(judged) == dict(report.arrays)


def test_weights_of_a_training_and_before_it(training):
    trained, few, untrained = map(training.open, ("trained", "few_steps", "untrained"))
    for network, verdict, against_baseline in (
        (trained, Verdict.TRAINED, Verdict.TRAINED),
        (few, Verdict.UNDETERMINED, Verdict.UNTRAINED),
        (untrained, Verdict.UNDETERMINED, Verdict.UNTRAINED),
    ):
        assert judge_weights(network)["recurrent.weight"].verdict is verdict
        compared = judge_weights(network, baseline=untrained)["recurrent.weight"]
        assert (compared.verdict, compared.proof) == (against_baseline, "baseline")


def test_no_name_of_a_check_stands_in_the_verdict():
    source = (Path(__file__).parents[2] / "v1sim" / "verdict.py").read_text()
    for name in registered_checks():
        assert f'"{name}"' not in source


# --- the least that counts as a training ---------------------------------------------------------


def test_more_evidence_never_makes_a_verdict_milder(training):
    """A network that evidence calls untrained or mixed passes with no more evidence either."""
    trained, few, untrained = map(training.open, ("trained", "few_steps", "untrained"))
    part = trained.tables["recurrent"].weight.copy()
    half = trained.tables["recurrent"].post < trained.n_neurons // 2
    part[half] = untrained.tables["recurrent"].weight[half]
    for network in (few, untrained, damaged(trained, "recurrent", weight=part)):
        reports = {}
        for checkpoint in (None, *training.indices.values()):
            for baseline in (None, training.files["untrained"]):
                given = frozenset({checkpoint, baseline} - {None})
                policy = Policy(checkpoint=checkpoint, baseline=baseline)
                reports[given] = examine(network, policy)
        for less, more in itertools.product(reports, repeat=2):
            bad = reports[less].verdict in (Verdict.UNTRAINED, Verdict.MIXED)
            if less <= more and bad:
                assert reports[more].verdict in (Verdict.UNTRAINED, Verdict.MIXED)
                assert not reports[more].passed
    for name, index in training.indices.items():
        assert examine(trained, Policy(checkpoint=index)).passed is (name == "trained")


@pytest.mark.parametrize(
    ("updates", "least", "verdict"),
    [
        (MIN_UPDATES - 1, TrainingMinimum(), Verdict.UNTRAINED),
        (MIN_UPDATES, TrainingMinimum(), Verdict.TRAINED),
        (5, TrainingMinimum(updates=5), Verdict.TRAINED),
        (4, TrainingMinimum(updates=5), Verdict.UNTRAINED),
        (None, TrainingMinimum(), Verdict.TRAINED),
    ],
)
@pytest.mark.parametrize("require", ["trained", "any"])
def test_a_training_of_too_few_updates_counts_as_none(updates, least, verdict, require):
    noted = {"name": "ckpt-5", "iterations": updates}
    bare = replace(NET, provenance=None)
    network = sealed(bare, kind="trained", origin="trained variable", checkpoint=noted)
    report = examine(network, Policy(require, minimum=least))
    assert (report.verdict, report.proof) == (verdict, "provenance")
    assert report.passed is (verdict is Verdict.TRAINED)
    if not report.passed:
        (finding,) = report.blocking
        assert f"{updates} updates, fewer than the {least.updates}" in finding.message
        assert "--minimum" in finding.hint


@pytest.mark.parametrize("n", [MIN_UPDATES - 1, MIN_UPDATES])
def test_fewer_batches_than_updates_are_needed_are_too_few(n):
    """Gradients that are accumulated over batches make fewer updates than there are batches."""
    own = {"origin": "trained", "rests_on": "optimizer", "counts": "batches"}
    noted = {"name": "ckpt-5", "iterations": n, "tables": {"recurrent": own, "input": own}}
    bare = replace(NET, provenance=None)
    network = sealed(bare, kind="trained", origin="trained variable", checkpoint=noted)
    report = examine(network, Policy(minimum=TrainingMinimum()))
    assert report.passed is (n == MIN_UPDATES)
    if not report.passed:
        (finding,) = report.blocking
        assert f"the optimizer had seen {n} batches, fewer than the {MIN_UPDATES} updates" in (
            finding.message
        )


def test_few_updates_are_enough_where_weights_or_learning_rate_show_it():
    """Six updates at a rate of 0.1 are a training, five at 0.002 are none."""
    size = float(np.sqrt(np.mean(NET.tables["recurrent"].weight.astype(np.float64) ** 2)))
    enough = MIN_CHANGE * size / 6
    for network, rate, verdict in (
        (NET, enough * 1.01, Verdict.TRAINED),
        (NET, enough * 0.99, Verdict.UNTRAINED),
        (NET, None, Verdict.UNTRAINED),
        (TRAINED, 1e-6, Verdict.TRAINED),
    ):
        noted = {"name": "ckpt-6", "iterations": 6, "learning_rate": rate}
        bare = replace(network, provenance=None)
        report = examine(
            sealed(bare, kind="trained", origin="trained variable", checkpoint=noted), Policy()
        )
        assert report.verdict is verdict


@pytest.mark.parametrize(
    ("change", "least", "verdict"),
    [
        (MIN_CHANGE * 0.99, TrainingMinimum(), Verdict.UNTRAINED),
        (MIN_CHANGE * 1.01, TrainingMinimum(), Verdict.TRAINED),
        (0.05, TrainingMinimum(change=0.049), Verdict.TRAINED),
        (0.05, TrainingMinimum(change=0.051), Verdict.UNTRAINED),
    ],
)
@pytest.mark.parametrize("proven", [False, True])
def test_a_change_too_small_counts_as_no_training(change, least, verdict, proven, tmp_path):
    """Whether or not provenance calls the weights trained."""
    baseline = tmp_path / "untrained.h5"
    write_network(replace(NET, provenance=None), baseline)
    before = NET.tables["recurrent"].weight
    moved = before * np.random.default_rng(3).normal(0, 1, len(before))
    moved *= change * np.linalg.norm(before) / np.linalg.norm(moved)
    weight = before + np.where(np.abs(moved) < 0.9 * np.abs(before), moved, 0)
    weight = before + (weight - before) * (
        change * np.linalg.norm(before) / np.linalg.norm(weight - before)
    )
    network = damaged(NET, "recurrent", weight=weight.astype(np.float32))
    network = damaged(network, "lgn", weight=NET.tables["lgn"].weight * np.float32(1))
    if proven:
        network = sealed(network, kind="trained", origin="trained variable")
    report = examine(network, Policy(baseline=baseline, minimum=least))
    assert report.arrays["recurrent.weight"].verdict is verdict
    assert report.arrays["recurrent.weight"].proof == ("provenance" if proven else "baseline")
    if verdict is Verdict.UNTRAINED:
        assert report.verdict is Verdict.UNTRAINED
        assert "counts as no training" in report.arrays["recurrent.weight"].why


# --- requirements by array -----------------------------------------------------------------------


@pytest.fixture
def frozen(tmp_path):
    """A network whose input weights are the baseline's, and the baseline's file."""
    baseline = tmp_path / "untrained.h5"
    write_network(replace(NET, provenance=None), baseline)
    factor = (
        np.random.default_rng(4).uniform(0.4, 1.6, len(NET.tables["recurrent"])).astype(np.float32)
    )
    return damaged(NET, "recurrent", weight=NET.tables["recurrent"].weight * factor), baseline


@pytest.mark.parametrize(
    ("require", "blocked"),
    [
        ("trained", {FROZEN_INPUT}),
        (ArrayRequirements(recurrent="trained", input="any"), set()),
        (ArrayRequirements(recurrent="trained", input="trained"), {"guard.required"}),
        (ArrayRequirements(recurrent="any", input="any"), set()),
        (ArrayRequirements(recurrent="constructed"), {"guard.required"}),
        (ArrayRequirements(background="trained"), {"guard.required"}),
    ],
)
def test_each_array_can_be_required_by_itself(frozen, require, blocked):
    network, baseline = frozen
    report = examine(network, Policy(require, baseline=baseline))
    assert {f.check for f in report.blocking} == blocked
    assert report.verdict is Verdict.MIXED
    assert through_json(report).require == require
    if not isinstance(require, str) and blocked:
        (finding,) = report.blocking
        assert finding.where in ("recurrent.weight", "lgn.weight", "background.weight")


def through_json(report):
    """A report through JSON, as a pass file keeps it."""
    text = CheckDocument.of_report(report).to_text()
    return CheckDocument.model_validate_json(text).to_report()


def test_proof_can_be_wanted_of_one_array(frozen):
    network, baseline = frozen
    require = ArrayRequirements(recurrent="trained", input="any")
    assert examine(network, Policy(require, "proof", baseline=baseline)).passed
    alone = replace(TRAINED, provenance=None)
    assert examine(alone, Policy(require)).passed
    assert not examine(alone, Policy(require, "proof")).passed


# --- what passes, and is not shown ---------------------------------------------------------------


def shown(report) -> str:
    screen = Console(width=300, file=io.StringIO())
    screen.print(check_report(report))
    return screen.file.getvalue()


@pytest.mark.parametrize("network", [NETWORKS["untrained"], TRAINED])
def test_a_pass_without_a_history_is_no_plain_pass(network):
    """With ``require: any`` an untrained network may run; nothing says that it is trained."""
    report = examine(network, Policy("any"))
    assert report.passed
    doubtful = report.verdict is Verdict.UNDETERMINED
    assert doubtful is (network is not TRAINED)
    assert bool(report.doubts) is doubtful
    assert ("they may be the initial ones" in shown(report)) is doubtful
    assert ("WITH DOUBTS" in shown(report)) is doubtful
    page = part("gate(guard)")(guard=CheckDocument.of_report(report))
    assert ('class="gate doubtful"' in page) is doubtful
    assert ("they may be the initial ones" in page) is doubtful
    assert through_json(report).doubts == report.doubts


def test_a_waived_error_is_a_doubt():
    network = sealed(replace(NET, provenance=None), kind="untrained")
    report = examine(network, Policy(waivers={"guard.required": "the untrained twin"}))
    assert report.passed
    assert report.doubts == (
        "The weights are untrained.",
        "Errors that were found are waived: guard.required.",
    )
    good = examine(NET, Policy("constructed", waivers={"values.delay": "not needed"}))
    assert good.passed
    assert good.doubts == ()


def test_what_the_file_alone_does_not_show_is_said(training):
    """Each of these damages passes by the file alone, and is named where the file is judged."""
    network = training.open()
    types = network.cell_types
    order = np.random.default_rng(1).permutation(network.lgn.size).astype(np.int32)
    later = network.tables["recurrent"].delay_ms + np.float32(1)
    for damage in (
        replace(network, cell_types=types.with_columns(tau_syn_ms=types.tau_syn_ms * 2)),
        with_parts(
            network, lgn=replace(network.tables["lgn"], pre=order[network.tables["lgn"].pre])
        ),
        with_parts(network, recurrent=replace(network.tables["recurrent"], delay_ms=later)),
    ):
        report = examine(damage, Policy())
        assert report.passed
        (finding,) = [f for f in report.findings if f.check == EVIDENCE]
        for words in ("tau_syn", "LGN cells are in the order", "whether delays are"):
            assert words in finding.message
