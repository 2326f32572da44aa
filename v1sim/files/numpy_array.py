"""NumPy's ``.npy`` files that v1sim is given: an array that is there whole, and no pickles."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.files.hdf5 import refuse_more_than_memory
from v1sim.files.identify import identify, printable
from v1sim.memory import raise_lack_of_memory

__all__ = ["read_array"]


def read_array(
    path: Path, *, error: type[InputError], expected: str, mapped: bool = False
) -> NDArray[Any]:
    """The array of a ``.npy`` file.

    Parameters
    ----------
    path : Path
        The file.
    error : type
        `InputError` or one of its kinds.
    expected : str
        What the file is to be, for messages.
    mapped : bool
        Whether to leave the values in the file until they are used.

    Raises
    ------
    InputError
        Of the kind that was asked for: if it is no such file, is cut off, or holds objects.
    """
    try:
        with path.open("rb") as stream:
            shape, dtype = _header(stream)
            n_bytes = math.prod(shape) * dtype.itemsize
            n_stored = path.stat().st_size - stream.tell()
        if dtype.hasobject:
            seen = "it holds Python objects, which are not read"
        elif n_stored < n_bytes:
            seen = f"it is cut off: {n_stored:,} bytes of values are there, {n_bytes:,} are meant"
        else:
            if not mapped:
                refuse_more_than_memory(n_bytes, where=str(path), error=error)
            values: NDArray[Any] = np.load(
                path, mmap_mode="r" if mapped and n_bytes else None, allow_pickle=False
            )
            return values
        hint = "save it again with numpy.save"
    except InputError:
        raise
    except Exception as problem:  # damaged headers raise many kinds
        raise_lack_of_memory(problem)
        seen, hint = _why_not(path, problem)
    raise error(f"cannot be read: {seen}", where=str(path), expected=expected, hint=hint)


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        msg = f"a version {version} of the format"
        raise ValueError(msg)
    shape, _, dtype = read(stream)
    if any(size < 0 for size in shape):
        msg = f"a shape of {shape}"
        raise ValueError(msg)
    return shape, dtype


def _why_not(path: Path, problem: Exception) -> tuple[str, str]:
    if not path.exists():
        return "no such file", "check the path"
    if not path.is_file():
        return "no file", "check the path"
    try:
        identity = identify(path)
    except OSError as reason:
        return str(reason.strerror or reason), "check its permissions and the disk"
    if identity is not None and "NumPy array" not in identity.what:
        return f"it is {identity.what}", identity.hint
    text = printable(" ".join(str(problem).split()) or type(problem).__name__)
    return f"it is damaged or no NumPy array ({text})", "save it again with numpy.save"
