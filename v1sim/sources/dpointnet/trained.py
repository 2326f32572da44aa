"""What training made of a circuit: its weights in the original order, and what changed.

DPointNet leaves no optimizer state. Whether weights were trained shows against the original ones
alone. Those that were not come back with other last bits (`Circuit.written`): weights count as
unchanged within `ROUNDING`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.printable import printable
from v1sim.sources.dpointnet.circuit import CircuitEdges, CircuitNodes
from v1sim.sources.dpointnet.network import Circuit
from v1sim.sources.dpointnet.pairing import EdgeKeys, paired
from v1sim.sources.dpointnet.remarks import Remarks
from v1sim.sources.dpointnet.trained_edges import TrainedEdges, edges_files, read_trained_edges

__all__ = [
    "ROUNDING",
    "ClassChange",
    "TrainedWeights",
    "WeightChange",
    "changes",
    "from_folder",
    "note_changes",
    "read_trained",
    "require_finite",
]

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

#: Relative difference up to which a weight is the original one: two roundings to single precision
#: on the way into the cell and back, each of 6e-8, and a third where factors are used.
ROUNDING = 2e-7


@dataclass(frozen=True)
class ClassChange:
    """How the weights of one pair of classes changed: how many of how many, and how far (L2)."""

    source: str
    target: str
    n: int
    n_changed: int
    relative_change: float


@dataclass(frozen=True)
class WeightChange:
    """How the weights of a source population changed.

    Parameters
    ----------
    population, projection : str
        Where they come from, and the name of their edges.
    trainable : bool
        What the configuration says.
    n, n_changed, n_zero, n_flipped : int
        Edges; those beyond `ROUNDING`; those that became exactly zero; those of another sign.
    relative_change : float
        Of all of them (L2).
    classes : tuple of ClassChange
        By pair of classes.
    """

    population: str
    projection: str
    trainable: bool
    n: int
    n_changed: int
    n_zero: int
    n_flipped: int
    relative_change: float
    classes: tuple[ClassChange, ...]

    @property
    def trained(self) -> bool:
        """Whether any weight changed."""
        return self.n_changed > 0


@dataclass(frozen=True, eq=False)
class TrainedWeights:
    """Weights of a training, in the order of the original files.

    Parameters
    ----------
    path : Path
        What they were read from.
    kind : str
        What that is, for people.
    internal : mapping of str to float32 array
        As the cell holds them, by source population.
    change : mapping
        Against the original ones.
    origin : mapping of str to str
        Where those of each source population stand.
    files : tuple of Path
        The files that they were read from.
    """

    path: Path
    kind: str
    internal: Mapping[str, F32]
    change: Mapping[str, WeightChange]
    origin: Mapping[str, str]
    files: tuple[Path, ...]


def read_trained(circuit: Circuit, path: Path, remarks: Remarks) -> TrainedWeights:
    """Trained weights in the order of the original circuit.

    Parameters
    ----------
    circuit : Circuit
        The original one.
    path : Path
        The folder ``trained_weights`` that DPointNet left, or the one above it.
    remarks : Remarks
        Takes what is odd.

    Raises
    ------
    InputError
        If there are none, or they are not those of the circuit.
    """
    if not edges_files(path):
        raise InputError(
            "has no trained edges" if path.is_dir() else "is no folder of trained weights",
            where=str(path),
            expected="the folder trained_weights that DPointNet left, with SOURCE_TARGET_edges.h5",
            hint="it lies in callbacks_dir of the configuration; with every loss NaN, DPointNet "
            "writes nothing and says nothing",
        )
    return from_folder(circuit, path, remarks)


def from_folder(circuit: Circuit, folder: Path, remarks: Remarks) -> TrainedWeights:
    """The weights of a folder that DPointNet wrote.

    Raises
    ------
    InputError
        If it lacks edges of the circuit, has others, or edges cannot be told apart.
    """
    found = read_trained_edges(folder)
    target = circuit.neurons.population
    lacking = [name for name in circuit.edges if (name, target) not in found]
    if lacking:
        has = ", ".join(f"{s} to {t}" for s, t in found) or "no edges at all"
        raise InputError(
            f"has no trained edges from {', '.join(map(printable, lacking))}; it has "
            f"{printable(has)}",
            where=str(folder),
            expected=f"{', '.join(f'{n}_{target}_edges.h5' for n in circuit.edges)}: DPointNet "
            "writes the edges of every population, trained or not",
            hint="give the folder trained_weights as the training left it",
        )
    unknown = [pair for pair in found if pair[1] != target or pair[0] not in circuit.edges]
    if unknown:
        raise InputError(
            f"has edges from {printable(unknown[0][0])} to {printable(unknown[0][1])}, which the "
            "circuit does not have",
            where=found[unknown[0]].where,
            expected="the edges of the circuit",
            hint="was this trained from another circuit? remove files of other trainings",
        )
    internal, change, origin = {}, {}, {}
    for population, edges in circuit.edges.items():
        held = found[(population, target)]
        keys = _true_ids(circuit, population, held, remarks)
        recurrent = population == target
        written = circuit.written(population)
        rows = paired(
            edges.keys,
            keys,
            written,
            held.weight_pa,
            delay=circuit.delays.steps if recurrent else None,
            where=held.where,
            original=edges.where,
        )
        weight = held.weight_pa[rows]
        require_finite(circuit, weight, held.where)
        internal[population] = circuit.internal_of(population, weight)
        change[population] = changes(circuit, population, written, weight)
        origin[population] = held.where
    note_changes(circuit, change, origin, remarks)
    files = tuple(found[(population, target)].path for population in circuit.edges)
    return TrainedWeights(folder, "the edges files of DPointNet", internal, change, origin, files)


def require_finite(circuit: Circuit, weight: F32, where: str) -> None:
    """Refuse trained weights that are no numbers.

    Raises
    ------
    InputError
        If one is NaN or infinite.
    """
    n = int((~np.isfinite(weight)).sum())
    if n:
        raise InputError(
            f"{n:,} of {len(weight):,} trained weights are not finite",
            where=where,
            expected="finite weights in pA",
            hint="asc_decay outside of 0..1 per ms is NaN in training, which reaches the weights: "
            "mend it and train again"
            if circuit.cells.dead.any()
            else "the training diverged: take an earlier epoch, or a smaller learning rate",
        )


def _true_ids(circuit: Circuit, population: str, held: TrainedEdges, remarks: Remarks) -> EdgeKeys:
    """Keys with the ids that nodes have: where they are not their rows, DPointNet writes others.

    It looks a row up in its table of rows by id (``tf2bmtk_id_map``), the wrong way round.
    """
    source = circuit.sources.get(population, circuit.neurons)
    keys = held.keys

    def mended(nodes: CircuitNodes, ids: I64) -> I64:
        n = len(nodes.node_id)
        rows = np.arange(n)
        if (nodes.node_id == rows).all() or (np.sort(nodes.node_id) != rows).any():
            return ids
        if len(ids) and (ids.min() < 0 or ids.max() >= n):
            return ids  # the pairing says what is wrong with them
        mended: I64 = nodes.node_id[nodes.node_id[ids]]
        return mended

    true = EdgeKeys(
        mended(source, keys.source), mended(circuit.neurons, keys.target), keys.edge_type
    )
    n = int(((true.source != keys.source) | (true.target != keys.target)).sum())
    if n:
        remarks.add(
            "dpointnet.node_ids",
            held.where,
            f"{n:,} of {len(keys):,} edges have other node ids than in the circuit, as DPointNet "
            "writes them where ids are not in the order of the file: they were put right, and the "
            "edges proven to be those of the circuit",
            hint="do not give this file to PointNet: its edges are between other cells",
            n=n,
            total=len(keys),
        )
    return true


def changes(circuit: Circuit, population: str, before: F32, after: F32) -> WeightChange:
    """How weights of a source population changed, in one unit and in the original order."""
    edges = circuit.edges[population]
    a, b = before.astype(np.float64), after.astype(np.float64)
    changed = np.abs(b - a) > ROUNDING * np.abs(a)
    return WeightChange(
        population=population,
        projection=edges.name,
        trainable=circuit.trainable(population),
        n=len(edges),
        n_changed=int(changed.sum()),
        n_zero=int(((b == 0) & (a != 0)).sum()),
        n_flipped=int((a * b < 0).sum()),
        relative_change=_relative(a, b),
        classes=_by_class(circuit, edges, population, a, b, changed),
    )


def _relative(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    size = float(a @ a)
    return float((b - a) @ (b - a) / size) ** 0.5 if size > 0 else float(np.any(b != 0))


def _by_class(
    circuit: Circuit,
    edges: CircuitEdges,
    population: str,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    changed: NDArray[np.bool_],
) -> tuple[ClassChange, ...]:
    names, types = circuit.cells.name, circuit.cells.type_index
    n = len(names)
    recurrent = population == circuit.neurons.population
    source = types[edges.source].astype(np.int64) if recurrent else np.zeros(len(edges), np.int64)
    code = source * n + types[edges.target]
    size = n * n
    count = np.bincount(code, minlength=size)
    n_changed = np.bincount(code[changed], minlength=size)
    square = np.bincount(code, weights=a * a, minlength=size)
    moved = np.bincount(code, weights=(b - a) ** 2, minlength=size)
    found = []
    for c in np.flatnonzero(count).tolist():
        relative = float((moved[c] / square[c]) ** 0.5) if square[c] > 0 else float(moved[c] > 0)
        found.append(
            ClassChange(
                names[c // n] if recurrent else population,
                names[c % n],
                int(count[c]),
                int(n_changed[c]),
                relative,
            )
        )
    return tuple(found)


def note_changes(
    circuit: Circuit,
    change: Mapping[str, WeightChange],
    origin: Mapping[str, str],
    remarks: Remarks,
) -> None:
    """What training changed, and what it cannot have changed."""
    for population, seen in change.items():
        where, name = origin[population], printable(population)
        if seen.n_flipped:
            remarks.add(
                "dpointnet.unequal_signs",
                where,
                f"{seen.n_flipped:,} of {seen.n:,} weights from {name} have another sign than in "
                "the original circuit",
                hint="is this the circuit that was trained? were weights edited afterwards?",
                n=seen.n_flipped,
                total=seen.n,
            )
        if seen.trained and not seen.trainable:
            remarks.add(
                "dpointnet.frozen_changed",
                where,
                f"{seen.n_changed:,} of {seen.n:,} weights from {name} differ from the original "
                f"ones (beyond {ROUNDING:g}), and the configuration says that they were frozen",
                hint="take the configuration and the circuit of this training",
                n=seen.n_changed,
                total=seen.n,
            )
        classes = "; ".join(
            f"{printable(c.source)} -> {printable(c.target)}: {c.n_changed:,} of {c.n:,} "
            f"({c.relative_change:.2g})"
            for c in seen.classes[:5]
        )
        if seen.trained:
            text = (
                f"{seen.n_changed:,} of {seen.n:,} weights from {name} differ from the original "
                f"ones by more than {ROUNDING:g} (relative change {seen.relative_change:.3g}, L2)"
            )
        else:
            text = (
                f"none of {seen.n:,} weights from {name} differs from the original ones by more "
                f"than {ROUNDING:g}: "
                + ("training did not change them" if seen.trainable else "they were frozen")
            )
        if seen.trained and not seen.n_zero and circuit.config.optimizer == "exp_adam":
            text += "; none is exactly zero, which says nothing: exp_adam makes none"
        remarks.add(
            "dpointnet.training",
            where,
            text,
            hint=f"by class (changed of all, relative change): {classes}",
            n=seen.n_changed,
            total=seen.n,
        )
