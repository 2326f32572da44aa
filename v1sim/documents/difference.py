"""``v1sim diff --json``: how two networks differ."""

from __future__ import annotations

from v1sim.documents.document import Document

__all__ = [
    "ArrayChange",
    "DifferenceDocument",
    "PairChange",
    "ReceptorPairChange",
    "TableChange",
    "WeightsChange",
]


class WeightsChange(Document):
    """What happened to a set of matched weights; means are of normalised weights."""

    n: int
    n_changed: int
    n_sign_changed: int
    n_zero_before: int
    n_zero_after: int
    mean_before: float | None
    mean_after: float | None
    relative_change: float | None
    """|after - before| / |before| (L2 norms)."""
    correlation: float | None
    """Pearson's, of the weights before and after."""


class PairChange(WeightsChange):
    """The same of the synapses between two cell classes."""

    source: str
    target: str


class ReceptorPairChange(PairChange):
    """The same of those of one receptor."""

    receptor: str


class TableChange(Document):
    """How one synapse table differs."""

    n_before: int
    n_after: int
    n_only_before: int
    """Synapses that have no partner in the other network."""
    n_only_after: int
    n_delay_changed: int
    same_wiring: bool
    same_weight_multiset: bool
    """Whether the weights are the same, be it on other synapses."""
    equal: bool
    weights: WeightsChange
    receptors: dict[str, WeightsChange]
    class_pairs: list[PairChange]
    class_pair_receptors: list[ReceptorPairChange]
    examples: list[str]


class ArrayChange(Document):
    """How an array other than the synapses' differs."""

    array: str
    n: int
    n_changed: int
    max_relative_change: float | None
    note: str


class DifferenceDocument(Document):
    """How two networks differ."""

    before: str
    """The first file."""
    after: str
    """The second file."""
    equal: bool
    same_network: bool
    """Whether both have the same neurons and wiring, whatever the weights."""
    n_neurons: tuple[int, int]
    n_lgn: tuple[int, int]
    arrays: list[ArrayChange]
    """Those that differ."""
    tables: dict[str, TableChange]
    """Empty where the numbers of neurons differ."""
