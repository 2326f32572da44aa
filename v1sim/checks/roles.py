"""A network as the checks see it: one table of recurrent synapses, one of the LGN's.

Checks and verdict speak of ``recurrent`` and ``lgn``, which are the Billeh model's projections. In
other sources projections have names of their own, and there may be several of one role: here they
are put together under the role's name. Nothing is copied where a role has one projection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from v1sim.model import (
    ArrayOrigin,
    NetworkModel,
    Projection,
    Provenance,
    SourcePopulation,
    SynapseTable,
)

__all__ = ["by_role"]

#: The roles that are put together, under the names of the Billeh model's projections.
_ROLES = ("recurrent", "lgn")


def by_role(network: NetworkModel) -> NetworkModel:
    """The network with its recurrent projections as ``recurrent``, the LGN's as ``lgn``.

    One that has these names is returned as it is. Sources of several populations of the LGN are
    numbered through, one population after the other. Arrays keep the names that people find in the
    network's source.
    """
    names = {role: list(network.tables_of(role)) for role in _ROLES}  # type: ignore[arg-type]
    if all(names[role] == [role] for role in _ROLES):
        return network
    taken = {name for held in names.values() for name in held}
    projections: dict[str, Projection] = {}
    populations = {
        name: held for name, held in network.source_populations.items() if held.role != "lgn"
    }
    first: dict[str, int] = {}
    size = 0
    for name, held in network.source_populations.items():
        if held.role == "lgn":
            first[name], size = size, size + held.size
    lgn = network.lgn
    populations["lgn"] = (
        replace(lgn, size=size) if len(first) == 1 else SourcePopulation("lgn", size)
    )
    for role in _ROLES:
        parts = [network.projections[name] for name in names[role]]
        table = _together(parts, first)
        projections[role] = Projection(table, None if role == "recurrent" else "lgn")
    projections |= {n: held for n, held in network.projections.items() if n not in taken}
    name_of = _names(network.source.name_of, names)
    return replace(
        network,
        projections=projections,
        source_populations=populations,
        source=replace(network.source, name_of=name_of),
        provenance=_provenance(network.provenance, names),
    )


def _together(parts: list[Projection], first: Mapping[str, int]) -> SynapseTable:
    if not parts:
        return SynapseTable.empty()
    if len(parts) == 1:
        return parts[0].synapses
    pre = [p.synapses.pre + np.int32(0 if p.source is None else first[p.source]) for p in parts]
    columns = {
        name: np.concatenate([p.synapses.columns[name] for p in parts])
        for name in parts[0].synapses.columns
    }
    columns["pre"] = np.concatenate(pre).astype(np.int32)
    return SynapseTable(**columns, unit=parts[0].synapses.unit)


def _names(name_of: Callable[[str], str], names: Mapping[str, list[str]]) -> Callable[[str], str]:
    def named(array: str) -> str:
        group, dot, column = array.partition(".")
        held = names.get(group)
        if not held or column.startswith("cells."):
            return name_of(array)
        return ", ".join(name_of(f"{name}{dot}{column}") for name in held)

    return named


def _provenance(provenance: Provenance | None, names: Mapping[str, list[str]]) -> Provenance | None:
    """With the origins of the role's arrays; where its projections differ in theirs, it is open."""
    if provenance is None:
        return None
    arrays = dict(provenance.arrays)
    for role, held in names.items():
        for column in ("pre", "post", "receptor", "delay_ms", "weight"):
            found = [arrays[f"{name}.{column}"] for name in held if f"{name}.{column}" in arrays]
            if not found:
                continue
            same = len({one.origin for one in found}) == 1
            detail = "; ".join(dict.fromkeys(one.detail for one in found if one.detail))
            arrays[f"{role}.{column}"] = ArrayOrigin(
                found[0].origin if same else "undetermined", found[0].sha256, detail
            )
    return replace(provenance, arrays=MappingProxyType(arrays))
