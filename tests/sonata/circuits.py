"""Small SONATA circuits as plain data, and how they are written with h5py and csv.

What is written is what the specification of SONATA and BMTK's own files look like; nothing of
v1sim is used, so that a fault of its reader cannot be hidden by the same fault here.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Array = np.ndarray[Any, Any]
Row = dict[str, Any]


@dataclass
class Nodes:
    """A population of nodes; ``types`` has a row of the csv by id, ``columns`` those by group."""

    name: str
    types: dict[int, Row]
    type_id: Array
    node_id: Array | None = None
    group: Array | None = None
    group_index: Array | None = None
    columns: dict[int, dict[str, Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.type_id)
        self.node_id = np.arange(n) if self.node_id is None else self.node_id
        self.group = np.zeros(n, dtype=int) if self.group is None else self.group
        if self.group_index is None:
            self.group_index = index_in_group(self.group)
        for group in np.unique(self.group):
            self.columns.setdefault(int(group), {})

    def __len__(self) -> int:
        return len(self.type_id)


@dataclass
class Edges:
    """A population of edges; ``types`` has a row of the csv by id, ``columns`` those by group."""

    name: str
    source: str
    target: str
    types: dict[int, Row]
    source_id: Array
    target_id: Array
    type_id: Array
    group: Array | None = None
    columns: dict[int, dict[str, Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.group is None:
            self.group = np.zeros(len(self.type_id), dtype=int)
        for group in np.unique(self.group):
            self.columns.setdefault(int(group), {})

    def __len__(self) -> int:
        return len(self.type_id)


@dataclass
class Spikes:
    """Spikes of an input, and the layout of their file: sonata, old, csv or nwb."""

    population: str
    node_id: Array
    time_ms: Array
    layout: str = "sonata"


@dataclass
class Circuit:
    """A circuit with its inputs and the configuration that runs it.

    ``form`` is how many files the configuration has: 1, 2 (simulation naming circuit) or 3
    (a config.json that names both).
    """

    nodes: list[Nodes]
    edges: list[Edges]
    cell_models: dict[str, Row]
    synaptic_models: dict[str, Row]
    inputs: dict[str, tuple[Row, Spikes | None]]
    dt_ms: float
    stop_ms: float
    run: Row = field(default_factory=dict)
    node_sets: Row | None = None
    reports: Row = field(default_factory=dict)
    form: int = 2

    def write(self, folder: Path) -> Path:
        """Write everything; returns the configuration to run."""
        for name in ("network", "inputs", "components/cell_models", "components/synaptic_models"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for kind, models in (("cell", self.cell_models), ("synaptic", self.synaptic_models)):
            for name, values in models.items():
                path = folder / "components" / f"{kind}_models" / name
                path.write_text(json.dumps(values, indent=1))
        networks: dict[str, list[Row]] = {"nodes": [], "edges": []}
        for nodes in self.nodes:
            write_nodes(nodes, folder / "network")
            networks["nodes"].append(_files("node", nodes.name, nodes.name))
        for edges in self.edges:
            write_edges(edges, folder / "network")
            networks["edges"].append(_files("edge", edges.name, edges.name))
        circuit = {
            "manifest": {"$BASE_DIR": "${configdir}", "$NETWORK_DIR": "$BASE_DIR/network"},
            "components": {
                "point_neuron_models_dir": "$BASE_DIR/components/cell_models",
                "synaptic_models_dir": "$BASE_DIR/components/synaptic_models",
            },
            "networks": networks,
        }
        simulation: Row = {
            "manifest": {"$BASE_DIR": "${configdir}", "$OUTPUT_DIR": "$BASE_DIR/output"},
            "target_simulator": "NEST",
            "run": {"tstop": self.stop_ms, "dt": self.dt_ms} | self.run,
            "inputs": {
                name: self._input(name, entry, spikes, folder)
                for name, (entry, spikes) in self.inputs.items()
            },
            "output": {
                "output_dir": "$OUTPUT_DIR",
                "log_file": "log.txt",
                "spikes_file": "spikes.h5",
                "overwrite_output_dir": True,
            },
        }
        if self.reports:
            simulation["reports"] = self.reports
        if self.node_sets is not None:
            (folder / "node_sets.json").write_text(json.dumps(self.node_sets))
            simulation["node_sets_file"] = "$BASE_DIR/node_sets.json"
        return _write_configurations(folder, circuit, simulation, self.form)

    @staticmethod
    def _input(name: str, entry: Row, spikes: Spikes | None, folder: Path) -> Row:
        if spikes is None:
            return dict(entry)
        suffix = {"csv": "csv", "nwb": "nwb"}.get(spikes.layout, "h5")
        path = folder / "inputs" / f"{name}.{suffix}"
        write_spikes(spikes, path)
        module = {"csv": "csv", "nwb": "nwb", "old": "h5"}.get(spikes.layout, "sonata")
        made = {
            "input_type": "spikes",
            "module": module,
            "input_file": f"$BASE_DIR/inputs/{path.name}",
            "node_set": spikes.population,
        }
        return {key: value for key, value in (made | entry).items() if value is not None}


def _write_configurations(folder: Path, circuit: Row, simulation: Row, form: int) -> Path:
    if form == 1:
        manifest = circuit["manifest"] | simulation["manifest"]
        both = circuit | simulation | {"manifest": manifest}
        return _write_json(folder / "config.json", both)
    _write_json(folder / "circuit_config.json", circuit)
    if form == 3:
        _write_json(folder / "simulation_config.json", simulation)
        both = {
            "manifest": {"$BASE_DIR": "${configdir}"},
            "network": "$BASE_DIR/circuit_config.json",
            "simulation": "$BASE_DIR/simulation_config.json",
        }
        return _write_json(folder / "config.json", both)
    simulation = simulation | {"network": "$BASE_DIR/circuit_config.json"}
    return _write_json(folder / "simulation_config.json", simulation)


def _write_json(path: Path, values: Row) -> Path:
    path.write_text(json.dumps(values, indent=1))
    return path


def _files(kind: str, data: str, types: str) -> Row:
    return {
        f"{kind}s_file": f"$NETWORK_DIR/{data}_{kind}s.h5",
        f"{kind}_types_file": f"$NETWORK_DIR/{types}_{kind}_types.csv",
    }


def index_in_group(group: Array) -> Array:
    """0, 1, 2, ... within each group, in the order of the rows."""
    index = np.zeros(len(group), dtype=np.int64)
    for value in np.unique(group):
        rows = group == value
        index[rows] = np.arange(np.count_nonzero(rows))
    return index


def write_types(path: Path, key: str, types: Mapping[int, Row], separator: str = " ") -> None:
    """A csv of types, one space between fields as BMTK has it; None becomes NULL."""
    columns = list(dict.fromkeys(name for row in types.values() for name in row))
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        writer.writerow([key, *columns])
        for type_id, row in types.items():
            values = (row.get(name) for name in columns)
            writer.writerow([type_id, *("NULL" if v is None else v for v in values)])


def write_nodes(nodes: Nodes, folder: Path) -> None:
    """``NAME_nodes.h5`` and ``NAME_node_types.csv``."""
    assert nodes.node_id is not None and nodes.group is not None
    write_types(folder / f"{nodes.name}_node_types.csv", "node_type_id", nodes.types)
    with h5py.File(folder / f"{nodes.name}_nodes.h5", "w") as file:
        _stamp(file)
        root = file.create_group(f"nodes/{nodes.name}")
        root["node_id"] = nodes.node_id.astype(np.uint64)
        root["node_type_id"] = nodes.type_id.astype(np.uint64)
        root["node_group_id"] = nodes.group.astype(np.uint32)
        root["node_group_index"] = np.asarray(nodes.group_index, dtype=np.uint64)
        _write_groups(root, nodes.columns)


def write_edges(edges: Edges, folder: Path) -> None:
    """``NAME_edges.h5`` and ``NAME_edge_types.csv``."""
    assert edges.group is not None
    write_types(folder / f"{edges.name}_edge_types.csv", "edge_type_id", edges.types)
    with h5py.File(folder / f"{edges.name}_edges.h5", "w") as file:
        _stamp(file)
        root = file.create_group(f"edges/{edges.name}")
        for end, ids, population in (
            ("source", edges.source_id, edges.source),
            ("target", edges.target_id, edges.target),
        ):
            root[f"{end}_node_id"] = ids.astype(np.uint64)
            root[f"{end}_node_id"].attrs["node_population"] = population
        root["edge_type_id"] = edges.type_id.astype(np.uint32)
        root["edge_group_id"] = edges.group.astype(np.uint16)
        root["edge_group_index"] = index_in_group(edges.group).astype(np.uint64)
        _write_groups(root, edges.columns)


def _stamp(file: h5py.File) -> None:
    file.attrs["magic"] = np.uint32(0x0A7A)
    file.attrs["version"] = np.array([0, 1], dtype=np.uint32)


def _write_groups(root: h5py.Group, groups: Mapping[int, Mapping[str, Array]]) -> None:
    for group, columns in groups.items():
        home = root.create_group(str(group))
        for name, values in columns.items():
            home[name] = values


def write_spikes(spikes: Spikes, path: Path) -> None:
    """Spikes in the layout that they name."""
    order = np.argsort(spikes.time_ms, kind="stable")
    ids, times = spikes.node_id[order], spikes.time_ms[order]
    if spikes.layout == "csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter=" ", lineterminator="\n")
            writer.writerow(["timestamps", "population", "node_ids"])
            writer.writerows(
                (repr(float(t)), spikes.population, int(i)) for t, i in zip(times, ids, strict=True)
            )
        return
    with h5py.File(path, "w") as file:
        if spikes.layout == "nwb":
            _write_nwb(file, ids, times)
        elif spikes.layout == "old":
            file["spikes/gids"] = ids.astype(np.int64)
            file["spikes/timestamps"] = times
        else:
            write_spike_group(file, spikes.population, ids, times)


def write_spike_group(file: h5py.File, population: str, ids: Array, times: Array) -> None:
    """One population of spikes in SONATA's layout."""
    root = file.create_group(f"spikes/{population}")
    root.attrs["sorting"] = "by_time"
    root["node_ids"] = ids.astype(np.uint64)
    root["timestamps"] = times
    root["timestamps"].attrs["units"] = "milliseconds"


def _write_nwb(file: h5py.File, ids: Array, times: Array) -> None:
    """NWB 1 as BMTK reads it: one dataset a node, in seconds or milliseconds by its unit."""
    for node in np.unique(ids):
        home = file.create_group(f"processing/trial_0/spike_train/{int(node)}")
        home["data"] = times[ids == node]
        home["data"].attrs["dimension"] = "time"
        home["data"].attrs["unit"] = "millisecond"


def csv_columns(rows: Iterable[Row]) -> list[str]:
    """All columns that rows have, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row))
