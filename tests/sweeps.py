"""A small sweep on the tiny network, for tests of everything that runs sweeps."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.networks import write_tiny

BASE = {
    "network": "tiny.h5",
    "require": "constructed",
    "stimulus": {
        "kind": "drifting_gratings",
        "directions_deg": [0, 90],
        "trials": 1,
        "grey_ms": 50.0,
        "grating_ms": 150.0,
    },
    "recording": {"nwb": False},
    "simulation": {"dynamics": "glif_psc"},
}


def write_sweep(folder: Path, *axes: dict[str, Any], **keys: Any) -> Path:
    """Write network, base configuration and sweep; the sweep's path."""
    write_tiny(folder / "tiny.h5")
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    path = folder / "sweep.yaml"
    content = {"base": "base.yaml", "axes": list(axes), **keys}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def batch_command(sweep: Path, *arguments: object) -> list[str]:
    """The command line of ``v1sim batch`` in this Python."""
    return [sys.executable, "-m", "v1sim", "batch", str(sweep), *map(str, arguments)]


def batch(sweep: Path, *arguments: object, code: int | None = 0) -> str:
    """What ``v1sim batch`` prints; it must end with ``code`` and without a traceback."""
    done = subprocess.run(
        batch_command(sweep, *arguments),
        cwd=sweep.parent,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    text = done.stdout + done.stderr
    assert code is None or done.returncode == code, text
    assert "Traceback" not in text
    return text


def runs_of(sweep: Path) -> list[str]:
    """Names of the sweep's runs, in order."""
    with (sweep.parent / "sweeps" / "sweep" / "runs.csv").open() as file:
        return [row["run"] for row in csv.DictReader(file)]


def fingerprints(sweep: Path) -> dict[str, tuple[int, int]]:
    """Inode and change time of every file of every complete run."""
    folder = sweep.parent / "sweeps" / "sweep" / "runs"
    files = [p for run in folder.glob("[!.]*") for p in [run, *run.iterdir()]]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in files}
