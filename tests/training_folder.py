"""A training-data folder (`network_dat.pkl`, `input_dat.pkl`, `network/`) of a small network."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np

from v1sim.model import NetworkModel

#: Name in the pickle of each parameter of `CellTypeTable`.
PARAMETERS = {
    "c_m_pf": "C_m",
    "g_ns": "g",
    "e_l_mv": "E_L",
    "v_th_mv": "V_th",
    "v_reset_mv": "V_reset",
    "t_ref_ms": "t_ref",
    "k_per_ms": "k",
    "asc_amp_pa": "asc_amps",
    "tau_syn_ms": "tau_syn",
}
#: Nodes of the folder that are not in the network: they lie farther out.
N_FAR = 25


def write_training_folder(folder: Path, network: NetworkModel, *, protocol: int = 4) -> Path:
    """The training data that a network begins with, among nodes farther from the axis.

    Nodes are shuffled; edges come in groups by type and receptor, in no order.
    """
    rng = np.random.default_rng(7)
    n, total = network.n_neurons, network.n_neurons + N_FAR
    node_of = np.sort(rng.permutation(total)[:n])  # the loader keeps the order of nodes
    far = np.setdiff1d(np.arange(total), node_of)
    type_of = np.empty(total, dtype=np.int64)
    type_of[node_of] = network.neurons.cell_type
    type_of[far] = rng.integers(0, 5, N_FAR)
    position = np.empty((total, 3))
    position[node_of] = network.neurons.position_um
    position[far] = rng.uniform(500, 600, (N_FAR, 3))
    types, rec, lgn = network.cell_types, network.tables["recurrent"], network.tables["lgn"]
    nodes = [
        {
            "ids": np.flatnonzero(type_of == i),
            "params": {name: types.columns[key][i] for key, name in PARAMETERS.items()},
        }
        for i in range(5)
    ]

    def groups(table, pre_node):
        rows = rng.permutation(len(table))
        weight_pa = table.weight_pa(network)
        made = []
        for receptor in range(4):
            for delay in np.unique(table.delay_ms):
                own = rows[(table.receptor[rows] == receptor) & (table.delay_ms[rows] == delay)]
                params = {
                    "receptor_type": receptor + 1, "delay": float(delay), "weight": weight_pa[own],
                }  # fmt: skip
                made.append(
                    {"source": pre_node[own], "target": node_of[table.post[own]], "params": params}
                )
        return made

    edges = groups(rec, node_of[rec.pre])
    # Edges of other nodes, which the selection drops.
    edges.append(
        {
            "source": far[:5].tolist(), "target": node_of[:5].tolist(),
            "params": {"receptor_type": 1, "delay": 1.0, "weight": np.ones(5, np.float32)},
        }
    )  # fmt: skip
    scale = network.voltage_scale_mv
    background = [
        {
            "source": np.zeros(n, dtype=np.int64), "target": node_of,
            "params": {
                "receptor_type": r + 1, "delay": 1.0,
                "weight": network.background_weight[:, r] * scale / 10,
            },
        }
        for r in range(4)
    ]  # fmt: skip
    inputs = [
        ({"ids": np.arange(network.lgn.size), "spikes": []}, groups(lgn, lgn.pre)),
        ({"ids": np.arange(1), "spikes": []}, background),
    ]
    (folder / "network").mkdir(parents=True)
    for name, content in (
        ("network_dat.pkl", {"nodes": nodes, "edges": edges}),
        ("input_dat.pkl", inputs),
    ):
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))
    with h5py.File(folder / "network/v1_nodes.h5", "w") as file:
        file["nodes/v1/node_id"] = np.arange(total)
        file["nodes/v1/node_type_id"] = 500 + type_of
        for axis, name in enumerate("xyz"):
            file[f"nodes/v1/0/{name}"] = position[:, axis]
    rows = [f"{500 + i} {name} model" for i, name in enumerate(types.name)]
    text = "\n".join(["node_type_id pop_name model_template", *rows]) + "\n"
    (folder / "network/v1_node_types.csv").write_text(text)
    return folder
