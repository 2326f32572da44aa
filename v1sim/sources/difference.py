"""How two networks differ: edges matched in whatever order, changes by array, class and receptor.

Synapses are matched by target, receptor and source; of several between the same two
cells the one with the shorter delay comes first, then the one with the lower weight.
Delays are therefore compared like weights, and a network whose delays were shuffled is
still the same network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from v1sim.card import card
from v1sim.cell_classes import CellClasses, cell_classes
from v1sim.errors import InputError
from v1sim.model import NetworkModel, Role, SynapseTable
from v1sim.receptors import ReceptorKinds
from v1sim.sources.sonata.cells import NEST_DEFAULTS

if TYPE_CHECKING:
    from v1sim.documents.difference import DifferenceDocument

__all__ = [
    "ArrayDifference",
    "NetworkDifference",
    "TableDifference",
    "WeightChange",
    "array_differences",
    "compare_networks",
    "difference_document",
    "match_synapses",
]

I64 = NDArray[np.int64]

#: Synapses handled at a time.
_BLOCK = 1 << 20
_N_EXAMPLES = 5


@dataclass(frozen=True)
class WeightChange:
    """What happened to a set of matched weights; means are normalised weights.

    ``relative_change`` is |after - before| / |before| (L2 norms), ``correlation``
    Pearson's; None where there is nothing to divide by.
    """

    n: int
    n_changed: int
    n_sign_changed: int
    n_zero_before: int
    n_zero_after: int
    mean_before: float | None
    mean_after: float | None
    relative_change: float | None
    correlation: float | None


@dataclass(frozen=True)
class TableDifference:
    """How one synapse table differs.

    ``n_only_before`` and ``n_only_after`` synapses have no partner in the other network;
    the rest is compared. ``class_pairs`` is keyed by (source class, target class);
    ``class_pair_receptors`` by (source class, target class, receptor).
    """

    n_before: int
    n_after: int
    n_only_before: int
    n_only_after: int
    n_delay_changed: int
    same_weight_multiset: bool
    weights: WeightChange
    receptors: Mapping[str, WeightChange]
    class_pairs: Mapping[tuple[str, str], WeightChange]
    class_pair_receptors: Mapping[tuple[str, str, str], WeightChange]
    examples: tuple[str, ...] = ()

    @property
    def same_wiring(self) -> bool:
        """Whether every synapse has its partner."""
        return not (self.n_only_before or self.n_only_after)

    @property
    def equal(self) -> bool:
        """Whether the tables hold the same synapses."""
        return self.same_wiring and not (self.n_delay_changed or self.weights.n_changed)


@dataclass(frozen=True)
class ArrayDifference:
    """How an array other than the synapses' differs; ``n`` is 0 where one network lacks it."""

    array: str
    n: int
    n_changed: int
    max_relative_change: float | None = None
    note: str = ""


@dataclass(frozen=True, repr=False)
class NetworkDifference:
    """How two networks differ. ``arrays`` has those that do.

    ``name_of`` gives what the second network's source calls an array or a table.
    """

    before: str
    after: str
    n_neurons: tuple[int, int]
    n_lgn: tuple[int, int]
    arrays: tuple[ArrayDifference, ...]
    tables: Mapping[str, TableDifference] = field(default_factory=lambda: MappingProxyType({}))
    name_of: Callable[[str], str] = str

    def __repr__(self) -> str:
        return f"<NetworkDifference {self.outcome}: {self.before}, {self.after}>"

    def _repr_html_(self) -> str:
        facts = {"neurons": " and ".join(f"{n:,}" for n in self.n_neurons)}
        facts |= {
            self.name_of(name): "the same synapses"
            if table.equal
            else f"{table.weights.n_changed:,} of {table.weights.n:,} weights differ, "
            f"{table.n_delay_changed:,} delays; {table.n_only_before:,} and "
            f"{table.n_only_after:,} synapses are in one network alone"
            for name, table in self.tables.items()
        }
        facts |= {
            self.name_of(change.array): f"{change.n_changed:,} of {change.n:,} differ {change.note}"
            for change in self.arrays
        }
        return card(
            self.outcome,
            f"{self.before} and {self.after}",
            facts,
            tone="good" if self.equal else "neutral" if self.same_network else "doubtful",
        )

    @property
    def outcome(self) -> str:
        """``EQUAL``, ``THE SAME NETWORK WITH OTHER VALUES`` or ``ANOTHER NETWORK``."""
        if self.equal:
            return "EQUAL"
        return "THE SAME NETWORK WITH OTHER VALUES" if self.same_network else "ANOTHER NETWORK"

    @property
    def same_network(self) -> bool:
        """Whether both have the same neurons and the same wiring, whatever the weights."""
        return bool(self.tables) and all(table.same_wiring for table in self.tables.values())

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.arrays and bool(self.tables) and all(t.equal for t in self.tables.values())


def compare_networks(before: NetworkModel, after: NetworkModel) -> NetworkDifference:
    """Compare two networks; ``tables`` stays empty where the numbers of neurons differ.

    Raises
    ------
    InputError
        If a synapse of either names a neuron or LGN cell that is not there.
    """
    for network in (before, after):
        _require_range(network)
    tables: dict[str, TableDifference] = {}
    if before.n_neurons == after.n_neurons:
        classes = cell_classes(before)
        for ours, theirs in _partners(before, after):
            name = theirs or ours or ""
            a, b = (
                SynapseTable.empty() if one is None else network.tables[one]
                for network, one in ((before, ours), (after, theirs))
            )
            if ours and theirs and a.unit != b.unit:
                a, b = _normalised(a, before), _normalised(b, after)
            source = (after if theirs else before).projections[name].source
            tables[name] = _compare_tables(a, b, classes, before.receptors, source)
    return NetworkDifference(
        before=before.source.path,
        after=after.source.path,
        n_neurons=(before.n_neurons, after.n_neurons),
        n_lgn=(before.lgn.size, after.lgn.size),
        arrays=tuple(array_differences(before, after)),
        tables=MappingProxyType(tables),
        name_of=after.source.name_of,
    )


def _partners(before: NetworkModel, after: NetworkModel) -> list[tuple[str | None, str | None]]:
    """Projections that are compared: those of one name, then those that alone have their role.

    The same network goes by other names in another format ("recurrent", "v1_to_v1").
    """
    roles: tuple[Role, ...] = ("recurrent", "lgn", "other")
    left = {role: [list(n.tables_of(role)) for n in (before, after)] for role in roles}
    found: list[tuple[str | None, str | None]] = []
    for ours, theirs in left.values():
        same = [name for name in ours if name in theirs]
        a, b = ([name for name in names if name not in same] for names in (ours, theirs))
        found += [(name, name) for name in same]
        if len(a) == len(b) == 1:
            found.append((a[0], b[0]))
        else:
            found += [*((name, None) for name in a), *((None, name) for name in b)]
    return found


def _normalised(table: SynapseTable, network: NetworkModel) -> SynapseTable:
    """The table with weights in the unit in which networks of other units can be compared."""
    return replace(table, weight=table.normalised(network), unit="normalised")


def _require_range(network: NetworkModel) -> None:
    for column in network.index_columns():
        if not column.in_range:
            raise InputError(
                f"{network.source.name_of(column.array)} has indices from "
                f"{column.index.min()} to {column.index.max()}",
                where=network.source.path,
                expected=f"indices from 0 to {column.n_cells - 1}",
                hint="v1sim check says what is wrong with the file",
            )


# --- matching --------------------------------------------------------------------------------


def match_synapses(a: SynapseTable, b: SynapseTable) -> tuple[I64, I64]:
    """Indices of the synapses that both tables have, pair by pair.

    Returns
    -------
    int64 arrays, shape (n_matched,)
        Rows of ``a`` and of ``b``, in the order of targets, receptors, sources, delays; in that
        of the tables where both have the same synapses in the same rows.
    """
    if len(a) == len(b) and all(
        np.array_equal(a.columns[name], b.columns[name])
        for name in ("pre", "post", "receptor", "delay_ms")
    ):
        rows = np.arange(len(a))
        return rows, rows
    n_pre = int(max(a.pre.max(initial=0), b.pre.max(initial=0))) + 1
    key_a, order_a = _sorted_keys(a, n_pre)
    key_b, order_b = _sorted_keys(b, n_pre)
    if np.array_equal(key_a, key_b):
        return order_a, order_b
    rank_a, rank_b = _rank(key_a), _rank(key_b)
    n_ranks = int(max(rank_a.max(initial=0), rank_b.max(initial=0))) + 1
    key_a, key_b = key_a * n_ranks + rank_a, key_b * n_ranks + rank_b
    place = np.searchsorted(key_a, key_b)
    hit = place < len(key_a)
    hit[hit] = key_a[place[hit]] == key_b[hit]
    return order_a[place[hit]], order_b[hit]


def _sorted_keys(table: SynapseTable, n_pre: int) -> tuple[I64, I64]:
    """Ascending keys of the synapses' ends, and the rows in that order."""
    key = table.post.astype(np.int64)
    key *= 256
    key += table.receptor
    key *= n_pre
    key += table.pre
    if len(key) < 2 or (key[1:] > key[:-1]).all():
        return key, np.arange(len(key))
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((table.weight, table.delay_ms, key))
    return key[order], order


def _rank(keys: I64) -> I64:
    """Position of each element among its equals, in ascending keys."""
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    lengths = np.diff(np.append(begins, len(keys)))
    return np.arange(len(keys)) - np.repeat(begins, lengths)


# --- synapses --------------------------------------------------------------------------------


@dataclass
class _Sums:
    """Sums over matched weights, one row a group."""

    rows: dict[str, NDArray[np.float64]]

    @classmethod
    def zeros(cls, n: int) -> _Sums:
        names = "n changed sign zero_a zero_b a b aa bb ab dd"
        return cls({name: np.zeros(n) for name in names.split()})

    def add(self, group: NDArray[np.integer], a: NDArray[Any], b: NDArray[Any]) -> None:
        size = len(self.rows["n"])
        changed = ~((a == b) | (np.isnan(a) & np.isnan(b)))
        x, y = a.astype(np.float64), b.astype(np.float64)
        self.rows["n"] += np.bincount(group, minlength=size)
        with np.errstate(all="ignore"):
            for name, values in (
                ("changed", changed),
                ("sign", (a > 0) & (b < 0) | (a < 0) & (b > 0)),
                ("zero_a", a == 0),
                ("zero_b", b == 0),
                ("a", x),
                ("b", y),
                ("aa", x * x),
                ("bb", y * y),
                ("ab", x * y),
                ("dd", np.where(changed, x - y, 0.0) ** 2),
            ):
                self.rows[name] += np.bincount(group, weights=values, minlength=size)

    def change(self, groups: NDArray[np.integer] | slice) -> WeightChange:
        s = {name: float(row[groups].sum()) for name, row in self.rows.items()}
        n = s["n"]
        covariance = s["ab"] - s["a"] * s["b"] / n if n else 0.0
        spread = (s["aa"] - s["a"] ** 2 / n) * (s["bb"] - s["b"] ** 2 / n) if n else 0.0
        return WeightChange(
            n=int(n),
            n_changed=int(s["changed"]),
            n_sign_changed=int(s["sign"]),
            n_zero_before=int(s["zero_a"]),
            n_zero_after=int(s["zero_b"]),
            mean_before=_finite(s["a"] / n) if n else None,
            mean_after=_finite(s["b"] / n) if n else None,
            relative_change=_finite((s["dd"] / s["aa"]) ** 0.5) if s["aa"] > 0 else None,
            correlation=_finite(covariance / spread**0.5) if spread > 0 else None,
        )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _compare_tables(
    a: SynapseTable,
    b: SynapseTable,
    classes: CellClasses,
    receptors: ReceptorKinds,
    source_population: str | None,
) -> TableDifference:
    row_a, row_b = match_synapses(a, b)
    sources = classes.names if source_population is None else (source_population,)
    n_receptors = max(receptors.n, *(int(t.receptor.max(initial=0)) + 1 for t in (a, b)))
    n_classes = len(classes.names)
    sums = _Sums.zeros(len(sources) * n_classes * n_receptors)
    n_delay_changed = 0
    examples: list[str] = []
    for start in range(0, len(row_a), _BLOCK):
        ia, ib = row_a[start : start + _BLOCK], row_b[start : start + _BLOCK]
        pre, post, receptor = a.pre[ia], a.post[ia], a.receptor[ia]
        group = classes.of_neuron[post].astype(np.int64)
        if source_population is None:
            group += classes.of_neuron[pre].astype(np.int64) * n_classes
        group *= n_receptors
        group += receptor
        before, after = a.weight[ia], b.weight[ib]
        sums.add(group, before, after)
        delays = _delays_differ(a.delay_ms[ia], b.delay_ms[ib])
        n_delay_changed += int(np.count_nonzero(delays))
        if len(examples) < _N_EXAMPLES:
            odd = np.flatnonzero((before != after) | delays)[: _N_EXAMPLES - len(examples)]
            examples += [_example(a, b, int(ia[i]), int(ib[i])) for i in odd]
    index = np.arange(len(sums.rows["n"]))
    source, rest = np.divmod(index, n_classes * n_receptors)
    target, receptor = np.divmod(rest, n_receptors)
    present = np.flatnonzero(sums.rows["n"])
    names = (*receptors.names, *(f"receptor {i}" for i in range(receptors.n, n_receptors)))
    total = sums.change(slice(None))
    pairs = sorted({(int(source[i]), int(target[i])) for i in present})
    return TableDifference(
        n_before=len(a),
        n_after=len(b),
        n_only_before=len(a) - len(row_a),
        n_only_after=len(b) - len(row_b),
        n_delay_changed=n_delay_changed,
        same_weight_multiset=total.n_changed == 0
        or (len(a) == len(b) and np.array_equal(np.sort(a.weight), np.sort(b.weight))),
        weights=total,
        receptors=MappingProxyType(
            {
                names[i]: sums.change(index[receptor == i])
                for i in sorted({int(receptor[j]) for j in present})
            }
        ),
        class_pairs=MappingProxyType(
            {
                (sources[s], classes.names[t]): sums.change(
                    slice((s * n_classes + t) * n_receptors, (s * n_classes + t + 1) * n_receptors)
                )
                for s, t in pairs
            }
        ),
        class_pair_receptors=MappingProxyType(
            {
                (
                    sources[source[i]],
                    classes.names[target[i]],
                    names[receptor[i]],
                ): sums.change(slice(i, i + 1))
                for i in present
            }
        ),
        examples=tuple(examples),
    )


def _delays_differ(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Which delays differ; where one file has float32, what that can tell apart."""
    if a.dtype != b.dtype:
        a, b = a.astype(np.float32), b.astype(np.float32)
    return np.asarray(a != b)


def _example(a: SynapseTable, b: SynapseTable, i: int, j: int) -> str:
    text = f"{a.pre[i]} -> {a.post[i]} (receptor {a.receptor[i]}): "
    parts = []
    if a.weight[i] != b.weight[j]:
        parts.append(f"weight {a.weight[i]:g} against {b.weight[j]:g}")
    if a.delay_ms[i] != b.delay_ms[j]:
        parts.append(f"delay {a.delay_ms[i]:g} against {b.delay_ms[j]:g} ms")
    return text + ", ".join(parts)


# --- everything else -------------------------------------------------------------------------


def array_differences(before: NetworkModel, after: NetworkModel) -> list[ArrayDifference]:
    """How everything but the synapses differs, array by array."""
    found = []
    if before.lgn.size != after.lgn.size:
        found.append(
            ArrayDifference(
                "lgn.size", 1, 1, note=f"{before.lgn.size} became {after.lgn.size} LGN cells"
            )
        )
    if before.n_neurons != after.n_neurons:
        note = f"{before.n_neurons} became {after.n_neurons} neurons"
        return [*found, ArrayDifference("neurons.size", 1, 1, note=note)]
    # Parameters are compared neuron by neuron: files may number and merge types as they like.
    for name in dict.fromkeys((*before.cell_types.columns, *after.cell_types.columns)):
        a, b = (_effective(network, name) for network in (before, after))
        found += _values_differ(f"cell_types.{name}", a, b)
    found += _models_differ(before, after)
    found += _populations_differ(before, after)
    found += _values_differ(
        "neurons.position_um", before.neurons.position_um, after.neurons.position_um
    )
    found += _values_differ("background.weight", before.background_weight, after.background_weight)
    found += _readout_differs(before, after)
    return found


def _effective(network: NetworkModel, name: str) -> NDArray[np.float64] | None:
    """A parameter of each neuron: its own, its model's default in v1sim, or NEST's.

    Rows of lists are padded with NaN; None where no model has the parameter.
    """
    types = network.cell_types
    rows: list[Any] = []
    for i in range(len(types)):  # over types, of which there are about two hundred
        parameter = types.model_of(i).parameter(name)
        value: Any = None if parameter is None else types.value(parameter, i)
        if parameter is not None and value is None and isinstance(parameter.nest, str):
            value = NEST_DEFAULTS.get(types.model[i], {}).get(parameter.nest)
        rows.append(np.nan if value is None else value)
    if all(isinstance(row, float) and np.isnan(row) for row in rows):
        return None
    width = max((len(row) for row in rows if isinstance(row, list)), default=0)
    if width:
        rows = [
            [*row, *[np.nan] * (width - len(row))] if isinstance(row, list) else [row] * width
            for row in rows
        ]
    return np.array(rows, dtype=np.float64)[network.neurons.cell_type]


def _populations_differ(before: NetworkModel, after: NetworkModel) -> list[ArrayDifference]:
    """Names and ids, where both networks have them."""
    a, b = before.neurons.populations, after.neurons.populations
    if not a or not b:
        return []
    if [(p.name, len(p)) for p in a] != [(p.name, len(p)) for p in b]:
        note = f"{', '.join(p.name for p in a)} became {', '.join(p.name for p in b)}"
        return [ArrayDifference("neurons.population", len(a), len(b), note=note)]
    ids = [np.concatenate([p.node_id for p in populations]) for populations in (a, b)]
    n_changed = int(np.count_nonzero(ids[0] != ids[1]))
    return [ArrayDifference("neurons.node_id", len(ids[0]), n_changed)] if n_changed else []


def _models_differ(before: NetworkModel, after: NetworkModel) -> list[ArrayDifference]:
    a, b = (np.array(n.cell_types.model)[n.neurons.cell_type] for n in (before, after))
    n_changed = int(np.count_nonzero(a != b))
    return [ArrayDifference("cell_types.model", len(a), n_changed)] if n_changed else []


def _values_differ(
    array: str, a: NDArray[np.floating] | None, b: NDArray[np.floating] | None
) -> list[ArrayDifference]:
    if a is None and b is None:
        return []
    if a is None or b is None:
        return [
            ArrayDifference(array, 0, 0, note="only in the " + ("second" if a is None else "first"))
        ]
    if a.shape != b.shape:
        note = f"rows of {a.shape[1:]} became rows of {b.shape[1:]}"
        return [ArrayDifference(array, len(a), len(a), note=note)]
    # Float32 is what training and files use; what it cannot tell apart is the same.
    x, y = a.astype(np.float32), b.astype(np.float32)
    changed = ~((x == y) | (np.isnan(x) & np.isnan(y)))
    if not changed.any():
        return []
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(a), np.abs(b))
        relative = np.abs(a.astype(np.float64) - b) / np.where(size == 0, 1.0, size)
    rows = int(np.count_nonzero(changed.reshape(len(changed), -1).any(axis=1)))
    return [ArrayDifference(array, len(a), rows, _finite(float(relative[changed].max())))]


def _readout_differs(before: NetworkModel, after: NetworkModel) -> list[ArrayDifference]:
    a, b = before.readout, after.readout
    if len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True)):
        return []
    note = f"{len(a)} became {len(b)} groups"
    if len(a) == len(b):
        differing = [
            i for i, (x, y) in enumerate(zip(a, b, strict=True)) if not np.array_equal(x, y)
        ]
        note = f"groups {', '.join(map(str, differing))} have other neurons"
        if {tuple(np.sort(x)) for x in a} == {tuple(np.sort(y)) for y in b}:
            note = "the same groups in another order"
    return [ArrayDifference("readout.neuron", len(a), 0, note=note)]


def difference_document(difference: NetworkDifference) -> DifferenceDocument:
    """A difference as a document."""
    from v1sim.documents.difference import DifferenceDocument  # pydantic: not for the checks

    def table_values(table: TableDifference) -> dict[str, Any]:
        return {
            "n_before": table.n_before,
            "n_after": table.n_after,
            "n_only_before": table.n_only_before,
            "n_only_after": table.n_only_after,
            "n_delay_changed": table.n_delay_changed,
            "same_wiring": table.same_wiring,
            "same_weight_multiset": table.same_weight_multiset,
            "equal": table.equal,
            "weights": asdict(table.weights),
            "receptors": {name: asdict(change) for name, change in table.receptors.items()},
            "class_pairs": [
                {"source": pre, "target": post, **asdict(change)}
                for (pre, post), change in table.class_pairs.items()
            ],
            "class_pair_receptors": [
                {"source": pre, "target": post, "receptor": receptor, **asdict(change)}
                for (pre, post, receptor), change in table.class_pair_receptors.items()
            ],
            "examples": table.examples,
        }

    return DifferenceDocument.of(
        {
            "before": difference.before,
            "after": difference.after,
            "equal": difference.equal,
            "same_network": difference.same_network,
            "n_neurons": difference.n_neurons,
            "n_lgn": difference.n_lgn,
            "arrays": [
                {**asdict(array), "array": difference.name_of(array.array)}
                for array in difference.arrays
            ],
            "tables": {
                difference.name_of(name): table_values(table)
                for name, table in difference.tables.items()
            },
        }
    )
