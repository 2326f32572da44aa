"""What the LGN sends in one trial, and spikes drawn step by step from probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import StimulusError
from v1sim.stimulus.random_streams import stream

__all__ = [
    "UNIFORM_STEP",
    "LgnInput",
    "LgnSpikeTimes",
    "LgnSpikes",
    "draw_spikes",
    "in_shorter_steps",
    "probability_of_rate",
    "refuse_other_step",
]

#: NumPy's float32 uniform numbers are the multiples of this in [0, 1).
UNIFORM_STEP = 2.0**-24
#: How far below a whole step a time may lie that means it, in steps.
_WITHIN_ROUNDING = 1e-6
#: Values drawn at a time: 16 MiB of uniform numbers.
_BLOCK = 1 << 22


@dataclass(frozen=True, eq=False)
class LgnSpikes:
    """Spikes of one trial, sorted by step, then source: ``step`` and ``source``, shape (q,).

    A source that sends several spikes in a step stands there as often.
    """

    step: NDArray[np.int32]
    source: NDArray[np.int32]

    def __post_init__(self) -> None:
        self.step.flags.writeable = False
        self.source.flags.writeable = False

    def __len__(self) -> int:
        return len(self.step)

    @classmethod
    def none(cls) -> LgnSpikes:
        """No spikes."""
        return cls(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32))


@dataclass(frozen=True, eq=False)
class LgnSpikeTimes:
    """Spikes of one trial at their times: ``time_ms`` and ``source``, shape (q,), in any order."""

    time_ms: NDArray[np.floating]
    source: NDArray[np.integer]

    def in_steps(self, dt_ms: float) -> LgnSpikes:
        """Each spike in the step that its time lies in.

        A time that is a whole step to within rounding is that step.
        """
        step = np.floor(self.time_ms / dt_ms + _WITHIN_ROUNDING).astype(np.int32)
        order = np.lexsort((self.source, step))
        return LgnSpikes(step[order], self.source[order].astype(np.int32))


#: Of one trial: the LGN's spikes, or the numbers of an analog input, shape (steps, n_lgn).
LgnInput = LgnSpikes | NDArray[np.float32]


def probability_of_rate(rate_hz: NDArray[np.floating], dt_ms: float) -> NDArray[np.float32]:
    """Probability of a spike within a step, ``1 - exp(-rate dt)``, of a Poisson process."""
    exponent = np.asarray(rate_hz, dtype=np.float32) * np.float32(-dt_ms / 1000.0)
    probability: NDArray[np.float32] = -np.expm1(exponent)
    return probability


def draw_spikes(
    probability: NDArray[np.floating], seed: int, trial: int, first_step: int = 0
) -> LgnSpikes:
    """Draw the spikes of one trial: every step and every source independently.

    The same seed and trial always give the same spikes, whatever else was drawn.

    Parameters
    ----------
    probability : float array, shape (steps, n_sources)
        Probability of a spike in each step, 0..1.
    seed : int
        Seed of the run.
    trial : int
        Index of the trial.
    first_step : int, optional
        Step of the trial's random stream with which to begin: that of a trial that goes on.

    Raises
    ------
    StimulusError
        If a value is not a probability.
    """
    n_steps, n_sources = probability.shape
    rng = stream(seed, "lgn spikes", trial)
    rows = max(1, _BLOCK // max(1, n_sources))
    for start in range(0, first_step, rows):
        rng.random((min(rows, first_step - start), n_sources), dtype=np.float32)
    parts = [(np.empty(0, np.int32), np.empty(0, np.int32))]
    for start in range(0, n_steps, rows):
        block = probability[start : start + rows]
        if block.size and not (block.min() >= 0 and block.max() <= 1):  # NaN fails both
            raise StimulusError(
                f"values from {block.min()} to {block.max()} where spikes are drawn",
                where=f"LGN probabilities of trial {trial}",
                expected="probabilities per step, 0 to 1",
                hint="rates in Hz become probabilities by 1 - exp(-rate dt)",
            )
        step, source = np.nonzero(rng.random(block.shape, dtype=np.float32) < block)
        parts.append(((step + start).astype(np.int32), source.astype(np.int32)))
    steps, sources = zip(*parts, strict=True)
    return LgnSpikes(np.concatenate(steps), np.concatenate(sources))


def in_shorter_steps(
    spikes: LgnSpikes, given_ms: float, dt_ms: float, seed: int, trial: int
) -> LgnSpikes:
    """Spikes that were drawn in steps of ``given_ms``, each anywhere within its step.

    There are as many as were drawn, so that probabilities keep their meaning in any step.

    Raises
    ------
    StimulusError
        If the step of the simulation does not divide that of the spikes.
    """
    if dt_ms == given_ms:
        return spikes
    n = round(given_ms / dt_ms)
    if n < 1 or abs(given_ms / dt_ms - n) > _WITHIN_ROUNDING * n:
        raise _other_step(dt_ms, given_ms, f"{given_ms:g} ms divided by a whole number")
    within = stream(seed, "lgn spikes within their step", trial).integers(0, n, len(spikes))
    step = spikes.step.astype(np.int64) * n + within
    order = np.lexsort((spikes.source, step))
    return LgnSpikes(step[order].astype(np.int32), spikes.source[order])


def refuse_other_step(dt_ms: float, given_ms: float) -> None:
    """Numbers that enter the synapses step by step, in a simulation of another step.

    Raises
    ------
    StimulusError
        Always, unless the steps are equal.
    """
    if dt_ms != given_ms:
        raise _other_step(dt_ms, given_ms, f"simulation.dt_ms: {given_ms:g}")


def _other_step(dt_ms: float, given_ms: float, expected: str) -> StimulusError:
    return StimulusError(
        f"the input is given in steps of {given_ms:g} ms, the simulation takes {dt_ms:g} ms",
        where="simulation.dt_ms",
        expected=expected,
    )
