"""Delays as DPointNet takes them: clipped, then rounded half to even, in steps of its cell.

The rule is that of ``GLIF3Cell.__init__`` in BMTK 1.2.0. Delays are single precision there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["DelaySteps", "delay_limit_ms", "delay_steps"]


@dataclass(frozen=True, eq=False)
class DelaySteps:
    """Delays in steps, and how they came about.

    Parameters
    ----------
    steps : int32 array, shape (s,)
        Delay of each edge in steps, at least 1 where DPointNet can build the network at all.
    limit_ms : int
        The longest delay, ms.
    clipped : bool array, shape (s,)
        Delays above the limit.
    raised : bool array, shape (s,)
        Delays below one step.
    rounded : bool array, shape (s,)
        Other delays that are no whole number of steps.
    to_even : bool array, shape (s,)
        Those of them that lie in the middle between two steps and went down to the even one.
    """

    steps: NDArray[np.int32]
    limit_ms: int
    clipped: NDArray[np.bool_]
    raised: NDArray[np.bool_]
    rounded: NDArray[np.bool_]
    to_even: NDArray[np.bool_]


def delay_limit_ms(delay_ms: ArrayLike, max_delay_ms: float | None) -> int:
    """The longest delay that DPointNet keeps spikes for, ms.

    Parameters
    ----------
    delay_ms : array
        Delays of all recurrent edges; one at least.
    max_delay_ms : float, optional
        ``max_delay`` of its configuration; none, or one of 0 or less, is no limit.
    """
    longest = np.max(np.asarray(delay_ms, dtype=np.float32))
    if max_delay_ms is None or max_delay_ms <= 0:
        return int(np.round(longest))
    return int(np.round(np.min([longest, max_delay_ms])))


def delay_steps(delay_ms: ArrayLike, step_ms: float, max_delay_ms: float | None) -> DelaySteps:
    """Delays of recurrent edges in steps.

    Parameters
    ----------
    delay_ms : array, shape (s,)
        As the edges or their types have them.
    step_ms : float
        The cell's ``dt``.
    max_delay_ms : float, optional
        See `delay_limit_ms`.
    """
    delay = np.asarray(delay_ms, dtype=np.float32)
    limit_ms = delay_limit_ms(delay, max_delay_ms)
    in_steps = np.clip(delay, step_ms, limit_ms) / step_ms
    steps = np.round(in_steps).astype(np.int32)
    clipped, raised = delay > limit_ms, delay < step_ms
    rounded = ~clipped & ~raised & (in_steps != steps)
    return DelaySteps(
        steps, limit_ms, clipped, raised, rounded, rounded & (in_steps - steps == np.float32(0.5))
    )
