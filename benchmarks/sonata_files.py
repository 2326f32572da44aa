"""Export to SONATA and import from it, against bare h5py writing the same columns.

usage: python -m benchmarks.sonata_files [N_SYNAPSES] [FOLDER]

Each step runs in a process of its own; prints its seconds and its peak of memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

N_NEURONS, N_LGN = 50_000, 17_400
BLOCK = 1 << 20


def make(folder: Path, n: int) -> None:
    """A network file with the sizes of the trained column, or other ones."""
    from tests.networks import tiny_types
    from v1sim.model import NetworkModel, NeuronTable, SourceFile, SynapseTable
    from v1sim.sources.hdf5 import write_network

    rng = np.random.default_rng(1)

    def table(n_pre: int, size: int) -> SynapseTable:
        post = np.sort(rng.integers(0, N_NEURONS, size)).astype(np.int32)
        return SynapseTable(
            pre=rng.integers(0, n_pre, size, dtype=np.int32),
            post=post,
            receptor=rng.integers(0, 4, size, dtype=np.uint8),
            delay_ms=rng.integers(1, 5, size).astype(np.float32),
            weight=rng.standard_normal(size, dtype=np.float32),
        )

    write_network(
        NetworkModel.billeh(
            neurons=NeuronTable(rng.integers(0, 5, N_NEURONS).astype(np.uint16)),
            cell_types=tiny_types(),
            recurrent=table(N_NEURONS, n),
            lgn=table(N_LGN, n // 20),
            n_lgn=N_LGN,
            source=SourceFile("made", "", "column"),
        ),
        folder / "net.h5",
    )


def export(folder: Path) -> None:
    """Network file to circuit."""
    from v1sim.sources import open_network
    from v1sim.sources.sonata.writer import write_circuit

    network = open_network(folder / "net.h5")
    write_circuit(network, folder / "circuit", command="benchmark", force=True)


def import_(folder: Path) -> None:
    """Circuit to network file."""
    from v1sim.sources import open_network
    from v1sim.sources.hdf5 import write_network

    write_network(open_network(folder / "circuit" / "simulation_config.json"), folder / "back.h5")


def _copy(source: Path, target: Path, group: str, **options: object) -> None:
    with h5py.File(source) as file, h5py.File(target, "w") as written:

        def visit(name: str, item: object) -> None:
            if not isinstance(item, h5py.Dataset) or not item.ndim or "indices" in name:
                return
            rows = min(1 << 15, max(item.shape[0], 1))
            chosen = {"chunks": (rows,), **options} if options and item.ndim == 1 else {}
            made = written.create_dataset(name, item.shape, item.dtype, **chosen)
            for start in range(0, item.shape[0], BLOCK):
                made[start : start + BLOCK] = item[start : start + BLOCK]

        file[group].visititems(lambda name, item: visit(f"{group}/{name}", item))


def bare_export(folder: Path) -> None:
    """The circuit's columns, read and written by h5py in blocks, as they are stored."""
    for name in ("v1_to_v1", "lgn_to_v1"):
        _copy(folder / "circuit/network" / f"{name}_edges.h5", folder / f"{name}.h5", "edges")


def bare_import(folder: Path) -> None:
    """The columns of the network file, read and written with the same filters."""
    _copy(
        folder / "back.h5", folder / "copy.h5", "projections",
        compression="gzip", compression_opts=1, shuffle=True,
    )  # fmt: skip


STEPS = {f.__name__: f for f in (export, import_, bare_export, bare_import)}


def main() -> None:
    if len(sys.argv) > 3:
        folder, step = Path(sys.argv[2]), sys.argv[3]
        if step == "make":
            make(folder, int(sys.argv[1]))
            return
        start, cpu = time.perf_counter(), time.process_time()
        STEPS[step](folder)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        seconds = [round(time.perf_counter() - start, 2), round(time.process_time() - cpu, 2)]
        print(
            json.dumps({"step": step, "wall_s": seconds[0], "cpu_s": seconds[1], "peak_mb": used})
        )
        return
    n = int(float(sys.argv[1])) if len(sys.argv) > 1 else 15_000_000
    with tempfile.TemporaryDirectory() as made:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(made)
        # The peak of a process counts what the one that started it held: this one holds nothing.
        for step in ("make", *STEPS):
            command = [sys.executable, "-m", "benchmarks.sonata_files", str(n), str(folder), step]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
