"""Converting and checking what DPointNet left: the sample, and damaged copies of it."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest

from tests.dpointnet.replay import counts_of, replay, spikes_of
from v1sim import guard
from v1sim.conversion.dpointnet import convert, open_training
from v1sim.errors import InputError
from v1sim.model import TrainingMinimum
from v1sim.sources import open_network


@pytest.fixture(scope="module")
def written(sample, tmp_path_factory):
    """The sample as a network file."""
    out = tmp_path_factory.mktemp("converted") / "net.h5"
    convert(sample / "training" / "trained_weights", sample / "config.json", out, command="tests")
    return out


def test_the_written_file_gives_tensorflows_spikes(sample, written):
    network = open_network(written)
    given = {
        name: counts_of(sample / f"{name}_spikes.h5", name, held.size, 200, once=True)
        for name, held in network.source_populations.items()
    }
    assert replay(network, given) == spikes_of(sample / "spikes_trained.h5")


def test_the_written_file_passes_as_trained_by_its_provenance(written):
    report = guard.examine(open_network(written), guard.Policy())
    assert report.passed, [f.message for f in report.blocking]
    assert (report.verdict, report.proof) == ("trained", "provenance")


def test_the_provenance_says_how_it_was_established(written):
    provenance = open_network(written).provenance
    assert provenance is not None
    held = provenance.details["dpointnet"]
    assert held["tolerance"] == 2e-7
    assert "no optimizer state" in held["by"]
    assert held["weights"]["v1_to_v1"]["changed"] == 74
    assert held["weights"]["lgn_to_v1"]["trainable"] is False
    assert held["losses"]["steps"] == 8
    assert "evidence" in held["losses"]["says"]
    assert provenance.arrays["v1_to_v1.weight"].origin == "trained variable"
    assert provenance.arrays["lgn_to_v1.weight"].origin == "initial value"
    assert "frozen" in provenance.arrays["lgn_to_v1.weight"].detail
    assert provenance.arrays["v1_to_v1.delay_ms"].origin == "recomputed"


def test_an_edited_file_is_no_longer_proven(written, tmp_path):
    out = tmp_path / "edited.h5"
    shutil.copy(written, out)
    with h5py.File(out, "r+") as file:
        file["projections/v1_to_v1/weights"][0] *= 2
    report = guard.examine(open_network(out), guard.Policy())
    assert not report.passed
    assert any(f.check == "provenance.digests" for f in report.blocking)


def test_remarks_come_with_the_file(written):
    checks = {remark.check for remark in open_network(written).remarks}
    assert {"dpointnet.v_reset", "dpointnet.delays", "dpointnet.training"} <= checks


def test_without_the_circuit_it_says_what_is_missing(sample, tmp_path, run):
    code, _, error = run("convert", sample / "training", "--out", tmp_path / "net.h5")
    assert code == 2
    assert "no delays, no edge types, no time constants" in error
    assert "--base CONFIG.json" in error
    assert not (tmp_path / "net.h5").exists()


def test_a_folder_that_equals_the_original_is_refused_as_untrained(sample, tmp_path, run):
    out = tmp_path / "net.h5"
    arguments = ["convert", sample / "untrained_export", "--base", sample / "config.json"]
    code, _, error = run(*arguments, "--out", out)
    assert code == 2
    assert "these weights are untrained" in error
    assert not out.exists()
    code, said, _ = run(*arguments, "--out", out, "--allow-untrained")
    assert code == 0
    assert "untrained" in said
    report = guard.examine(open_network(out), guard.Policy())
    assert (report.verdict, report.passed) == ("untrained", False)


def test_a_copy_of_the_original_edges_is_untrained_too(copied):
    """The original files themselves, given as trained ones: equal beyond any rounding."""
    folder = copied / "copies"
    folder.mkdir()
    for path in (copied / "network").glob("*_edges.h5"):
        shutil.copy(path, folder / path.name)
    training = open_training(folder, copied / "config.json", command="tests")
    assert training.kind == "untrained"


def test_frozen_recurrent_weights_beside_trained_input_are_mixed(copied):
    for path in (copied / "untrained_export").glob("v1_v1*"):
        shutil.copy(path, copied / "training" / "trained_weights" / path.name)
    training = open_training(copied / "training", copied / "config.json", command="tests")
    assert training.kind == "mixed"
    report = guard.examine(training.sealed(), guard.Policy())
    assert (report.verdict, report.passed) == ("mixed", False)


def test_input_that_was_to_be_trained_and_was_not_makes_it_mixed(copied):
    shutil.copy(
        copied / "untrained_export" / "bkg_v1_edges.h5",
        copied / "training" / "trained_weights" / "bkg_v1_edges.h5",
    )
    training = open_training(copied / "training", copied / "config.json", command="tests")
    assert training.kind == "mixed"
    assert "none of 18 weights from bkg changed" in training.reason


def test_options_of_checkpoints_are_refused(sample, tmp_path, run):
    code, _, error = run(
        "convert", sample / "training", "--base", sample / "config.json", "--lgn", "9",
        "--out", tmp_path / "net.h5",
    )  # fmt: skip
    assert code == 2
    assert "n_lgn mean nothing for a training of DPointNet" in error


def test_check_of_a_training_says_what_pointnet_would_do(copied, run):
    types = copied / "network" / "v1_v1_edge_types.csv"
    lines = types.read_text().splitlines()
    types.write_text("\n".join([f"{lines[0]} nsyns", *(f"{line} 2" for line in lines[1:])]) + "\n")
    arguments = ["check", copied / "config.json", "--trained", copied / "training"]
    code, said, _ = run(*arguments, "--json", "-")
    assert code == 0
    found = {f["check"]: f for f in json.loads(said)["findings"]}
    assert found["dpointnet.nsyns"]["n_bad"] == found["dpointnet.nsyns"]["n_seen"] == 74
    assert "PointNet multiplies" not in found["dpointnet.nsyns"]["message"]
    assert "v1_v1_edges.h5:/edges/v1_to_v1" in found["dpointnet.nsyns"]["where"]
    assert json.loads(said)["verdict"] == "trained"


def test_check_of_an_untrained_folder_refuses_it(sample, run):
    code, said, _ = run("check", sample / "config.json", "--trained", sample / "untrained_export")
    assert code == 1
    assert "untrained" in said


def test_dead_cells_refuse_a_network(copied):
    path = copied / "components" / "cells" / "inh.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps({**held, "asc_decay": [1.5, 0.1]}))
    training = open_training(copied / "training", copied / "config.json", command="tests")
    report = guard.examine(training.sealed(), guard.Policy())
    assert "dpointnet.dead_cells" in {f.check for f in report.blocking}


def test_the_circuit_itself_is_a_network_and_a_baseline(sample, written, run):
    base = open_network(sample / "config.json")
    assert base.source.format == "dpointnet"
    code, said, _ = run("check", written, "--baseline", sample / "config.json", "--json", "-")
    document = json.loads(said)
    assert document["verdict"] == "trained"
    changes = [f for f in document["findings"] if f["check"] == "baseline.changes"]
    # In pA it is 0.374; here it is of weights relative to V_th - E_L.
    assert any(0.3 < f["observed"]["relative_change"] < 0.45 for f in changes)
    assert code == 0


def test_a_folder_without_edges_is_told(tmp_path, sample):
    with pytest.raises(InputError, match="has no trained edges"):
        open_training(tmp_path, sample / "config.json", command="tests")


def test_weights_of_another_circuit_are_refused(copied, run, tmp_path):
    with h5py.File(copied / "network" / "v1_v1_edges.h5", "r+") as file:
        ids = file["edges/v1_to_v1/source_node_id"]
        ids[...] = np.roll(ids[()], 1)
    code, _, error = run(
        "convert", copied / "training", "--base", copied / "config.json",
        "--out", tmp_path / "net.h5",
    )  # fmt: skip
    assert code == 2
    assert "edges are in the original only" in error
    assert not (tmp_path / "net.h5").exists()


def scaled(folder, factor):
    """Trained recurrent weights that are the original ones times a factor."""
    trained = folder / "training" / "trained_weights" / "v1_v1_edges.h5"
    shutil.copy(folder / "untrained_export" / "v1_v1_edges.h5", trained)
    with h5py.File(trained, "r+") as file:
        weight = file["edges/v1_to_v1/0/syn_weight"]
        weight[...] = weight[()] * np.float32(factor)


@pytest.mark.parametrize(("factor", "verdict"), [(1.09, "untrained"), (1.11, "trained")])
def test_a_change_below_the_minimum_counts_as_no_training(copied, factor, verdict):
    scaled(copied, factor)
    training = open_training(copied / "training", copied / "config.json", command="tests")
    assert training.kind == "trained"
    report = guard.examine(training.sealed(), guard.Policy())
    assert report.verdict == verdict
    lenient = guard.Policy(minimum=TrainingMinimum(change=0.01))
    assert guard.examine(training.sealed(), lenient).verdict == "trained"


# --- files of Keras and TensorFlow ---------------------------------------------------------------


def same_network(a, b):
    """Whether two networks are the same but for the last bits that edges files lose."""
    assert list(a.tables) == list(b.tables)
    for name, table in a.tables.items():
        other = b.tables[name]
        for column in ("pre", "post", "receptor", "delay_ms"):
            np.testing.assert_array_equal(table.columns[column], other.columns[column])
        np.testing.assert_array_max_ulp(table.weight, other.weight, maxulp=1)


@pytest.mark.parametrize("file", ["model.weights.h5", "ckpt/model-1"])
def test_weights_of_its_model_are_taken_where_the_circuit_is_named(sample, written, file):
    training = open_training(sample / "weights" / file, sample / "config.json", command="tests")
    same_network(training.network, open_network(written))
    assert training.kind == "trained"


def test_a_file_of_keras_has_the_weights_to_the_bit(sample):
    path, config = sample / "weights" / "model.weights.h5", sample / "config.json"
    weights = open_training(path, config, command="tests").weights
    truth = np.load(sample / "weights" / "internal.npz")
    np.testing.assert_array_equal(np.sort(weights.internal["v1"]), np.sort(truth["recurrent"]))
    for population in ("lgn", "bkg"):
        np.testing.assert_array_equal(
            weights.internal[population], truth[f"{population}_input_weight_values"]
        )


def noted(training) -> dict[str, object]:
    return {remark.check: remark for remark in training.network.remarks}


def test_what_such_files_leave_out_is_said(sample):
    keras, tensorflow = (
        noted(open_training(sample / "weights" / f, sample / "config.json", command="tests"))
        for f in ("model.weights.h5", "ckpt/model-1")
    )
    assert keras["dpointnet.unused_weights"].n == 125
    assert "dpointnet.frozen_input" not in keras
    assert (tensorflow["dpointnet.frozen_input"].n, tensorflow["dpointnet.frozen_input"].total) == (
        33,
        51,
    )
    assert "dpointnet.unused_weights" not in tensorflow


def test_a_file_of_keras_of_another_order_is_refused(copied):
    path = copied / "config.json"
    config = json.loads(path.read_text())
    config["inputs"]["lgn"]["trainable"] = True  # then its weights would stand before the others
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match="has 74, 18, 33 weights"):
        open_training(copied / "weights" / "model.weights.h5", path, command="tests")


def test_a_checkpoint_of_another_wiring_is_refused(copied):
    types = copied / "network" / "v1_v1_edge_types.csv"
    types.write_text(types.read_text().replace(" 3.0 ", " 2.0 "))
    with pytest.raises(InputError, match="recurrent edges have another source, target or delay"):
        open_training(copied / "weights" / "ckpt" / "model-1", copied / "config.json", command="x")


def test_a_checkpoint_without_the_circuit_says_what_is_missing(sample, tmp_path, run):
    out = tmp_path / "net.h5"
    code, _, error = run("convert", sample / "weights" / "ckpt" / "model-1", "--out", out)
    assert code == 2
    assert "--base CONFIG.json" in error


def test_a_configuration_of_a_training_is_not_run(sample, run):
    code, _, error = run("run", sample / "config.json")
    assert code == 2
    assert "is a configuration of DPointNet" in error
    assert "v1sim convert TRAINED_WEIGHTS --base config.json" in error


@pytest.mark.parametrize(
    ("limit", "most", "check"),
    [
        ("MOST_CELLS_IN_ORDER", 9, "dpointnet.row_order"),
        ("_MOST_MODELS", 4, "dpointnet.synaptic_models"),
    ],
)
def test_a_circuit_beyond_a_limit_of_its_trainer_is_told(sample, monkeypatch, limit, most, check):
    """At the limit, lowered to what the sample has, nothing is said; beyond it, how many."""
    weights, config = sample / "training" / "trained_weights", sample / "config.json"
    monkeypatch.setattr(f"v1sim.sources.dpointnet.network.{limit}", most)
    assert check not in noted(open_training(weights, config, command="tests"))
    monkeypatch.setattr(f"v1sim.sources.dpointnet.network.{limit}", most - 1)
    assert noted(open_training(weights, config, command="tests"))[check].total == most


def test_a_weight_function_that_training_ignored_is_told(copied):
    weights, config = copied / "training" / "trained_weights", copied / "config.json"
    check = "dpointnet.weight_function"
    assert check not in noted(open_training(weights, config, command="tests"))
    table = copied / "network" / "lgn_v1_edge_types.csv"
    lines = table.read_text().splitlines()
    lines = [f"{lines[0]} weight_function", *(f"{line} wmax" for line in lines[1:])]
    table.write_text("\n".join(lines) + "\n")
    found = noted(open_training(weights, config, command="tests"))[check]
    assert (found.n, found.total) == (33, 33)
