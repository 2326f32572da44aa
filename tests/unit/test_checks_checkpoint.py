"""Checks against checkpoints: by the index alone, with the data, and the wrong ones."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.networks import damaged, findings, sealed, tiny_network
from tests.unit.test_sources_provenance import permuted
from v1sim.checks import registry
from v1sim.checks.registry import Context
from v1sim.errors import CheckpointError
from v1sim.guard import Policy, examine
from v1sim.model import Severity, TrainingMinimum, Verdict

NAMES = ("untrained", "few_steps", "trained")


def index_of(training, name, *, to=None):
    """The index, alone in a folder of its own where ``to`` is given."""
    path = training.indices[name]
    return path if to is None else Path(shutil.copy(path, to))


@pytest.mark.parametrize("name", NAMES)
def test_each_network_is_its_own_checkpoint_by_the_index_alone(training, name, tmp_path):
    index = index_of(training, name, to=tmp_path)
    for order in (training.open(name), permuted(training.open(name), 1)):
        report = examine(order, Policy(checkpoint=index, strength="proof"))
        trained = name == "trained"  # ten updates count as no training
        assert report.verdict is (Verdict.TRAINED if trained else Verdict.UNTRAINED)
        assert report.proof == "checkpoint"
        assert report.passed is trained
    updates = [f for f in report.findings if f.check == "checkpoint.updates"]
    assert bool(updates) is (name == "few_steps")


def test_a_short_training_counts_where_the_policy_says_so(training):
    """A baseline that differs by little is then no contradiction to a proof of few updates."""
    few = training.few_updates
    policy = Policy(
        checkpoint=index_of(training, "few_steps"),
        baseline=training.files["untrained"],
        minimum=TrainingMinimum(updates=few, change=0.01),
    )
    report = examine(training.open("few_steps"), policy)
    assert (report.verdict, report.proof, report.passed) == (Verdict.TRAINED, "checkpoint", True)
    warned = {f.check for f in report.findings if f.severity is Severity.WARNING}
    assert warned == {"checkpoint.updates", "baseline.unchanged"}
    for less in (
        replace(policy, minimum=TrainingMinimum(updates=few, change=0.2)),
        replace(policy, minimum=TrainingMinimum(updates=few + 1), baseline=None),
    ):
        short = examine(training.open("few_steps"), less)
        assert (short.verdict, short.passed) == (Verdict.UNTRAINED, False)


@pytest.mark.parametrize(
    ("iterations", "warns"), [(0, False), (10, True), (99, True), (100, False)]
)
def test_few_updates_are_read_off_provenance_too(iterations, warns):
    noted = {"name": "ckpt-5", "iterations": iterations}
    stamped = sealed(replace(tiny_network(), provenance=None), kind="trained", checkpoint=noted)
    found = findings(stamped, "checkpoint.updates")
    assert [f.where for f in found] == ["ckpt-5"] * warns


@pytest.mark.parametrize("proof", ["checkpoint", "provenance"])
def test_looks_are_no_error_where_the_array_is_proven(training, proof, monkeypatch):
    """A training may leave what looks like damage; then it is what was trained."""
    checks = registry.registered_checks()

    def blank(_):
        yield registry.Observation("recurrent.weight", "blank")

    name = "patterns.blank"
    monkeypatch.setitem(registry._CHECKS, name, replace(checks[name], function=blank))
    trained = training.open("trained")
    assert {f.check for f in examine(trained, Policy()).blocking} >= {name}
    policy = Policy(checkpoint=index_of(training, "trained"))
    if proof == "provenance":
        trained, policy = sealed(trained, kind="trained"), Policy()
    report = examine(trained, policy)
    (finding,) = [f for f in report.findings if f.check == name]
    assert (finding.severity, report.passed) == (Severity.WARNING, True)
    assert f"The {proof} proves" in finding.message
    edited = damaged(
        trained, "recurrent", weight=trained.tables["recurrent"].weight * np.float32(1.1)
    )
    edited = replace(edited, provenance=trained.provenance)
    assert name in {f.check for f in examine(edited, policy).blocking}


@pytest.mark.parametrize("alone", [True, False])
def test_another_checkpoint_of_the_same_training_is_refused(network_a, alone, tmp_path):
    training = network_a
    index = index_of(training, "few_steps", to=tmp_path if alone else None)
    report = examine(training.open("trained"), Policy(checkpoint=index))
    where = {f.where: f for f in report.findings if f.check == "checkpoint.equal"}
    assert set(where) == {"recurrent/weights", "input/weights"}
    found = where["recurrent/weights"]
    assert ("index alone cannot tell" in found.message) is alone
    assert bool(found.examples) is not alone
    assert not report.passed
    assert report.proof != "checkpoint"


@pytest.mark.parametrize("damage", ["sign", "x1000", "swap"])
def test_one_changed_weight_is_found(training, damage, tmp_path):
    trained = training.open("trained")
    rng = np.random.default_rng(5)
    for index in rng.choice(np.flatnonzero(trained.tables["recurrent"].weight), 5):
        weight = trained.tables["recurrent"].weight.copy()
        other = int(rng.integers(len(weight)))
        change = {
            "sign": ([index], -weight[index]),
            "x1000": ([index], weight[index] * np.float32(1000)),
            "swap": ([index, other], weight[[other, index]]),
        }[damage]
        weight[change[0]] = change[1]
        report = examine(
            damaged(trained, "recurrent", weight=weight),
            Policy(checkpoint=index_of(training, "trained", to=tmp_path)),
        )
        assert "checkpoint.equal" in {f.check for f in report.blocking}


def test_a_checkpoint_of_another_network_is_refused(training):
    report = examine(tiny_network(), Policy("any", checkpoint=index_of(training, "trained")))
    assert "checkpoint.equal" in {f.check for f in report.blocking}
    messages = " ".join(f.message for f in report.blocking)
    assert f"60 neurons, the checkpoint {training.open().n_neurons:,}" in messages


def test_a_checkpoint_that_cannot_be_used_is_an_input_error(training, tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        examine(tiny_network(), Policy(checkpoint=tmp_path / "ckpt-1"))
    broken = tmp_path / "ckpt_1000-425.index"
    broken.write_bytes(index_of(training, "trained").read_bytes()[:-60])
    with pytest.raises(CheckpointError, match="damaged"):
        examine(tiny_network(), Policy(checkpoint=broken))


def test_input_that_was_frozen_leaves_a_network_trained(training, monkeypatch):
    """The optimizer has no moments of what it does not train; arrays say which is which."""
    policy = Policy(checkpoint=index_of(training, "trained"))
    real = Context.checkpoint.func

    def frozen(self):
        comparison = real(self)
        evidence = comparison.evidence
        held = replace(evidence.tables["input"], state="frozen", why="it holds other weights")
        tables = {**evidence.tables, "input": held}
        return replace(comparison, evidence=replace(evidence, tables=tables))

    monkeypatch.setattr(Context, "checkpoint", property(frozen))
    report = examine(training.open("trained"), policy)
    assert (report.verdict, report.passed) == (Verdict.TRAINED, True)
    assert report.arrays["input/weights"].verdict is Verdict.UNTRAINED
    assert "froze" in report.arrays["input/weights"].why
    (finding,) = [f for f in report.findings if f.check == "checkpoint.frozen_input"]
    assert "holds other weights" in finding.message
    # The checkpoint settles what the baseline cannot tell.
    frozen_in = replace(policy, baseline=training.files["untrained"])
    assert examine(training.open("trained"), frozen_in).passed


def test_provenance_says_that_input_was_frozen():
    origins = {
        "recurrent.weight": ("trained variable", "x"),
        "lgn.weight": ("initial value", "y; frozen: training did not change it"),
    }
    stamped = sealed(replace(tiny_network(), provenance=None), kind="trained", origins=origins)
    (finding,) = findings(stamped, "checkpoint.frozen_input")
    assert "frozen" in finding.message
    assert examine(stamped, Policy()).passed
    assert findings(tiny_network(), "checkpoint.frozen_input") == []


@pytest.mark.parametrize(
    ("moments", "zeros", "counts"),
    [("nonzero", 0.2, True), ("nonzero", 0.0, False), ("absent", 0.2, False)],
)
def test_what_an_earlier_version_wrote_counts_where_the_weights_bear_it_out(moments, zeros, counts):
    """It took averages, accumulators and other counters for moments of gradients."""
    noted = {"name": "ckpt-5", "iterations": 500, "moments": {"recurrent": moments}}
    origins = {"recurrent.weight": ("trained variable", "x")}
    made = replace(tiny_network(seed=4, zeros=zeros), provenance=None)
    stamped = sealed(made, kind="trained", checkpoint=noted, origins=origins)
    found = findings(stamped, "provenance.earlier_version")
    assert bool(found) is not counts
    assert all("convert again" in f.hint for f in found)
    report = examine(stamped, Policy(strength="proof"))
    assert (report.proof == "provenance") is counts
    assert report.passed is counts


def test_equal_to_a_checkpoint_that_proves_nothing_is_no_proof(training, monkeypatch):
    """Counters and slots of other tables prove nothing of the recurrent weights."""
    real = Context.checkpoint.func

    def unproven(self):
        comparison = real(self)
        evidence = comparison.evidence
        states = {"recurrent": "nothing", "input": "gradient"}
        tables = {
            name: replace(found, state=states.get(name, found.state), iterations=850)
            for name, found in evidence.tables.items()
        }
        return replace(comparison, evidence=replace(evidence, tables=tables))

    monkeypatch.setattr(Context, "checkpoint", property(unproven))
    for name, proof in (("trained", "evidence"), ("untrained", "checkpoint")):
        policy = Policy(checkpoint=index_of(training, name), strength="proof")
        report = examine(training.open(name), policy)
        assert not report.passed
        assert report.verdict != "trained" or proof == "evidence"
        assert report.proof != "checkpoint" or report.verdict is not Verdict.TRAINED
