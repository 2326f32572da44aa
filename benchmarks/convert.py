"""Converting and stamping a checkpoint of full size, against TensorFlow's own reading of it.

usage: python benchmarks/convert.py [--neurons 51978] [--synapses 14441124] [--json FILE]

The checkpoint has the published layout and size, with random wiring. Every command
runs in a process of its own; its time includes the interpreter and all imports, once
with and once without TensorFlow's import on TensorFlow's side.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.checkpoints import model_variables, optimizer_variables, save
from tests.networks import tiny_types
from v1sim.model import NetworkModel, NeuronTable, SourceFile, SynapseTable

N_LGN, LGN_PER_NEURON = 17_400, 15.13

_READ = """
import time
since = time.perf_counter()
import tensorflow as tf
imported = time.perf_counter()
reader = tf.train.load_checkpoint({prefix!r})
for name in reader.get_variable_to_shape_map():
    reader.get_tensor(name)
print(imported - since, time.perf_counter() - imported)
"""


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

    return NetworkModel(
        neurons=NeuronTable(cell_type),
        cell_types=tiny_types(),
        recurrent=table(n_synapses, n_neurons, inhibitory),
        lgn=table(int(n_neurons * LGN_PER_NEURON), N_LGN, np.zeros(N_LGN, bool)),
        n_lgn=N_LGN,
        source=SourceFile("random", "", "column"),
        background_weight=rng.random((n_neurons, 4)).astype(np.float32),
    )


def timed(command: list[str]) -> dict[str, float | str]:
    """Seconds, peak memory in MB and output of a command."""
    since = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:5])} failed with {process.returncode}")
    megabytes = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return {"seconds": time.perf_counter() - since, "peak_mb": megabytes, "output": said}


def make_checkpoint(folder: Path, n_neurons: int, n_synapses: int) -> Path:
    variables = model_variables(random_network(n_neurons, n_synapses))
    return save(folder / "ckpt", variables | optimizer_variables(variables))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=51_978)
    parser.add_argument("--synapses", type=int, default=14_441_124)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child's peak memory starts at its parent's size.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            sizes = arguments.neurons, arguments.synapses
            prefix = pool.submit(make_checkpoint, folder, *sizes).result()
        print(f"checkpoint: {sum(f.stat().st_size for f in folder.iterdir()) / 1e6:,.0f} MB")
        read = timed([sys.executable, "-c", _READ.format(prefix=str(prefix))])
        v1sim = [sys.executable, "-m", "v1sim"]
        out = folder / "net.h5"
        converted = timed([*v1sim, "convert", str(prefix), "--out", str(out)])
        stamped = timed([*v1sim, "stamp", str(out), "--checkpoint", f"{prefix}.index"])
        inspected = timed([*v1sim, "inspect", str(prefix)])
        compared = timed([*v1sim, "diff", str(out), str(out)])
    imported, reading = (float(word) for word in str(read.pop("output")).split())
    commands = {
        "tensorflow_read": read, "convert": converted, "stamp_by_index": stamped,
        "inspect": inspected, "diff": compared,
    }  # fmt: skip
    result = {
        "neurons": arguments.neurons,
        "synapses": arguments.synapses,
        "tensorflow_import_s": imported,
        "tensorflow_variables_s": reading,
        **{
            name: {key: value for key, value in measured.items() if key != "output"}
            for name, measured in commands.items()
        },
        "ratio_convert_to_tensorflow_process": float(converted["seconds"]) / float(read["seconds"]),
        "ratio_convert_without_import_to_variables": (float(converted["seconds"]) - imported)
        / reading,
    }
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
