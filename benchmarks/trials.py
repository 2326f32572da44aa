"""What trials cost over the time that NEST needs to simulate them.

usage: python -m benchmarks.trials NETWORK.h5 [--trials 5] [--duration-ms 1000] [--repeats 3]
                                   [--threads 2] [--json FILE]

Each kind is a process of its own, run in turn with bare NEST. Two ratios:

  / NEST's own time   from the end of the first trial to the end of the last, over the time
                      within nest.Simulate for these trials: drawing and handing over LGN
                      spikes, the return to the start, and collecting spikes come on top
  / bare NEST         the same, over bare NEST simulating as long (full_size.py's)
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import full_size
from benchmarks.measurement import Call, Clock, TimedNest, environment, in_own_process, write_json
from v1sim import guard
from v1sim.model import Trial
from v1sim.simulation import run
from v1sim.simulation.kernel import Backend, backend
from v1sim.simulation.plan import make_plan
from v1sim.sources import open_network
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.trials import Schedule

#: Dynamics, and what lies between trials.
KINDS = {
    "glif_psc reset": ("glif_psc", "reset"),
    "training reset": ("training", "reset"),
    "glif_psc gap": ("glif_psc", "gap"),
}


def one_rate(n_lgn: int, n_trials: int, duration_ms: float, rate_hz: float) -> FixedProbabilities:
    """Repeats of one stimulus: every LGN cell fires at one rate."""
    values = np.full((int(duration_ms), n_lgn), rate_hz / 1000, dtype=np.float32)
    trials = tuple(
        Trial(i, i * duration_ms, duration_ms, (0.0, duration_ms), {}) for i in range(n_trials)
    )
    return FixedProbabilities(n_lgn, Schedule(trials, (0,) * n_trials), [values])


def measure(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds a trial, and within nest.Simulate; the first trial is left out."""
    dynamics, between = KINDS[kind]
    nest, pynn = backend()
    timed = TimedNest(nest)
    pieces: list[Call] = []  # of trials, not of what lies between them
    ends: list[tuple[int, Clock]] = []  # of trials: pieces so far, and the time since

    def on_progress(stage: str, done_ms: float, _: float) -> None:
        if stage != "simulate":
            return
        pieces.append(timed.calls[-1])
        if done_ms >= (len(ends) + 1) * arguments.duration_ms:
            ends.append((len(pieces), Clock()))

    run.backend = lambda: Backend(timed, pynn)
    checked = guard.admit(open_network(arguments.network), guard.Policy(require="any"))
    plan = make_plan(checked, background="mean", seed=full_size.SEED, dynamics=dynamics)
    shown = one_rate(plan.n_lgn, arguments.trials, arguments.duration_ms, arguments.rate_hz)
    output = run.run_trials(
        plan,
        shown,
        threads=arguments.threads,
        between_trials=between,
        voltage_of=np.empty(0, dtype=np.int32),
        progress=on_progress,
    )
    n = len(ends) - 1
    (n_before, first), (n_after, last) = ends[0], ends[-1]
    within = pieces[n_before:n_after]
    return {
        "trial": (first.wall_s() - last.wall_s()) / n,
        "trial_cpu": (first.cpu_s() - last.cpu_s()) / n,
        "within Simulate": sum(call.wall_s for call in within) / n,
        "within_cpu": sum(call.cpu_s for call in within) / n,
        "spikes": len(output.spikes),
    }


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs of every kind, in turn with bare NEST; medians and ratios."""
    passed = (arguments.network, "--threads", arguments.threads, "--rate-hz", arguments.rate_hz)
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ("bare NEST", *KINDS)}
    for _ in range(arguments.repeats):
        simulate = ("--simulate-ms", arguments.duration_ms)
        runs["bare NEST"].append(
            in_own_process("benchmarks.full_size", *passed, *simulate, "--one", "bare NEST")
        )
        for kind in KINDS:
            trials = ("--trials", arguments.trials, "--duration-ms", arguments.duration_ms)
            runs[kind].append(in_own_process(__spec__.name, *passed, *trials, "--one", kind))
            print(kind, json.dumps(runs[kind][-1]), flush=True)

    def mid(kind: str, name: str) -> float:
        return median(result[name] for result in runs[kind])

    def over(kind: str, name: str, within: str) -> float:
        return median(result[name] / result[within] for result in runs[kind])

    ratios = {
        kind: {
            "trial / NEST's own time": over(kind, "trial", "within Simulate"),
            "trial / NEST's own time, CPU time": over(kind, "trial_cpu", "within_cpu"),
            "trial / bare NEST": mid(kind, "trial") / mid("bare NEST", "simulate"),
            "trial / bare NEST, CPU time": (
                mid(kind, "trial_cpu") / mid("bare NEST", "simulate_cpu")
            ),
        }
        for kind in KINDS
    }
    return {"ratios": ratios, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--duration-ms", type=float, default=1000.0)
    parser.add_argument("--rate-hz", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments)))
        return
    result = {"environment": environment(), **compare(arguments)}
    print(json.dumps({"ratios": result["ratios"]}, indent=2))
    write_json(arguments.json, result)


if __name__ == "__main__":
    main()
