"""A circuit's trained edges beside its plain ones: the verdict, by baseline and by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.sonata.base import base_circuit
from v1sim import guard
from v1sim.model import CheckReport
from v1sim.sources import open_network
from v1sim.sources.sonata.suffix import claims_training, plain_file

Array = np.ndarray[Any, Any]
Change = Callable[[h5py.Group], None]


def trained(root: h5py.Group) -> None:
    """Weights as a training moves them, signs kept, a tenth of them to zero."""
    rng = np.random.default_rng(5)
    for group in ("0", "1"):
        weight = root[group]["syn_weight"]
        values = weight[:] * rng.lognormal(0, 0.5, len(weight))
        values[rng.random(len(weight)) < 0.1] = 0.0
        weight[:] = values


def untouched(root: h5py.Group) -> None:
    """The weights as they were."""


def twin(folder: Path, suffix: str, change: Change, population: str = "v1_to_v1") -> Path:
    """The plain circuit, and one whose edges have a suffix: returns its configuration."""
    if not (folder / "circuit_config.json").is_file():
        base_circuit().write(folder)
    network = folder / "network"
    name = f"{population}_edges{suffix}.h5"
    shutil.copy(network / f"{population}_edges.h5", network / name)
    with h5py.File(network / name, "r+") as file:
        change(file[f"edges/{population}"])
    content = json.loads((folder / "circuit_config.json").read_text())
    for entry in content["networks"]["edges"]:
        if entry["edges_file"].endswith(f"/{population}_edges.h5"):
            entry["edges_file"] = f"$NETWORK_DIR/{name}"
    path = folder / f"config{suffix}.json"
    path.write_text(json.dumps(content))
    return path


def checked(path: Path, baseline: Path | None = None) -> CheckReport:
    return guard.examine(open_network(path), guard.Policy(baseline=baseline))


def test_trained_edges_are_trained_by_the_plain_ones(tmp_path: Path) -> None:
    report = checked(twin(tmp_path, "_bio_trained", trained), tmp_path / "circuit_config.json")
    assert (report.verdict, report.proof) == ("trained", "baseline")
    assert report.passed, [f.message for f in report.blocking]
    verdicts = {name: one.verdict for name, one in report.arrays.items()}
    assert verdicts["edges/v1_to_v1/syn_weight"] == "trained"
    assert verdicts["edges/lgn_to_v1/syn_weight"] == "untrained"  # of the same file in both


def test_rows_in_another_order_are_matched(tmp_path: Path) -> None:
    def shuffled(root: h5py.Group) -> None:
        trained(root)
        order = np.random.default_rng(6).permutation(len(root["source_node_id"]))
        for name in ("source_node_id", "target_node_id", "edge_type_id"):
            root[name][:] = root[name][:][order]
        for name in ("edge_group_id", "edge_group_index"):
            root[name][:] = root[name][:][order]

    report = checked(twin(tmp_path, "_bio_trained", shuffled), tmp_path / "circuit_config.json")
    assert (report.verdict, report.proof) == ("trained", "baseline")


def test_the_plain_weights_under_a_trained_name_are_refused_by_name(tmp_path: Path) -> None:
    path = twin(tmp_path, "_bio_trained", untouched)
    for baseline in (None, tmp_path / "circuit_config.json"):
        report = checked(path, baseline)
        (found,) = (f for f in report.blocking if f.check == "sonata.suffix_untrained")
        assert "its name says bio_trained, but all 480 weights are those of v1_to_v1_edges.h5" in (
            found.message
        )
        assert not report.passed
    assert report.verdict == "untrained"


def test_they_are_refused_in_another_order_too(tmp_path: Path) -> None:
    def reversed_rows(root: h5py.Group) -> None:
        for name in ("source_node_id", "target_node_id", "edge_type_id"):
            root[name][:] = root[name][:][::-1]
        root["0/syn_weight"][:] = root["0/syn_weight"][:][::-1]
        root["0/nsyns"][:] = root["0/nsyns"][:][::-1]

    report = checked(twin(tmp_path, "_naive", reversed_rows, "lgn_to_v1"))
    assert "sonata.suffix_untrained" in {f.check for f in report.blocking}


def test_the_plain_circuit_against_itself_is_untrained(tmp_path: Path) -> None:
    twin(tmp_path, "_bio_trained", trained)
    plain = tmp_path / "circuit_config.json"
    report = checked(plain, plain)
    assert report.verdict == "untrained"
    assert "sonata.suffix_untrained" not in {f.check for f in report.findings}


def test_one_trained_weight_is_enough_for_the_name_but_not_for_the_baseline(tmp_path: Path) -> None:
    def nudged(root: h5py.Group) -> None:
        root["0/syn_weight"][3] *= 1.001

    report = checked(twin(tmp_path, "_bio_trained", nudged), tmp_path / "circuit_config.json")
    assert "sonata.suffix_untrained" not in {f.check for f in report.findings}
    assert report.verdict == "untrained"
    assert not report.passed


def test_an_unnamed_trained_file_keeps_the_rules_of_other_networks(tmp_path: Path) -> None:
    """Names that say nothing: the LGN's unchanged weights may be frozen, or lost."""
    path = twin(tmp_path / "trained", "_bio_trained", trained)
    network = tmp_path / "trained" / "network"
    shutil.move(network / "v1_to_v1_edges_bio_trained.h5", network / "v1_to_v1_edges.h5")
    path = tmp_path / "trained" / "circuit_config.json"
    base_circuit().write(tmp_path / "plain")
    report = checked(path, tmp_path / "plain" / "circuit_config.json")
    assert report.arrays["edges/v1_to_v1/syn_weight"].verdict == "trained"
    assert report.verdict == "mixed"


@pytest.mark.parametrize("suffix", ["bio_trained", "naive", "trained", "epoch12", "bio", "learned"])
def test_names_that_claim_a_training(suffix: str, tmp_path: Path) -> None:
    assert claims_training(suffix)
    (tmp_path / "v1_v1_edges.h5").touch()
    path = tmp_path / f"v1_v1_edges_{suffix}.h5"
    assert plain_file(path) == tmp_path / "v1_v1_edges.h5"


@pytest.mark.parametrize("suffix", ["", "untrained", "plain", "initial", "copy", "100um", "v2"])
def test_names_that_do_not(suffix: str, tmp_path: Path) -> None:
    assert not claims_training(suffix)
    (tmp_path / "v1_v1_edges.h5").touch()
    assert plain_file(tmp_path / f"v1_v1_edges_{suffix}.h5") is None
