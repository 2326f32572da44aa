"""All families of checks; importing this module registers every check."""

from v1sim.checks import provenance, structure, training, units, values

__all__ = ["provenance", "structure", "training", "units", "values"]
