"""A movie file."""

from __future__ import annotations

from typing import Literal

from v1sim.config_section import InputFile, TimeMs
from v1sim.model import LgnCellTable, Presentation
from v1sim.stimulus import films
from v1sim.stimulus.pictures import read_movie
from v1sim.stimulus.visual import FrameRateHz, VisualStimulus, field_px
from v1sim.units import MODEL_STEP_MS

__all__ = ["Movie"]


class Movie(VisualStimulus):
    """A movie file, grey before. GIFs and videos show every frame at its own time."""

    kind: Literal["movie"]
    file: InputFile
    frame_rate_hz: FrameRateHz | None = None
    grey_ms: TimeMs = 500.0

    def seen_by(self, cells: LgnCellTable) -> films.FilmStimulus:
        """One film; analyses read the movie."""
        screen = field_px(cells)
        movie = read_movie(self.file, screen, self.frame_rate_hz)
        film = films.timed(movie.frame, movie.duration_ms)
        shown = films.joined([films.grey(screen, films.to_steps(self.grey_ms)), film])
        end_ms = shown.n_steps * MODEL_STEP_MS
        return films.FilmStimulus(
            cells,
            [shown],
            [{"file": self.file.name}],
            repeats=self.trials,
            window_ms=(self.grey_ms, end_ms),
            shown=[[Presentation(self.grey_ms, end_ms, "movie", {"file": self.file.name})]],
            remarks=movie.remarks,
        )
