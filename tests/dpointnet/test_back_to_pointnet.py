"""Trained weights in the original rows: what PointNet builds of them on NEST, by synapse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from v1sim.conversion.dpointnet import convert
from v1sim.errors import InputError
from v1sim.sources import open_network
from v1sim.sources.dpointnet import read_circuit
from v1sim.sources.edges_like import write_edges_like

ROOT = Path(__file__).resolve().parents[2]

#: Builds PointNet's network of a configuration; writes its synapses, sources as node ids.
BUILD = """
import sys
import h5py
import numpy as np
from bmtk.simulator import pointnet

config = pointnet.Config.from_json("pointnet.json")
config.build_env()
network = pointnet.PointNetwork.from_config(config)
simulator = pointnet.PointSimulator.from_config(config, network)
import nest

held = nest.GetConnections()
rows = held.get(["source", "target", "weight", "delay", "receptor"])
names = np.array(nest.GetStatus(nest.NodeCollection(sorted(set(rows["source"]))), "model"))
model = dict(zip(sorted(set(rows["source"])), map(str, names)))
keep = [i for i, s in enumerate(rows["source"]) if model[s] == "glif_psc"]
first = min(rows["target"])
np.savez(
    "built.npz",
    source=np.array(rows["source"])[keep] - first,
    target=np.array(rows["target"])[keep] - first,
    weight=np.array(rows["weight"])[keep],
    delay=np.array(rows["delay"])[keep],
)
"""


@pytest.mark.slow
@pytest.mark.parametrize("nsyns", [1, 3])
def test_pointnet_builds_the_weights_and_delays_that_were_meant(sample, tmp_path, nsyns):
    pytest.importorskip("bmtk")
    folder = tmp_path / "sample"
    shutil.copytree(sample, folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for table in (folder / "network").glob("*_edge_types.csv"):
        lines = table.read_text().splitlines()
        lines = [f"{lines[0]} nsyns", *(f"{line} {nsyns}" for line in lines[1:])]
        table.write_text("\n".join(lines) + "\n")
    net = tmp_path / "net.h5"
    convert(folder / "training", folder / "config.json", net, command="tests")
    written = write_edges_like(
        open_network(net),
        folder / "network" / "v1_v1_edges.h5",
        command="tests",
        config=folder / "config.json",
    )
    config = json.loads((folder / "config.json").read_text())
    edges = config["networks"]["edges"]
    edges[0]["edges_file"] = str(written.path)
    inputs = {
        name: {
            "input_type": "spikes",
            "module": "sonata",
            "input_file": f"{name}_spikes.h5",
            "node_set": name,
        }
        for name in ("lgn", "bkg")
    }
    pointnet = {
        "run": {"tstop": 10.0, "dt": 0.1},
        "target_simulator": "NEST",
        "components": config["components"],
        "networks": config["networks"],
        "inputs": inputs,
        "output": {"output_dir": "output", "spikes_file": "spikes.h5"},
    }
    (folder / "pointnet.json").write_text(json.dumps(pointnet))
    done = subprocess.run(
        [sys.executable, "-c", BUILD],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]

    circuit = read_circuit(folder / "config.json")
    built, meant = np.load(folder / "built.npz"), circuit.recurrent
    weight = open_network(net).tables["v1_to_v1"].weight_pa(open_network(net))
    mine = np.lexsort((weight, meant.delay_ms, meant.source, meant.target))
    theirs = np.lexsort((built["weight"], built["delay"], built["source"], built["target"]))
    np.testing.assert_array_equal(meant.source[mine], built["source"][theirs])
    np.testing.assert_array_equal(meant.target[mine], built["target"][theirs])
    np.testing.assert_allclose(weight[mine], built["weight"][theirs], rtol=1e-6)
    np.testing.assert_allclose(meant.delay_ms[mine], built["delay"][theirs], rtol=1e-6)
    assert any("reset" in note for note in written.notes)


def test_the_configuration_of_the_training_is_found_beside_the_edges(sample, tmp_path):
    """By its digest in the provenance; another file of that name is not taken."""
    net = tmp_path / "net.h5"
    convert(sample / "training", sample / "config.json", net, command="tests")
    base = sample / "network" / "v1_v1_edges.h5"
    named, found = (
        write_edges_like(
            open_network(net), base, command="tests", out=tmp_path / name, config=config
        )
        for name, config in (("named.h5", sample / "config.json"), ("found.h5", None))
    )
    weights = []
    for written in (named, found):
        with h5py.File(written.path) as file:
            weights.append(file["edges/v1_to_v1/0/syn_weight"][()])
    np.testing.assert_array_equal(*weights)
    folder = tmp_path / "sample" / "network"
    folder.mkdir(parents=True)
    shutil.copy(base, folder)
    (folder.parent / "config.json").write_text("{}")
    with pytest.raises(InputError, match="--config"):
        write_edges_like(open_network(net), folder / base.name, command="tests")
