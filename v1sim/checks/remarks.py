"""Checks that hand on what a reader saw in a network's source.

A reader notes what is odd with counts and rows, as it is lost once there is a network
(`v1sim.model.SourceRemark`). Each kind of remark is a check, so that it is waived, documented and
reported as every other finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from v1sim.checks.registry import CheckFunction, Context, Observation, check
from v1sim.sources.sonata.remarks import RemarkKind

__all__ = ["Rule", "register_remarks"]


class Rule(NamedTuple):
    """What holds of good files, and what was seen where it does not."""

    rule: str
    calibration: str


def register_remarks(kinds: Mapping[str, RemarkKind], rules: Mapping[str, Rule]) -> None:
    """Register a check for each kind of remark, with the rule of its name."""
    for name, kind in kinds.items():
        rule = rules.get(name, Rule(kind.reason, "Exact."))
        check(
            name, severity=kind.severity, reason=kind.reason, calibration=rule.calibration
        )(_yields_remarks(name, rule.rule))  # fmt: skip


def _yields_remarks(name: str, rule: str) -> CheckFunction:
    def function(context: Context) -> Iterator[Observation]:
        for remark in context.network.remarks:
            if remark.check == name:
                yield Observation(
                    remark.where,
                    remark.message,
                    remark.hint,
                    n_bad=remark.n,
                    n_seen=remark.total,
                    examples=remark.examples,
                )

    function.__name__ = function.__qualname__ = name.partition(".")[2]
    function.__doc__ = rule
    return function
