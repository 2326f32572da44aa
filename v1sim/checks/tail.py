"""How large the largest of many values is expected to be, if their tail goes on as it is."""

from __future__ import annotations

from statistics import NormalDist

__all__ = ["MIN_TAIL", "TAIL", "expected_largest"]

#: The quantiles that a tail is continued from, as that of a lognormal distribution.
TAIL = (0.99, 0.999)
#: Values from which on there is a tail to speak of.
MIN_TAIL = 1000


def expected_largest(low: float, high: float, n: int) -> float:
    """The largest of ``n`` values whose quantiles at `TAIL` are ``low`` and ``high``."""
    z_low, z_high, z_end = (NormalDist().inv_cdf(p) for p in (*TAIL, 1 - 0.5 / n))
    return high * (high / low) ** max((z_end - z_high) / (z_high - z_low), 0.0)
