"""The watch over a run, on NEST: findings in the report, and an early end that changes no spike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.behaviour.test_command_line import SMALL, assert_refused, leftovers, v1sim
from tests.networks import tiny_network, write_tiny
from v1sim.model import SynapseTable
from v1sim.sources.hdf5 import write_network


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "tiny.h5")
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.format(network="tiny.h5", require="constructed"))
    return path


def spikes(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(folder / "spikes.h5") as file:
        return file["spikes/v1/node_ids"][()], file["spikes/v1/timestamps"][()]


def test_an_early_look_changes_no_spike_and_findings_are_in_the_report(config, tmp_path):
    # 320 ms: into the second trial, in the middle of its grating.
    for name, options in (
        ("plain", []),
        ("watched", ["--set", "watch.fail_fast=true", "--set", "watch.fail_fast_ms=320"]),
    ):
        done = v1sim("run", config, "--out", name, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    for plain, watched in zip(
        spikes(tmp_path / "plain"), spikes(tmp_path / "watched"), strict=True
    ):
        np.testing.assert_array_equal(plain, watched)
    report = json.loads((tmp_path / "watched" / "report.json").read_text())
    read_back = [f for f in report["findings"] if f["check"] == "build.read_back"]
    assert {f["where"] for f in read_back} >= {"projection recurrent"}
    assert all(f["n_bad"] == 0 < f["n_seen"] for f in read_back)
    assert "Findings of the run" in (tmp_path / "watched" / "report.html").read_text()


def test_a_hopeless_run_ends_early_with_a_message(config, tmp_path):
    options = ["--set", "watch.exploding_above_hz=0.1"]
    done = v1sim("run", config, "--out", "told", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "told" / "report.json").read_text())
    assert "run.exploding" in {f["check"] for f in report["findings"]}
    done = v1sim(
        "run", config, "--out", "out", *options, "--set", "watch.fail_fast=true", cwd=tmp_path
    )
    assert_refused(done, 3, "stopped after 200 ms", "run.exploding", "watch.fail_fast: false")
    assert leftovers(tmp_path) == ["told"]


@pytest.mark.parametrize(("on_error", "code"), [("report", 0), ("fail", 3)])
def test_errors_of_a_run_stand_in_its_last_lines_and_headline(config, tmp_path, on_error, code):
    """Every class above the limit: the run is complete, and nothing about it looks like success."""
    done = v1sim(
        *("run", config, "--out", "out", "--set", "watch.exploding_above_hz=0.1"),
        *("--set", f"watch.on_error={on_error}"),
        cwd=tmp_path,
    )
    assert done.returncode == code, done.stderr
    assert leftovers(tmp_path) == ["out"]
    last = done.stdout.strip().splitlines()[-8:]
    assert any("THE RUN SHOWS ERRORS" in line for line in last)
    assert "run.exploding: " in "\n".join(last)
    assert "what to do: " in last[-1]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("The run shows errors") < page.index("Gate: passed")
    good = v1sim("run", config, "--out", "good", cwd=tmp_path)
    assert good.returncode == 0
    assert "SHOWS ERRORS" not in good.stdout
    assert "The run shows errors" not in (tmp_path / "good" / "report.html").read_text()


@pytest.mark.parametrize("tables", [("recurrent",), ("lgn",), ("recurrent", "lgn")])
def test_a_network_without_synapses_runs_under_the_waiver_for_it(config, tmp_path, tables):
    network = tiny_network().with_tables(**dict.fromkeys(tables, SynapseTable.empty()))
    write_network(replace(network, provenance=None), tmp_path / "tiny.h5")
    for dynamics in ("glif_psc", "training"):
        options = ("--set", "require=any", "--set", f"simulation.dynamics={dynamics}")
        refused = v1sim("run", config, "--out", "no", *options, cwd=tmp_path)
        assert_refused(refused, 1, "there are no synapses")
        done = v1sim(
            *("run", config, "--out", dynamics, *options),
            *("--waive", "structure.no_synapses=a control without these synapses"),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        report = json.loads((tmp_path / dynamics / "report.json").read_text())
        assert report["guard"]["passed"]
        assert "a control without these synapses" in str(report["guard"]["waived"])
    page = v1sim("check", "tiny.h5", "--html", "r.html", "--require", "any", cwd=tmp_path)
    assert page.returncode == 1
    assert "structure.no_synapses" in (tmp_path / "r.html").read_text()
