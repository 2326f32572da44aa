"""Draw docs/images/directions.png: gratings by direction, as they are on the screen.

usage: python docs/images/make_directions.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from v1sim.stimulus.gratings import Grating, grating_movie

LATER_MS = 125  # a quarter of a period of 2 Hz


def draw() -> Figure:
    """The figure."""
    figure = Figure(figsize=(12, 3.5), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    for column, direction in enumerate(np.arange(8) * 45.0):
        movie = grating_movie(Grating(direction, grey_ms=0.0, grating_ms=200.0))
        for row, step in enumerate((0, LATER_MS)):
            axes = figure.add_axes((0.045 + column * 0.119, 0.5 - row * 0.37, 0.112, 0.34))
            axes.imshow(movie[step], cmap="gray", vmin=-1, vmax=1)
            axes.set_xticks([0, 119] if not column and row else [])
            axes.set_yticks([0, 79] if not column and row else [])
            axes.tick_params(labelsize=7, length=2)
            angle = np.deg2rad(direction)
            # Along the direction on the screen, where y counts down.
            axes.annotate(
                "",
                xy=(59.5 + 26 * np.cos(angle), 39.5 - 26 * np.sin(angle)),
                xytext=(59.5 - 26 * np.cos(angle), 39.5 + 26 * np.sin(angle)),
                arrowprops={"color": "#e4572e", "width": 3, "headwidth": 11, "headlength": 10},
            )
            if not row:
                axes.set_title(f"{direction:g}°", fontsize=11, fontweight="bold", pad=4)
            if not column:
                axes.set_ylabel("onset" if not row else f"{LATER_MS} ms later", fontsize=9)
    figure.text(
        0.045, 0.94, "directions_deg: where the bars move to on the screen", fontsize=12,
        fontweight="bold",
    )  # fmt: skip
    figure.text(
        0.045, 0.035, "x counts to the right, y down: row 0 of a picture is its top. "
        "A static grating of orientation_deg θ looks like one that drifts to θ.", fontsize=9.5,
    )  # fmt: skip
    return figure


if __name__ == "__main__":
    draw().savefig(Path(__file__).parent / "directions.png", metadata={"Software": None})
