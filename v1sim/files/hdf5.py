"""HDF5 files that v1sim is given, opened in one way.

What HDF5 passes in silence is refused: datasets of which parts were never written (they read as
zeros), and values that lie in other files (external links, virtual datasets, external
storage), which no digest of the file would see. Sizes are looked at before anything is read.

- `given_hdf5`: open a file; `GivenHdf5` reads its datasets
- `open_hdf5`: the file alone, or the reason why it cannot be opened
- `storage_problem`, `text_problem`, `chunk_bytes`: single datasets
"""

from __future__ import annotations

import contextlib
import importlib
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.files.identify import identify, identify_hdf5, printable
from v1sim.memory import memory_limit, raise_lack_of_memory

__all__ = [
    "FILTER_HINT",
    "GivenHdf5",
    "chunk_bytes",
    "closing_quietly",
    "filter_problem",
    "fixed_length_texts",
    "given_hdf5",
    "open_hdf5",
    "refuse_more_than_memory",
    "storage_problem",
    "text_problem",
]

#: What installs the usual filters, or does without them.
FILTER_HINT = "pip install hdf5plugin, or h5repack -f GZIP=1 IN OUT"
#: Names of a file that a message lists at most.
_MOST_NAMES = 12


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


def filter_problem(dataset: h5py.Dataset) -> str | None:
    """Which compression is missing here; None where the dataset can be unpacked."""
    plist = dataset.id.get_create_plist()
    for index in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(index)
        if h5py.h5z.filter_avail(code):
            continue
        with contextlib.suppress(ImportError):
            importlib.import_module("hdf5plugin")  # registers its filters
        if not h5py.h5z.filter_avail(code):
            called = printable(name.decode(errors="replace"))
            return f"is compressed with {called} (HDF5 filter {code}), which is not installed"
    return None


def fixed_length_texts(texts: Sequence[str]) -> NDArray[np.bytes_]:
    """Texts as `text_problem` wants them: UTF-8 of a fixed length."""
    encoded = [text.encode() for text in texts]
    length = max(map(len, encoded), default=0)
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(length, 1)))


def open_hdf5(path: Path, **options: Any) -> h5py.File:
    """An HDF5 file, open for reading.

    Raises
    ------
    InputError
        Saying why it cannot be opened, and what to do.
    """
    if not path.is_file():
        seen = "is a folder" if path.is_dir() else "no file" if path.exists() else "no such file"
        raise InputError(f"cannot be read: {seen}", where=str(path), hint="check the path")
    try:
        return h5py.File(path, "r", **options)
    except Exception as error:  # h5py raises many kinds on files that are not HDF5
        raise_lack_of_memory(error)
        seen, hint = _why_not(path, error)
        raise InputError(
            f"cannot be read as HDF5: {seen}",
            where=str(path),
            expected="a whole HDF5 file",
            hint=hint,
        ) from error


@contextmanager
def closing_quietly(file: h5py.File) -> Iterator[h5py.File]:
    """Close a file at the end of the block; a damaged one may not close, which says nothing new."""
    try:
        yield file
    finally:
        with contextlib.suppress(Exception):
            file.close()


def _why_not(path: Path, error: Exception) -> tuple[str, str]:
    """Why a file does not open, and what to do."""
    text = " ".join(str(error).split())
    cut = re.search(r"eof = (\d+), sblock->base_addr = \d+, stored_eof = (\d+)", text)
    if cut:
        is_there, wanted = (int(number) for number in cut.groups())
        seen = f"it is cut off: {is_there:,} bytes are there, {wanted:,} were written"
        return seen, "copy or download the file again"
    if "already open for write" in text or "h5clear" in text:
        seen = "it was not closed by the program that wrote it, which runs still or was killed"
        return seen, f"close that program; if it was killed: h5clear -s {path}"
    if "unable to lock" in text:
        return "another program has it open for writing", "close the other program"
    if isinstance(error, PermissionError):
        return "no permission", "check its permissions"
    try:
        identity = identify(path)
    except OSError as problem:
        return str(problem.strerror or problem), "check its permissions and the disk"
    if identity is not None:
        return f"it is {identity.what}", identity.hint
    with path.open("rb") as stream:
        is_hdf5 = b"\x89HDF\r\n\x1a\n" in stream.read(4096)
    if is_hdf5:
        return f"it is damaged ({printable(text)})", "copy or make the file again"
    return "this is no HDF5 file", "check the path"


def refuse_more_than_memory(
    n_bytes: int, *, where: str, error: type[InputError] = InputError
) -> None:
    """Refuse to read what does not fit: damaged and compressed files can declare any size.

    Raises
    ------
    InputError
        Or another ``error``.
    """
    limit = memory_limit()
    free = psutil.virtual_memory().available
    allowed = free if limit is None else min(free, int(limit.mb * 1e6))
    if n_bytes > allowed:
        raise error(
            f"declares {n_bytes / 1e9:,.1f} GB, {allowed / 1e9:,.1f} GB are free",
            where=where,
            expected="what fits into memory",
            hint="check the file, or use a machine with more memory",
        )


@contextmanager
def given_hdf5(path: Path, *, error: type[InputError], expected: str) -> Iterator[GivenHdf5]:
    """Give an HDF5 file for reading; whatever is wrong with it becomes an ``error``.

    Parameters
    ----------
    path : Path
        The file.
    error : type
        `InputError` or one of its kinds.
    expected : str
        What the file is to be, for its messages.

    Raises
    ------
    InputError
        Of the kind that was asked for.
    """
    try:
        file = open_hdf5(path)
    except InputError as problem:
        raise error(
            problem.seen, where=str(path), expected=expected, hint=problem.hint
        ) from problem
    with closing_quietly(file):
        yield GivenHdf5(file, path, error, expected)


def _text(name: str | bytes) -> str:
    """A name in a file: h5py gives those that are not UTF-8 as bytes."""
    return name if isinstance(name, str) else name.decode("utf-8", errors="replace")


class GivenHdf5:
    """An open HDF5 file whose datasets are read whole and sound, or not at all."""

    def __init__(self, file: h5py.File, path: Path, error: type[InputError], expected: str) -> None:
        self.file = file
        self.path = path
        self._error = error
        self._expected = expected

    def where(self, name: str) -> str:
        """A dataset as messages name it."""
        return f"{self.path}:/{printable(name).lstrip('/')}"

    def names(self, group: str = "/") -> list[str]:
        """Names in a group, sorted; none where it is no group."""
        item = self._item(group) if group.strip("/") else self.file
        if not isinstance(item, h5py.Group):
            return []
        try:
            return sorted(_text(name) for name in item)
        except Exception as error:  # h5py raises many kinds on damaged files
            raise self._unreadable(group, error) from error

    def listed(self, group: str = "/") -> str:
        """The names in a group for a message."""
        names = [printable(name) for name in self.names(group)]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return (", ".join(names[:_MOST_NAMES]) + more) or "nothing at all"

    def missing(self, name: str, *, hint: str | None = None) -> InputError:
        """The error that a dataset is not there, which says what the file is instead."""
        identity = identify_hdf5(self.file)
        seen = f"no dataset {printable(name)!r}, but {self.listed()}"
        if identity is not None:
            seen += f": this is {identity.what}"
        return self._error(
            seen,
            where=str(self.path),
            expected=self._expected,
            hint=hint or (identity.hint if identity else None),
        )

    def has(self, name: str) -> bool:
        """Whether anything has this name."""
        return self._item(name) is not None

    def is_group(self, name: str) -> bool:
        """Whether a group has this name."""
        return isinstance(self._item(name), h5py.Group)

    def datasets(self) -> list[str]:
        """Names of all datasets of the file, however deep."""
        found: list[str] = []

        def visit(name: str | bytes, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                found.append(_text(name))

        try:
            self.file.visititems(visit)
        except Exception as error:  # h5py raises many kinds on damaged files
            raise self._unreadable("/", error) from error
        return sorted(found)

    def _item(self, name: str) -> Any:
        """What has this name, None where nothing has; no link leads out of the file."""
        parts = [part for part in name.split("/") if part]
        try:
            for depth in range(1, len(parts) + 1):
                prefix = "/".join(parts[:depth])
                link = self.file.get(prefix, getlink=True)
                if link is None:
                    return None
                if isinstance(link, h5py.ExternalLink):
                    raise self._error(
                        f"is a link to another file ({printable(link.filename)})",
                        where=self.where(prefix),
                        expected="values in the file itself",
                        hint="copy it with h5repack, or h5copy the dataset into one file",
                    )
                if depth < len(parts) and not isinstance(self.file[prefix], h5py.Group):
                    return None
            return self.file[name]
        except InputError:
            raise
        except Exception as error:  # h5py raises many kinds on damaged files
            raise self._unreadable(name, error) from error

    def dataset(self, name: str) -> h5py.Dataset | None:
        """A dataset that holds what it declares; None where no dataset has this name.

        Raises
        ------
        InputError
            If parts of it were never written, lie in other files or cannot be unpacked.
        """
        item = self._item(name)
        if not isinstance(item, h5py.Dataset):
            return None
        try:
            if item.shape is None:
                reason: str | None = "is empty"
            else:
                reason = storage_problem(item, self.path)
            missing_filter = filter_problem(item)
        except Exception as error:  # h5py raises many kinds on damaged files
            raise self._unreadable(name, error) from error
        if reason is not None:
            raise self._error(
                reason,
                where=self.where(name),
                expected="a dataset that was written to its end, in this file",
                hint="write or copy the file again",
            )
        if missing_filter is not None:
            raise self._error(
                missing_filter,
                where=self.where(name),
                expected="a compression that is installed",
                hint=FILTER_HINT,
            )
        return item

    def read(self, dataset: h5py.Dataset, selection: Any = ()) -> NDArray[Any]:
        """Values of a dataset that `dataset` gave, after a look at how many there are."""
        name = str(dataset.name)
        n_bytes = math.prod(dataset.shape) * dataset.dtype.itemsize
        if selection != ():
            n_bytes //= max(1, dataset.shape[0])
        refuse_more_than_memory(
            n_bytes + chunk_bytes(dataset), where=self.where(name), error=self._error
        )
        try:
            return np.asarray(dataset[selection])
        except Exception as error:  # h5py raises many kinds on damaged files
            raise self._unreadable(name, error) from error

    def numbers(
        self, name: str, shape: tuple[int | None, ...], *, kinds: str = "fiu", expected: str
    ) -> NDArray[Any]:
        """A dataset of numbers of a known shape (None: any length).

        Raises
        ------
        InputError
            If it is not there, is of another kind or shape, or cannot be read.
        """
        dataset = self.dataset(name)
        if dataset is None:
            raise self.missing(name)
        fits = dataset.ndim == len(shape) and all(
            want in (None, seen) for want, seen in zip(shape, dataset.shape, strict=True)
        )
        if not fits or dataset.dtype.kind not in kinds:
            seen = f"shape {dataset.shape} of {dataset.dtype}"
            raise self._error(seen, where=self.where(name), expected=expected)
        return self.read(dataset)

    def texts(self, name: str) -> list[str]:
        """A dataset of texts, one a row."""
        dataset = self.dataset(name)
        if dataset is None:
            raise self.missing(name)
        kind = h5py.check_string_dtype(dataset.dtype)
        if kind is None or dataset.ndim != 1:
            seen = f"shape {dataset.shape} of {dataset.dtype}"
            raise self._error(seen, where=self.where(name), expected="texts, one a row")
        try:
            return [
                text.decode("utf-8") if isinstance(text, bytes) else str(text)
                for text in self.read(dataset).tolist()
            ]
        except UnicodeDecodeError as error:
            raise self._unreadable(name, error) from error

    def text(self, name: str) -> str | None:
        """A dataset that is one text; None where there is none."""
        dataset = self.dataset(name) if self.has(name) else None
        if dataset is None or dataset.shape != () or not h5py.check_string_dtype(dataset.dtype):
            return None
        value = self.read(dataset).item()
        return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)

    def text_attribute(self, name: str, attribute: str) -> str | None:
        """An attribute that is a text; None where there is none."""
        try:
            value = self.file[name].attrs.get(attribute)
        except Exception as error:  # h5py raises many kinds on damaged files
            raise self._unreadable(name, error) from error
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        if isinstance(value, bytes):
            value = value.decode("utf-8", errors="replace")
        return None if value is None else str(value)

    def _unreadable(self, name: str, error: Exception) -> InputError:
        raise_lack_of_memory(error)
        return self._error(
            f"cannot be read: {printable(' '.join(str(error).split()) or type(error).__name__)}",
            where=self.where(name),
            expected=self._expected,
            hint="copy or make the file again",
        )
