"""Nothing is shown: every source population, the LGN too, sends what ``inputs`` says."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.config_section import Count, Positive
from v1sim.errors import StimulusError
from v1sim.model import NetworkModel, Presentation
from v1sim.stimulus.base import Stimulus, StimulusConfig
from v1sim.stimulus.spikes import LgnSpikes
from v1sim.stimulus.trials import repeated_trials
from v1sim.units import MODEL_STEP_MS

__all__ = ["GivenSpikesByPopulation"]


class GivenSpikesByPopulation(StimulusConfig):
    """Spikes that are given by population, under the key ``inputs`` of the configuration."""

    kind: Literal["given_spikes"]
    duration_ms: Positive
    trials: Count = 1

    def made_for(self, network: NetworkModel) -> Stimulus:
        """Trials in which nothing is shown."""
        schedule = repeated_trials(
            [{}],
            repeats=self.trials,
            duration_ms=self.duration_ms,
            window_ms=(0.0, self.duration_ms),
            shown=[[Presentation(0.0, self.duration_ms, "spikes")]],
            where="given_spikes",
        )
        return _Given(network.lgn.size, schedule)


class _Given(Stimulus):
    """The LGN sends what its feed says."""

    feeds_lgn = True

    def input(
        self, trial: int, seed: int, dt_ms: float = MODEL_STEP_MS, first_step: int = 0
    ) -> LgnSpikes:
        """The given spikes of the LGN."""
        feed = None if self.lgn is None else self.feeds.get(self.lgn)
        if feed is None and not self.n_lgn:
            return LgnSpikes.none()
        if feed is None:
            raise StimulusError(
                f"nothing says what the cells of {self.lgn or 'the LGN'} send",
                where="inputs",
                expected=f"spikes for them, or inputs.{self.lgn or 'NAME'}: silent",
            )
        n_steps = round(self.trials[trial].duration_ms / dt_ms)
        return feed.spikes(trial, seed, dt_ms, first_step, n_steps)

    def strength(self, trial: int) -> NDArray[np.float32]:
        """1 where there is a spike, or several."""
        spikes = self.input(trial, 0, self.dt_ms)
        certain = np.zeros((self.n_steps(trial), self.n_lgn), dtype=np.float32)
        certain[spikes.step, spikes.source] = 1
        return certain
