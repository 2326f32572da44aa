"""Converting and stamping a checkpoint of full size, against TensorFlow's own reading of it.

usage: python benchmarks/convert.py [--neurons 51978] [--synapses 14441124] [--repeats 3]
                                    [--against CHECKOUT] [--json FILE]

``--against`` measures the v1sim of another checkout in the same rounds, by turns, and says how
many times its CPU seconds each command takes.

The checkpoint has the published layout and size, with random wiring. Every command runs in a
process of its own, and they take turns; times are medians. Those of commands include the
interpreter and all imports. TensorFlow's are told apart: its import and the reading of every
variable, the reading alone with the files in the system's cache, and from disk.
CPU seconds say more than seconds where other programs run. ``inspect_index`` is the
inspection of the index alone in a process that has inspected another before: what it
takes beyond start-up.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.checkpoints import model_variables, optimizer_variables, save
from tests.networks import tiny_types
from v1sim.model import NetworkModel, NeuronTable, SourceFile, SynapseTable

N_LGN, LGN_PER_NEURON = 17_400, 15.13

#: What TensorFlow does with the checkpoint: import, reading, and reading again from the disk.
_READ = """
import os, time
since = time.perf_counter(), time.process_time()
import tensorflow as tf
imported = time.perf_counter(), time.process_time()

def read():
    began = time.perf_counter(), time.process_time()
    reader = tf.train.load_checkpoint({prefix!r})
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)
    return time.perf_counter() - began[0], time.process_time() - began[1]

warm = read()
for path in {files!r}:
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
cold = read()
print(imported[0] - since[0], imported[1] - since[1], *warm, *cold)
"""

#: Inspecting an index in a process whose start-up is done.
_INSPECT = """
import contextlib, io, sys, time
from v1sim import cli

def inspect(path):
    sys.argv = ["v1sim", "inspect", path]
    began = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        cli.main()
    return time.perf_counter() - began[0], time.process_time() - began[1]

inspect({small!r})
print(*inspect({index!r}))
"""
HERE = Path(__file__).resolve().parents[1]


def random_network(n_neurons: int, n_synapses: int) -> NetworkModel:
    """Wiring without structure, in the checkpoint's order; trained by its zeros."""
    rng = np.random.default_rng(1)
    cell_type = rng.integers(0, 5, n_neurons).astype(np.uint16)
    inhibitory = np.isin(cell_type, [1, 3])

    def table(n: int, n_pre: int, pre_inhibitory: np.ndarray) -> SynapseTable:
        pair = np.unique(rng.integers(0, n_neurons * n_pre, int(n * 1.02)))
        pair = np.sort(rng.choice(pair, n, replace=False))
        post, pre = (part.astype(np.int32) for part in np.divmod(pair, n_pre))
        weight = rng.lognormal(-2, 0.6, n).astype(np.float32)
        weight[pre_inhibitory[pre]] *= -1
        weight[rng.random(n) < 0.2] = 0
        receptor = (2 * inhibitory[post] + pre_inhibitory[pre]).astype(np.uint8)
        delay = rng.integers(1, 5, n).astype(np.float32)
        return SynapseTable(pre, post, receptor, delay, weight)

    return NetworkModel.billeh(
        neurons=NeuronTable(cell_type),
        cell_types=tiny_types(),
        recurrent=table(n_synapses, n_neurons, inhibitory),
        lgn=table(int(n_neurons * LGN_PER_NEURON), N_LGN, np.zeros(N_LGN, bool)),
        n_lgn=N_LGN,
        source=SourceFile("random", "", "column"),
        background_weight=rng.random((n_neurons, 4)).astype(np.float32),
    )


def timed(command: list[str], checkout: Path = HERE) -> dict[str, Any]:
    """Seconds, CPU seconds, peak memory in MB and output of a command with a checkout's v1sim."""
    since = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=checkout, env=environment
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:5])} failed with {process.returncode}")
    return {
        "seconds": time.perf_counter() - since,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
        "output": said,
    }


def make_checkpoint(folder: Path, n_neurons: int, n_synapses: int) -> Path:
    variables = model_variables(random_network(n_neurons, n_synapses))
    return save(folder / "ckpt", variables | optimizer_variables(variables))


def read_by_tensorflow(prefix: Path) -> dict[str, dict[str, float]]:
    """A process that imports TensorFlow and reads every variable, and its parts."""
    files = [str(path) for path in prefix.parent.glob(f"{prefix.name}.*")]
    process = timed([sys.executable, "-c", _READ.format(prefix=str(prefix), files=files)])
    words = [float(word) for word in process.pop("output").split()]
    parts = {
        name: {"seconds": words[i], "cpu_seconds": words[i + 1]}
        for i, name in ((0, "import"), (2, "read"), (4, "read_cold"))
    }
    both = {key: parts["import"][key] + parts["read"][key] for key in parts["import"]}
    return {"import_and_read": both, **{f"{name}_alone": part for name, part in parts.items()}}


def measure(prefix: Path, small: Path, out: Path, checkout: Path) -> dict[str, dict[str, float]]:
    """Each command of a checkout, one after the other."""
    v1sim = [sys.executable, "-m", "v1sim"]
    index = prefix.parent / "alone" / f"{prefix.name}.index"
    commands = {
        "convert": [*v1sim, "convert", str(prefix), "--out", str(out)],
        "stamp_by_index": [*v1sim, "stamp", str(out), "--checkpoint", f"{prefix}.index"],
        "inspect": [*v1sim, "inspect", str(prefix)],
        "diff": [*v1sim, "diff", str(out), str(out)],
    }
    found = {}
    out.unlink(missing_ok=True)
    for name, command in commands.items():
        found[name] = timed(command, checkout)
        del found[name]["output"]
    script = _INSPECT.format(small=str(small), index=str(index))
    words = timed([sys.executable, "-c", script], checkout)["output"].split()
    found["inspect_index"] = {"seconds": float(words[0]), "cpu_seconds": float(words[1])}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=51_978)
    parser.add_argument("--synapses", type=int, default=14_441_124)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child's peak memory starts at its parent's size.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            sizes = arguments.neurons, arguments.synapses
            prefix = pool.submit(make_checkpoint, folder, *sizes).result()
            (folder / "small").mkdir()
            small = pool.submit(make_checkpoint, folder / "small", 500, 5_000).result()
        (folder / "alone").mkdir()
        shutil.copy(f"{prefix}.index", folder / "alone")
        size_mb = sum(f.stat().st_size for f in folder.glob(f"{prefix.name}.*")) / 1e6
        print(f"checkpoint: {size_mb:,.0f} MB")
        rounds = []
        for _ in range(arguments.repeats):
            made = {f"tensorflow_{n}": part for n, part in read_by_tensorflow(prefix).items()}
            made |= measure(prefix, small, folder / "net.h5", HERE)
            if arguments.against is not None:
                other = measure(prefix, small, folder / "other.h5", arguments.against.resolve())
                made |= {f"against_{name}": part for name, part in other.items()}
            rounds.append(made)
        written_mb = (folder / "net.h5").stat().st_size / 1e6
    medians = {
        name: {key: median(r[name][key] for r in rounds) for key in part}
        for name, part in rounds[0].items()
    }
    result: dict[str, Any] = {
        "neurons": arguments.neurons, "synapses": arguments.synapses, "written_mb": written_mb,
        **medians,
    }  # fmt: skip
    for name, part in medians.items():
        if name.startswith("tensorflow_"):
            result[f"convert relative to {name}"] = {
                key: medians["convert"][key] / value for key, value in part.items()
            }
        elif name.startswith("against_"):
            own = name.removeprefix("against_")
            result[f"{own} relative to {arguments.against}"] = {
                key: medians[own][key] / value for key, value in part.items()
            }
    for name, value in result.items():
        shown = value if isinstance(value, dict) else {"": value}
        print(f"{name:<46}", "  ".join(f"{key} {number:,.4g}" for key, number in shown.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
