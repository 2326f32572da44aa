"""Single HDF5 datasets: whether they hold what they declare, and whether values survive a cast."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["blocks", "chunk_bytes", "storage_problem", "text_problem", "would_change"]

#: Elements converted at a time: the work arrays stay small beside the columns.
_BLOCK = 1 << 20


def storage_problem(dataset: h5py.Dataset, path: Path) -> str | None:
    """Why a dataset cannot hold the values it declares; None where it can."""
    if dataset.is_virtual or dataset.external:
        return "its values are kept in other files; they must be in the file itself"
    n_values = math.prod(dataset.shape)
    if n_values == 0:
        return None
    declared = n_values * dataset.dtype.itemsize
    if dataset.chunks is None:
        stored = dataset.id.get_storage_size()
        if stored < declared or stored > path.stat().st_size:
            return f"declares {declared:,} bytes, but the file holds {min(stored, declared):,}"
        return None
    n_chunks = math.prod(
        -(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True)
    )
    # A chunk that was written takes at least one byte, which spares counting absurd numbers.
    if n_chunks > path.stat().st_size or dataset.id.get_num_chunks() < n_chunks:
        return f"declares {n_values:,} values in {n_chunks:,} chunks, but not all were written"
    return None


def text_problem(dataset: h5py.Dataset, path: Path) -> str | None:
    """Why a dataset holds no texts that can be read safely; None where it does.

    HDF5 takes the length of a text of variable length from the file and reserves
    that much, up to 4 GB, before it notices that the file is damaged.
    """
    kind = h5py.check_string_dtype(dataset.dtype)
    if kind is None or dataset.shape is None:
        return f"holds {dataset.dtype}, not texts"
    if kind.length is None:
        return "holds texts of variable length, expected a fixed length"
    return storage_problem(dataset, path)


def chunk_bytes(dataset: h5py.Dataset) -> int:
    """Bytes of one chunk once unpacked."""
    return math.prod(dataset.chunks) * dataset.dtype.itemsize if dataset.chunks else 0


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
