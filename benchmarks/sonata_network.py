"""A network and its input as BMTK's PointNet reads them: SONATA nodes, edges, spikes, a config.

Edges are sorted by target and have one edge type a receptor, weight and delay of their
own: the form that PointNet builds fastest.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np

from v1sim.model import NetworkModel, SynapseTable
from v1sim.simulation.cells import nest_parameters
from v1sim.stimulus.spikes import LgnSpikes

_SORTED_BY_TIME = 2


def write_sonata_network(
    network: NetworkModel, lgn: LgnSpikes, duration_ms: float, folder: Path
) -> Path:
    """Write all files into ``folder``; the path of the circuit and simulation configuration."""
    types = network.cell_types
    models = []
    for index in range(len(types)):
        parameters = nest_parameters(types, index, "glif_psc")
        name = f"type_{index}.json"
        (folder / name).write_text(json.dumps(parameters), encoding="utf-8")
        models.append((index, "point_neuron", "nest:glif_psc", name))
    nodes = [
        _nodes(folder, "v1", network.neurons.cell_type, models),
        _nodes(folder, "lgn", np.zeros(network.lgn.size), [(0, "virtual")]),
        _nodes(folder, "background", np.zeros(1), [(0, "virtual")]),
    ]
    edges = [
        _edges(
            folder,
            "v1",
            network.tables["recurrent"],
            network.tables["recurrent"].weight_pa(network),
        ),
        _edges(folder, "lgn", network.tables["lgn"], network.tables["lgn"].weight_pa(network)),
    ]
    weight = network.background_weight
    assert weight is not None
    post, receptor = np.nonzero(weight)
    background = SynapseTable(
        pre=np.zeros(len(post), dtype=np.int32),
        post=post.astype(np.int32),
        receptor=receptor.astype(np.uint8),
        delay_ms=np.ones(len(post), dtype=np.float32),
        weight=weight[post, receptor],
    )
    # The mean of what training draws, Binomial(10, 0.1) / 10, in every step.
    background_pa = 0.1 * background.weight * network.voltage_scale_mv[post]
    edges.append(_edges(folder, "background", background, background_pa))
    steps = np.arange(int(duration_ms))
    inputs = {
        "lgn": _spikes(folder, "lgn", lgn.source, lgn.step + 1.0),
        "background": _spikes(folder, "background", np.zeros(len(steps)), steps + 1.0),
    }
    config = {
        "run": {"tstop": duration_ms + 1.0, "dt": 1.0},
        "target_simulator": "NEST",
        "components": {
            "point_neuron_models_dir": str(folder),
            "synaptic_models_dir": str(folder),
        },
        "networks": {"nodes": nodes, "edges": edges},
        "inputs": {
            name: {"input_type": "spikes", "module": "h5", "input_file": path, "node_set": name}
            for name, path in inputs.items()
        },
        "node_sets": {name: {"population": name} for name in inputs},
        "output": {
            "output_dir": str(folder / "output"),
            "log_file": "log.txt",
            "spikes_file": "spikes.h5",
            "overwrite_output_dir": True,
            "log_to_console": False,
        },
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def _csv(path: Path, header: tuple[str, ...], rows: list[tuple]) -> str:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=" ").writerows([header, *rows])
    return str(path)


def _nodes(folder: Path, name: str, cell_type: np.ndarray, models: list[tuple]) -> dict[str, str]:
    path = folder / f"{name}_nodes.h5"
    n = len(cell_type)
    with h5py.File(path, "w") as file:
        group = file.create_group(f"nodes/{name}")
        group["node_id"] = np.arange(n, dtype=np.uint64)
        group["node_type_id"] = cell_type.astype(np.uint64)
        group["node_group_id"] = np.zeros(n, dtype=np.uint32)
        group["node_group_index"] = np.arange(n, dtype=np.uint64)
        group.create_group("0")
    header = ("node_type_id", "model_type", "model_template", "dynamics_params")
    types = _csv(folder / f"{name}_node_types.csv", header[: len(models[0])], models)
    return {"nodes_file": str(path), "node_types_file": types}


def _edges(folder: Path, source: str, table: SynapseTable, weight_pa: np.ndarray) -> dict[str, str]:
    path = folder / f"{source}_v1_edges.h5"
    order = np.argsort(table.post, kind="stable")
    name, n = f"{source}_to_v1", len(table)
    with h5py.File(path, "w") as file:
        group = file.create_group(f"edges/{name}")
        for side, index, population in (
            ("source_node_id", table.pre, source),
            ("target_node_id", table.post, "v1"),
        ):
            group[side] = index[order].astype(np.uint64)
            group[side].attrs["node_population"] = population
        group["edge_type_id"] = table.receptor[order].astype(np.uint32)
        group["edge_group_id"] = np.zeros(n, dtype=np.uint16)
        group["edge_group_index"] = np.arange(n, dtype=np.uint32)
        group["0/syn_weight"] = weight_pa[order]
        group["0/delay"] = table.delay_ms[order].astype(np.float64)
    rows = []
    for receptor in np.unique(table.receptor):
        parameters = folder / f"receptor_{receptor}.json"
        parameters.write_text(json.dumps({"receptor_type": int(receptor) + 1}), encoding="utf-8")
        rows.append((int(receptor), "static_synapse", parameters.name))
    header = ("edge_type_id", "model_template", "dynamics_params")
    types = _csv(folder / f"{source}_v1_edge_types.csv", header, rows)
    return {"edges_file": str(path), "edge_types_file": types}


def _spikes(folder: Path, name: str, source: np.ndarray, time_ms: np.ndarray) -> str:
    path = folder / f"{name}_spikes.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group(f"spikes/{name}")
        group.attrs["sorting"] = _SORTED_BY_TIME
        group["node_ids"] = source.astype(np.uint64)
        group["timestamps"] = time_ms
        group["timestamps"].attrs["units"] = "milliseconds"
    return str(path)
