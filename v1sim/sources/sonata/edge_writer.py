"""Files of SONATA edges, written block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.sources.hdf5.disk import new_hdf5

__all__ = ["EdgeBlock", "EdgeEnds", "write_edges", "write_head"]

#: Edges above which no index is written: it takes a sort of all of them, in memory.
MOST_INDEXED = 1 << 25
#: Rows of an index written at a time.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class EdgeEnds:
    """The populations that edges of one name lead from and to."""

    name: str
    source: str
    target: str


@dataclass(frozen=True, eq=False)
class EdgeBlock:
    """Some edges: ids of their nodes, type ids, and the columns of their one group."""

    source_id: NDArray[np.int64]
    target_id: NDArray[np.int64]
    type_id: NDArray[np.integer]
    columns: dict[str, NDArray[np.floating]]

    def __len__(self) -> int:
        return len(self.source_id)


def write_head(file: h5py.File) -> None:
    """The attributes by which a file is one of SONATA."""
    file.attrs.create("magic", 0x0A7A, dtype="u4")
    file.attrs.create("version", [0, 1], dtype="u4")


def write_edges(
    path: Path,
    ends: EdgeEnds,
    n: int,
    blocks: Callable[[], Iterator[EdgeBlock]],
    attributes: dict[str, str],
) -> bool:
    """Write one population of edges.

    Parameters
    ----------
    path : Path
        The file.
    ends : EdgeEnds
        Its name, and those of its populations of nodes.
    n : int
        Number of edges in all blocks together.
    blocks : callable
        Gives the edges in their order.
    attributes : dict
        Texts about them.

    Returns
    -------
    bool
        Whether the file has an index: for each node, the edges from it and onto it.
    """
    with new_hdf5(path) as file:
        write_head(file)
        for key, text in attributes.items():
            file.attrs[key] = text
        root = file.create_group(f"edges/{ends.name}")
        ids = {
            "source_node_id": (root.create_dataset("source_node_id", (n,), "u8"), ends.source),
            "target_node_id": (root.create_dataset("target_node_id", (n,), "u8"), ends.target),
        }
        for dataset, population in ids.values():
            dataset.attrs["node_population"] = population
        type_id = root.create_dataset("edge_type_id", (n,), "u4")
        root.create_dataset("edge_group_id", (n,), "u2")
        index = root.create_dataset("edge_group_index", (n,), "u8")
        columns: dict[str, h5py.Dataset] = {}
        group = root.create_group("0")
        start = 0
        for block in blocks():
            part = slice(start, start + len(block))
            start = part.stop
            ids["source_node_id"][0][part] = block.source_id
            ids["target_node_id"][0][part] = block.target_id
            type_id[part] = block.type_id
            root["edge_group_id"][part] = np.zeros(len(block), dtype="u2")
            index[part] = np.arange(part.start, part.stop, dtype="u8")
            for name, values in block.columns.items():
                if name not in columns:
                    columns[name] = group.create_dataset(name, (n,), "f8")
                columns[name][part] = values
        assert start == n
        if not n:
            for name in ("syn_weight", "delay"):
                group.create_dataset(name, (0,), "f8")
        if n > MOST_INDEXED:
            return False
        for name, (dataset, _) in ids.items():
            other = {"source_node_id": "source_to_target", "target_node_id": "target_to_source"}
            _write_index(root.require_group(f"indices/{other[name]}"), dataset[()])
        return True


def _write_index(group: h5py.Group, node_id: NDArray[np.uint64]) -> None:
    """For each node, the ranges of rows in which its edges lie."""
    n_nodes = int(node_id.max()) + 1 if len(node_id) else 0
    order = None
    if (node_id[1:] < node_id[:-1]).any():
        order = _order(node_id, n_nodes)
        node_id = node_id[order]
    begins = np.ones(len(node_id), dtype=bool)
    np.not_equal(node_id[1:], node_id[:-1], out=begins[1:])
    if order is not None:
        begins[1:] |= order[1:] != order[:-1] + 1
    first = np.flatnonzero(begins)
    length = np.diff(first, append=len(node_id))
    begin = first if order is None else order[first]
    ranges = group.create_dataset("range_to_edge_id", (len(first), 2), "u8")
    for start in range(0, len(first), _BLOCK):
        part = slice(start, start + _BLOCK)
        ranges[part] = np.stack([begin[part], begin[part] + length[part]], axis=1)
    of_node = np.searchsorted(node_id[first], np.arange(n_nodes + 1, dtype=np.uint64))
    group["node_id_to_range"] = np.stack([of_node[:-1], of_node[1:]], axis=1).astype("u8")
    # The format and BMTK call it so, libsonata otherwise.
    group["node_id_to_ranges"] = group["node_id_to_range"]


def _order(node_id: NDArray[np.uint64], n_nodes: int) -> NDArray[np.int64]:
    """Rows by node, those of one node as they are: NumPy sorts 16 bits in linear time."""
    order = np.argsort(node_id.astype(np.uint16), kind="stable")
    for shift in range(16, max(n_nodes - 1, 0).bit_length(), 16):
        digits = (node_id >> np.uint64(shift)).astype(np.uint16)
        order = order[np.argsort(digits[order], kind="stable")]
    return order
