"""SONATA configurations: circuit, simulation, both in one, or one that names both.

Sections and variables are put together as BMTK does it. Paths are different: relative ones are
taken from the folder of the file that they stand in, where BMTK takes those of its working
directory; a remark says so where that matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from v1sim.errors import NetworkFileError
from v1sim.files.identify import printable
from v1sim.model import SourceRemark
from v1sim.sources.sonata.manifest import kind_of, look_at_keys, parse, section_of
from v1sim.sources.sonata.remarks import Remarks

__all__ = [
    "SonataConfig",
    "SonataEdges",
    "SonataInput",
    "SonataNetworks",
    "SonataNodes",
    "SonataReport",
    "SonataRun",
    "read_config",
]


@dataclass(frozen=True)
class SonataNodes:
    """The files of one entry of ``networks.nodes``: HDF5 files and tables of types."""

    nodes: tuple[Path, ...]
    types: tuple[Path, ...]


@dataclass(frozen=True)
class SonataEdges:
    """The files of one entry of ``networks.edges``; those that are disabled are left out."""

    edges: tuple[Path, ...]
    types: tuple[Path, ...]
    enabled: bool = True


@dataclass(frozen=True)
class SonataNetworks:
    """Section ``networks``, in the order of the file."""

    nodes: tuple[SonataNodes, ...]
    edges: tuple[SonataEdges, ...]


@dataclass(frozen=True)
class SonataRun:
    """Section ``run``; None where the file does not say. ``raw`` has all of its keys."""

    dt_ms: float | None = None
    duration_ms: float | None = None
    n_threads: int | None = None
    raw: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class SonataInput:
    """One entry of ``inputs``; ``raw`` has all of its keys, with absolute paths."""

    name: str
    input_type: str
    module: str
    input_file: tuple[Path, ...]
    node_set: Any
    enabled: bool
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class SonataReport:
    """One entry of ``reports``; ``raw`` has all of its keys."""

    name: str
    module: str
    variable_name: str | tuple[str, ...]
    cells: Any
    enabled: bool
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class SonataConfig:
    """All that a configuration and those that it names say.

    ``files`` are the configurations that were read, the given one first. ``components`` has an
    absolute path where the file has one; ``output`` the keys of its section with absolute paths.
    ``node_sets`` are those of the configuration and of the file that it names.
    """

    path: Path
    files: tuple[Path, ...]
    networks: SonataNetworks
    components: Mapping[str, Any]
    run: SonataRun | None
    inputs: tuple[SonataInput, ...]
    reports: tuple[SonataReport, ...]
    output: Mapping[str, Any]
    node_sets: Mapping[str, Any]
    conditions: Mapping[str, Any]
    raw: Mapping[str, Any]
    remarks: tuple[SourceRemark, ...] = ()

    @property
    def allowed_models(self) -> Mapping[str, int]:
        """Models of NEST that ``v1sim.allow_models`` allows, with the number of their ports."""
        return _allowed_models(self.raw, self.path)

    @property
    def is_simulation(self) -> bool:
        """Whether it says how to run the circuit."""
        return self.run is not None or bool(self.inputs)

    @property
    def circuit_files(self) -> tuple[Path, ...]:
        """Every file that the circuit consists of, in the order in which they are named."""
        nodes = self.networks.nodes
        edges = [entry for entry in self.networks.edges if entry.enabled]
        tables = [path for entry in nodes for path in (*entry.nodes, *entry.types)]
        folders = (self.components.get(key) for key in _MODEL_FOLDERS)
        models = [p for f in folders if isinstance(f, str) for p in sorted(Path(f).glob("*.json"))]
        return (*self.files, *tables, *(p for e in edges for p in (*e.edges, *e.types)), *models)

    def node_set(self, given: Any) -> Mapping[str, Any]:
        """The filter that a node set stands for: its name, a population's name, or the filter.

        ``all`` is the filter that lets everything pass.
        """
        if isinstance(given, Mapping):
            return given
        if isinstance(given, str) and given in self.node_sets:
            return self.node_set(self.node_sets[given])
        if given == "all":
            return {}
        if isinstance(given, list | tuple):
            return {"node_id": list(given)}
        return {"population": given}


#: Keys that are read, by section, and those that others read.
_RUN = ("tstop", "duration", "tstart", "dt", "n_thread", "n_runs", "precise_times")
_RUN_SILENT = (
    *("allow_offgrid_spikes", "block_run", "block_size", "nsteps_block", "overwrite_output_dir"),
    *("print_time", "dL", "spike_threshold", "calc_ecp", "save_state", "start_from_state"),
    *("random_seed", "calc_ecp"),
)
_NETWORKS = ("nodes", "edges", "gap_juncs")
_NODES = ("nodes_file", "node_types_file")
_EDGES = ("edges_file", "edge_types_file", "enabled")
_FILE_SILENT = ("populations", "name", "comment", "description")
_INPUT = ("input_type", "module", "input_file", "node_set", "enabled")

#: Components that are read: the parameters of cells and of synapses.
_MODEL_FOLDERS = ("point_neuron_models_dir", "synaptic_models_dir")
#: BMTK's modules of spikes; the last makes spikes with a function of the user's.
_SPIKE_MODULES = ("sonata", "h5", "hdf5", "csv", "nwb")
_OTHER_MODULES = ("IClamp",)


def _components(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The components; the folders that are read are texts."""
    components = section_of(content, "components", path)
    for key in _MODEL_FOLDERS:
        value = components.get(key)
        if value is not None and not isinstance(value, str):
            raise NetworkFileError(
                f"components.{key} is {kind_of(value)}",
                where=str(path),
                expected="the path of a folder",
            )
    return components


def read_config(path: Path) -> SonataConfig:
    """Read a configuration and those that it names.

    Parameters
    ----------
    path : Path
        A circuit configuration, a simulation configuration, one that is both, or one that
        names both.

    Raises
    ------
    NetworkFileError
        If a file cannot be read, a variable is not in its manifest, or a section is no section.
    """
    remarks = Remarks()
    files: dict[Path, dict[str, Any]] = {}
    merged = parse(path.absolute(), remarks, files)
    if "rnn_cell_params" in merged:
        raise NetworkFileError(
            "is a configuration of DPointNet, which trains circuits",
            where=str(path),
            expected="a configuration that BMTK's PointNet runs",
            hint=f"v1sim convert TRAINED_WEIGHTS --base {path.name} --out NETWORK.h5 makes a "
            f"network of what the training left; v1sim check {path.name} looks at the circuit",
        )
    return SonataConfig(
        path=path.absolute(),
        files=tuple(files),
        networks=_networks(merged, path, remarks),
        components=MappingProxyType(_components(merged, path)),
        run=_run(merged, path, remarks),
        inputs=_inputs(merged, path, remarks),
        reports=_reports(merged, path),
        output=MappingProxyType(section_of(merged, "output", path)),
        node_sets=MappingProxyType(section_of(merged, "node_sets", path)),
        conditions=MappingProxyType(section_of(merged, "conditions", path)),
        raw=MappingProxyType(merged),
        remarks=remarks.all(),
    )


def _allowed_models(content: Mapping[str, Any], path: Path) -> dict[str, int]:
    """Names in a list, or in an object with ``{"ports": n}`` under each; 0 is none."""
    given = section_of(content, "v1sim", path).get("allow_models", [])
    if isinstance(given, list) and all(isinstance(name, str) for name in given):
        return dict.fromkeys(given, 0)
    if isinstance(given, dict):
        ports = {
            name: entry.get("ports", 0) if isinstance(entry, dict) else None
            for name, entry in given.items()
        }
        if all(type(n) is int and 0 <= n < 256 for n in ports.values()):
            return {name: n for name, n in ports.items() if n is not None}
    raise NetworkFileError(
        f"v1sim.allow_models is {kind_of(given)} that cannot be read",
        where=str(path),
        expected='names of NEST models, as ["iaf_cond_exp"] or {"ht_neuron": {"ports": 4}}',
    )


def _networks(content: Mapping[str, Any], path: Path, remarks: Remarks) -> SonataNetworks:
    section = section_of(content, "networks", path)
    look_at_keys(section, _NETWORKS, (), str(path), "networks.", remarks)
    if section.get("gap_juncs"):
        raise NetworkFileError(
            "networks.gap_juncs: gap junctions are not simulated",
            where=str(path),
            expected="chemical synapses between point neurons",
            hint="take them out of the configuration if the network is meant without them",
        )
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, keys in (("nodes", _NODES), ("edges", _EDGES)):
        entries = section.get(kind, [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise NetworkFileError(
                f"networks.{kind} is {kind_of(entries)}",
                where=str(path),
                expected=f"a list of objects, each with {keys[0]} and {keys[1]}",
            )
        for i, entry in enumerate(entries):
            here = f"networks.{kind}[{i}]."
            look_at_keys(entry, keys, _FILE_SILENT, str(path), here, remarks)
        found[kind] = entries
    nodes = tuple(
        SonataNodes(*(_files(entry, key, f"networks.nodes[{i}]", path) for key in _NODES))
        for i, entry in enumerate(found["nodes"])
    )
    edges = []
    for i, entry in enumerate(found["edges"]):
        enabled = _flag(entry, f"networks.edges[{i}].enabled", path)
        edges_files, types = (
            _files(entry, key, f"networks.edges[{i}]", path) for key in _EDGES[:2]
        )
        edges.append(SonataEdges(edges_files, types, enabled))
        if not enabled:
            remarks.add(
                "sonata.edges_disabled",
                str(path),
                f"networks.edges[{i}] is disabled: {', '.join(p.name for p in edges[-1].edges)}",
            )
    return SonataNetworks(nodes, tuple(edges))


def _files(entry: Mapping[str, Any], key: str, where: str, path: Path) -> tuple[Path, ...]:
    value = entry.get(key)
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(v, str) and v for v in values):
        seen = f"no {key}" if key not in entry else f"{key} is {kind_of(value)}"
        raise NetworkFileError(
            f"{where}: {seen}", where=str(path), expected="the path of a file, or a list of them"
        )
    return tuple(Path(str(v)) for v in values)


def _flag(entry: Mapping[str, Any], where: str, path: Path) -> bool:
    value = entry.get("enabled", True)
    if not isinstance(value, bool):
        raise NetworkFileError(
            f"{where} is {kind_of(value)}", where=str(path), expected="true or false"
        )
    return value


def _run(content: Mapping[str, Any], path: Path, remarks: Remarks) -> SonataRun | None:
    if "run" not in content:
        return None
    section = section_of(content, "run", path)
    look_at_keys(section, _RUN, _RUN_SILENT, str(path), "run.", remarks)

    def number(key: str) -> float | None:
        value = section.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            seen = kind_of(value)
        elif not (math.isfinite(value) and value > 0):
            seen = f"{value:g}"
        else:
            return float(value)
        raise NetworkFileError(f"run.{key} is {seen}", where=str(path), expected="a number above 0")

    n_threads = number("n_thread")
    duration = number("duration") if "duration" in section else number("tstop")
    return SonataRun(
        dt_ms=number("dt"),
        duration_ms=duration,
        n_threads=None if n_threads is None else int(n_threads),
        raw=MappingProxyType(section),
    )


def _inputs(content: Mapping[str, Any], path: Path, remarks: Remarks) -> tuple[SonataInput, ...]:
    found = []
    for name, entry in section_of(content, "inputs", path).items():
        where = f"inputs.{printable(name)}"
        if not isinstance(entry, dict):
            raise NetworkFileError(
                f"{where} is {kind_of(entry)}",
                where=str(path),
                expected="an object with input_type, module and node_set",
            )
        for key in ("input_type", "module"):
            if not isinstance(entry.get(key), str):
                raise NetworkFileError(
                    f"{where} has no {key}" if key not in entry else f"{where}.{key} is no text",
                    where=str(path),
                    expected="input_type: spikes or current_clamp, and a module for it",
                )
        look_at_keys(entry, _INPUT, None, str(path), f"{where}.", remarks)
        enabled = _flag(entry, f"{where}.enabled", path)
        files = entry.get("input_file")
        files = files if isinstance(files, list) else [files]
        given = SonataInput(
            name=str(name),
            input_type=entry["input_type"],
            module=entry["module"],
            input_file=tuple(Path(f) for f in files if isinstance(f, str) and f),
            node_set=entry.get("node_set"),
            enabled=enabled,
            raw=MappingProxyType(entry),
        )
        found.append(given)
        if not enabled:
            remarks.add(
                "sonata.input_disabled", str(path), f"{where} is disabled: it sends nothing"
            )
        elif not _known_module(given):
            remarks.add(
                "sonata.input_module",
                str(path),
                f"{where}: v1sim has no input_type {printable(given.input_type)!r} with the module "
                f"{printable(given.module)!r}",
                hint=f"spikes with {', '.join(_SPIKE_MODULES)}, or current_clamp with IClamp; "
                "enabled: false leaves it out",
            )
    return tuple(found)


def _known_module(given: SonataInput) -> bool:
    if given.input_type == "spikes":
        return given.module in _SPIKE_MODULES
    return given.module in _OTHER_MODULES


def _reports(content: Mapping[str, Any], path: Path) -> tuple[SonataReport, ...]:
    found = []
    for name, entry in section_of(content, "reports", path).items():
        if not isinstance(entry, dict):
            raise NetworkFileError(
                f"reports.{printable(name)} is {kind_of(entry)}",
                where=str(path),
                expected="an object with module, variable_name and cells",
            )
        variable = entry.get("variable_name", "")
        found.append(
            SonataReport(
                name=str(name),
                module=str(entry.get("module", "")),
                variable_name=tuple(map(str, variable))
                if isinstance(variable, list)
                else str(variable),
                cells=entry.get("cells", "all"),
                enabled=_flag(entry, f"reports.{printable(name)}.enabled", path),
                raw=MappingProxyType(entry),
            )
        )
    return tuple(found)
