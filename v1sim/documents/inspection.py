"""``v1sim inspect --json``: what a TensorFlow checkpoint is."""

from __future__ import annotations

from v1sim.documents.document import Document

__all__ = ["InspectionDocument", "VariableDocument"]


class VariableDocument(Document):
    """One variable of a checkpoint."""

    name: str
    dtype: str
    shape: list[int]
    shard: int
    """Number of the data file that holds it."""


class InspectionDocument(Document):
    """What a checkpoint is, from its index alone."""

    checkpoint: str
    kind: str | None
    """What the optimizer says of the weights; null where they are not those of a network."""
    iterations: int | None
    learning_rate: float | None
    moments: dict[str, str] | None
    """State of the optimizer's moments, by synapse table."""
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
