"""Weights of DPointNet's model in files of Keras and TensorFlow, which it never writes itself.

Neither holds what a network needs; with the original circuit beside them they do:

- ``.weights.h5`` (Keras): all weights, no names and no wiring. They stand in the order in which the
  cell has them: trainable ones first, recurrent before inputs, inputs in the order of the nodes;
  recurrent ones sorted by target and source.
- ``tf.train.Checkpoint``: recurrent weights with their wiring, and of inputs none. Weights that
  were trained stand in the optimizer, if it was saved too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from v1sim.checkpoints.bundle import (
    ATTRIBUTE,
    CheckpointIndex,
    checkpoint_sha256,
    read_index,
    read_tensor,
)
from v1sim.errors import CheckpointError, InputError
from v1sim.files.hdf5 import given_hdf5
from v1sim.printable import printable
from v1sim.sources.dpointnet.network import MOST_CELLS_IN_ORDER, Circuit
from v1sim.sources.dpointnet.remarks import Remarks
from v1sim.sources.dpointnet.trained import (
    TrainedWeights,
    changes,
    note_changes,
    require_finite,
)

__all__ = ["from_checkpoint", "from_keras", "is_dpointnet_checkpoint", "is_keras_weights"]

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

_CELL = "/cell/"
_WEIGHTS = "recurrent_weight_values"
_INDICES = "recurrent_indices"
_COMPUTE = "recurrent_weight_values_compute"
_TRAINED = "optimizer/_trainable_variables/"


def is_keras_weights(path: Path) -> bool:
    """Whether a file is one of Keras's weights, by its name."""
    return path.name.endswith(".weights.h5") and path.is_file()


def is_dpointnet_checkpoint(path: Path) -> bool:
    """Whether a path is a TensorFlow checkpoint of DPointNet's model."""
    try:
        index = read_index(path)
    except CheckpointError:
        return False
    return _variable(index, "noise_stream") is not None and _variable(index, _INDICES) is not None


# --- Keras ---------------------------------------------------------------------------------------


def from_keras(circuit: Circuit, path: Path, remarks: Remarks) -> TrainedWeights:
    """Trained weights of a ``.weights.h5`` file of the model.

    Raises
    ------
    InputError
        If it is not the file of this circuit's model, or edges cannot be told apart.
    """
    expected = "a weights file of DPointNet's model: layers/rnn/cell/vars"
    with given_hdf5(path, error=InputError, expected=expected) as file:
        groups = [
            f"layers/{name}/cell/vars"
            for name in file.names("layers")
            if file.is_group(f"layers/{name}/cell/vars")
        ]
        if not groups:
            raise file.missing("layers/rnn/cell/vars")
        names = sorted(file.names(groups[0]), key=lambda name: (len(name), name))
        arrays = [
            file.numbers(f"{groups[0]}/{name}", (None,), kinds="f", expected="weights")
            for name in names
        ]
        where = file.where(groups[0])
    order = _order_of_variables(circuit)
    sizes = [len(circuit.edges[population]) for population in order]
    if [len(values) for values in arrays] != sizes:
        raise InputError(
            f"has {', '.join(f'{len(v):,}' for v in arrays)} weights",
            where=where,
            expected=", ".join(
                f"{n:,} from {printable(p)}" for p, n in zip(order, sizes, strict=True)
            )
            + ": trainable ones first, by the configuration",
            hint="take the configuration of this training: which weights were trainable decides "
            "the order",
        )
    internal, origin = {}, {}
    for population, name, values in zip(order, names, arrays, strict=True):
        held = values.astype(np.float32)
        require_finite(circuit, held, f"{where}/{name}")
        if population == circuit.neurons.population:
            held = _in_order_of_file(circuit, held, None, f"{where}/{name}")
        internal[population], origin[population] = held, f"{where}/{name}"
    n = sum(sizes)
    remarks.add(
        "dpointnet.unused_weights",
        where,
        f"{n:,} weights in a file of Keras: load_weights() puts them where the forward pass does "
        "not read them, so that spikes of a model that was only loaded are not theirs",
        hint="call cell.refresh_recurrent_weight_shadow() after load_weights() before spikes are "
        "compared; v1sim takes the weights of the file",
        n=n,
        total=n,
    )
    return _weights(circuit, path, "a weights file of Keras", internal, origin, (path,), remarks)


def _order_of_variables(circuit: Circuit) -> list[str]:
    """Source populations in the order of the cell's variables: trainable ones first."""
    populations = [circuit.neurons.population, *circuit.sources]
    return sorted(populations, key=lambda population: not circuit.trainable(population))


# --- TensorFlow ----------------------------------------------------------------------------------


def _variable(index: CheckpointIndex, name: str) -> str | None:
    """The key of a variable of the cell."""
    end = f"{_CELL}{name}{ATTRIBUTE}"
    return next((key for key in index.entries if key.endswith(end)), None)


def from_checkpoint(circuit: Circuit, path: Path, remarks: Remarks) -> TrainedWeights:
    """Trained weights of a ``tf.train.Checkpoint`` of the model.

    Raises
    ------
    CheckpointError
        If it cannot be read, or lacks weights that were trained.
    InputError
        If it is not one of this circuit's model, or edges cannot be told apart.
    """
    index = read_index(path)
    where = str(index.prefix)
    key = _variable(index, _INDICES)
    if key is None:
        raise CheckpointError(
            "has no recurrent_indices",
            where=where,
            expected="a checkpoint of DPointNet's model: tf.train.Checkpoint(model=rnn.model)",
        )
    indices = read_tensor(index, key).astype(np.int64)
    trainable = [p for p in _order_of_variables(circuit) if circuit.trainable(p)]
    recurrent = circuit.neurons.population
    master = _variable(index, _WEIGHTS)
    compute = _variable(index, _COMPUTE)
    if master is None and recurrent in trainable:
        master = _of_optimizer(index, trainable.index(recurrent))
    held = master or compute
    if held is None:
        raise CheckpointError(
            "has no recurrent weights", where=where, expected=f"{_WEIGHTS} of the cell"
        )
    values = read_tensor(index, held).astype(np.float32)
    require_finite(circuit, values, where)
    if compute is not None and held != compute:
        _compare_copies(index, compute, values, where, remarks)
    internal = {recurrent: _in_order_of_file(circuit, values, indices, where)}
    origin = {recurrent: f"{where}: {held.removesuffix(ATTRIBUTE)}"}
    frozen = []
    for population in circuit.sources:
        if population in trainable:
            key = _of_optimizer(index, trainable.index(population))
            if key is None:
                raise CheckpointError(
                    f"lacks the trained weights from {printable(population)}: a checkpoint of the "
                    "model has no input weights, whatever assert_consumed() says",
                    where=where,
                    expected="tf.train.Checkpoint(model=..., optimizer=...) of the training",
                    hint="convert the folder trained_weights that the training wrote",
                )
            part = read_tensor(index, key).astype(np.float32)
            if len(part) != len(circuit.edges[population]):
                raise InputError(
                    f"has {len(part):,} weights from {printable(population)}, the circuit "
                    f"{len(circuit.edges[population]):,} edges",
                    where=where,
                    expected="a checkpoint of this circuit",
                )
            require_finite(circuit, part, where)
            internal[population] = part
            origin[population] = f"{where}: {key.removesuffix(ATTRIBUTE)}"
        else:
            frozen.append(population)
            internal[population] = circuit.internal(population)
            origin[population] = f"{circuit.edges[population].where}"
    if frozen:
        n = sum(len(circuit.edges[population]) for population in frozen)
        total = n + sum(len(circuit.edges[p]) for p in circuit.sources if p not in frozen)
        remarks.add(
            "dpointnet.frozen_input",
            where,
            f"{n:,} of {total:,} input weights ({', '.join(map(printable, frozen))}) are not in "
            "the checkpoint: they are those of the original circuit",
            hint="nothing shows that the training read these files: keep them with the checkpoint",
            n=n,
            total=total,
        )
    files = tuple(index.path.with_name(name) for name in checkpoint_sha256(index))
    return _weights(circuit, path, "a TensorFlow checkpoint", internal, origin, files, remarks)


def _of_optimizer(index: CheckpointIndex, place: int) -> str | None:
    """The key of a trainable variable that the optimizer keeps; None without an optimizer."""
    key = f"{_TRAINED}{place}{ATTRIBUTE}"
    return key if key in index.entries else None


def _compare_copies(
    index: CheckpointIndex, compute: str, master: F32, where: str, remarks: Remarks
) -> None:
    """Say where the copy that the forward pass reads is not the weights."""
    copy = read_tensor(index, compute)
    if copy.shape != master.shape:
        return
    other = master.astype(copy.dtype) != copy
    if other.any():
        n = int(other.sum())
        remarks.add(
            "dpointnet.unused_weights",
            where,
            f"{n:,} of {len(master):,} recurrent weights are not those that the forward pass read "
            "when this was saved",
            hint="v1sim takes the trained weights; spikes of that model are those of its copy",
            n=n,
            total=len(master),
        )


# --- both ----------------------------------------------------------------------------------------


def _in_order_of_file(circuit: Circuit, values: F32, indices: I64 | None, where: str) -> F32:
    """Recurrent weights in the order of the circuit's file.

    Parameters
    ----------
    circuit : Circuit
        The original one.
    values : float32 array, shape (s,)
        As the cell has them, sorted by target and source.
    indices : int64 array, shape (s, 2), optional
        Target, and source with its delay, of each.
    where : str
        For messages.
    """
    edges, n = circuit.recurrent, len(circuit.neurons.node_id)
    if len(values) != len(edges):
        raise InputError(
            f"has {len(values):,} recurrent weights, the circuit {len(edges):,} edges",
            where=where,
            expected="weights of this circuit",
        )
    source, target = edges.source, edges.target
    if indices is not None:
        source = source + n * (circuit.delays.steps.astype(np.int64) - 1)
    elif n > MOST_CELLS_IN_ORDER:
        raise InputError(
            f"has weights of {n:,} cells in an order that nothing tells: above "
            f"{MOST_CELLS_IN_ORDER:,} the key that they are sorted by overflows",
            where=where,
            expected="the edges files that DPointNet writes, or a TensorFlow checkpoint",
        )
    before = circuit.internal(circuit.neurons.population)
    order = np.lexsort((before, source, target))
    keys = np.stack([target[order], source[order]], axis=1)
    if indices is None:  # sorted as they are: place by place
        starts = np.concatenate([[True], (keys[1:] != keys[:-1]).any(axis=1)])
        theirs = np.lexsort((values, np.cumsum(starts)))
    else:
        theirs = np.lexsort((values, indices[:, 1], indices[:, 0]))
        n_other = int((indices[theirs] != keys).any(axis=1).sum())
        if n_other:
            raise InputError(
                f"{n_other:,} of {len(keys):,} recurrent edges have another source, target or "
                "delay than in the circuit",
                where=where,
                expected="a checkpoint of this circuit and configuration",
            )
    same = (keys[1:] == keys[:-1]).all(axis=1)
    differ = np.zeros(len(same), dtype=bool)
    for column in (circuit.model[circuit.neurons.population], circuit.delays.steps):
        differ |= column[order][1:] != column[order][:-1]
    if (same & differ).any():
        raise InputError(
            f"edges of {int((same & differ).sum()):,} pairs of cells have several types or "
            "delays, and nothing here tells which weight is whose",
            where=where,
            expected="the edges files that DPointNet writes, which name the types",
        )
    found = np.empty(len(values), dtype=np.float32)
    found[order] = values[theirs]
    return found


def _weights(
    circuit: Circuit,
    path: Path,
    kind: str,
    internal: dict[str, F32],
    origin: dict[str, str],
    files: tuple[Path, ...],
    remarks: Remarks,
) -> TrainedWeights:
    change = {
        population: changes(circuit, population, circuit.internal(population), internal[population])
        for population in circuit.edges
    }
    note_changes(circuit, change, origin, remarks)
    return TrainedWeights(path, kind, internal, change, origin, files)
