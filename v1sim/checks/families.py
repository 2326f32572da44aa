"""All families of checks; importing this module registers every check."""

from v1sim.checks import (
    baseline,
    checkpoint,
    connectivity,
    dpointnet,
    dynamics,
    patterns,
    provenance,
    signature,
    sonata,
    structure,
    training,
    units,
    values,
)

__all__ = [
    "baseline",
    "checkpoint",
    "connectivity",
    "dpointnet",
    "dynamics",
    "patterns",
    "provenance",
    "signature",
    "sonata",
    "structure",
    "training",
    "units",
    "values",
]
