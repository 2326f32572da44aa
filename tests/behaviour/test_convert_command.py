"""convert, stamp, inspect, baseline and diff as commands: output, exit codes, what is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints import save_trained, tensorflow
from tests.networks import damaged, tiny_network
from v1sim.sources import open_network
from v1sim.sources.hdf5 import write_network

NETWORK = tiny_network(seed=4, zeros=0.2)


def v1sim(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "v1sim", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    tensorflow()
    return save_trained(tmp_path_factory.mktemp("made") / "ckpt-9", NETWORK)


def test_convert_then_check(checkpoint, tmp_path):
    out = tmp_path / "net.h5"
    done = v1sim("convert", checkpoint, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "trained (the optimizer made 850 updates" in done.stdout
    assert "missing: positions of the neurons" in done.stdout
    assert done.stderr == ""  # TensorFlow is quiet
    assert open_network(out).provenance.command.endswith(f"convert {checkpoint} --out {out}")
    checked = v1sim("check", out, "--strength", "proof")
    assert checked.returncode == 0
    assert "weights: trained (proof: provenance)" in checked.stdout


def test_convert_of_a_wrong_path_is_one_message(checkpoint, tmp_path):
    done = v1sim("convert", checkpoint.with_name("nope"), "--out", tmp_path / "net.h5")
    assert done.returncode == 2
    assert "no such checkpoint" in done.stderr
    assert "ckpt-9" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_stamp_and_refusal(checkpoint, tmp_path):
    path = tmp_path / "old.h5"
    weight = NETWORK.tables["recurrent"].weight.copy()
    weight[0] += np.float32(0.5)
    write_network(damaged(NETWORK, "recurrent", weight=weight), path)
    done = v1sim("stamp", path, "--checkpoint", checkpoint)
    assert done.returncode == 1
    assert "recurrent/weights: different, 1 of" in done.stdout
    assert f"1 of {len(NETWORK.tables['recurrent'])} changed" in done.stdout
    assert "class pairs changed" in done.stdout
    assert open_network(path).provenance is None
    write_network(damaged(NETWORK, "recurrent"), path)
    done = v1sim("stamp", path, "--checkpoint", f"{checkpoint}.index")
    assert done.returncode == 0, done.stdout + done.stderr
    assert open_network(path).provenance.kind == "trained"


def test_inspect_as_json(checkpoint):
    done = v1sim("inspect", checkpoint, "--json", "-")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert (found["kind"], found["iterations"], found["convertible"]) == ("trained", 850, True)
    assert found["roles"]["recurrent_weights"].endswith("recurrent_weight_values")


def test_diff_as_text_and_json(tmp_path):
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    write_network(NETWORK, a)
    write_network(damaged(NETWORK, "recurrent", weight=NETWORK.tables["recurrent"].weight * 2), b)
    done = v1sim("diff", a, b, "--json", tmp_path / "diff.json")
    assert done.returncode == 0
    assert "same network" in done.stdout
    assert "correlation 1.000" in done.stdout
    found = json.loads((tmp_path / "diff.json").read_text())
    assert found["tables"]["recurrent"]["weights"]["relative_change"] == pytest.approx(1.0)
    assert "equal: same neurons" in v1sim("diff", a, a).stdout


def test_diff_as_a_page(tmp_path):
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    write_network(NETWORK, a)
    write_network(damaged(NETWORK, "recurrent", weight=NETWORK.tables["recurrent"].weight * 2), b)
    done = v1sim("diff", a, b, "--html", tmp_path / "diff.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "diff.html").read_text()
    assert "b.h5" in page
    assert page.count("data:image/png;base64,") >= 2


@pytest.mark.slow
def test_keras_is_not_imported_but_found_afterwards(checkpoint):
    script = f"""
import sys
from pathlib import Path
from v1sim.checkpoints.bundle import read_index
from v1sim.checkpoints.checkpoint import tensorflow_reader
tensorflow_reader(read_index(Path({str(checkpoint)!r})))
assert "tensorflow" in sys.modules and "keras" not in sys.modules
from tensorflow.keras import layers
import tensorflow as tf
assert tf.keras.layers.Dense is layers.Dense
"""
    subprocess.run([sys.executable, "-c", script], check=True)
