"""Arrays that lie in a scratch file, so that a network may be larger than memory allows.

The system reads their pages when they are touched and drops them when memory is short;
`forget` drops them at once. The file has no name: it is gone when the array is.
"""

from __future__ import annotations

import mmap
import os
import tempfile

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["forget", "paged_array"]


def paged_array(n: int, dtype: DTypeLike) -> NDArray[np.generic]:
    """An array of zeros in a scratch file of its own, in the folder that TMPDIR names.

    Parameters
    ----------
    n : int
        Its length, at least 1.
    dtype : dtype
        Of its elements.

    Raises
    ------
    OSError
        If there is no room for it.
    """
    n_bytes = n * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile(prefix="v1sim-") as file:
        if hasattr(os, "posix_fallocate"):
            # A disk that fills up later would end the process (SIGBUS).
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            file.truncate(n_bytes)
        pages = mmap.mmap(file.fileno(), n_bytes)
    array: NDArray[np.generic] = np.frombuffer(pages, dtype=dtype)
    return array


def forget(array: NDArray[np.generic]) -> None:
    """Drop from memory what is there of a paged array, whole; nothing for other arrays.

    Its values stay in the scratch file and come back when they are touched.
    """
    base: object = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
