"""What is signed of a network: an in-toto statement, version 1 (https://in-toto.io/Statement/v1)."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from v1sim.documents.document import Document
from v1sim.model import Proof, Verdict

__all__ = [
    "BaselineDigest",
    "CheckpointDigest",
    "DynamicsStatement",
    "NetworkStatement",
    "Sha256",
    "StatementDocument",
    "Subject",
    "WeightsStatement",
]


class Sha256(Document):
    """A digest, as in-toto writes it."""

    sha256: str


class Subject(Document):
    """One array of the network."""

    name: str
    """Its name in v1sim: "recurrent.weight"."""
    digest: Sha256
    """Of its canonical bytes (`v1sim.sources.provenance.canonical_arrays`)."""


class WeightsStatement(Document):
    """What one array of weights is."""

    verdict: Verdict
    proof: Proof
    why: str


class CheckpointDigest(Document):
    """The checkpoint that the network is equal to."""

    name: str
    sha256: dict[str, str]
    """Of its index and data, by file name."""
    compared: str
    """How the network was compared with it."""


class BaselineDigest(Document):
    """The network before training."""

    name: str
    file_sha256: str


class DynamicsStatement(Document):
    """The equations that the network was trained in."""

    reset: Literal["subtractive", "hard"]
    step_ms: float
    trainer: str


class NetworkStatement(Document):
    """What the signer says of the network."""

    verdict: Verdict
    """What the weights are together."""
    proof: Proof
    """What that rested on when it was signed."""
    weights: dict[str, WeightsStatement]
    """Of each array of weights, by its name in v1sim."""
    checkpoint: CheckpointDigest | None
    baseline: BaselineDigest | None
    step_ms: float
    """Time step that the network was made for."""
    dynamics: DynamicsStatement | None
    """Null where nothing says which."""
    training_code: str | None
    """Commit of the code that trained it, as the signer gave it."""
    waived: dict[str, str]
    """Errors that the signer accepted, and why."""
    made_by: str
    """Program and version."""
    signed_at: str


class StatementDocument(Document):
    """An in-toto statement about a network."""

    model_config = ConfigDict(populate_by_name=True)

    statement_type: Literal["https://in-toto.io/Statement/v1"] = Field(
        alias="_type", default="https://in-toto.io/Statement/v1"
    )
    subject: list[Subject]
    predicate_type: Literal["urn:v1sim:network:v1"] = Field(
        alias="predicateType", default="urn:v1sim:network:v1"
    )
    predicate: NetworkStatement
