"""Sinusoidal gratings, drifting or static, and what LGN cells answer to them.

Convention
----------
Direction is where the bars move to, as they are seen on the screen: 0 degrees drifts
rightward (+x), 90 degrees upward. A picture's rows and the y of the cell table count
downward, so upward is -y. Bars stand at right angles to the direction: at 0
degrees they are vertical. A static grating's orientation is the direction in which it
would drift, modulo 180 degrees: 0 is vertical bars too. The luminance at position u along
the direction, in degrees of visual field from the top left corner, and time t after onset is
``contrast * sin(2 pi (spatial_frequency u - temporal_frequency t) + phase)``
around grey; a temporal frequency of 0 stands still. This is what BMTK's GratingMovie
shows (docs/stimuli.md has a picture).

A grating is the real part of a standing complex pattern times ``exp(-i omega t)``. So
each cell's spatial filter is applied once to two static images, and its
temporal filter becomes a running sum of ``kernel(j) exp(i omega j)``: exact, onset
transient included, with neither a movie nor a Fourier transform.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from v1sim import __version__
from v1sim.errors import StimulusError
from v1sim.model import LgnCellTable, Presentation
from v1sim.stimulus.drawn import DrawnStimulus
from v1sim.stimulus.lgn import LgnFilters, cells_sha256, lgn_filters
from v1sim.stimulus.spikes import probability_of_rate
from v1sim.stimulus.trials import repeated_trials
from v1sim.units import MODEL_STEP_MS

__all__ = ["Grating", "GratingStimulus", "grating_movie", "grating_rates"]

F32 = NDArray[np.float32]
C64 = NDArray[np.complex64]

#: Subunits whose running sums are held in double precision at a time.
_BLOCK = 1024


@dataclass(frozen=True)
class Grating:
    """Grey, then a grating, as one trial shows it.

    Parameters
    ----------
    direction_deg : float
        Direction of drift, see the module's convention.
    temporal_frequency_hz : float
        Cycles a second; 0 is a static grating.
    spatial_frequency_cpd : float
        Cycles a degree of visual field.
    contrast : float
        0..1.
    grey_ms, grating_ms : float
        Durations in whole milliseconds.
    phase_deg : float
        Phase at the top left corner at onset.

    Raises
    ------
    StimulusError
        If a value cannot be shown at one frame a millisecond and one pixel a degree.
    """

    direction_deg: float
    temporal_frequency_hz: float = 2.0
    spatial_frequency_cpd: float = 0.04
    contrast: float = 0.8
    grey_ms: float = 500.0
    grating_ms: float = 2500.0
    phase_deg: float = 0.0

    def __post_init__(self) -> None:
        nyquist_hz = 500.0 / MODEL_STEP_MS
        rules = {
            "direction_deg": (np.isfinite(self.direction_deg), "a finite angle"),
            "phase_deg": (np.isfinite(self.phase_deg), "a finite angle"),
            "temporal_frequency_hz": (
                0 <= self.temporal_frequency_hz <= nyquist_hz,
                f"0 to {nyquist_hz:g} Hz: one frame a millisecond shows no more",
            ),
            "spatial_frequency_cpd": (
                0 <= self.spatial_frequency_cpd <= 0.5,
                "0 to 0.5 cycles a degree: one pixel a degree shows no more",
            ),
            "contrast": (0 <= self.contrast <= 1, "0 to 1"),
            "grey_ms": (
                self.grey_ms >= 0 and self.grey_ms % MODEL_STEP_MS == 0,
                "whole milliseconds, 0 or more",
            ),
            "grating_ms": (
                self.grating_ms > 0 and self.grating_ms % MODEL_STEP_MS == 0,
                "whole milliseconds, more than 0",
            ),
        }
        for name, (good, expected) in rules.items():
            if not good:
                seen = f"{name} is {getattr(self, name)}"
                raise StimulusError(seen, where="grating", expected=expected)

    @property
    def n_grey_steps(self) -> int:
        """Frames of grey before the onset."""
        return round(self.grey_ms / MODEL_STEP_MS)

    @property
    def n_grating_steps(self) -> int:
        """Frames from the onset on."""
        return round(self.grating_ms / MODEL_STEP_MS)

    @property
    def stimulus(self) -> dict[str, float]:
        """What a trial that shows it carries."""
        if self.temporal_frequency_hz:
            moving = {
                "direction_deg": float(self.direction_deg),
                "temporal_frequency_hz": self.temporal_frequency_hz,
            }
        else:
            moving = {"orientation_deg": self.direction_deg % 180.0, "phase_deg": self.phase_deg}
        return moving | {
            "spatial_frequency_cpd": self.spatial_frequency_cpd,
            "contrast": self.contrast,
        }

    def presentation(self, onset_ms: float) -> Presentation:
        """What a trial in which it begins at ``onset_ms`` shows."""
        kind = "drifting_grating" if self.temporal_frequency_hz else "static_grating"
        return Presentation(onset_ms, onset_ms + self.grating_ms, kind, self.stimulus)

    @property
    def radians_per_step(self) -> float:
        """Change of phase from frame to frame."""
        return 2 * np.pi * self.temporal_frequency_hz * MODEL_STEP_MS / 1000.0

    def pattern(self, field_px: tuple[int, int]) -> C64:
        """Complex pattern whose real part is the frame at onset, shape (height, width)."""
        angle = np.deg2rad(self.direction_deg)
        width, height = field_px
        y_deg, x_deg = np.mgrid[:height, :width]  # one pixel a degree
        along = x_deg * np.cos(angle) - y_deg * np.sin(angle)
        phase = 2 * np.pi * self.spatial_frequency_cpd * along + np.deg2rad(self.phase_deg)
        # sin a = Re(-i exp(i a))
        pattern: C64 = (-1j * self.contrast * np.exp(1j * phase)).astype(np.complex64)
        return pattern


def grating_movie(grating: Grating, field_deg: tuple[float, float] = (120.0, 80.0)) -> F32:
    """The grating as a movie (steps, height, width), -1..1, grey is 0.

    One frame a millisecond, one pixel a degree; rows count y downward, columns x.
    """
    width, height = (round(side) for side in field_deg)
    pattern = grating.pattern((width, height))
    turn = grating.radians_per_step * np.arange(grating.n_grating_steps)
    movie = np.zeros((grating.n_grey_steps + len(turn), height, width), dtype=np.float32)
    shown = movie[grating.n_grey_steps :]
    np.multiply(pattern.real, np.cos(turn).astype(np.float32)[:, None, None], out=shown)
    shown += pattern.imag * np.sin(turn).astype(np.float32)[:, None, None]
    return movie


def _running_response(filters: LgnFilters, radians_per_step: float) -> C64:
    """Running sum over lags of ``kernel(j) exp(i omega j)``, shape (m, lags)."""
    turn = np.exp(1j * radians_per_step * np.arange(filters.kernel.shape[1]))
    response = np.empty(filters.kernel.shape, dtype=np.complex64)
    for start in range(0, len(filters), _BLOCK):
        part = slice(start, start + _BLOCK)
        response[part] = np.cumsum(filters.kernel[part] * turn, axis=1)
    return response


def _rates(filters: LgnFilters, grating: Grating, amplitude: C64, running: C64) -> F32:
    """Rates (steps, c) from the spatially filtered pattern (m,) and the running sums (m, lags)."""
    n_grey, n_on = grating.n_grey_steps, grating.n_grating_steps
    turn = grating.radians_per_step * np.arange(n_on)
    cos, sin = np.cos(turn).astype(np.float32), np.sin(turn).astype(np.float32)
    drive = np.zeros((len(filters), n_grey + n_on), dtype=np.float32)
    n_onset = min(running.shape[1], n_on)
    onset = amplitude[:, np.newaxis] * running[:, :n_onset]
    steady = (amplitude * running[:, -1])[:, np.newaxis]
    # Re(z exp(-i turn)) = Re z cos turn + Im z sin turn
    for response, first, last in ((onset, 0, n_onset), (steady, n_onset, n_on)):
        shown = drive[:, n_grey + first : n_grey + last]
        np.multiply(response.real, cos[first:last], out=shown)
        shown += response.imag * sin[first:last]
    return filters.rates(drive)


def grating_rates(filters: LgnFilters, grating: Grating) -> F32:
    """Rates of LGN cells that see a grating, Hz, shape (steps, c).

    What `v1sim.stimulus.lgn.rates_of_movie` gives for `grating_movie`, directly.
    """
    amplitude = filters.spatial @ grating.pattern(filters.field_px).reshape(-1)
    return _rates(filters, grating, amplitude, _running_response(filters, grating.radians_per_step))


class GratingStimulus(DrawnStimulus):
    """Gratings of equal durations, each repeated; analyses read the time that they are shown.

    Repeats have equal rates; spikes are drawn anew for each. Trials carry ``direction_deg`` and
    ``temporal_frequency_hz`` (``orientation_deg`` and ``phase_deg`` where nothing moves),
    ``spatial_frequency_cpd``, ``contrast`` and ``repeat``.

    Parameters
    ----------
    cells : LgnCellTable
        The cells that see them.
    gratings : sequence of Grating
        Each is one stimulus.
    repeats : int
        Trials of each.

    Raises
    ------
    StimulusError
        If there is no grating, or they differ in duration, or the cells have no filters.
    """

    def __init__(
        self, cells: LgnCellTable, gratings: Sequence[Grating], *, repeats: int = 10
    ) -> None:
        durations = {(grating.grey_ms, grating.grating_ms) for grating in gratings}
        if len(durations) != 1:
            seen = f"{len(durations)} different durations of {len(gratings)} gratings"
            raise StimulusError(seen, where="gratings", expected="one for all")
        ((grey_ms, grating_ms),) = durations
        schedule = repeated_trials(
            [grating.stimulus for grating in gratings],
            repeats=repeats,
            duration_ms=grey_ms + grating_ms,
            window_ms=(grey_ms, grey_ms + grating_ms),
            shown=[[grating.presentation(grey_ms)] for grating in gratings],
            where="gratings",
        )
        super().__init__(len(cells), schedule, cells=cells)
        self._table = cells
        self._gratings = gratings
        self._running = lru_cache(maxsize=1)(self._running_of)  # 100 MB for 17,400 cells

    @cached_property
    def _drive(self) -> tuple[LgnFilters, C64]:
        """Filters and what they see of each grating: once, when first needed."""
        filters = lgn_filters(self._table)
        patterns = [grating.pattern(filters.field_px).reshape(-1) for grating in self._gratings]
        return filters, filters.spatial @ np.stack(patterns).T

    def _running_of(self, radians_per_step: float) -> C64:
        return _running_response(self._drive[0], radians_per_step)

    @cached_property
    def _cells_sha256(self) -> str:
        return cells_sha256(self._table)

    def load(self, stimulus: int) -> F32:
        """What the cells answer to a grating."""
        filters, amplitudes = self._drive
        grating = self._gratings[stimulus]
        running = self._running(grating.radians_per_step)
        return probability_of_rate(
            _rates(filters, grating, amplitudes[:, stimulus], running), MODEL_STEP_MS
        )

    def key(self, stimulus: int) -> str:
        """Digest of cells and grating."""
        text = f"{self._cells_sha256} {self._gratings[stimulus]} {__version__}"
        return hashlib.sha256(text.encode()).hexdigest()

    def picture(self, stimulus: int, step: int) -> F32:
        """The frame that is shown."""
        grating = self._gratings[stimulus]
        width, height = (round(side) for side in self._table.field_deg)
        if step < grating.n_grey_steps:
            return np.zeros((height, width), dtype=np.float32)
        turn = grating.radians_per_step * (step - grating.n_grey_steps)
        frame: F32 = (grating.pattern((width, height)) * np.exp(-1j * turn)).real
        return frame.astype(np.float32)
