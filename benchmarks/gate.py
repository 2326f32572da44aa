"""Reading and checking a network file, against h5py's reading of the same file.

usage: python benchmarks/gate.py NETWORK.h5 [--repeats 3] [--json FILE]

A full-size file: `python scripts/make_full_size.py full.h5`. Each measurement is a process of its
own, and the kinds take turns; times are medians, memory the highest peak. Peaks are
above what the interpreter needs with its imports; ratios are to the arrays in the file.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import h5py

KINDS = ("h5py", "v1sim")


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def array_mb(path: Path) -> float:
    sizes = []
    with h5py.File(path) as file:
        file.visititems(
            lambda _, item: sizes.append(item.nbytes) if isinstance(item, h5py.Dataset) else None
        )
    return sum(sizes) / 1e6


def read_by_h5py(path: Path) -> dict[str, float]:
    before = peak_mb()
    since, cpu = time.perf_counter(), time.process_time()
    arrays = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                arrays.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None
            )
        )
    return {
        "read_s": time.perf_counter() - since,
        "read_cpu_s": time.process_time() - cpu,
        "peak_mb": peak_mb() - before,
    }


def check_by_v1sim(path: Path) -> dict[str, float]:
    from v1sim import guard
    from v1sim.sources import open_network

    before = peak_mb()
    since = time.perf_counter()
    network = open_network(path)
    read, cpu = time.perf_counter(), time.process_time()
    report = guard.examine(network, guard.Policy(require="any"))
    done = time.perf_counter()
    return {
        "read_s": read - since,
        "check_s": done - read,
        "check_cpu_s": time.process_time() - cpu,
        "n_checks": len(report.checks_run),
        "peak_mb": peak_mb() - before,
    }


def in_a_process(kind: str, path: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, str(path), "--measure", kind],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure = read_by_h5py if arguments.measure == "h5py" else check_by_v1sim
        sys.stdout.write(json.dumps(measure(arguments.network)))
        return
    arguments.network.read_bytes()  # into the page cache
    runs = {kind: [] for kind in KINDS}
    for _ in range(arguments.repeats):
        for kind in KINDS:
            runs[kind].append(in_a_process(kind, arguments.network))
    times = {
        f"{kind} {key}": median(run[key] for run in runs[kind])
        for kind in KINDS
        for key in runs[kind][0]
    }
    size_mb = array_mb(arguments.network)
    result = {
        "file": str(arguments.network),
        "arrays_mb": size_mb,
        **times,
        "checks relative to h5py's reading": times["v1sim check_s"] / times["h5py read_s"],
        "the same in CPU time (on a busy machine)": times["v1sim check_cpu_s"]
        / times["h5py read_cpu_s"],
        "reading and checks relative to h5py's reading": (
            times["v1sim read_s"] + times["v1sim check_s"]
        )
        / times["h5py read_s"],
        "peak relative to the arrays": max(r["peak_mb"] for r in runs["v1sim"]) / size_mb,
        "machine": platform.platform(),
    }
    for name, value in result.items():
        print(f"{name:<48}{value:.3g}" if isinstance(value, float) else f"{name:<48}{value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
