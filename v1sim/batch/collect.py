"""The results of a sweep's runs as one tidy table, and its figure.

One row a run and cell class, ``all`` being the whole network; columns are the run,
the parameters that the axes gave it, and the results. Nothing in it depends on
when or where a run ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from v1sim.batch.folder import SweepFolder
from v1sim.batch.sweep import SweepRun
from v1sim.documents.run import read_report
from v1sim.errors import InputError
from v1sim.output import replacing, write_csv
from v1sim.report.figures import save_png
from v1sim.report.sweep_figure import sweep_figure

__all__ = ["WHOLE_NETWORK", "collect", "table"]

#: Class name of the rows that are about all neurons.
WHOLE_NETWORK = "all"

Row = dict[str, Any]


def table(folder: SweepFolder, runs: Sequence[SweepRun]) -> list[Row]:
    """Rows of the runs that are done, all with the same columns; None where there is no value.

    Raises
    ------
    InputError
        If no run is done, or a report cannot be read.
    """
    rows: list[Row] = []
    keys = dict.fromkeys(key for run in runs for key in run.parameters)
    for run in runs:
        if folder.is_done(run.name):
            results = read_report(folder.run(run.name)).results.model_dump(mode="json")
            known = {"run": run.name} | {key: run.parameters.get(key) for key in keys}
            rows += [{**known, **row} for row in _rows(results)]
    if not rows:
        raise InputError("no run is done yet", where=str(folder.root), hint="v1sim batch SWEEP")
    columns = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key) for key in columns} for row in rows]


def _rows(results: dict[str, Any]) -> list[Row]:
    """The whole network, with every single figure of the results, then each class."""
    rows = [{"cell_class": WHOLE_NETWORK, **_single_figures(results)}]
    for row in results["classes"]:
        figures = _single_figures({k: v for k, v in row.items() if k not in ("name", "published")})
        rows.append({"cell_class": row["name"], **figures})
    return rows


def _single_figures(values: dict[str, Any], prefix: str = "") -> Row:
    """Numbers and truths of a nested mapping by their joined names; lists are no single figures."""
    found: Row = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _single_figures(value, f"{prefix}{key}_")
        elif isinstance(value, int | float):
            found[prefix + key] = value
    return found


def collect(folder: SweepFolder, runs: Sequence[SweepRun]) -> tuple[Path, ...]:
    """Write ``results.csv``, ``results.png``, and ``results.parquet`` if pyarrow is installed.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    InputError
        If there is nothing to collect, or it cannot be written.
    """
    rows = table(folder, runs)
    columns = list(rows[0])
    csv_path, parquet_path, figure_path = (
        folder.root / f"results.{kind}" for kind in ("csv", "parquet", "png")
    )
    write_csv(csv_path, [columns, *([row[key] for key in columns] for row in rows)])
    save_png(sweep_figure(rows, _axes(runs), WHOLE_NETWORK), figure_path)
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return csv_path, figure_path
    with replacing(parquet_path) as temporary:
        content = {key: _column([row[key] for row in rows]) for key in columns}
        pyarrow.parquet.write_table(pyarrow.table(content), temporary)
    return csv_path, parquet_path, figure_path


def _axes(runs: Sequence[SweepRun]) -> list[str]:
    """Parameters that differ between the runs."""
    keys = dict.fromkeys(key for run in runs for key in run.parameters)
    return [key for key in keys if len({run.parameters.get(key) for run in runs}) > 1]


def _column(values: list[Any]) -> list[Any]:
    """Values of one type, as a column of a file must be: text where they are mixed."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or len(kinds) <= 1:
        return [float(v) if float in kinds and v is not None else v for v in values]
    return [None if value is None else str(value) for value in values]
