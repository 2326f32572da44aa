"""Gratings that stand still, of several orientations, spatial frequencies and phases."""

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

__all__ = ["StaticGratings"]


class StaticGratings(VisualStimulus):
    """Every orientation at every spatial frequency and phase. 0 degrees is vertical bars."""

    kind: Literal["static_gratings"]
    orientations_deg: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=180)], ...], NotEmpty, AsSet
    ] = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0)
    spatial_frequencies_cpd: Annotated[tuple[SpatialFrequency, ...], NotEmpty, AsSet] = (0.04,)
    phases_deg: Annotated[tuple[DirectionDeg, ...], NotEmpty, AsSet] = (0.0, 90.0, 180.0, 270.0)
    contrast: Contrast = 0.8
    grey_ms: TimeMs = 500.0
    grating_ms: DurationMs = 250.0

    def seen_by(self, cells: LgnCellTable) -> GratingStimulus:
        """Every combination; the phases of one orientation and frequency after each other."""
        gratings = [
            Grating(
                orientation,
                0.0,
                frequency,
                self.contrast,
                grey_ms=self.grey_ms,
                grating_ms=self.grating_ms,
                phase_deg=phase,
            )
            for orientation, frequency, phase in itertools.product(
                self.orientations_deg, self.spatial_frequencies_cpd, self.phases_deg
            )
        ]
        return GratingStimulus(cells, gratings, repeats=self.trials)
