"""The training dynamics in v1sim, bare NEST and other engines: one network, one draw of LGN spikes.

usage: python -m benchmarks.engines NETWORK.h5 [--repeats 3] [--threads 1] [--simulate-ms 500]
           [--rate-hz 5] [--brian2-python PYTHON] [--brainevent-python PYTHON] [--json FILE]

Each row is a process of its own, and the rows are run in turn, so that all see the same machine:

  bare NEST                       glif_psc, static_synapse, the background as events
  v1sim training                  float64; from the file, with guards and read-back
  v1sim training_single           float32
  ... frozen nodes skipped        with simulation.skip_frozen_nodes
  C++ by hand                     benchmarks/by_hand.cpp: -O3 -march=native -ffast-math
  Brian2 / JAX + brainevent       in environments of their own, where they are named

Ratios are of medians of CPU time of all threads (OMP_WAIT_POLICY=passive). *ready* is from the file
(v1sim) or from arrays in memory or files (all others) to the first step; what others need for
arrays in their order is not counted. Imports are counted for none. Peak memory is measured of
bare NEST and v1sim. All rows but bare NEST must count the same spikes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

from benchmarks import measurement
from benchmarks.full_size import OTHER_KINDS, SEED, one_rate
from benchmarks.measurement import REPOSITORY, environment, write_json
from v1sim.model import NetworkModel
from v1sim.simulation.step_constants import normalised_reset, step_constants
from v1sim.sources import open_network

BARE, BY_HAND, BRIAN2, BRAINEVENT = "bare NEST", "C++ by hand", "Brian2", "JAX + brainevent"
OURS = ("v1sim training", *OTHER_KINDS)


def export(network: NetworkModel, folder: Path, duration_ms: float, rate_hz: float) -> None:
    """Write what the others need: constants, synapses by source, delay and target, LGN spikes.

    ``target`` is neuron * 4 + receptor; weights are normalised.
    """
    kind = network.neurons.cell_type
    arrays: dict[str, Any] = {
        "constants": step_constants(network.cell_types)[kind],
        "start": normalised_reset(network.cell_types)[kind],
        "t_ref": network.cell_types.t_ref_ms[kind].astype(np.float32),
        "background": (0.1 * network.background_weight).astype(np.float32),
    }
    n_sources = {"recurrent": network.n_neurons, "lgn": network.lgn.size}
    for name in n_sources:
        table = network.tables[name]
        delay = np.rint(table.delay_ms).astype(np.uint8)
        order = np.lexsort((table.post, delay, table.pre))
        arrays |= {
            f"{name}_pre": table.pre[order].astype(np.int32),
            f"{name}_target": (table.post.astype(np.int32) * 4 + table.receptor)[order],
            f"{name}_delay": delay[order],
            f"{name}_weight": table.weight[order],
            f"{name}_fanout": np.bincount(table.pre, minlength=n_sources[name]),
        }
    lgn = one_rate(network.lgn.size, duration_ms, rate_hz).input(0, SEED)
    arrays |= {"lgn_spike_step": lgn.step, "lgn_spike_source": lgn.source}
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(values))


def compile_by_hand(folder: Path) -> Path | None:
    """The compiled program, or None where there is no compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    program = folder / "by_hand"
    source = REPOSITORY / "benchmarks" / "by_hand.cpp"
    flags = ["-std=c++17", "-O3", "-march=native", "-ffast-math", "-fopenmp"]
    subprocess.run([compiler, *flags, str(source), "-o", str(program)], check=True)
    return program


def measured(command: list[object], threads: int, folder: Path) -> dict[str, Any]:
    """What a program prints as its last line."""
    limits = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **limits},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"failed": f"exit code {done.returncode}"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def of_full_size(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    return measurement.in_own_process(
        "benchmarks.full_size",
        *(arguments.network, "--one", kind, "--threads", arguments.threads),
        *("--simulate-ms", arguments.simulate_ms, "--rate-hz", arguments.rate_hz),
    )


def table(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of each row and its ratios to bare NEST, the program by hand, and brainevent."""
    rows: dict[str, Any] = {}
    names = ("simulate_cpu", "simulate", "ready_cpu", "peak_mb")
    for row, results in runs.items():
        done = [result for result in results if "failed" not in result]
        if not done:
            rows[row] = {"failed": results[0]["failed"] if results else "not run"}
            continue
        values = {name: median(r[name] for r in done) for name in names if name in done[0]}
        spread = [min(r["simulate_cpu"] for r in done), max(r["simulate_cpu"] for r in done)]
        rows[row] = {**values, "simulate_cpu_range": spread, "spikes": done[0]["spikes"]}
    for other in (BARE, BY_HAND, BRAINEVENT, BRIAN2):
        reference = rows.get(other, {})
        for row in rows.values():
            for name in names:
                if name in row and name in reference:
                    row.setdefault(f"ratio to {other}", {})[name] = row[name] / reference[name]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--simulate-ms", type=float, default=500.0)
    parser.add_argument("--rate-hz", type=float, default=5.0)
    parser.add_argument("--brian2-python", type=Path)
    parser.add_argument("--brainevent-python", type=Path)
    parser.add_argument("--rows", nargs="*", help="only these rows")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    peers = REPOSITORY / "benchmarks" / "peers"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(open_network(arguments.network), folder, arguments.simulate_ms, arguments.rate_hz)
        ms, threads = round(arguments.simulate_ms), arguments.threads
        rows: dict[str, Any] = {BARE: None, **dict.fromkeys(OURS)}
        program = compile_by_hand(folder)
        if program:
            rows[BY_HAND] = [program, folder, threads, ms]
        if arguments.brainevent_python:
            rows[BRAINEVENT] = [
                arguments.brainevent_python,
                peers / "brainevent_run.py",
                folder,
                ms,
            ]
        if arguments.brian2_python:
            build = [arguments.brian2_python, peers / "brian2_build.py", folder, folder / "brian2"]
            done = subprocess.run(
                [*map(str, build), "--threads", str(threads), "--ms", str(ms)],
                stdout=subprocess.DEVNULL,
                check=False,
            )
            rows[BRIAN2] = ["./main"] if done.returncode == 0 else ["false"]
        if arguments.rows:
            rows = {row: command for row, command in rows.items() if row in arguments.rows}
        runs: dict[str, list[dict[str, Any]]] = {row: [] for row in rows}
        for _ in range(arguments.repeats):
            for row, command in rows.items():
                if command is None:
                    result = of_full_size(row, arguments)
                else:
                    where = folder / "brian2" if row == BRIAN2 else folder
                    result = measured(command, threads, where)
                runs[row].append(result)
                print(row, json.dumps(result), flush=True)
    spikes = {
        result["spikes"]
        for row, results in runs.items()
        for result in results
        if row != BARE and "failed" not in result
    }
    result = {"environment": environment(), "threads": threads, "rows": table(runs), "runs": runs}
    print(json.dumps({key: value for key, value in result.items() if key != "runs"}, indent=2))
    write_json(arguments.json, result)
    if len(spikes) > 1:
        sys.exit(f"the rows differ in their number of spikes: {sorted(spikes)}")


if __name__ == "__main__":
    main()
