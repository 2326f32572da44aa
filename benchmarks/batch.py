"""What `v1sim batch --local` costs above its simulations.

usage: python benchmarks/batch.py [--runs 40] [--jobs 2] [--neurons 2000] [--seconds 6]
                                  [--json FILE]

Against two yardsticks, both for the same runs at the same number of jobs:

- ``alone``: the same `v1sim run` processes, started one after the other in each of the jobs by
  nothing but a shell (xargs -P). What the batch costs beyond that is its own.
- ``bare``: one start-up of Python, NEST and v1sim for each run, and the time that its report
  says it spent building and simulating. What is beyond that is reading, the gate, stimuli,
  analysis and files, and the batch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

_BARE_STAGES = ("build", "simulate", "between trials")


def _timed(command: list[str], folder: Path, text: str | None = None) -> float:
    since = time.perf_counter()
    subprocess.run(command, cwd=folder, input=text, check=True, capture_output=True, text=True)
    return time.perf_counter() - since


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--neurons", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=6, help="of activity in each run")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    python = [sys.executable, "-m", "v1sim"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        stimulus = {"kind": "drifting_gratings", "trials": 1, "directions_deg": [0.0, 90.0]}
        stimulus["grating_ms"] = 500.0 * arguments.seconds - 500.0
        base = {
            "network": {"built_in": {"neurons": arguments.neurons}},
            "require": "constructed",
            "stimulus": stimulus,
        }
        (folder / "base.yaml").write_text(yaml.safe_dump(base))
        axes = [{"grid": {"seed": list(range(1, arguments.runs + 1))}}]
        (folder / "sweep.yaml").write_text(yaml.safe_dump({"base": "base.yaml", "axes": axes}))
        start = "import v1sim.pipeline; v1sim.pipeline.backend()"
        startup_s = min(_timed([sys.executable, "-c", start], folder) for _ in range(3))

        batch_s = _timed([*python, "batch", "sweep.yaml", "-j", str(arguments.jobs)], folder)
        configs = sorted((folder / "sweeps" / "sweep" / "configs").iterdir())
        alone = ["xargs", "-P", str(arguments.jobs), "-I{}", *python, "run", "{}"]
        alone += ["--out", "{}.alone", "--threads", "1"]
        alone_s = _timed(alone, folder, "\n".join(map(str, configs)))

        reports = [
            json.loads(path.read_text())
            for path in (folder / "sweeps" / "sweep" / "runs").glob("*/report.json")
        ]
    inside_s = sum(r["timings_s"].get(stage, 0.0) for r in reports for stage in _BARE_STAGES)
    bare_s = (inside_s + startup_s * len(reports)) / arguments.jobs
    result = {
        "runs": len(reports),
        "jobs": arguments.jobs,
        "startup_s": startup_s,
        "batch_s": batch_s,
        "alone_s": alone_s,
        "bare_s": bare_s,
        "batch_to_alone": batch_s / alone_s,
        "batch_to_bare": batch_s / bare_s,
    }
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
