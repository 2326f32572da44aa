"""Tables of node and edge types: text with exactly one blank between fields.

Two blanks have an empty field between them, which is null like NONE, NULL, NA and nan. These are
the rules of pandas, with which BMTK reads the tables.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import NetworkFileError
from v1sim.files.identify import identify, printable

__all__ = ["NumberColumn", "TypeTable", "read_types"]

#: Texts that stand for no value.
_NULL = frozenset(
    (
        *("", "NONE", "None", "NULL", "null", "NA", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A"),
        *("<NA>", "nan", "NaN", "-nan", "-NaN", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    )
)
_MOST_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """Numbers of a column, shape (types,), NaN where null; ``is_integer`` if all are integers."""

    values: NDArray[np.float64]
    is_integer: bool


@dataclass(frozen=True, eq=False)
class TypeTable:
    """Types by their ids, of one file or several.

    ``ids`` (types,) are in the order of the files; ``columns`` has the text of each, None
    where null. ``where`` names the files for messages.
    """

    ids: NDArray[np.int64]
    columns: Mapping[str, tuple[str | None, ...]]
    where: str

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, type_id: NDArray[np.integer]) -> NDArray[np.int64]:
        """Row of each id, -1 for ids that the table does not have."""
        if not len(self):
            return np.full(len(type_id), -1, dtype=np.int64)
        order = np.argsort(self.ids, kind="stable")
        place = np.minimum(np.searchsorted(self.ids, type_id, sorter=order), len(self) - 1)
        row = order[place]
        return np.where(self.ids[row] == type_id, row, -1)

    def texts(self, name: str) -> tuple[str | None, ...]:
        """One column; all null where there is none."""
        return self.columns.get(name, (None,) * len(self))

    def has(self, name: str) -> bool:
        """Whether any type has a value of this name."""
        return any(text is not None for text in self.texts(name))

    def numbers(self, name: str) -> NumberColumn:
        """One column as numbers.

        Raises
        ------
        NetworkFileError
            If a field is no number.
        """
        texts = self.texts(name)
        values = np.full(len(texts), np.nan)
        for row, text in enumerate(texts):  # over types, of which there are hundreds
            if text is None:
                continue
            try:
                values[row] = float(text)
            except ValueError as error:
                raise NetworkFileError(
                    f"{printable(name)} of the type {self.ids[row]} is {printable(text)!r}",
                    where=self.where,
                    expected="a number, or NONE",
                ) from error
        given = [text for text in texts if text is not None]
        is_integer = len(given) == len(texts) and all(_is_integer(text) for text in given)
        return NumberColumn(values, is_integer)


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").removeprefix("+").isdecimal()


def read_types(paths: Sequence[Path], id_name: str) -> TypeTable:
    """Read the types of one population.

    Parameters
    ----------
    paths : sequence of Path
        The tables; their rows are put together.
    id_name : str
        "node_type_id" or "edge_type_id".

    Raises
    ------
    NetworkFileError
        If a table cannot be read, is separated by something else, or an id is there twice.
    """
    ids: list[int] = []
    columns: dict[str, list[str | None]] = {}
    for path in paths:
        names, rows = _rows(path, id_name)
        place = names.index(id_name)
        before = len(ids)
        for number, row in rows:
            ids.append(_id(row[place], id_name, path, number))
        for name in (*names, *columns):
            columns.setdefault(name, [None] * before)
        by_name = {name: i for i, name in enumerate(names)}
        for name, column in columns.items():
            i = by_name.get(name)
            column += [
                None if i is None or row[i] in _NULL else row[i] for _, row in rows
            ]  # fmt: skip
    where = ", ".join(map(str, paths))
    array = np.array(ids, dtype=np.int64)
    twice = np.flatnonzero(np.bincount(np.unique(array, return_inverse=True)[1]) > 1)
    if twice.size:
        raise NetworkFileError(
            f"the {id_name} {np.unique(array)[twice[0]]} stands in more than one row",
            where=where,
            expected="one row for each type",
            hint="BMTK refuses such tables too: give one of them another id",
        )
    held = {name: tuple(column) for name, column in columns.items() if name != id_name}
    return TypeTable(array, MappingProxyType(held), where)


def _id(text: str, id_name: str, path: Path, number: int) -> int:
    if not _is_integer(text) or abs(int(text)) >= 1 << 63:
        raise NetworkFileError(
            f"line {number}: {id_name} is {printable(text)!r}",
            where=str(path),
            expected="a whole number",
        )
    return int(text)


def _rows(path: Path, id_name: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Names of the columns, and line number and fields of each row."""
    expected = f"a table with {id_name} in its first line and one blank between fields"

    def error(seen: str, hint: str | None = None) -> NetworkFileError:
        return NetworkFileError(seen, where=str(path), expected=expected, hint=hint)

    try:
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise error(f"has {path.stat().st_size / 1e6:,.0f} MB, which no table of types has")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as problem:
        raise error(
            f"cannot be read: {problem.strerror or problem}", "check the path and its permissions"
        ) from problem
    except UnicodeDecodeError as problem:
        identity = identify(path)
        seen = f"it is {identity.what}" if identity else "is no text in UTF-8"
        raise error(seen, identity.hint if identity else None) from problem
    first = text.partition("\n")[0]
    for sign, name in (("\t", "tabs"), (",", "commas"), (";", "semicolons")):
        if sign in first and id_name in first.replace(sign, " ").split():
            raise error(
                f"its fields are separated by {name}",
                "BMTK reads such a table as one column; write it again with one blank between "
                "fields (pandas: to_csv(path, sep=' ', na_rep='NULL', index=False))",
            )
    try:
        read = csv.reader(text.splitlines(), delimiter=" ", strict=True)
        lines = [(read.line_num, fields) for fields in read if fields]
    except csv.Error as problem:
        raise error(f"cannot be read: {printable(problem)}") from problem
    if not lines:
        raise error("is empty")
    names = lines[0][1]
    while names and not names[-1]:  # blanks at the end of the line
        names.pop()
    if id_name not in names:
        identity = identify(path)
        shown = ", ".join(map(printable, names[:12]))
        seen = f"it is {identity.what}" if identity else f"has no column {id_name}, but {shown}"
        raise error(seen, identity.hint if identity else None)
    if "" in names or len(set(names)) < len(names):
        raise error(
            "its first line has two blanks between names, or a name twice",
            "write one blank between names, and each once",
        )
    rows = []
    for number, fields in lines[1:]:
        while len(fields) > len(names) and not fields[-1]:
            fields.pop()
        if len(fields) > len(names):
            raise error(
                f"line {number} has {len(fields)} fields under {len(names)} names",
                "texts with blanks in them stand between double quotes",
            )
        rows.append((number, fields + [""] * (len(names) - len(fields))))
    return names, rows
