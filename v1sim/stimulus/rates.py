"""LGN rates that are given, not computed: from a file, or one for all.

- `rate_file_presentation`: rates [ms, LGN cells] in Hz from NumPy or HDF5
- `constant_presentation`: every cell at one rate
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.errors import StimulusError
from v1sim.stimulus.lgn import DT_MS
from v1sim.stimulus.presentation import Presentation, repeated_trials
from v1sim.stimulus.spikes import probability_of_rate

__all__ = ["constant_presentation", "rate_file_presentation"]

F32 = NDArray[np.float32]

#: Nothing in the LGN fires faster; probabilities per ms taken for rates are far below 1 Hz.
_MAX_RATE_HZ = 1000.0


def constant_presentation(
    n_lgn: int, rate_hz: float, *, duration_ms: float, repeats: int
) -> Presentation:
    """Every LGN cell a Poisson process of one rate; analyses read the whole trial."""
    trials, stimulus_of_trial = repeated_trials(
        [{"rate_hz": float(rate_hz)}],
        repeats=repeats,
        duration_ms=duration_ms,
        window_ms=(0.0, duration_ms),
        where="spontaneous",
    )
    shape = (round(duration_ms / DT_MS), n_lgn)
    probability = probability_of_rate(np.array(rate_hz), DT_MS)

    def load(_: int) -> F32:
        return np.broadcast_to(probability, shape)

    return Presentation(n_lgn, DT_MS, trials, stimulus_of_trial, load)


def rate_file_presentation(
    path: Path,
    n_lgn: int,
    *,
    dataset: str,
    repeats: int,
    window_ms: tuple[float, float] | None = None,
) -> Presentation:
    """Rates from a file, one row a millisecond.

    Parameters
    ----------
    path : Path
        ``.npy``, or HDF5 with ``dataset``: rates in Hz, shape (ms, n_lgn).
    n_lgn : int
        LGN cells of the network.
    dataset : str
        Which dataset of an HDF5 file.
    repeats : int
        Trials; spikes are drawn anew for each.
    window_ms : (float, float), optional
        Part of each trial that analyses read; by default all of it.

    Raises
    ------
    StimulusError
        If the file cannot be read, does not fit the network, or holds other values.
    """
    rate_hz = _read(path, dataset)
    where = str(path) if path.suffix == ".npy" else f"{path}:{dataset}"
    if rate_hz.ndim != 2 or rate_hz.dtype.kind not in "fiu" or not len(rate_hz):
        seen = f"shape {rate_hz.shape} of {rate_hz.dtype}"
        raise StimulusError(seen, where=where, expected="(ms, LGN cells) of numbers")
    if rate_hz.shape[1] != n_lgn:
        swapped = rate_hz.shape[0] == n_lgn
        raise StimulusError(
            f"{rate_hz.shape[1]} LGN cells",
            where=where,
            expected=f"{n_lgn}, as the network has",
            hint="its axes look swapped: the order is (ms, LGN cells)" if swapped else None,
        )
    if not (rate_hz.min() >= 0 and rate_hz.max() <= _MAX_RATE_HZ):  # NaN fails both
        raise StimulusError(
            f"values from {rate_hz.min():g} to {rate_hz.max():g}",
            where=where,
            expected=f"rates in Hz, 0 to {_MAX_RATE_HZ:g}",
        )
    if 0 < rate_hz.max() < 1:
        raise StimulusError(
            f"no rate above {rate_hz.max():.3g} Hz: these look like probabilities per ms",
            where=where,
            expected="rates in Hz",
            hint="multiply by 1000, or write them as a stimulus file (kind: probabilities)",
        )
    duration_ms = len(rate_hz) * DT_MS
    trials, stimulus_of_trial = repeated_trials(
        [{"file": path.name}],
        repeats=repeats,
        duration_ms=duration_ms,
        window_ms=window_ms or (0.0, duration_ms),
        where=where,
    )
    return Presentation(
        n_lgn, DT_MS, trials, stimulus_of_trial, lambda _: probability_of_rate(rate_hz, DT_MS)
    )


def _read(path: Path, dataset: str) -> NDArray[Any]:
    try:
        if path.suffix == ".npy":
            values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return values
        with h5py.File(path, "r") as file:
            data = file.get(dataset)
            if not isinstance(data, h5py.Dataset):
                raise StimulusError(
                    f"no dataset {dataset!r}, but {', '.join(sorted(file)) or 'nothing at all'}",
                    where=str(path),
                    expected="rates in Hz",
                    hint="--set stimulus.dataset=NAME",
                )
            values = data[()]
            return np.asarray(values)
    except (OSError, ValueError, EOFError) as error:
        seen = f"cannot be read: {error}"
        raise StimulusError(
            seen, where=str(path), expected="a NumPy file (.npy), or an HDF5 file"
        ) from error
