"""Trains a small circuit with DPointNet (BMTK) in the current, empty folder.

``python -m tests.dpointnet.maker '{"seed": 3, ...}'``: keys are those of `DEFAULTS`. Leaves there
what a user of DPointNet has (config.json, network/, components/, training/, files of spikes) and,
for tests, the trained spikes and voltages (spikes.h5, voltages.h5), the cell's own arrays
(internal.npz) and whatever input was drawn, as spikes (inputs/). Each circuit needs a process of
its own: DPointNet keeps its ids in a singleton.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

#: What a circuit is unless said otherwise.
DEFAULTS: dict[str, Any] = {
    "seed": 11,
    "n": {"e": 6, "i": 3, "lgn": 5, "bkg": 2},
    "steps": 200,
    "tau_basis": [5.5, 8.5, 2.8, 5.8],
    # factors of each synaptic model by basis function, and where they are told: csv or json
    "factors": {"e2e": [1, 0, 0, 0], "i2e": [0, 1, 0, 0], "e2i": [0, 0, 1, 0], "i2i": [0, 0, 0, 1]},
    "factors_in": "csv",
    "delays": {"e2e": 1.5, "e2i": 1.0, "i2e": 3.0, "i2i": 1.2},
    "delay_of_edges": False,  # drawn for each edge, in the h5 file
    "synapses": {"e2e": 1, "e2i": 2, "i2e": 2, "i2i": 1},  # rows of one pair
    "chance": 0.6,
    "weight_pa": [20, 60],
    "lgn_pa": [200, 400],
    "bkg_pa": [20, 40],
    "cells": {},  # replaces parameters of both cell types
    "rnn": {},  # further rnn_cell_params
    "run": {},
    "inputs": {
        "lgn": {"module": "spikes_files"},
        "bkg": {"module": "spikes_files", "trainable": True},
    },
    "epochs": 2,
    "steps_per_epoch": 4,
    "learning_rate": 0.05,
    "optimizer": {"name": "exp_adam"},
    "target_hz": 20.0,
    "nsyns": None,  # a column of the edge types
    "permute_ids": False,
    "two_lgn_files": False,
    "checkpoint": False,
}


def _cell(e_l, v_th, c_m, g, t_ref, asc, v_reset, changed):
    return {
        "V_m": e_l,
        "E_L": e_l,
        "V_th": v_th,
        "V_reset": v_reset,
        "C_m": c_m,
        "g": g,
        "t_ref": t_ref,
        "asc_init": [0.0, 0.0],
        "asc_decay": [0.003, 0.1],
        "asc_amps": asc,
        "tau_syn": [5.5, 8.5, 2.8, 5.8],
        "spike_dependent_threshold": False,
        "after_spike_currents": True,
        "adapting_threshold": False,
        **changed,
    }


def _merged(default: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    unknown = set(given) - set(default)
    assert not unknown, f"no such keys: {unknown}"
    made = copy.deepcopy(default)
    for key, value in given.items():
        if key in ("n", "delays", "synapses"):
            made[key].update(value)
        else:
            made[key] = value
    return made


def write_circuit(given: dict[str, Any]) -> dict[str, Any]:
    """Write config.json, network/, components/ and the files of spikes here; no TensorFlow."""
    from bmtk.builder import NetworkBuilder

    what = _merged(DEFAULTS, given)
    for folder in ("components/cells", "components/syn"):
        Path(folder).mkdir(parents=True)
    cells = {
        "exc": _cell(-70.0, -50.0, 100.0, 5.0, 3.0, [-10.0, -100.0], -65.0, what["cells"]),
        "inh": _cell(-75.0, -45.0, 60.0, 6.0, 2.4, [-5.0, -50.0], -75.0, what["cells"]),
    }
    for name, parameters in cells.items():
        Path(f"components/cells/{name}.json").write_text(json.dumps(parameters))
    in_json = what["factors_in"] == "json"
    for port, (name, factors) in enumerate(what["factors"].items()):
        model = {"basis_weights": factors} if in_json else {"receptor_type": port + 1}
        Path(f"components/syn/{name}.json").write_text(json.dumps(model))
    if not in_json:
        lines = ["name,w0,w1,w2,w3"]
        lines += [",".join([name, *map(str, f)]) for name, f in what["factors"].items()]
        Path("components/basis_weights.csv").write_text("\n".join(lines) + "\n")

    rng = np.random.default_rng(what["seed"])
    n = what["n"]
    v1, lgn, bkg = NetworkBuilder("v1"), NetworkBuilder("lgn"), NetworkBuilder("bkg")
    common = {"model_type": "point_neuron", "model_template": "nest:glif_psc"}
    ids = {"e": {}, "i": {}}
    if what["permute_ids"]:
        order = rng.permutation(n["e"] + n["i"])
        ids = {"e": {"node_id": order[: n["e"]]}, "i": {"node_id": order[n["e"] :]}}
    v1.add_nodes(N=n["e"], ei="e", pop_name="e4", dynamics_params="exc.json", **common, **ids["e"])
    v1.add_nodes(N=n["i"], ei="i", pop_name="pv", dynamics_params="inh.json", **common, **ids["i"])
    lgn.add_nodes(N=n["lgn"], model_type="virtual")
    bkg.add_nodes(N=n["bkg"], model_type="virtual")

    def connect(source, ei, model, low, high, delay, n_syn, chance):
        more = {}
        if not what["delay_of_edges"]:
            more["delay"] = delay
        edges = v1.add_edges(
            source=source,
            target={"ei": ei},
            dynamics_params=f"{model}.json",
            model_template="static_synapse",
            connection_rule=lambda s, t: n_syn if rng.random() < chance else 0,
            **more,
        )
        edges.add_properties(
            "syn_weight", rule=lambda s, t: float(rng.uniform(low, high)), dtypes=np.float32
        )
        if what["delay_of_edges"]:
            edges.add_properties(
                "delay", rule=lambda s, t: float(rng.uniform(0.4, 2 * delay)), dtypes=np.float64
            )

    low, high = what["weight_pa"]
    for source, target in (("e", "e"), ("e", "i"), ("i", "e"), ("i", "i")):
        model = f"{source}2{target}"
        size = (low, high) if source == "e" else (-high, -low)
        delay, n_syn = what["delays"][model], what["synapses"][model]
        connect({"ei": source}, target, model, *size, delay, n_syn, what["chance"])
    for target in "ei":
        connect(lgn.nodes(), target, f"e2{target}", *what["lgn_pa"], 2.0, 1, 0.7)
    for target in "ei":
        connect(bkg.nodes(), target, f"e2{target}", *what["bkg_pa"], 1.0, 1, 1.0)
    for net in (v1, lgn, bkg):
        net.build()
        net.save(output_dir="network")
    if what["nsyns"] is not None:
        for path in Path("network").glob("*_edge_types.csv"):
            lines = path.read_text().splitlines()
            lines = [f"{lines[0]} nsyns", *(f"{line} {what['nsyns']}" for line in lines[1:])]
            path.write_text("\n".join(lines) + "\n")

    steps = what["steps"]
    for population, rate in (("lgn", 0.06), ("bkg", 0.1)):
        count = max(1, int(rate * steps))
        times = [
            np.sort(rng.choice(np.arange(1, steps), size=count, replace=False))
            for _ in range(n[population])
        ]
        with h5py.File(f"{population}_spikes.h5", "w") as file:
            group = file.create_group(f"spikes/{population}")
            group["timestamps"] = np.concatenate(times).astype(np.float64)
            group["timestamps"].attrs["units"] = "ms"
            group["node_ids"] = np.repeat(np.arange(n[population]), count)

    def files(what: str, name: str) -> dict[str, str]:
        return {
            f"{what}s_file": f"network/{name}_{what}s.h5",
            f"{what}_types_file": f"network/{name}_{what}_types.csv",
        }

    inputs: dict[str, Any] = {}
    for population, given_input in what["inputs"].items():
        inputs[population] = {"input": "spikes", "node_set": population, **given_input}
        if given_input["module"] == "spikes_files":
            inputs[population].setdefault("spikes_paths", f"{population}_spikes.h5")
    rnn = {"cell_model": "GLIF3Cell", "tau_basis": what["tau_basis"], **what["rnn"]}
    if not in_json:
        rnn["basis_weights_file"] = "components/basis_weights.csv"
    both = {population: population for population in inputs}
    zero = {"module": "zero_state"}
    config = {
        "run": {"dt": 1.0, "seq_len": steps, "batch_size": 1, "dtype": "float32", **what["run"]},
        "rnn_cell_params": rnn,
        "components": {
            "point_neuron_models_dir": "components/cells",
            "synaptic_models_dir": "components/syn",
            "filter_models_dir": "components/cells",
        },
        "networks": {
            "nodes": [files("node", p) for p in ("v1", "lgn", "bkg")],
            "edges": [files("edge", p) for p in ("v1_v1", "lgn_v1", "bkg_v1")],
        },
        "inputs": inputs,
        "initial_state": zero,
        "training": {
            "n_epochs": what["epochs"],
            "steps_per_epoch": what["steps_per_epoch"],
            "batch_size": 1,
            "seq_len": steps,
            "learning_rate": what["learning_rate"],
            "optimizer": what["optimizer"],
            "initial_state": zero,
            "callbacks": {
                "class": "Callbacks",
                "callbacks_dir": "training",
                "epoch_store_weights": "latest",
                "verbose": "quiet",
            },
            "parameters": [
                {
                    "name": "p",
                    "inputs": both,
                    "loss_functions": {
                        "rate": {"module": "TargetFiringRate", "firing_rate": what["target_hz"]}
                    },
                }
            ],
        },
        "inference": {"inputs": both, "initial_state": zero},
    }
    Path("config.json").write_text(json.dumps(config, indent=1))
    return what


def train(what: dict[str, Any]) -> None:
    """Train the circuit of this folder; write what came of it."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", OMP_NUM_THREADS="1")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.random.set_seed(what["seed"])
    from bmtk.simulator.dpointnet import RNN

    rnn = RNN.from_config("config.json")
    rnn.build()
    if what["epochs"]:
        rnn.train()
    inference = rnn.inference
    cell = rnn.cell
    Path("inputs").mkdir()
    populations = list(cell.inputs)
    # Keras calls the cell once more, for the shape of its output, before the first step.
    first_step = int(cell.noise_step.numpy()) + 1
    steps = what["steps"]
    spikes, _ = inference.data_itr.next_spikes()
    trained = rnn.run_inference(spikes=spikes, initial_state=inference.get_initial_state())
    assert int(cell.noise_step.numpy()) == first_step + steps
    given = spikes.numpy()[0]
    for index, population in enumerate(populations):
        held = cell.inputs[population]
        if held["input_type"] in ("poisson_spikes_internal", "noisy_current"):
            size = (1, held["input_dim"])
            counts = np.concatenate(
                [
                    tf.random.stateless_poisson(
                        size,
                        seed=[int(cell.noise_seed.numpy()), first_step + k],
                        lam=held["spike_prob"],
                        dtype=tf.int32,
                    ).numpy()
                    for k in range(steps)
                ]
            )
        else:
            counts = given[:, cell.inputs_idx[index] : cell.inputs_idx[index + 1]].astype(int)
        step, node = np.nonzero(counts)
        with h5py.File(f"inputs/{population}_spikes.h5", "w") as file:
            group = file.create_group(f"spikes/{population}")
            n_each = counts[step, node]
            group["timestamps"] = np.repeat(step.astype(np.float64), n_each)
            group["timestamps"].attrs["units"] = "ms"
            group["node_ids"] = np.repeat(node, n_each)
    trained.spikes.to_sonata("spikes.h5")
    trained.voltages.to_sonata("voltages.h5")
    np.savez(
        "internal.npz",
        recurrent=cell.recurrent_weight_values.numpy(),
        recurrent_indices=cell.recurrent_indices.numpy(),
        recurrent_export_factor=cell._recurrent_export_factor,
        recurrent_syn_ids=cell.syn_ids.numpy(),
        basis_weights=cell.synaptic_basis_weights.numpy(),
        t_ref_steps=cell.t_ref_steps.numpy(),
        asc_decay=cell.asc_decay.numpy(),
        **{
            f"{population}_{key}": np.asarray(cell.inputs[population][key])
            for population in populations
            for key in ("input_weight_values", "input_indices", "export_factor", "input_syn_ids")
        },
    )
    rnn.model.save_weights("model.weights.h5")
    if what["checkpoint"]:
        held = tf.train.Checkpoint(model=rnn.model, optimizer=rnn.training_engine.optimizer)
        held.save("ckpt/model")
    print("spikes", int(trained.spikes.to_spikes_table().numpy().sum()))  # noqa: T201


if __name__ == "__main__":
    logging.disable(logging.INFO)
    train(write_circuit(json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}")))
