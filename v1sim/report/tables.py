"""The results of a run as tables: ``classes.csv``, ``neurons.csv``, ``classification.csv``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.analysis.results import Results
from v1sim.analysis.tuning import published_tuning
from v1sim.cell_classes import CellClasses
from v1sim.output import write_csv

__all__ = ["write_tables"]


def write_tables(results: Results, classes: CellClasses, folder: Path) -> None:
    """Write ``classes.csv`` (one row a class) and ``neurons.csv`` (one row a neuron).

    Runs that classify also have ``classification.csv``, one row a trial: what was shown, what
    was decided, and the votes of each class.

    Rates are over the windows of all trials. An empty field is a value that does
    not exist, such as the OSI of a silent neuron. Tuning columns are there for
    runs with directions only.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    tuning = results.tuning
    dropped = {"is_excitatory"} | (set() if tuning else {"median_osi", "median_dsi"})
    rows = [
        {key: value for key, value in asdict(row).items() if key not in dropped}
        for row in results.classes
    ]
    if tuning and tuning.like_published:
        for row in rows:
            published = published_tuning(row["name"])
            row["published_class"] = published.name if published else ""
            for key in ("median_osi", "median_dsi", "mean_rate_hz"):
                row[f"published_{key}"] = getattr(published, key) if published else math.nan
    header = list(rows[0]) if rows else ["name"]
    columns = [np.array([row[key] for row in rows]) for key in header]
    _write_csv(folder / "classes.csv", header, columns)

    per_neuron: dict[str, NDArray[Any]] = {
        "neuron": np.arange(len(classes.of_neuron)),
        "cell_class": np.array(classes.names)[classes.of_neuron],
        "rate_hz": results.rate_hz,
    }
    if tuning:
        per_neuron |= {
            "osi": tuning.osi,
            "dsi": tuning.dsi,
            "preferred_deg": tuning.preferred_deg,
        }
    _write_csv(folder / "neurons.csv", list(per_neuron), list(per_neuron.values()))

    if results.classification:
        decided = results.classification
        per_trial: dict[str, NDArray[Any]] = {
            "trial": np.arange(len(decided.label)),
            "label": decided.label,
            "decision": decided.decision,
            "right": (decided.label == decided.decision).astype(int),
            **{f"votes_{i}": column for i, column in enumerate(decided.votes.T)},
        }
        _write_csv(folder / "classification.csv", list(per_trial), list(per_trial.values()))


def _write_csv(path: Path, header: Sequence[str], columns: Iterable[NDArray[Any]]) -> None:
    write_csv(path, [header, *zip(*(_fields(column) for column in columns), strict=True)])


def _fields(column: NDArray[Any]) -> list[Any]:
    if column.dtype.kind != "f":
        return column.tolist()
    return np.where(np.isnan(column), "", np.char.mod("%.6g", column)).tolist()
