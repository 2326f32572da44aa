"""One simulation on several processes: the same network on more of them, and larger ones.

usage: python -m benchmarks.processes --mpi-python PYTHON [--neurons 12000] [--at-most 2]
           [--simulate-ms 1000] [--repeats 3] [--json FILE]

PYTHON's NEST was built with MPI (docs/hpc.md). Whole runs of ``v1sim run``, one thread a
process, in turn:

  strong   --neurons on 1, 2, 4, ... --at-most processes, and on as many threads of one process
  weak     --neurons for each process

  ready      what the first process does before anything is simulated: reading, guards,
             stimulus, building, read-back, s
  simulate   s of wall time
  peak       of the first process, which holds the columns of the file besides its part, MB
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.measurement import REPOSITORY, environment, write_json
from benchmarks.scaling import make_network

_READY = ("load", "gate", "stimulus", "build", "read-back")


def run_once(
    python: Path, network: Path, processes: int, threads: int, ms: float
) -> dict[str, Any]:
    """Stages and peak memory of one run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {
            "network": str(network),
            "require": "any",
            "stimulus": {"kind": "spontaneous", "rate_hz": 5.0, "duration_ms": ms, "trials": 1},
            "recording": {"nwb": False},
        }
        (folder / "run.yaml").write_text(yaml.safe_dump(config))
        launcher = ["mpirun", "--oversubscribe", "-n", str(processes)] if processes > 1 else []
        subprocess.run(
            [
                *(*launcher, str(python), "-m", "v1sim", "run", "run.yaml", "--out", "out"),
                *("--threads", str(threads)),
            ],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY),
                "OMPI_ALLOW_RUN_AS_ROOT": "1",
                "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        report = json.loads((folder / "out" / "report.json").read_text())
    stages = report["timings_s"]
    return {
        "ready": sum(stages.get(stage, 0.0) for stage in _READY),
        "build": stages["build"],
        "simulate": stages["simulate"],
        "peak_mb": report["peak_memory_mb"],
        "mean_rate_hz": report["results"]["mean_rate_hz"],
    }


def compare(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Medians by case, and simulating relative to one process with one thread."""
    counts = [1]
    while counts[-1] * 2 <= arguments.at_most:
        counts.append(counts[-1] * 2)
    networks = {n: make_network(arguments.neurons * n, folder) for n in counts}
    cases = {
        **{f"{n} processes": (networks[1], n, 1) for n in counts},
        **{f"1 process, {n} threads": (networks[1], 1, n) for n in counts[1:]},
        **{f"{n} processes, {n} x the network": (networks[n], n, 1) for n in counts[1:]},
    }
    runs: dict[str, list[dict[str, Any]]] = {case: [] for case in cases}
    for _ in range(arguments.repeats):
        for name, case in cases.items():
            runs[name].append(run_once(arguments.mpi_python, *case, arguments.simulate_ms))
            print(name, json.dumps(runs[name][-1]), flush=True)
    medians = {
        name: {
            key: median(run[key] for run in done)
            for key in ("ready", "build", "simulate", "peak_mb")
        }
        for name, done in runs.items()
    }
    alone = medians["1 processes"]
    ratios = {
        name: {key: row[key] / alone[key] for key in row}
        for name, row in medians.items()
        if name != "1 processes"
    }
    return {"medians": medians, "ratios": ratios, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mpi-python", type=Path, required=True)
    parser.add_argument("--neurons", type=int, default=12_000)
    parser.add_argument("--at-most", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--simulate-ms", type=float, default=1000.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = {"environment": environment(), **compare(arguments, Path(name))}
    print(json.dumps({"medians": result["medians"], "ratios": result["ratios"]}, indent=2))
    write_json(arguments.json, result)


if __name__ == "__main__":
    main()
