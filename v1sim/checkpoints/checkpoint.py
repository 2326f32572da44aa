"""Reading a checkpoint's variables, by TensorFlow or from its shards, and the network in them.

`tensorflow_reader` is what conversion uses: TensorFlow is the reference for its own
format, and each array that it hands out is held against the checksum in the index, which
`v1sim.checkpoints.bundle` reads without it. `shard_reader` is for proofs on machines that
have no TensorFlow.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.checkpoints.bundle import (
    CheckpointIndex,
    TensorEntry,
    damaged,
    read_tensor,
    require_shards,
    require_whole,
)
from v1sim.checkpoints.parameters import check_parameters, recover_types
from v1sim.checkpoints.stored import widened
from v1sim.checkpoints.variables import N_RECEPTORS, PARAMETERS, Variables
from v1sim.errors import CheckpointError, MissingExtraError
from v1sim.model import NetworkModel, NeuronTable, SourceFile, SynapseTable
from v1sim.units import MODEL_STEP_MS

__all__ = ["VariableReader", "network_of", "shard_reader", "tensorflow_reader"]

VariableReader = Callable[[TensorEntry], NDArray[Any]]

#: Longest delay that a column may encode; training keeps a buffer of spikes as long, and
#: those in use are 4 or 5 ms.
_MAX_DELAY_STEPS = 50
#: Synapses handled at a time: the work arrays stay within the CPU's cache.
_BLOCK = 1 << 16


def tensorflow_reader(index: CheckpointIndex) -> VariableReader:
    """A reader of variables through ``tf.train.load_checkpoint``.

    Raises
    ------
    MissingExtraError
        If TensorFlow is not installed.
    CheckpointError
        If a shard is missing or cut off; from the reader itself, if a variable's data are damaged.
    """
    require_shards(index)
    tf = _tensorflow()
    try:
        reader = tf.train.load_checkpoint(str(index.prefix))
    except (tf.errors.OpError, ValueError) as error:
        raise CheckpointError(
            f"TensorFlow cannot open it: {_one_line(error)}", where=str(index.prefix)
        ) from error

    def read(entry: TensorEntry) -> NDArray[Any]:
        try:
            values: NDArray[Any] = reader.get_tensor(entry.key)
        except tf.errors.OpError as error:
            if "checksum" in str(error).lower():
                raise damaged(index, entry) from error
            raise CheckpointError(
                f"TensorFlow cannot read {entry.name}: {_one_line(error)}", where=str(index.prefix)
            ) from error
        require_whole(index, entry, values)
        return widened(values, entry.dtype)

    return read


def _tensorflow() -> Any:
    """TensorFlow, imported without Keras, which reading needs not and which takes a third longer.

    TensorFlow allows for its absence. Who imports ``tensorflow.keras`` later finds it.
    """
    hide = not {"tensorflow", "keras"} & set(sys.modules)
    try:
        with _quiet_stderr():
            if hide:
                sys.modules["keras"] = None  # type: ignore[assignment]
            try:
                import tensorflow as tf
            finally:
                if hide:
                    del sys.modules["keras"]
    except ImportError as error:
        raise MissingExtraError("tensorflow", "convert", "reading a checkpoint") from error
    keras = importlib.util.find_spec("keras") if hide else None
    if keras is not None and keras.origin is not None:
        own = [str(Path(keras.origin).parent / "_tf_keras")]
        tf.__path__ = own + [path for path in tf.__path__ if path is not None]
    return tf


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep what C++ code prints from the terminal, unless the block fails.

    TensorFlow prints about GPUs and oneDNN before any of its settings is heeded.
    """
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def shard_reader(index: CheckpointIndex) -> VariableReader:
    """A reader of variables straight from the shards, checksums verified."""
    require_shards(index)
    return lambda entry: read_tensor(index, entry.key)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def network_of(
    index: CheckpointIndex,
    variables: Variables,
    read: VariableReader,
    *,
    n_lgn: int | None = None,
    on_signs: Mapping[str, str] | None = None,
) -> NetworkModel:
    """The network that a checkpoint holds, every value checked.

    Positions, names of types and readout groups are not in a checkpoint.

    Parameters
    ----------
    index : CheckpointIndex
        The checkpoint.
    variables : Variables
        Its variables by role.
    read : callable
        `tensorflow_reader` or `shard_reader`.
    n_lgn : int, optional
        Number of LGN cells; by default the highest index plus one.
    on_signs : mapping of str to str, optional
        By table, why its weights may have changed their signs.

    Raises
    ------
    CheckpointError
        If a variable is damaged, not finite, out of range, contradicts another, or
        a weight has another sign than the constraint of training allows.
    """
    where = str(index.prefix)
    values = {role: read(variables[role]) for role in PARAMETERS}
    dtypes = {role: variables[role].dtype for role in PARAMETERS}
    check_parameters(values, dtypes, where)
    types, cell_type = recover_types(values, dtypes)
    why = on_signs or {}
    lgn = _synapses(variables, read, "input", where, n_lgn, why.get("input", ""))
    kernel, bias = (
        _finite(read(variables[role]), variables[role], where).astype(np.float32)
        if role in variables
        else None
        for role in ("readout_kernel", "readout_bias")
    )
    background = None
    if "background" in variables:
        entry = variables["background"]
        background = _finite(read(entry), entry, where).astype(np.float32)
        background = background.reshape(variables.n_neurons, N_RECEPTORS)
    return NetworkModel.billeh(
        neurons=NeuronTable(cell_type),
        cell_types=types,
        recurrent=_synapses(variables, read, "recurrent", where, None, why.get("recurrent", "")),
        lgn=lgn,
        n_lgn=n_lgn if n_lgn is not None else int(lgn.pre.max(initial=-1)) + 1,
        source=SourceFile(where, "", "checkpoint"),
        background_weight=background,
        readout_weight=kernel,
        readout_bias=bias,
    )


def _synapses(
    variables: Variables,
    read: VariableReader,
    table: str,
    where: str,
    n_lgn: int | None,
    on_signs: str,
) -> SynapseTable:
    """One table: ends, receptors and delays decoded from the indices, weights as they are."""
    n_neurons = variables.n_neurons
    entry = variables[f"{table}_indices"]
    pairs = read(entry)
    n = len(pairs)
    post, receptor = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.uint8)
    pre, delay_ms = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.float32)
    rows, columns = N_RECEPTORS * n_neurons, n_neurons * _MAX_DELAY_STEPS
    if table == "input":
        columns = n_lgn if n_lgn is not None else np.iinfo(np.int32).max
    for start in range(0, n, _BLOCK):
        part = slice(start, start + _BLOCK)
        row, column = pairs[part, 0], pairs[part, 1]
        _require_range(row, rows, entry, 0, f"target * {N_RECEPTORS} + receptor", where)
        meaning = "LGN cell" if table == "input" else "source + N * (delay - 1)"
        _require_range(column, columns, entry, 1, f"{meaning}, N = {n_neurons:,} neurons", where)
        # Below 2**32 now, whose division takes a fifth of the time.
        row, column = row.astype(np.uint32), column.astype(np.uint32)
        target = row // np.uint32(N_RECEPTORS)
        post[part] = target
        receptor[part] = row - target * np.uint32(N_RECEPTORS)
        if table == "input":
            pre[part], delay_ms[part] = column, MODEL_STEP_MS
        else:
            steps = column // np.uint32(n_neurons)
            pre[part] = column - steps * np.uint32(n_neurons)
            delay_ms[part] = (steps + np.uint32(1)) * MODEL_STEP_MS
    del pairs
    weights = variables[f"{table}_weights"]
    weight = _finite(read(weights), weights, where)
    _require_signs(weight, read(variables[f"{table}_sign"]), weights, where, on_signs)
    return SynapseTable(pre, post, receptor, delay_ms, weight.astype(np.float32, copy=False))


def _require_range(
    values: NDArray[np.integer],
    limit: int,
    entry: TensorEntry,
    column: int,
    meaning: str,
    where: str,
) -> None:
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high >= limit:
        raise CheckpointError(
            f"column {column} of {entry.name} has values from {low:,} to {high:,}",
            where=where,
            expected=f"{meaning}: from 0 to {limit - 1:,}",
            hint="its indices are of another network, or of another encoding than the published "
            "training code's",
        )


def _finite(values: NDArray[Any], entry: TensorEntry, where: str) -> NDArray[Any]:
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise CheckpointError(
            f"{np.count_nonzero(bad):,} of {bad.size:,} values of {entry.name} are not finite, "
            f"for example {values[first]} at {list(first)}",
            where=where,
            expected="finite values",
            hint="training diverged before this checkpoint was saved: take an earlier one",
        )
    return values


def _require_signs(
    weight: NDArray[np.floating],
    positive: NDArray[np.bool_],
    entry: TensorEntry,
    where: str,
    on_signs: str,
) -> None:
    """Training under Dale's law lets no weight cross zero."""
    wrong = (weight < 0) & positive
    wrong |= (weight > 0) & ~positive
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise CheckpointError(
            f"{np.count_nonzero(wrong):,} of {wrong.size:,} weights in {entry.name} have the "
            f"other sign than at the start of training, for example {weight[first]:g} at {first}",
            where=where,
            expected="the signs of the initial weights, which training keeps (Dale's law)",
            hint=on_signs
            or "weights and sign mask are not of the same training, or it ran without the "
            "constraint; such a network mixes excitation and inhibition",
        )
