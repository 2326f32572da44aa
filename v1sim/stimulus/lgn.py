"""LGN cells: from what is on the screen to firing rates.

A cell is the sum of one or two *subunits*. Each filters the movie with a
Gaussian in space and a kernel of two cosine bumps in time, then rectifies:
``rate = sum over subunits of max(0, gain * (kernel * gaussian . movie) + offset)``.
Single cells (sON, sOFF, tOFF) have one subunit, composite cells (sONsOFF, sONtOFF)
an OFF and an ON subunit side by side.

The filters are those of the LGN model of Billeh et al. 2020 (doi
10.1016/j.neuron.2020.01.040), as BMTK FilterNet (Dai et al. 2020, doi
10.1371/journal.pcbi.1008386) samples them: one pixel a degree, one sample a millisecond.

- `read_lgn_table`: the cell table in use -> `v1sim.model.LgnCellTable`
- `lgn_filters`: table -> `LgnFilters`; those of large tables are kept on disk
- `spatial_operator`: the Gaussians as one sparse matrix
- `rates_of_movie`: filters and movie -> rates
- `cells_sha256`: what tells one table from another

scipy is imported by the functions that need it: it takes 0.2 s, and runs whose rates are kept
on disk do without.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from v1sim.digests import array_sha256
from v1sim.errors import StimulusError
from v1sim.files.table import read_table
from v1sim.model import LgnCellTable
from v1sim.stimulus.array_cache import cached_arrays

if TYPE_CHECKING:
    from scipy import sparse

__all__ = [
    "COMPOSITE_CELLS",
    "FIELDS_DEG",
    "LGN_COLUMNS",
    "SPONTANEOUS_HZ",
    "CompositeCell",
    "LgnFilters",
    "cells_sha256",
    "lgn_filters",
    "rates_of_movie",
    "read_lgn_table",
    "spatial_operator",
    "temporal_kernels",
]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


#: Visual fields (width, height) in degrees in which the published tables lie.
FIELDS_DEG = ((120.0, 80.0), (240.0, 120.0))

#: Spontaneous rate of single cells by class, Hz (BMTK FilterNet's cell metrics, from Durand
#: et al. 2016, doi 10.1523/JNEUROSCI.1741-16.2016).
SPONTANEOUS_HZ = {
    "sON_TF1": 5.2,
    "sON_TF2": 3.533,
    "sON_TF4": 8.25,
    "sON_TF8": 1.767,
    "sOFF_TF1": 3.95,
    "sOFF_TF2": 4.532,
    "sOFF_TF4": 3.679,
    "sOFF_TF8": 3.62,
    "sOFF_TF15": 5.075,
    "tOFF_TF4": 3.945,
    "tOFF_TF8": 2.438,
    "tOFF_TF15": 1.051,
    "tON_TF8": 2.6,
}


@dataclass(frozen=True)
class CompositeCell:
    """What turns two subunits into one composite cell.

    ``time_to_peak_*_ms`` are the latencies that the kernels' zero crossings are
    delayed to; rates in Hz; ``off_factor`` scales the OFF subunit.
    """

    time_to_peak_on_ms: float
    time_to_peak_off_ms: float
    spontaneous_hz: float
    max_off_hz: float
    max_on_hz: float
    off_factor: float


COMPOSITE_CELLS = {
    "sONsOFF_001": CompositeCell(121.0, 115.0, 4.0, 35.0, 21.0, 1.0),
    "sONtOFF_001": CompositeCell(93.5, 64.8, 5.5, 46.0, 31.0, 0.7),
}

_N_LAGS = 600  # ms, before delays
_LOG_OFFSET = 0.3
#: Half the period of the cosine bumps on the logarithmic time axis.
_BUMP_WIDTH = np.log(200.3 / 100.3)
#: A Gaussian beyond this many sigmas holds 6e-5 of its mass.
_GAUSSIAN_SIGMAS = 4.0
#: Filters of fewer cells are made faster than they are read.
_WORTH_KEEPING = 2000
#: Raised by one whenever filters of the same table come out otherwise.
_FILTERS_VERSION = 1
#: Subunits whose kernels or spectra are held in float64 at a time.
_BLOCK = 512
#: Frames filtered in space at a time.
_FRAMES = 256

#: Columns of the published table that a field of `LgnCellTable` is made of.
LGN_COLUMNS = {
    "x_deg": ("x",),
    "y_deg": ("y",),
    "spatial_size_deg": ("spatial_size",),
    "kpeak_dom_ms": ("kpeaks_dom_0", "kpeaks_dom_1"),
    "weight_dom": ("weight_dom_0", "weight_dom_1"),
    "delay_dom_ms": ("delay_dom_0", "delay_dom_1"),
    "kpeak_non_dom_ms": ("kpeaks_non_dom_0", "kpeaks_non_dom_1"),
    "weight_non_dom": ("weight_non_dom_0", "weight_non_dom_1"),
    "delay_non_dom_ms": ("delay_non_dom_0", "delay_non_dom_1"),
    "subunit_angle_deg": ("tuning_angle",),
    "subunit_distance_deg": ("sf_sep",),
}


def read_lgn_table(path: Path, ids: NDArray[np.integer] | None = None) -> LgnCellTable:
    """Read the table of LGN cells that the networks' LGN indices count in.

    The text has one line a cell, separated by spaces (or commas), under a line of names:
    ``id model_id x y spatial_size kpeaks_dom_0 ... tuning_angle sf_sep``. Other
    columns are ignored; an empty field is NaN. The visual field is 120 x 80 degrees where all
    cells lie in it, otherwise 240 x 120.

    Parameters
    ----------
    path : Path
        The table.
    ids : int array, shape (c,), optional
        Which cells, by their ``id``, in this order.

    Returns
    -------
    LgnCellTable
        In the order of the lines, which is the order of ``id``, or that of ``ids``.

    Raises
    ------
    StimulusError
        If the file cannot be read as such a table, or lacks one of the ids.
    """
    read = read_table(path, error=StimulusError, expected="a table of LGN cells")
    needed = ["id", "model_id", *(name for group in LGN_COLUMNS.values() for name in group)]
    missing = [name for name in needed if name not in read.names]
    if missing:
        seen = f"columns missing from the first line: {', '.join(missing)}"
        raise StimulusError(seen, where=str(path), expected="a space-separated table of LGN cells")
    if not len(read):
        seen = "no cells below the first line"
        raise StimulusError(seen, where=str(path), expected="one line a cell")
    values = {name: read.numbers(name) for name in needed if name != "model_id"}
    if np.any(np.diff(values["id"]) <= 0):
        seen = "ids that do not ascend"
        raise StimulusError(
            seen,
            where=str(path),
            expected="lines in the order of id: the network's LGN indices count lines",
            hint="sort the table by id",
        )
    x_deg, y_deg = values["x"], values["y"]
    small, large = FIELDS_DEG
    field_deg = small if x_deg.max() <= small[0] and y_deg.max() <= small[1] else large
    columns = {
        field: values[group[0]] if len(group) == 1 else np.stack([values[g] for g in group], axis=1)
        for field, group in LGN_COLUMNS.items()
    }
    table = LgnCellTable(model_id=read.texts("model_id"), **columns, field_deg=field_deg)
    _check(table, where=str(path))
    return table if ids is None else table.take(_rows(values["id"], ids, str(path)))


def _rows(id_of_row: F64, ids: NDArray[np.integer], where: str) -> NDArray[np.intp]:
    """Rows of the cells of these ids."""
    row = np.minimum(np.searchsorted(id_of_row, ids), len(id_of_row) - 1)
    absent = np.asarray(ids)[id_of_row[row] != ids]
    if absent.size:
        seen = f"{absent.size} of {len(ids)} cells are not in the table, for example {absent[0]}"
        raise StimulusError(seen, where=where, expected="the table that the ids come from")
    return row


def _check(cells: LgnCellTable, where: str) -> None:
    """Refuse cells that have no response by the model."""
    known = [*SPONTANEOUS_HZ, *COMPOSITE_CELLS]
    unknown = sorted(set(cells.model_id.tolist()) - set(known))
    if unknown:
        seen = f"unknown LGN classes {', '.join(unknown[:5])}"
        raise StimulusError(seen, where=where, expected=f"one of {', '.join(known)}")
    composite = np.isin(cells.model_id, list(COMPOSITE_CELLS))
    for field in fields(cells):
        if field.name in ("model_id", "field_deg"):
            continue
        values = getattr(cells, field.name)
        used = field.name in _SINGLE_FIELDS
        bad = ~np.isfinite(values.reshape(len(cells), -1)).all(axis=1) & (used | composite)
        if field.name in ("spatial_size_deg", "kpeak_dom_ms", "kpeak_non_dom_ms"):
            bad |= (values.reshape(len(cells), -1) <= 0).any(axis=1)
        if field.name in ("delay_dom_ms", "delay_non_dom_ms"):
            bad |= (values < 0).any(axis=1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            seen = f"{int(bad.sum())} of {len(cells)} cells have no usable {field.name}"
            raise StimulusError(
                f"{seen}, for example cell {row} ({cells.model_id[row]}): {values[row]}",
                where=where,
                expected="finite values; sizes and peaks above 0; delays of 0 or more",
            )
    inside = (cells.x_deg >= 0) & (cells.x_deg <= cells.field_deg[0])
    inside &= (cells.y_deg >= 0) & (cells.y_deg <= cells.field_deg[1])
    if not inside.all():
        row = int(np.flatnonzero(~inside)[0])
        seen = (
            f"{int((~inside).sum())} cells lie outside the visual field, for example cell {row} "
            f"at ({cells.x_deg[row]:g}, {cells.y_deg[row]:g})"
        )
        width, height = cells.field_deg
        raise StimulusError(seen, where=where, expected=f"0..{width:g} x 0..{height:g} degrees")


_SINGLE_FIELDS = (
    "x_deg",
    "y_deg",
    "spatial_size_deg",
    "kpeak_dom_ms",
    "weight_dom",
    "delay_dom_ms",
)


def temporal_kernels(kpeak_ms: F64, weight: F64, delay_ms: F64) -> F64:
    """Temporal kernels: two cosine bumps on a logarithmic time axis, weighted and added.

    Parameters
    ----------
    kpeak_ms, weight, delay_ms : float array, shape (m, 2)
        Lag of the peak of each bump, its weight, and the delay before it.

    Returns
    -------
    float array, shape (m, 600 + largest first delay)
        Lag 0 first, 1 ms a sample; zero after a kernel's own end.
    """
    delay = delay_ms.astype(np.int64)  # whole samples: the model truncates
    length = _N_LAGS + delay[:, 0]
    lag = np.arange(length.max(initial=_N_LAGS))
    log_lag = np.log(np.arange(_N_LAGS) + 1 + _LOG_OFFSET)
    phase = (log_lag - np.log(kpeak_ms)[..., np.newaxis]) * (np.pi / (2 * _BUMP_WIDTH))
    bump = (1 + np.cos(np.clip(phase, -np.pi, np.pi))) / 2
    bump /= np.linalg.norm(bump, axis=-1, keepdims=True)
    source = lag - delay[..., np.newaxis]  # (m, 2, lags)
    inside = (source >= 0) & (source < _N_LAGS) & (lag < length[:, np.newaxis, np.newaxis])
    shifted = np.take_along_axis(bump, np.clip(source, 0, _N_LAGS - 1), axis=-1) * inside
    shifted /= np.linalg.norm(shifted, axis=-1, keepdims=True)
    kernels: F64 = np.einsum("mk,mkl->ml", weight, shifted)
    return kernels


@dataclass(frozen=True, eq=False)
class LgnFilters:
    """Subunits of LGN cells, ready to be applied.

    The first c of the m subunits are the first (or only) ones of the c cells, in
    their order; the rest are the second subunits of the cells ``composite``.
    ``spatial`` (m, height * width) has a Gaussian of unit sum a row; ``kernel``
    (m, lags) starts at lag 0; ``gain`` (m,) and ``offset_hz`` (m,) precede the rectification.
    """

    n_cells: int
    field_px: tuple[int, int]
    composite: NDArray[np.intp]
    spatial: sparse.csr_array
    kernel: F32
    gain: F32
    offset_hz: F32

    def __len__(self) -> int:
        return len(self.gain)

    def rates(self, drive: F32) -> F32:
        """Firing rates of cells from the linear responses of subunits.

        Parameters
        ----------
        drive : float32 array, shape (m, steps)
            Response of each subunit to the movie, before the gain. Overwritten.

        Returns
        -------
        float32 array, shape (steps, c)
            Hz.
        """
        drive *= self.gain[:, np.newaxis]
        drive += self.offset_hz[:, np.newaxis]
        np.maximum(drive, 0, out=drive)
        drive[self.composite] += drive[self.n_cells :]
        return np.ascontiguousarray(drive[: self.n_cells].T)


def _composite_subunits(
    kpeak_ms: F64, weight: F64, delay_ms: F64, time_to_peak_ms: F64
) -> tuple[F64, F64]:
    """Delays that put each kernel's zero crossing at its latency, and the sum up to it."""
    kernel = temporal_kernels(kpeak_ms, weight, delay_ms)
    lag = np.arange(kernel.shape[1])
    first, last = kernel.argmax(axis=1), kernel.argmin(axis=1)
    below = (kernel < 0) & (lag >= first[:, np.newaxis]) & (lag < last[:, np.newaxis])
    crossing = below.argmax(axis=1)
    if not below.any(axis=1).all() or np.any(crossing > time_to_peak_ms):
        seen = "a composite cell's kernel does not cross zero before its time to peak"
        raise StimulusError(
            seen, where="LGN cells", expected="biphasic kernels, as in the published table"
        )
    total = np.where(lag < crossing[:, np.newaxis], kernel, 0).sum(axis=1)
    return delay_ms + (time_to_peak_ms - crossing)[:, np.newaxis], total


def cells_sha256(cells: LgnCellTable) -> str:
    """sha256 of everything that a table of cells holds."""
    digest = hashlib.sha256(str(cells.field_deg).encode())
    for field in fields(cells):
        values = getattr(cells, field.name)
        if field.name == "model_id":
            digest.update("\n".join(values.tolist()).encode())
        elif field.name != "field_deg":
            digest.update(array_sha256(values).encode())
    return digest.hexdigest()


def lgn_filters(cells: LgnCellTable) -> LgnFilters:
    """Build the filters of LGN cells, or read them where they were built before.

    Raises
    ------
    StimulusError
        If a class is unknown, or a position, size or kernel cannot be used.
    """
    from scipy import sparse

    _check(cells, where="LGN cells")
    if len(cells) < _WORTH_KEEPING:
        arrays = _filter_arrays(cells)
    else:
        name = f"lgn-{_FILTERS_VERSION}-{cells_sha256(cells)[:32]}"
        arrays = cached_arrays(name, lambda: _filter_arrays(cells))
    width, height = (round(side) for side in cells.field_deg)
    matrix = (arrays["weight"], arrays["pixel"], arrays["row_start"])
    return LgnFilters(
        n_cells=len(cells),
        field_px=(width, height),
        composite=arrays["composite"],
        spatial=sparse.csr_array(matrix, shape=(len(arrays["gain"]), height * width)),
        kernel=arrays["kernel"],
        gain=arrays["gain"],
        offset_hz=arrays["offset_hz"],
    )


def _filter_arrays(cells: LgnCellTable) -> dict[str, NDArray[Any]]:
    """The arrays of `LgnFilters`, the matrix as its three parts."""
    spontaneous = np.array([SPONTANEOUS_HZ.get(name, 0.0) for name in cells.model_id.tolist()])
    on_off = np.where(np.char.find(cells.model_id, "OFF") >= 0, -1.0, 1.0)
    composite = np.flatnonzero(np.isin(cells.model_id, list(COMPOSITE_CELLS)))
    table = [COMPOSITE_CELLS[name] for name in cells.model_id[composite].tolist()]

    def column(field: str) -> F64:
        return np.array([getattr(cell, field) for cell in table], dtype=np.float64)

    delay_off, sum_off = _composite_subunits(
        cells.kpeak_dom_ms[composite],
        cells.weight_dom[composite],
        cells.delay_dom_ms[composite],
        column("time_to_peak_off_ms"),
    )
    delay_on, sum_on = _composite_subunits(
        cells.kpeak_non_dom_ms[composite],
        cells.weight_non_dom[composite],
        cells.delay_non_dom_ms[composite],
        column("time_to_peak_on_ms"),
    )
    spont, max_off, max_on = (
        column(name) for name in ("spontaneous_hz", "max_off_hz", "max_on_hz")
    )
    gain_off = -column("off_factor") * (max_off / max_on) * (sum_on / sum_off)
    gain_off -= spont * (max_off - max_on) / (max_on * sum_off)

    gain, offset = on_off, spontaneous
    gain[composite], offset[composite] = gain_off, spont / 2
    delay = cells.delay_dom_ms.copy()
    delay[composite] = delay_off
    delay = np.concatenate([delay, delay_on])
    kpeak = np.concatenate([cells.kpeak_dom_ms, cells.kpeak_non_dom_ms[composite]])
    weight = np.concatenate([cells.weight_dom, cells.weight_non_dom[composite]])

    angle = np.deg2rad(cells.subunit_angle_deg[composite])
    distance = cells.subunit_distance_deg[composite]
    x_deg = np.concatenate([cells.x_deg, cells.x_deg[composite] + distance * np.cos(angle)])
    y_deg = np.concatenate([cells.y_deg, cells.y_deg[composite] + distance * np.sin(angle)])
    width, height = (round(side) for side in cells.field_deg)

    n_lags = _N_LAGS + int(delay[:, 0].max(initial=0))
    kernel = np.zeros((len(delay), n_lags), dtype=np.float32)
    for start in range(0, len(delay), _BLOCK):
        part = slice(start, start + _BLOCK)
        block = temporal_kernels(kpeak[part], weight[part], delay[part])
        kernel[part, : block.shape[1]] = block
    size = cells.spatial_size_deg
    spatial = spatial_operator(
        np.clip(x_deg * (width - 1) / width, 0, width - 1),
        np.clip(y_deg * (height - 1) / height, 0, height - 1),
        np.concatenate([size, size[composite]]) / 3.0,
        (width, height),
    )
    return {
        "composite": composite,
        "weight": spatial.data,
        "pixel": spatial.indices,
        "row_start": spatial.indptr,
        "kernel": kernel,
        "gain": np.concatenate([gain, np.ones(len(composite))]).astype(np.float32),
        "offset_hz": np.concatenate([offset, spont / 2]).astype(np.float32),
    }


def _profile(centre_px: F64, sigma_px: F64, n_px: int, radius: int) -> tuple[NDArray[np.intp], F64]:
    """Pixels around each centre and their weights along one axis, 0 outside the field.

    BMTK smooths a box of two pixels with a Gaussian that is cut at 4 sigma, and
    interpolates the result, whose samples lie between pixels, to the centre.
    """
    pixel = np.rint(centre_px).astype(np.intp)[:, np.newaxis] + np.arange(-radius, radius + 1)
    sample = np.arange(-radius - 2, radius + 3)
    gaussian = np.exp(-0.5 * (sample / sigma_px[:, np.newaxis]) ** 2)
    gaussian[np.abs(sample) > np.floor(_GAUSSIAN_SIGMAS * sigma_px + 0.5)[:, np.newaxis]] = 0
    box = gaussian[:, :-1] + gaussian[:, 1:]  # at sample + 1/2
    place = pixel - centre_px[:, np.newaxis] - (sample[0] + 0.5)
    below = np.floor(place).astype(np.intp)
    part = place - below
    weight = (1 - part) * np.take_along_axis(box, below, axis=1)
    weight += part * np.take_along_axis(box, below + 1, axis=1)
    weight[(pixel < 0) | (pixel >= n_px)] = 0
    return pixel, weight / weight.sum(axis=1, keepdims=True)


def spatial_operator(
    x_px: F64, y_px: F64, sigma_px: F64, field_px: tuple[int, int]
) -> sparse.csr_array:
    """Spatial filters as a sparse matrix (subunits, height * width).

    Each row is a Gaussian of unit sum, renormalised where the field cuts it off.

    Parameters
    ----------
    x_px, y_px : float array, shape (m,)
        Centres, within the field.
    sigma_px : float array, shape (m,)
        Widths, above 0.
    field_px : (int, int)
        Width and height of the field.
    """
    from scipy import sparse

    width, height = field_px
    blocks = []
    for start in range(0, len(sigma_px), _BLOCK):
        part = slice(start, start + _BLOCK)
        sigma = sigma_px[part]
        radius = int(np.floor(_GAUSSIAN_SIGMAS * sigma.max() + 0.5)) + 1
        column, weight_x = _profile(x_px[part], sigma, width, radius)
        row, weight_y = _profile(y_px[part], sigma, height, radius)
        weight = weight_y[:, :, np.newaxis] * weight_x[:, np.newaxis, :]
        unit, i, j = np.nonzero(weight)
        pixel = row[unit, i] * width + column[unit, j]
        blocks.append(
            sparse.csr_array(
                (weight[unit, i, j].astype(np.float32), (unit, pixel)),
                shape=(len(sigma), height * width),
            )
        )
    return sparse.vstack(blocks, format="csr")


def rates_of_movie(
    filters: LgnFilters,
    movie: NDArray[np.floating],
    steps: NDArray[np.integer] | None = None,
) -> F32:
    """Firing rates of LGN cells that see a movie, after a long time of grey.

    Parameters
    ----------
    filters : LgnFilters
        Of the cells.
    movie : float array, shape (frames, height, width)
        Luminance around grey, -1 (black) to 1 (white), one pixel a degree; rows
        count y downward, columns x. May be a memory map.
    steps : int array, shape (frames,), optional
        Milliseconds that each frame is shown; by default 1.

    Returns
    -------
    float32 array, shape (sum of steps, c)
        Hz.

    Raises
    ------
    StimulusError
        If the movie does not fit the cells' visual field or holds other values.
    """
    import scipy.fft

    width, height = filters.field_px
    if movie.ndim != 3 or movie.shape[1:] != (height, width):
        seen = f"a movie of shape {movie.shape}"
        raise StimulusError(
            seen,
            where="LGN stimulus",
            expected=f"(frames, {height}, {width}): one pixel a degree of the cells' visual field",
            hint="resample the movie to the visual field",
        )
    n_frames = len(movie)
    steps = np.ones(n_frames, dtype=np.intp) if steps is None else steps
    stop = np.cumsum(steps)
    n_steps = int(stop[-1]) if n_frames else 0
    drive = np.empty((len(filters), n_steps), dtype=np.float32)
    for start in range(0, n_frames, _FRAMES):
        frames = np.asarray(movie[start : start + _FRAMES], dtype=np.float32)
        part = slice(start, start + len(frames))
        if not (frames.min() >= -1 and frames.max() <= 1):  # NaN fails both
            seen = f"luminances from {frames.min():g} to {frames.max():g}"
            raise StimulusError(
                seen,
                where=f"LGN stimulus, frames {start} to {part.stop - 1}",
                expected="values around grey, -1 (black) to 1 (white)",
                hint="8-bit luminance becomes value / 127.5 - 1",
            )
        pixels = np.ascontiguousarray(frames.reshape(len(frames), -1).T)
        begin = stop[start] - steps[start]
        drive[:, begin : stop[part.stop - 1]] = np.repeat(
            filters.spatial @ pixels, steps[part], axis=1
        )
    # Causal convolution with nothing before the first frame, in place block by block.
    n_fft = scipy.fft.next_fast_len(n_steps + filters.kernel.shape[1] - 1, real=True)
    for start in range(0, len(filters), _BLOCK):
        part = slice(start, start + _BLOCK)
        spectrum = scipy.fft.rfft(drive[part], n_fft, axis=1)
        spectrum *= scipy.fft.rfft(filters.kernel[part], n_fft, axis=1)
        drive[part] = scipy.fft.irfft(spectrum, n_fft, axis=1)[:, :n_steps]
    return filters.rates(drive)
