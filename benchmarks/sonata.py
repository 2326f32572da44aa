"""A SONATA circuit from its files to a network that can run: v1sim beside BMTK's PointNet.

usage: python -m benchmarks.sonata [--neurons 52000] [--edges 1.5e7] [--repeats 1] [--threads 2]
           [--bmtk-python PYTHON] [--folder FOLDER] [--json FILE]

A made circuit: cells of two classes and twelve types, edges sorted by target with a weight and
number of synapses of their own, delays by type, virtual LGN cells. Each measurement is a process of
its own, the two in turn.

  v1sim   files -> network -> gate -> plan -> NEST -> read-back of every synapse
  BMTK    files -> NEST

CPU time of all threads, and the highest resident memory until the network can run.
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

from benchmarks.measurement import Clock, environment, in_own_process, peak_mb, write_json

DT_MS = 0.25
N_TYPES = 12
_BLOCK = 1 << 20
_STAGES = ("read", "gate", "build", "prepare", "read-back")


def write_circuit(folder: Path, n_neurons: int, n_edges: int, seed: int = 1) -> Path:
    """A circuit and its simulation in one configuration; its path."""
    rng = np.random.default_rng(seed)
    n_lgn = max(10, n_neurons // 13)
    inhibitory = np.arange(N_TYPES) % 6 == 5  # one cell in six
    cell_type = rng.integers(0, N_TYPES, n_neurons)
    rows = ["node_type_id model_type model_template dynamics_params ei pop_name"]
    for i in range(N_TYPES):
        ei = "i" if inhibitory[i] else "e"
        parameters = {
            "C_m": 80.0 + i,
            "g": 6.0,
            "E_L": -75.0,
            "V_m": -75.0,
            "V_reset": -75.0,
            "V_th": -45.0,
            "t_ref": 3.0,
            "asc_decay": [0.003, 0.1],
            "asc_amps": [-9.0, -80.0],
            "asc_init": [0.0, 0.0],
            "tau_syn": [5.5, 8.5, 2.8, 5.8],
            "after_spike_currents": True,
            "spike_dependent_threshold": False,
            "adapting_threshold": False,
        }
        (folder / f"cell_{i}.json").write_text(json.dumps(parameters))
        rows.append(f"{100 + i} point_neuron nest:glif_psc cell_{i}.json {ei} {ei}{i}")
    (folder / "v1_types.csv").write_text("\n".join(rows) + "\n")
    types = "node_type_id model_type ei pop_name\n1 virtual e sON_TF4\n"
    (folder / "lgn_types.csv").write_text(types)
    nodes = [
        _nodes(folder, "v1", cell_type + 100, rng),
        _nodes(folder, "lgn", np.ones(n_lgn, dtype=np.int64), rng),
    ]
    edges = [
        _edges(folder, "v1", n_neurons, n_edges, inhibitory[cell_type], cell_type, rng),
        _edges(folder, "lgn", n_lgn, n_edges // 20, np.zeros(n_lgn, dtype=bool), cell_type, rng),
    ]
    with h5py.File(folder / "lgn_spikes.h5", "w") as file:
        file["spikes/lgn/node_ids"] = np.arange(n_lgn, dtype=np.uint64)
        file["spikes/lgn/timestamps"] = np.full(n_lgn, 1.0)
        file["spikes/lgn/timestamps"].attrs["units"] = "milliseconds"
    config = {
        "run": {"tstop": 2.0, "dt": DT_MS},
        "target_simulator": "NEST",
        "components": {
            "point_neuron_models_dir": str(folder),
            "synaptic_models_dir": str(folder),
        },
        "networks": {"nodes": nodes, "edges": edges},
        "inputs": {
            "lgn": {
                "input_type": "spikes",
                "module": "h5",
                "input_file": str(folder / "lgn_spikes.h5"),
                "node_set": "lgn",
            }
        },
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


def _nodes(
    folder: Path, name: str, type_id: np.ndarray, rng: np.random.Generator
) -> dict[str, str]:
    path = folder / f"{name}_nodes.h5"
    n = len(type_id)
    with h5py.File(path, "w") as file:
        root = file.create_group(f"nodes/{name}")
        root["node_id"] = np.arange(n, dtype=np.uint64)
        root["node_type_id"] = type_id.astype(np.uint64)
        root["node_group_id"] = np.zeros(n, dtype=np.uint32)
        root["node_group_index"] = np.arange(n, dtype=np.uint64)
        for axis in "xyz":
            root[f"0/{axis}"] = rng.uniform(-400, 400, n)
    return {"nodes_file": str(path), "node_types_file": str(folder / f"{name}_types.csv")}


def _edges(
    folder: Path,
    source: str,
    n_sources: int,
    n: int,
    is_inhibitory: np.ndarray,
    target_type: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, str]:
    """Edges sorted by target; a type for each class of source and type of target."""
    name = f"{source}_to_v1"
    rows = ["edge_type_id target_query source_query delay dynamics_params model_template"]
    for port in range(1, 5):
        (folder / f"port_{port}.json").write_text(json.dumps({"receptor_type": port}))
    for i in range(2 * N_TYPES):
        inhibitory, target = divmod(i, N_TYPES)
        port = 1 + inhibitory + 2 * (target % 6 == 5)
        delay = round(1.0 + 0.07 * i, 2)
        rows.append(f"{i} * * {delay} port_{port}.json static_synapse")
    (folder / f"{name}_types.csv").write_text("\n".join(rows) + "\n")
    path = folder / f"{name}.h5"
    columns = {
        "source_node_id": np.uint64,
        "target_node_id": np.uint64,
        "edge_type_id": np.uint32,
        "edge_group_id": np.uint16,
        "edge_group_index": np.uint32,
        "0/syn_weight": np.float64,
        "0/nsyns": np.uint16,
    }
    with h5py.File(path, "w") as file:
        root = file.create_group(f"edges/{name}")
        for column, dtype in columns.items():
            root.create_dataset(column, shape=(n,), dtype=dtype)
        for start in range(0, n, _BLOCK):
            m = min(_BLOCK, n - start)
            part = slice(start, start + m)
            target = (np.arange(start, start + m) * len(target_type)) // n
            pre = rng.integers(0, n_sources, m)
            kind = is_inhibitory[pre]
            weight = np.where(kind, -1.5, 0.5) * rng.lognormal(0, 0.8, m)
            root["source_node_id"][part] = pre
            root["target_node_id"][part] = target
            root["edge_type_id"][part] = target_type[target] + N_TYPES * kind
            root["edge_group_index"][part] = np.arange(start, start + m)
            root["edge_group_id"][part] = 0
            root["0/syn_weight"][part] = weight
            root["0/nsyns"][part] = rng.integers(1, 8, m)
        for side, population in (("source", source), ("target", "v1")):
            root[f"{side}_node_id"].attrs["node_population"] = population
    return {"edges_file": str(path), "edge_types_file": str(folder / f"{name}_types.csv")}


def ours(path: Path, threads: int) -> dict[str, Any]:
    """Stages of v1sim: CPU s of each, and peak memory when the network can run."""
    from v1sim import guard
    from v1sim.errors import GuardRefusal
    from v1sim.simulation.build import build
    from v1sim.simulation.kernel import backend
    from v1sim.simulation.plan import make_plan
    from v1sim.simulation.readback import read_back
    from v1sim.sources import open_network

    nest, _ = backend()
    result: dict[str, Any] = {}

    def stage(name: str, clock: Clock) -> None:
        result[name], result[f"{name}_cpu"] = clock.wall_s(), clock.cpu_s()
        result[f"{name}_mb"] = peak_mb()

    clock = Clock()
    network = open_network(path)
    stage("read", clock)
    waivers: dict[str, str] = {}
    try:
        clock = Clock()
        checked = guard.admit(network, guard.Policy(require="any"))
    except GuardRefusal as refusal:  # a made circuit is odd in some ways
        waivers = {finding.waived_as: "made" for finding in refusal.report.blocking}
        clock = Clock()
        checked = guard.admit(network, guard.Policy(require="any", waivers=waivers))
    stage("gate", clock)
    clock = Clock()
    plan = make_plan(checked, background="none", seed=1, dynamics="nest")
    del network, checked
    simulation = build(plan, threads=threads)
    stage("build", clock)
    clock = Clock()
    nest.Prepare()
    nest.Cleanup()
    stage("prepare", clock)
    clock = Clock()
    read_back(simulation, lambda *_: None)
    stage("read-back", clock)
    return {
        **result,
        "waived": sorted(waivers),
        "ready": sum(result[name] for name in _STAGES),
        "ready_cpu": sum(result[f"{name}_cpu"] for name in _STAGES),
        "peak_ready_mb": peak_mb(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=float, default=52_000)
    parser.add_argument("--edges", type=float, default=1.5e7)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bmtk-python", type=Path, default=Path(sys.executable))
    parser.add_argument("--folder", type=Path, help="of the circuit's files")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print("\n" + json.dumps(ours(arguments.one, arguments.threads)))
        return
    runs: dict[str, list[dict[str, Any]]] = {"v1sim": [], "BMTK": []}
    threads = ("--threads", arguments.threads)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        path = write_circuit(folder, int(arguments.neurons), int(arguments.edges))
        for _ in range(arguments.repeats):
            for kind, module, given, python in (
                ("v1sim", "benchmarks.sonata", ("--one", path), sys.executable),
                ("BMTK", "benchmarks.pointnet", (path,), arguments.bmtk_python),
            ):
                result = in_own_process(module, *given, *threads, python=python)
                print(kind, json.dumps(result), flush=True)
                if "failed" in result:
                    sys.exit(f"{kind} failed: {result['failed']}")
                runs[kind].append(result)
    medians = {
        kind: {
            name: median(run[name] for run in results)
            for name in results[0]
            if isinstance(results[0][name], int | float)
        }
        for kind, results in runs.items()
    }
    v1sim, bmtk = medians["v1sim"], medians["BMTK"]
    report = {
        "ratio file to ready, CPU time": v1sim["ready_cpu"] / bmtk["ready_cpu"],
        "ratio without gate and read-back, CPU time": (
            (v1sim["ready_cpu"] - v1sim["gate_cpu"] - v1sim["read-back_cpu"]) / bmtk["ready_cpu"]
        ),
        "ratio peak memory": v1sim["peak_ready_mb"] / bmtk["peak_ready_mb"],
    }
    print(json.dumps(report, indent=2))
    write_json(
        arguments.json,
        {"environment": environment(), "ratios": report, "median": medians, "runs": runs},
    )


if __name__ == "__main__":
    main()
