"""The same network through PyNN's own FromListConnector: one projection a receptor.

usage: python -m benchmarks.pynn_lists NETWORK.h5 --threads 2

Prints the seconds from the arrays to a network that can run ("ready"), and peak memory.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measurement import Clock, peak_mb
from v1sim.simulation.cells import create_population, nest_parameters
from v1sim.simulation.kernel import backend, reset_kernel
from v1sim.sources import open_network
from v1sim.units import MODEL_STEP_MS


def measure(path: Path, threads: int) -> dict[str, Any]:
    nest, pynn = backend()
    clock = Clock()
    network = open_network(path)
    reset_kernel(dt_ms=MODEL_STEP_MS, threads=threads, seed=1, max_delay_ms=4.0)
    # PyNN cannot make glif_psc by itself, so that the populations are v1sim's.
    types = network.neurons.cell_type
    order = np.argsort(types, kind="stable")
    cell = np.empty(len(types), dtype=np.int64)
    cell[order] = np.arange(len(types))
    creations = [
        ("glif_psc", nest_parameters(network.cell_types, int(index), "glif_psc"), int(count))
        for index, count in zip(*np.unique(types, return_counts=True), strict=True)
    ]
    v1 = create_population("v1", creations)
    lgn = create_population("lgn", [("spike_train_injector", {}, network.lgn.size)])
    for pre, table, pre_cell in (
        (v1, network.tables["recurrent"], cell[network.tables["recurrent"].pre]),
        (lgn, network.tables["lgn"], network.tables["lgn"].pre),
    ):
        weight_na = table.weight_pa(network) / 1000
        columns = np.column_stack([pre_cell, cell[table.post], weight_na, table.delay_ms])
        for index, receptor in enumerate(network.receptors.names):
            chosen = columns[table.receptor == index].tolist()
            if chosen:
                pynn.Projection(
                    pre,
                    v1,
                    pynn.FromListConnector(chosen, column_names=["weight", "delay"]),
                    pynn.StaticSynapse(),
                    receptor_type=receptor,
                )
    nest.Prepare()
    nest.Cleanup()
    ready = {"ready": clock.wall_s(), "ready_cpu": clock.cpu_s()}
    n_synapses = len(network.tables["recurrent"]) + len(network.tables["lgn"])
    if nest.num_connections != n_synapses:
        raise AssertionError(f"{nest.num_connections:,} of {n_synapses:,} synapses")
    return {**ready, "peak_ready_mb": peak_mb(), "peak_mb": peak_mb()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.network, arguments.threads)))


if __name__ == "__main__":
    main()
