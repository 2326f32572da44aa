"""The summary figure of a run, made without pyplot and its global state."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.gridspec import SubplotSpec
from matplotlib.text import Text
from numpy.typing import NDArray

from v1sim.analysis.rates import population_rate_hz
from v1sim.analysis.readout import Classification
from v1sim.analysis.results import ClassResult, Results
from v1sim.analysis.tuning import DirectionTuning, published_tuning
from v1sim.cell_classes import LAYER_TOP_UM, CellClasses
from v1sim.errors import OutputError
from v1sim.model import Trial
from v1sim.output import replacing
from v1sim.printable import printable
from v1sim.recording import Recording

__all__ = [
    "MAX_RASTER_ROWS",
    "ShownFigure",
    "find_fonts",
    "save_figure",
    "save_png",
    "summary_figure",
    "to_png",
]

F64 = NDArray[np.float64]

#: Neurons shown in the raster at most; more rows would lie within one pixel.
MAX_RASTER_ROWS = 3000
#: Neurons of a class shown as dots beside its box at most.
_MAX_DOTS = 250

_EXCITATORY = {"23": "#f4a259", "4": "#e4572e", "5": "#b5179e", "6": "#7a1f3d"}
_INHIBITORY = {"Pvalb": "#2a6fdb", "Sst": "#17a398", "Vip": "#6c5ce7", "Htr3a": "#8a94a6"}
_OTHER_EXCITATORY, _OTHER_INHIBITORY = "#d1495b", "#457b9d"
_INK, _FAINT, _LGN = "#22252b", "#8b9099", "#6b7280"
_WINDOW = "#f3efe6"


class ShownFigure(Figure):
    """A figure that a notebook shows though pyplot is not imported."""

    def _repr_png_(self) -> bytes:
        return to_png(self)


@dataclass(frozen=True)
class _Group:
    """Classes that are shown together."""

    label: str
    colour: str
    is_excitatory: bool


def _layer(class_name: str) -> str | None:
    """Layer of a class by its name ("i23Pvalb" -> "23"), None where the name has none."""
    digits = class_name[1:]
    return max((key for key in LAYER_TOP_UM if digits.startswith(key)), key=len, default=None)


def _layer_label(layer: str) -> str:
    return "L2/3" if layer == "23" else f"L{layer}"


def _group(class_name: str, is_excitatory: bool) -> _Group:
    """Excitatory classes by layer, inhibitory ones by their marker."""
    if is_excitatory:
        layer = _layer(class_name)
        if layer is None:
            return _Group("excitatory", _OTHER_EXCITATORY, True)
        colour = _EXCITATORY.get(layer, _OTHER_EXCITATORY)
        return _Group(f"{_layer_label(layer)} excitatory", colour, True)
    for marker, colour in _INHIBITORY.items():
        if class_name.endswith(marker):
            return _Group(marker, colour, False)
    return _Group("inhibitory", _OTHER_INHIBITORY, False)


def _groups(classes: CellClasses) -> tuple[list[_Group], NDArray[np.intp]]:
    """Groups of the classes, excitatory ones first, and the group of each neuron."""
    of_class = [
        _group(name, bool(exc))
        for name, exc in zip(classes.names, classes.is_excitatory, strict=True)
    ]
    present = {of_class[i] for i in np.unique(classes.of_neuron)}
    markers = [*_INHIBITORY, "inhibitory"]
    ordered = sorted(
        present,
        key=lambda g: (0, of_class.index(g)) if g.is_excitatory else (1, markers.index(g.label)),
    )
    index = np.array([ordered.index(g) if g in present else 0 for g in of_class], dtype=np.intp)
    return ordered, index[classes.of_neuron]


def summary_figure(recording: Recording, results: Results, *, title: str = "") -> Figure:
    """One page on a run.

    LGN rate and a raster of the first trial, ordered by layer and class; population
    rates over the trial, averaged over all trials; tuning curves; orientation
    selectivity and rate by class with the published figures. Runs without
    directions leave out what needs them; runs that classify show accuracy against
    window and the decisions there.

    Parameters
    ----------
    recording : Recording
        With at least one trial.
    results : Results
        Those of ``recording``.
    title : str, optional
        First line of the figure.
    """
    names = tuple(map(printable, recording.classes.names))
    recording = replace(recording, classes=replace(recording.classes, names=names))
    rows_by_class = tuple(replace(row, name=printable(row.name)) for row in results.classes)
    results = replace(results, classes=rows_by_class)
    figure = ShownFigure(figsize=(14, 11.5), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    rows = figure.add_gridspec(
        2,
        1,
        height_ratios=(1.75, 1),
        hspace=0.2,
        left=0.065,
        right=0.985,
        top=0.905,
        bottom=0.112,
    )
    upper = rows[0].subgridspec(1, 2, width_ratios=(2.05, 1), wspace=0.2)
    decided = results.classification
    side = upper[1].subgridspec(2 if results.aligned or decided else 1, 1, hspace=0.32)
    lower = rows[1].subgridspec(1, 2 if results.tuning or decided else 1, wspace=0.13)

    _raster(figure, upper[0], recording, recording.trials[0])
    _population_rates(figure.add_subplot(side[0]), recording)
    if results.aligned:
        _tuning_curves(figure.add_subplot(side[1]), recording, results.aligned)
    elif decided:
        _accuracy_curve(figure.add_subplot(side[1]), decided)
    if results.tuning:
        osi_axes = figure.add_subplot(lower[0])
        _osi_by_class(osi_axes, recording, results.classes, results.tuning)
    elif decided:
        _confusion(figure.add_subplot(lower[0]), decided)
    _rate_by_class(figure.add_subplot(lower[-1]), recording, results)

    figure.text(0.065, 0.968, title, fontsize=15, fontweight="bold", color=_INK, va="center")
    figure.text(0.065, 0.942, _subtitle(recording), fontsize=10, color=_LGN, va="center")
    caption = _caption(recording, results)
    figure.text(0.065, 0.012, caption, fontsize=8.5, color=_LGN, va="bottom", linespacing=1.35)
    return figure


def to_png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file; control characters in its text are spelt out."""
    _spell_out(figure)
    content = io.BytesIO()
    # zlib's usual level 6 takes four times as long, for 1 % less.
    settings = {"compress_level": 3}
    figure.savefig(content, format="png", metadata={"Software": None}, pil_kwargs=settings)
    return content.getvalue()


def find_fonts() -> None:
    """Find the fonts of figures; matplotlib looks for them and keeps what it finds in a cache."""
    findfont(FontProperties())


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure in the format that the name's ending says: png, pdf or svg.

    Raises
    ------
    OutputError
        If it is another, or the file cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "pdf", "svg"):
        raise OutputError(
            f"figures are not written as {kind or 'a file without an ending'}",
            where=str(path),
            expected="a name that ends in .png, .pdf or .svg",
        )
    if kind == "png":
        save_png(figure, path)
        return
    _spell_out(figure)
    about = {"Date": None} if kind == "svg" else {"CreationDate": None}  # equal runs, equal files
    with replacing(path) as temporary:
        figure.savefig(temporary, format=kind, metadata=about)


def _spell_out(figure: Figure) -> None:
    """Spell out control characters in the texts of a figure."""
    for text in figure.findobj(Text):
        if (shown := printable(text.get_text())) != text.get_text():
            text.set_text(shown)


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure as PNG.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    content = to_png(figure)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _subtitle(recording: Recording) -> str:
    n_trials = len(recording.trials)
    lgn = "none" if recording.analog_input else f"{len(recording.lgn_spikes):,}"
    return (
        f"{recording.n_neurons:,} neurons, {recording.n_lgn:,} LGN cells, "
        f"{n_trials} trial{'s' if n_trials != 1 else ''}, "
        f"{len(recording.spikes):,} spikes of V1 and {lgn} of the LGN"
    )


def _caption(recording: Recording, results: Results) -> str:
    n = recording.n_neurons
    rows = f"{MAX_RASTER_ROWS:,} of the {n:,}" if n > MAX_RASTER_ROWS else "all"
    parts = [f"Raster: {rows} neurons, by layer and class. Shaded: the window that is analysed."]
    if results.aligned:
        parts.append(
            "Tuning: the preferred direction is that of every second repeat, "
            "the curve that of the others (mean ± s.e.m., colours as above)."
        )
    parts.append(
        "\nBoxes: quartiles and median of neurons that spiked; lines: 5th to 95th percentile."
    )
    if results.classification:
        parts.append("The class whose readout neurons spike most in the window is decided.")
    if results.tuning:
        parts.append(
            "OSI = |Σ r exp(2iθ)| / Σ r."
            + " Published: Billeh et al. 2020, simulated, class of the nearest kind."
            * results.tuning.like_published
        )
    if recording.classes.inferred:
        parts.append("Classes are inferred from depth and sign.")
    return " ".join(parts).replace(" \n", "\n")


def _plain(axes: Axes, *, grid: str | None = "y") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)
    axes.tick_params(colors=_FAINT, labelcolor=_INK, labelsize=8.5, length=3)
    if grid:
        axes.grid(axis=grid, color="#e8e9ec", linewidth=0.7)  # type: ignore[arg-type]
        axes.set_axisbelow(True)


def _heading(axes: Axes, text: str, note: str = "") -> None:
    # A given y spares matplotlib measuring every tick label for where the title goes.
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", color=_INK, pad=7, y=1.0)
    if note:
        axes.set_title(note, loc="right", fontsize=8.5, color=_LGN, pad=7, y=1.0)


def _stimulus_text(trial: Trial) -> str:
    """What a trial showed, in one line."""
    units = {"deg": "°", "hz": " Hz", "cpd": " cycles/°", "ms": " ms"}
    parts = []
    for key, value in trial.stimulus.items():
        name, _, unit = key.rpartition("_")
        known = unit in units
        label = (name if known else key).replace("_", " ")
        shown = f"{value:g}" if isinstance(value, float | int) else value
        parts.append(f"{label} {shown}{units[unit] if known else ''}")
    return ", ".join(parts)


def _rate_bins(recording: Recording) -> float:
    """Width of a bin in ms: about 100 over a trial, whole steps, at least 5 ms."""
    longest_ms = max(trial.duration_ms for trial in recording.trials)
    steps = round(max(longest_ms / 100.0, 5.0) / recording.dt_ms)
    return max(steps, 1) * recording.dt_ms


def _shade_window(axes: Axes, trial: Trial) -> None:
    axes.axvspan(*trial.window_ms, color=_WINDOW, linewidth=0, zorder=0)


def _raster(figure: Figure, place: SubplotSpec, recording: Recording, trial: Trial) -> None:
    """LGN rate over a raster of one trial."""
    places = place.subgridspec(2, 1, height_ratios=(1, 8.5), hspace=0.06)
    strip, axes = figure.add_subplot(places[0]), figure.add_subplot(places[1])
    _shade_window(strip, trial)
    _shade_window(axes, trial)

    if recording.n_lgn and not recording.analog_input:
        start_ms, rate_hz = population_rate_hz(
            recording.lgn_spikes,
            [trial],
            np.zeros(recording.n_lgn, dtype=np.intp),
            1,
            _rate_bins(recording),
        )
        edges = np.append(start_ms, trial.duration_ms)
        strip.stairs(rate_hz[0], edges, fill=True, color=_LGN, alpha=0.75)
    else:
        nothing = "analog input: no spikes" if recording.n_lgn else "no LGN"
        strip.text(0.5, 0.5, nothing, transform=strip.transAxes, ha="center", color=_LGN)
    _plain(strip, grid=None)
    strip.set_xlim(0, trial.duration_ms)
    strip.set_ylim(bottom=0)
    strip.tick_params(labelbottom=False)
    strip.set_ylabel("LGN\nHz", fontsize=8.5, color=_INK, rotation=0, ha="right", va="center")
    _heading(strip, f"Trial {trial.index}", _stimulus_text(trial))

    classes = recording.classes
    order = np.argsort(classes.of_neuron, kind="stable")
    n_rows = min(len(order), MAX_RASTER_ROWS)
    shown = order[np.linspace(0, len(order) - 1, n_rows).round().astype(np.intp)]
    row_of_neuron = np.full(len(order), -1)
    row_of_neuron[shown] = np.arange(n_rows)
    spikes = recording.spikes
    mine = np.flatnonzero(spikes.trial == trial.index)
    mine = mine[row_of_neuron[spikes.neuron[mine]] >= 0]
    groups, group_of_neuron = _groups(classes)
    colours = to_rgba_array([group.colour for group in groups])
    axes.scatter(
        spikes.time_ms[mine],
        row_of_neuron[spikes.neuron[mine]],
        c=colours[group_of_neuron[spikes.neuron[mine]]],
        s=float(np.clip(4000.0 / max(n_rows, 1), 1.3, 7.0)),
        linewidths=0,
        marker="o" if n_rows > 600 else "s",
        rasterized=True,
    )
    _plain(axes, grid=None)
    axes.set_xlim(0, trial.duration_ms)
    axes.set_ylim(n_rows - 0.5, -0.5)
    axes.set_xlabel("time in trial, ms", fontsize=9, color=_INK)
    _label_rows(axes, classes, classes.of_neuron[shown])


def _label_rows(axes: Axes, classes: CellClasses, class_of_row: NDArray[np.uint16]) -> None:
    """Layers on the left, with lines between them; on the right the classes that have room."""
    layers = np.array([_layer(name) or "" for name in classes.names])[class_of_row]
    changes = np.flatnonzero(layers[1:] != layers[:-1]) + 1
    for row in changes:
        axes.axhline(row - 0.5, color="#c9ccd2", linewidth=0.8, zorder=0.5)
    starts = np.concatenate([[0], changes])
    stops = np.append(changes, len(layers))
    ticks = [
        ((start + stop - 1) / 2, _layer_label(layers[start]))
        for start, stop in zip(starts, stops, strict=True)
        if layers[start:stop].size and layers[start]
    ]
    axes.set_yticks([row for row, _ in ticks], [label for _, label in ticks])
    axes.tick_params(axis="y", length=0, labelsize=10.5)
    at_least = 0.024 * len(class_of_row)  # rows that a label of this size covers
    for index in np.unique(class_of_row):
        rows = np.flatnonzero(class_of_row == index)
        if rows.size < at_least:
            continue  # the colour says which it is
        axes.text(
            1.006,
            float(rows.mean()),
            classes.names[index],
            transform=axes.get_yaxis_transform(),
            fontsize=7.5,
            va="center",
            color=_group(classes.names[index], bool(classes.is_excitatory[index])).colour,
        )


def _population_rates(axes: Axes, recording: Recording) -> None:
    groups, group_of_neuron = _groups(recording.classes)
    start_ms, rate_hz = population_rate_hz(
        recording.spikes, recording.trials, group_of_neuron, len(groups), _rate_bins(recording)
    )
    _shade_window(axes, recording.trials[0])
    middle_ms = start_ms + _rate_bins(recording) / 2
    for group, rate in zip(groups, rate_hz, strict=True):
        axes.plot(
            middle_ms,
            rate,
            color=group.colour,
            linewidth=1.5 if group.is_excitatory else 1.1,
            linestyle="-" if group.is_excitatory else (0, (4, 1.2)),
            label=group.label,
        )
    _plain(axes)
    axes.set_xlim(0, max(trial.duration_ms for trial in recording.trials))
    axes.set_xlabel("time in trial, ms", fontsize=9, color=_INK)
    axes.set_ylabel("rate, Hz", fontsize=9, color=_INK)
    n_trials = len(recording.trials)
    _heading(axes, "Population rates", f"mean of {n_trials} trial{'s' if n_trials != 1 else ''}")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.4)  # room for the legend
    axes.legend(
        fontsize=7.5,
        ncols=2,
        loc="upper right",
        frameon=False,
        labelcolor=_INK,
        handlelength=1.8,
        columnspacing=1.0,
        borderpad=0.2,
    )


def _tuning_curves(axes: Axes, recording: Recording, aligned: tuple[F64, F64]) -> None:
    offset_deg, rate_hz = aligned
    half_deg = len(offset_deg) * (offset_deg[1] - offset_deg[0]) / 2  # of the circle
    axis = "direction" if half_deg > 90 else "orientation"
    _heading(axes, f"{axis.capitalize()} tuning", "held-out repeats")
    _plain(axes)
    axes.set_xlabel(f"{axis} from the preferred one, °", fontsize=9, color=_INK)
    axes.set_ylabel("rate, Hz (mean ± s.e.m.)", fontsize=9, color=_INK)
    whole_circle = np.isclose(offset_deg[-1], half_deg)  # then it stands for its negative too
    x = np.concatenate([[-half_deg], offset_deg]) if whole_circle else offset_deg
    groups, group_of_neuron = _groups(recording.classes)
    for index, group in enumerate(groups):
        if not (group.is_excitatory or group.label in ("Pvalb", "inhibitory")):
            continue
        members = rate_hz[:, group_of_neuron == index]
        members = members[:, ~np.isnan(members[0])]
        if not members.size:
            continue
        mean = members.mean(axis=1)
        sem = members.std(axis=1) / np.sqrt(members.shape[1])
        if whole_circle:
            mean, sem = np.append(mean[-1], mean), np.append(sem[-1], sem)
        axes.fill_between(x, mean - sem, mean + sem, color=group.colour, alpha=0.22, linewidth=0)
        axes.plot(
            x,
            mean,
            color=group.colour,
            linewidth=1.6,
            marker="o",
            markersize=3.2,
            linestyle="-" if group.is_excitatory else (0, (4, 1.2)),
        )
    axes.set_xticks(np.linspace(-half_deg, half_deg, 5))
    axes.set_ylim(bottom=0)


def _accuracy_curve(axes: Axes, result: Classification) -> None:
    """Accuracy with the window moved over the trial: a wrong window is seen."""
    _heading(axes, "Accuracy against window")
    start_ms, stop_ms = result.window_ms
    axes.axvspan(start_ms, stop_ms, color=_WINDOW, linewidth=0, zorder=0)
    middle = (stop_ms - start_ms) / 2
    axes.plot(result.curve_start_ms + middle, result.curve_accuracy, color=_INK, linewidth=1.5)
    low, high = result.interval
    axes.errorbar(
        start_ms + middle,
        result.accuracy,
        yerr=[[result.accuracy - low], [high - result.accuracy]],
        color="#d00000",
        marker="o",
        markersize=4,
        capsize=3,
        label=f"{result.accuracy:.2f} in {start_ms:g} to {stop_ms:g} ms",
    )
    axes.axhline(1 / len(result.confusion), color=_FAINT, linestyle=":", label="chance")
    _plain(axes)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("middle of the window, ms", fontsize=9, color=_INK)
    axes.set_ylabel("accuracy", fontsize=9, color=_INK)
    axes.legend(fontsize=7.5, loc="upper left", frameon=False, labelcolor=_INK)


def _confusion(axes: Axes, result: Classification) -> None:
    """Trials by what was shown and decided; counts are written where they have room."""
    n = len(result.confusion)
    axes.imshow(result.confusion, cmap="Blues", aspect="auto", vmin=0)
    _plain(axes, grid=None)
    if n <= 20:
        half = result.confusion.max() / 2
        for shown, decided in np.argwhere(result.confusion):
            count = result.confusion[shown, decided]
            colour = "white" if count > half else _INK
            axes.text(
                decided, shown, str(count), ha="center", va="center", fontsize=8, color=colour
            )
        axes.set_xticks(range(n))
        axes.set_yticks(range(n))
    axes.set_xlabel("decided", fontsize=9, color=_INK)
    axes.set_ylabel("shown", fontsize=9, color=_INK)
    low, high = result.interval
    _heading(axes, "Decisions", f"accuracy {result.accuracy:.2f}, 95 % {low:.2f} to {high:.2f}")


def _by_class(axes: Axes, recording: Recording, rows: Sequence[ClassResult], values: F64) -> None:
    """For each class dots, a box of the quartiles, the median, and 5th to 95th percentiles."""
    of_class = [values[recording.classes.ids(row.name)] for row in rows]
    _dots_and_boxes(
        axes,
        [part[~np.isnan(part)] for part in of_class],
        to_rgba_array([_group(row.name, row.is_excitatory).colour for row in rows]),
    )
    axes.set_xticks(range(len(rows)), [row.name for row in rows], rotation=45, ha="right")
    for label, row in zip(axes.get_xticklabels(), rows, strict=True):
        label.set_color(_group(row.name, row.is_excitatory).colour)
        label.set_rotation_mode("anchor")
    axes.set_xlim(-0.6, len(rows) - 0.4)


def _dots_and_boxes(axes: Axes, values: Sequence[F64], colour: F64) -> None:
    """A column of each of ``values``, all drawn in one go; what has no values has no column."""
    place = np.flatnonzero([part.size for part in values])
    values = [part for part in values if part.size]
    if not values:
        return
    dots = [part[:: -(-part.size // _MAX_DOTS)] for part in values]
    # The golden angle: no two dots of a column lie alike.
    spread = [0.27 * np.sin(np.arange(part.size) * 2.399963) for part in dots]
    of_dot = np.repeat(place, [part.size for part in dots])
    axes.scatter(
        of_dot + np.concatenate(spread),
        np.concatenate(dots),
        s=4,
        color=colour[of_dot],
        alpha=0.28,
        linewidths=0,
        rasterized=True,
    )
    # Axes.boxplot would choose a backend for the whole process.
    quantiles = [np.percentile(part, [5, 25, 50, 75, 95]) for part in values]
    low, first, median, third, high = np.transpose(quantiles)
    edge = colour[place]
    axes.vlines(np.tile(place, 2), [*low, *third], [*first, *high], colors=[*edge, *edge], lw=1.2)
    axes.bar(
        place,
        third - first,
        0.62,
        bottom=first,
        facecolor="none",
        edgecolor=edge,
        linewidth=1.2,
    )
    axes.hlines(median, place - 0.31, place + 0.31, colors=_INK, linewidth=1.8)


def _mark_published(axes: Axes, rows: Sequence[ClassResult], column: str) -> None:
    points = [
        (position, getattr(published, column))
        for position, row in enumerate(rows)
        if (published := published_tuning(row.name)) is not None
    ]
    x, y = np.array(points).reshape(-1, 2).T
    axes.scatter(
        x,
        y,
        marker="D",
        s=30,
        facecolor="white",
        edgecolor=_INK,
        linewidths=1.3,
        zorder=5,
        label="published, nearest class",
    )


def _legend_above(axes: Axes) -> None:
    axes.legend(
        fontsize=8.5,
        ncols=2,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        labelcolor=_LGN,
        borderpad=0.2,
    )


def _osi_by_class(
    axes: Axes, recording: Recording, rows: Sequence[ClassResult], tuning: DirectionTuning
) -> None:
    _by_class(axes, recording, rows, tuning.osi)
    if tuning.like_published:
        _mark_published(axes, rows, "median_osi")
    _plain(axes)
    axes.set_ylim(0, min(1.02, axes.get_ylim()[1]))
    axes.set_ylabel("OSI", fontsize=9, color=_INK)
    _heading(axes, "Orientation selectivity by class")
    if tuning.like_published:
        _legend_above(axes)


def _rate_by_class(axes: Axes, recording: Recording, results: Results) -> None:
    rows = results.classes
    _by_class(axes, recording, rows, np.where(results.rate_hz > 0, results.rate_hz, np.nan))
    mean_hz = np.array([row.mean_rate_hz for row in rows])
    axes.scatter(
        range(len(rows)),
        np.where(mean_hz > 0, mean_hz, np.nan),
        marker="_",
        s=160,
        color="#d00000",
        linewidths=2,
        zorder=4,
        label="mean of all neurons",
    )
    if results.tuning is not None and results.tuning.like_published:
        _mark_published(axes, rows, "mean_rate_hz")
    _plain(axes)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylabel("rate, Hz", fontsize=9, color=_INK)
    _heading(axes, "Rate by class")
    _legend_above(axes)
