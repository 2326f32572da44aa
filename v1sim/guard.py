"""The gate: runs every check, has the weights judged under a policy, makes `CheckedNetwork`.

What the weights are is `v1sim.verdict`'s to say. `examine` reports, `admit` raises unless the
report passes. Nothing else makes a `CheckedNetwork`, and the simulation accepts nothing else.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from types import MappingProxyType
from typing import Any

from v1sim import __version__
from v1sim.checkpoints.bundle import read_index
from v1sim.checks.registry import CRASHED, SKIPPED, Context, registered_checks, run_checks
from v1sim.checks.statistics import group_statistics
from v1sim.errors import GuardRefusal, NetworkFileError
from v1sim.memory import workers
from v1sim.model import (
    CheckReport,
    Finding,
    NetworkModel,
    Severity,
)
from v1sim.sources import open_network
from v1sim.sources.provenance import network_sha256
from v1sim.verdict import (
    CONTRADICTION,
    FROZEN_INPUT,
    REQUIRED,
    Policy,
    doubts,
    judge,
)

__all__ = [
    "CheckedNetwork",
    "Pass",
    "Policy",
    "admit",
    "admit_by_pass",
    "examination",
    "examine",
]

#: Name of the finding about a waiver that names no check, or one that cannot be waived.
WAIVER = "guard.waiver"
_MAKER = object()


@dataclass(frozen=True, eq=False)
class CheckedNetwork:
    """A network that passed, with the report that says so.

    `admit` makes it, and `admit_by_pass` for a network that `admit` let through before.
    """

    network: NetworkModel
    report: CheckReport
    maker: InitVar[object] = None

    def __post_init__(self, maker: object) -> None:
        if maker is not _MAKER:
            msg = "a CheckedNetwork is made by v1sim.guard.admit only"
            raise TypeError(msg)


def examine(network: NetworkModel, policy: Policy, context: Context | None = None) -> CheckReport:
    """Run every check on a network and judge it.

    What is wrong with the network stands in the report. ``context`` is that of `examination`,
    where it was made before.

    Raises
    ------
    NetworkFileError
        If the baseline cannot be read.
    CheckpointError
        If the checkpoint cannot be used.
    InputError
        If the trusted keys cannot be read, or signatures cannot be verified here.
    """
    context = context or examination(network, policy)
    checks, name_of = registered_checks(), context.name_of
    with workers(1) as pool:  # beside the checks: NumPy frees the lock
        digest = pool.submit(lambda: network_sha256(network, context.array_digests))
        groups = pool.submit(_statistics, network)
        findings = [*_waiver_findings(policy), *run_checks(context, checks)]
    judgement = judge(context, findings, policy)
    names = {*checks, *_OWN} & _waivable()
    waived = {name: why for name, why in policy.waivers.items() if name in names}
    return CheckReport(
        findings=judgement.findings,
        checks_run=tuple(name for name in checks if name not in _left_out(findings)),
        waived=MappingProxyType(waived),
        verdict=judgement.verdict,
        proof=judgement.proof,
        network_sha256=digest.result(),
        network_path=network.source.path,
        require=policy.require,
        doubts=doubts(judgement, policy.require, waived),
        groups=MappingProxyType({name_of(k): held for k, held in groups.result().items()}),
        arrays=MappingProxyType({name_of(k): held for k, held in judgement.arrays.items()}),
    )


def _statistics(network: NetworkModel) -> dict[str, dict[str, Any]]:
    """Statistics of the tables; empty where indices or receptors are out of range."""
    types = network.neurons.cell_type
    usable = not len(types) or int(types.max()) < len(network.cell_types)
    usable = usable and all(column.in_range for column in network.index_columns())
    tables = network.tables_of("recurrent", "lgn", "other")
    for table in tables.values():
        usable = usable and (not len(table) or int(table.receptor.max()) < network.receptors.n)
    if not usable:
        return {}
    return {group: group_statistics(table, network) for group, table in tables.items()}


def examination(network: NetworkModel, policy: Policy) -> Context:
    """What the checks of a network read: it, and the baseline and checkpoint that were named.

    Raises
    ------
    NetworkFileError, CheckpointError, InputError
        As `examine`.
    """
    context = Context(
        network,
        network.step_ms if policy.dt_ms is None else policy.dt_ms,
        baseline=None if policy.baseline is None else open_network(policy.baseline),
        checkpoint_index=None if policy.checkpoint is None else read_index(policy.checkpoint),
        minimum=policy.minimum,
        trusted_keys=policy.trusted_keys,
        dynamics=policy.dynamics,
        require_dynamics=policy.require_dynamics,
    )
    # These raise where checkpoint or trusted keys cannot be used.
    _ = context.checkpoint_if_compared
    _ = context.signature
    return context


def admit(network: NetworkModel, policy: Policy) -> CheckedNetwork:
    """The network, checked.

    Raises
    ------
    GuardRefusal
        If an error stands that no waiver covers; it carries the report.
    """
    report = examine(network, policy)
    if not report.passed:
        raise GuardRefusal(report, hint=report.blocking[0].hint or None)
    return CheckedNetwork(network, report, _MAKER)


@dataclass(frozen=True)
class Pass:
    """That a network passed: `admit_by_pass` lets the same one through without all checks.

    Parameters
    ----------
    version : str
        Version of v1sim that checked it.
    file_sha256 : str
        Of the file that it was read from.
    policy : Policy
        What was required of it.
    report : CheckReport
        What the guards saw.
    """

    version: str
    file_sha256: str
    policy: Policy
    report: CheckReport

    @classmethod
    def of(cls, checked: CheckedNetwork, policy: Policy) -> Pass:
        """The pass of a network that was checked under a policy."""
        return cls(__version__, checked.network.source.sha256, policy, checked.report)


def admit_by_pass(network: NetworkModel, policy: Policy, earlier: Pass) -> CheckedNetwork:
    """The network, by the digests of one that passed before.

    Parameters
    ----------
    network : NetworkModel
        As read from its file now.
    policy : Policy
        What is required of it; must be what was required before.
    earlier : Pass
        Of the same file, policy and version of v1sim.

    Raises
    ------
    NetworkFileError
        If anything differs: the file's bytes, what was read from it, policy or version.
    """
    expected = {
        "v1sim's version": (earlier.version, __version__),
        "the policy": (earlier.policy, policy),
        "the file's sha256": (earlier.file_sha256, network.source.sha256),
        "the network's digest": (earlier.report.network_sha256, network_sha256(network)),
    }
    for what, (before, now) in expected.items():
        if before != now:
            raise NetworkFileError(
                f"this is not what passed the checks: {what} is {now}, was {before}",
                where=network.source.path,
                hint="check it anew: run the batch again",
            )
    if not earlier.report.passed:
        raise GuardRefusal(earlier.report)
    if policy.strength == "signed":  # a pass proves no signature
        return admit(network, policy)
    return CheckedNetwork(network, earlier.report, _MAKER)


#: Findings of the guard itself that can be waived.
_OWN = {REQUIRED, CONTRADICTION, FROZEN_INPUT}


def _waivable() -> set[str]:
    return {name for name, entry in registered_checks().items() if entry.waivable} | _OWN


def _left_out(findings: list[Finding]) -> set[str]:
    return {f.where for f in findings if f.check == SKIPPED}


def _waiver_findings(policy: Policy) -> list[Finding]:
    known = registered_checks()
    found = []
    for name in sorted(set(policy.waivers) - _waivable()):
        message = (
            f"{name} cannot be waived: name the check that crashed"
            if name == CRASHED
            else f"{name} cannot be waived: what it guards would break the simulation itself"
            if name in known
            else f"there is no check named {name!r}"
        )
        hint = f"checks that can be waived: {', '.join(sorted(_waivable()))}"
        found.append(Finding(WAIVER, Severity.ERROR, f"waiver {name}", message, hint, n_bad=1))
    return found
