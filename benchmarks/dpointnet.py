"""A circuit of DPointNet, simulated: v1sim on NEST beside DPointNet's own inference in TensorFlow.

usage: python -m benchmarks.dpointnet [--neurons 20000] [--edges 5e6] [--steps 300] [--repeats 3]
           [--threads 1] [--folder FOLDER] [--json FILE]

A circuit of two cell types and four synaptic models, with LGN and background from files of
spikes; cells spike at 30 Hz or so. It needs no training: DPointNet reads it, writes its spikes and
its weights, and v1sim converts these and runs the same input. Each measurement is a process of its
own, the two in turn; medians.

  ready      DPointNet: files -> model. v1sim: network file -> gate -> NEST -> read-back
  simulate   DPointNet: run_inference. v1sim: the dynamics of training (float64), NEST's Simulate
  peak       highest resident memory of the whole process

Times are CPU time of all threads: other load on the machine hardly changes it. The last line says
how many spikes the two have in common; all of them, or the figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import h5py
import numpy as np

from benchmarks.measurement import (
    Clock,
    TimedNest,
    environment,
    in_own_process,
    peak_mb,
    write_json,
)

TAU_MS = (5.5, 8.5, 2.8, 5.8)
MODELS = ("e2e", "i2e", "e2i", "i2i")
DELAYS_MS = {"e2e": 1.5, "i2e": 3.0, "e2i": 1.0, "i2i": 1.2}
_BLOCK = 1 << 20


def write_circuit(folder: Path, n: int, n_edges: int, n_steps: int, seed: int = 1) -> Path:
    """A circuit and DPointNet's configuration of it; its path."""
    rng = np.random.default_rng(seed)
    for name in ("cells", "syn", "network"):
        (folder / name).mkdir(parents=True)
    common = {"V_m": -70.0, "asc_init": [0.0, 0.0], "asc_decay": [0.003, 0.1]}
    switches = {
        "tau_syn": list(TAU_MS),
        "spike_dependent_threshold": False,
        "after_spike_currents": True,
        "adapting_threshold": False,
    }
    exc = {"E_L": -70.0, "V_th": -50.0, "V_reset": -70.0, "C_m": 100.0, "g": 5.0, "t_ref": 3.0}
    inh = {"E_L": -75.0, "V_th": -45.0, "V_reset": -75.0, "C_m": 60.0, "g": 6.0, "t_ref": 2.0}
    for name, cell, amps in (("e", exc, [-10.0, -100.0]), ("i", inh, [-5.0, -50.0])):
        parameters = {**common, **cell, **switches, "asc_amps": amps}
        (folder / f"cells/{name}.json").write_text(json.dumps(parameters))
    lines = ["name,w0,w1,w2,w3"]
    for port, name in enumerate(MODELS):
        (folder / f"syn/{name}.json").write_text(json.dumps({"receptor_type": port + 1}))
        lines.append(",".join([name, *("1" if k == port else "0" for k in range(4))]))
    (folder / "basis_weights.csv").write_text("\n".join(lines) + "\n")

    inhibitory = np.arange(n) >= round(0.85 * n)
    sizes = {"v1": n, "lgn": max(n // 10, 10), "bkg": 100}
    nodes = [_nodes(folder, "v1", 100 + inhibitory.astype(np.int64))]
    nodes += [_nodes(folder, name, np.full(sizes[name], 1)) for name in ("lgn", "bkg")]
    excites = np.zeros(max(sizes.values()), dtype=bool)
    per_cell = n_edges / n
    edges = [
        _edges(folder, "v1", n_edges, inhibitory, inhibitory, 400.0 / per_cell, rng),
        _edges(folder, "lgn", 20 * n, excites[: sizes["lgn"]], inhibitory, 12.0, rng),
        _edges(folder, "bkg", 4 * n, excites[: sizes["bkg"]], inhibitory, 6.0, rng),
    ]
    inputs = {}
    for name, rate in (("lgn", 0.02), ("bkg", 0.1)):
        step, node = np.nonzero(rng.random((n_steps, sizes[name])) < rate)
        with h5py.File(folder / f"{name}_spikes.h5", "w") as file:
            file[f"spikes/{name}/node_ids"] = node
            file[f"spikes/{name}/timestamps"] = step.astype(np.float64)
            file[f"spikes/{name}/timestamps"].attrs["units"] = "ms"
        inputs[name] = {
            "input": "spikes",
            "module": "spikes_files",
            "node_set": name,
            "spikes_paths": str(folder / f"{name}_spikes.h5"),
        }
    start = {"module": "zero_state"}
    config = {
        "run": {"dt": 1.0, "seq_len": n_steps, "batch_size": 1, "dtype": "float32"},
        "rnn_cell_params": {
            "cell_model": "GLIF3Cell",
            "tau_basis": list(TAU_MS),
            "basis_weights_file": str(folder / "basis_weights.csv"),
        },
        "components": {
            "point_neuron_models_dir": str(folder / "cells"),
            "synaptic_models_dir": str(folder / "syn"),
            "filter_models_dir": str(folder / "cells"),
        },
        "networks": {"nodes": nodes, "edges": edges},
        "inputs": inputs,
        "initial_state": start,
        "inference": {"inputs": {name: name for name in inputs}, "initial_state": start},
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")
    return path


def _nodes(folder: Path, name: str, type_id: np.ndarray) -> dict[str, str]:
    path, types = folder / f"network/{name}_nodes.h5", folder / f"network/{name}_types.csv"
    n = len(type_id)
    with h5py.File(path, "w") as file:
        root = file.create_group(f"nodes/{name}")
        root["node_id"] = np.arange(n, dtype=np.uint64)
        root["node_type_id"] = type_id.astype(np.uint64)
        root["node_group_id"] = np.zeros(n, dtype=np.uint32)
        root["node_group_index"] = np.arange(n, dtype=np.uint64)
        root.create_group("0")
    rows = ["node_type_id model_type", "1 virtual"]
    if name == "v1":
        point = "point_neuron nest:glif_psc"
        rows = ["node_type_id model_type model_template dynamics_params ei"]
        rows += [f"100 {point} e.json e", f"101 {point} i.json i"]
    types.write_text("\n".join(rows) + "\n")
    return {"nodes_file": str(path), "node_types_file": str(types)}


def _edges(
    folder: Path,
    source: str,
    n_edges: int,
    inhibits: np.ndarray,
    inhibitory: np.ndarray,
    mean_pa: float,
    rng: np.random.Generator,
) -> dict[str, str]:
    """Random edges sorted by target; a type for each synaptic model."""
    path = folder / f"network/{source}_v1_edges.h5"
    types = folder / f"network/{source}_v1_edge_types.csv"
    rows = ["edge_type_id target_query source_query dynamics_params delay model_template"]
    rows += [
        f"{port} * * {name}.json {DELAYS_MS[name]} static_synapse"
        for port, name in enumerate(MODELS)
    ]
    types.write_text("\n".join(rows) + "\n")
    target = np.sort(rng.integers(0, len(inhibitory), n_edges))
    sources = rng.integers(0, len(inhibits), n_edges)
    weight = rng.lognormal(np.log(mean_pa), 0.5, n_edges) * np.where(inhibits[sources], -12.0, 1.0)
    with h5py.File(path, "w") as file:
        root = file.create_group(f"edges/{source}_to_v1")
        for name, values, population in (
            ("source_node_id", sources, source),
            ("target_node_id", target, "v1"),
        ):
            root[name] = values.astype(np.uint64)
            root[name].attrs["node_population"] = population
        kind = 2 * inhibitory[target] + inhibits[sources]
        root["edge_type_id"] = kind.astype(np.uint32)
        root["edge_group_id"] = np.zeros(n_edges, dtype=np.uint16)
        root["edge_group_index"] = np.arange(n_edges, dtype=np.uint64)
        root["0/syn_weight"] = weight.astype(np.float32)
    return {"edges_file": str(path), "edge_types_file": str(types)}


def tensorflow(folder: Path, n_steps: int) -> dict[str, Any]:
    """DPointNet's own inference in this process; leaves its spikes and its weights."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    clock = Clock()
    from bmtk.simulator.dpointnet import RNN

    os.chdir(folder)
    rnn = RNN.from_config("config.json")
    rnn.build()
    inference = rnn.inference
    spikes, _ = inference.data_itr.next_spikes()
    state = inference.get_initial_state()
    ready = clock.cpu_s()
    clock = Clock()
    found = rnn.run_inference(spikes=spikes, initial_state=state)
    n_spikes = int(found.spikes.to_spikes_table().numpy().sum())
    result = {"ready_cpu": ready, "simulate_cpu": clock.cpu_s(), "simulate_wall": clock.wall_s()}
    result |= {"peak_mb": peak_mb(), "spikes": n_spikes}
    if not (folder / "exported").is_dir():
        rnn.get_model_weights().to_sonata(str(folder / "exported"))
        found.spikes.to_sonata(str(folder / "spikes.h5"))
    return result


def in_nest(folder: Path, n_steps: int, threads: int) -> dict[str, Any]:
    """The same circuit and input in v1sim in this process, once it is converted."""
    from v1sim.conversion.dpointnet import convert

    path = folder / "network.h5"
    if not path.is_file():
        config = folder / "config.json"
        convert(folder / "exported", config, path, command="benchmark", allow_untrained=True)
        return {}
    clock = Clock()
    from v1sim import verification
    from v1sim.model import Trial
    from v1sim.simulation import run
    from v1sim.simulation.kernel import Backend, backend
    from v1sim.simulation.plan import make_plan
    from v1sim.sources import open_network
    from v1sim.sources.dpointnet import read_document
    from v1sim.sources.dpointnet.config import dpointnet_config
    from v1sim.sources.dpointnet.recorded import read_inputs, read_spikes
    from v1sim.stimulus.trials import Schedule

    nest, pynn = backend()
    network = open_network(path)
    config_path = folder / "config.json"
    config = dpointnet_config(read_document(config_path), config_path)
    ids = {p: np.arange(one.size) for p, one in network.source_populations.items()}
    sent = {p: counts[None] for p, counts in read_inputs(config, ids, n_steps).items()}
    trial = Trial(0, 0.0, float(n_steps), (0.0, float(n_steps)), {})
    stimulus = verification._as_stimulus(sent.pop("lgn"), Schedule((trial,), (0,)), sent)
    plan = make_plan(
        verification._admitted(network), background="none", seed=1, dynamics="training"
    )
    timed = TimedNest(nest)
    run.backend = lambda: Backend(timed, pynn)
    output = run.run_trials(
        plan,
        stimulus,
        threads=threads,
        between_trials="reset",
        voltage_of=np.empty(0, dtype=np.int32),
        progress=lambda *_: None,
    )
    result = {
        "simulate_cpu": sum(call.cpu_s for call in timed.calls),
        "simulate_wall": sum(call.wall_s for call in timed.calls),
        "peak_mb": peak_mb(),
    }
    result["ready_cpu"] = clock.cpu_s() - result["simulate_cpu"]
    truth = read_spikes(
        folder / "spikes.h5", "v1", network.populations[0].node_id, n_steps, config.run_dt_ms
    )
    found = verification._as_array(output.spikes, truth.shape)
    result["spikes"] = int(found.sum())
    result["equal"] = int((found & truth).sum())
    return result


def measure(folder: Path, n_steps: int, repeats: int, threads: int) -> dict[str, Any]:
    """Both in turn; medians."""
    common = ("--folder", folder, "--steps", n_steps, "--threads", threads)
    turns: dict[str, list[dict[str, Any]]] = {"DPointNet": [], "v1sim": []}
    for turn in range(repeats):
        for name, found in turns.items():
            if turn == 0 and name == "v1sim":
                _run("v1sim", common)  # converts
            found.append(_run(name, common))
    return {
        name: {key: median(one[key] for one in found) for key in found[0]}
        for name, found in turns.items()
    }


def _run(name: str, common: tuple[object, ...]) -> dict[str, Any]:
    result = in_own_process("benchmarks.dpointnet", "--one", name, *common)
    if "failed" in result:
        sys.exit(f"{name}: {result['failed']}")
    return result


def report(result: dict[str, Any]) -> str:
    """The table, and the ratios."""
    names = {
        "ready_cpu": "ready, CPU s",
        "simulate_cpu": "simulate, CPU s",
        "simulate_wall": "simulate, wall s",
        "peak_mb": "peak memory, MB",
    }
    ours, theirs = result["v1sim"], result["DPointNet"]
    lines = [f"{'':<20}{'DPointNet':>12}{'v1sim':>12}{'ratio':>8}"]
    lines += [
        f"{text:<20}{theirs[key]:>12.2f}{ours[key]:>12.2f}{ours[key] / theirs[key]:>8.3f}"
        for key, text in names.items()
    ]
    lines.append(
        f"spikes: {theirs['spikes']:,} and {ours['spikes']:,}, of which {ours['equal']:,} are equal"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--neurons", type=float, default=20_000)
    parser.add_argument("--edges", type=float, default=5e6)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", choices=("DPointNet", "v1sim"))
    arguments = parser.parse_args()
    n_steps, threads = arguments.steps, arguments.threads
    if arguments.one == "DPointNet":
        print(json.dumps(tensorflow(arguments.folder, n_steps)))
        return
    if arguments.one == "v1sim":
        print(json.dumps(in_nest(arguments.folder, n_steps, threads)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.folder or Path(scratch) / "circuit").absolute()
        if not (folder / "config.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_circuit(folder, int(arguments.neurons), int(arguments.edges), n_steps)
        result = measure(folder, n_steps, arguments.repeats, threads)
    print(report(result))
    result |= {"environment": environment(), "neurons": arguments.neurons}
    write_json(arguments.json, result | {"edges": arguments.edges, "steps": n_steps})


if __name__ == "__main__":
    main()
