"""Populations of nodes: ids, types and columns, of several groups, as the files say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.cell_models import CELL_MODELS
from v1sim.errors import NetworkFileError
from v1sim.files.hdf5 import GivenHdf5, given_hdf5
from v1sim.files.identify import printable
from v1sim.receptors import Kind
from v1sim.sources.sonata.config import SonataNodes
from v1sim.sources.sonata.remarks import Remarks
from v1sim.sources.sonata.types import TypeTable, read_types

__all__ = ["Nodes", "group_names", "kind_of_name", "read_nodes", "whole_numbers"]

_EXPECTED = "a SONATA file of nodes: nodes/POPULATION/{node_type_id, node_id, 0, ...}"
#: What the types of real cells may be called; the second by older files.
_POINT = ("point_neuron", "point_process")
#: What HDF5 groups may say of models, which BMTK takes from the types alone.
_OF_TYPES = frozenset(
    (
        *("model_template", "dynamics_params", "model_type", "synapse_model"),
        *(
            name
            for model in CELL_MODELS.values()
            for p in model.parameters
            for name in ((p.nest,) if isinstance(p.nest, str) else p.nest)
        ),
    )
)
#: Columns that name the class of a cell, the best first.
_CLASS_COLUMNS = ("pop_name", "cell_line", "model_name", "cre_line")
#: Beginnings of the names of cell lines, by what they mark (Tasic et al. 2018, doi
#: 10.1038/s41586-018-0654-5).
_INHIBITORY_LINES = ("pvalb", "pv", "sst", "som", "htr3a", "vip", "lamp5", "ndnf", "gad", "chat")
_EXCITATORY_LINES = (
    *("scnn1a", "rorb", "nr5a1", "cux2", "emx1", "tlx3", "rbp4", "ntsr1", "slc17a7", "penk"),
    *("lgn", "son_", "soff", "ton_", "toff", "sons", "sont"),
)


@dataclass(frozen=True, eq=False)
class Nodes:
    """A population of nodes, in the order of its file.

    Parameters
    ----------
    name : str
        Its name.
    path : Path
        The HDF5 file.
    node_id, type_row : int array, shape (n,)
        Id of each node, and the row of its type in ``types``.
    group_id, group_index : int array, shape (n,)
        The group of each node, and its row there.
    types : TypeTable
        The types of the file, and maybe others.
    is_virtual : bool
        Whether the nodes are virtual, all of them; otherwise they are all cells to simulate.
    """

    name: str
    path: Path
    node_id: NDArray[np.int64]
    type_row: NDArray[np.int64]
    group_id: NDArray[np.int64]
    group_index: NDArray[np.int64]
    types: TypeTable
    is_virtual: bool
    _columns: dict[str, NDArray[np.float64] | None] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.node_id)

    @cached_property
    def ids_are_indices(self) -> bool:
        """Whether the ids are 0, 1, 2, ..."""
        return bool(np.array_equal(self.node_id, np.arange(len(self))))

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        return np.argsort(self.node_id, kind="stable")

    def index_of(self, node_id: NDArray[np.integer]) -> NDArray[np.int32]:
        """Index of each id, int32; -1 for ids that the population does not have."""
        n = len(self)
        if self.ids_are_indices:
            index = node_id.astype(np.int32)
            outside = (node_id < 0) | (node_id >= n)
            if outside.any():
                index[outside] = -1
            return index
        if not n:
            return np.full(len(node_id), -1, dtype=np.int32)
        place = np.searchsorted(self.node_id, node_id, sorter=self._order)
        row = self._order[np.minimum(place, n - 1)]
        return np.where(self.node_id[row] == node_id, row, -1).astype(np.int32)

    def column(self, name: str) -> NDArray[np.float64] | None:
        """A column as float64, shape (n,): a group's own, otherwise the type's; NaN where none.

        None where neither has it.
        """
        if name not in self._columns:
            self._columns[name] = self._read_column(name)
        return self._columns[name]

    def _read_column(self, name: str) -> NDArray[np.float64] | None:
        values = np.full(len(self), np.nan)
        found = self.types.has(name)
        if found:
            values = self.types.numbers(name).values[self.type_row]
        with given_hdf5(self.path, error=NetworkFileError, expected=_EXPECTED) as file:
            for group, rows in self._groups():
                path = f"nodes/{self.name}/{group}/{name}"
                dataset = file.dataset(path)
                if dataset is None:
                    continue
                if dataset.ndim != 1 or dataset.dtype.kind not in "fiu":
                    raise NetworkFileError(
                        f"has the shape {dataset.shape} of {dataset.dtype}",
                        where=file.where(path),
                        expected="one number a node of the group",
                    )
                values[rows] = file.read(dataset)[self.group_index[rows]]
                found = True
        return values if found else None

    def texts(self, name: str) -> NDArray[np.object_]:
        """A column of texts, shape (n,): a group's own, otherwise the type's; None where none."""
        values = np.array(self.types.texts(name), dtype=object)[self.type_row]
        with given_hdf5(self.path, error=NetworkFileError, expected=_EXPECTED) as file:
            for group, rows in self._groups():
                path = f"nodes/{self.name}/{group}/{name}"
                dataset = file.dataset(path)
                if dataset is not None and h5py.check_string_dtype(dataset.dtype) is not None:
                    read = np.array(file.texts(path), dtype=object)
                    values[rows] = read[self.group_index[rows]]
        return values

    def attribute(self, name: str) -> NDArray[np.float64] | None:
        """Numbers in an attribute of the first group; None where there is none."""
        with given_hdf5(self.path, error=NetworkFileError, expected=_EXPECTED) as file:
            try:
                values = np.asarray(file.file[f"nodes/{self.name}/0"].attrs[name])
                return values.astype(np.float64) if values.dtype.kind in "iuf" else None
            except Exception:  # h5py raises many kinds where there is none, or it is damaged
                return None

    def _groups(self) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """The groups that nodes are in, with the nodes of each."""
        for group in np.unique(self.group_id):
            yield int(group), np.flatnonzero(self.group_id == group)

    @cached_property
    def positions_um(self) -> NDArray[np.float64] | None:
        """x, y, z of each node, shape (n, 3); None unless every group has them."""
        columns = [self.column(axis) for axis in "xyz"]
        if any(column is None or np.isnan(column).any() for column in columns):
            return None
        return np.stack([c for c in columns if c is not None], axis=1)

    @cached_property
    def class_of_type(self) -> tuple[str | None, ...]:
        """Name of the class of each row of ``types``; None where the table names none."""
        columns = [self.types.texts(name) for name in _CLASS_COLUMNS]
        return tuple(
            next((text for text in texts if text), None)
            for texts in zip(*columns, strict=True)
        )  # fmt: skip

    @cached_property
    def kind_of_type(self) -> NDArray[np.uint8]:
        """`Kind` of each row of ``types``: by ``ei``, otherwise by the name of the class."""
        ei = self.types.texts("ei")
        kinds = [
            kind_of_name(given) if given else kind_of_name(name)
            for given, name in zip(ei, self.class_of_type, strict=True)
        ]
        return np.array(kinds, dtype=np.uint8).reshape(-1)

    @cached_property
    def kind(self) -> NDArray[np.uint8]:
        """`Kind` of each node, shape (n,)."""
        return self.kind_of_type[self.type_row]


def kind_of_name(name: str | None) -> Kind:
    """What a class of cells is, by its name: "e", "i", "e23Cux2", "LIF_exc", "Pvalb".

    Returns
    -------
    Kind
        `Kind.UNKNOWN` where the name does not say.
    """
    text = (name or "").strip().lower()
    if re.match(r"(e|exc|excitatory)([\d_ ]|$)", text) or re.search(r"_(e|exc)$", text):
        return Kind.EXCITATORY
    if re.match(r"(i|inh|inhibitory)([\d_ ]|$)", text) or re.search(r"_(i|inh)$", text):
        return Kind.INHIBITORY
    if text.startswith(_EXCITATORY_LINES):
        return Kind.EXCITATORY
    return Kind.INHIBITORY if text.startswith(_INHIBITORY_LINES) else Kind.UNKNOWN


def read_nodes(files: SonataNodes, remarks: Remarks) -> list[Nodes]:
    """Read all populations of one entry of ``networks.nodes``.

    Raises
    ------
    NetworkFileError
        If a file cannot be read, a type is missing, or the nodes are of a kind that cannot be
        simulated.
    """
    types = read_types(files.types, "node_type_id")
    found = []
    for path in files.nodes:
        with given_hdf5(path, error=NetworkFileError, expected=_EXPECTED) as file:
            names = [name for name in file.names("nodes") if file.is_group(f"nodes/{name}")]
            if not names:
                raise file.missing("nodes/POPULATION")
            found += [_population(file, name, types, remarks) for name in names]
    return found


def whole_numbers(file: GivenHdf5, name: str, n: int | None, expected: str) -> NDArray[np.int64]:
    """A dataset of whole numbers as int64, shape (n,).

    Raises
    ------
    NetworkFileError
        If it is not there, holds something else, or numbers of 2**63 and more.
    """
    values = file.numbers(name, (n,), kinds="iu", expected=expected)
    if values.dtype.kind == "u" and values.size and int(values.max()) >= 1 << 63:
        raise NetworkFileError(
            f"holds {int(values.max()):,}", where=file.where(name), expected="ids below 2**63"
        )
    return values.astype(np.int64)


def group_names(file: GivenHdf5, population: str) -> list[int]:
    """Numbers of the groups of a population, ascending."""
    names = file.names(population)
    return sorted(int(n) for n in names if n.isdecimal() and file.is_group(f"{population}/{n}"))


def _population(file: GivenHdf5, name: str, types: TypeTable, remarks: Remarks) -> Nodes:
    root = f"nodes/{name}"
    type_id = whole_numbers(file, f"{root}/node_type_id", None, "a type id for each node")
    n = len(type_id)
    node_id = np.arange(n, dtype=np.int64)
    if file.has(f"{root}/node_id"):
        node_id = whole_numbers(file, f"{root}/node_id", n, f"{n:,} ids of nodes")
        _refuse_twice(node_id, file.where(f"{root}/node_id"))
    type_row = types.rows_of(type_id)
    missing = np.flatnonzero(type_row < 0)
    if missing.size:
        ids = np.unique(type_id[missing])
        raise NetworkFileError(
            f"{missing.size:,} of {n:,} nodes have types that the table does not: "
            f"{', '.join(map(str, ids[:5]))}; the first is row {missing[0]:,}",
            where=file.where(f"{root}/node_type_id"),
            expected=f"types of {types.where}",
        )
    groups = group_names(file, root)
    group_id, group_index = np.zeros((2, n), dtype=np.int64)
    if file.has(f"{root}/node_group_id"):
        group_id = whole_numbers(file, f"{root}/node_group_id", n, f"{n:,} numbers of groups")
        group_index = whole_numbers(file, f"{root}/node_group_index", n, f"{n:,} rows of groups")
    else:
        group_index = np.arange(n, dtype=np.int64)
    for group in groups:
        _look_at_group(file, f"{root}/{group}", group_index[group_id == group], remarks)
    return Nodes(
        name=name,
        path=file.path,
        node_id=node_id,
        type_row=type_row,
        group_id=group_id,
        group_index=group_index,
        types=types,
        is_virtual=_is_virtual(types, np.unique(type_row), name),
    )


def _refuse_twice(node_id: NDArray[np.int64], where: str) -> None:
    ids, count = np.unique(node_id, return_counts=True)
    if (count > 1).any():
        twice = ids[count > 1]
        raise NetworkFileError(
            f"{len(twice):,} ids stand there more than once, for example {twice[0]}",
            where=where,
            expected="each id once",
        )


def _look_at_group(file: GivenHdf5, group: str, index: NDArray[np.int64], remarks: Remarks) -> None:
    """Refuse rows that a group does not have; note what BMTK does not read in it."""
    ignored = []
    for name in file.names(group):
        path = f"{group}/{name}"
        if file.is_group(path):
            if name == "dynamics_params":
                ignored += [f"dynamics_params/{inner}" for inner in file.names(path)]
            continue
        dataset = file.dataset(path)
        if dataset is None:
            continue
        if name in _OF_TYPES:
            ignored.append(name)
        length = dataset.shape[0] if dataset.ndim else 0
        if index.size and not 0 <= index.min() <= index.max() < length:
            raise NetworkFileError(
                f"node_group_index names row {int(index.max()):,}, the group has {length:,}",
                where=file.where(path),
                expected="a row of the group for each node",
            )
    if ignored:
        remarks.add(
            "sonata.parameters_in_h5",
            file.where(group),
            f"{', '.join(map(printable, ignored[:8]))} of single nodes are not read: models and "
            "parameters are those of the node types",
            hint="give nodes with parameters of their own a node type of their own; BMTK reads "
            "those of the types too",
            n=len(ignored),
            total=len(file.names(group)),
            examples=ignored,
        )


def _is_virtual(types: TypeTable, used: Iterable[np.integer], name: str) -> bool:
    """Whether the nodes are virtual; refuses what is neither virtual nor a point neuron."""
    model_type, processing = types.texts("model_type"), types.texts("model_processing")
    seen = set()
    for row in used:
        kind, type_id = model_type[int(row)], types.ids[int(row)]
        if kind not in (*_POINT, "virtual"):
            has_no = "no model_type" if kind is None else f"the model_type {printable(kind)!r}"
            raise NetworkFileError(
                f"the node type {type_id} of {printable(name)} has {has_no}",
                where=types.where,
                expected="point_neuron, or virtual for cells whose spikes are given",
                hint="biophysical cells need NEURON (BMTK's BioNet); v1sim simulates point neurons",
            )
        if processing[int(row)] is not None and kind != "virtual":
            raise NetworkFileError(
                f"the node type {type_id} has the model_processing "
                f"{printable(processing[int(row)])!r}, a function of the script that runs BMTK",
                where=types.where,
                expected="cells whose parameters are all in their files",
                hint="write the parameters that it sets into the JSON files of the types",
            )
        seen.add(kind == "virtual")
    if len(seen) > 1:
        raise NetworkFileError(
            f"the population {printable(name)} has virtual cells and cells to simulate",
            where=types.where,
            expected="populations of one or the other",
            hint="give the virtual cells a population of their own; BMTK cannot feed such ones",
        )
    return True in seen
