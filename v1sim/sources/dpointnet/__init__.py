"""DPointNet, the TensorFlow trainer in BMTK (1.2.0): its circuits and what its trainings leave.

============================================ ======================================================
`v1sim.sources.dpointnet.config`             its configuration: dynamics, inputs, scales
`v1sim.sources.dpointnet.circuit`            the original circuit's files as it reads them
`v1sim.sources.dpointnet.cells`              parameters of cells
`v1sim.sources.dpointnet.basis`              basis functions and the factors of synaptic models
`v1sim.sources.dpointnet.delays`             delays in steps, by its rule
`v1sim.sources.dpointnet.network`            all of it as a network, with one set of weights
`v1sim.sources.dpointnet.trained_edges`      the edges files that it writes
`v1sim.sources.dpointnet.pairing`            which trained edge is which of the original ones
`v1sim.sources.dpointnet.trained`            trained weights in the original order, and what changed
`v1sim.sources.dpointnet.remarks`            what it does in silence, by name
============================================ ======================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v1sim.errors import NetworkFileError
from v1sim.sources.dpointnet.circuit import read_edges, read_nodes
from v1sim.sources.dpointnet.config import dpointnet_config, is_dpointnet
from v1sim.sources.dpointnet.network import Circuit, open_circuit
from v1sim.sources.sonata.manifest import parse
from v1sim.sources.sonata.remarks import Remarks as SonataRemarks

__all__ = ["Circuit", "is_dpointnet", "read_circuit", "read_document"]


def read_document(path: Path) -> Mapping[str, Any]:
    """A configuration with its variables put in and the paths of its circuit absolute.

    Raises
    ------
    NetworkFileError
        If it cannot be read.
    """
    return parse(path.absolute(), SonataRemarks(), {})


def read_circuit(path: Path) -> Circuit:
    """The original circuit of a training, by DPointNet's configuration.

    Parameters
    ----------
    path : Path
        The configuration that the training was run with.

    Raises
    ------
    ConfigError
        If it is no configuration of DPointNet.
    NetworkFileError
        If a file cannot be read, or DPointNet could not have built a network of them.
    """
    document = read_document(path)
    config = dpointnet_config(document, path.absolute())
    networks = document.get("networks")
    if not isinstance(networks, Mapping) or networks.get("cached"):
        raise NetworkFileError(
            "networks are cached" if isinstance(networks, Mapping) else "has no networks",
            where=str(path),
            expected="networks.nodes and networks.edges: the SONATA files of the circuit",
        )
    nodes = []
    for entry in _entries(networks, "nodes", path):
        found = read_nodes(*_files(entry, "nodes", path))
        nodes += [held for held in found if _wanted(entry, held.population)]
    by_name = {held.population: held for held in nodes}
    edges = []
    for entry in _entries(networks, "edges", path):
        edges += read_edges(*_files(entry, "edges", path), by_name)
    components = document.get("components")
    return open_circuit(config, nodes, edges, components if isinstance(components, Mapping) else {})


def _entries(networks: Mapping[str, Any], kind: str, path: Path) -> list[Mapping[str, Any]]:
    entries = networks.get(kind)
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
        raise NetworkFileError(
            f"networks.{kind} is no list of files",
            where=str(path),
            expected=f"a list of objects, each with {kind}_file and {kind[:-1]}_types_file",
        )
    return [entry for entry in entries if entry.get("enabled", True)]


def _files(entry: Mapping[str, Any], kind: str, path: Path) -> tuple[list[Path], list[Path]]:
    found = []
    for key in (f"{kind}_file", f"{kind[:-1]}_types_file"):
        value = entry.get(key)
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(v, str) and v for v in values):
            raise NetworkFileError(
                f"networks.{kind} has an entry without {key}",
                where=str(path),
                expected="the path of a file, or a list of them",
            )
        found.append([Path(str(v)) for v in values])
    return found[0], found[1]


def _wanted(entry: Mapping[str, Any], population: str) -> bool:
    names = entry.get("population")
    return names is None or population in ([names] if isinstance(names, str) else names)
