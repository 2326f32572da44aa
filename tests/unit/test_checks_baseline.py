"""Checks against the untrained network: what changed, what did not, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import damaged, sealed, tiny_network
from tests.unit.test_sources_provenance import permuted
from v1sim import guard
from v1sim.checks.baseline import baseline_weights, usable_baseline
from v1sim.checks.registry import Context
from v1sim.guard import Policy, examine
from v1sim.model import NetworkModel, Severity, Verdict
from v1sim.sources.hdf5 import write_network
from v1sim.verdict import FROZEN_INPUT

TINY = replace(tiny_network(), provenance=None)


@pytest.fixture(scope="module")
def networks(training) -> dict[str, NetworkModel]:
    return {name: training.open(name) for name in training.files}


@pytest.fixture(scope="module")
def policy(training) -> Policy:
    return Policy(baseline=training.files["untrained"])


def name_of(network: NetworkModel, cell_type: int) -> str:
    """A type as findings call it."""
    names = network.cell_types.name
    return names[cell_type] if names else f"type {cell_type}"


def compared(before: NetworkModel, after: NetworkModel):
    return baseline_weights(Context(after, 1.0, baseline=before))


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("trained", Verdict.TRAINED, "changed"),
        ("few_steps", Verdict.UNTRAINED, "almost"),
        ("untrained", Verdict.UNTRAINED, "identical"),
        ("fallback", Verdict.UNTRAINED, "in pA"),
    ],
)
def test_reference_networks(networks, name, verdict, words):
    for order in (networks[name], permuted(networks[name], 3)):
        for weights in compared(networks["untrained"], order).values():
            assert weights.verdict is verdict
            assert words in weights.what


def test_numbers_are_those_of_numpy(networks):
    before, after = (
        networks["untrained"].tables["recurrent"],
        networks["trained"].tables["recurrent"],
    )
    found = compared(networks["untrained"], networks["trained"])["recurrent"]
    a, b = before.weight.astype(float), after.weight.astype(float)
    assert found.relative_change == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a))
    assert found.n_unchanged == np.count_nonzero(a == b)
    assert found.n_sign_changed == np.count_nonzero(a * b < 0) == 0
    assert found.same_wiring
    assert 0.3 < found.correlation < 0.9


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 1.0])
def test_unchanged_parts(networks, share):
    before, after = networks["untrained"], networks["trained"]
    kept = np.random.default_rng(0).random(len(after.tables["recurrent"])) < share
    weight = np.where(kept, before.tables["recurrent"].weight, after.tables["recurrent"].weight)
    found = compared(before, damaged(after, "recurrent", weight=weight))["recurrent"]
    expected = {0.0: Verdict.TRAINED, 0.05: Verdict.TRAINED, 0.2: Verdict.MIXED}
    assert found.verdict is expected.get(share, Verdict.UNTRAINED)
    equal = before.tables["recurrent"].weight == weight
    assert found.n_unchanged == equal.sum() >= kept.sum()


def test_a_type_that_was_left_out_is_named(networks):
    before, after = networks["untrained"], networks["trained"]
    chosen = after.neurons.cell_type[after.tables["recurrent"].post] == 5
    weight = np.where(chosen, before.tables["recurrent"].weight, after.tables["recurrent"].weight)
    found = compared(before, damaged(after, "recurrent", weight=weight))["recurrent"]
    assert found.verdict is Verdict.MIXED
    assert any(part.startswith(f"onto {name_of(after, 5)}:") for part in found.parts)


def test_a_pair_of_types_that_was_left_out_is_named(networks):
    before, after = networks["untrained"], networks["trained"]
    table, types = after.tables["recurrent"], after.neurons.cell_type.astype(int)
    pair = types[table.pre] * 100 + types[table.post]
    for code, mixed in ((np.bincount(pair).argmax(), True), (pair[0], False)):
        chosen = (pair == code) & (mixed | (table.pre == table.pre[pair == code][0]))
        weight = np.where(chosen, before.tables["recurrent"].weight, table.weight)
        found = compared(before, damaged(after, "recurrent", weight=weight))["recurrent"]
        assert found.verdict is (Verdict.MIXED if mixed else Verdict.TRAINED)
        pre, post = (name_of(after, kind) for kind in divmod(code, 100))
        expected = f"{pre} -> {post}: {chosen.sum():,} of {chosen.sum():,} "
        assert [part for part in found.parts if part.startswith(expected)] == list(found.parts)
        assert bool(found.parts) is mixed


@pytest.mark.parametrize(
    ("factor", "words"),
    [(1.5, "times 1.5"), ("scale", "in pA"), ("1 / scale", "normalised twice")],
)
def test_initial_weights_in_other_units_are_untrained(networks, factor, words):
    network = networks["untrained"]
    scale = network.voltage_scale_mv[network.tables["recurrent"].post].astype(np.float32)
    factor = {"scale": scale, "1 / scale": 1 / scale}.get(factor, factor)
    weight = (network.tables["recurrent"].weight * factor).astype(np.float32)
    found = compared(network, damaged(network, "recurrent", weight=weight))["recurrent"]
    assert found.verdict is Verdict.UNTRAINED
    assert words in found.what


def test_shuffled_initial_weights_are_untrained_and_named(networks):
    network = networks["untrained"]
    weight = np.random.default_rng(0).permutation(network.tables["recurrent"].weight)
    found = compared(network, damaged(network, "recurrent", weight=weight))["recurrent"]
    assert (found.verdict, "shuffled" in found.what) == (Verdict.UNTRAINED, True)


def test_the_files_exchanged_are_refused(networks, training):
    policy = Policy(baseline=training.files["trained"])
    for name in ("untrained", "trained"):
        report = examine(networks[name], policy)
        (finding,) = [f for f in report.findings if f.check == "baseline.usable"]
        assert "exchanged" in finding.hint
        assert not report.passed
        assert report.proof != "baseline"
    assert "provenance says" in usable_baseline(sealed(TINY, kind="trained"))
    assert usable_baseline(TINY) == ""


def test_another_network_is_no_baseline(networks, tmp_path):
    write_network(TINY, tmp_path / "tiny.h5")
    report = examine(networks["trained"], Policy(baseline=tmp_path / "tiny.h5"))
    (finding,) = [f for f in report.findings if f.check == "baseline.same_network"]
    assert f"{networks['trained'].n_neurons:,} neurons, the baseline 60" in finding.message
    assert report.proof == "evidence"
    assert not report.passed


def test_overall_verdict_and_arrays(networks, policy):
    policy = replace(policy, strength="proof")
    report = examine(networks["trained"], policy)
    assert (report.verdict, report.proof, report.passed) == (Verdict.TRAINED, "baseline", True)
    assert report.arrays["input/bkg_weights"].verdict is Verdict.UNTRAINED
    trained, untrained = networks["trained"], networks["untrained"]
    frozen = damaged(trained, "lgn", weight=untrained.tables["lgn"].weight)
    report = examine(frozen, policy)
    assert (report.verdict, report.passed) == (Verdict.MIXED, False)
    assert report.arrays["recurrent/weights"].verdict is Verdict.TRAINED
    assert report.arrays["input/weights"].verdict is Verdict.UNTRAINED
    assert "--checkpoint" in report.blocking[0].hint


@pytest.mark.parametrize("kept", ["identical", "almost"])
def test_input_that_was_frozen_or_lost_is_mixed_until_somebody_says_which(networks, policy, kept):
    untrained = networks["untrained"].tables["lgn"].weight
    if kept == "almost":  # as 16 bits leave them
        untrained = untrained.astype(np.float16).astype(np.float32)
    frozen = damaged(networks["trained"], "lgn", weight=untrained)
    report = examine(frozen, policy)
    (finding,) = report.blocking
    assert (finding.check, finding.where) == (FROZEN_INPUT, "input/weights")
    assert kept in finding.message
    assert "--checkpoint CKPT" in finding.hint
    assert f"--waive {FROZEN_INPUT}=" in finding.hint
    waived = replace(policy, waivers={FROZEN_INPUT: "training froze the input"})
    report = examine(frozen, waived)
    assert (report.verdict, report.passed) == (Verdict.MIXED, True)
    assert dict(report.waived) == dict(waived.waivers)


def test_input_that_is_proven_to_be_frozen_is_not_asked_about(networks, policy):
    frozen = damaged(networks["trained"], "lgn", weight=networks["untrained"].tables["lgn"].weight)
    origins = {
        "recurrent.weight": ("trained variable", "x"),
        "lgn.weight": ("initial value", "y; frozen: training did not change it"),
    }
    stamped = sealed(frozen, kind="trained", origins=origins)
    report = examine(stamped, policy)
    assert (report.verdict, report.proof, report.passed) == (Verdict.TRAINED, "provenance", True)
    assert {f.check for f in report.findings if f.severity is not Severity.INFO} == set()


@pytest.mark.parametrize("damage", ["recurrent", "half", "shuffled"])
def test_the_waiver_of_frozen_input_covers_nothing_else(networks, policy, damage):
    trained, untrained = networks["trained"], networks["untrained"]
    rng = np.random.default_rng(0)
    if damage == "shuffled":
        network = damaged(trained, "lgn", weight=rng.permutation(untrained.tables["lgn"].weight))
    else:
        share = 1.0 if damage == "recurrent" else 0.5
        chosen = rng.random(len(trained.tables["recurrent"])) < share
        weight = np.where(
            chosen, untrained.tables["recurrent"].weight, trained.tables["recurrent"].weight
        )
        network = damaged(trained, "recurrent", weight=weight)
        if damage == "half":
            network = damaged(network, "lgn", weight=untrained.tables["lgn"].weight)
    policy = replace(policy, waivers={FROZEN_INPUT: "training froze the input"})
    assert "guard.required" in {f.check for f in examine(network, policy).blocking}


@pytest.mark.parametrize("group", ["recurrent", "lgn"])
def test_one_weight_that_changed_too_much_is_found(networks, policy, group):
    trained = networks["trained"]
    table = trained.tables[group]
    assert "baseline.jumps" not in {f.check for f in examine(trained, policy).findings}
    size = np.abs(table.weight)
    found = []
    for index in np.argsort(size)[np.searchsorted(np.sort(size), [1e-6, 0.02, 0.05, 0.3])]:
        weight = table.weight.copy()
        weight[index] *= np.float32(1000)
        report = examine(damaged(trained, group, weight=weight), policy)
        jumps = [f for f in report.blocking if f.check == "baseline.jumps"]
        assert all(f"-> {table.post[index]} (" in f.examples[0] for f in jumps)
        found.append(bool(jumps))
    # The smallest is an ordinary weight then, which is nothing to see.
    assert found == [False, True, True, True]


def test_types_of_few_silent_cells_are_a_warning(networks, policy):
    """Cells that never spiked in training keep the weights of all that they send."""
    trained, untrained = networks["trained"], networks["untrained"]
    n_cells = np.bincount(trained.neurons.cell_type)
    for kind, mixed in ((int(np.flatnonzero(n_cells == 4)[0]), False), (n_cells.argmax(), True)):
        silent = trained.neurons.cell_type[trained.tables["recurrent"].pre] == kind
        weight = np.where(
            silent, untrained.tables["recurrent"].weight, trained.tables["recurrent"].weight
        )
        report = examine(damaged(trained, "recurrent", weight=weight), policy)
        (finding,) = [f for f in report.findings if f.check == "baseline.unchanged"]
        assert f"from {name_of(trained, kind)}" in finding.message
        assert report.verdict is (Verdict.MIXED if mixed else Verdict.TRAINED)
        assert report.passed is not mixed


def test_a_provenance_that_the_baseline_contradicts(networks, policy):
    stated = sealed(
        networks["untrained"],
        kind="trained",
        origins={"recurrent.weight": ("trained variable", "x")},
    )
    assert examine(stated, Policy()).passed
    report = examine(stated, policy)
    assert "guard.contradiction" in {f.check for f in report.blocking}


def test_readout_and_parameters_are_compared(networks, policy):
    network = networks["trained"]
    types = network.cell_types.with_columns(c_m_pf=network.cell_types.c_m_pf * 1.01)
    changed = replace(network, cell_types=types, readout=network.readout[::-1])
    found = {
        f.where: f.message
        for f in guard.examine(changed, policy).findings
        if f.check == "baseline.other_arrays"
    }
    assert "same groups in another order" in found["readout/neuron_ids"]
    assert "neurons/glif3_params/C_m" in found
    # What went through float32 exponentials is the same.
    types = network.cell_types.with_columns(c_m_pf=network.cell_types.c_m_pf * (1 + 3e-7))
    report = guard.examine(replace(network, cell_types=types), policy)
    assert report.passed
