"""Run all benchmarks; print the machine, versions and ratios; compare with an earlier run.

usage: python -m benchmarks [--repeats 3] [--threads 2] [--json FILE] [--against EARLIER.json]
                            [--full NETWORK.h5 [--whole WHOLE_COLUMN.h5]] [--bmtk-python PYTHON]
                            [--mpi-python PYTHON]

Without --full, networks of up to a million synapses: a few minutes. NETWORK.h5 is what
scripts/make_full_size.py makes (51,978 neurons); WHOLE_COLUMN.h5 the same with
--neurons 230924 --recurrent 85300000 --lgn 6000000. With --full also the LGN of a whole table,
a batch, and the conversion of a checkpoint, where TensorFlow is there; with --mpi-python, whose
NEST was built with MPI, also processes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measurement import REPOSITORY, environment, write_json
from benchmarks.scaling import make_network


def jobs(arguments: argparse.Namespace, folder: Path) -> dict[str, list[object]]:
    """Arguments of each benchmark."""
    column, million = make_network(2000, folder), make_network(5500, folder)
    counts = ["--repeats", arguments.repeats, "--threads", arguments.threads]
    bmtk = ["--bmtk-python", arguments.bmtk_python] if arguments.bmtk_python else []
    full = arguments.full
    larger = [path for path in (full, arguments.whole) if path]
    drawn = ["--figure", "docs/images/scaling.png"] if full else ["--neurons", 1200, 5500]
    listed: dict[str, list[object]] = {
        "build": counts,
        "full_size": [full or million, *counts],
        "scaling": [*larger, *drawn, *bmtk, *counts],
        "trials": [full or column, "--trials", 5 if full else 10, *counts],
        "spikes_out": [full or million, *(["--neo-s", 600] if full else []), *counts],
        "dynamics": [],
    }
    if arguments.mpi_python:
        listed["processes"] = [
            *("--mpi-python", arguments.mpi_python),
            *("--repeats", arguments.repeats),
        ]
    if full:
        listed |= {"lgn": [], "batch": []}
        if importlib.util.find_spec("tensorflow"):
            listed["convert"] = []
    return listed


def ratios(result: Any, below: str = "", wanted: bool = False) -> Iterator[tuple[str, float]]:
    """Every number under a key that begins with "ratio", by its path."""
    items = result.items() if isinstance(result, dict) else ()
    for key, value in items:
        path = f"{below} / {key}" if below else key
        inside = wanted or key.startswith("ratio")
        if inside and isinstance(value, int | float):
            yield path, float(value)
        elif isinstance(value, list) and key == "sizes":
            for entry in value:
                yield from ratios(entry, f"{below} / {entry['synapses']:.1e}", inside)
        else:
            yield from ratios(value, below if key == "ratios" else path, inside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--full", type=Path)
    parser.add_argument("--whole", type=Path)
    parser.add_argument("--bmtk-python", type=Path)
    parser.add_argument("--mpi-python", type=Path)
    arguments = parser.parse_args()
    earlier = json.loads(arguments.against.read_text()) if arguments.against else {"results": {}}
    begun = environment()
    print(json.dumps(begun, indent=2), flush=True)
    results: dict[str, Any] = {}
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for benchmark, options in jobs(arguments, folder).items():
            output = folder / f"{benchmark}.json"
            module = f"benchmarks.{benchmark}"
            command = [sys.executable, "-m", module, *map(str, options), "--json", str(output)]
            since = time.perf_counter()
            done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=False)
            print(f"\n{benchmark} ({time.perf_counter() - since:.0f} s)")
            if done.returncode:
                failed.append(benchmark)
                continue
            results[benchmark] = json.loads(output.read_text())
            before = dict(ratios(earlier["results"].get(benchmark, {})))
            for path, value in ratios(results[benchmark]):
                was = f"   was {before[path]:8.3f}" if path in before else ""
                print(f"  {value:8.3f}{was}  {path}", flush=True)
    write_json(arguments.json, {"environment": begun, "results": results})
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
