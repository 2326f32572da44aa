"""What a run's folder holds beside its spikes, written once and renewed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from v1sim.analysis.results import Results, analyse
from v1sim.config import RunConfig, dump_config
from v1sim.documents.run import RunReport, read_report
from v1sim.errors import InputError
from v1sim.output import replacing
from v1sim.recording import (
    Recording,
    import_writers,
    read_nwb,
    write_nwb,
    write_sonata,
    write_sonata_report,
)
from v1sim.report import figures, html, page
from v1sim.report.description import describe_results
from v1sim.report.tables import write_tables

__all__ = ["prepare_to_write", "renew_report", "run_figure", "write_recording", "write_report"]


def prepare_to_write(config: RunConfig) -> None:
    """Import and find everything that writing takes, so that it fails now if it must.

    A simulation that is finished must not be lost for a package that cannot be imported, or
    a cache that cannot be written.

    Raises
    ------
    InputError
        If something is missing.
    """
    try:
        if config.recording.nwb:
            import_writers()
        figures.find_fonts()
        page.load_templates()
    except (ImportError, OSError) as error:
        raise InputError(
            f"what writes the results cannot be loaded: {type(error).__name__}: {error}",
            expected="v1sim's dependencies as they were installed",
            hint="pip install --force-reinstall v1sim; a home that cannot be written: export "
            "HOME=$(mktemp -d)",
        ) from error


def write_recording(
    folder: Path, config: RunConfig, recording: Recording, results: Results, network_path: str
) -> None:
    """Write spikes, reports of voltages, the summary figure and the resolved configuration.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    if config.recording.nwb:
        write_nwb(recording, folder / "spikes.nwb")
    if config.recording.sonata:
        write_sonata(recording, folder / "spikes.h5")
    for name, report in config.recording.reports.items():
        write_sonata_report(
            recording,
            folder / f"{name}.h5",
            cells=_ids_of(report.cells, recording),
            interval_ms=report.interval_ms,
            start_ms=report.start_ms,
            stop_ms=report.stop_ms,
        )
    figure = _figure(config.name, recording, results, network_path)
    figures.save_png(figure, folder / "summary.png")
    with replacing(folder / "config.yaml") as temporary:
        temporary.write_text(dump_config(config), encoding="utf-8")


def _ids_of(cells: Mapping[str, str | Sequence[int]], recording: Recording) -> dict[str, Any]:
    """Ids by population, where a configuration may say ``all``."""
    return {
        population.name: population.node_id
        if cells[population.name] == "all"
        else np.unique(np.array(cells[population.name], dtype=np.int64))
        for population in recording.populations
        if population.name in cells
    }


def write_report(folder: Path, report: RunReport, recording: Recording, results: Results) -> None:
    """Write the report as data, as tables and as a page; the summary figure is there.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    report.write(folder / "report.json")
    write_tables(results, recording.classes, folder)
    html.write_html(report, folder / "summary.png", folder / "report.html")


def renew_report(folder: Path) -> Path:
    """Analyse a run's spikes again and renew its figure, tables and reports.

    What was simulated and the guards' report stay as the run wrote them.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder is not a run's, or its spikes are not there.
    """
    report = read_report(folder)
    recording = read_nwb(folder / "spikes.nwb")
    results = analyse(recording)
    figures.save_png(run_figure(report, recording, results), folder / "summary.png")
    report = report.model_copy(update={"results": describe_results(results)})
    write_report(folder, report, recording, results)
    return folder / "report.html"


def run_figure(report: RunReport, recording: Recording, results: Results) -> Figure:
    """The summary figure of a run."""
    return _figure(report.config["name"], recording, results, report.network.path)


def _figure(name: str, recording: Recording, results: Results, network_path: str) -> Figure:
    title = f"{name}: {recording.n_neurons:,} neurons, {Path(network_path).name}"
    return figures.summary_figure(recording, results, title=title)
