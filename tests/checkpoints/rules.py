"""What v1sim may say of a checkpoint, from its truth and from what v1sim was given.

`allowed_kinds` holds the whole rule: where the answer must be the truth, and where
"undetermined" is right because neither index nor data can tell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from tests.checkpoints.truth import Case, TableTruth, Truth

__all__ = ["CHANGED", "RULES", "Given", "allowed_kinds", "looks_untouched", "shows_training"]

#: What v1sim is given besides the checkpoint: nothing, or the weights before training.
Given = Literal["nothing", "start"]

#: Exact zeros from which on they show training.
SHOWING_ZEROS = 0.05
#: Exact zeros that may be taken for a sign of training.
HINTING_ZEROS = 0.02
#: Share of changed weights below which a table may be said to be trained in part.
CHANGED_IN_PART = 0.9
#: Change of weights, relative, that is not rounding.
CHANGED = 1e-3

#: When "undetermined" is a right answer, in words. None of it holds where the weights before
#: training are given.
RULES: dict[str, str] = {
    "no slot, no zeros": "trained recurrent weights, but no slot that shows gradients (SGD without "
    "momentum, Adafactor, a new optimizer, slots that were dropped, no optimizer) and fewer than "
    "5 % exact zeros",
    "untouched": "recurrent weights that were not trained: they may come from an earlier training "
    "that left no zeros",
    "input": "trained recurrent weights beside input weights of which no slot says anything",
    "zeros against slots": "exact zeros from an earlier training, and an optimizer to which no "
    "gradient came since",
    "index alone": "the index without data: values are not there, nor the names that tell owners "
    "and kinds of slots; only where every reading of the numbered slots agrees it can tell",
}


def shows_training(table: TableTruth, case: Case) -> bool:
    """Whether a checkpoint itself shows that a recurrent table was trained."""
    if not table.trained:
        return False
    if table.slots == "gradients":
        return True
    return case.storage != "index" and table.n_zero >= SHOWING_ZEROS * table.n


def allowed_kinds(
    case: Case, given: Given, *, weights_at_hand: bool = False
) -> tuple[set[str], str]:
    """The answers that are right, and the rule that allows more than the truth.

    ``weights_at_hand`` says that v1sim has the weights whatever the checkpoint holds: a network
    file that the index proves.
    """
    truth = case.truth
    if weights_at_hand and case.storage == "index":
        kinds, rule = allowed_kinds(case, given)
        return kinds | allowed_kinds(replace(case, storage="whole"), given)[0], rule
    recurrent, lgn = truth.tables["recurrent"], truth.tables["input"]
    if given == "start":
        return _with_start(truth)
    if not recurrent.trained:
        if recurrent.n_zero >= SHOWING_ZEROS * recurrent.n:  # Ftrl makes all weights zero
            return {"mixed", "untrained", "undetermined"}, "untouched"
        kinds = {truth.kind, "undetermined"}
        if truth.kind == "mixed" and lgn.slots != "gradients":
            kinds.add("untrained")
        return kinds, "untouched"
    kinds = {truth.kind}
    if truth.kind == "mixed" and (lgn.slots != "no gradients" or case.storage == "index"):
        kinds |= {"trained", "undetermined"}
        return kinds, "input"
    if not shows_training(recurrent, case):
        kinds = {"undetermined"}
        if looks_untouched(truth) or truth.kind == "mixed":
            kinds.add("mixed")
        if case.storage != "index" and recurrent.n_zero >= HINTING_ZEROS * recurrent.n:
            kinds.add(truth.kind)
        rule = "index alone" if case.storage == "index" else "no slot, no zeros"
        return kinds, rule
    if recurrent.slots == "no gradients":
        return kinds | {"undetermined"}, "zeros against slots"
    if case.storage == "index" and not _plain(truth):
        return kinds | {"undetermined"}, "index alone"
    return kinds, ""


def looks_untouched(truth: Truth) -> bool:
    """Recurrent weights of an earlier training that the last one left alone, without zeros.

    Nothing in such a checkpoint differs from one whose recurrent weights were never trained;
    by convention such weights are called the initial ones, which only ``start`` refutes.
    """
    recurrent = truth.tables["recurrent"]
    few = recurrent.n_zero < SHOWING_ZEROS * recurrent.n
    return few and truth.situation.startswith("trained, then")


def _with_start(truth: Truth) -> tuple[set[str], str]:
    """With the weights before training the answer is the truth."""
    kinds = {truth.kind}
    lgn = truth.tables["input"]
    if not lgn.trained and lgn.slots in ("none", "nothing") and truth.tables["recurrent"].trained:
        # Whether unchanged input was frozen may not be told (legacy SGD holds no variables).
        kinds |= {"trained", "mixed"} if truth.program.startswith("legacy") else set()
    for table in ("recurrent", "input"):
        held = truth.tables[table]
        if not held.trained and held.n_changed:  # by decay, by rounding, or computed anew
            kinds |= {"mixed", "undetermined"}
        if held.trained and held.slots == "no gradients":  # or decayed from what they were
            kinds.add("undetermined")
        if held.trained and held.n_changed < CHANGED_IN_PART * held.n:
            kinds.add("mixed")
    return kinds, ""


def _plain(truth: Truth) -> bool:
    """One optimizer of Keras 3 with two slots for each of two tables: the index alone tells it."""
    held = truth.tables["recurrent"].held_by and truth.tables["input"].held_by
    families = ("adam", "adamw", "nadam", "adamax")
    return (
        truth.program.startswith("keras")
        and bool(held)
        and truth.family in families
        and len(truth.optimizers) == 1
    )
