"""The report of a run as data: ``report.json`` and the tables beside it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.analysis.readout import Classification
from v1sim.analysis.results import ClassResult, Results
from v1sim.analysis.tuning import published_tuning
from v1sim.cell_classes import CellClasses
from v1sim.errors import InputError
from v1sim.output import replacing

__all__ = [
    "REPORT_FORMAT",
    "build_report",
    "read_json",
    "with_results",
    "write_json",
    "write_tables",
]

#: Raised by one whenever a key of the report changes its meaning or goes.
REPORT_FORMAT = 1


def build_report(
    *,
    config: Mapping[str, Any],
    command: str,
    began: str,
    machine: Mapping[str, str],
    network: Mapping[str, Any],
    guard: Mapping[str, Any],
    simulation: Mapping[str, Any],
    timings_s: Mapping[str, float],
    peak_memory_mb: float,
    results: Results,
    notes: Sequence[str],
    findings: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Everything that a run's report says, in values that JSON knows.

    NaN and infinities become None, arrays lists, paths and the like text.

    Parameters
    ----------
    config : mapping
        The resolved configuration, seeds included.
    command, began : str
        The command line, and when it was given (ISO 8601).
    machine : mapping
        Versions by package, and what the machine is.
    network : mapping
        Path, digests and sizes of the network.
    guard : mapping
        The guards' report, as ``v1sim check --json`` writes it.
    simulation : mapping
        What was simulated and what the read-back found.
    timings_s : mapping
        Wall time of each stage, s.
    peak_memory_mb : float
        Peak resident memory of the process.
    results : Results
        Rates and tuning; written by class.
    notes : sequence of str
        What a reader must know to judge the run.
    findings : sequence of mapping
        What read-back and activity show, each as the guards' report has it.
    """
    report: dict[str, Any] = _plain(
        {
            "format": REPORT_FORMAT,
            "notes": notes,
            "guard": guard,
            "findings": findings,
            "network": network,
            "simulation": simulation,
            "results": _results(results),
            "timings_s": timings_s,
            "peak_memory_mb": peak_memory_mb,
            "command": command,
            "began": began,
            "config": config,
            "machine": machine,
        }
    )
    return report


def read_json(folder: Path) -> dict[str, Any]:
    """The report of a run folder.

    Raises
    ------
    InputError
        If the folder has none, or another program's.
    """
    path = folder / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        known = report["format"] == REPORT_FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"there is no report of a run here ({type(error).__name__})",
            where=str(path),
            expected="a folder that v1sim run made",
        ) from error
    if not known:
        raise InputError(
            f"the report has format {report['format']}",
            where=str(path),
            expected=f"format {REPORT_FORMAT}, which this version of v1sim writes",
        )
    return report


def with_results(report: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """The report with other results, the rest as it is."""
    return {**report, "results": _plain(_results(results))}


def _results(results: Results) -> dict[str, Any]:
    tuning = results.tuning
    return {
        "mean_rate_hz": _mean(results.rate_hz),
        "lgn_mean_rate_hz": _mean(results.lgn_rate_hz),
        "n_silent": int(np.count_nonzero(results.rate_hz == 0)),
        "classes": [
            _class_row(row, published=tuning is not None and tuning.like_published)
            for row in results.classes
        ],
        "tuning": None
        if tuning is None
        else {
            "axis": tuning.axis,
            "direction_deg": tuning.direction_deg,
            "n_repeats": tuning.n_repeats,
            "untuned_osi": tuning.untuned_osi,
            "untuned_dsi": tuning.untuned_dsi,
        },
        "classification": None
        if results.classification is None
        else _classification(results.classification),
    }


def _classification(result: Classification) -> dict[str, Any]:
    start_ms = result.best_start_ms
    return {
        "accuracy": result.accuracy,
        "interval_95": result.interval,
        "n_trials": len(result.label),
        "n_classes": len(result.confusion),
        "chance": 1 / len(result.confusion),
        "n_undecided": result.n_undecided,
        "window_ms": result.window_ms,
        "best_window_ms": [start_ms, start_ms + result.window_ms[1] - result.window_ms[0]],
        "best_window_accuracy": result.curve_accuracy.max(),
        "confusion": result.confusion,
        "window_curve": {
            "start_ms": result.curve_start_ms,
            "accuracy": result.curve_accuracy,
        },
    }


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else math.nan


def _class_row(row: ClassResult, *, published: bool) -> dict[str, Any]:
    """One class beside the published one, whose figures are for drifting gratings only."""
    nearest = published_tuning(row.name) if published else None
    return {**asdict(row), "published": None if nearest is None else asdict(nearest)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def write_json(report: Mapping[str, Any], path: Path) -> None:
    """Write what `build_report` gave as JSON.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*(_fields(column) for column in columns), strict=True))
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _fields(column: NDArray[Any]) -> list[Any]:
    if column.dtype.kind != "f":
        return column.tolist()
    return np.where(np.isnan(column), "", np.char.mod("%.6g", column)).tolist()
