"""SONATA configurations: variables, paths, sections, keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from v1sim.errors import NetworkFileError
from v1sim.sources.sonata.config import read_config

CIRCUIT = {
    "manifest": {"$BASE_DIR": "${configdir}", "$NET": "${BASE_DIR}/network"},
    "components": {"point_neuron_models_dir": "$BASE_DIR/cells"},
    "networks": {
        "nodes": [{"nodes_file": "$NET/v1_nodes.h5", "node_types_file": "${NET}/v1_types.csv"}],
        "edges": [
            {"edges_file": "$NET/v1_v1.h5", "edge_types_file": "$NET/v1_v1.csv", "enabled": False}
        ],
    },
}
SIMULATION = {
    "manifest": {"$BASE_DIR": "."},
    "network": "$BASE_DIR/circuit_config.json",
    "run": {"tstop": 100, "dt": 0.25},
    "inputs": {
        "LGN": {
            "input_type": "spikes",
            "module": "h5",
            "input_file": "$BASE_DIR/lgn.h5",
            "node_set": "lgn",
        }
    },
    "output": {"output_dir": "out", "spikes_file": "spikes.h5"},
}


def write(folder: Path, **files: object) -> Path:
    """Write JSON files; the path of the last."""
    for name, content in files.items():
        path = folder / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def names(path: Path) -> list[str]:
    return [remark.check for remark in read_config(path).remarks]


def test_circuit_and_simulation(tmp_path):
    path = write(tmp_path, circuit_config=CIRCUIT, simulation_config=SIMULATION)
    config = read_config(path)
    assert config.networks.nodes[0].nodes == (tmp_path / "network" / "v1_nodes.h5",)
    assert config.networks.nodes[0].types == (tmp_path / "network" / "v1_types.csv",)
    assert not config.networks.edges[0].enabled
    assert config.components["point_neuron_models_dir"] == str(tmp_path / "cells")
    assert config.run is not None
    assert (config.run.dt_ms, config.run.duration_ms) == (0.25, 100.0)
    (lgn,) = config.inputs
    assert (lgn.name, lgn.module, lgn.node_set, lgn.enabled) == ("LGN", "h5", "lgn", True)
    assert lgn.input_file == (tmp_path / "lgn.h5",)
    assert config.output["spikes_file"] == str(tmp_path / "out" / "spikes.h5")
    assert config.is_simulation


@pytest.mark.parametrize("both", [True, False])
def test_a_configuration_of_both(tmp_path, both):
    """One file that names both, each naming the circuit too; or both in one file."""
    if both:
        named = {"network": "./circuit_config.json", "simulation": "./simulation_config.json"}
        path = write(tmp_path, circuit_config=CIRCUIT, simulation_config=SIMULATION, config=named)
    else:
        one = {**SIMULATION, **CIRCUIT}
        del one["network"]
        path = write(tmp_path, config=one)
    config = read_config(path)
    assert config.run is not None and config.run.dt_ms == 0.25
    assert config.networks.nodes[0].nodes == (tmp_path / "network" / "v1_nodes.h5",)
    assert "sonata.section_replaced" not in [r.check for r in config.remarks]


def test_relative_paths_are_noted_where_bmtk_looks_elsewhere(tmp_path, monkeypatch):
    path = write(tmp_path, circuit_config=CIRCUIT, simulation_config=SIMULATION)
    assert "sonata.relative_path" in names(path)
    monkeypatch.chdir(tmp_path)
    assert "sonata.relative_path" not in names(Path(path.name))


def test_node_sets(tmp_path):
    sets = {"some": {"population": "v1", "node_id": [0, 3]}, "same": "some"}
    path = write(tmp_path, sets=sets, config={**CIRCUIT, "node_sets_file": "sets.json"})
    config = read_config(path)
    assert config.node_set("same") == sets["some"]
    assert config.node_set("v1") == {"population": "v1"}
    assert config.node_set("all") == {}
    assert config.node_set({"ei": "e"}) == {"ei": "e"}


@pytest.mark.parametrize(
    ("changes", "check", "seen"),
    [
        ({"input": {}}, "sonata.misspelt_key", "inputs"),
        ({"run": {"tstop": 1.0, "dt": 0.1, "t_stop": 2.0}}, "sonata.unknown_key", "run.t_stop"),
        ({"run": {"t_stop": 1.0, "dt": 0.1}}, "sonata.misspelt_key", "run.t_stop"),
        ({"weather": 1}, "sonata.unknown_key", "weather"),
        ({"networks": {"node": []}}, "sonata.misspelt_key", "networks.node"),
        (
            {"inputs": {"a": {"input_type": "spikes", "module": "h5", "enabled": False}}},
            "sonata.input_disabled",
            "inputs.a",
        ),
        (
            {"inputs": {"a": {"input_type": "spikes", "module": "h6"}}},
            "sonata.input_module",
            "h6",
        ),
    ],
)
def test_odd_keys(tmp_path, changes, check, seen):
    assert check not in names(write(tmp_path, config=CIRCUIT))
    remarks = read_config(write(tmp_path, config={**CIRCUIT, **changes})).remarks
    assert seen in next(remark.message for remark in remarks if remark.check == check)


def test_a_key_twice(tmp_path):
    text = json.dumps(CIRCUIT)[:-1] + ', "inputs": {"a": {}, "a": {}}}'
    text = text.replace('"a": {}', '"a": {"input_type": "spikes", "module": "h5"}')
    assert "sonata.duplicate_key" in names(write(tmp_path, config=text))


def test_a_section_of_the_named_file_wins(tmp_path):
    own = {"network": "circuit_config.json", "components": {"point_neuron_models_dir": "/other"}}
    path = write(tmp_path, circuit_config=CIRCUIT, config=own)
    assert read_config(path).components["point_neuron_models_dir"] == str(tmp_path / "cells")
    assert "sonata.section_replaced" in names(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{ // comment\n}", "no JSON: line 1"),
        ("[1, 2]", "holds a list"),
        ("", "is empty"),
        ("[" * 100_000, "no JSON"),
        ({"networks": {"nodes": {"a": 1}}}, "networks.nodes is an object"),
        ({"networks": {"nodes": [{"nodes_file": "a.h5"}]}}, "no node_types_file"),
        ({"networks": {"gap_juncs": [{"gap_juncs_file": "a"}]}}, "gap junctions"),
        ({"manifest": {"$A": "$B", "$B": "$A"}}, "name each other"),
        ({"manifest": {"$DIR": "/x"}, "components": {"a_dir": "$DIRS/y"}}, "no variable DIRS"),
        ({"components": {"point_neuron_models_dir": True}}, "point_neuron_models_dir is true"),
        ({"manifest": {"$A": 1}}, "manifest.$A is a number"),
        ({"run": {"dt": 0}}, "run.dt is 0"),
        ({"run": {"dt": "0.1"}}, "run.dt is a text"),
        ({"run": {"tstop": float("inf")}}, "run.tstop is inf"),
        ({"inputs": {"a": {"module": "h5"}}}, "no input_type"),
        ({"network": "config.json"}, "names itself"),
        ({"network": "absent.json"}, "absent.json"),
    ],
)
def test_one_clear_message(tmp_path, content, message):
    with pytest.raises(NetworkFileError) as caught:
        read_config(write(tmp_path, config=content))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_public_configurations(shared_data):
    found = {
        name: read_config(shared_data / "sonata" / name)
        for name in (
            "mini_v1/circuit_config.json",
            "mini_v1/simulation_config.json",
            "300_pointneurons/config.json",
            "point_450glifs/config.simulation.json",
        )
    }
    assert {name: len(config.networks.edges) for name, config in found.items()} == {
        "mini_v1/circuit_config.json": 5,
        "mini_v1/simulation_config.json": 5,
        "300_pointneurons/config.json": 2,
        "point_450glifs/config.simulation.json": 2,
    }
    for config in found.values():
        entries = (*config.networks.nodes, *config.networks.edges)
        files = [f for e in entries for f in (getattr(e, "nodes", None) or e.edges, e.types)]
        assert all(path.is_file() for group in files for path in group)
        assert {r.check for r in config.remarks} <= {"sonata.relative_path"}
