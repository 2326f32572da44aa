"""Pictures of a network's weights, alone and beside those of another (baseline or checkpoint)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from v1sim.cell_classes import CellClasses, cell_classes
from v1sim.model import NetworkModel
from v1sim.sources.difference import match_synapses

__all__ = ["LabelledNetwork", "before_and_after", "class_pair_maps", "weight_distributions"]

F64 = NDArray[np.float64]

_N_BINS = 80
#: Shares of the weights that linear histograms show; a few far away would flatten the rest.
_SHOWN_PERCENT = 99.8
_COLOURS = ("#b5179e", "#457b9d")
_INK, _FAINT = "#22252b", "#8b9099"


@dataclass(frozen=True, eq=False)
class LabelledNetwork:
    """A network and what pictures call it ("network", "baseline")."""

    label: str
    network: NetworkModel


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=90, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _finite(values: NDArray[np.floating]) -> F64:
    return values[np.isfinite(values)].astype(np.float64)


def weight_distributions(networks: list[LabelledNetwork]) -> Figure:
    """Histograms of weights by receptor: normalised and in pA, linear and of log sizes.

    Exact zeros are not in them; their share stands in the first panel of a row.
    """
    rows = [
        (group, receptor)
        for group, table in networks[0].network.tables_of("recurrent", "lgn", "other").items()
        for receptor in range(networks[0].network.receptors.n)
        if (table.receptor == receptor).any()
    ]
    name_of = networks[0].network.source.name_of
    figure = _figure(14, 1.9 * max(len(rows), 1) + 0.4)
    axes = figure.subplots(max(len(rows), 1), 4, squeeze=False)
    for line, (group, receptor) in zip(axes, rows, strict=False):
        normalised, pa, shares = [], [], []
        for named in networks:
            table = named.network.tables[group]
            own = table.receptor == receptor
            weight = table.weight[own]
            scale = named.network.voltage_scale_mv[table.post[own]]
            shares.append(f"{named.label}: {np.mean(weight == 0):.1%} zero" if own.any() else "")
            normalised.append(_finite(weight[weight != 0]))
            with np.errstate(over="ignore", invalid="ignore"):
                pa.append(_finite((weight * scale)[weight != 0]))
        for column, (values, unit) in enumerate(((normalised, "normalised"), (pa, "pA"))):
            _linear(line[2 * column], values, unit)
            _logarithmic(line[2 * column + 1], values, unit)
        name = networks[0].network.receptors.names[receptor].replace("_", " ")
        line[0].set_ylabel(f"{name_of(group)}\n{name}", color=_INK, fontsize=9)
        line[0].set_title("; ".join(shares), fontsize=8, color=_FAINT, loc="left")
    if len(networks) > 1 and rows:
        handles = [
            axes[0, 0].plot([], [], color=c, label=named.label)[0]
            for c, named in zip(_COLOURS, networks, strict=False)
        ]
        axes[0, -1].legend(handles=handles, fontsize=8, frameon=False)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_FAINT, labelcolor=_INK, labelsize=8, length=3)


def _linear(axes: Axes, values: list[F64], unit: str) -> None:
    _plain(axes)
    axes.set_xlabel(f"weight, {unit}", fontsize=8, color=_INK)
    together = np.concatenate(values)
    if not together.size:
        return
    half = (100 - _SHOWN_PERCENT) / 2
    low, high = np.percentile(together, [half, 100 - half])
    edges = np.linspace(min(low, 0), max(high, 0) or 1e-12, _N_BINS + 1)
    for own, colour in zip(values, _COLOURS, strict=False):
        axes.stairs(np.histogram(own, edges)[0], edges, color=colour, fill=own is values[0],
                    alpha=0.55 if own is values[0] else 1.0)  # fmt: skip


def _logarithmic(axes: Axes, values: list[F64], unit: str) -> None:
    _plain(axes)
    axes.set_xlabel(f"|weight|, {unit}", fontsize=8, color=_INK)
    axes.set_xscale("log")
    sizes = [np.abs(own) for own in values]
    together = np.concatenate(sizes)
    if not together.size:
        return
    low, high = max(float(together.min()), float(together.max()) * 1e-8), float(together.max())
    edges = np.geomspace(low, max(high, low * 1.01), _N_BINS + 1)
    for own, colour in zip(sizes, _COLOURS, strict=False):
        axes.stairs(np.histogram(own, edges)[0], edges, color=colour, fill=own is sizes[0],
                    alpha=0.55 if own is sizes[0] else 1.0)  # fmt: skip


# --- class pairs ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _PairMaps:
    """By source class (the LGN first) and target class; NaN where there are no synapses."""

    mean_normalised: F64
    mean_pa: F64
    count: F64
    zero: F64


def _pair_maps(network: NetworkModel, classes: CellClasses) -> _PairMaps:
    n = len(classes.names)
    sums = np.zeros((4, (n + 1) * n))
    for name, table in network.tables_of("recurrent", "lgn", "other").items():
        source = np.zeros(len(table), dtype=np.int64)
        if network.role(name) == "recurrent":
            source += classes.of_neuron[table.pre] + np.int64(1)
        pair = source * n + classes.of_neuron[table.post]
        weight = np.nan_to_num(table.weight.astype(np.float64), posinf=0.0, neginf=0.0)
        pa = weight * network.voltage_scale_mv[table.post]
        for row, values in enumerate((None, weight, pa, (table.weight == 0).astype(np.float64))):
            sums[row] += np.bincount(pair, weights=values, minlength=sums.shape[1])
    count = np.where(sums[0] > 0, sums[0], np.nan).reshape(n + 1, n)
    means = [row.reshape(n + 1, n) / count for row in sums[1:]]
    return _PairMaps(means[0], means[1], count, means[2])


def class_pair_maps(networks: list[LabelledNetwork]) -> Figure:
    """Mean weight (normalised, pA), count and share of zeros of every class pair.

    One row a network; a third row has the first minus the second.
    """
    classes = cell_classes(networks[0].network)
    maps = [_pair_maps(named.network, classes) for named in networks]
    names = [named.label for named in networks]
    n_rows = len(maps) + (len(maps) > 1)
    size = 0.17 * len(classes.names) + 1.6
    figure = _figure(15, n_rows * size)
    axes = figure.subplots(n_rows, 4, squeeze=False)
    for line, label, held in zip(axes, names, maps, strict=False):
        _signed(line[0], held.mean_normalised, f"{label}: mean weight, normalised")
        _signed(line[1], held.mean_pa, f"{label}: mean weight, pA")
        image = line[2].imshow(held.count, cmap="viridis", norm=LogNorm(), aspect="auto")
        _finish(line[2], image, f"{label}: synapses")
        highest = max(float(np.nanmax(held.zero)), 0.01)
        image = line[3].imshow(held.zero, cmap="magma", vmin=0, vmax=highest, aspect="auto")
        _finish(line[3], image, f"{label}: share exactly zero")
    if len(maps) > 1:
        a, b = maps
        title = f"{names[0]} - {names[1]}"
        for axis, before, after in (
            (axes[-1, 0], b.mean_normalised, a.mean_normalised),
            (axes[-1, 1], b.mean_pa, a.mean_pa),
            (axes[-1, 2], b.count, a.count),
            (axes[-1, 3], b.zero, a.zero),
        ):
            _signed(axis, after - before, title)
    labels = ["LGN", *classes.names]
    for axis in axes.ravel():
        axis.set_xticks(range(len(classes.names)), classes.names, rotation=90, fontsize=6.5)
        axis.set_yticks(range(len(labels)), labels, fontsize=6.5)
    for line in axes:
        line[0].set_ylabel("source", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("target", fontsize=8)
    return figure


def _signed(axes: Axes, values: F64, title: str) -> None:
    """A map in which white is zero and a few extremes do not bleach the rest."""
    finite = np.abs(values[np.isfinite(values)])
    limit = float(np.percentile(finite, 97)) if finite.size else 1.0
    limit = limit or float(finite.max(initial=0.0)) or 1.0
    norm = TwoSlopeNorm(0.0, -limit, limit)
    _finish(axes, axes.imshow(values, cmap="RdBu_r", norm=norm, aspect="auto"), title)


def _finish(axes: Axes, image: object, title: str) -> None:
    axes.set_title(title, fontsize=8.5, color=_INK)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)  # type: ignore[arg-type]
    bar.ax.tick_params(labelsize=7)


def before_and_after(network: LabelledNetwork, other: LabelledNetwork) -> Figure | None:
    """Each weight before (horizontal) and after, counted; None where no synapses match."""
    panels = []
    for group, after in network.network.tables_of("recurrent", "lgn", "other").items():
        before = other.network.tables[group]
        row_before, row_after = match_synapses(before, after)
        x, y = before.weight[row_before], after.weight[row_after]
        good = np.isfinite(x) & np.isfinite(y)
        for receptor, name in enumerate(network.network.receptors.names):
            own = good & (after.receptor[row_after] == receptor)
            if own.any():
                title = f"{network.network.source.name_of(group)}, {name}"
                panels.append((title.replace("_", " "), x[own], y[own]))
    if not panels:
        return None
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    figure = _figure(4.6 * n_columns, 4.0 * n_rows)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    half = (100 - _SHOWN_PERCENT) / 2
    for axis, (title, x, y) in zip(axes, panels, strict=False):
        low, high = np.percentile(np.concatenate([x, y]), [half, 100 - half])
        edges = np.linspace(min(low, 0), max(high, 0) or 1e-12, 121)
        counts = np.histogram2d(x, y, bins=(edges, edges))[0]
        image = axis.pcolormesh(
            edges, edges, np.where(counts, counts, np.nan).T, norm=LogNorm(), cmap="viridis"
        )
        axis.plot(edges[[0, -1]], edges[[0, -1]], color=_FAINT, linewidth=0.8)
        _plain(axis)
        _finish(axis, image, title)
        axis.set_xlabel(f"{other.label}, normalised", fontsize=8)
        axis.set_ylabel(f"{network.label}, normalised", fontsize=8)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure
