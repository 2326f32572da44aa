"""What a run will be shown, on one page: frames, LGN rates over the visual field, spikes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from v1sim.model import LgnCellTable
from v1sim.stimulus.base import Stimulus
from v1sim.stimulus.spikes import LgnSpikes, draw_spikes

__all__ = ["stimulus_figure"]

F32 = NDArray[np.float32]

#: Moments of the first stimulus whose frame and rates are shown.
_N_MOMENTS = 6
#: Stimuli whose picture is shown at most.
_MOST_PICTURES = 24
#: Cells shown in the raster at most; more rows would lie within one pixel.
_MOST_ROWS = 1500

_INK, _SOFT, _WINDOW = "#22252b", "#6b7280", "#f3efe6"
_KINDS = {"ON": "#e4572e", "OFF": "#2a6fdb", "ON and OFF": "#6c5ce7", "LGN": "#6b7280"}


def stimulus_figure(stimulus: Stimulus, *, seed: int, title: str) -> Figure:
    """One page on a stimulus.

    Frames of the first stimulus through its trial, with the rates of ON and of OFF cells
    at their places in the visual field; one frame of each stimulus; spikes of the first
    trial; mean rates of the stimuli. What is not known of a stimulus (frames of given
    probabilities, places of unknown cells) is left out.

    Parameters
    ----------
    stimulus : Stimulus
        What is shown.
    seed : int
        Of the spikes.
    title : str
        First line of the figure.
    """
    strength = stimulus.strength(0)
    rate_hz = _rate_hz(strength, stimulus.dt_ms)
    moments = _moments(stimulus)
    has_picture = stimulus.picture(0, moments[0]) is not None
    kinds = _kinds(stimulus)
    strips: list[tuple[str, float]] = []
    if has_picture:
        strips.append(("frames", 1.0))
    if stimulus.cells is not None:
        strips += [("ON", 1.0), ("OFF", 1.0)]
    n_stimuli = len(set(stimulus.schedule.stimulus_of_trial))
    n_sheet_rows = -(-min(n_stimuli, _MOST_PICTURES) // 8)
    if has_picture and n_stimuli > 1:
        strips.append(("sheet", 0.8 * n_sheet_rows))
    strips.append(("spikes", 2.8))

    heights = [height for _, height in strips]
    figure = Figure(figsize=(14, 1.5 + 1.6 * sum(heights)), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    top = 1 - 0.95 / figure.get_figheight()
    places = figure.add_gridspec(
        len(strips), 1, height_ratios=heights, hspace=0.14, left=0.07, right=0.95, top=top,
        bottom=0.55 / figure.get_figheight(),
    )  # fmt: skip
    for row, (name, _) in enumerate(strips):
        place = places[row, 0]
        if name == "frames":
            _frames(figure, place, stimulus, moments)
        elif name == "sheet":
            _sheet(figure, place, stimulus, n_sheet_rows)
        elif name == "spikes":
            _spikes(figure, place, stimulus, strength, rate_hz, kinds, seed)
        elif stimulus.cells is not None:
            _rate_maps(figure, place, stimulus.cells, kinds == name, rate_hz[moments], name)
    inch = 1 / figure.get_figheight()
    figure.text(
        0.07, 1 - 0.3 * inch, title, fontsize=14, fontweight="bold", color=_INK, va="center"
    )
    figure.text(0.07, 1 - 0.56 * inch, _subtitle(stimulus), fontsize=9.5, color=_SOFT)
    return figure


def _rate_hz(strength: F32, dt_ms: float) -> F32:
    """Rate of a Poisson process; certain spikes count one a step."""
    rate_hz: F32 = -np.log1p(-np.minimum(strength, 1 - np.exp(-1))) * np.float32(1000.0 / dt_ms)
    return rate_hz


def _kinds(stimulus: Stimulus) -> NDArray[np.str_]:
    """ON, OFF or both for each cell."""
    if stimulus.cells is None:
        return np.full(stimulus.n_lgn, "LGN")
    model = stimulus.cells.model_id
    both = np.char.endswith(model, "_001")
    on = np.char.find(model, "ON") >= 0
    return np.where(both, "ON and OFF", np.where(on, "ON", "OFF"))


def _moments(stimulus: Stimulus) -> list[int]:
    """Steps that are shown: the first before the window where there is one, the others in it."""
    trial = stimulus.trials[0]
    start, stop = (round(time_ms / stimulus.dt_ms) for time_ms in trial.window_ms)
    # Not spaced by a fifth of the window, in which the usual grating has five periods.
    inside = start + np.linspace(0.04, 0.98, _N_MOMENTS - (start > 0)) * (stop - start)
    return ([start // 2] if start else []) + inside.astype(int).tolist()


def _subtitle(stimulus: Stimulus) -> str:
    n_stimuli = len(set(stimulus.schedule.stimulus_of_trial))
    n_trials, first = len(stimulus.trials), stimulus.trials[0]
    return (
        f"{stimulus.n_lgn:,} LGN cells; {n_stimuli} stimul{'i' if n_stimuli > 1 else 'us'}, "
        f"{n_trials} trial{'s' if n_trials > 1 else ''} of {first.duration_ms:g} ms, analysed from "
        f"{first.window_ms[0]:g} to {first.window_ms[1]:g} ms"
    )


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#c9ccd2")


def _note(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=8.5, color=_SOFT, pad=3)


def _side(axes: Axes, text: str) -> None:
    axes.set_ylabel(text, fontsize=9.5, color=_INK, fontweight="bold", labelpad=8)


def _picture(axes: Axes, frame: F32 | None) -> None:
    assert frame is not None  # asked for where there is one
    axes.imshow(frame, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    _bare(axes)


def _seen_part(cells: LgnCellTable) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of where the cells lie in the field, with a margin."""
    width, height = cells.field_deg
    margin = 2.0
    return (
        max(0.0, float(cells.x_deg.min()) - margin),
        min(width, float(cells.x_deg.max()) + margin),
        max(0.0, float(cells.y_deg.min()) - margin),
        min(height, float(cells.y_deg.max()) + margin),
    )


def _frames(figure: Figure, place: SubplotSpec, stimulus: Stimulus, moments: Sequence[int]) -> None:
    """The first stimulus through its trial; a frame around the part where the cells lie."""
    columns = place.subgridspec(1, _N_MOMENTS, wspace=0.06)
    for column, step in enumerate(moments):
        axes = figure.add_subplot(columns[0, column])
        _picture(axes, stimulus.picture(stimulus.schedule.stimulus_of_trial[0], step))
        if stimulus.cells is not None:
            left, right, top, bottom = _seen_part(stimulus.cells)
            axes.add_patch(
                Rectangle(
                    (left - 0.5, top - 0.5),
                    right - left,
                    bottom - top,
                    facecolor="none",
                    edgecolor="#ffb000",
                    linewidth=1.2,
                )
            )
        _note(axes, f"{step * stimulus.dt_ms:g} ms")
        if not column:
            _side(axes, "on the screen")


def _rate_maps(
    figure: Figure,
    place: SubplotSpec,
    cells: LgnCellTable,
    chosen: NDArray[np.bool_],
    rate_hz: F32,
    kind: str,
) -> None:
    """Cells of one kind at their places, coloured by rate; y counts down like a picture's rows.

    ``rate_hz`` is (moments, cells).
    """
    n_chosen = int(chosen.sum())
    highest = float(np.percentile(rate_hz[:, chosen], 99.5)) if n_chosen else 1.0
    size = float(np.clip(9000.0 / max(n_chosen, 1), 1.2, 30.0))
    left, right, top, bottom = _seen_part(cells)
    columns = place.subgridspec(1, _N_MOMENTS, wspace=0.06)
    for column, rate in enumerate(rate_hz):
        axes = figure.add_subplot(columns[0, column])
        dots = axes.scatter(
            cells.x_deg[chosen],
            cells.y_deg[chosen],
            c=rate[chosen],
            s=size,
            cmap="magma",
            vmin=0,
            vmax=max(highest, 1.0),
            linewidths=0,
            rasterized=True,
        )
        axes.set_facecolor("black")
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        _bare(axes)
        if not column:
            _side(axes, f"{kind} cells")
        if column == _N_MOMENTS - 1:
            bar = figure.colorbar(dots, cax=axes.inset_axes((1.03, 0.0, 0.04, 1.0)))
            bar.ax.tick_params(labelsize=7.5, labelcolor=_INK, length=2)
            bar.set_label("Hz", fontsize=8.5, color=_INK)


def _sheet(figure: Figure, place: SubplotSpec, stimulus: Stimulus, n_rows: int) -> None:
    """One frame of each stimulus."""
    first = np.unique(stimulus.schedule.stimulus_of_trial, return_index=True)[1]
    shown = [stimulus.trials[index] for index in first[:_MOST_PICTURES]]
    varying = {
        key
        for trial in shown
        for key, value in trial.stimulus.items()
        if value != shown[0].stimulus.get(key)
    }
    places = place.subgridspec(n_rows, 8, wspace=0.06, hspace=0.3)
    for number, trial in enumerate(shown):
        axes = figure.add_subplot(places[divmod(number, 8)])
        start, stop = trial.window_ms
        step = int((start + stop) / 2 / stimulus.dt_ms)
        _picture(axes, stimulus.picture(stimulus.schedule.stimulus_of_trial[trial.index], step))
        values = [
            f"{value:g}" if isinstance(value, int | float) else str(value)
            for key, value in trial.stimulus.items()
            if key in varying
        ]
        _note(axes, ", ".join(values)[:24])
        if not number:
            _side(axes, "stimuli")


def _spikes(
    figure: Figure,
    place: SubplotSpec,
    stimulus: Stimulus,
    strength: F32,
    rate_hz: F32,
    kinds: NDArray[np.str_],
    seed: int,
) -> None:
    """Raster of the first trial by kind, and the mean rate of each kind below."""
    trial, dt_ms = stimulus.trials[0], stimulus.dt_ms
    places = place.subgridspec(2, 1, height_ratios=(2, 1), hspace=0.16)
    raster, rates = figure.add_subplot(places[0, 0]), figure.add_subplot(places[1, 0])
    order = np.argsort(kinds, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(len(order), _MOST_ROWS)).astype(np.intp)]
    row = np.full(len(order), -1)
    row[shown] = np.arange(len(shown))
    drawn = stimulus.input(trial.index, seed)
    if not isinstance(drawn, LgnSpikes):
        drawn = draw_spikes(np.minimum(strength, 1), seed, trial.index)  # numbers may exceed 1
    seen = row[drawn.source] >= 0
    colour = np.array([_KINDS[kind] for kind in kinds.tolist()])
    raster.scatter(
        drawn.step[seen] * dt_ms,
        row[drawn.source[seen]],
        c=colour[drawn.source[seen]],
        s=1.5,
        linewidths=0,
        rasterized=True,
    )
    raster.set_ylim(len(shown), -1)
    raster.tick_params(labelbottom=False)
    raster.set_yticks([])
    what = "analog input, as spikes, " if stimulus.analog else "spikes "
    _side(raster, f"{what}of {len(shown):,} cells")
    time_ms = np.arange(len(rate_hz)) * dt_ms
    for kind in np.unique(kinds).tolist():
        members = kinds == kind
        rates.plot(
            time_ms,
            rate_hz[:, members].mean(axis=1),
            color=_KINDS[kind],
            linewidth=1.3,
            label=f"{kind} ({members.sum():,})",
        )
    rates.set_ylim(bottom=0)
    rates.set_xlabel("time in trial, ms", fontsize=9, color=_INK)
    _side(rates, "mean rate, Hz")
    rates.legend(
        fontsize=8.5,
        ncols=3,
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1.0, 0.97),
        labelcolor=_INK,
        borderpad=0.1,
    )
    for axes in (raster, rates):
        axes.axvspan(*trial.window_ms, color=_WINDOW, linewidth=0, zorder=0)
        axes.set_xlim(0, trial.duration_ms)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8.5, labelcolor=_INK, colors=_SOFT, length=3)
