"""Writing compressed datasets: the filters of HDF5 (shuffle, gzip), applied in threads.

HDF5 runs its filters one chunk after the other. Chunks that were compressed outside are
put into the file as they are; any reader of HDF5 unpacks them like its own.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from concurrent.futures import Future

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from v1sim.memory import workers

__all__ = ["write_compressed"]

#: Bytes of a chunk before compression.
_CHUNK_BYTES = 1 << 18
_LEVEL = 1
#: Chunks that are compressed before they can be written, for each worker.
_AHEAD = 4
#: Size after compression, as a share, below which nearly all bytes were the same.
_FEW = 0.2


def write_compressed(
    file: h5py.File, path: str, values: NDArray[np.generic], dtype: DTypeLike | None = None
) -> None:
    """Write an array as a new dataset, compressed in chunks.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    path : str
        The dataset.
    values : array, shape (n, ...)
    dtype : dtype, optional
        Type in the file, if another than that of ``values``; it must hold them.
    """
    stored = np.dtype(values.dtype if dtype is None else dtype)
    if not values.size:
        file.create_dataset(path, data=values.astype(stored))
        return
    row_bytes = stored.itemsize * (values.size // len(values))
    n_rows = min(max(_CHUNK_BYTES // row_bytes, 1), len(values))
    dataset = file.create_dataset(
        path,
        shape=values.shape,
        dtype=stored,
        chunks=(n_rows, *values.shape[1:]),
        compression="gzip",
        compression_opts=_LEVEL,
        shuffle=True,
    )

    def shuffled(start: int) -> NDArray[np.uint8]:
        chunk = np.zeros((n_rows, *values.shape[1:]), dtype=stored)  # the last is stored whole too
        part = values[start : start + n_rows]
        chunk[: len(part)] = part
        return _shuffle(chunk)

    first = shuffled(0)
    # Shuffled numbers repeat bytes, seldom strings of them: to look for bytes alone takes half the
    # time and packs as well. Where nearly all is one byte, strings are unpacked faster.
    few = len(_deflate(first, zlib.Z_DEFAULT_STRATEGY)) < _FEW * first.size
    strategy = zlib.Z_DEFAULT_STRATEGY if few else zlib.Z_RLE
    starts = range(0, len(values), n_rows)
    n_workers = min(os.cpu_count() or 1, 8)
    with workers(n_workers) as pool:
        waiting: deque[tuple[int, Future[bytes]]] = deque()

        def write_first() -> None:
            start, chunk = waiting.popleft()
            dataset.id.write_direct_chunk((start, *(0 for _ in values.shape[1:])), chunk.result())

        for start in starts:
            waiting.append((start, pool.submit(lambda s: _deflate(shuffled(s), strategy), start)))
            if len(waiting) > _AHEAD * n_workers:  # what is not written yet takes memory
                write_first()
        while waiting:
            write_first()


def _shuffle(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """All first bytes, then all second ones, and so on: what changes little lies together."""
    return np.ascontiguousarray(values.reshape(-1).view(np.uint8).reshape(-1, values.itemsize).T)


def _deflate(data: NDArray[np.uint8], strategy: int) -> bytes:
    pack = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, 9, strategy)
    return pack.compress(data.data) + pack.flush()
