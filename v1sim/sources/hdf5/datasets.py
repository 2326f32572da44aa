"""Single HDF5 datasets: read part by part, and whether values survive a cast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["blocks", "would_change"]

#: Elements converted at a time: the work arrays stay small beside the columns.
_BLOCK = 1 << 20


def blocks(dataset: h5py.Dataset) -> Iterator[slice]:
    """Slices of the first axis that end where chunks do, so that none is unpacked twice."""
    chunk = dataset.chunks[0] if dataset.chunks else 1
    step = max(chunk, _BLOCK // chunk * chunk)
    for start in range(0, dataset.shape[0], step):
        yield slice(start, start + step)


def would_change(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[np.bool_] | None:
    """Which values would not survive the cast to ``dtype``; None where all do."""
    if np.can_cast(values.dtype, dtype, "safe"):
        return None
    if dtype.kind == "f":
        held = values.astype(dtype)
        if values.dtype.kind == "f":
            # Rounding to the nearest is meant; becoming infinite or zero is not.
            return (np.isinf(held) & np.isfinite(values)) | ((held == 0) & (values != 0))
        return np.not_equal(held.astype(np.float64), values.astype(np.float64))
    info = np.iinfo(dtype)
    changed = ~((values >= info.min) & (values <= info.max))
    if values.dtype.kind == "f":
        changed |= values != np.trunc(values)
    return changed
