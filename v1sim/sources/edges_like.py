"""Weights of a network in the rows of the SONATA edges file that it came from.

A trained edges file that other programs read is the original one with other weights: the same
rows in the same order, with their delays, types and numbers of synapses. Rows are paired by
source, target and receptor; where these do not tell edges apart, by their delays. What cannot be
paired is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import v1sim
from v1sim.digests import file_sha256
from v1sim.errors import InputError, NetworkFileError
from v1sim.files.hdf5 import GivenHdf5, given_hdf5
from v1sim.model import NetworkModel, SynapseTable
from v1sim.output import refuse_to_replace, replacing
from v1sim.printable import printable
from v1sim.sources.dpointnet import Circuit, is_dpointnet, read_circuit, read_document
from v1sim.sources.hdf5.disk import open_disk
from v1sim.sources.provenance import network_sha256
from v1sim.sources.sonata.config import SonataEdges, read_config
from v1sim.sources.sonata.edge_types import EdgeTypes
from v1sim.sources.sonata.remarks import Remarks
from v1sim.sources.sonata.types import read_types
from v1sim.sources.sonata.weights import WEIGHT_FUNCTIONS, syn_weight_alone, times_nsyns
from v1sim.sources.sonata.writer import ATTRIBUTE

__all__ = ["Rewritten", "edge_weights_pa", "write_edges_like"]

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

_EXPECTED = "a SONATA file of edges"
_MOST_EXAMPLES = 5
#: Edges handled at a time.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Rewritten:
    """The file that was written: edges by population, how many weights differ from the base's."""

    path: Path
    n_edges: Mapping[str, int]
    n_changed: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Base:
    """One population of edges of the base file, in its order; shape (s,) each.

    ``receptor`` is None where nothing says which ones types act through. ``factor`` is what
    PointNet multiplies ``syn_weight`` by. ``rows`` are the rows of ``groups``.
    """

    name: str
    source_population: str
    target_population: str
    source: I64
    target: I64
    type_id: I64
    group: I64
    index: I64
    receptor: I64 | None
    delay_ms: F64 | None
    factor: F64
    weight: F64

    def __len__(self) -> int:
        return len(self.source)


def write_edges_like(
    network: NetworkModel,
    base: Path,
    *,
    command: str,
    suffix: str = "trained",
    out: Path | None = None,
    config: Path | None = None,
    force: bool = False,
) -> Rewritten:
    """Write a copy of an edges file with the weights of a network.

    ``syn_weight`` becomes the weight in pA (mV for cells of iaf_psc_delta) divided by ``nsyns``;
    everything else stays as it is in the base.

    Parameters
    ----------
    network : NetworkModel
        Its synapses are those of the base.
    base : Path
        The edges file of the circuit that the network came from.
    command : str
        The command or call that makes the file.
    suffix : str
        Of the new name, ``NAME_edges_SUFFIX.h5`` beside the base.
    out : Path, optional
        Another name for it.
    config : Path, optional
        The circuit's configuration, which leads to the types of the edges and what they say of
        receptors and numbers of synapses; DPointNet's where the network was trained by it. By
        default that is the one whose name and digest the network's provenance holds, where it lies
        in the folder of ``base`` or in one of the two above.
    force : bool
        Whether to replace a file of this name.

    Raises
    ------
    InputError
        If the synapses cannot be paired with the edges.
    OutputError
        If the file cannot be written.
    """
    target = out or base.with_name(f"{base.stem}_{suffix}{base.suffix}")
    if target.resolve() == base.resolve():
        raise InputError(
            "would be written over the base", where=str(target), expected="another name"
        )
    refuse_to_replace(target, force=force)
    circuit = _dpointnet_circuit(network, config, base)
    types, folder, notes = _types_of(base, config)
    weights: dict[str, tuple[_Base, F64]] = {}
    with given_hdf5(base, error=NetworkFileError, expected=_EXPECTED) as file:
        names = [name for name in file.names("edges") if file.is_group(f"edges/{name}")]
        if not names:
            raise file.missing("edges/POPULATION")
        for name in names:
            held = _read_base(file, name, types, folder)
            projection = _projection_of(network, held, str(base))
            if circuit is None:
                weight = edge_weights_pa(network, projection, held, str(base))
            else:
                weight = _joined(network, projection, held, circuit, str(base))
            weights[name] = held, weight / held.factor
    with replacing(target) as temporary:
        shutil.copyfile(base, temporary)
        with open_disk(temporary, "r+") as written:
            _write(written, weights, network, command)
    notes += _notes(network, circuit, types)
    return Rewritten(
        path=target,
        n_edges={name: len(held) for name, (held, _) in weights.items()},
        n_changed={
            name: int(np.count_nonzero(weight != held.weight))
            for name, (held, weight) in weights.items()
        },
        notes=tuple(notes),
    )


# --- the base --------------------------------------------------------------------------------


def _types_of(base: Path, config: Path | None) -> tuple[EdgeTypes | None, str | None, list[str]]:
    """What the types of the base's edges say, its folder of components, and what is not known."""
    if config is None:
        stem = base.name.partition("_edges")[0]
        beside = sorted(base.parent.glob(f"{stem}*edge_types.csv"))
        if len(beside) != 1:
            return None, None, [
                "no configuration says which types the edges have: nsyns is taken from the file, "
                "or as 1 (--config names it)"
            ]  # fmt: skip
        table = read_types(tuple(beside), "edge_type_id")
        return EdgeTypes(table, None, Remarks()), None, []
    document = read_document(config)
    if is_dpointnet(document):
        entries = [
            SonataEdges(_paths(one, "edges_file"), _paths(one, "edge_types_file"))
            for one in document.get("networks", {}).get("edges", [])
        ]
        components: Any = document.get("components", {})
    else:
        read = read_config(config)
        entries, components = list(read.networks.edges), read.components
    for entry in entries:
        if any(path.exists() and path.samefile(base) for path in entry.edges):
            folder = components.get("synaptic_models_dir")
            table = read_types(entry.types, "edge_type_id")
            return EdgeTypes(table, None if folder is None else str(folder), Remarks()), folder, []
    raise InputError(
        f"names no edges file {printable(base.name)}",
        where=str(config),
        expected="the configuration of the circuit that the base belongs to: "
        + (", ".join(sorted(p.name for e in entries for p in e.edges)) or "it names no edges"),
    )


def _paths(entry: Mapping[str, Any], key: str) -> tuple[Path, ...]:
    value = entry.get(key, [])
    return tuple(map(Path, value if isinstance(value, list) else [value]))


def _read_base(file: GivenHdf5, name: str, types: EdgeTypes | None, folder: str | None) -> _Base:
    root = f"edges/{name}"

    def whole(column: str, n: int | None) -> I64:
        numbers = file.numbers(f"{root}/{column}", (n,), kinds="iu", expected="whole numbers")
        return numbers.astype(np.int64)

    source = whole("source_node_id", None)
    n = len(source)
    target, type_id = whole("target_node_id", n), whole("edge_type_id", n)
    group, index = np.zeros(n, dtype=np.int64), np.arange(n, dtype=np.int64)
    if file.has(f"{root}/edge_group_id"):
        group, index = whole("edge_group_id", n), whole("edge_group_index", n)
    ends = [
        file.text_attribute(f"{root}/{column}", "node_population")
        for column in ("source_node_id", "target_node_id")
    ]
    columns: dict[str, F64 | None] = {}
    for column in ("syn_weight", "nsyns", "delay"):
        columns[column] = _column(file, root, column, group, index)
    rows = None
    if types is not None:
        rows = types.table.rows_of(type_id)
        if (rows < 0).any():
            raise NetworkFileError(
                f"edges of the type {type_id[rows < 0][0]}, which the table does not have",
                where=file.where(root),
                expected=f"types of {types.table.where}",
            )
    factor, weight = np.ones(n), np.full(n, np.nan)
    delay = columns["delay"]
    receptor = None
    if columns["nsyns"] is not None:
        factor = np.where(np.isnan(columns["nsyns"]), 1.0, columns["nsyns"])
    if columns["syn_weight"] is not None:
        weight = columns["syn_weight"]
    if types is not None and rows is not None:
        if columns["nsyns"] is None:
            factor = types.nsyns.values[rows]
        else:
            factor = np.where(np.isnan(columns["nsyns"]), types.nsyns.values[rows], factor)
        weight = np.where(np.isnan(weight), types.syn_weight.values[rows], weight)
        if folder is not None:
            types.load(np.unique(rows))
            receptor = types.port[rows].astype(np.int64) - 1
            if delay is None:
                delay = types.delay_ms[rows]
        factor = _with_functions(types, rows, factor, file.where(root))
    if (factor == 0).any() or not np.isfinite(factor).all():
        raise InputError(
            f"{int(np.count_nonzero((factor == 0) | ~np.isfinite(factor))):,} of {n:,} edges have "
            "an nsyns of 0, or none that is a number: no syn_weight gives them a weight",
            where=file.where(root),
            expected="nsyns of 1 and more",
        )
    return _Base(
        name, ends[0] or "", ends[1] or "", source, target, type_id, group, index, receptor,
        delay, factor, weight,
    )  # fmt: skip


def _column(file: GivenHdf5, root: str, column: str, group: I64, index: I64) -> F64 | None:
    """A column of all groups, NaN where one lacks it; None where all do."""
    values, found = np.full(len(group), np.nan), False
    for number in np.unique(group).tolist():
        if not file.is_group(f"{root}/{number}"):
            if not file.has(f"{root}/edge_group_id"):  # all that edges have is of their types
                continue
            raise NetworkFileError(
                f"edges are of the group {number}, which is not there",
                where=file.where(root),
                expected="edge_group_id of groups that are there",
            )
        dataset = file.dataset(f"{root}/{number}/{column}")
        if dataset is None:
            continue
        found = True
        rows = np.flatnonzero(group == number)
        part = file.read(dataset)
        if part.ndim != 1 or not 0 <= index[rows].min() <= index[rows].max() < len(part):
            raise NetworkFileError(
                f"has the shape {part.shape}",
                where=file.where(f"{root}/{number}/{column}"),
                expected="a row for each edge of the group",
            )
        values[rows] = part[index[rows]]
    return values if found else None


def _with_functions(types: EdgeTypes, rows: I64, factor: F64, where: str) -> F64:
    """What syn_weight is multiplied by where types have a weight function."""
    for row in np.unique(rows).tolist():
        name = types.table.texts("weight_function")[row]
        function = None if name is None else WEIGHT_FUNCTIONS.get(name)
        if name is None or function is times_nsyns:
            continue
        if function is not syn_weight_alone:
            raise InputError(
                f"edges of the type {types.table.ids[row]} have the weight_function "
                f"{printable(name)}, of which syn_weight is one factor among others",
                where=where,
                expected="edges whose weight is syn_weight times nsyns",
                hint="take weight_function out of the table of types, for trained weights",
            )
        factor = np.where(rows == row, 1.0, factor)
    return factor


def _projection_of(network: NetworkModel, base: _Base, where: str) -> str:
    """The network's projection between the populations of the base's edges."""
    ours = [p.name for p in network.neurons.populations]
    found = []
    for name, projection in network.projections.items():
        if projection.source is None:
            same = base.source_population in ours or not ours
            same &= base.source_population == base.target_population or bool(ours)
        else:
            role = network.role(name)
            same = projection.source == base.source_population or (
                role == "lgn" and base.source_population.lower().startswith("lgn") and not ours
            )
        if same:
            found.append(name)
    if base.name in found:
        return base.name
    if len(found) != 1:
        seen = f"{len(found)} projections of the network are" if found else "no projection is"
        raise InputError(
            f"{seen} from {printable(base.source_population)} to "
            f"{printable(base.target_population)}",
            where=f"{where}:/edges/{printable(base.name)}",
            expected=f"one of {', '.join(map(printable, network.projections))}",
        )
    return found[0]


# --- pairing ---------------------------------------------------------------------------------


def edge_weights_pa(network: NetworkModel, projection: str, base: _Base, where: str) -> F64:
    """Weight of each edge of the base in pA, from the network's synapses.

    Raises
    ------
    InputError
        If synapses and edges are not the same, or cannot be told apart where it matters.
    """
    table = network.tables[projection]
    where = f"{where}:/edges/{printable(base.name)}"
    source, target = _ids(network, projection, table)
    weight = table.weight_pa(network)
    has_ports = np.array(
        [network.cell_types.model_of(i).has_ports for i in range(len(network.cell_types))]
    )[network.neurons.cell_type[table.post]]
    receptor = np.where(has_ports, table.receptor.astype(np.int64), -1)
    theirs = base.receptor
    if theirs is None:  # nothing is known of the receptors of the base
        receptor, theirs = np.zeros_like(receptor), np.zeros(len(base), dtype=np.int64)
    delay = table.delay_ms.astype(np.float64)
    if len(table) == len(base) and all(
        np.array_equal(a, b)
        for a, b in ((source, base.source), (target, base.target), (receptor, theirs))
    ):
        same_delays = base.delay_ms is None or np.array_equal(
            delay.astype(np.float32), base.delay_ms.astype(np.float32)
        )
        if same_delays and base.receptor is not None:
            return weight  # row for row, as it was read
    keys = [np.stack([target, source, receptor]), np.stack([base.target, base.source, theirs])]
    base_delay = np.zeros(len(base)) if base.delay_ms is None else base.delay_ms
    orders = [
        np.lexsort((delay, *keys[0][::-1])),
        np.lexsort((base_delay, *keys[1][::-1])),
    ]
    ours, others = (key[:, order] for key, order in zip(keys, orders, strict=True))
    if ours.shape != others.shape or not np.array_equal(ours, others):
        raise _not_the_same(ours, others, where)
    _require_told_apart(
        ours, weight[orders[0]], delay[orders[0]], base, base_delay, orders[1], where
    )
    found = np.empty(len(base))
    found[orders[1]] = weight[orders[0]]
    return found


def _ids(network: NetworkModel, projection: str, table: SynapseTable) -> tuple[I64, I64]:
    """Ids of the nodes at both ends of each synapse, in the network's source."""
    neurons = np.concatenate([p.node_id for p in network.populations])
    source = network.projections[projection].source
    if source is None:
        sources = neurons
    else:
        population = network.source_populations[source]
        given = population.node_id
        sources = np.arange(population.size) if given is None else given
    return sources[table.pre], neurons[table.post]


def _not_the_same(ours: I64, others: I64, where: str) -> InputError:
    """The error that says which edges are in one of the two alone."""
    both = np.concatenate([ours, others], axis=1)
    sign = np.repeat([1, -1], [ours.shape[1], others.shape[1]])
    order = np.lexsort(both[::-1])
    both, sign = both[:, order], sign[order]
    first = np.concatenate([[True], (both[:, 1:] != both[:, :-1]).any(axis=0)])
    total = np.add.reduceat(sign, np.flatnonzero(first)) if len(sign) else sign
    names = both[:, first]

    def listed(which: NDArray[np.bool_]) -> str:
        return "; ".join(
            f"{s} -> {t}" + (f" (receptor {r})" if r >= 0 else "")
            for t, s, r in names[:, which].T[:_MOST_EXAMPLES].tolist()
        )

    parts = []
    if (total > 0).any():
        n = int(total[total > 0].sum())
        parts.append(f"{n:,} of {ours.shape[1]:,} synapses are no edges ({listed(total > 0)})")
    if (total < 0).any():
        n = int(-total[total < 0].sum())
        parts.append(f"{n:,} of {others.shape[1]:,} edges are no synapses ({listed(total < 0)})")
    return InputError(
        "; ".join(parts),
        where=where,
        expected="the network's synapses, each with its source, target and receptor",
        hint="give the edges file that the network came from",
    )


def _require_told_apart(
    keys: I64,
    weight: F64,
    delay: F64,
    base: _Base,
    base_delay: F64,
    order: I64,
    where: str,
) -> None:
    """Refuse edges of one pair and receptor that differ in what their delays do not tell."""
    as_next = (keys[:, 1:] == keys[:, :-1]).all(axis=0)
    if not as_next.any():
        return
    base_delay = base_delay[order]
    tied = as_next & ((delay[1:] == delay[:-1]) | (base_delay[1:] == base_delay[:-1]))
    differ = base_delay[1:] != base_delay[:-1]
    for column in (base.type_id, base.factor):
        differ |= column[order][1:] != column[order][:-1]
    open_ = tied & differ & (weight[1:] != weight[:-1])
    if open_.any():
        i = int(np.flatnonzero(open_)[0])
        raise InputError(
            f"{int(np.count_nonzero(open_)) + 1:,} edges cannot be told apart: the same source, "
            f"target and delay, but another type, delay or nsyns in the base (the first: "
            f"{keys[1, i]} -> {keys[0, i]})",
            where=where,
            expected="edges that source, target, receptor and delay tell apart",
            hint="name the circuit's configuration with --config, which says their receptors"
            if base.receptor is None
            else "nothing in the network tells which weight is whose",
        )


# --- DPointNet -------------------------------------------------------------------------------


def _dpointnet_circuit(network: NetworkModel, config: Path | None, base: Path) -> Circuit | None:
    """The circuit of the training where that was DPointNet's."""
    if network.dynamics is None or network.dynamics.trainer != "dpointnet":
        return None
    config = config or _config_of_training(network, base)
    if config is None or not is_dpointnet(read_document(config)):
        raise InputError(
            "the network was trained by DPointNet: its edges act through basis functions, whose "
            "factors are not in its file, and the configuration of the training is not near the "
            "edges file",
            where=network.source.path,
            expected="--config with the configuration of the training",
        )
    return read_circuit(config)


def _config_of_training(network: NetworkModel, base: Path) -> Path | None:
    """The configuration that a network's provenance names, near the edges file; None if not."""
    details = {} if network.provenance is None else network.provenance.details
    noted = details.get("dpointnet")
    files = noted.get("base_files") if isinstance(noted, Mapping) else None
    if not isinstance(files, Mapping):
        return None
    for folder in list(base.absolute().parents)[:3]:
        for name, sha256 in files.items():
            path = folder / Path(name).name
            if path.suffix == ".json" and path.is_file() and file_sha256(path) == sha256:
                return path
    return None


def _joined(
    network: NetworkModel, projection: str, base: _Base, circuit: Circuit, where: str
) -> F64:
    """Weight of each edge in pA, from its synapses on one or several basis functions.

    Raises
    ------
    InputError
        If the synapses are not those that the circuit's edges make.
    """
    where = f"{where}:/edges/{printable(base.name)}"
    population = base.source_population
    edges = circuit.edges.get(population)
    if edges is None or len(edges) != len(base):
        raise InputError(
            f"has {len(base):,} edges from {printable(population)}, the circuit of the training "
            f"{0 if edges is None else len(edges):,}",
            where=where,
            expected="the edges file that the training read",
        )
    edge, receptor, factor = circuit.rows(population)
    table = network.tables[projection]
    pre, post = edges.source[edge], edges.target[edge]
    rows = _rows_of(table, pre, post, receptor, where)
    weight = table.weight_pa(network)[rows] / factor
    found = np.full(len(base), np.nan)
    # Of several rows that of the largest factor: the last one that is written.
    order = np.argsort(np.abs(factor), kind="stable")
    found[edge[order]] = weight[order]
    same = np.abs(weight - found[edge]) <= 1e-5 * np.abs(found[edge]) + 1e-30
    if not same.all():
        i = int(np.flatnonzero(~same)[0])
        raise InputError(
            f"{int(np.count_nonzero(~same)):,} of {len(same):,} synapses are not their factor "
            f"times the weight of their edge (the first: edge {edge[i]:,}, {weight[i]:g} against "
            f"{found[edge[i]]:g} pA)",
            where=network.source.path,
            expected="synapses on basis functions that were trained as one edge",
            hint="the configuration may be that of another training",
        )
    silent = np.isnan(found)  # all factors are zero: what they weigh has no effect
    found[silent] = (base.weight * base.factor)[silent]
    return found


def _rows_of(
    table: SynapseTable, pre: I64, post: I64, receptor: NDArray[np.uint8], where: str
) -> I64:
    """Rows of a table in the order of synapses that are known by their ends and receptor."""
    if all(
        np.array_equal(a, b)
        for a, b in ((table.pre, pre), (table.post, post), (table.receptor, receptor))
    ):
        return np.arange(len(table))
    keys = [
        np.stack([table.post, table.pre, table.receptor]).astype(np.int64),
        np.stack([post, pre, receptor]).astype(np.int64),
    ]
    orders = [np.lexsort(key[::-1]) for key in keys]
    ours, others = (key[:, order] for key, order in zip(keys, orders, strict=True))
    if ours.shape != others.shape or not np.array_equal(ours, others):
        raise _not_the_same(ours, others, where)
    twice = (ours[:, 1:] == ours[:, :-1]).all(axis=0)
    if twice.any():
        i = int(np.flatnonzero(twice)[0])
        raise InputError(
            f"{int(np.count_nonzero(twice)):,} synapses have the source, target and basis function "
            f"of another, and stand in another order than the edges (the first: {ours[1, i]} -> "
            f"{ours[0, i]})",
            where=where,
            expected="a network in the order in which v1sim convert writes it",
        )
    rows = np.empty(len(pre), dtype=np.int64)
    rows[orders[1]] = orders[0]
    return rows


# --- writing ---------------------------------------------------------------------------------


def _write(
    file: h5py.File,
    weights: Mapping[str, tuple[_Base, F64]],
    network: NetworkModel,
    command: str,
) -> None:
    about = {
        "made_by": f"v1sim {v1sim.__version__}",
        "command": command,
        "network": network.source.path,
        "file_sha256": network.source.sha256,
        "network_sha256": network_sha256(network),
    }
    if network.provenance is not None:
        about["kind"] = network.provenance.kind
    file.attrs[ATTRIBUTE] = json.dumps(about)
    for name, (base, weight) in weights.items():
        for number in np.unique(base.group).tolist():
            rows = np.flatnonzero(base.group == number)
            group = file.require_group(f"edges/{name}/{number}")
            lengths = [
                one.shape[0] for one in group.values() if isinstance(one, h5py.Dataset) and one.ndim
            ]
            n = max([*lengths, int(base.index[rows].max()) + 1])
            values = np.full(n, np.nan)
            if "syn_weight" in group:  # rows that no edge has stay as they are
                values[: len(group["syn_weight"])] = group["syn_weight"][()]
                del group["syn_weight"]
            values[base.index[rows]] = weight[rows]
            group["syn_weight"] = values


def _notes(network: NetworkModel, circuit: Circuit | None, types: EdgeTypes | None) -> list[str]:
    """What PointNet builds otherwise than the network that was trained."""
    notes = []
    if network.dynamics is not None:
        notes.append(
            f"trained with the {network.dynamics.reset} reset of {network.dynamics.trainer}: "
            "PointNet's cells reset to V_reset and hold it"
        )
    if circuit is not None:
        notes.append(
            "PointNet takes the base's delays, not the steps of the training, and each edge's "
            "receptor_type with the cell's own tau_syn, not the basis functions"
        )
        if any("nsyns" in row for held in circuit.edges.values() for row in held.types.values()):
            notes.append("weights are divided by nsyns, by which PointNet multiplies them")
    return notes
