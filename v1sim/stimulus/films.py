"""What is on the screen over a trial, and what LGN cells answer to it.

- `Film`: frames and how long each is shown; `grey`, `still`, `movie` and `joined` make them
- `film_presentation`: several films, each shown several times
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from v1sim import __version__
from v1sim.digests import array_sha256
from v1sim.model import LgnCellTable
from v1sim.stimulus.lgn import DT_MS, cells_sha256, lgn_filters, rates_of_movie
from v1sim.stimulus.presentation import Presentation, repeated_trials
from v1sim.stimulus.spikes import probability_of_rate

__all__ = ["Film", "film_presentation", "grey", "joined", "movie", "still"]

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Film:
    """Frames and how long they are shown.

    ``frame`` (f, height, width) is luminance around grey, -1 to 1; ``steps`` (f,) is
    for how many steps of `DT_MS` each frame is shown.
    """

    frame: F32
    steps: NDArray[np.intp]

    def __post_init__(self) -> None:
        self.frame.flags.writeable = False
        self.steps.flags.writeable = False

    @property
    def n_steps(self) -> int:
        """Steps of the whole film."""
        return int(self.steps.sum())

    def at(self, step: int) -> F32:
        """The frame that is shown in a step, shape (height, width)."""
        frame: F32 = self.frame[np.searchsorted(np.cumsum(self.steps), step, side="right")]
        return frame

    def cut(self, n_steps: int) -> Film:
        """The first steps of the film."""
        stop = np.minimum(np.cumsum(self.steps), n_steps)
        steps = np.diff(stop, prepend=0)
        return Film(self.frame[steps > 0], steps[steps > 0])


def still(image: F32, n_steps: int) -> Film:
    """One image."""
    return Film(image[np.newaxis], np.array([n_steps], dtype=np.intp))


def grey(field_px: tuple[int, int], n_steps: int) -> Film:
    """Nothing to see on a field of (width, height)."""
    width, height = field_px
    return still(np.zeros((height, width), dtype=np.float32), n_steps)


def movie(frame: F32, frame_rate_hz: float) -> Film:
    """Frames that follow each other at a rate: frame i from the step nearest to i / rate on."""
    per_frame = 1000.0 / frame_rate_hz / DT_MS
    onset = np.rint(np.arange(len(frame) + 1) * per_frame).astype(np.intp)
    return Film(frame, np.diff(onset))


def joined(films: Sequence[Film]) -> Film:
    """One film after the other."""
    shown = [film for film in films if film.n_steps]
    return Film(
        np.concatenate([film.frame for film in shown]),
        np.concatenate([film.steps for film in shown]),
    )


def film_presentation(
    cells: LgnCellTable,
    films: Sequence[Film],
    stimuli: Sequence[Mapping[str, float | int | str]],
    *,
    repeats: int,
    window_ms: tuple[float, float],
) -> Presentation:
    """Films of equal length, each shown several times.

    Parameters
    ----------
    cells : LgnCellTable
        The cells that see them, after a long time of grey.
    films : sequence of Film
        Each is one stimulus.
    stimuli : sequence of mapping
        What the trials of each film carry, beside ``repeat``.
    repeats : int
        Trials of each.
    window_ms : (float, float)
        Part of each trial that analyses read.

    Raises
    ------
    StimulusError
        If there are no films, or the cells have no filters.
    """
    trials, stimulus_of_trial = repeated_trials(
        stimuli,
        repeats=repeats,
        duration_ms=films[0].n_steps * DT_MS if films else 0.0,
        window_ms=window_ms,
        where="films",
    )
    filters = cache(lambda: lgn_filters(cells))
    digest = cache(lambda: cells_sha256(cells))

    def load(stimulus: int) -> F32:
        film = films[stimulus]
        return probability_of_rate(rates_of_movie(filters(), film.frame, film.steps), DT_MS)

    def key(stimulus: int) -> str:
        film = films[stimulus]
        text = f"{digest()} {array_sha256(film.frame)} {array_sha256(film.steps)} {__version__}"
        return hashlib.sha256(text.encode()).hexdigest()

    return Presentation(
        len(cells),
        DT_MS,
        trials,
        stimulus_of_trial,
        load,
        key,
        picture=lambda stimulus, step: films[stimulus].at(step),
        cells=cells,
    )
