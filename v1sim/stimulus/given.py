"""Stimuli that are given as what the LGN sends: spikes, or numbers in place of spikes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from v1sim.stimulus.base import Stimulus
from v1sim.stimulus.spikes import LgnSpikes, LgnSpikeTimes, refuse_other_step
from v1sim.stimulus.trials import Schedule
from v1sim.units import MODEL_STEP_MS

__all__ = ["GivenSpikes", "GivenValues"]

F32 = NDArray[np.float32]


class GivenSpikes(Stimulus):
    """Spikes that are known, whatever the seed: one `LgnSpikeTimes` a stimulus."""

    def __init__(self, n_lgn: int, schedule: Schedule, spikes: Sequence[LgnSpikeTimes]) -> None:
        super().__init__(n_lgn, schedule)
        self._spikes = spikes

    def input(
        self, trial: int, seed: int, dt_ms: float = MODEL_STEP_MS, first_step: int = 0
    ) -> LgnSpikes:
        """The trial's spikes, each in the step that its time lies in."""
        return self._spikes[self.schedule.stimulus_of_trial[trial]].in_steps(dt_ms)

    def strength(self, trial: int) -> F32:
        """1 where there is a spike, or several."""
        spikes = self.input(trial, 0, self.dt_ms)
        certain = np.zeros((self.n_steps(trial), self.n_lgn), dtype=np.float32)
        certain[spikes.step, spikes.source] = 1
        return certain


class GivenValues(Stimulus):
    """Numbers that are known: one array (steps, n_lgn) a stimulus."""

    def __init__(self, n_lgn: int, schedule: Schedule, values: Sequence[F32]) -> None:
        super().__init__(n_lgn, schedule, analog=True)
        self._values = values

    def input(
        self, trial: int, seed: int, dt_ms: float = MODEL_STEP_MS, first_step: int = 0
    ) -> F32:
        """The trial's numbers."""
        refuse_other_step(dt_ms, self.dt_ms)
        return self.strength(trial)

    def strength(self, trial: int) -> F32:
        """The trial's numbers."""
        return self._values[self.schedule.stimulus_of_trial[trial]]
