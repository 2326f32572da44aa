"""Benchmarks: what v1sim costs, in ratios to bare NEST. ``python -m benchmarks`` runs all."""
