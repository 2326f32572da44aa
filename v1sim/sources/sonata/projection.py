"""Synapses of one population of edges: weights, delays and receptors by the rules of PointNet.

- weight = ``syn_weight * nsyns``, or what the type's weight function returns
- a column of the HDF5 group wins over the type's; ``nsyns`` is 1 where neither has it
- delay: NEST's 1.0 ms where there is none
- receptor: ``receptor_type`` of the type's parameters (JSON), counted from 1 there and from 0 here;
  for models without ports the sign of the weight
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from v1sim.errors import NetworkFileError
from v1sim.files.identify import printable
from v1sim.model import SynapseTable
from v1sim.paging import forget, paged_array
from v1sim.sources.sonata.edge_types import DEFAULT_DELAY_MS, EdgeTypes
from v1sim.sources.sonata.edges import FACTORS, EdgeBlock, EdgePopulation, PartOfGroup
from v1sim.sources.sonata.manifest import nearest
from v1sim.sources.sonata.nodes import Nodes
from v1sim.sources.sonata.remarks import Remarks
from v1sim.sources.sonata.weights import NEED_NSYNS, EdgesToWeigh, weight_function

__all__ = ["Ports", "read_projection"]

F64 = NDArray[np.float64]

#: Edges above which columns lie in scratch files: they leave memory while NEST takes it.
_PAGED_ABOVE = 1 << 22
#: Receptor of synapses whose port their target does not have: no network has so many.
_NOWHERE = 255
#: In a table of receptors: the sign of the weight chooses.
_BY_SIGN = 254
_IS_SPECIAL = np.isin(np.arange(256), (_BY_SIGN, _NOWHERE))
#: Columns of edges that BMTK takes from the types alone.
_OF_TYPES = (
    *("dynamics_params", "receptor_type", "weight", "model_template", "synapse_model"),
    "weight_function",
)
_MOST_EXAMPLES = 5


@dataclass(frozen=True, eq=False)
class Ports:
    """Receptors of the targets: for each neuron its cell type, for each type its ports.

    ``n_ports`` (t,) is 0 for models whose receptor is chosen by the sign of the weight.
    """

    cell_type: NDArray[np.uint16]
    n_ports: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(eq=False)
class _Seen:
    """Edges that are odd, counted while they are read, with examples."""

    n: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, check: str, n: int, examples: list[str]) -> None:
        self.n[check] = self.n.get(check, 0) + n
        held = self.examples.setdefault(check, [])
        held += examples[: _MOST_EXAMPLES - len(held)]


def read_projection(
    edges: EdgePopulation,
    source: Nodes,
    target: Nodes,
    *,
    first_source: int,
    first_target: int,
    ports: Ports,
    synaptic_models: str | None,
    remarks: Remarks,
) -> tuple[SynapseTable, tuple[str, ...]]:
    """Read all edges of a population.

    Parameters
    ----------
    edges : EdgePopulation
        In an open file.
    source, target : Nodes
        The populations that they connect.
    first_source, first_target : int
        Index of the first node of each in the network.
    ports : Ports
        Receptors of the network's neurons.
    synaptic_models : str, optional
        ``components.synaptic_models_dir``.
    remarks : Remarks
        Takes what is odd.

    Returns
    -------
    SynapseTable
        In the order of the file; an index is -1 where there is no such node.
    tuple of str
        Weight functions of other packages that were used.

    Raises
    ------
    NetworkFileError
        If the file cannot be read, or has synapses that cannot be built.
    """
    return _Projection(
        edges, source, target, first_source, first_target, ports, synaptic_models, remarks
    ).read()


class _Projection:
    def __init__(
        self,
        edges: EdgePopulation,
        source: Nodes,
        target: Nodes,
        first_source: int,
        first_target: int,
        ports: Ports,
        synaptic_models: str | None,
        remarks: Remarks,
    ) -> None:
        self.edges, self.source, self.target = edges, source, target
        self.first_source, self.first_target = first_source, first_target
        self.ports, self.remarks = ports, remarks
        self.types = EdgeTypes(edges.types, synaptic_models, remarks)
        self.seen = _Seen()
        self.plugins: dict[str, None] = {}
        self._by_code: NDArray[np.uint8] | None = None
        self._n_loaded = -1
        self.without_nsyns: dict[str, int] = {}

    def read(self) -> tuple[SynapseTable, tuple[str, ...]]:
        edges = self.edges
        pre, post = self._column("i4"), self._column("i4")
        receptor, delay, weight = self._column("u1"), self._column("f8"), self._column("f8")
        for block in edges.blocks():
            part = slice(block.start, block.start + len(block))
            self.types.load(np.flatnonzero(np.bincount(block.type_row)))
            source = self._index(block, self.source, block.source_id, "source")
            target = self._index(block, self.target, block.target_id, "target")
            weight[part] = self._weights(block, source, target)
            delay[part] = self._delays(block)
            self._note_not_finite(block, weight[part], delay[part])
            pre[part] = _shifted(source, self.first_source)
            post[part] = _shifted(target, self.first_target)
            receptor[part] = self._receptors(block, post[part], weight[part])
            for column in (pre, post, receptor, delay, weight):
                forget(column)
        self._remark()
        table = SynapseTable(pre, post, receptor, delay, weight, unit="pA")
        return table, tuple(self.plugins)

    def _column(self, dtype: DTypeLike) -> NDArray[Any]:
        n = self.edges.n
        if n <= _PAGED_ABOVE:
            return np.empty(n, dtype=dtype)
        try:
            return paged_array(n, dtype)
        except OSError as error:
            raise NetworkFileError(
                f"needs {n * np.dtype(dtype).itemsize / 1e9:,.1f} GB of scratch space in "
                f"{tempfile.gettempdir()}: {error.strerror}",
                where=self.edges.where(),
                hint="TMPDIR names another folder",
            ) from error

    # --- columns -----------------------------------------------------------------------------

    def _index(
        self, block: EdgeBlock, nodes: Nodes, ids: NDArray[np.integer], end: str
    ) -> NDArray[np.int32]:
        index = nodes.index_of(ids)
        unknown = np.flatnonzero(index < 0)
        if unknown.size:
            examples = [
                f"edge {block.start + i:,}: {end} {ids[i]} of {printable(nodes.name)}"
                for i in unknown[:_MOST_EXAMPLES]
            ]
            self.seen.add("sonata.unknown_node", len(unknown), examples)
        return index

    def _weights(
        self, block: EdgeBlock, source: NDArray[np.int32], target: NDArray[np.int32]
    ) -> F64:
        weight = np.full(len(block), np.nan)
        for part in _parts(block):
            rows, type_row = part.rows, block.type_row
            types = type_row if rows is None else type_row[rows]
            self._look_for_syn_weight(part, types)
            product, overflown = self._product(part, types)
            if overflown is not None and overflown.any():
                self._note_overflow(block, part, types, overflown)
            if rows is None:
                weight = product
            else:
                weight[rows] = product
        for number in self.types.functions_of(block.type_row):
            rows = np.flatnonzero(self.types.function_number[block.type_row] == number)
            name = self.types.functions[number]
            weight[rows] = self._by_function(name, block, rows, source, target)
        if block.lost.size:
            weight[block.lost] = np.nan
            examples = [f"edge {block.start + i:,}" for i in block.lost[:_MOST_EXAMPLES]]
            self.seen.add("sonata.edge_group_range", len(block.lost), examples)
        return weight

    def _look_for_syn_weight(self, part: _Part, types: NDArray[np.integer]) -> None:
        """Refuse edges without a weight whose type has no function for it."""
        if "syn_weight" in part.columns:
            return
        counts = np.bincount(types, minlength=len(self.types))
        without = (counts > 0) & np.isnan(self.types.syn_weight.values)
        without &= self.types.function_number < 0
        if without.any():
            row = int(np.flatnonzero(without)[0])
            raise NetworkFileError(
                f"{int(counts[without].sum()):,} edges have no syn_weight: their types "
                f"{', '.join(map(str, self.types.table.ids[without][:5]))} have none, nor has "
                f"{part.where}",
                where=self.types.table.where,
                expected="syn_weight in the table of types or in the group, or a weight_function",
                hint=_misspelt_hint("syn_weight", (*part.columns, *self.types.table.columns))
                or f"BMTK refuses the type {self.types.table.ids[row]} too",
            )

    def _product(
        self, part: _Part, types: NDArray[np.integer]
    ) -> tuple[F64, NDArray[np.bool_] | None]:
        """``syn_weight * nsyns``, and where BMTK's product overflows; None if it cannot.

        BMTK multiplies in the type that NumPy finds for the two: float32 stays float32, which
        is kept here, and integers of few bits overflow, which is not.
        """
        weight, n = part.taken("syn_weight"), part.taken("nsyns")
        by_type = self.types.syn_weight, self.types.nsyns
        if n is None and self.types.nsyns_is_one:
            given = by_type[0].values[types] if weight is None else weight
            return given.astype(np.float64, copy=False), None
        kind = _type_of_product(
            None if weight is None else weight.dtype,
            None if n is None else n.dtype,
            all_integers=by_type[1 if n is None else 0].is_integer,
        )
        left = by_type[0].values[types] if weight is None else weight
        right = by_type[1].values[types] if n is None else n
        if kind.kind == "f" and kind.itemsize < 8:
            with np.errstate(over="ignore"):
                narrow = left.astype(kind) * right.astype(kind)
            return narrow.astype(np.float64), None
        product = left.astype(np.float64) * right.astype(np.float64)
        if kind.kind == "f":
            return product, None
        limits = np.iinfo(kind)
        return product, (product > limits.max) | (product < limits.min)

    def _note_overflow(
        self,
        block: EdgeBlock,
        part: _Part,
        types: NDArray[np.integer],
        overflown: NDArray[np.bool_],
    ) -> None:
        places = np.flatnonzero(overflown & (self.types.function_number[types] < 0))
        rows = places if part.rows is None else part.rows[places]
        examples = [f"edge {block.start + i:,}" for i in rows[:_MOST_EXAMPLES]]
        if len(rows):
            self.seen.add("sonata.integer_overflow", len(rows), examples)

    def _by_function(
        self,
        name: str,
        block: EdgeBlock,
        rows: NDArray[np.intp],
        source: NDArray[np.int32],
        target: NDArray[np.int32],
    ) -> F64:
        where = self.types.table.where
        function, is_plugin = weight_function(name, where)
        if is_plugin:
            self.plugins[name] = None

        def of_nodes(nodes: Nodes, index: NDArray[np.int32], column: str) -> F64:
            values = nodes.column(column)
            if values is None:
                raise KeyError(f"{column} of the nodes {nodes.name}")
            return np.where(index[rows] >= 0, values[np.maximum(index[rows], 0)], np.nan)

        def of_edges(column: str) -> F64:
            values = self._edge_column(block, column)
            if values is None:
                raise KeyError(f"{column} of the edges {self.edges.name}")
            return values[rows]

        syn_weight = self._edge_column(block, "syn_weight")
        nsyns = self._edge_column(block, "nsyns")
        if nsyns is None and name in NEED_NSYNS:
            self.without_nsyns[name] = self.without_nsyns.get(name, 0) + len(rows)
        given = EdgesToWeigh(
            syn_weight=np.full(len(rows), np.nan) if syn_weight is None else syn_weight[rows],
            nsyns=np.ones(len(rows)) if nsyns is None else nsyns[rows],
            edge=of_edges,
            source=lambda column: of_nodes(self.source, source, column),
            target=lambda column: of_nodes(self.target, target, column),
        )
        try:
            with np.errstate(all="ignore"):  # what is not finite has a finding
                weight = np.asarray(function(given), dtype=np.float64)
        except KeyError as error:
            raise NetworkFileError(
                f"the weight function {printable(name)} needs {printable(error.args[0])}, which "
                "is not there",
                where=self.edges.where(),
                expected="the columns that the function reads",
            ) from error
        if weight.shape != rows.shape:
            raise NetworkFileError(
                f"the weight function {printable(name)} returns the shape {weight.shape} for "
                f"{len(rows)} edges",
                where=where,
                expected="one weight an edge",
            )
        return weight

    def _edge_column(self, block: EdgeBlock, name: str) -> F64 | None:
        """A column of the edges of a block: the group's, otherwise the type's."""
        values, found = np.full(len(block), np.nan), False
        if self.types.table.has(name):
            values, found = self.types.table.numbers(name).values[block.type_row], True
            if name == "nsyns":
                values = np.nan_to_num(values, nan=1.0)
        for part in block.parts:
            if name in part.group.columns:
                rows = slice(None) if part.rows is None else part.rows
                values[rows] = part.take(name)
                found = True
        return values if found else None

    def _delays(self, block: EdgeBlock) -> F64:
        delay: F64 | None = None
        parts = block.parts
        if not (len(parts) == 1 and parts[0].rows is None and "delay" in parts[0].group.columns):
            delay = self.types.delay_ms.take(block.type_row)
        for part in parts:
            if "delay" not in part.group.columns:
                continue
            values = part.take("delay").astype(np.float64)
            if delay is None:
                delay = values
            else:
                delay[slice(None) if part.rows is None else part.rows] = values
        self._count_defaults(block)
        return np.empty(0) if delay is None else delay

    def _count_defaults(self, block: EdgeBlock) -> None:
        """Count the edges that get NEST's delay."""
        if not self.types.has_default_delay.any():
            return
        default = self.types.has_default_delay.take(block.type_row)
        for part in block.parts:
            if "delay" in part.group.columns:
                default[slice(None) if part.rows is None else part.rows] = False
        n = int(np.count_nonzero(default))
        if n:
            self.seen.add("sonata.no_delay", n, [])

    def _receptors(
        self, block: EdgeBlock, post: NDArray[np.int32], weight: F64
    ) -> NDArray[np.uint8]:
        n_types = len(self.ports.n_ports)
        code = self.ports.cell_type.take(np.maximum(post, 0)).astype(np.int64)
        code += block.type_row * np.int64(n_types)
        by_code, known = self._receptor_by_code()
        receptor = by_code.take(code)
        special = known.take(receptor)  # by sign, or not there
        if special.any():
            by_sign = receptor == _BY_SIGN
            receptor[by_sign] = weight[by_sign] < 0
            wrong = (receptor == _NOWHERE) & (post >= 0)
            if wrong.any():
                self._note_ports(block, np.flatnonzero(wrong), code)
        return receptor

    def _receptor_by_code(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Receptor by edge type and cell type, and which values are none."""
        if self._by_code is None or self._n_loaded != self.types.n_loaded:
            port, n_ports = self.types.port[:, np.newaxis], self.ports.n_ports
            signed = np.where(port == 0, _BY_SIGN, _NOWHERE)
            ported = np.where((port >= 1) & (port <= n_ports), port - 1, _NOWHERE)
            table = np.where(n_ports == 0, signed, ported).astype(np.uint8)
            self._by_code, self._n_loaded = table.reshape(-1), self.types.n_loaded
        return self._by_code, _IS_SPECIAL

    def _note_ports(
        self, block: EdgeBlock, rows: NDArray[np.intp], code: NDArray[np.int64]
    ) -> None:
        examples = []
        first = rows[np.unique(code[rows], return_index=True)[1]]
        for i in first[:_MOST_EXAMPLES]:
            row, cell = divmod(int(code[i]), len(self.ports.n_ports))
            n = self.ports.n_ports[cell]
            examples.append(
                f"edge {block.start + i:,}: port {self.types.port[row]} of "
                f"{self.ports.names[cell]}, "
                + (f"which has 1 to {n}" if n else "which has no ports")
            )
        self.seen.add("sonata.receptor_port", len(rows), examples)

    def _note_not_finite(self, block: EdgeBlock, weight: F64, delay: F64) -> None:
        if np.isfinite(weight.sum()) and np.isfinite(delay.sum()):
            return  # a sum is finite if all are
        bad = ~np.isfinite(weight) | ~np.isfinite(delay)
        bad[block.lost] = False
        rows = np.flatnonzero(bad)
        if not rows.size:
            return
        columns = {name: self._edge_column(block, name) for name in FACTORS}
        examples = []
        for i in rows[:_MOST_EXAMPLES]:
            values = {k: v[i] for k, v in columns.items() if v is not None}
            bad_values = {k: v for k, v in values.items() if not np.isfinite(v)}
            shown = bad_values or {"weight": weight[i]}
            listed = ", ".join(f"{k} {v:g}" for k, v in shown.items())
            examples.append(f"edge {block.start + i:,}: {listed}")
        self.seen.add("sonata.not_finite", len(rows), examples)

    # --- remarks -----------------------------------------------------------------------------

    def _remark(self) -> None:
        edges, total = self.edges, self.edges.n
        texts: Mapping[str, tuple[str, str]] = {
            "sonata.unknown_node": (
                "ends of edges are nodes that their population does not have",
                "BMTK refuses them; take the nodes and edges of one build",
            ),
            "sonata.edge_group_range": (
                "edges name a group, or a row of it, that does not exist",
                "write edge_group_id and edge_group_index again",
            ),
            "sonata.integer_overflow": (
                "products of syn_weight and nsyns overflow in BMTK, in the type of their columns",
                "v1sim takes the exact product; store syn_weight as float64 for both",
            ),
            "sonata.receptor_port": (
                "edges end on a receptor that their target does not have",
                "receptor_type in the JSON file of the edge type counts from 1; models of iaf_psc "
                "have none",
            ),
            "sonata.not_finite": (
                "edges have no finite weight or delay",
                "NEST takes NaN for 1.0 in BMTK: mend the values",
            ),
            "sonata.no_delay": (
                f"edges have no delay: they get NEST's {DEFAULT_DELAY_MS} ms",
                "give a delay in the table of types where another is meant",
            ),
        }
        for check, (message, hint) in texts.items():
            n = self.seen.n.get(check, 0)
            if n:
                of = f"{n:,} of {2 * total if check == 'sonata.unknown_node' else total:,} "
                self.remarks.add(
                    check,
                    edges.where(),
                    of + message,
                    hint=hint,
                    n=n,
                    total=2 * total if check == "sonata.unknown_node" else total,
                    examples=self.seen.examples[check],
                )
        self._remark_on_groups()
        self._remark_on_functions()
        self._remark_on_columns()

    def _remark_on_groups(self) -> None:
        edges = self.edges
        n_wrong = sum(edges.n_out_of_order.values())
        if n_wrong:
            self.remarks.add(
                "sonata.edge_group_index",
                edges.where("edge_group_index"),
                f"{n_wrong:,} of {edges.n:,} edges have another row of their group than the next "
                "one, which BMTK takes: its weights are those of other edges",
                hint="v1sim takes the rows that are named; write the groups in the order of the "
                "edges for BMTK",
                n=n_wrong,
                total=edges.n,
                examples=edges.out_of_order,
            )
        if self.types.functions and not edges.rows_are_indices:
            self.remarks.add(
                "sonata.weight_function_groups",
                edges.where(),
                f"the weight functions {', '.join(map(printable, self.types.functions))} get "
                "columns of other edges in BMTK, which takes rows of the file for rows of groups",
                hint="v1sim takes the rows that are named; write the weights out for BMTK",
                n=edges.n,
                total=edges.n,
            )
        for group in edges.groups.values():
            seen = edges.n_seen.get(group.number, 0)
            if group.columns and seen != group.n:
                self.remarks.add(
                    "sonata.unused_rows",
                    group.where(),
                    f"{group.n:,} rows for {seen:,} edges",
                    hint="a row for each edge of the group is what BMTK expects",
                    n=abs(group.n - seen),
                    total=max(group.n, seen),
                )

    def _remark_on_functions(self) -> None:
        for name, n in self.without_nsyns.items():
            self.remarks.add(
                "sonata.function_without_nsyns",
                self.edges.where(),
                f"the weight function {printable(name)} of {n:,} edges multiplies by nsyns, which "
                "they do not have: taken as 1",
                hint="give a column nsyns",
                n=n,
                total=self.edges.n,
            )

    def _remark_on_columns(self) -> None:
        edges, table = self.edges, self.edges.types
        for group in edges.groups.values() or ():
            columns = (*group.columns, *table.columns)
            ignored = [name for name in group.columns if name in _OF_TYPES]
            ignored += [
                name for name in group.others if name.partition("/")[0] in _OF_TYPES
            ]  # fmt: skip
            if ignored:
                self.remarks.add(
                    "sonata.parameters_in_h5",
                    group.where(),
                    f"{', '.join(map(printable, ignored))} of single edges are not read: models "
                    "and parameters are those of the edge types",
                    hint="give edges with parameters of their own an edge type of their own",
                    n=len(ignored),
                    total=len(columns),
                    examples=ignored,
                )
            for name in FACTORS:
                if name not in columns:
                    self._remark_on_misspelt(name, columns, group.where())
        if not edges.groups:
            for name in FACTORS:
                if name not in table.columns:
                    self._remark_on_misspelt(name, tuple(table.columns), table.where)

    def _remark_on_misspelt(self, name: str, columns: tuple[str, ...], where: str) -> None:
        looks_like = [column for column in columns if _is_like(column, name)]
        for column in looks_like:
            if name == "nsyns" and column.replace("_", "") == "nsyns":
                self.remarks.add(
                    "sonata.nsyns_name",
                    where,
                    f"{printable(column)} is not nsyns: it multiplies no weight",
                    hint="nothing to do where syn_weight is that of all synapses of a pair, as in "
                    "the V1 model of 2026; otherwise name it nsyns",
                )
            else:
                self.remarks.add(
                    "sonata.misspelt_column",
                    where,
                    f"{printable(column)} is not read: {name} is",
                    hint=f"name it {name}, or something that does not look like it",
                )


def _misspelt_hint(name: str, columns: tuple[str, ...]) -> str | None:
    like = [column for column in columns if _is_like(column, name)]
    return f"did you mean {name} by {printable(like[0])}?" if like else None


def _is_like(column: str, name: str) -> bool:
    """Whether a column's name looks like a misspelt ``name``."""
    if column in (*FACTORS, *_OF_TYPES):
        return False
    return nearest(column, (name,)) == name or (
        column.replace("_", "").lower() == name.replace("_", "")
    )


def _shifted(index: NDArray[np.int32], first: int) -> NDArray[np.int32]:
    if not first:
        return index
    return np.where(index < 0, index, index + np.int32(first))


def _type_of_product(
    left: np.dtype[Any] | None, right: np.dtype[Any] | None, *, all_integers: bool
) -> np.dtype[Any]:
    """The type in which NumPy multiplies two columns; None is a number of Python."""
    given = [dtype for dtype in (left, right) if dtype is not None]
    if not given:
        return np.dtype(np.float64)
    if len(given) == 2:
        return np.result_type(*given)
    if given[0].kind == "f" or all_integers:
        return given[0]
    return np.dtype(np.float64)


@dataclass(frozen=True, eq=False)
class _Part:
    """Edges of a block in one group; in none where all they have is of their types."""

    part: PartOfGroup | None

    @property
    def rows(self) -> NDArray[np.intp] | None:
        return None if self.part is None else self.part.rows

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.part is None else self.part.group.columns

    @property
    def where(self) -> str:
        return "a group (there is none)" if self.part is None else self.part.group.where()

    def taken(self, column: str) -> NDArray[Any] | None:
        return self.part.take(column) if self.part and column in self.columns else None


def _parts(block: EdgeBlock) -> list[_Part]:
    if not block.parts and not block.lost.size:
        return [_Part(None)]
    return [_Part(part) for part in block.parts]
