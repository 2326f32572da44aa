"""Spikes from NEST to a Neo Block, to NWB on disk, and back.

usage: python -m benchmarks.spikes_out NETWORK.h5 [--duration-ms 1000] [--current-pa 1000]
                                       [--neo-s 0] [--repeats 3] [--threads 2] [--json FILE]

The network's neurons, each given a current, with one in 200 of its recurrent synapses:
what matters is how many spike how often. 51,978 neurons give about 5 million spikes in a
second. ``--neo-s 600`` lets neo's own NWBIO read the file too, for at most as long.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measurement import (
    MemoryGrowth,
    TimedNest,
    environment,
    in_own_process,
    peak_mb,
    write_json,
)
from benchmarks.trials import one_rate
from v1sim import guard
from v1sim.config_perturb import Stimulate
from v1sim.model import SpikeTable, SynapseTable
from v1sim.recording import Recording, read_nwb, write_nwb
from v1sim.simulation import run
from v1sim.simulation.kernel import Backend, backend
from v1sim.simulation.plan import make_plan
from v1sim.sources import open_network

_KEEP_EVERY = 200


def thinned(table: SynapseTable) -> SynapseTable:
    kept = slice(0, None, _KEEP_EVERY)
    return SynapseTable(
        pre=table.pre[kept].copy(),
        post=table.post[kept].copy(),
        receptor=table.receptor[kept].copy(),
        delay_ms=table.delay_ms[kept].copy(),
        weight=table.weight[kept].copy(),
    )


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each stage, and how far memory grew from the end of nest.Simulate on."""
    import neo  # noqa: F401 -- its import is not what is measured
    import pynwb

    network = open_network(arguments.network)
    # Without its provenance, whose digests are of the whole network.
    network = replace(network, provenance=None).with_tables(
        recurrent=thinned(network.tables["recurrent"])
    )
    checked = guard.admit(network, guard.Policy(require="any"))
    stimulated = Stimulate(
        kind="stimulate",
        neurons=tuple(range(network.n_neurons)),
        current_pa=arguments.current_pa,
    )
    plan = make_plan(checked, background="none", seed=1, perturb=[stimulated])
    shown = one_rate(plan.n_lgn, 1, arguments.duration_ms, rate_hz=0.0)
    nest, pynn = backend()
    timed = TimedNest(nest)
    run.backend = lambda: Backend(timed, pynn)
    output = run.run_trials(
        plan,
        shown,
        threads=arguments.threads,
        between_trials="reset",
        voltage_of=np.empty(0, dtype=np.int32),
        progress=lambda *_: None,
    )
    result: dict[str, Any] = {"NEST to arrays": timed.calls[-1].after.wall_s()}
    recording = Recording(
        spikes=output.spikes,
        lgn_spikes=output.lgn_spikes,
        trials=shown.trials,
        classes=plan.classes,
        n_lgn=plan.n_lgn,
        dt_ms=plan.dt_ms,
    )
    # Everything up to here: NEST, the network, the spikes as NEST holds them and as arrays.
    result["peak with arrays, mb"] = peak_mb()
    memory = MemoryGrowth()

    def timed_as(stage: str, step: Callable[[], Any]) -> Any:
        since = time.perf_counter()
        value = step()
        result[stage] = time.perf_counter() - since
        return value

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.nwb"
        timed_as("to Neo", recording.to_neo)
        timed_as("to NWB", lambda: write_nwb(recording, path))
        result["file_mb"] = path.stat().st_size / 1e6
        result["memory growth, writing, mb"] = memory.peak_mb()
        memory = MemoryGrowth()
        again = timed_as("NWB to Recording", lambda: read_nwb(path))
        timed_as("again to Neo", again.to_neo)
        result["memory growth, reading, mb"] = memory.peak_mb()
        with pynwb.NWBHDF5IO(path, "r") as file:
            units = timed_as("pynwb alone", lambda: file.read().units)
            timed_as("pynwb: all spikes", lambda: units.spike_times_index.target.data[:])
        if arguments.neo_s:
            read = in_own_process(__spec__.name, path, "--one", "neo", timeout_s=arguments.neo_s)
            result["neo's NWBIO"] = read.get("seconds", read.get("failed"))
    same = all(
        np.array_equal(getattr(again.spikes, name), getattr(output.spikes, name))
        for name in ("trial", "neuron", "time_ms")
    )
    if not same:
        raise AssertionError("the spikes read back are not those that were written")
    result["units"] = plan.n_neurons + plan.n_lgn
    result["spikes"] = _count(output.spikes)
    return result


def _count(spikes: SpikeTable) -> int:
    return len(spikes.time_ms)


def with_neo(path: Path) -> dict[str, Any]:
    """Seconds that neo's own NWBIO takes to read the file."""
    import warnings

    from neo.io import NWBIO

    warnings.simplefilter("ignore")
    since = time.perf_counter()
    NWBIO(str(path), mode="r").read_all_blocks()
    return {"seconds": time.perf_counter() - since}


def repeat(arguments: argparse.Namespace) -> dict[str, Any]:
    """Medians over runs, each in a process of its own."""
    options = ("--duration-ms", arguments.duration_ms, "--current-pa", arguments.current_pa)
    runs = []
    for i in range(arguments.repeats):
        neo_s = arguments.neo_s if i == 0 else 0
        runs.append(
            in_own_process(
                __spec__.name,
                *(arguments.network, *options, "--threads", arguments.threads),
                *("--neo-s", neo_s, "--one", "v1sim"),
            )
        )
        print(json.dumps(runs[-1]), flush=True)
    medians = {k: median(r[k] for r in runs) for k in runs[-1]}
    to_disk = sum(medians[k] for k in ("NEST to arrays", "to Neo", "to NWB"))
    back = medians["NWB to Recording"] + medians["again to Neo"]
    return {
        "median": medians,
        "ratios": {
            "NEST to Neo and NWB, s": to_disk,
            "NWB to Neo, s": back,
            "microseconds a spike": 1e6 * to_disk / medians["spikes"],
        },
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("--duration-ms", type=float, default=1000.0)
    parser.add_argument("--current-pa", type=float, default=1000.0)
    parser.add_argument("--neo-s", type=float, default=0.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", choices=("v1sim", "neo"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one == "neo":
        print(json.dumps(with_neo(arguments.network)))
    elif arguments.one:
        print(json.dumps(measure(arguments)))
    else:
        result = {"environment": environment(), **repeat(arguments)}
        print(json.dumps({k: result[k] for k in ("median", "ratios")}, indent=2))
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
