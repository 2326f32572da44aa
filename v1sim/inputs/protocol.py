"""What a run asks of its input, however that was made."""

from __future__ import annotations

from typing import Protocol

from v1sim.config import RunConfig
from v1sim.guard import CheckedNetwork
from v1sim.model import NetworkModel
from v1sim.stimulus.base import Stimulus
from v1sim.verdict import Policy

__all__ = ["RunInput", "fed", "policy_of"]


class RunInput(Protocol):
    """Gives a run its network, lets it through the gate, and gives its stimulus."""

    def network(self, config: RunConfig) -> NetworkModel:
        """The configured network, not checked yet.

        Raises
        ------
        NetworkFileError
            If it cannot be read.
        """

    def admit(self, config: RunConfig, network: NetworkModel) -> CheckedNetwork:
        """The network, checked for what the configuration requires.

        Raises
        ------
        GuardRefusal
            If it is refused.
        InputError
            If it cannot be checked.
        """

    def stimulus(self, config: RunConfig, network: NetworkModel) -> Stimulus:
        """The configured stimulus, for the network's LGN cells.

        Raises
        ------
        StimulusError
            If it cannot be made.
        """


def policy_of(config: RunConfig) -> Policy:
    """What a run requires of its network."""
    require = config.require
    return Policy(
        require=require if isinstance(require, str) else require.of_arrays(),
        strength=config.strength,
        waivers=config.waive,
        dt_ms=None if config.simulation.dt_ms == "auto" else config.simulation.dt_ms,
        checkpoint=config.checkpoint,
        baseline=config.baseline,
        minimum=config.minimum.of_training(),
        trusted_keys=config.trusted_keys,
        dynamics=config.simulation.dynamics,
        require_dynamics=config.require_dynamics,
    )


def fed(stimulus: Stimulus, config: RunConfig, network: NetworkModel) -> Stimulus:
    """The stimulus with what the configuration gives to source populations.

    Raises
    ------
    StimulusError
        If that cannot be used.
    """
    stimulus.feed(config.inputs, network)
    return stimulus
