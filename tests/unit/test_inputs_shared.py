"""What runs of a batch share: passes that fit one file, policy and version; exact probabilities."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from tests.networks import tiny_lgn_cells, tiny_network, write_tiny
from v1sim import guard
from v1sim.config import BuiltInColumn
from v1sim.documents.check import CheckDocument
from v1sim.errors import GuardRefusal, InputError, NetworkFileError
from v1sim.guard import Pass, Policy, admit, admit_by_pass
from v1sim.inputs.shared import SharedInput
from v1sim.sources import open_network
from v1sim.stimulus.gratings import Grating, GratingStimulus

POLICY = Policy("constructed", waivers={"units.psp": "a known outlier"})


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "tiny.h5"
    write_tiny(path)
    return path


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    return SharedInput(folder)


def test_a_pass_gives_the_same_report_as_the_checks(network, shared):
    checked = admit(open_network(network), POLICY)
    shared.keep_pass(checked, POLICY)
    again = shared.admit_by_pass(open_network(network), POLICY)
    assert again.report == checked.report
    assert CheckDocument.of_report(again.report) == CheckDocument.of_report(checked.report)


def test_a_file_that_changed_has_no_pass(network, shared):
    shared.keep_pass(admit(open_network(network), POLICY), POLICY)
    with h5py.File(network, "r+") as file:
        file["recurrent/weights"][7] *= 1.01
    with pytest.raises(InputError, match="no pass of the gate"):
        shared.admit_by_pass(open_network(network), POLICY)


@pytest.mark.parametrize(
    "policy",
    [
        Policy("any", waivers=POLICY.waivers),
        Policy("constructed", "proof", POLICY.waivers),
        Policy("constructed"),
        Policy("constructed", waivers=POLICY.waivers, dt_ms=0.5),
    ],
)
def test_a_pass_is_for_one_policy(network, shared, policy):
    earlier = Pass.of(admit(open_network(network), POLICY), POLICY)
    shared.keep_pass(admit(open_network(network), POLICY), POLICY)
    with pytest.raises(InputError, match="no pass of the gate"):
        shared.admit_by_pass(open_network(network), policy)
    with pytest.raises(NetworkFileError, match="the policy"):
        admit_by_pass(open_network(network), policy, earlier)


def test_a_pass_of_other_bytes_network_or_version_is_no_pass(network):
    read = open_network(network)
    earlier = Pass.of(admit(read, POLICY), POLICY)
    other = replace(tiny_network(2), source=read.source)
    with pytest.raises(NetworkFileError, match="the network's digest"):
        admit_by_pass(other, POLICY, earlier)
    with pytest.raises(NetworkFileError, match="version"):
        admit_by_pass(read, POLICY, replace(earlier, version="0.0.0"))
    with pytest.raises(NetworkFileError, match="sha256"):
        admit_by_pass(read, POLICY, replace(earlier, file_sha256="0" * 64))


def test_a_report_that_refuses_is_no_pass(network):
    read = open_network(network)
    earlier = Pass.of(admit(read, POLICY), POLICY)
    refused = guard.examine(read, Policy("trained"))
    with pytest.raises(GuardRefusal):
        admit_by_pass(read, POLICY, replace(earlier, report=refused))


def test_a_damaged_pass_is_no_pass(network, shared):
    checked = admit(open_network(network), POLICY)
    shared.keep_pass(checked, POLICY)
    path = shared.pass_path(checked.network.source.sha256, POLICY)
    path.write_text(path.read_text()[:100])
    with pytest.raises(InputError, match=r"not the document .*\n.*\n.*run the batch again"):
        shared.admit_by_pass(checked.network, POLICY)


def test_kept_probabilities_are_those_of_the_stimulus_bit_by_bit(shared, monkeypatch):
    shown = GratingStimulus(tiny_lgn_cells(), [Grating(0), Grating(30)], repeats=2)
    shared.keep_stimulus(shown)
    assert len(list(shared.folder.glob("*.npy"))) == 2
    monkeypatch.setattr(shown, "load", pytest.fail)
    kept = shared.kept(shown)
    for trial in range(4):
        np.testing.assert_array_equal(kept.strength(trial), shown.strength(trial))


def test_probabilities_are_kept_once_by_what_they_are_made_of(shared):
    cells = tiny_lgn_cells()
    shared.keep_stimulus(GratingStimulus(cells, [Grating(0), Grating(30)], repeats=2))
    shared.keep_stimulus(GratingStimulus(cells, [Grating(30)], repeats=5))
    assert len(list(shared.folder.glob("*.npy"))) == 2
    shared.keep_stimulus(GratingStimulus(cells, [Grating(30, contrast=0.1)]))
    other = replace(cells, x_deg=cells.x_deg + 1)
    shared.keep_stimulus(GratingStimulus(other, [Grating(30)]))
    assert len(list(shared.folder.glob("*.npy"))) == 4


def test_what_is_not_kept_is_computed(shared):
    shown = GratingStimulus(tiny_lgn_cells(), [Grating(0)])
    np.testing.assert_array_equal(shared.kept(shown).strength(0), shown.strength(0))
    assert not list(shared.folder.iterdir())


def test_columns_are_kept_by_what_they_are_built_of(shared):
    columns = [BuiltInColumn(), BuiltInColumn(seed=2), BuiltInColumn(neurons=300)]
    assert len({shared.column_path(c) for c in columns}) == 3
    assert shared.column_path(BuiltInColumn()) == shared.column_path(BuiltInColumn(seed=1))


def test_passes_are_plain_json(network, shared):
    checked = admit(open_network(network), POLICY)
    shared.keep_pass(checked, POLICY)
    (path,) = shared.folder.iterdir()
    assert json.loads(path.read_text())["report"]["passed"] is True


@pytest.mark.parametrize("damage", ["a byte", "cut off", "no array", "no digest"])
def test_damaged_probabilities_are_made_again(shared, caplog, damage):
    grating = Grating(45.0, grey_ms=10, grating_ms=30)
    stimulus = GratingStimulus(tiny_lgn_cells(), [grating], repeats=1)
    shared.keep_stimulus(stimulus)
    (path,) = shared.folder.glob("lgn-*.npy")
    content = bytearray(path.read_bytes())
    if damage == "a byte":
        content[-1] ^= 1
    elif damage == "cut off":
        content = content[:-8]
    elif damage == "no array":
        content = bytearray(b"x" * 100)
    path.write_bytes(content)
    if damage == "no digest":
        path.with_suffix(".sha256").unlink()
    kept = shared.kept(stimulus)
    np.testing.assert_array_equal(kept.load(0), stimulus.load(0))
    assert ("damaged" in caplog.text) == (damage != "no digest")
    shared.keep_stimulus(stimulus)  # the next batch mends it
    caplog.clear()
    np.testing.assert_array_equal(shared.kept(stimulus).load(0), stimulus.load(0))
    assert caplog.text == ""


def test_a_pass_that_somebody_else_wrote_is_checked_again(network, shared, caplog):
    """A forged pass of a network that the guards refuse lets nothing through."""
    refusing = Policy("trained")
    read = open_network(network)
    checked = admit(read, POLICY)
    shared.keep_pass(checked, POLICY)
    written = json.loads(shared.pass_path(read.source.sha256, POLICY).read_text())
    written["policy"] |= {"require": "trained", "waivers": {}}
    written["report"] |= {"require": "trained", "verdict": "trained", "waived": {}}
    shared.pass_path(read.source.sha256, refusing).write_text(json.dumps(written))
    with pytest.raises(GuardRefusal):
        shared.admit_by_pass(read, refusing)
    assert "not written by this user" in caplog.text


def test_without_its_secret_a_pass_is_checked_again(network, shared, tmp_path, monkeypatch, caplog):
    """On a machine that does not have the user's cache; the network still passes."""
    shared.keep_pass(admit(open_network(network), POLICY), POLICY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert shared.admit_by_pass(open_network(network), POLICY).report.passed
    assert "checked again" in caplog.text
