"""Was it trained: the judgement, which knows no check by its name, and its use without a gate."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.networks import damaged, sealed, tiny_network
from v1sim.checks import registry
from v1sim.checks.registry import Consequence, registered_checks
from v1sim.documents.check import CheckDocument
from v1sim.guard import Policy, examine
from v1sim.model import NetworkModel, Severity, Verdict
from v1sim.sources import open_network
from v1sim.sources.hdf5 import write_network
from v1sim.verdict import judge_weights

NET = tiny_network()
TRAINED = replace(tiny_network(zeros=0.2), provenance=None)
#: What the renamed checks are called.
SUFFIX = "_renamed"


def weights(network: NetworkModel, change) -> NetworkModel:
    """The network without provenance, its recurrent weights changed in place."""
    weight = network.recurrent.weight.copy()
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
    "indices out of range": damaged(TRAINED, "recurrent", pre=TRAINED.recurrent.pre + 1000),
    "receptors out of range": damaged(
        TRAINED, "recurrent", receptor=TRAINED.recurrent.receptor + 4
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


def test_checks_can_be_renamed_where_there_is_a_checkpoint(rename_checks, shared_data):
    folder = shared_data / "trained_a"
    trained, untrained = (open_network(folder / f"net_A_{n}.h5") for n in ("trained", "untrained"))
    part = trained.recurrent.weight.copy()
    half = trained.recurrent.post < trained.n_neurons // 2
    part[half] = untrained.recurrent.weight[half]
    networks = [trained, untrained, damaged(trained, "recurrent", weight=part)]
    policies = [
        Policy(baseline=baseline, checkpoint=checkpoint)
        for baseline in (None, folder / "net_A_untrained.h5")
        for checkpoint in (None, folder / "trained" / "ckpt_1000-425.index")
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


def test_weights_of_a_training_and_before_it(shared_data):
    folder = shared_data / "trained_a"
    trained, few, untrained = (
        open_network(folder / f"net_A_{n}.h5") for n in ("trained", "few_steps", "untrained")
    )
    for network, verdict, against_baseline in (
        (trained, Verdict.TRAINED, Verdict.TRAINED),
        (few, Verdict.UNDETERMINED, Verdict.UNTRAINED),
        (untrained, Verdict.UNDETERMINED, Verdict.UNTRAINED),
    ):
        assert judge_weights(network)["recurrent/weights"].verdict is verdict
        compared = judge_weights(network, baseline=untrained)["recurrent/weights"]
        assert (compared.verdict, compared.proof) == (against_baseline, "baseline")


def test_no_name_of_a_check_stands_in_the_verdict():
    source = (Path(__file__).parents[2] / "v1sim" / "verdict.py").read_text()
    for name in registered_checks():
        assert f'"{name}"' not in source
