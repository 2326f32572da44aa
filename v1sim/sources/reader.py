"""What the door asks of a reader of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from v1sim.model import NetworkModel

__all__ = ["Reader"]


class Reader(Protocol):
    """Reads networks of one format.

    ``format`` is its name in `v1sim.model.SourceFile`, ``reads`` says for people what it
    reads ("a network in HDF5").
    """

    format: str
    reads: str

    def recognises(self, path: Path) -> bool:
        """Whether what is at ``path``, which exists, is for this reader: a quick look."""
        ...

    def read(self, path: Path) -> NetworkModel:
        """The network, as it is there: nothing converted, nothing judged.

        Raises
        ------
        NetworkFileError
            If it cannot become a network at all; ``findings`` name every problem.
        """
        ...
