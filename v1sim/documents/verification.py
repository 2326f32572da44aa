"""``v1sim verify-dynamics --json``: NEST's spikes against true ones."""

from __future__ import annotations

from v1sim.documents.document import Document

__all__ = ["AgreementDocument", "GroupDocument", "SpikesDocument", "VerificationDocument"]


class SpikesDocument(Document):
    """How the spikes of one trial agree."""

    n_truth: int
    n_equal: int
    n_missing: int
    n_extra: int
    first_step: int | None
    """Step in which the two part; null where they never do."""
    first_neuron: int | None


class VoltagesDocument(Document):
    """How the voltages of one trial agree."""

    n: int
    n_equal: int
    largest: float | None
    """Largest difference, mV."""


class AgreementDocument(Document):
    """One integrator against the truth, trial by trial."""

    name: str
    spikes: list[SpikesDocument]
    voltages: list[VoltagesDocument]
    threshold_distance: list[float | None]
    """How far the neuron of the first difference was from threshold, as a part of V_th - E_L."""
    all_equal: bool


class GroupDocument(Document):
    """Everything held against one truth."""

    group: str
    truth: str
    background: str
    agreements: list[AgreementDocument]
    proven: bool


class VerificationDocument(Document):
    """The dynamics in NEST against the truth."""

    network: str
    network_sha256: str
    input: str
    groups: list[GroupDocument]
    left_out: list[str]
    """Groups that are another network's."""
    proven: bool
    """Whether the training dynamics gave every spike of every group, in float64 or float32."""
