"""A network as a SONATA circuit: nodes, edges, components and configurations.

What is written gives BMTK's PointNet the network that v1sim builds with NEST's own models
(``simulation.dynamics: glif_psc`` or ``nest``), spike by spike; its times are the END of each
step, v1sim's the start. What SONATA has no place for is said in the notes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import v1sim
from v1sim.cell_classes import cell_classes
from v1sim.digests import plain_background, table_digest
from v1sim.errors import InputError, OutputError
from v1sim.files.hdf5 import given_hdf5
from v1sim.model import LgnCellTable, NetworkModel, SourcePopulation, SynapseTable
from v1sim.output import new_folder, replacing, write_csv
from v1sim.paging import forget
from v1sim.receptors import Kind
from v1sim.sources.hdf5.disk import new_hdf5
from v1sim.sources.provenance import network_sha256
from v1sim.sources.sonata.edge_writer import (
    MOST_INDEXED,
    EdgeBlock,
    EdgeEnds,
    write_edges,
    write_head,
)
from v1sim.stimulus.background import event_weight, read_draws
from v1sim.stimulus.lgn import LGN_COLUMNS
from v1sim.units import MODEL_STEP_MS

__all__ = ["ATTRIBUTE", "Exported", "write_circuit"]

#: Attribute of files that v1sim wrote: a JSON text that says from what.
ATTRIBUTE = "v1sim"
#: The circuit's configuration, by which its folder is known.
CIRCUIT = "circuit_config.json"
#: The configuration with which BMTK runs it.
SIMULATION = "simulation_config.json"
#: What the background of the Billeh model's files is called in the circuit.
BACKGROUND = "bkg"
#: Ids of the first node type and the first edge type.
_FIRST_TYPE = 100
#: Synapses handled at a time.
_BLOCK = 1 << 20
_NULL = "NULL"


@dataclass(frozen=True)
class Exported:
    """A circuit that was written, and what a reader of it must know."""

    folder: Path
    n_nodes: Mapping[str, int]
    n_edges: Mapping[str, int]
    notes: tuple[str, ...]


def write_circuit(
    network: NetworkModel,
    folder: Path,
    *,
    command: str,
    background: Path | None = None,
    spikes: Path | None = None,
    duration_ms: float = 1000.0,
    force: bool = False,
) -> Exported:
    """Write a network as a SONATA circuit, with a configuration to run it in BMTK.

    Parameters
    ----------
    network : NetworkModel
        Any network; its values must be finite.
    folder : Path
        The folder appears whole or not at all.
    command : str
        The command or call that makes it.
    background : Path, optional
        Draws of a recorded background (`v1sim.stimulus.background.read_draws`); otherwise the
        background sends its mean in every step of training.
    spikes : Path, optional
        SONATA spikes of the source populations, which become the circuit's inputs.
    duration_ms : float
        How long the configuration simulates.
    force : bool
        Whether to replace a circuit that was written before.

    Raises
    ------
    OutputError
        If the network cannot be written as SONATA, or the folder cannot be written.
    InputError
        If draws or spikes cannot be read.
    """
    with new_folder(folder, force=force, known_by=CIRCUIT) as new:
        writer = _Writer(network, new.temporary, command)
        writer.write(background, spikes, duration_ms)
    return Exported(new.final, writer.n_nodes, writer.n_edges, tuple(writer.notes))


@dataclass
class _Writer:
    network: NetworkModel
    folder: Path
    command: str
    n_nodes: dict[str, int] = field(default_factory=dict)
    n_edges: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    node_files: list[dict[str, Any]] = field(default_factory=list)
    edge_files: list[dict[str, Any]] = field(default_factory=list)
    #: Part of the file's background weight that one spike of it delivers.
    factor: float = 1.0

    def write(self, background: Path | None, spikes: Path | None, duration_ms: float) -> None:
        network = self.network
        for name in ("network", "inputs", "components/cell_models", "components/synaptic_models"):
            _make_folder(self.folder / name)
        self.about = self._about()
        self.factor = event_weight("mean" if background is None else "recorded")
        self._refuse_not_finite("cell types", *self._needed_parameters())
        populations = {p.name: p.node_id for p in network.populations}
        self.names = {name: _safe(name) for name in (*populations, *network.source_populations)}
        if plain_background(network) is not None:
            self.names["background"] = BACKGROUND
        twice = [name for name in self.names.values() if list(self.names.values()).count(name) > 1]
        if twice:
            raise OutputError(
                f"two populations would be called {twice[0]}",
                where=str(self.folder),
                expected="populations whose names differ in more than blanks and slashes",
            )
        self._components()
        start = 0
        for name, node_id in populations.items():
            self._neurons(name, node_id, start)
            start += len(node_id)
        for name, population in network.source_populations.items():
            self._sources(name, population)
        for name in network.projections:
            self._projection(name)
        inputs = self._inputs(background, spikes, duration_ms)
        self._configurations(inputs, duration_ms)
        self._note_what_is_lost()

    def _about(self) -> dict[str, str]:
        """What stands in the attributes of each file."""
        network, provenance = self.network, self.network.provenance
        about: dict[str, Any] = {
            "made_by": f"v1sim {v1sim.__version__}",
            "command": self.command,
            "network": network.source.path,
            "file_sha256": network.source.sha256,
            "network_sha256": network_sha256(network),
        }
        if provenance is not None:
            about["provenance"] = {
                "kind": provenance.kind,
                "made_by": provenance.made_by,
                "made_at": provenance.made_at,
                "command": provenance.command,
                "digests": {name: one.sha256 for name, one in provenance.arrays.items()},
            }
        return {ATTRIBUTE: json.dumps(about)}

    def _needed_parameters(self) -> list[NDArray[np.floating]]:
        types = self.network.cell_types
        used = np.unique(self.network.neurons.cell_type)
        return [
            types.columns[name][used][types.expected(name)[used]] for name in types.columns
        ]  # fmt: skip

    def _refuse_not_finite(self, where: str, *arrays: NDArray[np.floating]) -> None:
        """Refuse NaN, which BMTK takes for 1.0, and infinity."""
        n_bad = sum(int(np.count_nonzero(~np.isfinite(values))) for values in arrays)
        if n_bad:
            raise OutputError(
                f"{n_bad:,} values of {where} are NaN or infinite",
                where=self.network.source.path,
                expected="numbers; BMTK takes NaN for 1.0",
                hint="v1sim check says what is wrong with the network",
            )

    # --- components ------------------------------------------------------------------------

    def _components(self) -> None:
        types = self.network.cell_types
        labels, kinds = self._labels()
        self.type_rows: list[dict[str, str]] = []
        for i in range(len(types)):
            name = f"{_safe(labels[i])}_{_FIRST_TYPE + i}.json"
            self.type_rows.append(
                {
                    "pop_name": labels[i],
                    "ei": kinds[i],
                    "model_name": (types.name or labels)[i] or _NULL,
                    "model_type": "point_neuron",
                    "model_template": f"nest:{types.model[i]}",
                    "dynamics_params": name,
                }
            )
            parameters = types.nest_parameters(i)
            start = parameters.pop("asc_init", [])
            if any(start):  # NEST's asc_init is no state: cells start at ASCurrents
                parameters["ASCurrents"] = start
            _write_json(self.folder / "components" / "cell_models" / name, parameters)

    def _labels(self) -> tuple[list[str], list[str]]:
        """Class and kind ("e", "i") of each cell type."""
        network, types = self.network, self.network.cell_types
        in_range = all(column.in_range for column in network.index_columns())
        if not in_range:
            raise OutputError(
                "has synapses of cells that are not there",
                where=network.source.path,
                expected="indices in range",
                hint="v1sim check says what is wrong with the network",
            )
        classes = cell_classes(network)
        first = np.zeros(len(types), dtype=np.int64)
        first[network.neurons.cell_type] = np.arange(network.n_neurons)
        of_type = classes.of_neuron[first]
        labels = [classes.names[i] for i in of_type]
        if types.cell_class is not None:
            labels = [text or _NULL for text in types.cell_class]
        if types.kind is not None:
            kinds = [{Kind.EXCITATORY: "e", Kind.INHIBITORY: "i"}.get(Kind(k), _NULL)
                     for k in types.kind.tolist()]  # fmt: skip
        elif (types.receptor_kinds.presynaptic == Kind.UNKNOWN).all():
            kinds = [_NULL] * len(types)
        else:
            kinds = ["e" if classes.is_excitatory[i] else "i" for i in of_type]
        return labels, kinds

    # --- nodes -----------------------------------------------------------------------------

    def _neurons(self, name: str, node_id: NDArray[np.int64], start: int) -> None:
        neurons = self.network.neurons
        rows = slice(start, start + len(node_id))
        columns: dict[str, NDArray[Any]] = {}
        if neurons.position_um is not None:
            position = neurons.position_um[rows]
            columns = {axis: position[:, i] for i, axis in enumerate("xyz")}
        used = np.unique(neurons.cell_type[rows])
        types = {_FIRST_TYPE + int(i): self.type_rows[int(i)] for i in used}
        type_id = neurons.cell_type[rows].astype(np.int64) + _FIRST_TYPE
        self._nodes(self.names[name], node_id, type_id, types, columns, "point_neuron")

    def _sources(self, name: str, population: SourcePopulation) -> None:
        n = population.size
        node_id = np.arange(n) if population.node_id is None else population.node_id
        labels: NDArray[Any] = np.full(n, self.names[name])
        columns: dict[str, NDArray[Any]] = {}
        if population.cells is not None and len(population.cells) == n:
            labels = population.cells.model_id
            columns = _lgn_columns(population.cells)
        kind = np.full(n, Kind.UNKNOWN) if population.kind is None else population.kind
        both = zip(labels.tolist(), kind.tolist(), strict=True)
        pairs, type_index = np.unique(
            np.array([f"{label}\0{k}" for label, k in both], dtype=np.str_), return_inverse=True
        )
        types = {}
        for i, pair in enumerate(pairs.tolist()):
            label, _, number = pair.partition("\0")
            types[_FIRST_TYPE + i] = {
                "pop_name": label or _NULL,
                "ei": {"0": "e", "1": "i"}.get(number, _NULL),
                "model_type": "virtual",
            }
            if population.cells is not None:
                types[_FIRST_TYPE + i]["model_id"] = label or _NULL
        if n == 0:
            types = {_FIRST_TYPE: {"pop_name": self.names[name], "model_type": "virtual"}}
        type_id = type_index.reshape(-1).astype(np.int64) + _FIRST_TYPE
        field_deg = None if population.cells is None else population.cells.field_deg
        self._nodes(self.names[name], node_id, type_id, types, columns, "virtual", field_deg)

    def _nodes(
        self,
        name: str,
        node_id: NDArray[np.int64],
        type_id: NDArray[np.int64],
        types: Mapping[int, Mapping[str, str]],
        columns: Mapping[str, NDArray[Any]],
        kind: str,
        field_deg: tuple[float, float] | None = None,
    ) -> None:
        if len(node_id) and node_id.min() < 0:
            raise OutputError(f"the ids of {name} are below 0", where=str(self.folder))
        file_name = f"{name}_nodes.h5"
        with new_hdf5(self.folder / "network" / file_name) as file:
            write_head(file)
            for key, text in self.about.items():
                file.attrs[key] = text
            root = file.create_group(f"nodes/{name}")
            root["node_id"] = node_id.astype("u8")
            root["node_type_id"] = type_id.astype("u4")
            root["node_group_id"] = np.zeros(len(node_id), dtype="u2")
            root["node_group_index"] = np.arange(len(node_id), dtype="u8")
            group = root.create_group("0")
            for column, values in columns.items():
                group[column] = values
            if field_deg is not None:
                group.attrs["field_deg"] = field_deg
        table = f"{name}_node_types.csv"
        _write_types(self.folder / "network" / table, "node_type_id", types)
        self.n_nodes[name] = len(node_id)
        self.node_files.append(
            {
                "nodes_file": f"$NETWORK_DIR/{file_name}",
                "node_types_file": f"$NETWORK_DIR/{table}",
                "populations": {name: {"type": kind}},
            }
        )

    # --- edges -----------------------------------------------------------------------------

    def _projection(self, name: str) -> None:
        """One population of edges for each pair of populations that a projection connects."""
        network = self.network
        projection = network.projections[name]
        table = projection.synapses
        real = network.populations
        bounds = np.cumsum([0, *map(len, real)])
        ids = np.concatenate([p.node_id for p in real])
        if projection.source is None:
            sources = [(p.name, bounds[i], bounds[i + 1]) for i, p in enumerate(real)]
            source_ids = ids
        else:
            population = network.source_populations[projection.source]
            sources = [(projection.source, 0, population.size)]
            source_ids = (
                np.arange(population.size) if population.node_id is None else population.node_id
            )
        targets = [(p.name, bounds[i], bounds[i + 1]) for i, p in enumerate(real)]
        pairs = [(source, target) for source in sources for target in targets]
        if name == "background" and plain_background(network) is not None:
            # A matrix of all neurons and receptors: most of its zeros are no synapses.
            table = _without_zeros(table)
        counts = self._counts(table, pairs)
        found = [(pair, n) for pair, n in zip(pairs, counts, strict=True) if n]
        found = found or [(pairs[0], 0)]
        for (source, target), n in found:
            ends = EdgeEnds(
                self._edge_name(name, self.names[source[0]], self.names[target[0]], len(found)),
                self.names[source[0]],
                self.names[target[0]],
            )
            limits = None if len(pairs) == 1 else (source[1:], target[1:])
            self._edges(name, table, ends, n, source_ids, ids, limits)
        table.forget()

    def _edge_name(self, projection: str, source: str, target: str, n_pairs: int) -> str:
        name = f"{source}_to_{target}"
        if self.network.neurons.populations and n_pairs == 1:
            name = _safe(projection)
        unused = name
        number = 1
        while unused in self.n_edges:
            number += 1
            unused = f"{name}_{number}"
        return unused

    def _counts(self, table: SynapseTable, pairs: Sequence[Any]) -> list[int]:
        if len(pairs) == 1:
            return [len(table)]
        counts = [0] * len(pairs)
        for start in range(0, len(table), _BLOCK):
            part = slice(start, start + _BLOCK)
            for i, (source, target) in enumerate(pairs):
                counts[i] += int(np.count_nonzero(_inside(table, part, source[1:], target[1:])))
        return counts

    def _edges(
        self,
        projection: str,
        table: SynapseTable,
        ends: EdgeEnds,
        n: int,
        source_ids: NDArray[np.int64],
        target_ids: NDArray[np.int64],
        limits: Any,
    ) -> None:
        network = self.network
        is_background = ends.source == BACKGROUND and plain_background(network) is not None
        factor = self.factor if is_background else 1.0
        types = network.cell_types
        has_ports = np.array([types.model_of(i).has_ports for i in range(len(types))])
        of_neuron = has_ports[network.neurons.cell_type]
        scale = network.voltage_scale_mv * factor
        used = np.zeros(1 << 9, dtype=bool)

        def blocks() -> Iterator[EdgeBlock]:
            for start in range(0, len(table), _BLOCK):
                part = slice(start, start + _BLOCK)
                keep: Any = slice(None) if limits is None else _inside(table, part, *limits)
                pre, post = table.pre[part][keep], table.post[part][keep]
                weight = table.weight[part][keep].astype(np.float64)
                if table.unit == "normalised":
                    weight *= scale[post]
                elif factor != 1.0:
                    weight *= factor
                delay = table.delay_ms[part][keep].astype(np.float64)
                self._refuse_not_finite(network.source.name_of(projection), weight, delay)
                port = table.receptor[part][keep].astype(np.uint32) + 1
                port[~of_neuron[post]] = 0
                used[np.unique(port)] = True
                yield EdgeBlock(
                    source_ids[pre],
                    target_ids[post],
                    port + _FIRST_TYPE,
                    {"syn_weight": weight, "delay": delay},
                )
                for column in table.columns.values():
                    forget(column)

        about = dict(self.about)
        if factor == 1.0:
            held = json.loads(about[ATTRIBUTE])
            held |= {"projection": projection, "unit": table.unit}
            if limits is None:
                held["table_digest"] = str(table_digest(table))
            about[ATTRIBUTE] = json.dumps(held)
        file_name = f"{ends.name}_edges.h5"
        indexed = write_edges(self.folder / "network" / file_name, ends, n, blocks, about)
        if not indexed:
            self.notes.append(
                f"{file_name} has more than {MOST_INDEXED:,} edges and no index: "
                "libsonata.EdgePopulation.write_indices adds one"
            )
        rows = {}
        for port in np.flatnonzero(used).tolist() or [1]:
            file = f"receptor_{port}.json"
            path = self.folder / "components" / "synaptic_models" / file
            if not path.exists():
                _write_json(path, {"receptor_type": port} if port else {})
            rows[_FIRST_TYPE + port] = {
                "target_query": _NULL,
                "source_query": _NULL,
                "model_template": "static_synapse",
                "dynamics_params": file,
            }
        table_name = f"{ends.name}_edge_types.csv"
        _write_types(self.folder / "network" / table_name, "edge_type_id", rows)
        self.n_edges[ends.name] = n
        self.edge_files.append(
            {
                "edges_file": f"$NETWORK_DIR/{file_name}",
                "edge_types_file": f"$NETWORK_DIR/{table_name}",
                "populations": {ends.name: {"type": "chemical"}},
            }
        )

    # --- inputs and configurations ---------------------------------------------------------

    def _inputs(
        self, background: Path | None, spikes: Path | None, duration_ms: float
    ) -> dict[str, Any]:
        """Spikes of the source populations, and what names them in the configuration."""
        inputs = {}
        given = {} if spikes is None else _spikes_of(spikes)
        for name in self.network.source_populations:
            called = self.names[name]
            file_name = f"{called}_spikes.h5"
            path = self.folder / "inputs" / file_name
            if called == BACKGROUND and plain_background(self.network) is not None:
                self._background_spikes(path, background, duration_ms)
            elif called in given or name in given:
                self._given_spikes(path, called, *given[called if called in given else name])
            else:
                self.notes.append(
                    f"inputs/{file_name} is to hold the spikes of {called}, in SONATA; without "
                    "it, or with `enabled: false`, BMTK makes none of its synapses"
                )
            inputs[called] = {
                "input_type": "spikes",
                "module": "h5",
                "input_file": f"$BASE_DIR/inputs/{file_name}",
                "node_set": called,
            }
        return inputs

    def _background_spikes(self, path: Path, background: Path | None, duration_ms: float) -> None:
        n_steps = int(np.ceil(duration_ms / MODEL_STEP_MS))
        if background is None:
            draws = np.ones(n_steps, dtype=np.int64)
            what = "its mean in each step of training"
        else:
            draws = read_draws(background, [n_steps])[0, :n_steps]
            what = f"the draws of {background}"
        self.notes.append(
            f"{BACKGROUND} sends {what}, from {MODEL_STEP_MS:g} ms on: SONATA has no spike at 0"
        )
        step = np.repeat(np.arange(n_steps), np.where(np.arange(n_steps) > 0, draws, 0))
        _write_spikes(path, BACKGROUND, np.zeros(len(step)), step * MODEL_STEP_MS)

    def _given_spikes(
        self, path: Path, called: str, node_id: NDArray[Any], time_ms: NDArray[Any]
    ) -> None:
        early = int(np.count_nonzero(time_ms <= 0))
        if early:
            self.notes.append(
                f"{early:,} of {len(time_ms):,} spikes of {called} at or before 0 are left out: "
                "BMTK refuses them"
            )
        keep = time_ms > 0
        _write_spikes(path, called, node_id[keep], time_ms[keep])

    def _configurations(self, inputs: dict[str, Any], duration_ms: float) -> None:
        paths = {"$NETWORK_DIR": "$BASE_DIR/network", "$COMPONENTS_DIR": "$BASE_DIR/components"}
        circuit = {
            "components": {
                "point_neuron_models_dir": "$COMPONENTS_DIR/cell_models",
                "synaptic_models_dir": "$COMPONENTS_DIR/synaptic_models",
            },
            "networks": {"nodes": self.node_files, "edges": self.edge_files},
        }
        # libsonata knows "." alone as the folder of the configuration, BMTK ${configdir} alone.
        _write_json(self.folder / CIRCUIT, {"manifest": {"$BASE_DIR": ".", **paths}, **circuit})
        _write_json(
            self.folder / SIMULATION,
            {
                "manifest": {
                    "$BASE_DIR": "${configdir}",
                    **paths,
                    "$OUTPUT_DIR": "$BASE_DIR/output",
                },
                "target_simulator": "NEST",
                "run": {"tstop": float(duration_ms), "dt": float(self.network.step_ms)},
                **circuit,
                "inputs": inputs,
                "output": {
                    "output_dir": "$OUTPUT_DIR",
                    "log_file": "log.txt",
                    "spikes_file": "spikes.h5",
                },
            },
        )

    def _note_what_is_lost(self) -> None:
        network = self.network
        if network.dynamics is not None or not network.cell_types.why_not_of_training:
            self.notes.append(
                "cells are NEST's glif_psc: the equations of training, with their reset, have no "
                "place in SONATA"
            )
        lost = [
            name
            for name, is_there in (
                ("the readout", bool(network.readout) or network.readout_weight is not None),
                ("names and kinds of receptors", bool(network.receptors.names)),
                (f"{len(network.remarks)} remarks of the reader", bool(network.remarks)),
            )
            if is_there
        ]
        if lost:
            self.notes.append(f"{' and '.join(lost)} have no place in SONATA")


def _without_zeros(table: SynapseTable) -> SynapseTable:
    rows = np.flatnonzero(table.weight)
    columns = {key: column[rows] for key, column in table.columns.items()}
    return SynapseTable(**columns, unit=table.unit)


def _inside(table: SynapseTable, part: slice, source: Any, target: Any) -> NDArray[np.bool_]:
    """Which synapses lead from these cells onto those; ``(first, after the last)`` each."""
    pre, post = table.pre[part], table.post[part]
    return (
        (pre >= source[0]) & (pre < source[1]) & (post >= target[0]) & (post < target[1])
    )  # fmt: skip


def _safe(name: str) -> str:
    """A name without what file names and tables of types have no place for."""
    return re.sub(r"[^\w.+-]", "_", name) or "_"


def _lgn_columns(cells: LgnCellTable) -> dict[str, NDArray[np.float64]]:
    """Columns of the published table of LGN cells."""
    columns: dict[str, NDArray[np.float64]] = {}
    for name, parts in LGN_COLUMNS.items():
        values = np.asarray(getattr(cells, name), dtype=np.float64).reshape(len(cells), -1)
        columns |= {part: values[:, i] for i, part in enumerate(parts)}
    return columns


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            expected="a folder with permission to write and enough space",
        ) from error


def _write_types(path: Path, id_name: str, types: Mapping[int, Mapping[str, str]]) -> None:
    names = list(dict.fromkeys(name for row in types.values() for name in row))
    rows = [[number, *(row.get(name, _NULL) for name in names)] for number, row in types.items()]
    write_csv(path, [[id_name, *names], *rows], delimiter=" ")


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _write_spikes(
    path: Path, population: str, node_id: NDArray[Any], time_ms: NDArray[Any]
) -> None:
    with new_hdf5(path) as file:
        write_head(file)
        group = file.create_group(f"spikes/{population}")
        kind = h5py.enum_dtype({"none": 0, "by_id": 1, "by_time": 2}, basetype="u1")
        order = np.argsort(time_ms, kind="stable")
        group.attrs.create("sorting", 2, dtype=kind)
        group["node_ids"] = node_id[order].astype("u8")
        group["timestamps"] = time_ms[order].astype("f8")
        group["timestamps"].attrs["units"] = "ms"


def _spikes_of(path: Path) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Node ids and times in ms of each population of a SONATA file of spikes."""
    expected = "a SONATA file of spikes: spikes/POPULATION/{node_ids, timestamps}"
    with given_hdf5(path, error=InputError, expected=expected) as file:
        found = {}
        for name in file.names("spikes"):
            root = f"spikes/{name}"
            if not file.is_group(root):
                continue
            node_id = file.numbers(f"{root}/node_ids", (None,), kinds="iu", expected="node ids")
            time_ms = file.numbers(
                f"{root}/timestamps", (len(node_id),), expected="a time in ms for each node id"
            )
            units = file.text_attribute(f"{root}/timestamps", "units")
            if units not in (None, "ms", "milliseconds"):
                raise InputError(
                    f"times are in {units!r}", where=file.where(root), expected="milliseconds"
                )
            found[name] = (node_id, time_ms)
        if not found:
            raise file.missing("spikes/POPULATION")
    return found
