"""Reading, checking and building a network, against bare NEST on the same arrays.

usage: python -m benchmarks.build [--synapses 1e5 1e6] [--repeats 3] [--threads 2] [--json FILE]

Bare NEST is given the arrays in memory, in NEST's own dtypes, and creates the
same neurons type by type. The two are run in turn; ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from statistics import median

import h5py
import numpy as np

from v1sim import guard
from v1sim.model import NetworkModel
from v1sim.simulation.build import build
from v1sim.simulation.cells import nest_parameters
from v1sim.simulation.kernel import backend, reset_kernel
from v1sim.simulation.plan import make_plan
from v1sim.simulation.readback import read_back
from v1sim.sources import open_network
from v1sim.sources.column import build_column
from v1sim.sources.hdf5 import write_network
from v1sim.units import MODEL_STEP_MS

#: The built-in column has about 100 to 280 synapses a neuron, growing with its size.
_NEURONS_FOR = {1e5: 1200, 1e6: 5500}


def bare_nest(network: NetworkModel, threads: int) -> dict[str, float]:
    """Seconds that nest.Create, nest.Connect and nest.Prepare take."""
    nest, _ = backend()
    reset_kernel(dt_ms=MODEL_STEP_MS, threads=threads, seed=1, max_delay_ms=10.0)
    types = network.neurons.cell_type
    order = np.argsort(types, kind="stable")
    since = time.perf_counter()
    for index, count in zip(*np.unique(types, return_counts=True), strict=True):
        nest.Create(
            "glif_psc",
            int(count),
            params=nest_parameters(network.cell_types, int(index), "glif_psc"),
        )
    node = np.empty(len(types), dtype=np.int64)
    node[order] = np.arange(1, len(types) + 1)
    first_lgn = nest.Create("spike_train_injector", network.lgn.size)[0].global_id
    created = time.perf_counter()
    seconds = {"create": created - since, "connect": 0.0}
    for table, pre in (
        (network.tables["recurrent"], node[network.tables["recurrent"].pre]),
        (network.tables["lgn"], network.tables["lgn"].pre + np.int64(first_lgn)),
    ):
        post, weight = node[table.post], table.weight_pa(network)
        delay, receptor = table.delay_ms.astype(float), table.receptor + np.int64(1)
        since = time.perf_counter()
        nest.Connect(
            pre,
            post,
            "one_to_one",
            {
                "synapse_model": "static_synapse",
                "weight": weight,
                "delay": delay,
                "receptor_type": receptor,
            },
        )
        seconds["connect"] += time.perf_counter() - since
    since = time.perf_counter()
    nest.Prepare()
    seconds["prepare"] = time.perf_counter() - since
    nest.Cleanup()
    return seconds


def ours(path: Path, threads: int) -> dict[str, float]:
    """Seconds of each stage of v1sim, from the file to a network that can run."""
    nest, _ = backend()
    seconds: dict[str, float] = {}

    def mark(stage: str, since: float) -> float:
        now = time.perf_counter()
        seconds[stage] = now - since
        return now

    since = time.perf_counter()
    network = open_network(path)
    since = mark("read", since)
    checked = guard.admit(network, guard.Policy(require="any"))
    since = mark("gate", since)
    plan = make_plan(checked, background="none", seed=1)
    simulation = build(plan, threads=threads)
    since = mark("build", since)
    nest.Prepare()
    since = mark("prepare", since)
    nest.Cleanup()
    since = time.perf_counter()
    read_back(simulation, lambda *_: None)
    mark("read-back", since)
    return seconds


def bare_read(path: Path) -> float:
    """Seconds that h5py takes to read every dataset."""
    since = time.perf_counter()
    with h5py.File(path) as file:
        file.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)
    return time.perf_counter() - since


def measure(n_synapses: float, repeats: int, threads: int, folder: Path) -> dict[str, object]:
    path = folder / "network.h5"
    column = build_column(_NEURONS_FOR.get(n_synapses, int((n_synapses / 0.033) ** 0.5)), seed=1)
    write_network(column, path)
    bare, guarded, read = [], [], []
    for _ in range(repeats):
        bare.append(bare_nest(column, threads))
        guarded.append(ours(path, threads))
        read.append(bare_read(path))
    bare_s = {k: median(run[k] for run in bare) for k in bare[0]}
    ours_s = {k: median(run[k] for run in guarded) for k in guarded[0]}
    bare_build = sum(bare_s.values())
    return {
        "neurons": column.n_neurons,
        "synapses": len(column.tables["recurrent"]) + len(column.tables["lgn"]),
        "bare_nest_s": bare_s,
        "v1sim_s": ours_s,
        "bare_read_s": median(read),
        "ratio_build": (ours_s["build"] + ours_s["prepare"]) / bare_build,
        "ratio_read": ours_s["read"] / median(read),
        "ratio_gate_to_read": ours_s["gate"] / median(read),
        "ratio_file_to_ready_without_readback": (
            (ours_s["read"] + ours_s["gate"] + ours_s["build"] + ours_s["prepare"]) / bare_build
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--synapses", type=float, nargs="+", default=[1e5, 1e6])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    nest, _ = backend()
    results = {
        "machine": platform.processor() or platform.machine(),
        "nest": nest.__version__,
        "threads": arguments.threads,
        "sizes": [],
    }
    for n_synapses in arguments.synapses:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(n_synapses, arguments.repeats, arguments.threads, Path(folder))
        results["sizes"].append(result)
        print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
