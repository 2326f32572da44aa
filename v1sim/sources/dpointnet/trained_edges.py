"""The edges files that DPointNet leaves after training: weights in pA, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.files.hdf5 import GivenHdf5, given_hdf5
from v1sim.printable import printable
from v1sim.sources.dpointnet.pairing import EdgeKeys

__all__ = ["TrainedEdges", "edges_files", "read_trained_edges"]

#: The folder that DPointNet writes below its ``callbacks_dir``.
FOLDER = "trained_weights"
_EXPECTED = "edges as DPointNet writes them: /edges/SOURCE_to_TARGET with 0/syn_weight"


@dataclass(frozen=True, eq=False)
class TrainedEdges:
    """The edges of one source population, with weights in pA, in the order of their file."""

    path: Path
    name: str
    source_population: str
    target_population: str
    keys: EdgeKeys
    weight_pa: NDArray[np.float32]

    @property
    def where(self) -> str:
        """File and group, for messages."""
        return f"{self.path}:/edges/{printable(self.name)}"


def edges_files(folder: Path) -> tuple[Path, ...]:
    """The edges files of a folder of trained weights, or of the one above it.

    Parameters
    ----------
    folder : Path
        ``trained_weights``, or the folder that has it.
    """
    if not folder.is_dir():
        return ()
    for place in (folder, folder / FOLDER):
        if found := sorted(place.glob("*_edges.h5")):
            return tuple(found)
    return ()


def read_trained_edges(folder: Path) -> dict[tuple[str, str], TrainedEdges]:
    """The trained edges by source and target population.

    Raises
    ------
    InputError
        If a file is no such file, or two hold the same edges.
    """
    found: dict[tuple[str, str], TrainedEdges] = {}
    for path in edges_files(folder):
        with given_hdf5(path, error=InputError, expected=_EXPECTED) as file:
            names = [n for n in file.names("edges") if file.is_group(f"edges/{n}")]
            if not names:
                raise file.missing("edges")
            for name in names:
                edges = _read(file, name)
                pair = (edges.source_population, edges.target_population)
                if pair in found:
                    raise InputError(
                        f"holds the edges from {printable(pair[0])} to {printable(pair[1])}, and "
                        f"so does {found[pair].where}",
                        where=edges.where,
                        expected="one group of edges for each pair of populations",
                        hint="DPointNet leaves groups of an earlier training in files that are "
                        "there already: remove those that are not of this training",
                    )
                found[pair] = edges
    return found


def _read(file: GivenHdf5, name: str) -> TrainedEdges:
    group = f"edges/{name}"
    ends: list[NDArray[np.int64]] = []
    populations: list[str] = []
    for end in ("source", "target"):
        column = f"{group}/{end}_node_id"
        values = file.numbers(column, (None,), kinds="iu", expected="node ids, one an edge")
        ends.append(values.astype(np.int64))
        population = file.text_attribute(column, "node_population")
        if population is None:
            raise InputError(
                "has no attribute node_population",
                where=file.where(column),
                expected="the population of the ids",
            )
        populations.append(population)
    n = len(ends[0])
    types = file.numbers(f"{group}/edge_type_id", (n,), kinds="iu", expected=f"{n:,} edge types")
    if file.has(f"{group}/1"):
        raise InputError(
            "has several edge groups",
            where=file.where(group),
            expected=_EXPECTED,
            hint="DPointNet writes one; give the folder that it wrote",
        )
    weight = file.numbers(f"{group}/0/syn_weight", (n,), kinds="f", expected=f"{n:,} weights in pA")
    order = file.numbers(f"{group}/edge_group_index", (n,), kinds="iu", expected=f"{n:,} rows")
    if not np.array_equal(order, np.arange(n)):
        if n and (np.sort(order) != np.arange(n)).any():
            raise InputError(
                "is not a permutation of the rows of the group",
                where=file.where(f"{group}/edge_group_index"),
                expected=f"each number from 0 to {n - 1:,} once",
            )
        weight = weight[order.astype(np.int64)]
    return TrainedEdges(
        path=file.path,
        name=name,
        source_population=populations[0],
        target_population=populations[1],
        keys=EdgeKeys(ends[0], ends[1], types.astype(np.int64)),
        weight_pa=weight.astype(np.float32),
    )
