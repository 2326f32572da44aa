"""Which nodes a node set means: populations, ids and values of columns, as BMTK filters them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import NetworkFileError
from v1sim.files.identify import printable
from v1sim.sources.sonata.config import SonataConfig
from v1sim.sources.sonata.nodes import Nodes, read_nodes
from v1sim.sources.sonata.remarks import Remarks

__all__ = ["NodeSets"]

#: Node sets that may name one another.
_DEEPEST = 20
_POPULATIONS = ("population", "populations")


class NodeSets:
    """The populations of nodes of a configuration, read once, and what node sets mean in them."""

    def __init__(self, config: SonataConfig) -> None:
        self._config = config
        self._remarks = Remarks()  # the reader of the circuit says them
        self.populations: dict[str, Nodes] = {
            nodes.name: nodes
            for entry in config.networks.nodes
            for nodes in read_nodes(entry, self._remarks)
        }

    def chosen(
        self, given: Any, where: str, *, virtual: bool, depth: int = 0
    ) -> dict[str, NDArray[np.int64] | None]:
        """Ids of the nodes that a node set means, by population; None where it means all.

        Parameters
        ----------
        given : str, list or mapping
            As the configuration has it: a name, ids, names of node sets, or a filter.
        where : str
            For errors.
        virtual : bool
            Whether virtual nodes are meant, or cells to simulate.
        depth : int, optional
            How many node sets led to this one.

        Raises
        ------
        NetworkFileError
            If it means no node, or names a population, a column or an id that is not there.
        """
        if isinstance(given, str) and given in self._config.node_sets:
            if depth > _DEEPEST:
                raise NetworkFileError(
                    f"the node set {printable(given)} names itself, or others without end",
                    where=where,
                    expected="populations, ids or filters in the end",
                )
            given = self._config.node_sets[given]
            return self.chosen(given, where, virtual=virtual, depth=depth + 1)
        if isinstance(given, list | tuple) and any(isinstance(item, str) for item in given):
            parts = [self.chosen(i, where, virtual=virtual, depth=depth + 1) for i in given]
            return _union(parts)
        node_set = self._config.node_set(given)
        named = next((node_set[key] for key in _POPULATIONS if key in node_set), None)
        meant = {n: p for n, p in self.populations.items() if p.is_virtual is virtual}
        if named is not None:
            names = [str(n) for n in named] if isinstance(named, list | tuple) else [str(named)]
            kind = "virtual cells" if virtual else "cells to simulate"
            for name in names:
                if name not in meant:
                    raise NetworkFileError(
                        f"{printable(name)} is no population of {kind}",
                        where=where,
                        expected=f"one of {', '.join(map(printable, meant)) or 'none there'}",
                        hint="node sets are "
                        f"{', '.join(map(printable, self._config.node_sets)) or 'not there'}",
                    )
            meant = {name: meant[name] for name in names}
        rest = {key: value for key, value in node_set.items() if key not in _POPULATIONS}
        found = {name: _filtered(nodes, rest, where) for name, nodes in meant.items()}
        found = {name: ids for name, ids in found.items() if ids is None or len(ids)}
        if not found:
            raise NetworkFileError(
                f"the node set {printable(given)} means no node",
                where=where,
                expected="a node set with nodes",
            )
        return found


def _union(parts: list[dict[str, NDArray[np.int64] | None]]) -> dict[str, NDArray[np.int64] | None]:
    found: dict[str, NDArray[np.int64] | None] = {}
    for part in parts:
        for name, ids in part.items():
            other = found.get(name, np.empty(0, dtype=np.int64))
            found[name] = None if ids is None or other is None else np.union1d(other, ids)
    return found


def _filtered(nodes: Nodes, rest: Mapping[str, Any], where: str) -> NDArray[np.int64] | None:
    """Ids of the nodes that have all of the values; None where nothing is filtered."""
    if not rest:
        return None
    kept = np.ones(len(nodes), dtype=bool)
    for key, value in rest.items():
        values = list(value) if isinstance(value, list | tuple) else [value]
        if key == "node_id":
            missing = [v for v in values if v not in nodes.node_id]
            if missing:
                raise NetworkFileError(
                    f"{printable(nodes.name)} has no node of the id {printable(missing[0])}",
                    where=where,
                    expected="ids of its nodes",
                )
            kept &= np.isin(nodes.node_id, values)
        elif key == "node_type_id":
            type_id = np.array(nodes.types.ids)[nodes.type_row]
            kept &= np.isin(type_id, values)
        else:
            kept &= _has(nodes, key, values, where)
    return nodes.node_id[kept]


def _has(nodes: Nodes, key: str, values: list[Any], where: str) -> NDArray[np.bool_]:
    if any(isinstance(value, Mapping) for value in values):
        raise NetworkFileError(
            f"a node set with a condition on {printable(key)}",
            where=where,
            expected="values, or lists of values",
        )
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        column = nodes.column(key)
        if column is not None:
            return np.isin(column, values)
    else:
        texts = nodes.texts(key)
        if any(text is not None for text in texts):
            return np.isin(texts.astype(str), [str(value) for value in values])
    raise NetworkFileError(
        f"the nodes of {printable(nodes.name)} have no column {printable(key)!r}",
        where=where,
        expected="columns of the nodes or of their types",
    )
