"""Stimuli whose spikes are drawn, step by step, from probabilities.

- `DrawnStimulus`: the base of those that make their probabilities when they are shown
- `FixedProbabilities`: probabilities that are there as arrays
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import StimulusError
from v1sim.model import LgnCellTable
from v1sim.stimulus.base import Stimulus
from v1sim.stimulus.spikes import LgnInput, draw_spikes, in_shorter_steps, refuse_other_step
from v1sim.stimulus.trials import Schedule
from v1sim.units import MODEL_STEP_MS

__all__ = ["DrawnStimulus", "FixedProbabilities"]

F32 = NDArray[np.float32]


class DrawnStimulus(Stimulus):
    """Spikes drawn from the probabilities of each stimulus, anew in each of its trials.

    Where it is analog, the probabilities themselves enter the synapses, as numbers.
    """

    def __init__(
        self,
        n_lgn: int,
        schedule: Schedule,
        *,
        cells: LgnCellTable | None = None,
        analog: bool = False,
    ) -> None:
        super().__init__(n_lgn, schedule, cells=cells, analog=analog)
        # Repeats follow each other, so one stimulus at a time is enough; all of
        # a 17,400-cell experiment would be gigabytes.
        self._latest = lru_cache(maxsize=1)(self.load)

    @abstractmethod
    def load(self, stimulus: int) -> F32:
        """Make the probability of a spike in each step of a stimulus, shape (steps, n_lgn)."""

    def key(self, stimulus: int) -> str | None:
        """Equal for equal probabilities, where they are worth keeping; None where they are not."""
        return None

    def prepare(self) -> None:
        """Make the first trial's probabilities."""
        self.strength(0)

    def input(
        self, trial: int, seed: int, dt_ms: float = MODEL_STEP_MS, first_step: int = 0
    ) -> LgnInput:
        """Spikes of one trial, drawn with its probabilities, or the numbers."""
        strength = self.strength(trial)
        if self.analog:
            refuse_other_step(dt_ms, self.dt_ms)
            return strength
        spikes = draw_spikes(strength, seed, trial, first_step)
        return in_shorter_steps(spikes, self.dt_ms, dt_ms, seed, trial)

    def strength(self, trial: int) -> F32:
        """Probability of a spike of each LGN cell in each step of one trial.

        Returns
        -------
        float32 array, shape (steps, n_lgn), read-only
            Consecutive trials of one stimulus share it.

        Raises
        ------
        StimulusError
            If the stimulus gives another shape than its trial needs.
        """
        values = self._latest(self.schedule.stimulus_of_trial[trial])
        expected = (self.n_steps(trial), self.n_lgn)
        if values.shape != expected:
            raise StimulusError(
                f"probabilities of shape {values.shape}",
                where=f"trial {trial}",
                expected=f"{expected}, that is (steps, LGN cells)",
            )
        values.flags.writeable = False
        return values


class FixedProbabilities(DrawnStimulus):
    """Probabilities that are there: one array (steps, n_lgn) a stimulus."""

    def __init__(self, n_lgn: int, schedule: Schedule, probabilities: Sequence[F32]) -> None:
        super().__init__(n_lgn, schedule)
        self._probabilities = probabilities

    def load(self, stimulus: int) -> F32:
        """The array of a stimulus."""
        return self._probabilities[stimulus].view()
