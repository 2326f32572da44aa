"""The whole field at one luminance after another."""

from __future__ import annotations

from typing import Annotated, Literal

from v1sim.config_section import DurationMs, TimeMs
from v1sim.model import LgnCellTable, Presentation
from v1sim.stimulus.films import FilmStimulus, between_grey, full_field
from v1sim.stimulus.visual import AsSet, Luminance, NotEmpty, VisualStimulus, field_px

__all__ = ["Flash"]


class Flash(VisualStimulus):
    """The whole field at each luminance, grey before and after."""

    kind: Literal["flash"]
    luminances: Annotated[tuple[Luminance, ...], NotEmpty, AsSet] = (1.0, -1.0)
    grey_ms: TimeMs = 500.0
    flash_ms: DurationMs = 250.0
    after_ms: TimeMs = 250.0

    def seen_by(self, cells: LgnCellTable) -> FilmStimulus:
        """One film a luminance; analyses read the flash."""
        times_ms = (self.grey_ms, self.flash_ms, self.after_ms)
        return FilmStimulus(
            cells,
            [
                between_grey(full_field(luminance, field_px(cells)), times_ms)
                for luminance in self.luminances
            ],
            [{"luminance": luminance} for luminance in self.luminances],
            repeats=self.trials,
            window_ms=(self.grey_ms, self.grey_ms + self.flash_ms),
            shown=[
                [
                    Presentation(
                        self.grey_ms,
                        self.grey_ms + self.flash_ms,
                        "flash",
                        {"luminance": luminance},
                    )
                ]
                for luminance in self.luminances
            ],
        )
