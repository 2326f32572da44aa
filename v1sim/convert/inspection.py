"""What a checkpoint is, from its index alone or with its data, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from v1sim.convert.bundle import OBJECT_GRAPH, TensorEntry, read_index, require_shards
from v1sim.convert.training_state import TrainingState, scalar_value, training_state
from v1sim.convert.variables import N_RECEPTORS, Variables, find_variables
from v1sim.documents.inspection import InspectionDocument
from v1sim.errors import CheckpointError

__all__ = ["Inspection", "inspect_checkpoint", "inspection_document"]

#: Synaptic time constants of the Billeh model, ms.
_TAU_SYN_MS = (5.5, 8.5, 2.8, 5.8)


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint is.

    Parameters
    ----------
    prefix : str
        The checkpoint.
    entries : tuple of TensorEntry
        Everything in it.
    scalars : dict
        Values of scalars, recovered from their checksums.
    variables : Variables or None
        The network's variables, where they are all there.
    training : TrainingState or None
        What the optimizer says.
    facts : tuple of str
        What checksums alone prove of the network.
    problems : tuple of str
        Why ``convert`` would refuse it.
    """

    prefix: str
    entries: tuple[TensorEntry, ...]
    scalars: dict[str, float | int]
    variables: Variables | None
    training: TrainingState | None
    facts: tuple[str, ...]
    problems: tuple[str, ...]


def inspect_checkpoint(path: Path) -> Inspection:
    """Look into a checkpoint; the data need not be there.

    Raises
    ------
    CheckpointError
        If there is none, or its index cannot be read.
    """
    index = read_index(path)
    problems = []
    variables, state = None, None
    facts: tuple[str, ...] = ()
    try:
        variables = find_variables(index)
        state = training_state(index, variables)
        facts = tuple(_facts(variables))
    except CheckpointError as error:
        problems.append(error.seen)
    try:
        require_shards(index)
    except CheckpointError as error:
        problems.append(error.seen)
    if state is not None and state.kind in ("untrained", "mixed"):
        problems.append(f"its weights are {state.kind}: convert needs --allow-untrained")
    entries = tuple(entry for key, entry in index.entries.items() if key != OBJECT_GRAPH)
    scalars = {e.name: value for e in entries if (value := scalar_value(e)) is not None}
    return Inspection(str(index.prefix), entries, scalars, variables, state, facts, tuple(problems))


def _facts(variables: Variables) -> Iterator[str]:
    """What follows from the checksums of variables whose values can be guessed."""

    def is_full_of(role: str, row: Any) -> bool:
        entry = variables[role]
        return entry.holds(np.broadcast_to(np.asarray(row, dtype=entry.dtype), entry.shape))

    yield (
        f"{variables.n_neurons:,} neurons, {variables.n_recurrent:,} recurrent and "
        f"{variables.n_input:,} input synapses"
    )
    tau = np.array(_TAU_SYN_MS, dtype=np.float32)
    decay, rise = np.exp(np.float32(-1) / tau), np.float32(np.e) / tau
    if is_full_of("psc_initial", rise) and is_full_of("syn_decay", decay):
        listed = ", ".join(f"{t:g}" for t in _TAU_SYN_MS)
        yield f"tau_syn is {listed} ms for every neuron"
    if is_full_of("v_reset", 0):
        yield "V_reset is E_L for every neuron"
    if is_full_of("v_th", 1) and is_full_of("e_l", 0):
        yield "potentials are normalised: threshold 1, rest 0"
    for table in ("recurrent", "input"):
        for positive, sign in ((True, ">= 0"), (False, "< 0")):
            if is_full_of(f"{table}_sign", positive):
                yield f"every {table} weight was {sign} before training"
        if is_full_of(f"{table}_weights", 0):
            yield f"every {table} weight is 0"
    if "background" in variables:
        no = "no " if is_full_of("background", 0) else ""
        yield f"{no}background weights, {N_RECEPTORS} a neuron"
    if "readout_kernel" in variables:
        shape = variables["readout_kernel"].shape
        yield f"a dense readout from {shape[0]:,} cells to {shape[1]} classes"
    if variables.unused:
        yield f"beyond this model: {', '.join(entry.name for entry in variables.unused)}"


def inspection_document(inspection: Inspection) -> InspectionDocument:
    """An inspection as a document."""
    state = inspection.training
    return InspectionDocument.of(
        {
            "checkpoint": inspection.prefix,
            "kind": state.kind if state else None,
            "iterations": state.iterations if state else None,
            "learning_rate": state.learning_rate if state else None,
            "moments": state.moments if state else None,
            "facts": inspection.facts,
            "convertible": not inspection.problems,
            "problems": inspection.problems,
            "scalars": inspection.scalars,
            "roles": {role: entry.name for role, entry in inspection.variables.entries.items()}
            if inspection.variables
            else None,
            "variables": [
                {"name": e.name, "dtype": e.dtype, "shape": e.shape, "shard": e.shard}
                for e in inspection.entries
            ],
        }
    )
