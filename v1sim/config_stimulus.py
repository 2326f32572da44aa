"""The part of a run's configuration that says what the network is shown: one class a ``kind``.

Every kind repeats each of its stimuli ``trials`` times. Times are whole milliseconds, luminances
lie around grey, from -1 (black) to 1 (white). docs/stimuli.md describes them all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "DT_MS",
    "DriftingGratings",
    "Flash",
    "FlashPart",
    "GratingPart",
    "Grey",
    "ImagePart",
    "Images",
    "LgnStimulus",
    "Movie",
    "MoviePart",
    "Probabilities",
    "Rates",
    "Section",
    "SequencePart",
    "SonataSpikes",
    "Spontaneous",
    "StaticGratings",
    "Stimulus",
    "StimulusSequence",
    "VisualStimulus",
]

#: The time step of the model: training, delays and LGN spikes are all on 1 ms.
DT_MS = 1.0


class Section(BaseModel):
    """A part of the configuration: frozen, and every key must be known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _whole_steps(value_ms: float) -> float:
    if value_ms % DT_MS:
        msg = f"a whole number of {DT_MS:g} ms steps"
        raise ValueError(msg)
    return value_ms


def _no_repeats(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(values)) != len(values):
        msg = "each value once; use trials for repeats"
        raise ValueError(msg)
    return values


_NonNegative = Annotated[float, Field(ge=0)]
_Positive = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]
_File = Annotated[Path, Field(strict=False)]
_DurationMs = Annotated[_Positive, AfterValidator(_whole_steps)]
_TimeMs = Annotated[_NonNegative, AfterValidator(_whole_steps)]
_Luminance = Annotated[float, Field(ge=-1, le=1)]
_Contrast = Annotated[float, Field(ge=0, le=1)]
#: One pixel a degree and one frame a millisecond show no more.
_SpatialFrequency = Annotated[float, Field(ge=0, le=0.5)]
_TemporalFrequency = Annotated[float, Field(ge=0, le=500)]
_DirectionDeg = Annotated[float, Field(ge=0, lt=360)]
_Set = Field(min_length=1, strict=False)


def _window(window_ms: tuple[float, float]) -> tuple[float, float]:
    if window_ms[0] >= window_ms[1]:
        msg = "a start before the stop"
        raise ValueError(msg)
    return window_ms


_WindowMs = Annotated[tuple[_TimeMs, _DurationMs], Field(strict=False), AfterValidator(_window)]


class LgnStimulus(Section):
    """What every kind has."""

    trials: _Count = 10


class VisualStimulus(LgnStimulus):
    """What is seen on a screen by LGN cells, whose filters are the table's or the network file's.

    ``lgn_ids_from`` is an HDF5 file with ``lgn_cell_ids``: the rows of the table, by
    their id, that the network has.
    """

    lgn_table: _File | None = None
    lgn_ids_from: _File | None = None

    @model_validator(mode="after")
    def _ids_of_a_table(self) -> VisualStimulus:
        if self.lgn_ids_from is not None and self.lgn_table is None:
            msg = "lgn_ids_from chooses rows of lgn_table, which is missing"
            raise ValueError(msg)
        return self


class DriftingGratings(VisualStimulus):
    """Every direction at every contrast. 0 degrees drifts rightward, 90 degrees upward."""

    kind: Literal["drifting_gratings"]
    directions_deg: Annotated[tuple[_DirectionDeg, ...], _Set, AfterValidator(_no_repeats)] = (
        0.0,
        45.0,
        90.0,
        135.0,
        180.0,
        225.0,
        270.0,
        315.0,
    )
    temporal_frequency_hz: Annotated[float, Field(gt=0, le=500)] = 2.0
    spatial_frequency_cpd: _SpatialFrequency = 0.04
    contrast: _Contrast | Annotated[tuple[_Contrast, ...], _Set, AfterValidator(_no_repeats)] = 0.8
    grey_ms: _TimeMs = 500.0
    grating_ms: _DurationMs = 2500.0


class StaticGratings(VisualStimulus):
    """Every orientation at every spatial frequency and phase. 0 degrees is vertical bars."""

    kind: Literal["static_gratings"]
    orientations_deg: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=180)], ...], _Set, AfterValidator(_no_repeats)
    ] = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0)
    spatial_frequencies_cpd: Annotated[
        tuple[_SpatialFrequency, ...], _Set, AfterValidator(_no_repeats)
    ] = (0.04,)
    phases_deg: Annotated[tuple[_DirectionDeg, ...], _Set, AfterValidator(_no_repeats)] = (
        0.0,
        90.0,
        180.0,
        270.0,
    )
    contrast: _Contrast = 0.8
    grey_ms: _TimeMs = 500.0
    grating_ms: _DurationMs = 250.0


class Flash(VisualStimulus):
    """The whole field at each luminance, grey before and after."""

    kind: Literal["flash"]
    luminances: Annotated[tuple[_Luminance, ...], _Set, AfterValidator(_no_repeats)] = (1.0, -1.0)
    grey_ms: _TimeMs = 500.0
    flash_ms: _DurationMs = 250.0
    after_ms: _TimeMs = 250.0


class Images(VisualStimulus):
    """Each image file (PNG or NumPy), grey before and after."""

    kind: Literal["images"]
    files: Annotated[tuple[_File, ...], _Set]
    grey_ms: _TimeMs = 500.0
    image_ms: _DurationMs = 250.0
    after_ms: _TimeMs = 0.0


class Movie(VisualStimulus):
    """A movie file (NumPy, or a video), grey before. Videos know their frame rate."""

    kind: Literal["movie"]
    file: _File
    frame_rate_hz: Annotated[float, Field(gt=0, le=1000)] | None = None
    grey_ms: _TimeMs = 500.0


class Grey(VisualStimulus):
    """Nothing but grey: LGN cells fire at their own spontaneous rates."""

    kind: Literal["grey"]
    duration_ms: _DurationMs = 1000.0


class _Part(Section):
    onset_ms: _TimeMs
    duration_ms: _DurationMs


class GratingPart(_Part):
    """A grating; a temporal frequency of 0 stands still."""

    show: Literal["grating"]
    direction_deg: _DirectionDeg = 0.0
    temporal_frequency_hz: _TemporalFrequency = 2.0
    spatial_frequency_cpd: _SpatialFrequency = 0.04
    contrast: _Contrast = 0.8
    phase_deg: _DirectionDeg = 0.0


class FlashPart(_Part):
    """The whole field at one luminance."""

    show: Literal["flash"]
    luminance: _Luminance = 1.0


class ImagePart(_Part):
    """An image file."""

    show: Literal["image"]
    file: _File


class MoviePart(_Part):
    """The first ``duration_ms`` of a movie file."""

    show: Literal["movie"]
    file: _File
    frame_rate_hz: Annotated[float, Field(gt=0, le=1000)] | None = None


SequencePart = Annotated[
    GratingPart | FlashPart | ImagePart | MoviePart, Field(discriminator="show")
]


class StimulusSequence(VisualStimulus):
    """Several stimuli in one trial, each from its onset on; grey where there is none."""

    kind: Literal["sequence"]
    duration_ms: _DurationMs
    parts: Annotated[tuple[SequencePart, ...], _Set]
    window_ms: _WindowMs | None = None

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


class Spontaneous(LgnStimulus):
    """Every LGN cell at one constant rate, whatever cells they are."""

    kind: Literal["spontaneous"]
    rate_hz: Annotated[float, Field(ge=0, le=1000)] = 5.0
    duration_ms: _DurationMs = 1000.0


class Rates(LgnStimulus):
    """LGN rates in Hz from a file [ms, LGN cells]: NumPy, or a dataset of an HDF5 file."""

    kind: Literal["rates"]
    file: _File
    dataset: str = "rates_hz"
    window_ms: _WindowMs | None = None


class Probabilities(LgnStimulus):
    """LGN firing probabilities from a stimulus file (``spike_trains``, 1.3 p).

    ``divide_by`` is what the file's values are divided by: 1.0 for files of plain probabilities.
    ``input`` says what enters the synapses in each step: ``spikes`` drawn with these
    probabilities, or, ``analog``, the quotients themselves, as numbers.
    """

    kind: Literal["probabilities"]
    file: _File
    divide_by: _Positive = 1.3
    input: Literal["spikes", "analog"] = "spikes"
    samples: Annotated[tuple[Annotated[int, Field(ge=0)], ...], _Set] | None = None
    trials: _Count = 1
    response_window_ms: _WindowMs | None = None


class SonataSpikes(LgnStimulus):
    """LGN spikes from a SONATA file as they are, cut into ``trials`` pieces of ``duration_ms``."""

    kind: Literal["sonata_spikes"]
    file: _File
    population: str | None = None
    start_ms: _TimeMs = 0.0
    duration_ms: _DurationMs
    trials: _Count = 1
    window_ms: _WindowMs | None = None


Stimulus = Annotated[
    DriftingGratings
    | StaticGratings
    | Flash
    | Images
    | Movie
    | Grey
    | StimulusSequence
    | Spontaneous
    | Rates
    | Probabilities
    | SonataSpikes,
    Field(discriminator="kind"),
]
