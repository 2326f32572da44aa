"""Input that is read, checked and computed for one run alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from v1sim import guard
from v1sim.config import RunConfig
from v1sim.inputs.protocol import fed, policy_of
from v1sim.model import NetworkModel
from v1sim.sources import open_network
from v1sim.sources.column import open_column
from v1sim.sources.hdf5 import write_network
from v1sim.stimulus.base import Stimulus

__all__ = ["NETWORK_FILE", "FreshInput"]

#: Name of a built-in column's file in the folder of its run.
NETWORK_FILE = "network.h5"


@dataclass(frozen=True)
class FreshInput:
    """Everything made now.

    Parameters
    ----------
    command : str
        The command line, for the provenance of a built-in column.
    folder : Path, optional
        Where the file of a built-in column is left; by default nowhere.
    called : Path, optional
        What the folder will be called in the end, as reports name it; by default as it is.
    """

    command: str
    folder: Path | None = None
    called: Path | None = None

    def network(self, config: RunConfig) -> NetworkModel:
        """The configured network; a built-in column, as it is simulated, is left in a file."""
        if isinstance(config.network, Path):
            return open_network(config.network)
        network = open_column(config.network.built_in, command=self.command)
        if self.folder is None:
            return network
        known_as = (self.called or self.folder) / NETWORK_FILE
        return write_network(network, self.folder / NETWORK_FILE, known_as=known_as)

    def admit(self, config: RunConfig, network: NetworkModel) -> guard.CheckedNetwork:
        """The network, through all checks."""
        return guard.admit(network, policy_of(config))

    def stimulus(self, config: RunConfig, network: NetworkModel) -> Stimulus:
        """The stimulus, computed when it is asked for."""
        return fed(config.stimulus.made_for(network), config, network)
