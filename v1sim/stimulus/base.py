"""What every kind of stimulus is: a part of the configuration, and what that makes.

- `StimulusConfig`: the keys of one kind; `StimulusConfig.made_for` makes its `Stimulus`
- `Stimulus`: what a run is shown, trial by trial

A kind is one module of `v1sim.stimulus.kinds`. The classes that most of them make lie in
`v1sim.stimulus.drawn` (spikes drawn from probabilities) and `v1sim.stimulus.given` (spikes
or numbers that are there).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from v1sim.config_section import Count, Section
from v1sim.errors import StimulusError
from v1sim.model import LgnCellTable, NetworkModel, Trial
from v1sim.stimulus.feeds import AnyFeed, Feed, feeds_of
from v1sim.stimulus.spikes import LgnInput, LgnSpikes
from v1sim.stimulus.trials import Schedule
from v1sim.units import MODEL_STEP_MS

__all__ = ["Stimulus", "StimulusConfig"]

F32 = NDArray[np.float32]


class Stimulus(ABC):
    """What a run is shown: its trials, and what the LGN sends in each.

    A run shows one or more *stimuli*, numbered from 0, each in one or more trials
    (`Schedule.stimulus_of_trial`).

    Parameters
    ----------
    n_lgn : int
        Number of LGN cells.
    schedule : Schedule
        Trials in order of presentation.
    cells : LgnCellTable, optional
        The LGN cells, where it is known which they are.
    analog : bool
        Whether numbers enter the synapses, in place of spikes.
    """

    def __init__(
        self,
        n_lgn: int,
        schedule: Schedule,
        *,
        cells: LgnCellTable | None = None,
        analog: bool = False,
    ) -> None:
        self.n_lgn = n_lgn
        #: Of what is shown; a simulation may take shorter steps.
        self.dt_ms = MODEL_STEP_MS
        self.schedule = schedule
        self.cells = cells
        self.analog = analog
        #: What source populations send, by name; those of the LGN are there where nothing is shown.
        self.feeds: Mapping[str, Feed] = MappingProxyType({})
        #: Name of the LGN's population, known when populations are fed.
        self.lgn: str | None = None

    #: Whether the LGN sends what ``feeds`` say, in place of what is shown.
    feeds_lgn = False

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Trials in order of presentation."""
        return self.schedule.trials

    def n_steps(self, trial: int) -> int:
        """Steps of one trial."""
        return round(self.trials[trial].duration_ms / self.dt_ms)

    def prepare(self) -> None:
        """Make what the first trial needs, so that what is wrong with it shows early.

        Raises
        ------
        StimulusError
            If the stimulus cannot be shown.
        """
        self.input(0, 0)

    @abstractmethod
    def input(
        self, trial: int, seed: int, dt_ms: float = MODEL_STEP_MS, first_step: int = 0
    ) -> LgnInput:
        """What enters the LGN's synapses in one trial, in steps of ``dt_ms``.

        The same trial and seed give the same, whatever else was asked for. What is drawn begins
        with ``first_step`` of the trial's random stream: that of a trial that goes on from a
        saved state. Spikes in shorter
        steps are those of whole milliseconds, somewhere within theirs.

        Raises
        ------
        StimulusError
            If the stimulus cannot be shown, or not in such steps.
        """

    def inputs(
        self, trial: int, seed: int, dt_ms: float = MODEL_STEP_MS, first_step: int = 0
    ) -> Mapping[str, LgnSpikes]:
        """What the source populations other than the LGN send in one trial, by name."""
        n_steps = round(self.trials[trial].duration_ms / dt_ms)
        return {
            name: feed.spikes(trial, seed, dt_ms, first_step, n_steps)
            for name, feed in self.feeds.items()
            if name != self.lgn
        }

    def feed(self, inputs: Mapping[str, AnyFeed], network: NetworkModel) -> None:
        """Take what a configuration says of source populations.

        Raises
        ------
        StimulusError
            If a population or its spikes cannot be used, or the LGN is fed beside the stimulus.
        """
        self.lgn = next(
            (name for name, one in network.source_populations.items() if one is network.lgn), None
        )
        if self.lgn in inputs and not self.feeds_lgn:
            raise StimulusError(
                f"{self.lgn} is the population of LGN cells, which the stimulus feeds",
                where=f"inputs.{self.lgn}",
                expected="one of the two: stimulus.kind: given_spikes where all spikes are given",
            )
        self.feeds = feeds_of(inputs, network, [trial.duration_ms for trial in self.trials])

    @abstractmethod
    def strength(self, trial: int) -> F32:
        """How strong the input of one trial is, shape (steps, n_lgn): for figures and files.

        The probability of a spike in each step (1 where one is given), or the numbers of an
        analog input.
        """

    def picture(self, stimulus: int, step: int) -> F32 | None:
        """What is on the screen, f4[height, width] from -1 to 1; None where nothing is known."""
        return None

    def remarks(self) -> tuple[str, ...]:
        """What is to be known of the input given so far, in sentences."""
        return ()

    def feed_remarks(self) -> tuple[str, ...]:
        """What is to be known of what source populations send, in sentences."""
        return tuple(text for feed in self.feeds.values() for text in feed.remarks())


class StimulusConfig(Section):
    """The keys of a stimulus. Each kind adds its own ``kind: Literal["..."]``."""

    trials: Count = 10

    @abstractmethod
    def made_for(self, network: NetworkModel) -> Stimulus:
        """The stimulus as the LGN cells of a network see it.

        Raises
        ------
        StimulusError
            If it does not fit the network's LGN cells, or a file cannot be used.
        """
