"""Refusals of what DPointNet loses, as findings: no network is left to be checked."""

from __future__ import annotations

from v1sim.errors import NetworkFileError
from v1sim.model import Finding, Severity

__all__ = ["refusal"]


def refusal(
    name: str, seen: str, *, where: str, expected: str, hint: str, n: int, total: int
) -> NetworkFileError:
    """The error about something that is lost, with a finding of its name.

    Parameters
    ----------
    name : str
        "dpointnet.lost_edges", "dpointnet.basis_weights".
    seen, where, expected, hint : str
        See `v1sim.errors.V1simError`.
    n, total : int
        How many of how many are lost.
    """
    finding = Finding(name, Severity.ERROR, where, seen, hint, n_bad=n, n_seen=total)
    return NetworkFileError(seen, where=where, expected=expected, hint=hint, findings=(finding,))
