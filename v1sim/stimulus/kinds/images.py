"""Image files, one after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from v1sim.config_section import DurationMs, InputFile, TimeMs
from v1sim.model import LgnCellTable, Presentation
from v1sim.stimulus.films import FilmStimulus, between_grey
from v1sim.stimulus.pictures import read_images
from v1sim.stimulus.visual import NotEmpty, VisualStimulus, field_px

__all__ = ["Images"]


class Images(VisualStimulus):
    """Each image file (PNG or NumPy), grey before and after."""

    kind: Literal["images"]
    files: Annotated[tuple[InputFile, ...], NotEmpty]
    grey_ms: TimeMs = 500.0
    image_ms: DurationMs = 250.0
    after_ms: TimeMs = 0.0

    def seen_by(self, cells: LgnCellTable) -> FilmStimulus:
        """One film an image; analyses read the image."""
        times_ms = (self.grey_ms, self.image_ms, self.after_ms)
        images = read_images(self.files, field_px(cells))
        end_ms = self.grey_ms + self.image_ms
        stimuli: list[Mapping[str, float | int | str]] = [
            {"image": i, "file": path.name} for i, path in enumerate(self.files)
        ]
        return FilmStimulus(
            cells,
            [between_grey(image.frame[0], times_ms) for image in images],
            stimuli,
            repeats=self.trials,
            window_ms=(self.grey_ms, end_ms),
            shown=[[Presentation(self.grey_ms, end_ms, "image", values)] for values in stimuli],
            remarks=[remark for image in images for remark in image.remarks],
        )
