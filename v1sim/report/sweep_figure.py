"""The figure of a sweep: what the network and each class did under each condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["sweep_figure"]

F64 = NDArray[np.float64]

#: What differs between repeats of a condition.
_REPEATED_BY = "seed"
#: Columns of the table that are maps of class by condition, and their titles.
_MAPS = {"mean_rate_hz": "mean rate (Hz)", "median_osi": "median OSI", "median_dsi": "median DSI"}
#: More conditions than this are numbered, not named.
_MOST_NAMES = 24


def sweep_figure(
    rows: Sequence[Mapping[str, Any]], axes: Sequence[str], whole_network: str
) -> Figure:
    """Rates and tuning by condition; runs that differ by their seed alone are one condition.

    Parameters
    ----------
    rows : sequence of mapping
        The tidy table of `v1sim.batch.collect`: ``run``, ``cell_class``, parameters and results.
    axes : sequence of str
        Parameters that differ between the runs.
    whole_network : str
        ``cell_class`` of the rows about all neurons.
    """
    keys = [key for key in axes if key != _REPEATED_BY] or list(axes)
    of_row = [tuple(row[key] for key in keys) for row in rows]
    conditions = list(dict.fromkeys(of_row))
    position = {condition: i for i, condition in enumerate(conditions)}
    column = np.array([position[condition] for condition in of_row])
    is_whole = np.array([row["cell_class"] == whole_network for row in rows])

    maps = [key for key in _MAPS if any(row.get(key) is not None for row in rows)]
    points = ["mean_rate_hz", *(key for key in rows[0] if key.endswith("accuracy"))]
    classes = list(dict.fromkeys(r["cell_class"] for r in rows if r["cell_class"] != whole_network))
    width = min(16.0, 5.0 + 0.25 * len(conditions))
    heights = [2.0] * len(points) + [0.8 + 0.17 * len(classes)] * len(maps)
    figure = Figure(figsize=(width, 1.2 + sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0].tolist()
    for panel, key in zip(panels, points, strict=False):
        values = _values(rows, key)
        _points(panel, column[is_whole], values[is_whole], _MAPS.get(key, key.replace("_", " ")))
    for panel, key in zip(panels[len(points) :], maps, strict=True):
        values = _values(rows, key)
        table = np.full((len(classes), len(conditions)), np.nan)
        for i, name in enumerate(classes):
            mine = np.array([row["cell_class"] == name for row in rows])
            table[i] = _means(column[mine], values[mine], len(conditions))
        _map(figure, panel, table, classes, _MAPS[key])
    _name_conditions(panels, conditions, keys)
    n_runs = len({row["run"] for row in rows})
    figure.suptitle(f"{n_runs} runs, {len(conditions)} conditions: {', '.join(keys)}", fontsize=10)
    return figure


def _values(rows: Sequence[Mapping[str, Any]], key: str) -> F64:
    return np.array([np.nan if row.get(key) is None else row[key] for row in rows], dtype=float)


def _means(column: NDArray[np.intp], values: F64, n: int) -> F64:
    """Mean value of each condition, NaN where it has none."""
    there = ~np.isnan(values)
    sums = np.bincount(column[there], values[there], minlength=n)
    counts = np.bincount(column[there], minlength=n)
    return np.divide(sums, counts, out=np.full(n, np.nan), where=counts > 0)


def _points(panel: Axes, column: NDArray[np.intp], values: F64, label: str) -> None:
    n = int(column.max()) + 1
    panel.plot(column, values, "o", ms=3, color="#457b9d", alpha=0.6, label="runs")
    panel.plot(np.arange(n), _means(column, values, n), "_", ms=12, color="#22252b", label="mean")
    panel.set_ylabel(label, fontsize=8)
    panel.set_ylim(bottom=0)
    panel.set_xlim(-0.5, n - 0.5)
    panel.spines[["top", "right"]].set_visible(False)


def _map(figure: Figure, panel: Axes, table: F64, classes: Sequence[str], label: str) -> None:
    image = panel.imshow(table, aspect="auto", interpolation="nearest", vmin=0, cmap="viridis")
    panel.set_yticks(np.arange(len(classes)), classes, fontsize=6)
    bar = figure.colorbar(image, ax=panel, pad=0.01)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=6)


def _name_conditions(
    panels: Sequence[Axes], conditions: Sequence[tuple[Any, ...]], keys: Sequence[str]
) -> None:
    for panel in panels:
        panel.set_xticks([])
        panel.tick_params(labelsize=6)
    if len(conditions) > _MOST_NAMES:
        panels[-1].set_xlabel(f"condition, 1 to {len(conditions)} in the order of the table")
        return
    names = [", ".join(_short(value) for value in condition) for condition in conditions]
    panels[-1].set_xticks(np.arange(len(names)), names, rotation=45, ha="right", fontsize=6)
    panels[-1].set_xlabel(", ".join(keys), fontsize=8)


def _short(value: Any) -> str:
    """A parameter's value in a few letters; of a path the file's name."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    text = text.rpartition("/")[2]
    return text if len(text) <= 28 else f"{text[:25]}..."
