"""What `v1sim batch --local` costs, against the bare simulations with one start-up each.

usage: python -m benchmarks.batch [--runs 40] [--jobs 2] [--neurons 2000] [--seconds 6]
                                  [--repeats 3] [--json FILE]

The same runs, as many at a time, in three ways, one after the other in each repeat:

  batch   v1sim batch, everything it does: gate, shared input, runs, figures, reports, files
  alone   a v1sim run for each, started by nothing but a shell (xargs -P)
  bare    a Python for each that imports NEST and numpy, makes the same network from arrays in a
          file, simulates, and writes nothing (bare_run.py); started by xargs, too

Ratios are of medians over the repeats, of CPU time of all processes and of wall time. Other load on
the machine changes the second by several times. The spikes of the first trial of each
run are those of the bare one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

from benchmarks.measurement import REPOSITORY, environment, write_json
from v1sim.config import RunConfig, load_config
from v1sim.model import NetworkModel
from v1sim.simulation.cells import nest_parameters
from v1sim.sources import open_network
from v1sim.stimulus import background

_SEED = 1
#: What is imported where, once by a process.
_START_UPS = {
    "bare run": "import numpy, nest",
    "any PyNN run": "import numpy, nest, pyNN.nest",
    "v1sim run": "import v1sim.cli, v1sim.pipeline, v1sim.report.run_folder, pynwb; "
    "from v1sim.simulation.kernel import backend; backend()",
    "each of the batch's jobs, once": "import v1sim.batch.warm as w; w.import_what_runs_need()",
}


def write_sweep(folder: Path, arguments: argparse.Namespace) -> Path:
    """Write the sweep; its path."""
    base = {
        "network": {"built_in": {"neurons": arguments.neurons}},
        "require": "constructed",
        "stimulus": {
            "kind": "drifting_gratings",
            "trials": 1,
            "directions_deg": [0.0, 90.0],
            "grating_ms": 500.0 * arguments.seconds - 500.0,
        },
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    seeds = list(range(_SEED, _SEED + arguments.runs))
    sweep = {"base": "base.yaml", "axes": [{"grid": {"seed": seeds}}]}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    return folder / "sweep.yaml"


def write_bare(path: Path, config: RunConfig, network: NetworkModel) -> None:
    """Write what `bare_run` needs: the arrays of one run in NEST's own dtypes."""
    types = network.neurons.cell_type
    node = np.empty(len(types), dtype=np.int64)
    node[np.argsort(types, kind="stable")] = np.arange(1, len(types) + 1)
    cells = [
        (nest_parameters(network.cell_types, int(index), "glif_psc"), int(count))
        for index, count in zip(*np.unique(types, return_counts=True), strict=True)
    ]
    arrays: dict[str, Any] = {"n_neurons": len(types), "n_lgn": network.lgn.size}
    arrays["cells"] = json.dumps(cells, default=lambda value: np.asarray(value).tolist())
    for name, table, pre in (
        ("recurrent", network.tables["recurrent"], node[network.tables["recurrent"].pre]),
        ("lgn", network.tables["lgn"], network.tables["lgn"].pre + np.int64(len(types) + 1)),
    ):
        arrays |= {
            f"{name}_pre": pre,
            f"{name}_post": node[table.post],
            f"{name}_weight_pa": table.weight_pa(network),
            f"{name}_delay_ms": table.delay_ms.astype(np.float64),
            f"{name}_receptor": table.receptor + np.int64(1),
        }
    assert network.background_weight is not None
    post, receptor = np.nonzero(network.background_weight)
    weight = 0.1 * network.background_weight[post, receptor] * network.voltage_scale_mv[post]
    arrays |= {
        "background_pre": np.full(len(post), len(types) + network.lgn.size + 1, dtype=np.int64),
        "background_post": node[post],
        "background_weight_pa": weight.astype(np.float64),
        "background_delay_ms": np.ones(len(post)),
        "background_receptor": receptor + np.int64(1),
    }
    show = config.stimulus.made_for(network)
    n_steps = [show.n_steps(trial.index) for trial in show.trials]
    start = np.cumsum([1, *n_steps])
    lgn = [show.input(i, config.seed) for i in range(len(n_steps))]
    source = np.concatenate([part.source for part in lgn])
    step = np.concatenate([part.step + start[i] for i, part in enumerate(lgn)])
    order = np.lexsort((step, source))
    assert isinstance(config.background, str)
    events = np.concatenate(
        [background.events(config.background, n, config.seed, i) for i, n in enumerate(n_steps)]
    )
    arrays |= {
        "lgn_time_ms": step[order].astype(np.float64),
        "lgn_first": np.searchsorted(source[order], np.arange(1, network.lgn.size)),
        "background_time_ms": np.flatnonzero(events) + 1.0,
        "background_events": events[events > 0],
        "duration_ms": float(sum(n_steps)),
        "first_trial_ms": float(n_steps[0]),
    }
    np.savez(path, **arrays)


def timed(
    command: list[str], folder: Path, text: str | None = None
) -> tuple[dict[str, float], str]:
    """CPU seconds of a command and all its children, wall seconds, and its output."""
    before, since = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, input=text, check=True, stdout=subprocess.PIPE, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu_s, "wall_s": time.perf_counter() - since}, done.stdout


def write_all_bare(sweep_folder: Path, folder: Path) -> None:
    """Write what `bare_run` needs for each run of a sweep that was run."""
    network = open_network(next((sweep_folder / "shared").glob("column-*.h5")))
    for config in (sweep_folder / "configs").glob("*.yaml"):
        write_bare(folder / f"{config.stem}.npz", load_config(config), network)


def one_repeat(sweep: Path, jobs: int) -> tuple[dict[str, dict[str, float]], list[int]]:
    """Seconds of each way, and the spikes of each bare run."""
    python = [sys.executable, "-m", "v1sim"]
    folder = sweep.parent
    result = folder / "sweeps" / "sweep"
    shutil.rmtree(result, ignore_errors=True)
    seconds = {"batch": timed([*python, "batch", str(sweep), "-j", str(jobs)], folder)[0]}
    configs = sorted((result / "configs").glob("*.yaml"))
    side_by_side = ["xargs", "-P", str(jobs), "-I{}"]
    alone = [*side_by_side, *python, "run", "{}", "--out", "{}.alone", "--threads", "1"]
    seconds["alone"], _ = timed(alone, folder, "\n".join(map(str, configs)))
    bare = folder / "bare"
    if not bare.is_dir():
        bare.mkdir()
        write_all_bare(result, bare)
    program = str(Path(__file__).with_name("bare_run.py"))
    text = "\n".join(map(str, sorted(bare.iterdir())))
    seconds["bare"], printed = timed([*side_by_side, sys.executable, program, "{}"], folder, text)
    return seconds, sorted(map(int, printed.split()))


def first_trial_spikes(runs: Path) -> list[int]:
    """Spikes of V1 in the first trial of each run."""
    import h5py

    counts = []
    for path in runs.glob("*/spikes.h5"):
        with h5py.File(path) as file:
            counts.append(int((file["spikes/v1/timestamps"][:] < _trial_ms(path)).sum()))
    return sorted(counts)


def _trial_ms(path: Path) -> float:
    stimulus = load_config(path.with_name("config.yaml")).stimulus
    return float(stimulus.grey_ms + stimulus.grating_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--neurons", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=6, help="of activity in each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    os.environ.update(PYNEST_QUIET="1", PYTHONPATH=str(REPOSITORY))
    measured: list[dict[str, dict[str, float]]] = []
    stages: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sweep = write_sweep(folder, arguments)
        result = folder / "sweeps" / "sweep"
        for _ in range(arguments.repeats):
            seconds, bare_spikes = one_repeat(sweep, arguments.jobs)
            if bare_spikes != first_trial_spikes(result / "runs"):
                sys.exit("bare NEST does not give the spikes of the runs")
            measured.append(seconds)
            stages += [
                json.loads(path.read_text())["timings_s"]
                for path in (result / "runs").glob("*/report.json")
            ]
            print(json.dumps(seconds), flush=True)
        start_ups = {
            name: median(
                timed([sys.executable, "-W", "ignore", "-c", code], folder)[0]["cpu_s"]
                for _ in range(3)
            )
            for name, code in _START_UPS.items()
        }
    medians = {
        way: {unit: median(r[way][unit] for r in measured) for unit in ("cpu_s", "wall_s")}
        for way in measured[0]
    }
    summary = {
        "environment": environment(),
        "runs": arguments.runs,
        "jobs": arguments.jobs,
        "repeats": arguments.repeats,
        "median": medians,
        "median_start_up_cpu_s": start_ups,
        "median_stage_of_a_run_wall_s": {
            name: median(stage[name] for stage in stages) for name in stages[0]
        },
        "ratios": {
            f"{way} / bare, {label}": medians[way][unit] / medians["bare"][unit]
            for way in ("batch", "alone")
            for unit, label in (("cpu_s", "CPU time"), ("wall_s", "wall time"))
        },
    }
    print(json.dumps(summary, indent=2))
    write_json(arguments.json, summary)


if __name__ == "__main__":
    main()
