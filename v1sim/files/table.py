"""Tables as text that v1sim is given: one line a row under a line of names."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.files.identify import identify, printable
from v1sim.memory import raise_lack_of_memory

__all__ = ["Table", "read_table"]


#: NumPy keeps every field as long as the longest one.
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True, eq=False)
class Table:
    """Names of the columns and the text of every field, shape (rows, columns)."""

    path: Path
    names: list[str]
    field: NDArray[np.str_]
    error: type[InputError]

    def __len__(self) -> int:
        return len(self.field)

    def texts(self, name: str) -> NDArray[np.str_]:
        """One column."""
        return self.field[:, self.names.index(name)]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """One column of numbers; an empty field is NaN.

        Raises
        ------
        InputError
            If a field is no number.
        """
        column = self.texts(name)
        try:
            return np.where(column == "", "nan", column).astype(np.float64)
        except ValueError as error:
            raise self.error(
                f"cannot be read as a table: {printable(error)}",
                where=str(self.path),
                expected=f"numbers, or nothing, in the column {printable(name)}",
            ) from error


def read_table(path: Path, *, error: type[InputError], expected: str) -> Table:
    """Read a table whose columns are separated by commas, semicolons, tabs or blanks.

    A byte order mark, as Excel and Notepad put it, is passed over. Where columns are
    separated by single blanks, two of them have an empty field between them, as
    pandas writes NaN.

    Raises
    ------
    InputError
        Of the kind ``error``: if the file cannot be read as such a table.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        identity = identify(path)
    except (OSError, UnicodeDecodeError) as unread:
        raise error(f"cannot be read: {unread}", where=str(path), expected=expected) from unread
    if identity is not None:
        raise error(
            f"cannot be read: it is {identity.what}",
            where=str(path),
            expected=expected,
            hint=identity.hint,
        )
    header, _, body = text.partition("\n")
    separator = next((sign for sign in ",;\t" if sign in header), None)
    names = [name.strip().strip('"') for name in header.split(separator)]
    longest = max(map(len, text.split("\n")))
    problem = "" if longest <= _LONGEST_LINE else f"a line of {longest:,} characters"
    for delimiter in () if problem else (separator,) if separator else (None, " "):
        try:
            field = _fields(body, delimiter)
        except Exception as unread:  # whatever the text makes of it
            raise_lack_of_memory(unread)
            problem = problem or printable(unread)
            continue
        if not field.size or field.shape[1] == len(names):
            return Table(path, names, field.reshape(-1, len(names)), error)
        problem = problem or f"{field.shape[1]} values on each line under {len(names)} names"
    raise error(
        f"cannot be read as a table: {problem}",
        where=str(path),
        expected=f"{len(names)} values on every line",
    )


def _fields(body: str, delimiter: str | None) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "input contained no data"
        return np.char.strip(
            np.loadtxt(
                io.StringIO(body),
                dtype=np.str_,
                ndmin=2,
                comments=None,
                delimiter=delimiter,
                quotechar='"',
            )
        )
