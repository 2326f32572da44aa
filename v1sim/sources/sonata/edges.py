"""Populations of edges, read in blocks: ids, types, and the columns of their groups.

`open_edges` gives the populations of one entry of a configuration; `EdgePopulation.blocks` yields
their rows in the order of the file, whatever the number of edges. Every edge is looked up in the
row of its group that ``edge_group_index`` names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.errors import NetworkFileError
from v1sim.files.hdf5 import GivenHdf5, given_hdf5
from v1sim.files.identify import printable
from v1sim.memory import raise_lack_of_memory
from v1sim.paging import forget, paged_array
from v1sim.sources.sonata.config import SonataEdges
from v1sim.sources.sonata.nodes import group_names
from v1sim.sources.sonata.types import TypeTable, read_types

__all__ = ["FACTORS", "EdgeBlock", "EdgeGroup", "EdgePopulation", "PartOfGroup", "open_edges"]

#: Columns that weights and delays are made of.
FACTORS = ("syn_weight", "nsyns", "delay")
_EXPECTED = (
    "a SONATA file of edges: edges/POPULATION/{source_node_id, target_node_id, edge_type_id, 0, "
    "...}"
)
#: Edges in a block: the work arrays stay within the CPU's cache.
_BLOCK = 1 << 16
#: Chunks of a file that are larger than a block are read whole, up to this many edges.
_LARGEST_BLOCK = 1 << 22
#: A group's rows are read as they lie in the file where they span at most so many times their
#: number; otherwise the column is read once, into a scratch file.
_SPARSE = 4


@dataclass(eq=False)
class EdgeGroup:
    """The columns of one group. ``n`` is the number of its rows, ``columns`` what they are called.

    ``others`` are groups and texts in it, of which nothing is read.
    """

    number: int
    path: str
    n: int
    columns: tuple[str, ...]
    others: tuple[str, ...]
    _file: GivenHdf5
    _dataset: dict[str, h5py.Dataset] = field(default_factory=dict)
    _whole: dict[str, NDArray[Any]] = field(default_factory=dict)

    def where(self, column: str = "") -> str:
        """The group or a column of it, as messages name it."""
        return self._file.where(f"{self.path}/{column}" if column else self.path)

    def dtype(self, column: str) -> np.dtype[Any]:
        """Type of a column in the file."""
        return self._dataset[column].dtype

    @property
    def chunk(self) -> int:
        """Rows of the largest chunk of a column."""
        return max((d.chunks[0] for d in self._dataset.values() if d.chunks), default=1)

    def take(self, column: str, index: NDArray[np.integer] | slice) -> NDArray[Any]:
        """Values of a column at these rows of the group, in the type of the file."""
        dataset = self._dataset[column]
        if isinstance(index, slice):
            try:
                return dataset[index]
            except Exception as error:  # h5py raises many kinds on damaged files
                raise _unreadable(self._file, f"{self.path}/{column}", error) from error
        if not len(index):
            return np.empty(0, dtype=dataset.dtype)
        if column in self._whole:
            return self._whole[column][index]
        first, last = int(index.min()), int(index.max())
        try:
            if last - first + 1 <= _SPARSE * len(index):
                return dataset[first : last + 1][index - first]
            self._whole[column] = self._read_whole(dataset)
        except Exception as error:  # h5py raises many kinds on damaged files
            raise _unreadable(self._file, f"{self.path}/{column}", error) from error
        return self._whole[column][index]

    def _read_whole(self, dataset: h5py.Dataset) -> NDArray[Any]:
        values = paged_array(self.n, dataset.dtype)
        for start in range(0, self.n, _BLOCK):
            values[start : start + _BLOCK] = dataset[start : start + _BLOCK]
            forget(values)
        return values


@dataclass(frozen=True, eq=False)
class PartOfGroup:
    """The edges of a block that are in one group.

    ``rows`` are their places in the block, None for all of them; ``index`` the rows of the
    group, a slice where they follow each other. Both leave out edges whose row the group does
    not have.
    """

    group: EdgeGroup
    rows: NDArray[np.intp] | None
    index: NDArray[np.int64] | slice

    def take(self, column: str) -> NDArray[Any]:
        """A column of the group for these edges."""
        return self.group.take(column, self.index)


@dataclass(frozen=True, eq=False)
class EdgeBlock:
    """Edges ``start``, ``start`` + 1, ... of a population, with the ids of the file.

    ``type_row`` is the row of each edge's type in the population's ``types``; ``lost`` are the
    places in the block of edges whose group, or row of it, does not exist.
    """

    start: int
    source_id: NDArray[np.integer]
    target_id: NDArray[np.integer]
    type_row: NDArray[np.integer]
    parts: tuple[PartOfGroup, ...]
    lost: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.source_id)


@dataclass(eq=False)
class EdgePopulation:
    """Edges from one population of nodes to one, in an open file.

    While `blocks` are read, ``n_seen`` counts the edges of each group, ``n_out_of_order`` those
    whose row in the group is not the one that BMTK takes, with examples in ``out_of_order``;
    ``rows_are_indices`` says whether each edge's row in its group is its row in the file.
    """

    name: str
    path: Path
    source: str
    target: str
    n: int
    types: TypeTable
    groups: dict[int, EdgeGroup]
    has_group_ids: bool
    _file: GivenHdf5
    n_seen: dict[int, int] = field(default_factory=dict)
    n_out_of_order: dict[int, int] = field(default_factory=dict)
    out_of_order: list[str] = field(default_factory=list)
    rows_are_indices: bool = True

    def where(self, dataset: str = "") -> str:
        """The population or a dataset of it, as messages name it."""
        return self._file.where(self._path(dataset) if dataset else f"edges/{self.name}")

    def _path(self, dataset: str) -> str:
        return f"edges/{self.name}/{dataset}"

    def blocks(self) -> Iterator[EdgeBlock]:
        """All edges, in the order of the file.

        Raises
        ------
        NetworkFileError
            If the file cannot be read, or an edge has a type that the table does not.
        """
        names = ["source_node_id", "target_node_id", "edge_type_id"]
        if self.has_group_ids:
            names += ["edge_group_id", "edge_group_index"]
        datasets = [_column(self._file, self._path(name), self.n) for name in names]
        chunk = max(
            1,
            *(dataset.chunks[0] for dataset in datasets if dataset.chunks),
            *(group.chunk for group in self.groups.values()),
        )
        chunk = min(chunk, _LARGEST_BLOCK)
        step = max(chunk, _BLOCK // chunk * chunk)
        lookup = _TypeRows(self.types)
        for start in range(0, self.n, step):
            stop = min(start + step, self.n)
            try:
                ids = [dataset[start:stop] for dataset in datasets]
            except Exception as error:  # h5py raises many kinds on damaged files
                raise _unreadable(self._file, f"edges/{self.name}", error) from error
            type_row = lookup(ids[2])
            if (type_row < 0).any():
                raise self._no_such_type(ids[2], type_row, start)
            parts, lost = self._parts(start, stop, ids[3:])
            yield EdgeBlock(start, ids[0], ids[1], type_row, parts, lost)

    def _parts(
        self, start: int, stop: int, group_ids: list[NDArray[Any]]
    ) -> tuple[tuple[PartOfGroup, ...], NDArray[np.intp]]:
        n = stop - start
        nothing = np.empty(0, dtype=np.intp)
        if not group_ids:
            number = next(iter(self.groups), None)
            if number is None:
                return (), nothing
            return self._part_of(number, None, np.arange(start, stop), start)
        group_id, index = group_ids[0], group_ids[1]
        first = group_id[0]
        if (group_id == first).all():
            return self._part_of(int(first), None, index, start)
        parts: list[PartOfGroup] = []
        lost = [nothing]
        for number in np.unique(group_id):  # a few groups
            rows = np.flatnonzero(group_id == number)
            part, gone = self._part_of(int(number), rows, index[rows], start)
            parts += part
            lost.append(gone)
        return tuple(parts), np.sort(np.concatenate(lost)) if n else nothing

    def _part_of(
        self,
        number: int,
        rows: NDArray[np.intp] | None,
        index: NDArray[np.integer],
        start: int,
    ) -> tuple[tuple[PartOfGroup, ...], NDArray[np.intp]]:
        """Edges of one group, and the places of those that have no row in it."""
        group = self.groups.get(number)
        n_rows = 0 if group is None else group.n
        if group is not None and not group.columns:
            n_rows = self.n  # it has no rows that could be missing
        seen = self.n_seen.get(number, 0)
        self.n_seen[number] = seen + len(index)
        nothing = np.empty(0, dtype=np.intp)
        end = seen + len(index)
        fits = end <= np.iinfo(index.dtype).max
        if fits and np.array_equal(index, np.arange(seen, end, dtype=index.dtype)):
            # The rows follow each other: all that most files have.
            self.rows_are_indices &= seen == start and (rows is None or rows[-1] < len(rows))
            if group is not None and end <= n_rows:
                return (PartOfGroup(group, rows, slice(seen, end)),), nothing
        return self._part_by_rows(group, n_rows, rows, index.astype(np.int64), start, seen)

    def _part_by_rows(
        self,
        group: EdgeGroup | None,
        n_rows: int,
        rows: NDArray[np.intp] | None,
        index: NDArray[np.int64],
        start: int,
        seen: int,
    ) -> tuple[tuple[PartOfGroup, ...], NDArray[np.intp]]:
        """As `_part_of`, of edges whose rows lie anywhere."""
        in_block = np.arange(len(index)) if rows is None else rows
        self.rows_are_indices &= bool(np.array_equal(index, in_block + start))
        if group is None:
            return (), in_block
        number = group.number
        expected = np.arange(seen, seen + len(index))
        differs = index != expected
        if differs.any():
            self.n_out_of_order[number] = self.n_out_of_order.get(number, 0) + int(differs.sum())
            if len(self.out_of_order) < 5:
                place = int(np.flatnonzero(differs)[0])
                self.out_of_order.append(
                    f"edge {start + int(in_block[place]):,}: row {index[place]:,} of group "
                    f"{number}, BMTK takes row {expected[place]:,}"
                )
        outside = (index < 0) | (index >= n_rows)
        if outside.any():
            keep = ~outside
            return (PartOfGroup(group, in_block[keep], index[keep]),), in_block[outside]
        return (PartOfGroup(group, rows, index),), in_block[:0]

    def _no_such_type(
        self, type_id: NDArray[Any], type_row: NDArray[np.integer], start: int
    ) -> NetworkFileError:
        missing = np.flatnonzero(type_row < 0)
        ids = np.unique(type_id[missing])
        more = f" (nor {', '.join(map(str, ids[:5]))})" if len(ids) > 1 else ""
        return NetworkFileError(
            f"edge {start + missing[0]:,} has the type {type_id[missing[0]]}, which the table does "
            f"not have{more}",
            where=self.where("edge_type_id"),
            expected=f"types of {self.types.where}",
        )


class _TypeRows:
    """Rows of types by their ids, fast where the ids are small."""

    def __init__(self, types: TypeTable) -> None:
        self._types = types
        ids = types.ids
        self._table: NDArray[np.int32] | None = None
        if len(ids) and ids.min() >= 0 and ids.max() < 1 << 20:
            self._table = np.full(int(ids.max()) + 1, -1, dtype=np.int32)
            self._table[ids] = np.arange(len(ids))

    def __call__(self, type_id: NDArray[Any]) -> NDArray[np.integer]:
        table = self._table
        if table is None or (len(type_id) and not 0 <= type_id.min() <= type_id.max() < len(table)):
            return self._types.rows_of(type_id.astype(np.int64))
        return table.take(type_id)


@contextmanager
def open_edges(files: SonataEdges) -> Iterator[list[EdgePopulation]]:
    """Open all populations of one entry of ``networks.edges``.

    Raises
    ------
    NetworkFileError
        If a file cannot be read, or has no populations of edges.
    """
    types = read_types(files.types, "edge_type_id")
    with ExitStack() as stack:
        found = []
        for path in files.edges:
            file = stack.enter_context(given_hdf5(path, error=NetworkFileError, expected=_EXPECTED))
            names = [name for name in file.names("edges") if file.is_group(f"edges/{name}")]
            if not names:
                raise file.missing("edges/POPULATION")
            found += [_population(file, name, types) for name in names]
        yield found


def _population(file: GivenHdf5, name: str, types: TypeTable) -> EdgePopulation:
    root = f"edges/{name}"
    source_ids = file.dataset(f"{root}/source_node_id")
    if source_ids is None:
        raise file.missing(f"{root}/source_node_id")
    n = source_ids.shape[0] if source_ids.ndim else 0
    ends = []
    for column in ("source_node_id", "target_node_id"):
        _column(file, f"{root}/{column}", n)
        population = file.text_attribute(f"{root}/{column}", "node_population")
        if population is None:
            raise NetworkFileError(
                "has no attribute node_population",
                where=file.where(f"{root}/{column}"),
                expected="the name of the population that these nodes are of",
            )
        ends.append(population)
    _column(file, f"{root}/edge_type_id", n)
    has_group_ids = file.has(f"{root}/edge_group_id") or file.has(f"{root}/edge_group_index")
    numbers = group_names(file, root)
    if not has_group_ids and len(numbers) > 1:
        raise NetworkFileError(
            f"has the groups {', '.join(map(str, numbers))}, but no edge_group_id",
            where=file.where(root),
            expected="edge_group_id and edge_group_index, or one group",
        )
    return EdgePopulation(
        name=name,
        path=file.path,
        source=ends[0],
        target=ends[1],
        n=n,
        types=types,
        groups={number: _group(file, f"{root}/{number}", number) for number in numbers},
        has_group_ids=has_group_ids,
        _file=file,
    )


def _group(file: GivenHdf5, path: str, number: int) -> EdgeGroup:
    columns: dict[str, h5py.Dataset] = {}
    others: list[str] = []
    for name in file.names(path):
        inner = f"{path}/{name}"
        if file.is_group(inner):
            others += [f"{name}/{deeper}" for deeper in file.names(inner)]
            continue
        dataset = file.dataset(inner)
        if dataset is None:
            continue
        if dataset.ndim == 1 and dataset.dtype.kind in "fiu":
            columns[name] = dataset
        elif name in FACTORS:
            raise NetworkFileError(
                f"has the shape {dataset.shape} of {dataset.dtype}",
                where=file.where(inner),
                expected="one number a row of the group",
            )
        else:
            others.append(name)
    lengths = {name: dataset.shape[0] for name, dataset in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{printable(k)} {v:,}" for k, v in lengths.items())
        raise NetworkFileError(
            f"columns differ in length: {listed}",
            where=file.where(path),
            expected="one value a row of the group in each",
        )
    n = next(iter(lengths.values()), 0)
    return EdgeGroup(number, path, n, tuple(columns), tuple(others), file, columns)


def _column(file: GivenHdf5, name: str, n: int) -> h5py.Dataset:
    """A dataset of n whole numbers, which is read later."""
    dataset = file.dataset(name)
    if dataset is None:
        raise file.missing(name)
    if dataset.shape != (n,) or dataset.dtype.kind not in "iu":
        raise NetworkFileError(
            f"has the shape {dataset.shape} of {dataset.dtype}",
            where=file.where(name),
            expected=f"{n:,} whole numbers",
        )
    return dataset


def _unreadable(file: GivenHdf5, name: str, error: Exception) -> NetworkFileError:
    raise_lack_of_memory(error)
    return NetworkFileError(
        f"cannot be read: {printable(' '.join(str(error).split()) or type(error).__name__)}",
        where=file.where(name),
        expected=_EXPECTED,
        hint="copy or make the file again",
    )
