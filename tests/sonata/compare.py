"""A circuit through v1sim and through BMTK, spike by spike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from tests.sonata.bmtk import Bmtk, BmtkError, SpikesOf
from v1sim import pipeline
from v1sim.errors import V1simError
from v1sim.inputs.run_file import load_run
from v1sim.report import run_folder
from v1sim.sources import open_network


def v1sim_spikes(config: Path, out: Path, populations: tuple[str, ...]) -> SpikesOf:
    """Spikes that `v1sim run` leaves, with times as BMTK has them: at the end of the step.

    The page and its figures are not made: they take longer than a small circuit.
    """
    with _without_page():
        settings = load_run(config, ["recording.nwb=false"])
        result = pipeline.run(settings, out=out, progress=lambda *_: None, command="tests/sonata")
    dt_ms = result.report.simulation.dt_ms
    names, ids, times = [np.empty(0, dtype="U1")], [np.empty(0, int)], [np.empty(0)]
    with h5py.File(out / "spikes.h5") as file:
        for name in populations:
            group = file[f"spikes/{name}"]
            names.append(np.full(len(group["timestamps"]), name))
            ids.append(group["node_ids"][:].astype(int))
            times.append(group["timestamps"][:] + dt_ms)
    return SpikesOf(np.concatenate(names), np.concatenate(ids), np.concatenate(times))


@contextmanager
def _without_page() -> Iterator[None]:
    write = run_folder.write_report
    run_folder.write_report = lambda *_: None  # type: ignore[assignment]
    try:
        yield
    finally:
        run_folder.write_report = write


@dataclass(frozen=True)
class Comparison:
    """Numbers of spikes of both, how many either has alone, and what went wrong."""

    n_bmtk: int = 0
    n_v1sim: int = 0
    n_alone: int = 0
    first: str = ""
    bmtk_error: str = ""
    v1sim_error: str = ""

    @property
    def equal(self) -> bool:
        """Whether every spike is there in both."""
        return not (self.n_alone or self.bmtk_error or self.v1sim_error)


def compare(config: Path, out: Path, dt_ms: float, bmtk: Bmtk) -> Comparison:
    """Run a circuit with both, side by side, and compare all spikes."""
    bmtk.begin(config)
    v1sim_error, ours = "", None
    try:
        populations = tuple(p.name for p in open_network(config).populations)
        ours = v1sim_spikes(config, out, populations)
    except V1simError as error:
        v1sim_error = f"{type(error).__name__}: {error}"
    except Exception as error:
        v1sim_error = f"CRASH {type(error).__name__}: {error}"
    try:
        theirs = bmtk.result()
    except BmtkError as error:
        return Comparison(bmtk_error=str(error), v1sim_error=v1sim_error)
    if ours is None:
        return Comparison(n_bmtk=len(theirs), v1sim_error=v1sim_error)
    a, b = Counter(theirs.by_step(dt_ms)), Counter(ours.by_step(dt_ms))
    alone = sorted([*((k, "BMTK") for k in (a - b)), *((k, "v1sim") for k in (b - a))],
                   key=lambda item: item[0][2])  # fmt: skip
    n_alone = (a - b).total() + (b - a).total()
    first = f"{alone[0][1]} alone: {alone[0][0]}" if alone else ""
    return Comparison(len(theirs), len(ours), n_alone, first)
