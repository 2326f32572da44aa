"""What every stimulus gives: trials, and the LGN spike probabilities of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import StimulusError
from v1sim.model import Trial

__all__ = ["Presentation"]

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Presentation:
    """Trials of one run and where their LGN spike probabilities come from.

    Parameters
    ----------
    n_lgn : int
        LGN cells.
    dt_ms : float
        Step of the probabilities.
    trials : tuple of Trial
        In order of presentation; ``trials[i].index == i``.
    stimulus_of_trial : tuple of int
        Which distinct stimulus each trial shows: repeats share one.
    load : callable
        ``load(stimulus) -> f4[steps, n_lgn]``, the probability of a spike in each step.
    key : callable, optional
        ``key(stimulus) -> str``, equal for equal probabilities, of stimuli that are worth
        keeping; None for those that are read from a file anyway.
    """

    n_lgn: int
    dt_ms: float
    trials: tuple[Trial, ...]
    stimulus_of_trial: tuple[int, ...]
    load: Callable[[int], F32] = field(repr=False)
    key: Callable[[int], str] | None = field(default=None, repr=False)
    _cached_load: Callable[[int], F32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.trials) != len(self.stimulus_of_trial):
            msg = f"{len(self.trials)} trials, but {len(self.stimulus_of_trial)} stimuli for them"
            raise ValueError(msg)
        # Repeats follow each other, so one stimulus at a time is enough; all of
        # a 17,400-cell experiment would be gigabytes.
        object.__setattr__(self, "_cached_load", lru_cache(maxsize=1)(self.load))

    def n_steps(self, trial_index: int) -> int:
        """Steps of one trial."""
        return round(self.trials[trial_index].duration_ms / self.dt_ms)

    def probability(self, trial_index: int) -> F32:
        """Probability of a spike of each LGN cell in each step of one trial.

        Parameters
        ----------
        trial_index : int
            Index into ``trials``.

        Returns
        -------
        float32 array, shape (steps, n_lgn), read-only
            Consecutive trials of one stimulus share it.

        Raises
        ------
        StimulusError
            If the stimulus gives another shape than its trial needs.
        """
        values = self._cached_load(self.stimulus_of_trial[trial_index])
        expected = (self.n_steps(trial_index), self.n_lgn)
        if values.shape != expected:
            raise StimulusError(
                f"probabilities of shape {values.shape}",
                where=f"trial {trial_index}",
                expected=f"{expected}, that is (steps, LGN cells)",
            )
        values.flags.writeable = False
        return values
