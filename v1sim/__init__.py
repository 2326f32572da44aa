"""v1sim: guarded simulation of the Billeh/Allen mouse V1 model through PyNN on NEST."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("v1sim")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
