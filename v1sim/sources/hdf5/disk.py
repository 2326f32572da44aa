"""HDF5 files that are written to disk piece by piece, whatever the disk does."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import h5py

from v1sim.output import replacing

__all__ = ["new_hdf5", "open_disk"]


@contextmanager
def open_disk(path: Path, mode: Literal["w", "r+"]) -> Iterator[h5py.File]:
    """Give an HDF5 file to write to; when the block ends well, the disk has it.

    HDF5 can crash the process when a disk is full. Here it does not hear of it: what it writes
    goes through a Python file that notes the first error, which is raised when HDF5 is done.

    Raises
    ------
    OSError
        If the disk did not take all of it.
    """
    with path.open("wb+" if mode == "w" else "rb+", buffering=0) as raw:
        stream = _Patient(raw)
        try:
            with h5py.File(stream, mode, driver="fileobj", rdcc_nbytes=0) as file:
                yield file
        except Exception as error:
            raise (stream.error or error) from error
        if stream.error is not None:
            raise stream.error
        os.fsync(raw.fileno())


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give an HDF5 file to write to, which gets its name when it is complete.

    Raises
    ------
    OutputError
        If the disk did not take all of it.
    """
    with replacing(path) as temporary, open_disk(temporary, "w") as file:
        yield file


class _Patient(io.RawIOBase):
    """A file that takes everything; ``error`` is the first that the system reported."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self._place = 0
        self._end = raw.seek(0, os.SEEK_END)
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        """As of any file."""
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """What was written; zeros where an error kept it from the disk."""
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._end - self._place))
        done = 0
        while done < wanted:
            part = os.pread(self._raw.fileno(), wanted - done, self._place + done)
            if not part:
                part = bytes(wanted - done)
            view[done : done + len(part)] = part
            done += len(part)
        self._place += done
        return done

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        """Everything, or the error is noted; after one, nothing."""
        view, done = memoryview(data).cast("B"), 0
        while self.error is None and done < len(view):
            try:
                done += os.pwrite(self._raw.fileno(), view[done:], self._place + done)
            except OSError as error:
                self.error = error
        self._place += len(view)
        self._end = max(self._end, self._place)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """As of any file."""
        self._end = self._place if size is None else size
        try:
            self._raw.truncate(self._end)
        except OSError as error:
            self.error = self.error or error
        return self._end
