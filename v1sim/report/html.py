"""``report.html``: the report of a run as one page that needs nothing beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from v1sim.documents.run import ResultsDocument, RunReport
from v1sim.report.page import in_one_line, number, write_page

__all__ = ["write_html"]

#: Errors of a run that stand in its headline at most.
_MOST_ERRORS = 5


def write_html(report: RunReport, figure: Path | None, path: Path) -> None:
    """Write the page: verdict and gate first, then what was simulated and what came out.

    Parameters
    ----------
    report : RunReport
        Of the run.
    figure : Path, optional
        A PNG file to embed.
    path : Path
        Where to write.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    figure_png = None if figure is None else figure.read_bytes()
    write_page(path, "run.html", **_content(report, figure_png))


def _content(report: RunReport, figure_png: bytes | None) -> dict[str, Any]:
    name = str(report.config.get("name", "run"))
    header, rows = _classes(report.results)
    read_back = [projection.model_dump() for projection in report.simulation.read_back]
    return {
        "title": f"{name}: v1sim",
        "name": name,
        "report": report,
        "figure": figure_png,
        "most_errors": _MOST_ERRORS,
        "simulated": report.network.model_dump()
        | report.simulation.model_dump(exclude={"read_back"}),
        "class_header": header,
        "class_rows": rows,
        "read_back_header": [key.replace("_", " ") for key in (read_back or [{}])[0]],
        "read_back_rows": [[in_one_line(value) for value in row.values()] for row in read_back],
    }


def _classes(results: ResultsDocument) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of classes; tuning where directions were shown."""
    header = ["class", "neurons", "silent", "mean rate, Hz", "median rate, Hz"]
    if results.tuning:
        header += ["median OSI", "median DSI", "published: class", "rate, Hz", "OSI", "DSI"]
    rows = []
    for row in results.classes:
        cells = [row.name, row.n, row.n_silent, row.mean_rate_hz, row.median_rate_hz]
        if results.tuning:
            published = row.published
            cells += [row.median_osi, row.median_dsi]
            cells += (
                [None] * 4
                if published is None
                else [
                    published.name,
                    published.mean_rate_hz,
                    published.median_osi,
                    published.median_dsi,
                ]
            )
        rows.append([number(cell) for cell in cells])
    return header, rows
