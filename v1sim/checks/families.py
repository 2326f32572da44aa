"""All families of checks; importing this module registers every check."""

from v1sim.checks import patterns, provenance, structure, training, units, values

__all__ = ["patterns", "provenance", "structure", "training", "units", "values"]
