"""LGN responses of a full-size table: time and peak memory, beside BMTK FilterNet if it is there.

usage: python benchmarks/lgn.py [--table LGN.csv] [--cells-of-bmtk 100] [--json FILE]

Without a table, the 17,400 cells are those of a built-in column. Each stage is a process of
its own, so that its peak memory is its own. BMTK filters a sample of the cells, one after the
other as it always does, with ``separable=True``; its time for the table is in proportion.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from v1sim.errors import StimulusError
from v1sim.model import LgnCellTable
from v1sim.sources.column import build_column
from v1sim.stimulus import lgn
from v1sim.stimulus.gratings import Grating, GratingStimulus, grating_movie

N_CELLS = 17_400
#: 0.5 s of grey and 2 s of grating: 2.5 s of movie.
GRATING = Grating(45.0, grey_ms=500.0, grating_ms=2000.0)


def cells_of(table: Path | None) -> LgnCellTable:
    if table is not None:
        return lgn.read_lgn_table(table)
    cells = build_column(2000, N_CELLS, seed=1).lgn.cells
    assert cells is not None
    return cells


def filters_made(cells: LgnCellTable) -> dict[str, float]:
    """Filters without the cache, and with it."""
    since = time.perf_counter()
    lgn._filter_arrays(cells)
    made_s = time.perf_counter() - since
    lgn.lgn_filters(cells)
    since = time.perf_counter()
    lgn.lgn_filters(cells)
    return {"made_s": made_s, "read_from_cache_s": time.perf_counter() - since}


def movie(cells: LgnCellTable) -> dict[str, float]:
    """2.5 s of a movie, one frame a millisecond."""
    shown = grating_movie(GRATING, cells.field_deg)
    filters = lgn.lgn_filters(cells)
    since = time.perf_counter()
    lgn.rates_of_movie(filters, shown)
    return {"seconds": time.perf_counter() - since}


def gratings(cells: LgnCellTable) -> dict[str, float]:
    """Eight directions of ten trials: rates in closed form, spikes drawn."""
    since = time.perf_counter()
    directions = [Grating(45.0 * i) for i in range(8)]
    shown = GratingStimulus(cells, directions, repeats=10)
    shown.strength(0)
    first_s = time.perf_counter() - since
    since = time.perf_counter()
    shown.strength(10)
    next_s = time.perf_counter() - since
    since = time.perf_counter()
    n_spikes = len(shown.input(10, 1))
    drawn_s = time.perf_counter() - since
    return {
        "first_direction_s": first_s,
        "each_direction_s": next_s,
        "each_trial_drawn_s": drawn_s,
        "spikes_of_a_trial": n_spikes,
        "8_directions_10_trials_s": first_s + 7 * next_s + 80 * drawn_s,
    }


def bmtk_of(cells: LgnCellTable, n_cells: int) -> dict[str, float]:
    """The same 2.5 s, single cells, and how far ours are from them."""
    from bmtk.simulator.filternet.cell_models import OffUnit, OnUnit
    from bmtk.simulator.filternet.filters import (
        GaussianSpatialFilter,
        SpatioTemporalFilter,
        TemporalFilterCosineBump,
    )
    from bmtk.simulator.filternet.lgnmodel.movie import Movie
    from bmtk.simulator.filternet.transfer_functions import ScalarTransferFunction

    shown = grating_movie(GRATING, cells.field_deg)
    width, height = cells.field_deg
    theirs = Movie(
        shown,
        row_range=np.arange(height),
        col_range=np.arange(width),
        labels=("time", "y", "x"),
        units=("second", "pixel", "pixel"),
        frame_rate=1000.0,
    )
    single = np.flatnonzero(np.isin(cells.model_id, list(lgn.SPONTANEOUS_HZ)))
    chosen = single[np.linspace(0, len(single) - 1, n_cells).astype(int)]
    rates, since = [], time.perf_counter()
    for i in chosen.tolist():
        name = str(cells.model_id[i])
        unit, sign = (OnUnit, 1.0) if "ON" in name else (OffUnit, -1.0)
        spontaneous = lgn.SPONTANEOUS_HZ[name]
        gaussian = GaussianSpatialFilter(
            translate=(
                cells.x_deg[i] * (width - 1) / width,
                cells.y_deg[i] * (height - 1) / height,
            ),
            sigma=(cells.spatial_size_deg[i] / 3,) * 2,
            origin=(0.0, 0.0),
        )
        kernel = TemporalFilterCosineBump(
            cells.weight_dom[i], cells.kpeak_dom_ms[i], cells.delay_dom_ms[i]
        )
        cell = unit(
            SpatioTemporalFilter(gaussian, kernel, amplitude=sign),
            ScalarTransferFunction(f"Heaviside(s+{spontaneous})*(s+{spontaneous})"),
        )
        rates.append(np.asarray(cell.evaluate(theirs, downsample=1, separable=True)[1]))
    seconds = time.perf_counter() - since
    expected = np.stack(rates, axis=1)[: len(shown)]
    ours = lgn.rates_of_movie(lgn.lgn_filters(cells.take(chosen)), shown)
    correlation = [
        np.corrcoef(a, b)[0, 1] for a, b in zip(expected.T, ours.T, strict=True) if np.ptp(a) > 0
    ]
    return {
        "cells": n_cells,
        "seconds": seconds,
        "seconds_for_the_table": seconds / n_cells * len(cells),
        "smallest_correlation": float(np.min(correlation)),
        "mean_error_hz": float(np.abs(expected - ours).mean()),
    }


def _measured(stage, arguments, connection) -> None:
    result = stage(*arguments)
    result["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    connection.send(result)


def measure(stage, *arguments) -> dict[str, float]:
    """A stage in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(stage, arguments, sender))
    process.start()
    sender.close()
    result = receiver.recv()
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path)
    parser.add_argument("--cells-of-bmtk", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    try:
        cells = cells_of(arguments.table)
    except StimulusError as error:
        parser.error(str(error))
    results: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "cells": len(cells),
        "movie_s": (GRATING.grey_ms + GRATING.grating_ms) / 1000,
    }
    stages = {"filters": filters_made, "movie": movie, "gratings": gratings}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        for name, stage in stages.items():
            results[name] = measure(stage, cells)
            print(name, json.dumps(results[name], indent=2))
        try:
            importlib.import_module("bmtk")
        except ImportError:
            print("bmtk is not installed: pip install bmtk")
        else:
            results["bmtk"] = measure(bmtk_of, cells, arguments.cells_of_bmtk)
            print("bmtk", json.dumps(results["bmtk"], indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
