"""Drifting gratings of several directions and contrasts."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import Field

from v1sim.config_section import DurationMs, TimeMs
from v1sim.model import LgnCellTable
from v1sim.stimulus.gratings import Grating, GratingStimulus
from v1sim.stimulus.visual import (
    AsSet,
    Contrast,
    DirectionDeg,
    NotEmpty,
    SpatialFrequency,
    VisualStimulus,
)

__all__ = ["DriftingGratings"]


class DriftingGratings(VisualStimulus):
    """Every direction at every contrast. 0 degrees drifts rightward, 90 degrees upward."""

    kind: Literal["drifting_gratings"]
    directions_deg: Annotated[tuple[DirectionDeg, ...], NotEmpty, AsSet] = (
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
    spatial_frequency_cpd: SpatialFrequency = 0.04
    contrast: Contrast | Annotated[tuple[Contrast, ...], NotEmpty, AsSet] = 0.8
    grey_ms: TimeMs = 500.0
    grating_ms: DurationMs = 2500.0

    def seen_by(self, cells: LgnCellTable) -> GratingStimulus:
        """The directions of one contrast after each other."""
        contrasts = self.contrast if isinstance(self.contrast, tuple) else (self.contrast,)
        gratings = [
            Grating(
                direction,
                self.temporal_frequency_hz,
                self.spatial_frequency_cpd,
                contrast,
                grey_ms=self.grey_ms,
                grating_ms=self.grating_ms,
            )
            for contrast, direction in itertools.product(contrasts, self.directions_deg)
        ]
        return GratingStimulus(cells, gratings, repeats=self.trials)
