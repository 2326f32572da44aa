"""A grey screen."""

from __future__ import annotations

from typing import Literal

from v1sim.config_section import DurationMs
from v1sim.model import LgnCellTable, Presentation
from v1sim.stimulus.films import FilmStimulus, grey, to_steps
from v1sim.stimulus.visual import VisualStimulus, field_px

__all__ = ["Grey"]


class Grey(VisualStimulus):
    """Nothing but grey: LGN cells fire at their own spontaneous rates."""

    kind: Literal["grey"]
    duration_ms: DurationMs = 1000.0

    def seen_by(self, cells: LgnCellTable) -> FilmStimulus:
        """One film; analyses read all of it."""
        return FilmStimulus(
            cells,
            [grey(field_px(cells), to_steps(self.duration_ms))],
            [{}],
            repeats=self.trials,
            window_ms=(0.0, self.duration_ms),
            shown=[[Presentation(0.0, self.duration_ms, "grey")]],
        )
