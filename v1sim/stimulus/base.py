"""What every kind of stimulus is: a part of the configuration, and what that makes.

- `StimulusConfig`: the keys of one kind; `StimulusConfig.made_for` makes its `Stimulus`
- `Stimulus`: what a run is shown, trial by trial

A kind is one module of `v1sim.stimulus.kinds`. The classes that most of them make lie in
`v1sim.stimulus.drawn` (spikes drawn from probabilities) and `v1sim.stimulus.given` (spikes
or numbers that are there).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from v1sim.config_section import Count, Section
from v1sim.model import LgnCellTable, NetworkModel, Trial
from v1sim.stimulus.spikes import LgnInput
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
