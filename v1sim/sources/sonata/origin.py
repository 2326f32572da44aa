"""Where a circuit that v1sim wrote came from, as long as its synapses are still those."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import v1sim
from v1sim.digests import table_digest
from v1sim.errors import NetworkFileError
from v1sim.files.hdf5 import given_hdf5
from v1sim.model import NetworkModel
from v1sim.sources.provenance import Kind, ProvenanceDraft
from v1sim.sources.sonata.config import read_config
from v1sim.sources.sonata.writer import ATTRIBUTE

__all__ = ["origin_of"]


def origin_of(network: NetworkModel, command: str) -> ProvenanceDraft | None:
    """The provenance of the network that a circuit was written from.

    Each edges file says which synapses it was given (`v1sim.sources.sonata.writer`). Where
    any of them has other ones now, or is not v1sim's, nothing is known of the weights.

    Parameters
    ----------
    network : NetworkModel
        As it was read from the circuit.
    command : str
        The command or call that imports it.

    Returns
    -------
    ProvenanceDraft or None
        None where nothing is known.
    """
    if network.source.format != "sonata":
        return None
    stated = _stated(Path(network.source.path))
    if not stated or set(stated) != set(network.tables):
        return None
    for name, about in stated.items():
        digest = about.get("table_digest")
        if digest is None:  # a background, which has other weights than its source
            continue
        table = network.tables[name]
        if about.get("unit") == "normalised":
            table = replace(table, weight=table.normalised(network), unit="normalised")
        if str(table_digest(table)) != digest:
            return None
    first = next(iter(stated.values()))
    provenance = first.get("provenance")
    if not isinstance(provenance, dict) or provenance.get("kind") not in get_args(Kind):
        return None
    if any(about.get("network_sha256") != first["network_sha256"] for about in stated.values()):
        return None
    return ProvenanceDraft(
        kind=provenance["kind"],
        made_by=f"v1sim {v1sim.__version__}",
        command=command,
        origin="copied",
        details={
            "circuit": network.source.path,
            "circuit_sha256": network.source.sha256,
            "exported_from": {
                key: first[key] for key in ("network", "file_sha256", "network_sha256", "command")
                if key in first
            }
            | {key: provenance[key] for key in ("made_by", "made_at", "command")
               if key in provenance},
        },
    )  # fmt: skip


def _stated(config: Path) -> dict[str, dict[str, Any]]:
    """What v1sim wrote about each population of edges; empty where a file is not v1sim's."""
    found: dict[str, dict[str, Any]] = {}
    for entry in read_config(config).networks.edges:
        for path in entry.edges if entry.enabled else ():
            with given_hdf5(path, error=NetworkFileError, expected="SONATA edges") as file:
                text = file.text_attribute("/", ATTRIBUTE)
                try:
                    about = json.loads(text or "null")
                except ValueError:
                    return {}
                if not isinstance(about, dict) or "network_sha256" not in about:
                    return {}
                found |= dict.fromkeys(file.names("edges"), about)
    return found
