"""The gate: runs every check under a policy, gives the verdict, makes `CheckedNetwork`.

The verdict rests on the strongest proof there is: a provenance whose digests match, a
checkpoint that the arrays are equal to, a baseline that they differ from, and last what
the weights themselves show. `examine` reports, `admit` raises unless the report passes. Nothing
else makes a `CheckedNetwork`, and the simulation accepts nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from v1sim import __version__
from v1sim.checks import families  # noqa: F401 -- registers the checks
from v1sim.checks.baseline import baseline_weights
from v1sim.checks.checkpoint import checkpoint_verdict, frozen_by
from v1sim.checks.patterns import out_of_place
from v1sim.checks.registry import CRASHED, SKIPPED, Context, registered_checks, run_checks
from v1sim.checks.statistics import group_statistics
from v1sim.checks.training import PARTLY, zero_evidence
from v1sim.convert.bundle import read_index
from v1sim.convert.proof import CheckpointComparison
from v1sim.digests import network_sha256
from v1sim.errors import GuardRefusal, NetworkFileError, V1simError
from v1sim.model import (
    RECEPTORS,
    ArrayVerdict,
    CheckReport,
    Finding,
    NetworkModel,
    Severity,
    Verdict,
)
from v1sim.sources import open_network

__all__ = [
    "EVIDENCE",
    "FROZEN_INPUT",
    "CheckedNetwork",
    "Policy",
    "admit",
    "admit_by_pass",
    "examination",
    "examine",
    "finding_to_json",
    "pass_to_json",
    "policy_to_json",
    "report_to_json",
    "unreadable_to_json",
]

#: Name of the finding about weights that are not what the policy requires. It can be waived:
#: the untrained twin of a network is worth simulating, if the report says so.
REQUIRED = "guard.required"
#: Name of the finding about a waiver that names no check, or one that cannot be waived.
WAIVER = "guard.waiver"
#: Name of the finding about proofs that do not agree.
CONTRADICTION = "guard.contradiction"
#: Name of the finding about trained recurrent weights beside input weights that are the
#: baseline's: training may have frozen them, or they got lost. Waived by who knows which.
FROZEN_INPUT = "guard.frozen_input"
#: Name of the finding that says what the file alone cannot show.
EVIDENCE = "guard.evidence"

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
    checkpoint : Path, optional
        TensorFlow checkpoint that the network is to be equal to: its prefix or index.
    baseline : Path, optional
        The network's file before training.
    """

    require: Literal["trained", "constructed", "any"] = "trained"
    strength: Literal["proof", "evidence"] = "evidence"
    waivers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dt_ms: float = 1.0
    checkpoint: Path | None = None
    baseline: Path | None = None


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


_Proof = Literal["provenance", "checkpoint", "baseline", "evidence"] | None
#: Arrays that have a verdict of their own; the first two make that of the network.
_WEIGHTS = ("recurrent/weights", "input/weights", "input/bkg_weights")


@dataclass(frozen=True)
class _Judgement:
    verdict: Verdict
    proof: _Proof
    why: str = ""
    #: What the baseline says of input weights that training may have frozen, or that got lost.
    frozen_or_lost: str = ""


def examine(network: NetworkModel, policy: Policy) -> CheckReport:
    """Run every check on a network and judge it.

    What is wrong with the network stands in the report.

    Raises
    ------
    NetworkFileError
        If the baseline cannot be read.
    CheckpointError
        If the checkpoint cannot be used.
    """
    context = examination(network, policy)
    checks = registered_checks()
    with ThreadPoolExecutor(max_workers=1) as pool:  # beside the checks: NumPy frees the lock
        digest = pool.submit(network_sha256, network)
        groups = pool.submit(_statistics, network)
        findings = [*_waiver_findings(policy), *run_checks(context, checks)]
    blocked = {f.where for f in findings if f.check in (SKIPPED, CRASHED)}
    blocked |= {f.check for f in findings if f.severity is Severity.ERROR}
    arrays = _array_verdicts(context, findings, blocked)
    judgement = _judge(context, arrays, blocked)
    findings = [_settled(finding, context, blocked) for finding in findings]
    findings += _contradictions(context, arrays, blocked)
    findings += _requirement_findings(judgement, policy, network)
    findings += _limits_of_evidence(judgement, arrays, network)
    names = {*checks, *_OWN}
    return CheckReport(
        findings=tuple(findings),
        checks_run=tuple(name for name in checks if name not in _left_out(findings)),
        waived=MappingProxyType(
            {name: why for name, why in policy.waivers.items() if name in names & _waivable()}
        ),
        verdict=judgement.verdict,
        proof=judgement.proof,
        network_sha256=digest.result(),
        network_path=network.source.path,
        require=policy.require,
        groups=MappingProxyType(groups.result()),
        arrays=MappingProxyType(arrays),
    )


def _statistics(network: NetworkModel) -> dict[str, dict[str, Any]]:
    """Statistics of both tables; empty where indices or receptors are out of range."""
    types = network.neurons.cell_type
    usable = not len(types) or int(types.max()) < len(network.cell_types)
    tables = {"recurrent": network.recurrent, "input": network.lgn}
    for table, n_pre in ((network.recurrent, network.n_neurons), (network.lgn, network.n_lgn)):
        for index, n in ((table.pre, n_pre), (table.post, network.n_neurons)):
            usable = usable and (not len(index) or bool(index.min() >= 0 and index.max() < n))
        usable = usable and (not len(table) or int(table.receptor.max()) < len(RECEPTORS))
    if not usable:
        return {}
    return {group: group_statistics(table, network) for group, table in tables.items()}


def examination(network: NetworkModel, policy: Policy) -> Context:
    """What the checks of a network read: it, and the baseline and checkpoint that were named.

    Raises
    ------
    NetworkFileError, CheckpointError
        As `examine`.
    """
    context = Context(
        network,
        policy.dt_ms,
        baseline=None if policy.baseline is None else open_network(policy.baseline),
        checkpoint_index=None if policy.checkpoint is None else read_index(policy.checkpoint),
    )
    try:
        _ = context.checkpoint
    except V1simError:  # a checkpoint that cannot be used
        raise
    except Exception:
        pass
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


def pass_to_json(checked: CheckedNetwork, policy: Policy) -> dict[str, Any]:
    """What lets the same network through again without all checks: see `admit_by_pass`."""
    return {
        "v1sim": __version__,
        "file_sha256": checked.network.source.sha256,
        "policy": policy_to_json(policy),
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
        "the policy": (earlier["policy"], policy_to_json(policy)),
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


def policy_to_json(policy: Policy) -> dict[str, Any]:
    """A policy as plain values."""
    return {
        "require": policy.require,
        "strength": policy.strength,
        "waivers": dict(policy.waivers),
        "dt_ms": policy.dt_ms,
        "checkpoint": None if policy.checkpoint is None else str(policy.checkpoint),
        "baseline": None if policy.baseline is None else str(policy.baseline),
    }


def report_to_json(report: CheckReport) -> dict[str, Any]:
    """The report as plain values: the contract of ``v1sim check --json``."""
    return {
        "verdict": str(report.verdict),
        "proof": report.proof,
        "passed": report.passed,
        "findings": [finding_to_json(finding) for finding in report.findings],
        "arrays": {
            name: {"verdict": str(array.verdict), "proof": array.proof, "why": array.why}
            for name, array in report.arrays.items()
        },
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
        arrays=MappingProxyType(
            {
                name: ArrayVerdict(Verdict(array["verdict"]), array["proof"], array["why"])
                for name, array in values["arrays"].items()
            }
        ),
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
        "findings": [finding_to_json(finding) for finding in findings],
        "arrays": {},
        "groups": {},
        "network_sha256": "",
        "network": error.where or "",
        "require": None,
        "waived": {},
        "checks_run": [],
    }


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """A finding as plain values."""
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
            f"{name} cannot be waived: what it guards would break the simulation itself"
            if name in known or name == CRASHED
            else f"there is no check named {name!r}"
        )
        hint = f"checks that can be waived: {', '.join(sorted(_waivable()))}"
        found.append(Finding(WAIVER, Severity.ERROR, f"waiver {name}", message, hint, n_bad=1))
    return found


def _array_verdicts(
    context: Context, findings: list[Finding], blocked: set[str]
) -> dict[str, ArrayVerdict]:
    """What each array of weights is, each by the strongest proof that it has."""
    arrays = _WEIGHTS if context.network.background_weight is not None else _WEIGHTS[:2]
    sources = (_by_provenance, _by_checkpoint, _by_baseline, _by_evidence)
    verdicts = {}
    for array in arrays:
        found = (source(context, array, blocked) for source in sources)
        verdicts[array] = next(
            (v for v in found if v is not None),
            ArrayVerdict(Verdict.UNDETERMINED, None, _why_undetermined(context, array, blocked)),
        )
    return verdicts


def _why_undetermined(context: Context, array: str, blocked: set[str]) -> str:
    group, _, dataset = array.partition("/")
    if dataset != "weights":
        return "no look at a background tells whether it was trained"
    if blocked & {*_SPOIL_EVIDENCE, "baseline.resemblance"}:
        return "errors that were found leave nothing to go by"
    evidence = zero_evidence(context, group)
    why_not = evidence.why_not or "but neither they nor sizes depend on the cells, as if shuffled"
    why = f"{evidence.fraction:.2%} are exactly zero: {why_not}"
    if group == "input":
        why += "; trained, initial and shuffled input weights look alike"
    return why


def _by_provenance(context: Context, array: str, blocked: set[str]) -> ArrayVerdict | None:
    provenance = context.network.provenance
    if provenance is None or "provenance.digests" in blocked:
        return None
    origin = provenance.arrays[array].origin
    verdict = {
        "trained variable": Verdict.TRAINED,
        "initial value": Verdict.UNTRAINED,
        "constructed": Verdict.CONSTRUCTED,
    }.get(origin, Verdict(provenance.kind))
    detail = provenance.arrays[array].detail
    why = f"{origin}{f': {detail}' if detail else ''} ({provenance.made_by})"
    return ArrayVerdict(verdict, "provenance", why)


def _comparison(context: Context, blocked: set[str]) -> CheckpointComparison | None:
    """The comparison with the checkpoint; None without one, or where it crashed."""
    # A warning's name is among the blocked only where its check crashed.
    return None if "checkpoint.updates" in blocked else context.checkpoint


def _by_checkpoint(context: Context, array: str, blocked: set[str]) -> ArrayVerdict | None:
    comparison = _comparison(context, blocked)
    if comparison is None or comparison.status(array) != "equal":
        return None
    verdict = checkpoint_verdict(comparison, array)
    why = f"equal to {comparison.checkpoint}"
    if array == "input/weights" and frozen_by(context):
        why += ", whose training froze them"
    if verdict is Verdict.UNDETERMINED:
        # No optimizer was saved with it. Before the first step there is none.
        zeros = _by_evidence(context, array, blocked)
        if zeros is not None:
            return ArrayVerdict(zeros.verdict, zeros.proof, f"{why}; {zeros.why}")
        if array == "recurrent/weights" and not (context.network.recurrent.weight == 0).any():
            verdict = Verdict.UNTRAINED
            why += ", which has no optimizer, and no weight is exactly zero"
    return ArrayVerdict(verdict, "checkpoint", why)


def _by_baseline(context: Context, array: str, blocked: set[str]) -> ArrayVerdict | None:
    baseline, network = context.baseline, context.network
    if baseline is None or blocked & {"baseline.usable", "baseline.same_network"}:
        return None
    if array == "input/bkg_weights":
        before, after = baseline.background_weight, network.background_weight
        if before is None or after is None or not np.array_equal(before, after):
            return None
        why = "identical to the baseline's, as training usually leaves it"
        return ArrayVerdict(Verdict.UNTRAINED, "baseline", why)
    compared = baseline_weights(context).get(array.partition("/")[0])
    if compared is None or compared.verdict is Verdict.UNDETERMINED:
        return None
    if compared.verdict is Verdict.TRAINED and "baseline.signs" in blocked:
        return None
    return ArrayVerdict(compared.verdict, "baseline", compared.what)


#: Errors under which zeros are no evidence of training.
_SPOIL_EVIDENCE = {
    "structure.index_range",
    "structure.receptor_range",
    "values.finite",
    "values.weight_sign",
    "values.constant",
    "patterns.blank",
    "provenance.digests",
    "checkpoint.equal",
}


def _by_evidence(context: Context, array: str, blocked: set[str]) -> ArrayVerdict | None:
    group, _, dataset = array.partition("/")
    if dataset != "weights" or blocked & _SPOIL_EVIDENCE:
        return None
    if "baseline.resemblance" in blocked and "baseline.same_network" not in blocked:
        return None  # compared, and unlike; not left out for want of a baseline
    if group == "recurrent" and PARTLY in blocked:
        why = "parts of the network have none of the exact zeros that training leaves"
        return ArrayVerdict(Verdict.MIXED, "evidence", why)
    zeros = zero_evidence(context, group)
    if not zeros.trained or (group == "recurrent" and out_of_place(context)):
        return None
    why = f"{zeros.fraction:.1%} are exactly zero, as the sign constraint leaves them"
    return ArrayVerdict(Verdict.TRAINED, "evidence", why)


def _judge(context: Context, arrays: Mapping[str, ArrayVerdict], blocked: set[str]) -> _Judgement:
    """What the weights are, by the strongest proof there is."""
    provenance = context.network.provenance
    if provenance is not None and "provenance.digests" not in blocked:
        return _Judgement(Verdict(provenance.kind), "provenance")
    recurrent, lgn = arrays["recurrent/weights"], arrays["input/weights"]
    why = f"recurrent/weights: {recurrent.why}" if recurrent.why else ""
    if recurrent.proof == "checkpoint" and lgn.proof == "checkpoint":
        assert context.checkpoint is not None
        # Input that was frozen on purpose leaves a network trained: the optimizer tells.
        kind = Verdict(context.checkpoint.training.kind)
        return _Judgement(recurrent.verdict if kind is Verdict.UNDETERMINED else kind, "checkpoint")
    verdicts = {recurrent.verdict, lgn.verdict} - {Verdict.UNDETERMINED}
    if recurrent.verdict is Verdict.UNDETERMINED:
        return _Judgement(Verdict.UNDETERMINED, None, why)
    if len(verdicts) > 1:
        why = "; ".join(f"{name}: {arrays[name].why}" for name in _WEIGHTS[:2])
        kept = lgn.proof == "baseline" and baseline_weights(context)["input"].kept != "no"
        frozen = kept and recurrent.verdict is Verdict.TRAINED
        return _Judgement(Verdict.MIXED, recurrent.proof, why, lgn.why if frozen else "")
    return _Judgement(recurrent.verdict, recurrent.proof, why)


def _contradictions(
    context: Context, arrays: Mapping[str, ArrayVerdict], blocked: set[str]
) -> list[Finding]:
    """Weights that a stronger proof calls trained, but that are those of the baseline."""
    found = []
    for array in _WEIGHTS[:2]:
        stated, compared = arrays[array], _by_baseline(context, array, blocked)
        if (
            compared is not None
            and stated.verdict is Verdict.TRAINED
            and stated.proof in ("provenance", "checkpoint")
            and compared.verdict is not Verdict.TRAINED
            and not _little_trained(context, array)
        ):
            found.append(
                Finding(
                    CONTRADICTION,
                    Severity.ERROR,
                    array,
                    f"{stated.proof} says that the weights are trained, but they are "
                    f"{compared.why} ({context.baseline.source.path if context.baseline else ''})",
                    "is the baseline the network before training? if it is, do not trust "
                    f"the {stated.proof}",
                    n_bad=1,
                )
            )
    return found


def _little_trained(context: Context, array: str) -> bool:
    """Whether an array is all but the baseline's: what is proven to be trained may be that."""
    return baseline_weights(context)[array.partition("/")[0]].kept == "almost"


#: Checks that go by what networks look like. Where the array that they name is proven to be what
#: training left, its looks are no error.
_BY_LOOKS = {
    "baseline.jumps",
    "patterns.blank",
    "patterns.class_pairs",
    "patterns.delays",
    "patterns.input_types",
    "patterns.outlier",
    "training.few_zeros",
    "training.shuffled",
    "training.silent_sources",
    PARTLY,
}
_MILDER = {Severity.ERROR: Severity.WARNING, Severity.WARNING: Severity.INFO}


def _settled(finding: Finding, context: Context, blocked: set[str]) -> Finding:
    """A finding by looks one step milder, where provenance or checkpoint prove the array."""
    if finding.check not in _BY_LOOKS:
        return finding
    provenance, comparison = context.network.provenance, _comparison(context, blocked)
    if provenance is not None and "provenance.digests" not in blocked:
        proof = "provenance"
    elif comparison is not None and comparison.status(finding.where) == "equal":
        proof = "checkpoint"
    else:
        return finding
    message = f"{finding.message}. The {proof} proves that this is how the network was made"
    return replace(finding, severity=_MILDER[finding.severity], message=message, hint="")


def _limits_of_evidence(
    judgement: _Judgement, arrays: Mapping[str, ArrayVerdict], network: NetworkModel
) -> list[Finding]:
    """What the file alone does not show, where it is all that there is to go by."""
    if judgement.proof != "evidence":
        return []
    lgn = arrays["input/weights"].verdict is Verdict.UNDETERMINED
    message = (
        "judged by the file alone, which cannot show "
        + ("whether input weights are trained or in place, " if lgn else "")
        + "whether edges here and there kept their initial weights, which checkpoint the weights "
        "are from, whether readout groups are in the order of the classes, or what was learned"
    )
    path = network.source.path
    hint = (
        f"v1sim check {path} --checkpoint CKPT (its .index is enough) or --baseline UNTRAINED.h5 "
        "tells more; what was learned, only a run with labels"
    )
    return [Finding(EVIDENCE, Severity.INFO, "weights", message, hint)]


def _requirement_findings(
    judgement: _Judgement, policy: Policy, network: NetworkModel
) -> list[Finding]:
    verdict, path = judgement.verdict, network.source.path
    accepted = {
        "trained": {Verdict.TRAINED},
        "constructed": {Verdict.CONSTRUCTED},
        "any": {Verdict.TRAINED, Verdict.CONSTRUCTED, Verdict.UNDETERMINED},
    }[policy.require]
    if judgement.frozen_or_lost:
        message = (
            "the recurrent weights are trained, the input weights are "
            f"{judgement.frozen_or_lost}: training froze them, or they got lost on their way, "
            "which a baseline cannot tell"
        )
        hint = (
            f"v1sim check {path} --checkpoint CKPT (its .index is enough) proves which; where you "
            f"know that training froze them: --waive {FROZEN_INPUT}='training froze the input'"
        )
        return [
            Finding(FROZEN_INPUT, Severity.ERROR, "input/weights", message, hint, n_bad=1, n_seen=1)
        ]
    proven = judgement.proof not in (None, "evidence")
    settle = (
        f"v1sim check {path} --checkpoint CKPT; or v1sim check {path} --baseline UNTRAINED.h5; "
        "or convert again with v1sim convert CKPT --out NETWORK.h5"
    )
    mend = "convert the trained checkpoint: v1sim convert CKPT --out NETWORK.h5"
    if verdict not in accepted:
        hint = {
            Verdict.UNDETERMINED: f"settle it with {settle}",
            Verdict.UNTRAINED: mend,
            Verdict.MIXED: f"{mend}; where training left a part as it was, the checkpoint "
            f"proves it: v1sim check {path} --checkpoint CKPT",
            Verdict.CONSTRUCTED: "require 'constructed' if the built-in column is meant",
            Verdict.TRAINED: "require 'trained' if the trained network is meant",
        }[verdict]
        message = {
            Verdict.UNDETERMINED: "nothing shows that the weights are trained: they may be the "
            "initial ones"
            if policy.require == "trained"
            else "nothing shows where the weights come from",
        }.get(verdict, f"the weights are {verdict}")
        if judgement.why:
            message += f" ({judgement.why})"
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
