"""A comparison of runs as a sentence, as text, as a figure and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from v1sim.documents.comparison import (
    ComparisonDocument,
    Measure,
    MeasureDifference,
    MeasureOf,
    RunDifference,
    SpikeComparison,
)
from v1sim.printable import printable
from v1sim.report.figures import ShownFigure, to_png
from v1sim.report.page import number, write_page

__all__ = ["comparison_figure", "comparison_text", "in_words", "write_comparison_html"]

F64 = NDArray[np.float64]

#: Class name of the rows that are about all neurons.
_ALL = "all"
_TITLE: dict[Measure, str] = {"rate_hz": "mean rate, Hz", "osi": "mean OSI", "dsi": "mean DSI"}
#: Okabe and Ito's colours, which colour-blind readers tell apart; and a marker for each.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = "osD^vPX"
#: Runs that a figure can show.
_MOST_RUNS = 12
#: Neurons of a class whose interval may end outside of the figure, and fewer.
_FEW = 5
#: Rows of text of one comparison, and keys and tables of it.
_MOST_ROWS = 12
#: Rate of false discoveries below which a row is worth a look.
_WORTH = 0.05


def in_words(document: ComparisonDocument, difference: RunDifference) -> str:
    """One sentence: what is different, and by how much."""
    parts = []
    if difference.spikes is not None:
        parts.append(_spikes_in_words(difference.spikes))
    whole = next((row for row in difference.measures if row.cell_class == _ALL), None)
    if whole is not None:
        low, high = difference_interval(whole)
        parts.append(
            f"the mean rate is {whole.mean_after:.2f} Hz against {whole.mean_before:.2f} Hz "
            f"({whole.difference:+.2f}, 95 % interval {low} to {high})"
        )
    if difference.accuracy is not None:
        changed = difference.accuracy
        low_a, high_a = changed.interval_95
        parts.append(
            f"accuracy {changed.difference:+.1%} (95 % interval {low_a:+.1%} to {high_a:+.1%}, "
            f"p = {changed.p_value:.2g})"
        )
    changes = difference.configuration
    names = ", ".join(change.key for change in changes[:4]) + (" ..." if len(changes) > 4 else "")
    keys = "1 key differs" if len(changes) == 1 else f"{len(changes)} keys differ"
    what = f"{keys} ({names})" if changes else "the same configuration"
    network = difference.network
    which = "the same network" if network.equal else "another network"
    if network.same_neurons and not network.equal:
        which = "the same network with other values"
    return f"{which}, {what}: " + "; ".join(parts)


def difference_interval(row: MeasureDifference) -> tuple[str, str]:
    """Both ends of the interval, as text with signs."""
    low, high = (f"{end:+.3g}" if end is not None else "–" for end in row.interval_95)
    return low, high


def _spikes_in_words(spikes: SpikeComparison) -> str:
    if spikes.equal:
        return f"every one of {spikes.n_before:,} spikes is equal"
    first = spikes.first
    where = (
        f"; they part in trial {first.trial} at {first.time_ms:g} ms in neuron {first.neuron} "
        f"({first.cell_class}), which spikes in the {first.in_run_words} run alone"
        if first
        else ""
    )
    return f"{spikes.n_equal:,} of {spikes.n_before:,} spikes are equal{where}"


def comparison_text(document: ComparisonDocument) -> str:
    """What ``v1sim compare`` prints: a sentence for each run, and what is worth a look."""
    first = document.runs[0]
    lines = [f"compared with {first.label} ({first.folder}):"]
    for one in document.differences:
        lines += ["", f"{one.label}: {in_words(document, one)}"]
        for change in one.configuration[:_MOST_ROWS]:
            lines.append(f"  {change.key}: {change.before} -> {change.after}")
        for name, table in one.network.tables.items():
            if table.n_changed:
                size = "" if table.relative_change is None else f" by {table.relative_change:.1%}"
                lines.append(
                    f"  {name}: {table.n_changed:,} of {table.n:,} weights differ{size} (L2)"
                )
        rows = sorted(
            (row for row in one.measures if row.cell_class == _ALL or row.q_value < _WORTH),
            key=lambda row: (row.cell_class != _ALL, -abs(row.effect_size)),
        )
        if rows:
            lines.append(
                f"  {'measure':<8} {'class':<10} {'before':>8} {'after':>8} {'change':>8} "
                f"{'95 % interval':>20} {'effect':>7} {'q':>8}"
            )
        lines += [_row(row) for row in rows[:_MOST_ROWS]]
        if len(rows) > _MOST_ROWS:
            lines.append(f"  ... and {len(rows) - _MOST_ROWS} more: --html or --json")
    return "\n".join([*lines, "", *document.notes])


def _row(row: MeasureDifference) -> str:
    low, high = difference_interval(row)
    return (
        f"  {row.measure:<8} {printable(row.cell_class):<10} {row.mean_before:>8.3g} "
        f"{row.mean_after:>8.3g} {row.difference:>+8.3g} {f'{low} to {high}':>20} "
        f"{row.effect_size:>+7.2f} {row.q_value:>8.2g}"
    )


def comparison_figure(document: ComparisonDocument) -> ShownFigure:
    """Each measure by class and run, and beside it how it differs from the first run's."""
    runs = document.runs[:_MOST_RUNS]
    measures = [
        measure
        for measure in _TITLE
        if any(m.measure == measure for run in runs for m in run.measures)
    ]
    decided = [run for run in runs if run.accuracy is not None]
    classes = list(dict.fromkeys(m.cell_class for run in runs for m in run.measures))
    n_rows = len(measures) + bool(decided)
    height = 1.6 + n_rows * 3.1
    figure = ShownFigure(figsize=(13, height), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(n_rows, 2)
    for row, measure in enumerate(measures):
        values = [
            ([m for m in run.measures if m.measure == measure], printable(run.label))
            for run in runs
        ]
        left = figure.add_subplot(grid[row, 0])
        _values(left, values, classes)
        left.set_ylabel(_TITLE[measure])
        left.set_ylim(0, _top([(m.mean or 0.0, m.interval_95, m.n) for v, _ in values for m in v]))
        right = figure.add_subplot(grid[row, 1])
        changes = [
            [d for d in one.measures if d.measure == measure]
            for one in document.differences[: len(runs) - 1]
        ]
        _changes(right, changes, classes)
        right.set_ylabel(f"change of {_TITLE[measure]}")
        most = _top([(d.difference, d.interval_95, d.n_before) for one in changes for d in one])
        right.set_ylim(-most, most)
        if row == 0:
            left.set_title(
                "each run (mean and 95 % interval; those of classes of fewer than "
                f"{_FEW} neurons may be cut)",
                loc="left",
                fontsize=10,
            )
            right.set_title("against the first run", loc="left", fontsize=10)
            left.legend(fontsize=8, frameon=False)
    if decided:
        axes = figure.add_subplot(grid[-1, 0])
        for i, run in enumerate(runs):
            if run.accuracy is None:
                continue
            low, high = run.accuracy.interval_95
            middle = run.accuracy.accuracy
            axes.errorbar(
                [i], [middle], yerr=[[middle - low], [high - middle]], **_style(i), capsize=3
            )
            axes.hlines(run.accuracy.chance, i - 0.4, i + 0.4, color="#6b7280", linestyle=":")
        axes.set_xticks(range(len(runs)), [printable(run.label) for run in runs], rotation=20)
        axes.set_ylim(0, 1)
        axes.set_ylabel("accuracy (dotted: chance)")
        _plain(axes)
    more = len(document.runs) - len(runs)
    title = f"{len(document.runs)} runs, compared with {printable(document.runs[0].label)}"
    figure.suptitle(title + (f" (the first {_MOST_RUNS} are shown)" if more else ""), fontsize=12)
    return figure


def _top(seen: Sequence[tuple[float, tuple[float | None, float | None], int]]) -> float:
    """End of an axis: every mean is on it, and every interval but those of a few neurons."""
    ends = [
        abs(end)
        for middle, interval, n in seen
        for end in (middle, *(interval if n >= _FEW else ()))
        if end is not None
    ]
    return 1.1 * max(ends, default=1.0) or 1.0


def _style(run: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[run % len(_COLOURS)],
        "marker": _MARKERS[run % len(_MARKERS)],
        "linestyle": "none",
        "markersize": 4.5,
        "linewidth": 1.2,
    }


def _values(
    axes: Axes, values: Sequence[tuple[Sequence[MeasureOf], str]], classes: Sequence[str]
) -> None:
    for i, (rows, label) in enumerate(values):
        rows = [row for row in rows if row.mean is not None]
        x = [classes.index(row.cell_class) + _offset(i, len(values)) for row in rows]
        middle = np.array([row.mean for row in rows], dtype=float)
        ends = np.array([row.interval_95 for row in rows], dtype=float).reshape(-1, 2)
        axes.errorbar(x, middle, yerr=_bars(middle, ends), label=label, **_style(i))
    _name_classes(axes, classes)


def _changes(
    axes: Axes, changes: Sequence[Sequence[MeasureDifference]], classes: Sequence[str]
) -> None:
    axes.axhline(0, color="#6b7280", linewidth=0.8)
    for i, rows in enumerate(changes):
        x = [classes.index(row.cell_class) + _offset(i, len(changes)) for row in rows]
        middle = np.array([row.difference for row in rows], dtype=float)
        ends = np.array([row.interval_95 for row in rows], dtype=float).reshape(-1, 2)
        axes.errorbar(x, middle, yerr=_bars(middle, ends), **_style(i + 1))
    _name_classes(axes, classes)


def _bars(middle: F64, ends: F64) -> F64:
    """Lengths of the bars below and above; none where there is no interval."""
    return np.nan_to_num(np.abs(ends.T - middle))


def _offset(i: int, n: int) -> float:
    return 0.0 if n == 1 else 0.5 * (i / (n - 1) - 0.5)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    names = [printable(name) for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_xlim(-0.6, len(names) - 0.4)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e8e9ec", linewidth=0.7)
    axes.set_axisbelow(True)


def write_comparison_html(document: ComparisonDocument, path: Path) -> None:
    """Write the page: what differs in a sentence, the figure, then the tables.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_page(
        path,
        "comparison.html",
        title=f"{len(document.runs)} runs compared: v1sim",
        document=document,
        sentences=[in_words(document, one) for one in document.differences],
        figure=to_png(comparison_figure(document)),
        changes=[[_cells(row) for row in one.measures] for one in document.differences],
        accuracy_header=["label", *(run.label for run in document.runs)],
        accuracy_rows=_accuracy_rows(document),
    )


def _cells(row: MeasureDifference) -> list[str]:
    low, high = difference_interval(row)
    return [
        row.cell_class,
        _TITLE[row.measure],
        f"{row.n_before:,}" if row.paired else f"{row.n_before:,} and {row.n_after:,}",
        number(row.mean_before),
        number(row.mean_after),
        f"{row.difference:+.3f}",
        f"{low} to {high}",
        f"{row.effect_size:+.2f}",
        f"{row.p_value:.2g}",
        f"{row.q_value:.2g}",
    ]


def _accuracy_rows(document: ComparisonDocument) -> list[list[str]]:
    """Accuracy of all trials, and of those of each label, by run."""
    runs = [run.accuracy for run in document.runs]
    if not any(runs):
        return []

    def cell(accuracy: float, interval: tuple[float, float], n: int) -> str:
        return f"{accuracy:.1%} ({interval[0]:.1%} to {interval[1]:.1%}) of {n:,}"

    whole = [cell(r.accuracy, r.interval_95, r.n) if r else number(None) for r in runs]
    rows = [["all", *whole]]
    for label in sorted({one.label for run in runs if run for one in run.labels}):
        found = [
            next((o for o in run.labels if o.label == label), None) if run else None for run in runs
        ]
        rows.append(
            [
                str(label),
                *(cell(o.accuracy, o.interval_95, o.n) if o else number(None) for o in found),
            ]
        )
    return rows
