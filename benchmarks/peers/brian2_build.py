"""The training dynamics in Brian2, C++ standalone, float64: writes and compiles FOLDER/main.

usage: python brian2_build.py ARRAYS FOLDER [--threads 1] [--ms 500]      needs brian2

ARRAYS is the folder that benchmarks/engines.py writes. One Synapses object a receptor, with a delay
for each synapse. A spike of step t reaches `rise` in the slot of synapses of step t + delay, after
the update and so as in training; the background is part of the update. FOLDER/main prints one
line of JSON.
"""

import argparse
from pathlib import Path

import brian2 as b
import numpy as np

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("arrays", type=Path)
parser.add_argument("folder", type=Path)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--ms", type=int, default=500)
arguments = parser.parse_args()


def load(name):
    return np.load(arguments.arrays / f"{name}.npy")


b.prefs.devices.cpp_standalone.openmp_threads = arguments.threads if arguments.threads > 1 else 0
b.prefs.codegen.cpp.extra_compile_args_gcc = [
    *("-w", "-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-std=c++17"),
]
b.set_device("cpp_standalone", directory=str(arguments.folder), build_on_run=False)
b.defaultclock.dt = 1 * b.ms
RECEPTORS = range(4)
constants = [
    *("decay", "factor", "fall"),
    *(f"{name}{k}" for name in ("syn_decay", "initial") for k in RECEPTORS),
    *("asc_decay0", "asc_decay1", "asc_amp0", "asc_amp1"),
]
state = ["v", "z", "r", "asc0", "asc1"]
state += [f"{name}{k}" for name in ("rise", "psc") for k in RECEPTORS]
equations = [f"{name} : 1" for name in state]
equations += [
    f"{name} : 1 (constant)"
    for name in (*constants, "t_ref", *(f"background{k}" for k in RECEPTORS))
]
start = load("start")
cells = b.NeuronGroup(
    len(start), "\n".join(equations), threshold="v > 1 and r <= 0", reset="z = 1", name="cells"
)
current = " + ".join([f"psc{k}" for k in RECEPTORS] + ["asc0", "asc1"])
step = [f"v = decay*v + factor*({current}) + z*fall"]
for k in RECEPTORS:
    step += [
        f"psc{k} = syn_decay{k}*(psc{k} + rise{k})",
        f"rise{k} = syn_decay{k}*rise{k} + background{k}",
    ]
step += [f"asc{j} = asc_decay{j}*asc{j} + z*asc_amp{j}" for j in (0, 1)]
step += ["r = clip(r + z*t_ref - 1, 0, 1e9)", "z = 0"]
cells.run_regularly("\n".join(step), dt=1 * b.ms, when="groups")
values = load("constants")
for name, column in zip(constants, values.T, strict=True):
    setattr(cells, name, column)
cells.v, cells.t_ref = start, load("t_ref")
background = load("background") * values[:, 7:11]
for k in RECEPTORS:
    setattr(cells, f"background{k}", background[:, k])
lgn = b.SpikeGeneratorGroup(
    len(load("lgn_fanout")),
    load("lgn_spike_source"),
    load("lgn_spike_step") * b.ms,
    name="lgn",
)
spikes = b.SpikeMonitor(cells, name="spikes")
objects = [cells, lgn, spikes]
for table, source in (("recurrent", cells), ("lgn", lgn)):
    pre, target, weight, delay = (
        load(f"{table}_{column}") for column in ("pre", "target", "weight", "delay")
    )
    for k in RECEPTORS:
        mine = target % 4 == k
        if not mine.any():
            continue
        post = target[mine] // 4
        # An LGN spike of step t is input of step t.
        fixed = {"delay": 0 * b.ms} if table == "lgn" else {}
        synapses = b.Synapses(
            source, cells, "w : 1", on_pre=f"rise{k}_post += w", name=f"{table}{k}", **fixed
        )
        synapses.connect(i=pre[mine], j=post)
        synapses.w = weight[mine] * values[post, 7 + k]
        if not fixed:
            synapses.delay = delay[mine] * b.ms
        objects.append(synapses)
network = b.Network(objects)
b.device.insert_code(
    "before_network_run",
    "struct timespec begin_, end_; clock_gettime(CLOCK_MONOTONIC, &begin_); "
    "const clock_t cpu_ = clock();",
)
b.device.insert_code(
    "after_network_run",
    "const clock_t cpu_end_ = clock(); clock_gettime(CLOCK_MONOTONIC, &end_); "
    'printf("{\\"simulate_cpu\\": %.3f, \\"simulate\\": %.3f, \\"spikes\\": %zu, '
    '\\"ready_cpu\\": %.2f}\\n", (cpu_end_ - cpu_) / double(CLOCKS_PER_SEC), '
    "(end_.tv_sec - begin_.tv_sec) + 1e-9 * (end_.tv_nsec - begin_.tv_nsec), "
    "(size_t) brian::_dynamic_array_spikes_i.size(), cpu_ / double(CLOCKS_PER_SEC));",
)
network.run(arguments.ms * b.ms)
b.device.build(directory=str(arguments.folder), compile=True, run=False)
