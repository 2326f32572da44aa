"""What every part of a configuration is made of: `Section`, and the types of its values.

Times are whole milliseconds. `InputFile` is the type of every file that a run reads: by it
a configuration's files are found (`v1sim.config`), so that a new key needs no entry anywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from v1sim.units import MODEL_STEP_MS
from v1sim.user_paths import expanded

__all__ = [
    "Count",
    "DurationMs",
    "InputFile",
    "IsInputFile",
    "OutputFolder",
    "Positive",
    "Section",
    "TimeMs",
    "WindowMs",
]


class Section(BaseModel):
    """A part of the configuration: frozen, and every key must be known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class IsInputFile:
    """Marks the paths of files that a run reads."""


InputFile = Annotated[Path, Field(strict=False), IsInputFile()]
OutputFolder = Annotated[Path, Field(strict=False), AfterValidator(expanded)]


def _whole_steps(value_ms: float) -> float:
    if value_ms % MODEL_STEP_MS:
        msg = f"a whole number of {MODEL_STEP_MS:g} ms steps"
        raise ValueError(msg)
    return value_ms


def _window(window_ms: tuple[float, float]) -> tuple[float, float]:
    if window_ms[0] >= window_ms[1]:
        msg = "a start before the stop"
        raise ValueError(msg)
    return window_ms


Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
DurationMs = Annotated[Positive, AfterValidator(_whole_steps)]
TimeMs = Annotated[float, Field(ge=0), AfterValidator(_whole_steps)]
WindowMs = Annotated[tuple[TimeMs, DurationMs], Field(strict=False), AfterValidator(_window)]
