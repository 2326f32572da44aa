"""Several things in one trial, with grey between them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from v1sim.config_section import DurationMs, InputFile, Section, TimeMs, WindowMs
from v1sim.errors import StimulusError
from v1sim.model import LgnCellTable, Presentation
from v1sim.stimulus import films
from v1sim.stimulus.films import Film, FilmStimulus
from v1sim.stimulus.gratings import Grating, grating_movie
from v1sim.stimulus.pictures import read_images, read_movie
from v1sim.stimulus.visual import (
    Contrast,
    DirectionDeg,
    FrameRateHz,
    Luminance,
    NotEmpty,
    SpatialFrequency,
    TemporalFrequency,
    VisualStimulus,
    field_px,
)
from v1sim.units import MODEL_STEP_MS

__all__ = ["FlashPart", "GratingPart", "ImagePart", "MoviePart", "StimulusSequence"]


class _Part(Section):
    onset_ms: TimeMs
    duration_ms: DurationMs

    @property
    def presentation(self) -> Presentation:
        """What it shows when, in words and numbers."""
        kind, values = self._shown()
        return Presentation(self.onset_ms, self.onset_ms + self.duration_ms, kind, values)

    @abstractmethod
    def _shown(self) -> tuple[str, Mapping[str, float | int | str]]:
        """Kind and values of the `Presentation`."""


class GratingPart(_Part):
    """A grating; a temporal frequency of 0 stands still."""

    show: Literal["grating"]
    direction_deg: DirectionDeg = 0.0
    temporal_frequency_hz: TemporalFrequency = 2.0
    spatial_frequency_cpd: SpatialFrequency = 0.04
    contrast: Contrast = 0.8
    phase_deg: DirectionDeg = 0.0

    @property
    def grating(self) -> Grating:
        """The grating, without grey before it."""
        return Grating(
            self.direction_deg,
            self.temporal_frequency_hz,
            self.spatial_frequency_cpd,
            self.contrast,
            grey_ms=0.0,
            grating_ms=self.duration_ms,
            phase_deg=self.phase_deg,
        )

    def _shown(self) -> tuple[str, Mapping[str, float | int | str]]:
        shown = self.grating.presentation(self.onset_ms)
        return shown.kind, shown.values

    def film(self, screen: tuple[int, int]) -> Film:
        """What is seen on a screen of (width, height)."""
        return films.movie(grating_movie(self.grating, screen), 1000.0 / MODEL_STEP_MS)


class FlashPart(_Part):
    """The whole field at one luminance."""

    show: Literal["flash"]
    luminance: Luminance = 1.0

    def _shown(self) -> tuple[str, Mapping[str, float | int | str]]:
        return "flash", {"luminance": self.luminance}

    def film(self, screen: tuple[int, int]) -> Film:
        """What is seen on a screen of (width, height)."""
        image = films.full_field(self.luminance, screen)
        return films.still(image, films.to_steps(self.duration_ms))


class ImagePart(_Part):
    """An image file."""

    show: Literal["image"]
    file: InputFile

    def _shown(self) -> tuple[str, Mapping[str, float | int | str]]:
        return "image", {"file": self.file.name}

    def film(self, screen: tuple[int, int]) -> Film:
        """What is seen on a screen of (width, height)."""
        (image,) = read_images([self.file], screen)
        return films.still(image.frame[0], films.to_steps(self.duration_ms))


class MoviePart(_Part):
    """The first ``duration_ms`` of a movie file."""

    show: Literal["movie"]
    file: InputFile
    frame_rate_hz: FrameRateHz | None = None

    def _shown(self) -> tuple[str, Mapping[str, float | int | str]]:
        return "movie", {"file": self.file.name}

    def film(self, screen: tuple[int, int]) -> Film:
        """What is seen on a screen of (width, height)."""
        movie = read_movie(self.file, screen, self.frame_rate_hz)
        film = films.timed(movie.frame, movie.duration_ms)
        n_steps = films.to_steps(self.duration_ms)
        if film.n_steps < n_steps:
            raise StimulusError(
                f"the movie ends after {film.n_steps * MODEL_STEP_MS:g} ms",
                where=str(self.file),
                expected=f"{self.duration_ms:g} ms, the duration_ms of its part",
            )
        return film.cut(n_steps)


_SequencePart = Annotated[
    GratingPart | FlashPart | ImagePart | MoviePart, Field(discriminator="show")
]


class StimulusSequence(VisualStimulus):
    """Several stimuli in one trial, each from its onset on; grey where there is none."""

    kind: Literal["sequence"]
    duration_ms: DurationMs
    parts: Annotated[tuple[_SequencePart, ...], NotEmpty]
    window_ms: WindowMs | None = None

    @model_validator(mode="after")
    def _one_after_the_other(self) -> StimulusSequence:
        free_ms = 0.0
        for index, part in enumerate(self.parts):
            if part.onset_ms < free_ms:
                msg = (
                    f"parts[{index}] begins at {part.onset_ms:g} ms, before the one listed "
                    f"before it ends ({free_ms:g} ms)"
                )
                raise ValueError(msg)
            free_ms = part.onset_ms + part.duration_ms
        if free_ms > self.duration_ms:
            msg = f"the last part ends at {free_ms:g} ms, after duration_ms"
            raise ValueError(msg)
        return self

    def seen_by(self, cells: LgnCellTable) -> FilmStimulus:
        """One film; analyses read from the first onset on."""
        return FilmStimulus(
            cells,
            [self._film(field_px(cells))],
            [{"parts": len(self.parts)}],
            repeats=self.trials,
            window_ms=self.window_ms or (self.parts[0].onset_ms, self.duration_ms),
            shown=[[part.presentation for part in self.parts]],
        )

    def _film(self, screen: tuple[int, int]) -> Film:
        """The parts at their onsets, grey where there is none."""
        pieces, now_ms = [], 0.0
        for part in self.parts:
            pieces.append(films.grey(screen, films.to_steps(part.onset_ms - now_ms)))
            pieces.append(part.film(screen))
            now_ms = part.onset_ms + part.duration_ms
        pieces.append(films.grey(screen, films.to_steps(self.duration_ms - now_ms)))
        return films.joined(pieces)
