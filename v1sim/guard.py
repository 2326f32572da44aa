"""The gate: runs every check under a policy, gives the verdict, makes `CheckedNetwork`.

`examine` reports, `admit` raises unless the report passes. Nothing else makes a
`CheckedNetwork`, and the simulation accepts nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from v1sim import __version__
from v1sim.checks import families  # noqa: F401 -- registers the checks
from v1sim.checks.registry import CRASHED, SKIPPED, Context, registered_checks, run_checks
from v1sim.checks.statistics import group_statistics
from v1sim.checks.training import ZEROS
from v1sim.digests import network_sha256
from v1sim.errors import GuardRefusal, NetworkFileError
from v1sim.model import CheckReport, Finding, NetworkModel, Severity, Verdict

__all__ = [
    "CheckedNetwork",
    "Policy",
    "admit",
    "admit_by_pass",
    "examine",
    "pass_to_json",
    "report_to_json",
    "unreadable_to_json",
]

#: Name of the finding about weights that are not what the policy requires. It can be waived:
#: the untrained twin of a network is worth simulating, if the report says so.
REQUIRED = "guard.required"
#: Name of the finding about a waiver that names no check, or one that cannot be waived.
WAIVER = "guard.waiver"

_MAKER = object()


@dataclass(frozen=True)
class Policy:
    """What is required of a network.

    Parameters
    ----------
    require : str
        "trained", "constructed", or "any", which accepts both and weights whose
        history cannot be told.
    strength : str
        "proof" wants a provenance whose digests match; "evidence" is content
        with what the weights show.
    waivers : mapping of str to str
        Reason by name of the check whose errors are accepted.
    dt_ms : float
        Time step of the simulation, which delays must be multiples of.
    """

    require: Literal["trained", "constructed", "any"] = "trained"
    strength: Literal["proof", "evidence"] = "evidence"
    waivers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dt_ms: float = 1.0


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


@dataclass(frozen=True)
class _Judgement:
    verdict: Verdict
    proof: Literal["provenance", "checkpoint", "baseline", "evidence"] | None


def examine(network: NetworkModel, policy: Policy) -> CheckReport:
    """Run every check on a network and judge it.

    Raises nothing about the network: what is wrong stands in the report.
    """
    checks = registered_checks()
    findings = [*_waiver_findings(policy), *run_checks(Context(network, policy.dt_ms), checks)]
    blocked = {f.where for f in findings if f.check in (SKIPPED, CRASHED)}
    blocked |= {f.check for f in findings if f.severity is Severity.ERROR}
    judgement = _judge(network, findings, blocked)
    findings += _requirement_findings(judgement, policy, network)
    names = {*checks, REQUIRED}
    return CheckReport(
        findings=tuple(findings),
        checks_run=tuple(name for name in checks if name not in _left_out(findings)),
        waived=MappingProxyType(
            {name: why for name, why in policy.waivers.items() if name in names & _waivable()}
        ),
        verdict=judgement.verdict,
        proof=judgement.proof,
        network_sha256=network_sha256(network),
        network_path=network.source.path,
        require=policy.require,
        groups=MappingProxyType(
            {
                group: group_statistics(table, network)
                for group, table in (("recurrent", network.recurrent), ("input", network.lgn))
                if not blocked & {"structure.index_range", "structure.receptor_range"}
            }
        ),
    )


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


def pass_to_json(checked: CheckedNetwork, policy: Policy) -> dict[str, Any]:
    """What lets the same network through again without all checks: see `admit_by_pass`."""
    return {
        "v1sim": __version__,
        "file_sha256": checked.network.source.sha256,
        "policy": _policy_to_json(policy),
        "report": report_to_json(checked.report),
    }


def admit_by_pass(
    network: NetworkModel, policy: Policy, earlier: Mapping[str, Any]
) -> CheckedNetwork:
    """The network, by the digests of one that passed before.

    Parameters
    ----------
    network : NetworkModel
        As read from its file now.
    policy : Policy
        What is required of it; must be what was required before.
    earlier : mapping
        From `pass_to_json`, of the same file, policy and version of v1sim.

    Raises
    ------
    NetworkFileError
        If anything differs: the file's bytes, what was read from it, policy or version.
    """
    expected = {
        "v1sim's version": (earlier["v1sim"], __version__),
        "the policy": (earlier["policy"], _policy_to_json(policy)),
        "the file's sha256": (earlier["file_sha256"], network.source.sha256),
        "the network's digest": (earlier["report"]["network_sha256"], network_sha256(network)),
    }
    for what, (before, now) in expected.items():
        if before != now:
            raise NetworkFileError(
                f"this is not what passed the checks: {what} is {now}, was {before}",
                where=network.source.path,
                hint="check it anew: run the batch again",
            )
    report = _report_from_json(earlier["report"])
    if not report.passed:
        raise GuardRefusal(report)
    return CheckedNetwork(network, report, _MAKER)


def _policy_to_json(policy: Policy) -> dict[str, Any]:
    return {
        "require": policy.require,
        "strength": policy.strength,
        "waivers": dict(policy.waivers),
        "dt_ms": policy.dt_ms,
    }


def report_to_json(report: CheckReport) -> dict[str, Any]:
    """The report as plain values: the contract of ``v1sim check --json``."""
    return {
        "verdict": str(report.verdict),
        "proof": report.proof,
        "passed": report.passed,
        "findings": [_finding_to_json(finding) for finding in report.findings],
        "groups": {name: dict(group) for name, group in report.groups.items()},
        "network_sha256": report.network_sha256,
        "network": report.network_path,
        "require": report.require,
        "waived": dict(report.waived),
        "checks_run": list(report.checks_run),
    }


def _report_from_json(values: Mapping[str, Any]) -> CheckReport:
    return CheckReport(
        findings=tuple(
            Finding(
                **{
                    **finding,
                    "severity": Severity(finding["severity"]),
                    "examples": tuple(finding["examples"]),
                    "observed": MappingProxyType(finding["observed"]),
                }
            )
            for finding in values["findings"]
        ),
        checks_run=tuple(values["checks_run"]),
        waived=MappingProxyType(values["waived"]),
        verdict=Verdict(values["verdict"]),
        proof=values["proof"],
        network_sha256=values["network_sha256"],
        network_path=values["network"],
        require=values["require"],
        groups=MappingProxyType(values["groups"]),
    )


def unreadable_to_json(error: NetworkFileError) -> dict[str, Any]:
    """The same for a file that could not be read as a network."""
    findings = error.findings or (
        Finding("structure.file", Severity.ERROR, error.where or "", error.seen, error.hint or ""),
    )
    return {
        "verdict": str(Verdict.UNDETERMINED),
        "proof": None,
        "passed": False,
        "findings": [_finding_to_json(finding) for finding in findings],
        "groups": {},
        "network_sha256": "",
        "network": error.where or "",
        "require": None,
        "waived": {},
        "checks_run": [],
    }


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "severity": str(finding.severity),
        "where": finding.where,
        "message": finding.message,
        "hint": finding.hint,
        "n_bad": finding.n_bad,
        "n_seen": finding.n_seen,
        "examples": list(finding.examples),
        "observed": dict(finding.observed),
    }


def _waivable() -> set[str]:
    return {name for name, entry in registered_checks().items() if entry.waivable} | {REQUIRED}


def _left_out(findings: list[Finding]) -> set[str]:
    return {f.where for f in findings if f.check == SKIPPED}


def _waiver_findings(policy: Policy) -> list[Finding]:
    known = registered_checks()
    found = []
    for name in sorted(set(policy.waivers) - _waivable()):
        message = (
            f"{name} cannot be waived: what it guards would break the simulation itself"
            if name in known or name == CRASHED
            else f"there is no check named {name!r}"
        )
        hint = f"checks that can be waived: {', '.join(sorted(_waivable()))}"
        found.append(Finding(WAIVER, Severity.ERROR, f"waiver {name}", message, hint, n_bad=1))
    return found


def _judge(network: NetworkModel, findings: list[Finding], blocked: set[str]) -> _Judgement:
    """What the weights are, by the strongest proof there is."""
    if network.provenance is not None and "provenance.digests" not in blocked:
        return _Judgement(Verdict(network.provenance.kind), "provenance")
    # Zeros of arrays that are broken otherwise are no evidence of training.
    broken = {"values.weight_sign", "values.constant", "provenance.digests"}
    zeros_say = any(f.check == ZEROS and f.observed["trained"] for f in findings)
    if zeros_say and not broken & blocked:
        return _Judgement(Verdict.TRAINED, "evidence")
    return _Judgement(Verdict.UNDETERMINED, None)


def _requirement_findings(
    judgement: _Judgement, policy: Policy, network: NetworkModel
) -> list[Finding]:
    verdict, path = judgement.verdict, network.source.path
    accepted = {
        "trained": {Verdict.TRAINED},
        "constructed": {Verdict.CONSTRUCTED},
        "any": {Verdict.TRAINED, Verdict.CONSTRUCTED, Verdict.UNDETERMINED},
    }[policy.require]
    proven = judgement.proof not in (None, "evidence")
    settle = (
        f"v1sim check {path} --checkpoint CKPT; or v1sim check {path} --baseline UNTRAINED.h5; "
        "or convert again with v1sim convert CKPT --out NETWORK.h5"
    )
    if verdict not in accepted:
        hint = {
            Verdict.UNDETERMINED: f"settle it with {settle}",
            Verdict.UNTRAINED: "convert the trained checkpoint: v1sim convert CKPT --out "
            "NETWORK.h5",
            Verdict.MIXED: "convert the trained checkpoint: v1sim convert CKPT --out NETWORK.h5",
            Verdict.CONSTRUCTED: "require 'constructed' if the built-in column is meant",
            Verdict.TRAINED: "require 'trained' if the trained network is meant",
        }[verdict]
        message = {
            Verdict.UNDETERMINED: "nothing shows that the weights are trained: they may be the "
            "initial ones"
            if policy.require == "trained"
            else "nothing shows where the weights come from",
        }.get(verdict, f"the weights are {verdict}")
        if policy.require != "any":
            message += f", and {policy.require} ones are required"
    elif policy.strength == "proof" and not proven:
        message = (
            f"the weights are {verdict} by evidence only, and the policy wants proof"
            if judgement.proof
            else f"the weights are {verdict}, and the policy wants proof"
        )
        hint = f"prove it with {settle}"
    else:
        return []
    return [
        Finding(
            REQUIRED,
            Severity.ERROR,
            "weights",
            message,
            hint,
            observed=MappingProxyType({"verdict": str(verdict), "require": policy.require}),
        )
    ]
