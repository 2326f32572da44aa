"""Time and memory against the number of synapses, beside bare NEST, PyNN's own connector and BMTK.

usage: python -m benchmarks.scaling [NETWORK.h5 ...] [--neurons 1200 5500 17000] [--repeats 3]
           [--threads 2] [--simulate-ms 500] [--pynn-synapses 2e5] [--bmtk-python PYTHON]
           [--limit-s 900] [--json FILE] [--figure FILE.png]

Networks of --neurons are made by scripts/make_full_size.py; larger ones are given as files.
Every measurement is a process of its own, the kinds in turn. Above 2e7 synapses each runs
once, and not at all where it needs more memory than is free.

  ready      v1sim, BMTK: from the files to a network that can run; v1sim with all guards and the
             read-back of every synapse. Bare NEST, PyNN: from arrays in memory
  simulate   a simulated second at the same LGN input
  peak       highest resident memory of the whole process

Both times as wall time and, which the figure shows, as CPU time of all threads: other load on
the machine hardly changes it.

PyNN's FromListConnector makes about 1e4 synapses a second, and is asked up to --pynn-synapses.
PointNet runs in the environment of --bmtk-python (`pip install bmtk nest-simulator`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from benchmarks import full_size
from benchmarks.measurement import (
    REPOSITORY,
    available_gb,
    environment,
    in_own_process,
    write_json,
)
from benchmarks.sonata_network import write_sonata_network
from v1sim.sources import open_network

PYNN, BMTK = "PyNN FromListConnector", "BMTK PointNet"
KINDS = (*full_size.KINDS, PYNN, BMTK)
#: Above this many synapses a run takes minutes and most of a small machine's memory.
_ONCE_ABOVE = 2e7
#: Measured at 1.5e7 synapses, for where no smaller network is measured first.
_MB_PER_SYNAPSE = {"bare NEST": 2.3e-4, "v1sim glif_psc": 1e-4, "v1sim training": 1e-4}
#: Others use the machine, too.
_MARGIN = 1.25
_QUANTITIES = {
    "ready_cpu": "file to ready, CPU s",
    "simulate_cpu": "1 s of activity, CPU s",
    "peak_mb": "peak memory, MB",
}
_COLOURS = dict(zip(KINDS, ("#000000", "#0072b2", "#009e73", "#cc79a7", "#d55e00"), strict=True))


@dataclass(frozen=True)
class Case:
    """One network, and its SONATA form where BMTK is to run."""

    path: Path
    n_synapses: int
    sonata: Path | None


def make_network(n_neurons: int, folder: Path) -> Path:
    path = folder / f"{n_neurons}.h5"
    command = [sys.executable, "scripts/make_full_size.py", path, "--neurons", str(n_neurons)]
    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    return path


def case(path: Path, arguments: argparse.Namespace, folder: Path) -> Case:
    network = open_network(path)
    n_synapses = len(network.tables["recurrent"]) + len(network.tables["lgn"])
    sonata = None
    if arguments.bmtk_python and n_synapses <= _ONCE_ABOVE:
        files = folder / f"{path.stem}_sonata"
        files.mkdir()
        shown = full_size.one_rate(network.lgn.size, arguments.simulate_ms, arguments.rate_hz)
        lgn = shown.input(0, full_size.SEED)
        sonata = write_sonata_network(network, lgn, arguments.simulate_ms, files)
    return Case(path, n_synapses, sonata)


def one(kind: str, of: Case, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Ready, simulate and peak of one kind, or None where it does not apply."""
    options: dict[str, Any] = {"timeout_s": arguments.limit_s}
    threads = ("--threads", arguments.threads)
    if kind == PYNN:
        if of.n_synapses > arguments.pynn_synapses:
            return None
        return in_own_process("benchmarks.pynn_lists", of.path, *threads, **options)
    if kind == BMTK:
        if of.sonata is None:
            return None
        python = arguments.bmtk_python
        result = in_own_process(
            "benchmarks.pointnet", of.sonata, *threads, python=python, **options
        )
    else:
        result = in_own_process(
            "benchmarks.full_size",
            *(of.path, "--one", kind, *threads),
            *("--simulate-ms", arguments.simulate_ms, "--rate-hz", arguments.rate_hz),
            **options,
        )
    if "failed" in result:
        return result
    stages = ("read", "gate", "build", "read-back", "create", "connect", "prepare")
    ready = sum(result[stage] for stage in stages if stage in result)
    to_second = 1000 / arguments.simulate_ms
    return {
        **result,
        "ready": result.get("ready", ready),
        "simulate": result["simulate"] * to_second,
        "simulate_cpu": result["simulate_cpu"] * to_second,
    }


def measure(arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """One entry a network: its synapses, and by kind the runs and their medians."""
    paths = [make_network(n, folder) for n in arguments.neurons] + arguments.networks
    sizes: list[dict[str, Any]] = []
    mb_per_synapse = dict(_MB_PER_SYNAPSE)
    for path in paths:
        of = case(path, arguments, folder)
        runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        repeats = arguments.repeats if of.n_synapses <= _ONCE_ABOVE else 1
        for _ in range(repeats):
            for kind in KINDS:
                needed_gb = mb_per_synapse.get(kind, 0.0) * of.n_synapses / 1000
                if of.n_synapses > _ONCE_ABOVE and _MARGIN * needed_gb > available_gb():
                    seen = f"needs about {needed_gb:.0f} GB, {available_gb():.0f} are free"
                    result: dict[str, Any] | None = {"failed": seen}
                else:
                    result = one(kind, of, arguments)
                if result is not None:
                    runs[kind].append(result)
                    print(of.n_synapses, kind, json.dumps(result), flush=True)
        medians = {}
        for kind, results in runs.items():
            done = [result for result in results if "failed" not in result]
            if done:
                medians[kind] = {
                    name: median(result[name] for result in done)
                    for name in ("ready", "simulate", *_QUANTITIES)
                    if name in done[0]
                }
                mb_per_synapse[kind] = medians[kind]["peak_mb"] / of.n_synapses
        sizes.append({"synapses": of.n_synapses, "median": medians, "runs": runs})
    return sizes


def ratios(sizes: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By number of synapses and kind, each quantity over bare NEST's."""
    result = {}
    for size in sizes:
        bare = size["median"].get("bare NEST", {})
        result[f"{size['synapses']:.1e}"] = {
            f"{kind}: {name} / bare": values[name] / bare[name]
            for kind, values in size["median"].items()
            if kind != "bare NEST"
            for name in values
            if name in bare
        }
    return result


def figure(sizes: list[dict[str, Any]], path: Path) -> None:
    """Each quantity against synapses, with a line of slope one to see what is linear."""
    drawn = Figure(figsize=(11, 3.6), layout="constrained")
    for axes, (name, label) in zip(
        drawn.subplots(1, len(_QUANTITIES)), _QUANTITIES.items(), strict=True
    ):
        for kind in KINDS:
            points = [
                (size["synapses"], size["median"][kind][name])
                for size in sizes
                if name in size["median"].get(kind, {})
            ]
            if points:
                axes.loglog(
                    *zip(*points, strict=True), "o-", ms=4, color=_COLOURS[kind], label=kind
                )
        last = max(sizes, key=lambda size: size["synapses"])
        end = min(values[name] for values in last["median"].values() if name in values)
        span = [size["synapses"] for size in sizes]
        linear = [end * n / last["synapses"] for n in span]
        axes.plot(span, linear, ":", color="#999999", zorder=0, label="linear")
        axes.set_xlabel("synapses")
        axes.set_title(label, fontsize=10)
        axes.grid(alpha=0.3, lw=0.5)
    drawn.axes[0].legend(fontsize=8, frameon=False)
    drawn.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", type=Path, nargs="*")
    parser.add_argument("--neurons", type=int, nargs="*", default=[1200, 5500, 17_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--simulate-ms", type=float, default=500.0)
    parser.add_argument("--rate-hz", type=float, default=5.0)
    parser.add_argument("--pynn-synapses", type=float, default=2e5)
    parser.add_argument("--bmtk-python", type=Path)
    parser.add_argument("--limit-s", type=float, default=900.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    if arguments.bmtk_python and not arguments.bmtk_python.exists():
        parser.error(f"there is no {arguments.bmtk_python}")
    with tempfile.TemporaryDirectory() as folder:
        sizes = measure(arguments, Path(folder))
    result = {
        "environment": environment(),
        "threads": arguments.threads,
        "ratios": ratios(sizes),
        "sizes": sizes,
    }
    print(json.dumps(result["ratios"], indent=2))
    write_json(arguments.json, result)
    if arguments.figure:
        figure(sizes, arguments.figure)


if __name__ == "__main__":
    main()
