"""The presentation that a run's configuration asks for, on the network's LGN cells."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.config import RunConfig
from v1sim.config_stimulus import (
    DriftingGratings,
    Flash,
    FlashPart,
    GratingPart,
    Grey,
    ImagePart,
    Images,
    Movie,
    Probabilities,
    Rates,
    SequencePart,
    SonataSpikes,
    Spontaneous,
    StaticGratings,
    StimulusSequence,
    VisualStimulus,
)
from v1sim.errors import StimulusError
from v1sim.model import LgnCellTable, NetworkModel
from v1sim.stimulus import films
from v1sim.stimulus.films import Film
from v1sim.stimulus.gratings import Grating, grating_movie, grating_presentation
from v1sim.stimulus.lgn import DT_MS, read_lgn_table
from v1sim.stimulus.pictures import read_image, read_movie
from v1sim.stimulus.presentation import Presentation
from v1sim.stimulus.probabilities import file_presentation
from v1sim.stimulus.rates import constant_presentation, rate_file_presentation
from v1sim.stimulus.sonata_spikes import spike_file_presentation

__all__ = ["presentation"]


def presentation(config: RunConfig, network: NetworkModel) -> Presentation:
    """Trials and LGN spike probabilities of ``config.stimulus``.

    Raises
    ------
    StimulusError
        If the stimulus does not fit the network's LGN cells, or a file cannot be used.
    """
    stimulus, n_lgn = config.stimulus, network.n_lgn
    match stimulus:
        case VisualStimulus():
            return _visual(stimulus, _lgn_cells(stimulus, network))
        case Spontaneous():
            return constant_presentation(
                n_lgn, stimulus.rate_hz, duration_ms=stimulus.duration_ms, repeats=stimulus.trials
            )
        case Rates():
            return rate_file_presentation(
                stimulus.file,
                n_lgn,
                dataset=stimulus.dataset,
                repeats=stimulus.trials,
                window_ms=stimulus.window_ms,
            )
        case Probabilities():
            return file_presentation(
                stimulus.file,
                n_lgn,
                samples=stimulus.samples,
                repeats=stimulus.trials,
                window_ms=stimulus.response_window_ms,
                divide_by=stimulus.divide_by,
                analog=stimulus.input == "analog",
            )
        case SonataSpikes():
            return spike_file_presentation(
                stimulus.file,
                n_lgn,
                population=stimulus.population,
                start_ms=stimulus.start_ms,
                duration_ms=stimulus.duration_ms,
                pieces=stimulus.trials,
                window_ms=stimulus.window_ms,
            )


def _visual(stimulus: VisualStimulus, cells: LgnCellTable) -> Presentation:
    if isinstance(stimulus, DriftingGratings | StaticGratings):
        return grating_presentation(cells, _gratings(stimulus), repeats=stimulus.trials)
    field_px = (round(cells.field_deg[0]), round(cells.field_deg[1]))
    carried: list[dict[str, float | int | str]]
    match stimulus:
        case Flash():
            shown = [_full_field(luminance, field_px) for luminance in stimulus.luminances]
            times_ms = (stimulus.grey_ms, stimulus.flash_ms, stimulus.after_ms)
            made = [_between_grey(image, times_ms) for image in shown]
            carried = [{"luminance": luminance} for luminance in stimulus.luminances]
            window_ms = (stimulus.grey_ms, stimulus.grey_ms + stimulus.flash_ms)
        case Images():
            shown = [read_image(path, field_px) for path in stimulus.files]
            times_ms = (stimulus.grey_ms, stimulus.image_ms, stimulus.after_ms)
            made = [_between_grey(image, times_ms) for image in shown]
            carried = [{"image": i, "file": path.name} for i, path in enumerate(stimulus.files)]
            window_ms = (stimulus.grey_ms, stimulus.grey_ms + stimulus.image_ms)
        case Movie():
            film = films.movie(*read_movie(stimulus.file, field_px, stimulus.frame_rate_hz))
            made = [films.joined([films.grey(field_px, _steps(stimulus.grey_ms)), film])]
            carried = [{"file": stimulus.file.name}]
            window_ms = (stimulus.grey_ms, made[0].n_steps * DT_MS)
        case Grey():
            made = [films.grey(field_px, _steps(stimulus.duration_ms))]
            carried = [{}]
            window_ms = (0.0, stimulus.duration_ms)
        case StimulusSequence():
            made = [_sequence(stimulus, field_px)]
            carried = [{"parts": len(stimulus.parts)}]
            window_ms = stimulus.window_ms or (stimulus.parts[0].onset_ms, stimulus.duration_ms)
    return films.film_presentation(
        cells, made, carried, repeats=stimulus.trials, window_ms=window_ms
    )


def _steps(time_ms: float) -> int:
    return round(time_ms / DT_MS)


def _gratings(stimulus: DriftingGratings | StaticGratings) -> list[Grating]:
    """Every combination; for drifting ones the directions of one contrast after each other."""
    times_ms = {"grey_ms": stimulus.grey_ms, "grating_ms": stimulus.grating_ms}
    if isinstance(stimulus, StaticGratings):
        return [
            Grating(orientation, 0.0, frequency, stimulus.contrast, **times_ms, phase_deg=phase)
            for orientation, frequency, phase in itertools.product(
                stimulus.orientations_deg, stimulus.spatial_frequencies_cpd, stimulus.phases_deg
            )
        ]
    contrasts = stimulus.contrast if isinstance(stimulus.contrast, tuple) else (stimulus.contrast,)
    return [
        Grating(
            direction,
            stimulus.temporal_frequency_hz,
            stimulus.spatial_frequency_cpd,
            contrast,
            **times_ms,
        )
        for contrast, direction in itertools.product(contrasts, stimulus.directions_deg)
    ]


def _full_field(luminance: float, field_px: tuple[int, int]) -> NDArray[np.float32]:
    return np.full(field_px[::-1], luminance, dtype=np.float32)


def _between_grey(image: NDArray[np.float32], times_ms: tuple[float, float, float]) -> Film:
    """An image after and before grey."""
    nothing = np.zeros_like(image)
    return films.joined(
        [
            films.still(frame, _steps(time_ms))
            for frame, time_ms in zip((nothing, image, nothing), times_ms, strict=True)
        ]
    )


def _sequence(stimulus: StimulusSequence, field_px: tuple[int, int]) -> Film:
    """The parts at their onsets, grey where there is none."""
    pieces, now_ms = [], 0.0
    for part in stimulus.parts:
        pieces.append(films.grey(field_px, _steps(part.onset_ms - now_ms)))
        pieces.append(_part(part, field_px))
        now_ms = part.onset_ms + part.duration_ms
    pieces.append(films.grey(field_px, _steps(stimulus.duration_ms - now_ms)))
    return films.joined(pieces)


def _part(part: SequencePart, field_px: tuple[int, int]) -> Film:
    n_steps = _steps(part.duration_ms)
    match part:
        case GratingPart():
            grating = Grating(
                part.direction_deg,
                part.temporal_frequency_hz,
                part.spatial_frequency_cpd,
                part.contrast,
                grey_ms=0.0,
                grating_ms=part.duration_ms,
                phase_deg=part.phase_deg,
            )
            return films.movie(grating_movie(grating, field_px), 1000.0 / DT_MS)
        case FlashPart():
            return films.still(_full_field(part.luminance, field_px), n_steps)
        case ImagePart():
            return films.still(read_image(part.file, field_px), n_steps)
    film = films.movie(*read_movie(part.file, field_px, part.frame_rate_hz))
    if film.n_steps < n_steps:
        raise StimulusError(
            f"the movie ends after {film.n_steps * DT_MS:g} ms",
            where=str(part.file),
            expected=f"{part.duration_ms:g} ms, the duration_ms of its part",
        )
    return film.cut(n_steps)


def _lgn_cells(stimulus: VisualStimulus, network: NetworkModel) -> LgnCellTable:
    """Filters of the network's LGN cells: from the named table, or from the network file."""
    if stimulus.lgn_table is not None:
        ids = _lgn_ids(stimulus.lgn_ids_from) if stimulus.lgn_ids_from is not None else None
        cells, where = read_lgn_table(stimulus.lgn_table, ids), str(stimulus.lgn_table)
    elif network.lgn_cells is not None:
        cells, where = network.lgn_cells, network.source.path
    else:
        raise StimulusError(
            f"the file has {network.n_lgn:,} LGN cells but not their positions and filters",
            where=network.source.path,
            expected="a table of LGN cells, in the network's order",
            hint="--set stimulus.lgn_table=LGN.csv, or show a file of probabilities "
            "(stimulus.kind: probabilities)",
        )
    if len(cells) != network.n_lgn:
        raise StimulusError(
            f"the table has {len(cells):,} LGN cells, the network {network.n_lgn:,}",
            where=where,
            expected="one row for each LGN cell of the network, in its order",
            hint="where the network has some rows of the table, name a file with their ids: "
            "--set stimulus.lgn_ids_from=STIMULI.h5",
        )
    return cells


def _lgn_ids(path: Path) -> NDArray[np.int64]:
    """The dataset ``lgn_cell_ids`` of an HDF5 file, shape (n_lgn,)."""
    expected = "an HDF5 file with lgn_cell_ids: the id of each of the network's LGN cells"
    try:
        with h5py.File(path, "r") as file:
            data = file.get("lgn_cell_ids")
            ids = data[()] if isinstance(data, h5py.Dataset) else None
            names = ", ".join(sorted(file)) or "nothing at all"
    except OSError as error:
        seen = f"cannot be read as HDF5: {error}"
        raise StimulusError(seen, where=str(path), expected=expected) from error
    if ids is None or ids.ndim != 1 or ids.dtype.kind not in "iu" or not ids.size:
        seen = f"no such dataset, but {names}" if ids is None else f"{ids.dtype} of {ids.shape}"
        raise StimulusError(seen, where=f"{path}:/lgn_cell_ids", expected=expected)
    return np.asarray(ids, dtype=np.int64)
