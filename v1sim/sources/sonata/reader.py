"""A SONATA circuit as a `NetworkModel`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from v1sim.digests import file_sha256
from v1sim.errors import NetworkFileError
from v1sim.files.identify import printable
from v1sim.memory import workers
from v1sim.model import (
    LgnCellTable,
    NetworkModel,
    NeuronPopulation,
    NeuronTable,
    Projection,
    SourceFile,
    SourcePopulation,
)
from v1sim.receptors import Kind
from v1sim.sources.sonata.cells import CellParameters, cell_type_table, read_cell
from v1sim.sources.sonata.config import SonataConfig, SonataInput, read_config
from v1sim.sources.sonata.edges import open_edges
from v1sim.sources.sonata.manifest import listed
from v1sim.sources.sonata.nodes import Nodes, read_nodes
from v1sim.sources.sonata.projection import Ports, read_projection
from v1sim.sources.sonata.remarks import Remarks
from v1sim.sources.sonata.spike_inputs import remark_on_spikes
from v1sim.sources.sonata.suffix import remark_on_suffix

__all__ = ["SonataReader", "read_circuit"]

#: Time step in ms where the configuration does not say one: that of BMTK.
_BMTK_DEFAULT_DT = 0.1
_CELL_TYPES_MAX = 1 << 16
_HEAD_BYTES = 1 << 16

#: What arrays are called in the files, by their last name in v1sim.
_COLUMNS = {
    "pre": "source_node_id",
    "post": "target_node_id",
    "receptor": "receptor_type",
    "delay_ms": "delay",
    "weight": "syn_weight",
}


class SonataReader:
    """The door's reader of SONATA circuits; see `v1sim.sources.reader.Reader`."""

    format = "sonata"
    reads = "a SONATA configuration (JSON)"

    def recognises(self, path: Path) -> bool:
        """A text that begins like a JSON object, or a folder that has such configurations."""
        if path.is_dir():
            return bool(_configurations(path)) or any(path.glob("*_nodes.h5"))
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"

    def read(self, path: Path) -> NetworkModel:
        """The network that a configuration names."""
        if path.is_dir():
            _refuse_folder(path)
        return read_circuit(read_config(path))


def _configurations(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*.json") if "config" in p.name)


def _refuse_folder(folder: Path) -> NoReturn:
    found = _configurations(folder)
    raise NetworkFileError(
        f"is a folder with {listed(found)}" if found else "is a folder of SONATA files",
        where=str(folder),
        expected="a SONATA configuration: the JSON file that names nodes and edges",
        hint=f"give one of them: {folder / found[0]}"
        if found
        else "give the circuit_config.json that names these files",
    )


def name_of(array: str) -> str:
    """What an array is called in the files."""
    table, _, column = array.rpartition(".")
    if table == "cell_types":
        return f"dynamics_params of the node types ({column})"
    if column in _COLUMNS and table not in ("neurons", "readout"):
        return f"edges/{table}/{_COLUMNS[column]}"
    return array


def read_circuit(config: SonataConfig) -> NetworkModel:
    """Read the circuit that a configuration names.

    Weights are in pA (mV for cells of iaf_psc_delta), delays in ms as they stand in the files.
    Populations of virtual nodes become source populations: one with the filters of LGN cells, or
    a name that begins with lgn, has the role ``lgn``, all others ``other``.

    Raises
    ------
    NetworkFileError
        If a file cannot be read, or the circuit has what v1sim does not simulate.
    """
    if not config.networks.nodes:
        raise NetworkFileError(
            "names no nodes",
            where=str(config.path),
            expected="networks.nodes, or the circuit configuration under network",
            hint="give the circuit configuration, or a configuration that names it",
        )
    files = config.circuit_files
    _look_for(files, config)
    with workers(1) as pool:  # hashing runs beside the reading
        digest = pool.submit(_digest, files)
        return _Circuit(config).network(digest)


def _look_for(files: Iterable[Path], config: SonataConfig) -> None:
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise NetworkFileError(
            f"names {len(missing)} files that are not there, for example {printable(missing[0])}",
            where=str(config.path),
            expected="files where the configuration says they are",
            hint="relative paths are taken from the folder of the configuration; paths of another "
            "machine stand in the manifest",
        )


def _digest(files: Iterable[Path]) -> str:
    """One digest of all files: of their own digests, in order."""
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class _Circuit:
    """One circuit while it is read."""

    def __init__(self, config: SonataConfig) -> None:
        self.config = config
        self.remarks = Remarks()
        self.nodes: dict[str, Nodes] = {}
        for entry in config.networks.nodes:
            for nodes in read_nodes(entry, self.remarks):
                if nodes.name in self.nodes:
                    raise NetworkFileError(
                        f"has the population {printable(nodes.name)}, which is in "
                        f"{self.nodes[nodes.name].path} too",
                        where=str(nodes.path),
                        expected="each population once",
                    )
                self.nodes[nodes.name] = nodes
        self.real = {name: nodes for name, nodes in self.nodes.items() if not nodes.is_virtual}
        if not any(len(nodes) for nodes in self.real.values()):
            raise NetworkFileError(
                "names no cells to simulate: all nodes are virtual",
                where=str(config.path),
                expected="a population of point neurons",
            )
        starts = np.cumsum([0, *(len(nodes) for nodes in self.real.values())])
        self.first = dict(zip(self.real, starts[:-1].tolist(), strict=True))
        self.stored_dtype: dict[str, str] = {}
        self.table_files: dict[str, tuple[str, ...]] = {}

    def network(self, digest: Future[str]) -> NetworkModel:
        config = self.config
        cells, cell_type, names, classes, kinds = self._cells()
        types = cell_type_table(cells, names, classes, kinds)
        ports = Ports(
            cell_type,
            np.array([cell.n_ports if cell.model.has_ports else 0 for cell in cells]),
            names,
        )
        projections = self._projections(ports)
        self._remark_on_inputs()
        positions = [nodes.positions_um for nodes in self.real.values() if len(nodes)]
        have_all = all(position is not None for position in positions)
        run = config.run
        step_ms = _BMTK_DEFAULT_DT if run is None or run.dt_ms is None else run.dt_ms
        return NetworkModel(
            neurons=NeuronTable(
                cell_type,
                np.concatenate([p for p in positions if p is not None]) if have_all else None,
                tuple(NeuronPopulation(name, nodes.node_id) for name, nodes in self.real.items()),
            ),
            cell_types=types,
            projections=projections,
            source_populations={
                name: _source_population(nodes)
                for name, nodes in self.nodes.items()
                if nodes.is_virtual
            },
            source=SourceFile(
                path=str(config.path),
                sha256=digest.result(),
                format=SonataReader.format,
                stored_dtype=self.stored_dtype,
                name_of=name_of,
                table_files=self.table_files,
            ),
            step_ms=step_ms,
            remarks=(*config.remarks, *self.remarks.all()),
        )

    def _cells(
        self,
    ) -> tuple[
        list[CellParameters],
        NDArray[np.uint16],
        tuple[str, ...],
        tuple[str, ...] | None,
        NDArray[np.uint8],
    ]:
        """Types of cells that there are, and the type of each neuron."""
        cells: list[CellParameters] = []
        names: list[str] = []
        classes: list[str | None] = []
        kinds: list[int] = []
        of_neuron: list[NDArray[np.int64]] = []
        folder = self.config.components.get("point_neuron_models_dir")
        for name, nodes in self.real.items():
            table = nodes.types
            rows, index = np.unique(nodes.type_row, return_inverse=True)
            of_neuron.append(index + len(cells))
            for row in rows.tolist():
                called = f"{nodes.class_of_type[row] or name} {table.ids[row]}"
                cells.append(
                    read_cell(
                        table.texts("model_template")[row],
                        table.texts("dynamics_params")[row],
                        folder,
                        allowed=self.config.allowed_models,
                        name=f"{called} of {name}",
                        where=table.where,
                        remarks=self.remarks,
                    )
                )
                names.append(called)
                classes.append(nodes.class_of_type[row])
                kinds.append(int(nodes.kind_of_type[row]))
        if len(cells) > _CELL_TYPES_MAX:
            raise NetworkFileError(
                f"has {len(cells):,} node types", where=str(self.config.path),
                expected=f"at most {_CELL_TYPES_MAX:,}",
            )  # fmt: skip
        labels = tuple(c for c in classes if c is not None)
        return (
            cells,
            np.concatenate(of_neuron).astype(np.uint16),
            tuple(names),
            labels if len(labels) == len(classes) else None,
            np.array(kinds, dtype=np.uint8),
        )

    def _projections(self, ports: Ports) -> dict[str, Projection]:
        found: dict[str, Projection] = {}
        folder = self.config.components.get("synaptic_models_dir")
        for entry in self.config.networks.edges:
            if not entry.enabled:
                continue
            for path in entry.edges:
                remark_on_suffix(path, self.remarks)
            with open_edges(entry) as populations:
                for edges in populations:
                    for end, name in (("source", edges.source), ("target", edges.target)):
                        if name not in self.nodes:
                            raise NetworkFileError(
                                f"the {end}s are nodes of {printable(name)}, a population that no "
                                "file of nodes has",
                                where=edges.where(f"{end}_node_id"),
                                expected=f"one of {listed(self.nodes)}",
                            )
                    if edges.target not in self.real:
                        raise NetworkFileError(
                            f"the targets are virtual nodes of {printable(edges.target)}",
                            where=edges.where("target_node_id"),
                            expected=f"cells to simulate: {listed(self.real)}",
                        )
                    is_recurrent = edges.source in self.real
                    table, plugins = read_projection(
                        edges,
                        self.nodes[edges.source],
                        self.nodes[edges.target],
                        first_source=self.first[edges.source] if is_recurrent else 0,
                        first_target=self.first[edges.target],
                        ports=ports,
                        synaptic_models=folder if isinstance(folder, str) else None,
                        remarks=self.remarks,
                    )
                    name = edges.name
                    if name in found:  # BMTK builds edges of the same name in two files
                        name = f"{edges.name} ({edges.path.stem})"
                    found[name] = Projection(table, None if is_recurrent else edges.source)
                    self.table_files[name] = (str(edges.path), *map(str, entry.types))
                    if plugins:
                        self._remark_on_plugins(edges.where(), plugins)
                    for group in edges.groups.values():
                        for column in ("syn_weight", "delay"):
                            if column in group.columns:
                                key = {"syn_weight": "weight", "delay": "delay_ms"}[column]
                                self.stored_dtype[f"{name}.{key}"] = str(group.dtype(column))
        return found

    def _remark_on_plugins(self, where: str, plugins: Iterable[str]) -> None:
        self.remarks.add(
            "sonata.weight_function",
            where,
            f"weights are what the functions {listed(plugins)} of other packages return",
        )

    # --- inputs ------------------------------------------------------------------------------

    def _remark_on_inputs(self) -> None:
        config, where = self.config, str(self.config.path)
        if not config.is_simulation:
            return
        fed: dict[str, list[str]] = {}
        for given in config.inputs:
            if given.enabled and given.input_type == "spikes":
                for name in self._populations_of(given, where):
                    fed.setdefault(name, []).append(given.name)
                    remark_on_spikes(given, self.nodes[name], self.remarks)
        for name, inputs in fed.items():
            if len(inputs) > 1:
                self.remarks.add(
                    "sonata.fed_twice",
                    where,
                    f"{printable(name)} gets spikes from {len(inputs)} inputs: {listed(inputs)}; "
                    f"BMTK makes its synapses {len(inputs)} times",
                    hint="put its spikes into one file; v1sim makes the synapses once",
                    n=len(inputs),
                    total=len(inputs),
                    examples=inputs,
                )
        silent = {
            name for name, nodes in self.nodes.items() if nodes.is_virtual and name not in fed
        }
        for name in sorted(silent):
            self.remarks.add(
                "sonata.not_fed",
                where,
                f"no input names {printable(name)}: its {len(self.nodes[name]):,} cells send "
                "nothing",
                hint="name it in an input if it is to send spikes",
                n=len(self.nodes[name]),
                total=len(self.nodes[name]),
            )

    def _populations_of(self, given: SonataInput, where: str) -> list[str]:
        """The virtual populations that an input names; notes what is odd."""
        node_set: Mapping[str, object] = self.config.node_set(given.node_set)
        named = node_set.get("population", node_set.get("populations"))
        virtual = [name for name, nodes in self.nodes.items() if nodes.is_virtual]
        if named is None:
            names = virtual
        else:
            names = [str(n) for n in named] if isinstance(named, list) else [str(named)]
        wrong = [name for name in names if name not in virtual]
        if wrong:
            is_there = [name for name in wrong if name in self.real]
            self.remarks.add(
                "sonata.input_population",
                where,
                f"inputs.{printable(given.name)} is for {listed(wrong)}, "
                + ("cells that are simulated" if is_there else "which is no population"),
                hint=f"virtual populations are {listed(virtual) or 'not there'}; node sets "
                f"{listed(self.config.node_sets) or 'neither'}",
                n=len(wrong),
                total=len(names),
                examples=wrong,
            )
        others = set(node_set) - {"population", "populations"}
        if others:
            self.remarks.add(
                "sonata.node_set_part",
                where,
                f"inputs.{printable(given.name)} is for the nodes with {listed(sorted(others))} "
                f"alone; BMTK gives spikes to all of {listed(names)}",
                hint="v1sim gives spikes to the cells of the node set",
            )
        return [name for name in names if name in virtual]


def _source_population(nodes: Nodes) -> SourcePopulation:
    cells = _lgn_cells(nodes)
    is_lgn = cells is not None or nodes.name.lower().startswith("lgn")
    return SourcePopulation(
        role="lgn" if is_lgn else "other",
        size=len(nodes),
        node_id=None if nodes.ids_are_indices else nodes.node_id,
        cells=cells,
        kind=None if (nodes.kind == Kind.UNKNOWN).all() else nodes.kind,
    )


def _lgn_cells(nodes: Nodes) -> LgnCellTable | None:
    """The filters of LGN cells, where the nodes have all of their columns."""
    from v1sim.stimulus.lgn import FIELDS_DEG, LGN_COLUMNS

    columns: dict[str, NDArray[np.float64]] = {}
    for name, parts in LGN_COLUMNS.items():
        values = [nodes.column(part) for part in parts]
        if any(value is None for value in values):
            return None
        held = [value for value in values if value is not None]
        columns[name] = held[0] if len(held) == 1 else np.stack(held, axis=1)
    model = nodes.texts("model_id")
    if not len(nodes) or model[0] is None:
        model = nodes.texts("pop_name")
    small, large = FIELDS_DEG
    x, y = columns["x_deg"], columns["y_deg"]
    inside = bool((x <= small[0]).all() and (y <= small[1]).all())
    stated = nodes.attribute("field_deg")
    field_deg = small if inside else large
    if stated is not None and stated.shape == (2,):
        field_deg = (float(stated[0]), float(stated[1]))
    return LgnCellTable(
        model_id=np.array([text or "" for text in model], dtype=np.str_),
        field_deg=field_deg,
        **columns,
    )
