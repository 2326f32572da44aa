"""What is on the screen over a trial, and what LGN cells answer to it.

- `Film`: frames and how long each is shown; `grey`, `still`, `movie` and `joined` make them
- `FilmStimulus`: several films, each shown several times
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from v1sim import __version__
from v1sim.digests import array_sha256
from v1sim.errors import StimulusError
from v1sim.model import LgnCellTable, Presentation
from v1sim.stimulus.drawn import DrawnStimulus
from v1sim.stimulus.lgn import LgnFilters, cells_sha256, lgn_filters, rates_of_movie
from v1sim.stimulus.spikes import probability_of_rate
from v1sim.stimulus.trials import repeated_trials
from v1sim.units import MODEL_STEP_MS

__all__ = [
    "Film",
    "FilmStimulus",
    "between_grey",
    "full_field",
    "grey",
    "joined",
    "movie",
    "still",
    "timed",
    "to_steps",
]

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Film:
    """Frames and how long they are shown.

    ``frame`` (f, height, width) is luminance around grey, -1 to 1; ``steps`` (f,) is
    for how many steps of `MODEL_STEP_MS` each frame is shown.
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


def to_steps(time_ms: float) -> int:
    """A time in whole steps."""
    return round(time_ms / MODEL_STEP_MS)


def full_field(luminance: float, field_px: tuple[int, int]) -> F32:
    """An image of one luminance on a field of (width, height)."""
    return np.full(field_px[::-1], luminance, dtype=np.float32)


def still(image: F32, n_steps: int) -> Film:
    """One image."""
    return Film(image[np.newaxis], np.array([n_steps], dtype=np.intp))


def grey(field_px: tuple[int, int], n_steps: int) -> Film:
    """Nothing to see on a field of (width, height)."""
    width, height = field_px
    return still(np.zeros((height, width), dtype=np.float32), n_steps)


def movie(frame: F32, frame_rate_hz: float) -> Film:
    """Frames that follow each other at a rate: frame i from the step nearest to i / rate on."""
    return timed(frame, np.full(len(frame), 1000.0 / frame_rate_hz))


def timed(frame: F32, duration_ms: NDArray[np.float64]) -> Film:
    """Frames that are shown for ``duration_ms`` (f,) each, from the nearest step on.

    Raises
    ------
    StimulusError
        If a frame would not be shown at all.
    """
    even = len(duration_ms) > 0 and bool((duration_ms == duration_ms[0]).all())
    if even:  # no sum of many roundings
        onset_ms = np.arange(len(frame) + 1) * duration_ms[0]
    else:
        onset_ms = np.concatenate([[0.0], np.cumsum(duration_ms)])
    steps = np.diff(np.rint(onset_ms / MODEL_STEP_MS).astype(np.intp))
    if len(steps) and steps.min() < 1:
        n_lost = int(np.count_nonzero(steps < 1))
        raise StimulusError(
            f"{n_lost} of {len(steps)} frames are shorter than a step of {MODEL_STEP_MS:g} ms",
            where="movie",
            expected="at most 1000 frames a second",
            hint="--set stimulus.frame_rate_hz=1000, or leave frames out",
        )
    return Film(frame, steps)


def joined(films: Sequence[Film]) -> Film:
    """One film after the other."""
    shown = [film for film in films if film.n_steps]
    return Film(
        np.concatenate([film.frame for film in shown]),
        np.concatenate([film.steps for film in shown]),
    )


def between_grey(image: F32, times_ms: tuple[float, float, float]) -> Film:
    """An image after and before grey, each for its time."""
    nothing = np.zeros_like(image)
    return joined(
        [
            still(frame, to_steps(time_ms))
            for frame, time_ms in zip((nothing, image, nothing), times_ms, strict=True)
        ]
    )


class FilmStimulus(DrawnStimulus):
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
    shown : sequence of sequences of Presentation, optional
        What each film shows when.
    remarks : sequence of str
        What is to be known of the films.

    Raises
    ------
    StimulusError
        If there are no films, or the cells have no filters.
    """

    def __init__(
        self,
        cells: LgnCellTable,
        films: Sequence[Film],
        stimuli: Sequence[Mapping[str, float | int | str]],
        *,
        repeats: int,
        window_ms: tuple[float, float],
        shown: Sequence[Sequence[Presentation]] = (),
        remarks: Sequence[str] = (),
    ) -> None:
        schedule = repeated_trials(
            stimuli,
            repeats=repeats,
            duration_ms=films[0].n_steps * MODEL_STEP_MS if films else 0.0,
            window_ms=window_ms,
            shown=shown,
            where="films",
        )
        super().__init__(len(cells), schedule, cells=cells)
        self._table = cells
        self._films = films
        self._remarks = tuple(remarks)

    @cached_property
    def _filters(self) -> LgnFilters:
        return lgn_filters(self._table)

    @cached_property
    def _cells_sha256(self) -> str:
        return cells_sha256(self._table)

    def load(self, stimulus: int) -> F32:
        """What the cells answer to a film."""
        film = self._films[stimulus]
        return probability_of_rate(
            rates_of_movie(self._filters, film.frame, film.steps), MODEL_STEP_MS
        )

    def key(self, stimulus: int) -> str:
        """Digest of cells and frames."""
        film = self._films[stimulus]
        frames, steps = array_sha256(film.frame), array_sha256(film.steps)
        text = f"{self._cells_sha256} {frames} {steps} {__version__}"
        return hashlib.sha256(text.encode()).hexdigest()

    def picture(self, stimulus: int, step: int) -> F32:
        """The frame that is shown."""
        return self._films[stimulus].at(step)

    def remarks(self) -> tuple[str, ...]:
        """What is to be known of the films."""
        return self._remarks
