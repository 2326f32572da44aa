"""``v1sim inspect --json``: what a TensorFlow checkpoint is."""

from __future__ import annotations

from v1sim.documents.document import Document

__all__ = ["InspectionDocument", "SlotDocument", "TableDocument", "VariableDocument"]


class VariableDocument(Document):
    """One variable of a checkpoint."""

    name: str
    dtype: str
    shape: list[int]
    shard: int
    """Number of the data file that holds it, or its first slice."""
    slices: int
    """How many slices it is cut into; 1 where it is whole."""


class SlotDocument(Document):
    """What an optimizer keeps for a table of weights."""

    kind: str
    value: str
    """zero, one value, the variable (the same as the weights), or other."""
    says: str
    """What that proves: gradient, no gradient, or nothing."""


class TableDocument(Document):
    """What one table's weights are, and what that rests on."""

    origin: str
    """trained, frozen, initial, average (of trained weights) or undetermined."""
    rests_on: str | None
    """optimizer, initial weights, exact zeros, no zeros; null where it is undetermined."""
    why: str
    variable: str
    optimizer: str | None
    """Where the optimizer that holds it is tracked; null where none is known."""
    family: str | None
    iterations: int | None
    """Counter of that optimizer."""
    counts: str
    """What it counts: updates; batches where gradients are accumulated; steps where a loss scale
    may have skipped some."""
    learning_rate: float | None
    slots: dict[str, SlotDocument]
    """What that optimizer keeps for it, by variable."""


class InspectionDocument(Document):
    """What a checkpoint is, from its index alone."""

    checkpoint: str
    kind: str | None
    """What the weights are: trained, untrained, mixed or undetermined; null where they are not
    those of a network."""
    iterations: int | None
    """Counter of the optimizer that holds the recurrent weights."""
    learning_rate: float | None
    """That optimizer's learning rate."""
    tables: dict[str, TableDocument]
    """What each table of weights is; empty where they are not those of a network."""
    facts: list[str]
    """What checksums alone prove of the network."""
    convertible: bool
    problems: list[str]
    """Why convert would refuse it."""
    scalars: dict[str, float | int]
    """Values of scalars, recovered from their checksums."""
    roles: dict[str, str] | None
    """Variable by its role in the network."""
    variables: list[VariableDocument]
