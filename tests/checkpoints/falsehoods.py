"""Sentences that are false of a checkpoint, found by pattern from its truth."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.checkpoints.rules import CHANGED, looks_untouched
from tests.checkpoints.truth import Case, Truth

__all__ = ["false_sentences"]

_NAMES = {"recurrent": "recurrent", "input": "(?:input|lgn)", "background": "(?:background|bkg)"}


def false_sentences(case: Case, text: str) -> Iterator[tuple[str, str]]:
    """What is false in a text that v1sim printed: a kind, and the words.

    Paths are taken out first: names of situations would be read as claims. So is what a message
    says was expected.
    """
    text = re.sub(r"^\s*expected: .*$", "", text, flags=re.MULTILINE)
    folder = re.escape(str(case.checkpoint.parent.parent))
    text = re.sub(rf"{folder}[^\s:,;]*(?:[ ,][^\s:;/]*/[^\s:;]*)*", "CKPT", text)
    for kind, pattern in _patterns(case):
        if found := re.search(pattern, text, re.IGNORECASE):
            start, end = max(0, found.start() - 60), found.end() + 80
            yield kind, " ".join(text[start:end].split())


def _patterns(case: Case) -> Iterator[tuple[str, str]]:
    truth = case.truth
    changed = any(t.trained for t in truth.tables.values())
    stepped = any(o.updates for o in truth.optimizers.values())
    yield "traceback", r"Traceback|unexpected \w*(?:Error|Exception)\b|this is a fault of v1sim"
    yield "no checkpoints in", r"there are no checkpoints in"
    yield "a good file called damaged", r"(?:is|are) damaged|cut off|codec can't decode"
    if changed:
        yield "saved before training", r"saved before training|not (?:been )?trained yet"
    if truth.optimizers:
        yield "no optimizer", r"\bno optimizer\b(?! (?:of it )?(?:holds|that|left))"
    if stepped and all(o.updates for o in truth.optimizers.values()):
        yield "no step taken", r"not taken a step|took no step|made no (?:step|update)"
    if "signs crossed" in truth.notes:
        yield (
            "signs: the wrong cause",
            r"mask are not of the same training, or it ran without the constraint;",
        )
    for name, table in truth.tables.items():
        if name not in _NAMES:
            continue
        word = _NAMES[name]
        if table.trainable and table.held_by:
            yield (
                f"{name} called frozen",
                rf"\b{word} weights?[^.;\n]{{0,30}}(?<!not )\bfrozen|froze the {word} weights",
            )
        if table.slots == "gradients":
            yield (
                f"{name}: slots denied",
                rf"keeps no (?:moments|slots)[^.;\n]{{0,25}}\b{word}|"
                rf"\b{word} weights: (?:none$|no (?:moments|slots))",
            )
            yield (
                f"{name}: gradients denied",
                rf"moments of [^.;\n]*\b{word} weights(?: are|:) all zero|"
                rf"\b{word} weights[^.;\n]{{0,60}}no gradient (?:ever )?reached",
            )
        elif table.slots == "no gradients":
            yield (
                f"{name}: gradients claimed",
                rf"moments of {word} weights(?: are|:) not (?:all )?zero",
            )
        if (
            table.trained
            and table.relative_change > CHANGED
            and not (name == "recurrent" and looks_untouched(truth))
        ):
            yield (
                f"{name} called initial",
                rf"\b{word} weights? (?:are|were) (?:still )?the initial ones|"
                rf"\b{word} weights?[^.;\n]{{0,20}} (?:were|was) not trained",
            )
    yield from _numbers(truth)


def _numbers(truth: Truth) -> Iterator[tuple[str, str]]:
    """Counts of updates and batches that are not those of an optimizer."""
    # Where a counter counts calls, as that of tf_keras's loss scaling, they are its updates.
    calls = {o.counter for o in truth.optimizers.values() if o.batches_per_update == 1}
    counts = {
        "updates": {o.updates for o in truth.optimizers.values()} | calls,
        "batches": {o.counter for o in truth.optimizers.values()},
    }
    for word, right in counts.items():
        options = "|".join(rf"{count:,}\b" for count in sorted(c for c in right if c is not None))
        guard = rf"(?!{options})" if options else ""
        yield f"another count of {word}", rf"\b(?:made|saw|after) {guard}[\d,]+ {word}"
