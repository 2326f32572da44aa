"""The command line as a user meets it: a process, its exit code, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import h5py
import jsonschema
import neo
import numpy as np
import pytest
import yaml

from tests.networks import write_tiny
from v1sim.recording import read_nwb

SMALL = """
network: {network}
require: {require}
stimulus:
  kind: drifting_gratings
  directions_deg: [0, 90]
  trials: 2
  grey_ms: 50
  grating_ms: 200
recording:
  voltage_of: [3]
"""


def v1sim(
    *arguments: object,
    cwd: Path,
    timeout: float = 120,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "v1sim", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.h5"
    write_tiny(path)
    return path


@pytest.fixture
def config(tmp_path: Path, network: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.format(network=network.name, require="constructed"))
    return path


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """One clear message, no traceback, the exit code of the contract."""
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert "Traceback" not in text
    flat = " ".join(text.split())
    for part in parts:
        assert part in flat, text


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name not in ("tiny.h5", "small.yaml")]


def test_a_perturbed_run_says_what_was_built(config, tmp_path):
    """The network's digest is the file's; what was built differs from it, and says so."""
    built = {}
    scale = "perturb=[{kind: scale, projection: lgn, factor: 2.0}]"
    for name, more in (("plain", ()), ("scaled", ("--set", scale))):
        done = v1sim("run", config, "--out", name, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        with h5py.File(tmp_path / name / "spikes.h5") as file:
            annotations = json.loads(file["v1sim/annotations"][()])
        block = read_nwb(tmp_path / name / "spikes.nwb").to_neo()
        assert json.loads(block.annotations["built"]) == annotations["built"]
        assert annotations["configuration"]["seed"] == 1
        built[name] = annotations
    plain, scaled = built["plain"], built["scaled"]
    assert plain["network_sha256"] == scaled["network_sha256"]
    assert plain["built"]["recurrent"] == scaled["built"]["recurrent"]
    assert plain["built"]["lgn"] != scaled["built"]["lgn"]
    assert (plain["perturb"], scaled["perturb"][0]["factor"]) == ([], 2.0)


def test_run_leaves_a_complete_folder(config, tmp_path):
    done = v1sim("run", config, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out"
    assert {p.name for p in folder.iterdir()} == {
        "classes.csv",
        "config.yaml",
        "neurons.csv",
        "report.html",
        "report.json",
        "spikes.h5",
        "spikes.nwb",
        "summary.png",
    }
    report = json.loads((folder / "report.json").read_text())
    assert report["guard"]["passed"] is True
    assert report["guard"]["verdict"] == "constructed"
    assert any("not trained" in note for note in report["notes"])
    assert all(r["equal_to_plan"] for r in report["simulation"]["read_back"])
    block = neo.io.NWBIO(str(folder / "spikes.nwb"), mode="r").read_all_blocks()[0]
    n_neo = sum(len(train) for segment in block.segments for train in segment.spiketrains)
    with h5py.File(folder / "spikes.h5") as file:
        n_sonata = sum(len(group["timestamps"]) for group in file["spikes"].values())
    assert n_neo == n_sonata > 50
    for name in ("summary.png", "classes.csv", "report.html"):
        (folder / name).unlink()
    renewed = v1sim("report", folder, cwd=tmp_path)
    assert renewed.returncode == 0, renewed.stderr
    assert json.loads((folder / "report.json").read_text()) == report
    assert all((folder / name).exists() for name in ("summary.png", "classes.csv", "report.html"))
    assert_refused(v1sim("report", tmp_path, cwd=tmp_path), 2, "report.json", "v1sim run")
    again = v1sim("run", folder / "config.yaml", "--out", "again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    with h5py.File(folder / "spikes.h5") as a, h5py.File(tmp_path / "again" / "spikes.h5") as b:
        for name in ("node_ids", "timestamps"):
            np.testing.assert_array_equal(a[f"spikes/v1/{name}"], b[f"spikes/v1/{name}"])


def test_screen_is_quiet(config, tmp_path):
    done = v1sim("run", config, "--out", "out", cwd=tmp_path)
    text = done.stdout + done.stderr
    for noise in ("Warning", "NEST comes", "Copyright", "nest-config", "deprecated", "cmake"):
        assert noise not in text, text


def test_dry_run_builds_and_writes_nothing(config, tmp_path):
    done = v1sim("run", config, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("populations", "recurrent", "synapses", "4 trials", "expected: about", "MB"):
        assert part in done.stdout
    assert leftovers(tmp_path) == []


def test_refused_network_makes_no_neuron_and_no_folder(config, tmp_path):
    done = v1sim("run", config, "--set", "require=trained", "--out", "out", cwd=tmp_path)
    assert_refused(done, 1, "REFUSED", "constructed", "no neuron was created")
    assert leftovers(tmp_path) == []


def test_damaged_weight_is_refused_and_named(config, network, tmp_path):
    with h5py.File(network, "r+") as file:
        file["recurrent/weights"][7] = np.nan
    done = v1sim("run", config, "--set", "require=any", "--out", "out", cwd=tmp_path)
    assert_refused(done, 1, "REFUSED", "recurrent/weights", "not finite")
    assert leftovers(tmp_path) == []


def test_a_waiver_is_one_check_with_a_reason_and_stands_in_the_report(config, network, tmp_path):
    with h5py.File(network, "r+") as file:
        largest = np.argmax(file["recurrent/weights"][()])
        file["recurrent/weights"][largest] *= 1000
    refused = v1sim("check", network, "--require", "any", "--json", "r.json", cwd=tmp_path)
    assert refused.returncode == 1
    findings = json.loads((tmp_path / "r.json").read_text())["findings"]
    blocking = {f["check"] for f in findings if f["severity"] == "error"}
    waivers = [w for check in blocking for w in ("--waive", f"{check}=known outlier")]
    done = v1sim("check", network, "--require", "any", "--json", "r.json", *waivers, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "known outlier" in " ".join(done.stdout.split())
    bad = v1sim("check", network, "--waive", "units.psp", cwd=tmp_path)
    assert_refused(bad, 2, "--waive", "CHECK=REASON")


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (lambda p: p.unlink(), ["tiny.h5", "no such file"]),
        (lambda p: p.write_bytes(b"not an HDF5 file" * 99), ["tiny.h5", "HDF5"]),
        (lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]), ["tiny.h5"]),
        (lambda p: h5py.File(p, "r+").__delitem__("recurrent/delays"), ["recurrent/delays"]),
    ],
    ids=["missing", "not HDF5", "truncated", "missing dataset"],
)
def test_unreadable_network(config, network, tmp_path, damage, parts):
    damage(network)
    done = v1sim("run", config, "--out", "out", cwd=tmp_path)
    assert_refused(done, 2, *parts)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*part"))
    checked = v1sim("check", network, "--json", "r.json", cwd=tmp_path)
    assert_refused(checked, 2, *parts)


def test_wrong_configuration(config, tmp_path):
    config.write_text(config.read_text() + "sed: 1\n")
    assert_refused(v1sim("run", config, cwd=tmp_path), 2, "sed (line 12)", "unknown", "'seed'")
    assert_refused(v1sim("run", "missing.yaml", cwd=tmp_path), 2, "missing.yaml", "cannot be read")
    assert_refused(v1sim("run", cwd=tmp_path), 2)
    assert_refused(v1sim("fly", cwd=tmp_path), 2)


def test_output_folder_in_use_or_unwritable(config, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("x")
    done = v1sim("run", config, "--out", "out", cwd=tmp_path)
    assert_refused(done, 2, "out", "not empty", "--out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["precious.txt"]
    done = v1sim("run", config, "--out", "/proc/nowhere/out", cwd=tmp_path)
    assert_refused(done, 2, "/proc/nowhere/out", "cannot be written")


def test_voltage_of_a_neuron_that_is_not_there(config, tmp_path):
    done = v1sim("run", config, "--set", "recording.voltage_of=[60]", "--out", "o", cwd=tmp_path)
    assert_refused(done, 2, "neuron 60", "recording.voltage_of", "0 to 59")


def test_gratings_need_the_filters_of_the_lgn(config, network, tmp_path):
    network.unlink()
    write_tiny(network, lgn_cells=False)
    done = v1sim("run", config, "--out", "out", cwd=tmp_path)
    assert_refused(done, 2, "positions and filters", "lgn_table")


def test_interrupted_run_leaves_nothing(config, tmp_path):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "v1sim", "run", config, "--out", "out"),
            *("--set", "stimulus.trials=400", "--set", "simulation.between_trials=rebuild"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:  # until it simulates
        if line.startswith(("read-back", "simulate")):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, out + err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert leftovers(tmp_path) == []


def test_build_column_is_read_checked_and_the_same_by_seed(tmp_path):
    for name, seed in (("a.h5", 3), ("b.h5", 3), ("c.h5", 4)):
        done = v1sim("build-column", "--out", name, "--neurons", 300, "--seed", seed, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "constructed, not trained" in " ".join(done.stdout.split())
    digests = {}
    for name in ("a.h5", "b.h5", "c.h5"):
        done = v1sim("check", name, "--require", "constructed", "--json", "r.json", cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        report = json.loads((tmp_path / "r.json").read_text())
        assert report["verdict"] == "constructed"
        assert report["proof"] == "provenance"
        digests[name] = report["network_sha256"]
    assert digests["a.h5"] == digests["b.h5"] != digests["c.h5"]
    assert v1sim("check", "a.h5", cwd=tmp_path).returncode == 1  # not trained


def test_the_doctor_names_versions_parts_and_what_to_do(tmp_path):
    done = v1sim("doctor", "--json", "d.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("v1sim", "nest-simulator", "pynn", "nest threads", "nest mpi", "usable cores"):
        assert part in done.stdout
    schema = Path(__file__).parents[2] / "docs" / "schemas" / "doctor.schema.json"
    written = json.loads((tmp_path / "d.json").read_text())
    jsonschema.validate(written, json.loads(schema.read_text()))
    states = {part["part"]: part["state"] for part in written["parts"]}
    assert states["NEST"] == states["file locks here"] == "good"
    assert leftovers(tmp_path) == ["d.json"]


@pytest.mark.parametrize(
    ("variables", "part", "seen", "advice"),
    [
        ({"OMP_PLACES": "cores", "OMP_PROC_BIND": "true"}, "thread binding", "OMP_PLACES", "unset"),
        ({"PMI_SIZE": "4", "PMI_RANK": "0"}, "MPI", "4 processes", "start one process"),
        ({"XDG_CACHE_HOME": "/proc/nowhere"}, "cache", "/proc/nowhere", "XDG_CACHE_HOME"),
    ],
)
def test_the_doctor_sees_what_is_wrong(tmp_path, variables, part, seen, advice):
    done = v1sim("doctor", "--json", "-", cwd=tmp_path, environment=variables)
    found = {one["part"]: one for one in json.loads(done.stdout)["parts"]}[part]
    assert found["state"] in ("doubtful", "bad")
    assert done.returncode == (2 if found["state"] == "bad" else 0)
    assert seen in found["seen"]
    assert advice in found["what_to_do"]


def test_v1sim_alone_shows_the_way(tmp_path):
    done = v1sim(cwd=tmp_path)
    assert done.returncode == 0
    verbs = set(re.findall(r"^  v1sim ([a-z-]+)", done.stdout, re.MULTILINE))
    assert {"run", "check", "convert", "compare", "batch", "doctor"} <= verbs
    for verb in verbs:
        assert v1sim(verb, "--help", cwd=tmp_path).returncode == 0


def test_version_debug_completion_and_near_misses(tmp_path, config):
    assert re.fullmatch(r"v1sim \d+\.\d+\S*\n", v1sim("--version", cwd=tmp_path).stdout)
    assert "--debug" in v1sim("--help", cwd=tmp_path).stdout
    completed = v1sim(
        cwd=tmp_path,
        environment={
            "_V1SIM_COMPLETE": "complete_bash",
            "COMP_WORDS": "v1sim che",
            "COMP_CWORD": "1",
        },
    )
    assert completed.stdout.split() == ["check"]
    assert_refused(v1sim("chek", "a.h5", cwd=tmp_path), 2, "Did you mean 'check'?")
    assert_refused(v1sim("run", config, "--dryrun", cwd=tmp_path), 2, "--dry-run")
    refused = v1sim("run", config, "--set", "stimulus.trails=1", cwd=tmp_path)
    assert_refused(refused, 2, "did you mean 'trials'?")


def test_real_trained_network_runs_on_its_stimuli(training, tmp_path):
    config = {
        "network": str(training.files["trained"]),
        "stimulus": {
            "kind": "probabilities",
            "file": str(training.stimuli),
            "samples": [0, 1, 2],
        },
        "background": "shared_binomial",
    }
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(config))
    done = v1sim("run", path, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["guard"]["verdict"] == "trained"
    assert 0.1 < report["results"]["mean_rate_hz"] < 30
    shutil.rmtree(tmp_path / "out")
    for name in ("untrained", "few_steps", "fallback"):
        network = training.files[name]
        done = v1sim("run", path, "--set", f"network={network}", "--out", "out", cwd=tmp_path)
        assert_refused(done, 1, "REFUSED")
        assert not (tmp_path / "out").exists()
