"""What a checkpoint is, from its index alone or with its data, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from v1sim.checkpoints.averages import averages_of
from v1sim.checkpoints.bundle import (
    OBJECT_GRAPH,
    CheckpointIndex,
    TensorEntry,
    read_index,
    require_shards,
)
from v1sim.checkpoints.checkpoint import network_of, shard_reader
from v1sim.checkpoints.claims import Claim, Kind, claim_to_json, kind_of
from v1sim.checkpoints.evidence import Evidence, Table, checkpoint_evidence, scalar_value
from v1sim.checkpoints.stored import stored
from v1sim.checkpoints.variables import N_RECEPTORS, Variables, find_variables
from v1sim.conversion.looks import claims_of, initial_weights, undecided
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
    evidence : Evidence or None
        What the optimizers say.
    claims : mapping
        What each table is, and what that rests on.
    facts : tuple of str
        What checksums alone prove of the network.
    problems : tuple of str
        Why ``convert`` would refuse it.
    """

    prefix: str
    entries: tuple[TensorEntry, ...]
    scalars: dict[str, float | int]
    variables: Variables | None
    evidence: Evidence | None
    claims: Mapping[Table, Claim]
    facts: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def kind(self) -> Kind | None:
        """What its weights are."""
        return kind_of(self.claims) if self.claims else None


def inspect_checkpoint(
    path: Path, *, baseline: Path | None = None, initial: Path | None = None
) -> Inspection:
    """Look into a checkpoint; the data need not be there.

    Where no optimizer tells what the weights are, and the data are there, the weights are read.
    ``baseline`` is the network's file before training, ``initial`` an earlier checkpoint of its
    training, to compare them with.

    Raises
    ------
    CheckpointError
        If there is none, or its index cannot be read.
    InputError
        If ``baseline`` or ``initial`` has other synapses.
    """
    index = read_index(path)
    problems = []
    variables, evidence = None, None
    claims: dict[Table, Claim] = {}
    facts: tuple[str, ...] = ()
    try:
        variables = find_variables(index)
        evidence = checkpoint_evidence(index, variables)
        claims = claims_of(evidence, None)
        facts = (*_facts(variables), *_average_facts(index, evidence))
    except CheckpointError as error:
        problems.append(error.seen)
    try:
        require_shards(index)
        if variables is not None and evidence is not None:
            ask = baseline or initial or undecided(evidence)
            # Averages that fit() wrote over the weights may have crossed zero.
            if ask or any(found.is_average for found in evidence.tables.values()):
                claims = _with_weights(index, variables, evidence, baseline, initial)
    except CheckpointError as error:
        problems.append(error.seen)
    kind = kind_of(claims) if claims else None
    if kind in ("untrained", "mixed"):
        problems.append(f"its weights are {kind}: convert needs --allow-untrained")
    elif kind == "undetermined":
        recurrent = claims["recurrent"]
        if recurrent.origin == "undetermined":
            text = f"nothing shows that it was trained: {recurrent.why}; {recurrent.decide}"
        else:
            text = "its recurrent weights were not trained: convert needs --allow-untrained"
        problems.append(text)
    entries = tuple(entry for key, entry in index.entries.items() if key != OBJECT_GRAPH)
    scalars = {e.name: value for e in entries if (value := scalar_value(e)) is not None}
    return Inspection(
        str(index.prefix), entries, scalars, variables, evidence, claims, facts, tuple(problems)
    )


def _with_weights(
    index: CheckpointIndex,
    variables: Variables,
    evidence: Evidence,
    baseline: Path | None,
    initial: Path | None,
) -> dict[Table, Claim]:
    """What the tables are, once the weights themselves were asked."""
    read = shard_reader(index)
    on_signs = averages_of(evidence).on_signs("raw")
    network = network_of(index, variables, read, on_signs=on_signs)
    before = initial_weights(
        network, variables, read, str(index.prefix), baseline=baseline, initial=initial
    )
    return claims_of(evidence, network, before)


def _average_facts(index: CheckpointIndex, evidence: Evidence) -> tuple[str, ...]:
    read = shard_reader(index) if index.has_data else None
    return averages_of(evidence).notes(read, None)


def _facts(variables: Variables) -> Iterator[str]:
    """What follows from the checksums of variables whose values can be guessed."""

    def is_full_of(role: str, row: Any) -> bool:
        entry = variables[role]
        return entry.is_full_of(stored(np.asarray(row), entry.dtype))

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
    n_wide = sum(entry.dtype == "bfloat16" for entry in variables.entries.values())
    if n_wide:
        yield f"{n_wide} of its variables are bfloat16, which widen exactly to float32"
    if variables.unused:
        yield f"beyond this model: {', '.join(entry.name for entry in variables.unused)}"


def inspection_document(inspection: Inspection) -> InspectionDocument:
    """An inspection as a document."""
    evidence = inspection.evidence
    return InspectionDocument.of(
        {
            "checkpoint": inspection.prefix,
            "kind": inspection.kind,
            "iterations": evidence.iterations if evidence else None,
            "learning_rate": evidence.learning_rate if evidence else None,
            "tables": {table: claim_to_json(found) for table, found in inspection.claims.items()},
            "facts": inspection.facts,
            "convertible": not inspection.problems,
            "problems": inspection.problems,
            "scalars": inspection.scalars,
            "roles": {role: entry.name for role, entry in inspection.variables.entries.items()}
            if inspection.variables
            else None,
            "variables": [
                {
                    "name": e.name,
                    "dtype": e.dtype,
                    "shape": e.shape,
                    "shard": e.pieces[0].shard,
                    "slices": len(e.pieces),
                }
                for e in inspection.entries
            ],
        }
    )
