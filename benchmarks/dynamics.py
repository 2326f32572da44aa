"""What one neuron costs: time of a silent step, and memory, for each neuron model in one run.

    python -m benchmarks.dynamics [--neurons N] [--steps N] [--repeats N] [--json FILE]

Silent neurons without connections are updated step by step. The models take turns, so that a
change of the machine's load meets all of them; the fastest turn counts. Every model has the four
receptors of the network, except iaf_psc_alpha, which has two of its own. Memory is that of a
process of its own for each model, after one simulated step, when buffers exist.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measurement import environment, in_own_process
from v1sim.model import CellTypeTable
from v1sim.simulation.cells import nest_parameters
from v1sim.simulation.kernel import backend, reset_kernel
from v1sim.simulation.native.library import MODELS, native_module

DYNAMICS = ("training", "training_float32", "glif_psc")
NAMES = (*DYNAMICS, "iaf_psc_alpha")
TYPE = CellTypeTable.glif3(
    **{
        name: np.array([value])
        for name, value in (
            *(("c_m_pf", 91.1), ("g_ns", 5.75), ("e_l_mv", -75.1), ("v_th_mv", -47.6)),
            *(("v_reset_mv", -75.1), ("t_ref_ms", 3.8)),
        )
    },
    k_per_ms=np.array([[0.003, 0.1]]),
    asc_amp_pa=np.array([[-20.5, -198.7]]),
    tau_syn_ms=np.array([[5.5, 8.5, 2.8, 5.8]]),
)


def create(name: str, n: int, threads: int) -> Any:
    nest, _ = backend()
    reset_kernel(dt_ms=1.0, threads=threads, seed=1, max_delay_ms=5.0)
    native_module().install()
    if name == "iaf_psc_alpha":
        nest.Create(name, n)
    else:
        parameters = nest_parameters(TYPE, 0, name)  # type: ignore[arg-type]
        nest.Create(MODELS.get(name, name), n, params=parameters)
    nest.Simulate(1.0)
    return nest


def step_ns(name: str, n: int, n_steps: int, threads: int) -> float:
    """Wall time of one step of one neuron, ns."""
    nest = create(name, n, threads)
    since = time.perf_counter()
    nest.Simulate(float(n_steps))
    return (time.perf_counter() - since) / (n * n_steps) * 1e9


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_bytes(name: str, n: int) -> float:
    """Resident memory of one neuron in this process, bytes."""
    create(name, 10, 1)
    before = resident_bytes()
    create(name, n, 1)
    return (resident_bytes() - before) / n


def measure(n: int, n_steps: int, repeats: int) -> dict[str, Any]:
    result: dict[str, Any] = {"environment": environment(), "n_neurons": n, "step_ns": {}}
    for threads in (1, 2):
        turns = [
            {name: step_ns(name, n, n_steps, threads) for name in NAMES} for _ in range(repeats)
        ]
        best = {name: min(turn[name] for turn in turns) for name in NAMES}
        result["step_ns"][threads] = best
    result["memory_bytes"] = {
        name: in_own_process("benchmarks.dynamics", "--memory-of", name, "--neurons", n)["bytes"]
        for name in NAMES
    }
    return result


def report(result: dict[str, Any]) -> str:
    lines = [f"{result['n_neurons']:,} silent neurons; per neuron and step, ns (of glif_psc):"]
    for threads, of_model in result["step_ns"].items():
        cells = [f"{n} {ns:.1f} ({ns / of_model['glif_psc']:.2f})" for n, ns in of_model.items()]
        lines.append(f"  {threads} thread{'s' if int(threads) > 1 else ''}: " + ", ".join(cells))
    memory = [f"{name} {size:,.0f}" for name, size in result["memory_bytes"].items()]
    return "\n".join([*lines, "bytes per neuron: " + ", ".join(memory)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory-of", choices=NAMES)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(json.dumps({"bytes": memory_bytes(arguments.memory_of, arguments.neurons)}))
        return
    result = measure(arguments.neurons, arguments.steps, arguments.repeats)
    print(report(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
