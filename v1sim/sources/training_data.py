"""The training-data folder of the Billeh model: the one source of untrained weights.

::

    network_dat.pkl           {"nodes": [{"ids", "params"}], "edges": [{"source", "target",
                              "params": {"weight" pA, "delay" ms, "receptor_type" 1..4}}]}
    input_dat.pkl             [(LGN {"ids", ...}, edges), (background {"ids", ...}, edges)]
    network/v1_nodes.h5       nodes/v1/{node_id, node_type_id}, nodes/v1/0/{x, y, z} um
    network/v1_node_types.csv node_type_id, pop_name, ... separated by blanks

A pickle can run any program when it is loaded. These are read by
`v1sim.sources.plain_pickle`, which rebuilds arrays and plain containers itself, and refuses
anything else by its name.

Which neurons a network has, and in what order its synapses are, follow the loader of the
published training code (Chen, Scherr, Maass 2022, doi 10.1126/sciadv.abq7592), so that the
untrained network pairs up with its checkpoints.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from v1sim.errors import InputError
from v1sim.files.hdf5 import given_hdf5
from v1sim.model import (
    CellTypeTable,
    NetworkModel,
    NeuronTable,
    SourceFile,
    SynapseTable,
)
from v1sim.receptors import BILLEH_RECEPTORS
from v1sim.sources.plain_pickle import read_plain_pickle
from v1sim.sources.readout_groups import published_readout_groups
from v1sim.units import MODEL_STEP_MS

__all__ = [
    "CORE_RADIUS_UM",
    "DEFAULT_SEED",
    "Delays",
    "NodeTables",
    "Selection",
    "TrainingFolder",
    "initial_network",
    "open_folder",
    "select_neurons",
]

#: Parameters of a group of nodes in the pickle, by their names in `CellTypeTable`.
_PARAMETERS = {
    "c_m_pf": "C_m",
    "g_ns": "g",
    "e_l_mv": "E_L",
    "v_th_mv": "V_th",
    "v_reset_mv": "V_reset",
    "t_ref_ms": "t_ref",
    "k_per_ms": "k",
    "asc_amp_pa": "asc_amps",
    "tau_syn_ms": "tau_syn",
}

Selection = Literal["connected", "core", "random"]
Delays = Literal["own", "published"]

#: Of the published loader: radius of the core, seed, longest delay in ms.
CORE_RADIUS_UM = 400.0
DEFAULT_SEED = 3000
_MAX_DELAY_MS = 5.0


#: Shape of a type's parameter, where it is more than one number.
_ROWS = {"k_per_ms": (2,), "asc_amp_pa": (2,), "tau_syn_ms": (BILLEH_RECEPTORS.n,)}


# --- the folder ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class NodeTables:
    """Positions and population names of all nodes: um (m, 3: x, y, z), and one name a node."""

    position_um: NDArray[np.float64]
    node_type_id: NDArray[np.int64]
    pop_name: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class _Edges:
    """One group of edges; columns have one length."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    receptor: NDArray[np.int64]
    weight_pa: NDArray[np.floating]
    delay_ms: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TrainingFolder:
    """A training-data folder, read and checked.

    ``type_of_node`` (m,) indexes ``types``, whose rows are those of ``network_dat.pkl``;
    ``nodes`` is None where the folder has no node tables.
    """

    path: Path
    types: CellTypeTable
    type_of_node: NDArray[np.int64]
    recurrent: tuple[_Edges, ...]
    lgn: tuple[_Edges, ...]
    background: tuple[_Edges, ...]
    n_lgn: int
    nodes: NodeTables | None

    @property
    def n_nodes(self) -> int:
        """Number of nodes of the whole column."""
        return len(self.type_of_node)


def open_folder(path: Path) -> TrainingFolder:
    """Read a training-data folder.

    Raises
    ------
    InputError
        If a file is missing, is not what it should be, or holds more than data.
    """
    if not path.is_dir():
        raise InputError("no such folder", where=str(path), hint="check --data-dir")
    missing = [n for n in ("network_dat.pkl", "input_dat.pkl") if not (path / n).is_file()]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} missing",
            where=str(path),
            expected="network_dat.pkl, input_dat.pkl, network/v1_nodes.h5, "
            "network/v1_node_types.csv",
        )
    network_file, input_file = path / "network_dat.pkl", path / "input_dat.pkl"
    nodes, edges = _parts(read_plain_pickle(network_file), network_file)
    types, type_of_node = _types(nodes, network_file)
    n_nodes = len(type_of_node)
    tables = _node_tables(path / "network", n_nodes)
    if tables is not None:
        types = _named(types, type_of_node, tables, path)
    populations = read_plain_pickle(input_file)
    if not isinstance(populations, list | tuple) or not populations:
        raise _malformed(input_file, "a list of populations, LGN first, then background")
    n_lgn, lgn = _input_population(populations[0], n_nodes, input_file)
    background: tuple[_Edges, ...] = ()
    if len(populations) > 1:
        n_sources, background = _input_population(populations[1], n_nodes, input_file)
        _require_ids(background, "source", n_sources, input_file)
    _require_ids(lgn, "source", n_lgn, input_file)
    recurrent = tuple(_edges(edges, network_file))
    for column in ("source", "target"):
        _require_ids(recurrent, column, n_nodes, network_file)
    return TrainingFolder(path, types, type_of_node, recurrent, lgn, background, n_lgn, tables)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _malformed(path: Path, expected: str) -> InputError:
    return InputError(
        "has another structure than the training code's", where=str(path), expected=expected
    )


def _parts(document: Any, path: Path) -> tuple[Sequence[Any], Sequence[Any]]:
    if not isinstance(document, dict) or not {"nodes", "edges"} <= set(document):
        raise _malformed(path, "a dict with 'nodes' and 'edges'")
    return document["nodes"], document["edges"]


def _numbers(values: Any, dtype: DTypeLike) -> NDArray[Any]:
    """An array, or a flat list of numbers, as an array; lists within lists can be of any size.

    Raises
    ------
    TypeError, ValueError
        If it is something else, or a number does not fit.
    """
    if not isinstance(values, np.ndarray | np.number | int | float):
        if not isinstance(values, list | tuple):
            msg = f"a {type(values).__name__} where numbers should be"
            raise TypeError(msg)
        if not all(isinstance(value, np.number | int | float) for value in values):
            msg = "a list of something else than numbers"
            raise TypeError(msg)
    array = np.asarray(values)
    kinds = "iub" if np.issubdtype(dtype, np.integer) else "iubf"
    if array.dtype.kind not in kinds and not (
        array.dtype.kind == "f" and np.array_equal(array, np.trunc(array))
    ):
        msg = f"{array.dtype} where {np.dtype(dtype)} should be"
        raise TypeError(msg)
    if np.issubdtype(dtype, np.integer) and array.size:
        limits = np.iinfo(dtype)
        if not limits.min <= array.min() <= array.max() <= limits.max:
            msg = "a number that is too large"
            raise ValueError(msg)
    return array.astype(dtype)


def _types(nodes: Sequence[Any], path: Path) -> tuple[CellTypeTable, NDArray[np.int64]]:
    """One type a group of nodes, in float32 as training holds it, and the type of each node."""
    try:
        ids = [_numbers(group["ids"], np.int64).ravel() for group in nodes]
        columns = {
            key: np.array([_numbers(group["params"][name], np.float32) for group in nodes])
            for key, name in _PARAMETERS.items()
        }
        for key, values in columns.items():
            row = _ROWS.get(key, ())
            if values.shape != (len(ids), *row) or not np.isfinite(values).all():
                msg = f"{_PARAMETERS[key]} is {values.shape}, or not finite"
                raise ValueError(msg)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise _malformed(
            path,
            f"nodes with ids and params {', '.join(_PARAMETERS.values())}; {_one_line(error)}",
        ) from error
    all_ids = np.concatenate(ids) if ids else np.empty(0, np.int64)
    if not np.array_equal(np.sort(all_ids), np.arange(len(all_ids))):
        raise _malformed(path, "every node id from 0 up in one group of nodes")
    type_of_node = np.empty(len(all_ids), dtype=np.int64)
    type_of_node[all_ids] = np.repeat(np.arange(len(ids)), [len(group) for group in ids])
    held: dict[str, Any] = {key: values.astype(np.float64) for key, values in columns.items()}
    return CellTypeTable.glif3(**held), type_of_node


def _edges(groups: Any, path: Path) -> Iterator[_Edges]:
    try:
        for group in groups:
            source = _numbers(group["source"], np.int64).ravel()
            target = _numbers(group["target"], np.int64).ravel()
            params = group["params"]
            weight = params["weight"]
            if not isinstance(weight, np.ndarray) or weight.dtype.kind != "f":
                weight = _numbers(weight, np.float64)
            shape = source.shape
            yield _Edges(
                source,
                target,
                np.broadcast_to(_numbers(params["receptor_type"], np.int64) - 1, shape),
                np.broadcast_to(weight, shape),
                np.broadcast_to(_numbers(params["delay"], np.float32), shape),
            )
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise _malformed(
            path,
            f"edges with source, target and params weight, delay, receptor_type; "
            f"{_one_line(error)}",
        ) from error


def _input_population(population: Any, n_nodes: int, path: Path) -> tuple[int, tuple[_Edges, ...]]:
    try:
        described, groups = population[0], population[1]
        n_sources = len(described["ids"])
    except (LookupError, TypeError, ValueError) as error:
        raise _malformed(path, "populations of (a dict with 'ids', edges)") from error
    edges = tuple(_edges(groups, path))
    _require_ids(edges, "target", n_nodes, path)
    return n_sources, edges


def _require_ids(edges: Sequence[_Edges], column: str, limit: int, path: Path) -> None:
    for group in edges:
        ids = getattr(group, column)
        if len(group.source) != len(group.target):
            raise _malformed(path, "as many sources as targets")
        if ids.size and (ids.min() < 0 or ids.max() >= limit):
            raise InputError(
                f"an edge has the {column} {ids.max() if ids.max() >= limit else ids.min()}",
                where=str(path),
                expected=f"ids from 0 to {limit - 1}",
            )
        n = BILLEH_RECEPTORS.n
        if group.receptor.size and not 0 <= group.receptor.min() <= group.receptor.max() < n:
            raise InputError(
                f"a receptor type is not {', '.join(map(str, range(1, n)))} or {n}", where=str(path)
            )


def _node_tables(folder: Path, n_nodes: int) -> NodeTables | None:
    """The node tables, or None where the folder has none."""
    nodes_file, types_file = folder / "v1_nodes.h5", folder / "v1_node_types.csv"
    if not nodes_file.is_file():
        return None
    expected = (
        f"nodes/v1/node_id, node_type_id and 0/x, y, z of the {n_nodes:,} nodes of network_dat.pkl"
    )
    with given_hdf5(nodes_file, error=InputError, expected=expected) as file:

        def column(name: str, dtype: DTypeLike, kinds: str) -> NDArray[Any]:
            values = file.numbers(f"nodes/v1/{name}", (n_nodes,), kinds=kinds, expected=expected)
            return values.astype(dtype)

        node_id = column("node_id", np.int64, "iu")
        node_type_id = column("node_type_id", np.int64, "iu")
        position = np.column_stack([column(f"0/{axis}", np.float64, "fiu") for axis in "xyz"])
    if not np.array_equal(node_id, np.arange(n_nodes)):
        raise InputError(
            "has other node ids than network_dat.pkl",
            where=str(nodes_file),
            expected=f"the same {n_nodes:,} nodes, numbered from 0",
        )
    pop_name: dict[int, str] = {}
    if types_file.is_file():
        try:
            with types_file.open(encoding="utf-8-sig", newline="") as stream:
                for row in csv.DictReader(stream, delimiter=" "):
                    name = row["pop_name"]
                    if name is None:
                        msg = "a row is too short"
                        raise ValueError(msg)
                    pop_name[int(row["node_type_id"])] = name
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(types_file)) from error
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise _malformed(
                types_file, "columns node_type_id and pop_name, separated by blanks"
            ) from error
    return NodeTables(position.astype(np.float64), node_type_id, pop_name)


def _named(
    types: CellTypeTable, type_of_node: NDArray[np.int64], tables: NodeTables, path: Path
) -> CellTypeTable:
    """The types with the names of the node tables."""
    if not tables.pop_name:
        return types
    _, first = np.unique(type_of_node, return_index=True)
    of_type = tables.node_type_id[first]
    if not np.array_equal(of_type[type_of_node], tables.node_type_id):
        raise InputError(
            "v1_nodes.h5 groups the nodes into other types than network_dat.pkl",
            where=str(path),
            expected="one node_type_id for each group of nodes",
        )
    unknown = sorted(set(of_type.tolist()) - set(tables.pop_name))
    if unknown:
        raise InputError(
            f"v1_node_types.csv has no row for the type {unknown[0]}", where=str(path / "network")
        )
    classes = tuple(tables.pop_name[int(i)] for i in of_type)
    names = tuple(f"{name} {i}" for name, i in zip(classes, of_type, strict=True))
    return replace(types, name=names, cell_class=classes)


# --- the untrained network -------------------------------------------------------------------


def select_neurons(
    folder: TrainingFolder,
    n_neurons: int | None = None,
    selection: Selection = "connected",
    seed: int = DEFAULT_SEED,
) -> NDArray[np.int64]:
    """Nodes of a network, ascending, as the published loader selects them.

    Parameters
    ----------
    folder : TrainingFolder
        Needs node tables unless all nodes are taken or ``selection`` is "random".
    n_neurons : int, optional
        All of them by default.
    selection : str
        "connected": those nearest to the axis; "core": any within 400 um of it, "random":
        any.
    seed : int
        Of the last two.

    Raises
    ------
    InputError
        If there are not so many, or no positions.
    """
    everything = np.arange(folder.n_nodes)
    if n_neurons is None and selection != "core":
        return everything
    if selection == "random":
        return _chosen(everything, n_neurons, seed, folder)
    if folder.nodes is None:
        if n_neurons == folder.n_nodes:
            return everything
        raise InputError(
            "there are no positions to select neurons by",
            where=str(folder.path),
            expected="network/v1_nodes.h5",
        )
    position = folder.nodes.position_um
    radius = np.sqrt(position[:, 0] ** 2 + position[:, 2] ** 2)
    if selection == "core":
        core = np.flatnonzero(radius < CORE_RADIUS_UM)
        return core if n_neurons is None else _chosen(core, n_neurons, seed, folder)
    nearest = np.argsort(radius)[:n_neurons]
    if n_neurons is not None and len(nearest) < n_neurons:
        raise _too_few(len(nearest), n_neurons, folder)
    return np.sort(nearest)


def _chosen(
    nodes: NDArray[np.int64], n_neurons: int | None, seed: int, folder: TrainingFolder
) -> NDArray[np.int64]:
    if n_neurons is None:
        return nodes
    if n_neurons > len(nodes):
        raise _too_few(len(nodes), n_neurons, folder)
    # The loader's own generator: another would choose other neurons.
    choice = np.random.RandomState(seed).choice(nodes, size=n_neurons, replace=False)
    return np.sort(choice)


def _too_few(n: int, wanted: int, folder: TrainingFolder) -> InputError:
    return InputError(
        f"{wanted:,} neurons are wanted of {n:,}", where=str(folder.path), hint="check --neurons"
    )


def initial_network(
    folder: TrainingFolder, nodes: NDArray[np.int64], *, delays: Delays = "own"
) -> NetworkModel:
    """The network that training begins with, in the arithmetic of the published code.

    Parameters
    ----------
    folder : TrainingFolder
        The training data.
    nodes : int64 array, shape (n,)
        The neurons (`select_neurons`), ascending.
    delays : str
        "own": each synapse has its delay. "published": the published loader sorts
        synapses and not their delays, so that they are the right ones of other synapses; networks
        trained with it have those.
    """
    if delays not in get_args(Delays):
        msg = f"delays is {delays!r}"
        raise ValueError(msg)
    neuron_of = np.full(folder.n_nodes, -1, dtype=np.int64)
    neuron_of[nodes] = np.arange(len(nodes))
    type_of = folder.type_of_node[nodes]
    v_th, e_l = (getattr(folder.types, k).astype(np.float32) for k in ("v_th_mv", "e_l_mv"))
    scale_mv = (v_th - e_l)[type_of]
    position = None if folder.nodes is None else folder.nodes.position_um[nodes]
    background = _background(folder, neuron_of, scale_mv)
    recurrent = _table(folder.recurrent, neuron_of, scale_mv, recurrent=True, delays=delays)
    names = folder.types.cell_class
    readout: tuple[NDArray[np.int32], ...] = ()
    if position is not None and names is not None:
        readout = published_readout_groups(position, np.array(names)[type_of])
    return NetworkModel.billeh(
        neurons=NeuronTable(type_of.astype(np.uint16), position),
        cell_types=folder.types,
        recurrent=recurrent,
        lgn=_table(folder.lgn, neuron_of, scale_mv, recurrent=False, delays="own"),
        n_lgn=folder.n_lgn,
        source=SourceFile(str(folder.path), "", "training_data"),
        background_weight=background,
        readout=readout,
    )


def _table(
    groups: Sequence[_Edges],
    neuron_of: NDArray[np.int64],
    scale_mv: NDArray[np.float32],
    *,
    recurrent: bool,
    delays: Delays,
) -> SynapseTable:
    """Synapses between selected neurons, sorted by target, receptor and source."""
    parts: list[list[NDArray[Any]]] = [[], [], [], [], []]
    columns: list[NDArray[Any]]
    for group in groups:
        post = neuron_of[group.target]
        pre = neuron_of[group.source] if recurrent else group.source
        kept = (post >= 0) & (pre >= 0)
        columns = [pre, post, group.receptor, group.delay_ms, group.weight_pa]
        for part, values in zip(parts, columns, strict=True):
            part.append(values[kept])
    joined = [np.concatenate(column) if column else np.empty(0) for column in parts]
    pre, post, receptor = (column.astype(np.int64) for column in joined[:3])
    delay, weight_pa = joined[3:]
    order = np.lexsort((pre, post * BILLEH_RECEPTORS.n + receptor))
    post = post[order]
    weight = weight_pa[order].astype(np.float32) / scale_mv[post]
    delay_ms = np.full(len(post), MODEL_STEP_MS, dtype=np.float32)
    if recurrent and len(post):
        longest = np.round(min(float(delay.max()), _MAX_DELAY_MS))
        steps = np.round(np.clip(delay, MODEL_STEP_MS, longest) / MODEL_STEP_MS)
        delay_ms = (steps if delays == "published" else steps[order]).astype(np.float32)
    return SynapseTable(
        pre[order].astype(np.int32),
        post.astype(np.int32),
        receptor[order].astype(np.uint8),
        delay_ms,
        weight.astype(np.float32),
    )


def _background(
    folder: TrainingFolder, neuron_of: NDArray[np.int64], scale_mv: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Ten times the normalised weight of each neuron and receptor, as training keeps it."""
    if not folder.background:
        return None
    weight = np.zeros((len(scale_mv), BILLEH_RECEPTORS.n), dtype=np.float32)
    for group in folder.background:
        post = neuron_of[group.target]
        kept = post >= 0
        weight[post[kept], group.receptor[kept]] = group.weight_pa[kept]
    background: NDArray[np.float32] = weight / scale_mv[:, np.newaxis] * np.float32(10)
    return background
