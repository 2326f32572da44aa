"""The original circuit as DPointNet reads it: cells, edges, synaptic models; nothing of training.

What DPointNet (BMTK 1.2.0) does with the files is done here in the same way, also where it
is odd: one recurrent population, one edges file of a source population, weights by the rows of
the edge group, parameters of cells and synapses from the types alone. What it loses or ignores
is noted by name (`v1sim.sources.dpointnet.remarks`), or refused where no network is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import NetworkFileError
from v1sim.files.hdf5 import GivenHdf5, given_hdf5
from v1sim.printable import printable
from v1sim.sources.dpointnet.pairing import EdgeKeys
from v1sim.sources.dpointnet.refusal import refusal
from v1sim.sources.sonata.manifest import read_json
from v1sim.sources.sonata.types import read_types

__all__ = [
    "CircuitEdges",
    "CircuitNodes",
    "SynapticModels",
    "read_edges",
    "read_nodes",
    "read_parameters",
    "synaptic_models",
]

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

#: Kinds of cells that are not simulated.
_VIRTUAL = frozenset({"virtual", "filter"})


@dataclass(frozen=True, eq=False)
class CircuitNodes:
    """A population: the id and the type of each node, in the order of the file.

    ``types`` has the row of the table of types by ``node_type_id``; ``type_id`` (n,).
    """

    path: Path
    population: str
    node_id: I64
    type_id: I64
    types: Mapping[int, Mapping[str, str]]

    @property
    def virtual(self) -> bool:
        """Whether its cells are not simulated."""
        return all(self._model_type(t) in _VIRTUAL for t in np.unique(self.type_id).tolist())

    @property
    def mixed(self) -> bool:
        """Whether some of its cells are simulated and others are not."""
        kinds = {self._model_type(t) in _VIRTUAL for t in np.unique(self.type_id).tolist()}
        return len(kinds) > 1

    def _model_type(self, type_id: int) -> str:
        return self.types.get(type_id, {}).get("model_type", "")

    def index_of(self, node_id: I64, where: str) -> I64:
        """Rows of nodes by their ids.

        Raises
        ------
        NetworkFileError
            If the population does not have one.
        """
        if not len(node_id):
            return np.empty(0, dtype=np.int64)
        index = np.full(int(self.node_id.max(initial=-1)) + 1, -1, dtype=np.int64)
        index[self.node_id] = np.arange(len(self.node_id))
        known = (node_id >= 0) & (node_id < len(index))
        rows = np.where(known, index[np.where(known, node_id, 0)], -1)
        if (rows < 0).any():
            raise NetworkFileError(
                f"{int((rows < 0).sum()):,} of {len(rows):,} edges name nodes that "
                f"{printable(self.population)} does not have (the first: "
                f"{node_id[rows < 0][0]})",
                where=where,
                expected="node ids of the populations",
            )
        return rows


@dataclass(frozen=True, eq=False)
class CircuitEdges:
    """The edges of a source population in the order of their file, as DPointNet reads them.

    Parameters
    ----------
    keys : EdgeKeys
        Ids and types.
    source, target : int64 array, shape (s,)
        Rows of the nodes in their populations.
    weight_pa : float32 array, shape (s,)
        ``syn_weight``; ``nsyns`` is not in it.
    delay_ms : float32 array, shape (s,)
        Delay of each edge.
    types : mapping
        Rows of the table of types by ``edge_type_id``.
    nsyns : array, shape (s,), optional
        Number of synapses of each edge, where the files have one.
    columns : tuple of str
        Columns of the edge group.
    """

    path: Path
    name: str
    source_population: str
    target_population: str
    keys: EdgeKeys
    source: I64
    target: I64
    weight_pa: F32
    delay_ms: F32
    types: Mapping[int, Mapping[str, str]]
    nsyns: NDArray[Any] | None
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.source)

    @property
    def where(self) -> str:
        """File and group, for messages."""
        return f"{self.path}:/edges/{printable(self.name)}"

    def of_type(self, values: Mapping[int, Any], dtype: Any) -> NDArray[Any]:
        """A value for each edge, given by its type."""
        ids, inverse = np.unique(self.keys.edge_type, return_inverse=True)
        return np.array([values[int(i)] for i in ids], dtype=dtype)[inverse]


def _type_rows(paths: Iterable[Path], id_name: str) -> dict[int, dict[str, str]]:
    """Rows of tables of types by their ids, without what is null."""
    table = read_types(tuple(paths), id_name)
    return {
        int(type_id): {
            name: text for name, column in table.columns.items() if (text := column[i]) is not None
        }
        for i, type_id in enumerate(table.ids)
    }


def read_nodes(files: Iterable[Path], tables: Iterable[Path]) -> list[CircuitNodes]:
    """The populations of nodes of one entry of ``networks.nodes``.

    Raises
    ------
    NetworkFileError
        If a file is none of nodes, or a type is not in the tables.
    """
    types = _type_rows(tables, "node_type_id")
    found = []
    for path in files:
        with given_hdf5(path, error=NetworkFileError, expected="SONATA nodes") as file:
            for name in file.names("nodes"):
                if not file.is_group(f"nodes/{name}"):
                    continue
                column = f"nodes/{name}/node_type_id"
                type_id = file.numbers(column, (None,), kinds="iu", expected="types of nodes")
                n = len(type_id)
                node_id: NDArray[Any] = np.arange(n)
                if file.has(f"nodes/{name}/node_id"):
                    node_id = file.numbers(
                        f"nodes/{name}/node_id", (n,), kinds="iu", expected=f"{n:,} node ids"
                    )
                _require_types(type_id, types, file.where(column), "nodes")
                found.append(
                    CircuitNodes(
                        path, name, node_id.astype(np.int64), type_id.astype(np.int64), types
                    )
                )
    return found


def _require_types(type_id: NDArray[Any], types: Mapping[int, Any], where: str, what: str) -> None:
    unknown = [int(t) for t in np.unique(type_id) if int(t) not in types]
    if unknown:
        raise NetworkFileError(
            f"{what} of the types {', '.join(map(str, unknown[:5]))}, which the table of types "
            "does not have",
            where=where,
            expected="types of the table",
        )


def read_edges(
    files: Iterable[Path], tables: Iterable[Path], nodes: Mapping[str, CircuitNodes]
) -> list[CircuitEdges]:
    """The populations of edges of one entry of ``networks.edges``.

    Raises
    ------
    NetworkFileError
        If a file is none of edges, or DPointNet could not have built the network from it.
    """
    types = _type_rows(tables, "edge_type_id")
    found = []
    for path in files:
        with given_hdf5(path, error=NetworkFileError, expected="SONATA edges") as file:
            found += [
                _edges(file, name, types, nodes)
                for name in file.names("edges")
                if file.is_group(f"edges/{name}")
            ]
    return found


def _edges(
    file: GivenHdf5,
    name: str,
    types: Mapping[int, Mapping[str, str]],
    nodes: Mapping[str, CircuitNodes],
) -> CircuitEdges:
    group = f"edges/{name}"
    ids, populations = [], []
    for end in ("source", "target"):
        column = f"{group}/{end}_node_id"
        values = file.numbers(column, (None,), kinds="iu", expected="node ids, one an edge")
        ids.append(values.astype(np.int64))
        population = file.text_attribute(column, "node_population") or ""
        if population not in nodes:
            raise NetworkFileError(
                f"{end} nodes of the population {printable(population)!r}",
                where=file.where(column),
                expected=f"one of {', '.join(map(printable, nodes))}",
            )
        populations.append(population)
    n = len(ids[0])
    type_id = file.numbers(f"{group}/edge_type_id", (n,), kinds="iu", expected=f"{n:,} types")
    _require_types(type_id, types, file.where(f"{group}/edge_type_id"), "edges")
    groups = [g for g in file.names(group) if g.isdigit() and file.is_group(f"{group}/{g}")]
    where = f"{file.path}:/{group}"
    if len(groups) > 1:
        group_id = file.numbers(
            f"{group}/edge_group_id", (n,), kinds="iu", expected=f"{n:,} groups of edges"
        )
        # Each group is written from row 0 on: what is beyond the longest one stays empty.
        n_lost = n - max(int((group_id == int(g)).sum()) for g in groups)
        raise refusal(
            "dpointnet.lost_edges",
            f"has {len(groups)} edge groups: DPointNet overwrites the edges of one with those of "
            f"the next, so that {n_lost:,} of {n:,} edges at least are lost, and no training of "
            "this file is one of its network",
            where=where,
            expected="one edge group",
            hint="write the edges into one group and train again",
            n=n_lost,
            total=n,
        )
    columns = tuple(file.names(f"{group}/{groups[0]}")) if groups else ()

    def given(column: str) -> NDArray[Any] | None:
        """A property of each edge: its own, or its type's."""
        if column in columns:
            return file.numbers(
                f"{group}/{groups[0]}/{column}", (n,), kinds="fiu", expected=f"{n:,} values"
            )
        kinds = np.unique(type_id)
        texts = [types[int(t)].get(column) for t in kinds]
        if any(text is None for text in texts):
            return None
        try:
            numbers = np.array([float(str(text)) for text in texts])
        except ValueError as error:
            raise NetworkFileError(
                f"{column} of the types of edges is no number: {printable(str(error))}",
                where=where,
                expected="numbers in the table of types",
            ) from error
        return numbers[np.searchsorted(kinds, type_id)]

    weight, delay = given("syn_weight"), given("delay")
    for column, seen in (("syn_weight", weight), ("delay", delay)):
        if seen is None:
            raise NetworkFileError(
                f"its edges have no {column}: DPointNet cannot build them",
                where=where,
                expected=f"{column} in the edge group, or in the table of types for every type",
                hint="take the files that the training read",
            )
    assert weight is not None and delay is not None
    return CircuitEdges(
        path=file.path,
        name=name,
        source_population=populations[0],
        target_population=populations[1],
        keys=EdgeKeys(ids[0], ids[1], type_id.astype(np.int64)),
        source=nodes[populations[0]].index_of(ids[0], where),
        target=nodes[populations[1]].index_of(ids[1], where),
        weight_pa=weight.astype(np.float32),
        delay_ms=delay.astype(np.float32),
        types={int(t): types[int(t)] for t in np.unique(type_id)},
        nsyns=given("nsyns"),
        columns=columns,
    )


@dataclass(frozen=True, eq=False)
class SynapticModels:
    """The files of synaptic models in use, in the order in which DPointNet meets them."""

    files: tuple[str, ...]
    parameters: Mapping[str, Mapping[str, Any]]
    of_type: Mapping[str, Mapping[int, int]]

    def model(self, edges: CircuitEdges) -> I64:
        """Index of the synaptic model of each edge, shape (s,)."""
        model: I64 = edges.of_type(self.of_type[edges.name], np.int64)
        return model


def synaptic_models(populations: Sequence[CircuitEdges], folder: Path | None) -> SynapticModels:
    """The synaptic models that edges name.

    Raises
    ------
    NetworkFileError
        If a type names none, or a file cannot be read.
    """
    index: dict[str, int] = {}
    parameters: dict[str, Mapping[str, Any]] = {}
    of_type: dict[str, dict[int, int]] = {}
    for edges in populations:
        of_type[edges.name] = {}
        for type_id, row in edges.types.items():
            named = row.get("dynamics_params")
            if named is None:
                raise NetworkFileError(
                    f"the edge type {type_id} has no dynamics_params",
                    where=edges.where,
                    expected="the file of a synaptic model, which its basis weights go by",
                )
            path = str((folder or Path()) / named)
            if path not in index:
                index[path] = len(index)
                parameters[path] = read_parameters(Path(path))
            of_type[edges.name][type_id] = index[path]
    return SynapticModels(tuple(index), parameters, of_type)


def read_parameters(path: Path) -> Mapping[str, Any]:
    """A JSON file of parameters.

    Raises
    ------
    NetworkFileError
        If it cannot be read.
    """
    return read_json(path, expected="a JSON file of parameters")
