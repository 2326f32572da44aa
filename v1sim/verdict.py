"""Was it trained? What is required of a network, and what its weights are, by which proof.

The verdict rests on the strongest proof there is: a provenance whose digests match, a
checkpoint that the arrays are equal to, a baseline that they differ from, and last what
the weights themselves show. This is the only home of that question: `v1sim.guard` asks `judge`
of a network with all that its checks found, conversion asks `judge_weights` where no
optimizer tells. No check is known by its name here: what an error means for the verdict
stands beside the check (`v1sim.checks.registry.Consequence`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from v1sim.checkpoints.claims import Claim, Looks, claim, kind_of
from v1sim.checkpoints.evidence import TABLE_OF, Table
from v1sim.checks import families  # noqa: F401 -- registers the checks
from v1sim.checks.baseline import baseline_weights, shared_tables
from v1sim.checks.checkpoint import checkpoint_verdict, frozen_by, updates_made
from v1sim.checks.patterns import out_of_place
from v1sim.checks.provenance import is_proof
from v1sim.checks.registry import (
    CRASHED,
    SKIPPED,
    Check,
    Consequence,
    Context,
    registered_checks,
    run_checks,
)
from v1sim.checks.training import zero_evidence
from v1sim.errors import InputError
from v1sim.model import (
    ArrayRequirements,
    ArrayVerdict,
    Finding,
    NetworkModel,
    Proof,
    Requirement,
    Role,
    Severity,
    Strength,
    TrainingMinimum,
    Verdict,
)

__all__ = [
    "CONTRADICTION",
    "EVIDENCE",
    "FROZEN_INPUT",
    "REQUIRED",
    "Judgement",
    "Policy",
    "doubts",
    "judge",
    "judge_weights",
    "weight_arrays",
]

#: Name of the finding about weights that are not what the policy requires. It can be waived:
#: the untrained twin of a network is worth simulating, if the report says so.
REQUIRED = "guard.required"
#: Name of the finding about proofs that do not agree.
CONTRADICTION = "guard.contradiction"
#: Name of the finding about trained recurrent weights beside input weights that are the
#: baseline's: training may have frozen them, or they got lost. Waived by who knows which.
FROZEN_INPUT = "guard.frozen_input"
#: Name of the finding that says what the file alone cannot show.
EVIDENCE = "guard.evidence"

#: Proofs that outrank a comparison with the baseline.
_PROOFS = ("signature", "provenance", "checkpoint")
_BACKGROUND = "background.weight"


def _weights_of(network: NetworkModel, *roles: Role) -> tuple[str, ...]:
    """Arrays of weights whose sources have one of these roles."""
    return tuple(f"{group}.weight" for group in network.tables_of(*roles))


def weight_arrays(network: NetworkModel) -> tuple[str, ...]:
    """Arrays that have a verdict of their own: recurrent ones and the LGN's make the network's."""
    background = () if network.background_weight is None else (_BACKGROUND,)
    return (*_weights_of(network, "recurrent", "lgn", "other"), *background)


@dataclass(frozen=True)
class Policy:
    """What is required of a network.

    Parameters
    ----------
    require : str or ArrayRequirements
        "trained", "constructed", or "any", which accepts both and weights whose
        history cannot be told; or one of them for each array.
    strength : str
        "signed" wants a signature by a trusted key, "proof" a provenance whose digests match, a
        checkpoint or a baseline; "evidence" is content with what the weights show.
    waivers : mapping of str to str
        Reason by name of the check whose errors are accepted.
    dt_ms : float, optional
        Time step of the simulation, which delays must be multiples of; the network's own by
        default.
    checkpoint : Path, optional
        TensorFlow checkpoint that the network is to be equal to: its prefix or index.
    baseline : Path, optional
        The network's file before training.
    minimum : TrainingMinimum
        The least that counts as a training, whatever proves that there was one.
    trusted_keys : Path, optional
        File of the keys that are trusted (ssh-keygen's ``allowed_signers``); "signed" needs it.
    dynamics : str, optional
        What the network is to be run in, if it is: "auto" or one of `v1sim.config.Dynamics`.
    require_dynamics : {"any", "own"}
        Whether that must be the dynamics that it was trained in.

    Raises
    ------
    InputError
        If "signed" is wanted and no keys are trusted, or keys are named for nothing.
    """

    require: Requirement | ArrayRequirements = "trained"
    strength: Strength = "evidence"
    waivers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dt_ms: float | None = None
    checkpoint: Path | None = None
    baseline: Path | None = None
    minimum: TrainingMinimum = field(default_factory=TrainingMinimum)
    trusted_keys: Path | None = None
    dynamics: str | None = None
    require_dynamics: Literal["any", "own"] = "any"

    def __post_init__(self) -> None:
        if (self.strength == "signed") != (self.trusted_keys is not None):
            raise InputError(
                "signatures are looked at where strength is 'signed' and trusted keys are named, "
                "and one of the two is missing",
                where="strength, trusted_keys",
                expected="both, or neither",
            )


@dataclass(frozen=True)
class Judgement:
    """What a network's weights are, by the strongest proof there is.

    ``arrays`` has a verdict for each array of weights. ``findings`` are those of the checks,
    milder where proof outranks looks, and what the judgement itself adds to them.
    """

    verdict: Verdict
    proof: Proof
    arrays: Mapping[str, ArrayVerdict]
    findings: tuple[Finding, ...]


def judge(context: Context, findings: Iterable[Finding], policy: Policy) -> Judgement:
    """Judge a network by what the checks found in it.

    Parameters
    ----------
    context : Context
        The network with the baseline and the checkpoint that it was checked against.
    findings : iterable of Finding
        Of all registered checks.
    policy : Policy
        What is required of it.
    """
    findings = tuple(findings)
    checks, network = registered_checks(), context.network
    outcome = _outcome(findings, checks)
    stated = _array_verdicts(context, outcome)
    less = {
        array: verdict
        for array, found in stated.items()
        if (verdict := _less_than_stated(context, array, outcome, found)) is not None
    }
    arrays = {**stated, **less}
    weights = _of_network(context, stated, less, outcome)
    own = (
        *_contradictions(context, stated, outcome),
        *(
            _requirement_findings(weights, policy.require, policy.strength, network)
            if isinstance(policy.require, str)
            else _array_requirement_findings(arrays, policy.require, policy.strength, network)
        ),
        *_limits_of_evidence(weights, arrays, network),
    )
    settled = (_settled(finding, context, checks, outcome) for finding in findings)
    return Judgement(weights.verdict, weights.proof, MappingProxyType(arrays), (*settled, *own))


def judge_weights(
    network: NetworkModel, *, baseline: NetworkModel | None = None
) -> Mapping[str, ArrayVerdict]:
    """What each array of weights is by a baseline, or by what the weights themselves show.

    Parameters
    ----------
    network : NetworkModel
        Its provenance, if it has one, is left aside.
    baseline : NetworkModel, optional
        The same network before training.

    Returns
    -------
    mapping of str to ArrayVerdict
        By the names of the tables ("recurrent.weight", "lgn.weight") and, where there is a
        background, "background.weight". ``why`` is a clause that says what the verdict rests on, or
        why none can be given.
    """
    context = Context(
        replace(network, provenance=None),
        network.step_ms,
        baseline=baseline,
    )
    checks = registered_checks()
    wanted: set[str] = set()
    for entry in reversed(list(checks.values())):  # a check stands after those that it needs
        if entry.consequence or entry.name in wanted:
            wanted |= {entry.name, *entry.needs}
    chosen = {name: entry for name, entry in checks.items() if name in wanted}
    return _array_verdicts(context, _outcome(run_checks(context, chosen), checks))


# --- what errors of checks mean ------------------------------------------------------------------


@dataclass(frozen=True)
class _Outcome:
    """Consequences of the checks that found errors or crashed, and of those left out."""

    failed: Consequence
    left_out: Consequence

    def means(self, consequence: Consequence) -> bool:
        """Whether any of these follows; what could not be checked is taken for the worst."""
        return bool((self.failed | self.left_out) & consequence)


def _outcome(findings: Iterable[Finding], checks: Mapping[str, Check]) -> _Outcome:
    failed = left_out = Consequence.NOTHING
    for finding in findings:
        name = finding.where if finding.check in (CRASHED, SKIPPED) else finding.check
        if name not in checks:
            continue
        if finding.check == SKIPPED:
            left_out |= checks[name].consequence
        elif finding.severity is Severity.ERROR:
            failed |= checks[name].consequence
    return _Outcome(failed, left_out)


def _settled(
    finding: Finding, context: Context, checks: Mapping[str, Check], outcome: _Outcome
) -> Finding:
    """A finding by looks one step milder, where provenance or checkpoint prove the array."""
    if finding.check not in checks or not checks[finding.check].by_looks:
        return finding
    comparison = context.checkpoint_if_compared
    if context.signature is not None and context.signature.holds:
        proof = "signature"
    elif context.network.provenance is not None and not outcome.means(
        Consequence.PROVENANCE_IS_VOID
    ):
        proof = "provenance"
    elif comparison is not None and comparison.status(finding.array) == "equal":
        proof = "checkpoint"
    else:
        return finding
    message = f"{finding.message}. The {proof} proves that this is how the network was made"
    return replace(finding, severity=_MILDER[finding.severity], message=message, hint="")


_MILDER = {Severity.ERROR: Severity.WARNING, Severity.WARNING: Severity.INFO}


# --- what each array is --------------------------------------------------------------------------


def _array_verdicts(context: Context, outcome: _Outcome) -> dict[str, ArrayVerdict]:
    """What each array of weights is, each by the strongest proof that it has."""
    arrays = weight_arrays(context.network)
    sources = (_by_signature, _by_provenance, _by_checkpoint, _by_baseline, _by_evidence)
    verdicts = {}
    for array in arrays:
        found = (source(context, array, outcome) for source in sources)
        verdicts[array] = next(
            (v for v in found if v is not None),
            ArrayVerdict(Verdict.UNDETERMINED, None, _why_undetermined(context, array, outcome)),
        )
    return verdicts


def _less_than_stated(
    context: Context, array: str, outcome: _Outcome, stated: ArrayVerdict
) -> ArrayVerdict | None:
    """What an array is that proof calls trained, where there was no training to speak of.

    Either the optimizer made too few updates, or the weights are the baseline's after all: more
    evidence never makes a verdict milder. Input weights that are almost the baseline's are not
    asked for more: by them alone a training and its loss cannot be told, by a proof they can.
    """
    if stated.verdict is not Verdict.TRAINED or stated.proof not in _PROOFS:
        return None
    verdict, reasons = Verdict.UNTRAINED, []
    if few := _too_few_updates(context, outcome) or _too_small_change(context, array):
        reasons.append(few)
    compared = None if array == _BACKGROUND else _by_baseline(context, array, outcome)
    lgn = array in _weights_of(context.network, "lgn")
    if (
        compared is not None
        and compared.verdict is not Verdict.TRAINED
        and not (lgn and _almost_kept(context, array))
    ):
        verdict = Verdict.UNTRAINED if reasons else compared.verdict
        reasons.append(f"the weights are {compared.why}")
    if not reasons:
        return None
    return ArrayVerdict(verdict, stated.proof, f"{stated.why}; but {', and '.join(reasons)}")


def _too_few_updates(context: Context, outcome: _Outcome) -> str:
    """Why the updates of the optimizer are no training to speak of; empty where they are.

    Few updates are enough where the weights show it by their exact zeros, or where the learning
    rate lets so many move the weights by the minimum of change: an update of Adam and its like
    moves a weight by about the learning rate at most (Kingma & Ba 2015, section 2.1).
    """
    made, least = updates_made(context), context.minimum
    if made is None or made.n >= least.updates:
        return ""
    void = Consequence.PROVENANCE_IS_VOID | Consequence.ZEROS_ARE_VOID
    if not outcome.means(void) and any(
        zero_evidence(context, group).trained for group in context.recurrent
    ):
        return ""
    rate = ""
    if made.learning_rate is not None:
        squares = [table.weight.astype(np.float64) ** 2 for table in context.recurrent.values()]
        n = sum(map(len, squares))
        size = float(np.sqrt(sum(float(one.sum()) for one in squares) / n)) if n else 0.0
        if made.n * made.learning_rate >= least.change * size:
            return ""
        rate = f" at a learning rate of {made.learning_rate:g}"
    return (
        f"the optimizer had {made}{rate}, fewer than the {least.updates:,} updates that "
        "count as a training"
    )


def _too_small_change(context: Context, array: str) -> str:
    """Why recurrent weights changed by too little to speak of; empty where nothing says so.

    A provenance that rests on a comparison with the original weights says by how much they changed.
    """
    provenance, least = context.network.provenance, context.minimum.change
    details = {} if provenance is None else provenance.details.get("dpointnet", {})
    weights = details.get("weights") if isinstance(details, Mapping) else None
    group = _group_of(array)
    if not isinstance(weights, Mapping) or group not in context.recurrent:
        return ""
    seen = weights.get(group)
    change = seen.get("relative_change") if isinstance(seen, Mapping) else None
    if isinstance(change, float) and change < least:
        return (
            f"training changed them by {change:.2g} (L2), less than the {least:g} that counts "
            "as a training"
        )
    return ""


def _almost_kept(context: Context, array: str) -> bool:
    """Whether an array is all but the baseline's."""
    return baseline_weights(context)[_group_of(array)].kept == "almost"


def _group_of(array: str) -> str:
    """The table that an array of weights belongs to."""
    return array.removesuffix(".weight")


def _why_undetermined(context: Context, array: str, outcome: _Outcome) -> str:
    group = _group_of(array)
    if array == _BACKGROUND:
        return "the weights of a background look the same before and after training"
    if outcome.means(
        Consequence.PROVENANCE_IS_VOID | Consequence.ZEROS_ARE_VOID | Consequence.UNLIKE_BASELINE
    ):
        return "errors that were found leave nothing to go by"
    evidence = zero_evidence(context, group)
    why_not = evidence.why_not or "but neither they nor sizes depend on the cells, as if shuffled"
    why = f"{evidence.fraction:.2%} are exactly zero: {why_not}"
    if context.is_external(group):
        why += "; trained, initial and shuffled input weights look alike"
    return why


def _by_signature(context: Context, array: str, outcome: _Outcome) -> ArrayVerdict | None:
    signature = context.signature
    if signature is None or not signature.holds or signature.statement is None:
        return None
    signed = signature.statement.weights.get(array)
    if signed is None:
        return None
    why = f"signed by {signature.signer}"
    if signed.proof:
        why += f", proven by {signed.proof} then"
    return ArrayVerdict(signed.verdict, "signature", f"{why}: {signed.why}")


def _by_provenance(context: Context, array: str, outcome: _Outcome) -> ArrayVerdict | None:
    provenance = context.network.provenance
    if provenance is None or outcome.means(Consequence.PROVENANCE_IS_VOID):
        return None
    if not is_proof(context.network, array):
        return None
    if array not in provenance.arrays:  # there are no such synapses
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


def _by_checkpoint(context: Context, array: str, outcome: _Outcome) -> ArrayVerdict | None:
    comparison = context.checkpoint_if_compared
    if comparison is None or comparison.status(array) != "equal":
        return None
    verdict = checkpoint_verdict(comparison, array)
    which = "the average in " if comparison.average and array != _BACKGROUND else ""
    why = f"equal to {which}{comparison.checkpoint} {comparison.how}"
    claimed = comparison.claims.get(TABLE_OF[array])
    if claimed is None or array == _BACKGROUND:
        return ArrayVerdict(verdict, "checkpoint" if claimed else None, why)
    if array == "lgn.weight" and frozen_by(context):
        why += ", whose training froze them"
    if verdict is Verdict.UNDETERMINED or claimed.evidence.faint:
        # No optimizer tells, or an earlier training may have changed them: the weights do.
        for source in (_by_baseline, _by_evidence):
            seen = source(context, array, outcome)
            if seen is not None and (
                verdict is Verdict.UNDETERMINED or seen.verdict is not verdict
            ):
                return ArrayVerdict(seen.verdict, seen.proof, f"{why}; {seen.why}")
        claimed = _claims(context)[TABLE_OF[array]]
        if verdict is Verdict.UNDETERMINED and claimed.origin == "undetermined":
            return ArrayVerdict(verdict, None, f"{why}; {claimed.why}")
        verdict = Verdict.UNTRAINED
    return ArrayVerdict(verdict, "checkpoint", f"{why}: {claimed.why}")


def _claims(context: Context) -> Mapping[Table, Claim]:
    """What a checkpoint's optimizers prove of weights that show nothing themselves."""
    assert context.checkpoint is not None
    weights = [table.weight for table in context.recurrent.values()]
    n_zero = sum(int(np.count_nonzero(weight == 0)) for weight in weights)
    looks = Looks("nothing", "", n=sum(map(len, weights)), n_zero=n_zero)
    evidence = context.checkpoint.evidence
    return {table: claim(found, looks) for table, found in evidence.tables.items()}


def _by_baseline(context: Context, array: str, outcome: _Outcome) -> ArrayVerdict | None:
    baseline, network = context.baseline, context.network
    if baseline is None or outcome.means(Consequence.BASELINE_IS_VOID):
        return None
    if array == _BACKGROUND:
        before, after = baseline.background_weight, network.background_weight
        if before is None or after is None or not np.array_equal(before, after):
            return None
        why = "identical to the baseline's, as training usually leaves it"
        return ArrayVerdict(Verdict.UNTRAINED, "baseline", why)
    group = _group_of(array)
    compared = baseline_weights(context).get(group)
    if compared is None or compared.verdict is Verdict.UNDETERMINED:
        return None
    if group in shared_tables(context):
        why = f"{compared.what}, of the same file: nothing claims that they were trained"
        return ArrayVerdict(Verdict.UNTRAINED, "baseline", why)
    # Ftrl sets all weights to 0 where no gradient comes.
    blank = not network.tables[group].weight.any()
    void = blank or outcome.means(Consequence.CHANGES_ARE_VOID)
    if compared.verdict is Verdict.TRAINED and void:
        return None
    return ArrayVerdict(compared.verdict, "baseline", compared.what)


def _by_evidence(context: Context, array: str, outcome: _Outcome) -> ArrayVerdict | None:
    group = _group_of(array)
    if array == _BACKGROUND:
        return None
    recurrent = not context.is_external(group)
    if recurrent and outcome.failed & Consequence.PARTLY_TRAINED:
        why = "parts of the network have none of the exact zeros that training leaves"
        return ArrayVerdict(Verdict.MIXED, "evidence", why)
    if outcome.means(Consequence.PROVENANCE_IS_VOID | Consequence.ZEROS_ARE_VOID):
        return None
    if outcome.failed & Consequence.UNLIKE_BASELINE:
        return None  # compared, and unlike; not left out for want of a baseline
    zeros = zero_evidence(context, group)
    if not zeros.trained or (recurrent and out_of_place(context, group)):
        return None
    why = f"{zeros.fraction:.1%} are exactly zero, as the sign constraint leaves them"
    return ArrayVerdict(Verdict.TRAINED, "evidence", why)


# --- what the network is -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Weights:
    """What a network's weights are together."""

    verdict: Verdict
    proof: Proof
    why: str = ""
    #: What the baseline says of input weights that training may have frozen, or that got lost.
    frozen_or_lost: str = ""
    #: Whether there was a training, but less than the minimum.
    hardly: bool = False


def _of_network(
    context: Context,
    stated: Mapping[str, ArrayVerdict],
    less: Mapping[str, ArrayVerdict],
    outcome: _Outcome,
) -> _Weights:
    """The network's verdict; ``less`` has the arrays that are less than ``stated``."""
    network, name_of = context.network, context.name_of
    of_recurrent, of_lgn = (_claiming(context, role, outcome) for role in ("recurrent", "lgn"))
    both = (*of_recurrent, *of_lgn)
    recurrent, lgn = (_together(stated, arrays, name_of) for arrays in (of_recurrent, of_lgn))
    provenance = network.provenance
    proven: Verdict | None = None
    void = outcome.means(Consequence.PROVENANCE_IS_VOID)
    if recurrent.proof == "signature":
        assert context.signature is not None and context.signature.statement is not None
        proven = context.signature.statement.verdict
    elif provenance is not None and not void and all(is_proof(network, a) for a in of_recurrent):
        proven = Verdict(provenance.kind)
    elif recurrent.proof == "checkpoint" and lgn.proof == "checkpoint":
        assert context.checkpoint is not None
        # Input that was frozen on purpose leaves a network trained: the optimizer tells.
        proven = Verdict(kind_of(_claims(context)))
        if proven is Verdict.UNDETERMINED:
            proven = recurrent.verdict
    array = next((array for array in both if array in less), None)
    if proven is Verdict.TRAINED and array is not None:
        all_less = array in of_recurrent and all(one in less for one in of_recurrent)
        verdict = less[array].verdict if all_less else Verdict.MIXED
        hardly = verdict is Verdict.UNTRAINED
        why = f"{name_of(array)}: {less[array].why}"
        return _Weights(verdict, recurrent.proof, why, hardly=hardly)
    if proven is not None:
        return _Weights(proven, recurrent.proof)
    now = {array: less.get(array, stated[array]) for array in both}
    recurrent, lgn = (_together(now, arrays, name_of) for arrays in (of_recurrent, of_lgn))
    verdicts = {recurrent.verdict, lgn.verdict} - {Verdict.UNDETERMINED}
    if recurrent.verdict is Verdict.UNDETERMINED:
        return _Weights(Verdict.UNDETERMINED, None, recurrent.why)
    as_intended = lgn.verdict is Verdict.UNTRAINED and frozen_by(context)
    if recurrent.verdict is Verdict.TRAINED and as_intended:
        return _Weights(Verdict.TRAINED, recurrent.proof, recurrent.why)
    if len(verdicts) > 1:
        why = f"{recurrent.why}; {lgn.why}"
        kept = lgn.proof == "baseline" and all(
            baseline_weights(context)[_group_of(array)].kept != "no" for array in of_lgn
        )
        frozen = kept and recurrent.verdict is Verdict.TRAINED
        what = "; ".join(now[array].why for array in of_lgn)
        return _Weights(Verdict.MIXED, recurrent.proof, why, what if frozen else "")
    return _Weights(recurrent.verdict, recurrent.proof, recurrent.why)


def _claiming(context: Context, role: Role, outcome: _Outcome) -> tuple[str, ...]:
    """Arrays of a role, but for those that nothing claims to be trained."""
    void = outcome.means(Consequence.BASELINE_IS_VOID)
    shared = set() if void else shared_tables(context)
    return tuple(a for a in _weights_of(context.network, role) if _group_of(a) not in shared)


def _together(
    verdicts: Mapping[str, ArrayVerdict], arrays: Iterable[str], name_of: Callable[[str], str]
) -> ArrayVerdict:
    """What several arrays are, each named in why; one of which nothing tells does not count."""
    found = {array: verdicts[array] for array in arrays}
    why = "; ".join(f"{name_of(array)}: {one.why}" for array, one in found.items() if one.why)
    known = {a: one for a, one in found.items() if one.verdict is not Verdict.UNDETERMINED}
    if not known:
        return ArrayVerdict(Verdict.UNDETERMINED, None, why)
    why = "; ".join(f"{name_of(array)}: {one.why}" for array, one in known.items() if one.why)
    of_all = {one.verdict for one in known.values()}
    verdict = of_all.pop() if len(of_all) == 1 else Verdict.MIXED
    return ArrayVerdict(verdict, next(iter(known.values())).proof, why)


def _contradictions(
    context: Context, arrays: Mapping[str, ArrayVerdict], outcome: _Outcome
) -> list[Finding]:
    """Weights that a stronger proof calls trained, but that are those of the baseline."""
    found = []
    claiming = [_claiming(context, role, outcome) for role in ("recurrent", "lgn")]
    for array in itertools.chain.from_iterable(claiming):
        stated, compared = arrays[array], _by_baseline(context, array, outcome)
        if (
            compared is not None
            and stated.verdict is Verdict.TRAINED
            and stated.proof in _PROOFS
            and compared.verdict is not Verdict.TRAINED
            and not _almost_kept(context, array)
        ):
            found.append(
                Finding(
                    CONTRADICTION,
                    Severity.ERROR,
                    context.name_of(array),
                    f"{stated.proof} says that the weights are trained, but they are "
                    f"{compared.why} ({context.baseline.source.path if context.baseline else ''})",
                    "is the baseline the network before training? if it is, do not trust "
                    f"the {stated.proof}",
                    n_bad=1,
                )
            )
    return found


# --- what is required, and said ------------------------------------------------------------------


def _limits_of_evidence(
    weights: _Weights, arrays: Mapping[str, ArrayVerdict], network: NetworkModel
) -> list[Finding]:
    """What the file alone does not show, where it is all that there is to go by."""
    if weights.proof != "evidence":
        return []
    lgn = any(
        arrays[array].verdict is Verdict.UNDETERMINED for array in _weights_of(network, "lgn")
    )
    message = (
        "judged by the file alone, which cannot show "
        + ("whether input weights are trained or in place, " if lgn else "")
        + "whether edges here and there kept their initial weights, which checkpoint the weights "
        "are from, whether neuron parameters are those of the training (all tau_syn doubled are "
        "in their range still), whether delays are (all of them one step longer are plausible "
        "too), whether LGN cells are in the order of the stimulus, whether readout groups are in "
        "the order of the classes, or what was learned"
    )
    path = network.source.path
    hint = (
        f"v1sim check {path} --checkpoint CKPT (its .index is enough) or --baseline UNTRAINED.h5 "
        "tells more; what was learned, only a run with labels"
    )
    return [Finding(EVIDENCE, Severity.INFO, "weights", message, hint)]


def doubts(
    judgement: Judgement, require: Requirement | ArrayRequirements, waived: Iterable[str]
) -> tuple[str, ...]:
    """What is not as it should be of a network that passes all the same, in sentences.

    Parameters
    ----------
    judgement : Judgement
        Of the network.
    require : str or ArrayRequirements
        What is required of it.
    waived : iterable of str
        Checks whose errors are waived.
    """
    said = {
        Verdict.UNDETERMINED: "Nothing shows that the weights are trained: they may be the initial "
        "ones.",
        Verdict.UNTRAINED: "The weights are untrained.",
        Verdict.MIXED: "A part of the weights is untrained.",
    }
    found = []
    if judgement.verdict in said:
        accepted = f" Accepted, as the requirement is: {require}." if require != "trained" else ""
        found.append(said[judgement.verdict] + accepted)
    errors = {f.waived_as for f in judgement.findings if f.severity is Severity.ERROR}
    if names := sorted(errors & set(waived)):
        found.append(f"Errors that were found are waived: {', '.join(names)}.")
    return tuple(found)


def _array_requirement_findings(
    arrays: Mapping[str, ArrayVerdict],
    require: ArrayRequirements,
    strength: Strength,
    network: NetworkModel,
) -> list[Finding]:
    """Arrays that are not what is required of each; "any" accepts whatever one is."""
    path, found = network.source.path, []
    of_role: dict[Role, Requirement] = {
        "recurrent": require.recurrent,
        "lgn": require.input,
        "other": require.input,
    }
    for array in weight_arrays(network):
        wanted = require.background
        if array != _BACKGROUND:
            wanted = of_role[network.role(_group_of(array))]
        if wanted == "any":
            continue
        verdict = arrays[array]
        if verdict.verdict != wanted:
            message = f"the weights are {verdict.verdict} ({verdict.why}), and {wanted} ones are "
            message += "required of this array"
        elif strength == "signed" and verdict.proof != "signature":
            message = f"the weights are {verdict.verdict}, and the policy wants a signature"
        elif strength == "proof" and verdict.proof in (None, "evidence"):
            message = (
                f"the weights are {verdict.verdict} by evidence only, and the policy wants proof"
            )
        else:
            continue
        found.append(
            Finding(
                REQUIRED,
                Severity.ERROR,
                network.source.name_of(array),
                message,
                f"{_settle(path)}; where it may be whatever it is, require any of it",
                observed=MappingProxyType({"verdict": str(verdict.verdict), "require": wanted}),
            )
        )
    return found


def _settle(path: str) -> str:
    """The commands that tell what weights are."""
    return (
        f"v1sim check {path} --checkpoint CKPT; or v1sim check {path} --baseline UNTRAINED.h5; "
        "or convert again with v1sim convert CKPT --out NETWORK.h5"
    )


def _requirement_findings(
    weights: _Weights,
    require: Requirement,
    strength: Strength,
    network: NetworkModel,
) -> list[Finding]:
    verdict, path = weights.verdict, network.source.path
    accepted = {
        "trained": {Verdict.TRAINED},
        "constructed": {Verdict.CONSTRUCTED},
        "any": {Verdict.TRAINED, Verdict.CONSTRUCTED, Verdict.UNDETERMINED},
    }[require]
    if weights.frozen_or_lost:
        message = (
            "the recurrent weights are trained, the input weights are "
            f"{weights.frozen_or_lost}: training froze them, or they got lost on their way, "
            "which a baseline cannot tell"
        )
        hint = (
            f"v1sim check {path} --checkpoint CKPT (its .index is enough) proves which; where you "
            f"know that training froze them: --waive {FROZEN_INPUT}='training froze the input', or "
            "require any of the input: --require recurrent=trained,input=any"
        )
        where = ", ".join(map(network.source.name_of, _weights_of(network, "lgn")))
        return [Finding(FROZEN_INPUT, Severity.ERROR, where, message, hint, n_bad=1, n_seen=1)]
    proven = weights.proof not in (None, "evidence")
    mend = "convert the trained checkpoint: v1sim convert CKPT --out NETWORK.h5"
    if verdict not in accepted:
        later = (
            "take a later checkpoint of the training; where so short a one is meant, "
            "--minimum updates=N,change=X says what counts (minimum in a configuration)"
        )
        hint = {
            Verdict.UNDETERMINED: f"settle it with {_settle(path)}",
            Verdict.UNTRAINED: later if weights.hardly else mend,
            Verdict.MIXED: f"{mend}; where training left a part as it was, the checkpoint "
            f"proves it: v1sim check {path} --checkpoint CKPT",
            Verdict.CONSTRUCTED: "require 'constructed' if the built-in column is meant",
            Verdict.TRAINED: "require 'trained' if the trained network is meant",
        }[verdict]
        message = {
            Verdict.UNDETERMINED: "nothing shows that the weights are trained: they may be the "
            "initial ones"
            if require == "trained"
            else "nothing shows where the weights come from",
        }.get(verdict, f"the weights are {verdict}")
        if weights.why:
            message += f" ({weights.why})"
        if require != "any":
            message += f", and {require} ones are required"
    elif strength == "signed" and weights.proof != "signature":
        message = f"the weights are {verdict}, and the policy wants the signature of a trusted key"
        hint = "see the finding on the signature"
    elif strength == "proof" and not proven:
        message = (
            f"the weights are {verdict} by evidence only, and the policy wants proof"
            if weights.proof
            else f"the weights are {verdict}, and the policy wants proof"
        )
        hint = f"prove it with {_settle(path)}"
    else:
        return []
    return [
        Finding(
            REQUIRED,
            Severity.ERROR,
            "weights",
            message,
            hint,
            observed=MappingProxyType({"verdict": str(verdict), "require": require}),
        )
    ]
