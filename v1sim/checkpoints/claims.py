"""What each table's weights are, and what that rests on: optimizers first, then the weights.

Where an optimizer proves that a gradient reached a table, or that none did, that settles it.
Where nothing does, the weights are compared with the initial ones, or their exact zeros decide;
where neither says anything, the answer is "undetermined", with what would decide it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from v1sim.checkpoints.evidence import TableEvidence

__all__ = ["Claim", "Kind", "Looks", "claim", "claim_to_json", "kind_of"]

Kind = Literal["trained", "untrained", "mixed", "undetermined"]
Origin = Literal["trained", "frozen", "initial", "undetermined"]
Rests = Literal["optimizer", "initial weights", "exact zeros", "no zeros", ""]

#: Recurrent weights from which on the absence of any exact zero says that no step of a training
#: was made: five steps leave 0.05 %, or 5 of so many.
ENOUGH_WITHOUT_ZEROS = 10_000
#: What would decide where nothing does.
_DECIDE = (
    "the weights before training would tell: --baseline UNTRAINED.h5, --data-dir DIR (convert), or "
    "--initial CKPT, an earlier checkpoint of the same training"
)
_EARLIER = "an earlier training may have changed them, which their exact zeros show"
_WEIGHTS_TELL = "the weights themselves would tell: put the data file beside the index"


@dataclass(frozen=True)
class Looks:
    """What weights themselves say, by the initial ones or by their exact zeros.

    Parameters
    ----------
    says : str
        "changed", "unchanged" or "zeros": they differ from the initial ones as by training, they
        are those, or enough are exactly zero; "nothing" where none of it is known.
    why : str
        The same in words.
    identical : bool
        Whether they are the initial ones to the bit.
    """

    says: Literal["changed", "unchanged", "zeros", "nothing"]
    why: str
    identical: bool = False
    n: int = 0
    n_zero: int = 0


@dataclass(frozen=True)
class Claim:
    """What a table's weights are.

    ``origin`` is "trained", "frozen" (training left them as they were), "initial" or
    "undetermined"; ``rests_on`` what shows it; ``why`` says it in words, and ``decide`` what would
    decide it where nothing does.
    """

    evidence: TableEvidence
    origin: Origin
    rests_on: Rests
    why: str
    decide: str = ""

    @property
    def proven(self) -> bool:
        """Whether the claim is a proof: by the optimizer, or by the initial weights."""
        return self.rests_on in ("optimizer", "initial weights")


def claim(evidence: TableEvidence, looks: Looks | None = None) -> Claim:
    """What a table's weights are, by its optimizer and, where that does not tell, their looks."""
    state, why = evidence.state, evidence.why
    says = looks.says if looks is not None else "nothing"
    also = f"{why}; {looks.why}" if looks is not None and looks.why else why
    if state == "gradient":
        if looks is not None and looks.identical:
            return Claim(evidence, "initial", "initial weights", also)
        return Claim(evidence, "trained", "optimizer", why)
    if says == "changed":
        return Claim(evidence, "trained", "initial weights", also)
    if says == "zeros":
        return Claim(evidence, "trained", "exact zeros", also)
    if says == "unchanged":
        unasked = state == "frozen" and evidence.table != "recurrent"
        kept: Origin = "frozen" if unasked else "initial"
        return Claim(evidence, kept, "initial weights", also)
    if state in ("frozen", "no gradient"):
        blank = looks is not None and 0 < looks.n == looks.n_zero
        if blank and evidence.table == "recurrent":
            return Claim(evidence, "undetermined", "", f"{why}; they are all zero", _DECIDE)
        if looks is None and evidence.table == "recurrent":
            return Claim(evidence, "undetermined", "", f"{why}; {_EARLIER}", _WEIGHTS_TELL)
        return Claim(evidence, "frozen" if state == "frozen" else "initial", "optimizer", why)
    if looks is not None and _plainly_initial(evidence, looks):
        none = f"{why}, and none of {looks.n:,} weights is exactly zero, as before training"
        return Claim(evidence, "initial", "no zeros", none)
    return Claim(evidence, "undetermined", "", also, _DECIDE)


def _plainly_initial(evidence: TableEvidence, looks: Looks) -> bool:
    took_none = evidence.state == "no step" or not (evidence.optimizer or evidence.holds)
    return (
        evidence.table == "recurrent"
        and took_none
        and looks.n_zero == 0
        and looks.n >= ENOUGH_WITHOUT_ZEROS
    )


def kind_of(claims: Mapping[Any, Claim]) -> Kind:
    """What a network is by the claims on its recurrent and input weights.

    The recurrent weights decide. Input that was frozen leaves a network trained; input that was
    to be trained, and was not, makes it mixed.
    """
    recurrent, lgn = claims["recurrent"], claims["input"]
    if recurrent.origin == "undetermined":
        return "undetermined"
    if recurrent.origin == "trained":
        asked = lgn.evidence.holds or lgn.evidence.state == "no gradient"
        return "mixed" if lgn.origin == "initial" and asked else "trained"
    if lgn.origin == "trained":
        return "mixed"
    left_open = lgn.origin == "undetermined" and lgn.evidence.state == "nothing"
    if not left_open or recurrent.rests_on == "no zeros":
        return "untrained"
    return "mixed" if lgn.evidence.updated else "undetermined"


def claim_to_json(claimed: Claim, *, average: bool = False) -> dict[str, Any]:
    """A claim as plain values: what provenance and ``inspect --json`` say of a table."""
    evidence = claimed.evidence
    return {
        "origin": "average" if average and claimed.origin == "trained" else claimed.origin,
        "rests_on": claimed.rests_on or None,
        "why": claimed.why,
        "variable": evidence.variable.name,
        "optimizer": evidence.optimizer or None,
        "family": evidence.family or None,
        "iterations": evidence.iterations,
        "counts": evidence.counts,
        "learning_rate": evidence.learning_rate,
        "slots": {
            slot.name: {"kind": slot.kind, "value": slot.value, "says": slot.says}
            for slot in evidence.slots
        },
    }
