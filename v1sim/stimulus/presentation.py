"""What every stimulus gives: trials, and the LGN spike probabilities of each.

- `Presentation`: trials and probabilities
- `repeated_trials`: the trials of several stimuli, each shown several times
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import StimulusError
from v1sim.model import LgnCellTable, Trial

__all__ = ["Presentation", "repeated_trials"]

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
    picture : callable, optional
        ``picture(stimulus, step) -> f4[height, width]``, what is on the screen, -1 to 1.
    cells : LgnCellTable, optional
        The LGN cells, where it is known which they are.
    analog : bool
        Whether the probabilities themselves enter the synapses, as numbers, in place of spikes.
    remarks : callable, optional
        ``remarks() -> tuple of str``, what is to be known of the probabilities given so far.
    """

    n_lgn: int
    dt_ms: float
    trials: tuple[Trial, ...]
    stimulus_of_trial: tuple[int, ...]
    load: Callable[[int], F32] = field(repr=False)
    key: Callable[[int], str] | None = field(default=None, repr=False)
    picture: Callable[[int, int], F32] | None = field(default=None, repr=False)
    cells: LgnCellTable | None = field(default=None, repr=False)
    analog: bool = False
    remarks: Callable[[], tuple[str, ...]] = field(default=tuple, repr=False)
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


def repeated_trials(
    stimuli: Sequence[Mapping[str, float | int | str]],
    *,
    repeats: int,
    duration_ms: float,
    window_ms: tuple[float, float],
    where: str,
) -> tuple[tuple[Trial, ...], tuple[int, ...]]:
    """Trials of stimuli that are equally long: all repeats of one, then those of the next.

    Trials are independent of each other, so their order has no effect.

    Parameters
    ----------
    stimuli : sequence of mapping
        What each stimulus is, in plain values; its trials carry that and ``repeat``.
    repeats : int
        Trials of each.
    duration_ms : float
        Of one trial.
    window_ms : (float, float)
        Part of each trial that analyses read.
    where : str
        For errors.

    Returns
    -------
    trials, stimulus_of_trial
        As `Presentation` takes them.

    Raises
    ------
    StimulusError
        If there is nothing to show, or the window does not lie within a trial.
    """
    if repeats < 1 or not stimuli:
        seen = f"{len(stimuli)} stimuli, {repeats} trials of each"
        raise StimulusError(seen, where=where, expected="at least one of each")
    if not 0 <= window_ms[0] < window_ms[1] <= duration_ms:
        seen = f"the window is {window_ms[0]:g} to {window_ms[1]:g} ms"
        raise StimulusError(seen, where=where, expected=f"within 0..{duration_ms:g} ms")
    stimulus_of_trial = tuple(i for i in range(len(stimuli)) for _ in range(repeats))
    trials = tuple(
        Trial(
            index=index,
            start_ms=index * duration_ms,
            duration_ms=duration_ms,
            window_ms=window_ms,
            stimulus={**stimuli[stimulus], "repeat": index % repeats},
        )
        for index, stimulus in enumerate(stimulus_of_trial)
    )
    return trials, stimulus_of_trial
