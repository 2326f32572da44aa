"""A full-size network from its file to simulated activity, against bare NEST on the same arrays.

usage: python -m benchmarks.full_size NETWORK.h5 [--repeats 3] [--threads 2] [--simulate-ms 1000]
                                      [--json FILE]

Make the network with scripts/make_full_size.py. Each measurement is a process of its own
(so that peak memory is its own), and the kinds are run in turn:

  bare NEST          arrays in memory in NEST's dtypes; Create, Connect, Prepare, Simulate
  v1sim glif_psc     file -> gate -> build -> read-back -> Simulate, the same neuron model
  v1sim training     the same in the dynamics of training

All get the same LGN spikes (drawn at --rate-hz) and the mean background; all neurons are recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

from benchmarks import measurement
from benchmarks.measurement import Clock, TimedNest, environment, peak_mb, write_json
from v1sim import guard
from v1sim.model import Trial
from v1sim.simulation import run
from v1sim.simulation.build import build
from v1sim.simulation.cells import nest_parameters
from v1sim.simulation.kernel import Backend, backend, reset_kernel
from v1sim.simulation.plan import make_plan
from v1sim.simulation.readback import read_back
from v1sim.sources import open_network
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.trials import Schedule
from v1sim.units import MODEL_STEP_MS

KINDS = ("bare NEST", "v1sim glif_psc", "v1sim training")
#: What benchmarks.engines asks for beside them.
SKIPPING = ", frozen nodes skipped"
OTHER_KINDS = (
    "v1sim training_single",
    *(f"v1sim {dynamics}{SKIPPING}" for dynamics in ("training", "training_single")),
)
SEED = 5


def one_rate(n_lgn: int, duration_ms: float, rate_hz: float) -> FixedProbabilities:
    """Every LGN cell fires at one rate."""
    values = np.full((int(duration_ms), n_lgn), rate_hz / 1000, dtype=np.float32)
    trial = Trial(0, 0.0, duration_ms, (0.0, duration_ms), {})
    return FixedProbabilities(n_lgn, Schedule((trial,), (0,)), [values])


def bare_nest(path: Path, threads: int, duration_ms: float, rate_hz: float) -> dict[str, Any]:
    """Stages of bare NEST, s, and peak memory."""
    nest, _ = backend()
    network = open_network(path)
    types, cell_types = network.neurons.cell_type, network.cell_types
    order = np.argsort(types, kind="stable")
    node = np.empty(len(types), dtype=np.int64)
    node[order] = np.arange(1, len(types) + 1)
    tables = [
        (
            [
                node[network.tables["recurrent"].pre],
                network.tables["lgn"].pre + np.int64(len(types) + 1),
            ][i],
            node[table.post],
            table.weight_pa(network),
            table.delay_ms.astype(np.float64),
            table.receptor + np.int64(1),
        )
        for i, table in enumerate((network.tables["recurrent"], network.tables["lgn"]))
    ]
    post, receptor = np.nonzero(network.background_weight)
    background_pa = (
        0.1 * network.background_weight[post, receptor] * network.voltage_scale_mv[post]
    ).astype(np.float64)
    show = one_rate(network.lgn.size, duration_ms, rate_hz)
    lgn = show.input(0, SEED)
    unique, counts = np.unique(types, return_counts=True)
    n_lgn, n = network.lgn.size, len(types)
    del network
    reset_kernel(dt_ms=MODEL_STEP_MS, threads=threads, seed=1, max_delay_ms=4.0)
    result: dict[str, Any] = {}
    clock = Clock()
    since = time.perf_counter()
    for index, count in zip(unique, counts, strict=True):
        parameters = nest_parameters(cell_types, int(index), "glif_psc")
        nest.Create("glif_psc", int(count), params=parameters)
    sources = nest.Create("spike_train_injector", n_lgn)
    steady = nest.Create("spike_train_injector")
    recorder = nest.Create("spike_recorder")
    result["create"] = time.perf_counter() - since
    since = time.perf_counter()
    for pre, target, weight, delay, port in tables:
        spec = {"weight": weight, "delay": delay, "receptor_type": port}
        nest.Connect(pre, target, "one_to_one", {"synapse_model": "static_synapse", **spec})
    spec = {
        "weight": background_pa,
        "delay": np.ones(len(post)),
        "receptor_type": receptor + np.int64(1),
    }
    pre = np.full(len(post), steady.global_id, dtype=np.int64)
    nest.Connect(pre, node[post], "one_to_one", {"synapse_model": "static_synapse", **spec})
    nest.Connect(nest.NodeCollection(np.arange(1, n + 1)), recorder)
    result["connect"] = time.perf_counter() - since
    since = time.perf_counter()
    nest.Prepare()
    result["prepare"] = time.perf_counter() - since
    result["ready_cpu"] = clock.cpu_s()
    nest.Cleanup()
    result["peak_ready_mb"] = peak_mb()
    by_source = np.argsort(lgn.source, kind="stable")
    first = np.searchsorted(lgn.source[by_source], np.arange(1, n_lgn))
    times = np.split(lgn.step[by_source] + 1.0, first)
    sources.set([{"spike_times": t} for t in times])
    steady.set(spike_times=np.arange(duration_ms) + 1.0)
    nest.Simulate(MODEL_STEP_MS)
    clock = Clock()
    nest.Simulate(duration_ms + MODEL_STEP_MS)
    result["simulate"], result["simulate_cpu"] = clock.wall_s(), clock.cpu_s()
    result["spikes"] = int(recorder.n_events)
    result["peak_mb"] = peak_mb()
    return result


def ours(
    path: Path,
    threads: int,
    duration_ms: float,
    rate_hz: float,
    dynamics: Any,
    skip_frozen_nodes: bool = False,
) -> dict[str, Any]:
    """Stages of v1sim, s, and peak memory."""
    nest, pynn = backend()
    result: dict[str, Any] = {}
    clock = Clock()
    since = time.perf_counter()
    network = open_network(path)
    result["read"] = time.perf_counter() - since
    gate = Clock()
    checked = guard.admit(network, guard.Policy(require="any"))
    result["gate"], result["gate_cpu"] = gate.wall_s(), gate.cpu_s()
    since = time.perf_counter()
    plan = make_plan(checked, background="mean", seed=SEED, dynamics=dynamics)
    simulation = build(plan, threads=threads)
    result["build"] = time.perf_counter() - since
    since = time.perf_counter()
    nest.Prepare()
    result["prepare"] = time.perf_counter() - since
    nest.Cleanup()
    audit = Clock()
    read_back(simulation, lambda *_: None)
    result["read-back"], result["read-back_cpu"] = audit.wall_s(), audit.cpu_s()
    result["ready_cpu"] = clock.cpu_s()
    result["peak_ready_mb"] = peak_mb()
    del simulation
    timed = TimedNest(nest)
    run.backend = lambda: Backend(timed, pynn)
    output = run.run_trials(
        plan,
        one_rate(plan.n_lgn, duration_ms, rate_hz),
        threads=threads,
        between_trials="gap" if dynamics == "glif_psc" else "reset",
        voltage_of=np.empty(0, dtype=np.int32),
        progress=lambda *_: None,
        skip_frozen_nodes=skip_frozen_nodes,
    )
    # As for bare NEST, without the one step before, in which NEST prepares once more.
    rest = timed.calls[0].after
    result["simulate"], result["simulate_cpu"] = rest.wall_s(), rest.cpu_s()
    result["spikes"] = len(output.spikes)
    result["peak_mb"] = peak_mb()
    return result


def one(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One measurement, in this process."""
    given = (arguments.network, arguments.threads, arguments.simulate_ms, arguments.rate_hz)
    if kind == "bare NEST":
        return bare_nest(*given)
    dynamics = kind.removesuffix(SKIPPING).split()[1]
    return ours(*given, dynamics, skip_frozen_nodes=kind.endswith(SKIPPING))


def in_own_process(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    result = measurement.in_own_process(
        "benchmarks.full_size",
        *(arguments.network, "--one", kind, "--threads", arguments.threads),
        *("--simulate-ms", arguments.simulate_ms, "--rate-hz", arguments.rate_hz),
    )
    if "failed" in result:
        sys.exit(f"{kind} failed: {result['failed']}")
    return result


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians and the ratios that the targets are about; ratios are of medians."""
    medians = {
        kind: {name: median(run[name] for run in results) for name in results[0]}
        for kind, results in runs.items()
    }
    bare = medians["bare NEST"]
    ready = bare["create"] + bare["connect"] + bare["prepare"]
    ratios = {}
    for kind in KINDS[1:]:
        m = medians[kind]
        whole = m["read"] + m["gate"] + m["build"] + m["prepare"] + m["read-back"]
        ratios[kind] = {
            "file to ready, s": whole,
            "file to ready / bare": whole / ready,
            "file to ready / bare, CPU time": m["ready_cpu"] / bare["ready_cpu"],
            "without gate and read-back / bare": (m["read"] + m["build"] + m["prepare"]) / ready,
            "without gate and read-back / bare, CPU time": (
                (m["ready_cpu"] - m["gate_cpu"] - m["read-back_cpu"]) / bare["ready_cpu"]
            ),
            "read-back / connect": m["read-back"] / bare["connect"],
            "simulate / bare": m["simulate"] / bare["simulate"],
            "simulate / bare, CPU time": m["simulate_cpu"] / bare["simulate_cpu"],
            "peak memory / bare after preparation": m["peak_mb"] / bare["peak_ready_mb"],
        }
    return {"median": medians, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--simulate-ms", type=float, default=1000.0)
    parser.add_argument("--rate-hz", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", choices=(*KINDS, *OTHER_KINDS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one, arguments)))
        return
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for _ in range(arguments.repeats):
        for kind in KINDS:
            runs[kind].append(in_own_process(kind, arguments))
            print(kind, json.dumps(runs[kind][-1]), flush=True)
    result = {
        "environment": environment(),
        "threads": arguments.threads,
        **summary(runs),
        "runs": runs,
    }
    print(json.dumps({k: v for k, v in result.items() if k != "runs"}, indent=2))
    write_json(arguments.json, result)


if __name__ == "__main__":
    main()
