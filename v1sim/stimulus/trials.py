"""The trials of a run, and which of its stimuli each shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from v1sim.errors import StimulusError
from v1sim.model import Presentation, Trial

__all__ = ["Schedule", "repeated_trials"]


@dataclass(frozen=True)
class Schedule:
    """Trials in order of presentation, ``trials[i].index == i``, and what each shows.

    ``stimulus_of_trial[i]`` is the number of the stimulus of trial i: repeats share one.
    """

    trials: tuple[Trial, ...]
    stimulus_of_trial: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.trials) != len(self.stimulus_of_trial):
            msg = f"{len(self.trials)} trials, but {len(self.stimulus_of_trial)} stimuli for them"
            raise ValueError(msg)

    @property
    def duration_ms(self) -> float:
        """Of all trials together."""
        return sum(trial.duration_ms for trial in self.trials)


def repeated_trials(
    stimuli: Sequence[Mapping[str, float | int | str]],
    *,
    repeats: int,
    duration_ms: float,
    window_ms: tuple[float, float],
    where: str,
    shown: Sequence[Sequence[Presentation]] = (),
) -> Schedule:
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
    shown : sequence of sequences of Presentation, optional
        What is shown when, for each stimulus.

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
            presentations=tuple(shown[stimulus]) if shown else (),
        )
        for index, stimulus in enumerate(stimulus_of_trial)
    )
    return Schedule(trials, stimulus_of_trial)
