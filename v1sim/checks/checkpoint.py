"""Checks against a TensorFlow checkpoint: whether the network is the one that was saved.

The index alone proves equality by checksums; with the data beside it, what differs is
told element by element (`v1sim.checkpoints.proof`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v1sim.checkpoints.evidence import TABLE_OF
from v1sim.checkpoints.proof import ArrayComparison, CheckpointComparison
from v1sim.checks.registry import Consequence, Context, Observation, check
from v1sim.model import MIN_UPDATES, Severity, Verdict

__all__ = [
    "Updates",
    "checkpoint_verdict",
    "frozen_by",
    "updates_made",
]


#: Updates of the optimizer below which a training may be unfinished: 10 in the network after
#: five steps, 40 to 36,828 in trained ones.
FEW_UPDATES = 100

_STATUS = {
    "different": "differs from the checkpoint",
    "permuted": "has the checkpoint's values on other synapses",
    "unknown": "cannot be compared with the checkpoint",
}


def checkpoint_verdict(comparison: CheckpointComparison, array: str) -> Verdict:
    """What an array of weights is by the checkpoint; undetermined unless it is equal to it."""
    if comparison.status(array) != "equal":
        return Verdict.UNDETERMINED
    claimed = comparison.claims.get(TABLE_OF[array])
    if claimed is None:
        return Verdict.UNDETERMINED
    return {
        "trained": Verdict.TRAINED,
        "initial": Verdict.UNTRAINED,
        "frozen": Verdict.UNTRAINED,
        "undetermined": Verdict.UNDETERMINED,
    }[claimed.origin]


def frozen_by(context: Context) -> str:
    """What proves that training left the input weights as they were; empty where nothing does."""
    provenance, comparison = context.network.provenance, context.checkpoint
    if provenance is not None and not context.provenance_mismatch:
        origin = provenance.arrays.get("lgn.weight")
        if provenance.kind == "trained" and origin and origin.origin == "initial value":
            return f"so its provenance says ({origin.detail})"
    if comparison is None or comparison.status("lgn.weight") != "equal":
        return ""
    recurrent, lgn = comparison.claims["recurrent"], comparison.claims["input"]
    if recurrent.origin in ("trained", "undetermined") and lgn.origin == "frozen":
        return f"{lgn.why} ({comparison.checkpoint})"
    return ""


def _examples(compared: ArrayComparison) -> str:
    if compared.n_different is None:
        return " (the index alone cannot tell where; put the data beside it)"
    return f" in {compared.n_different:,} of {compared.n:,} elements"


@check(
    "checkpoint.equal",
    severity=Severity.ERROR,
    reason="Every array that the checkpoint holds must be in the network to the bit; what differs "
    "is not what was trained.",
    calibration="Exact: every variable, rebuilt from the network in the checkpoint's order of "
    "synapses, by its CRC32C, and byte by byte where the checkpoint's data lie beside the index.",
    consequence=Consequence.ZEROS_ARE_VOID,
)
def equal(context: Context) -> Iterator[Observation]:
    """All that the checkpoint holds is in the network."""
    if context.checkpoint is None:
        return
    for compared in context.checkpoint.differing:
        note = f": {compared.note}" if compared.note else ""
        seen = _STATUS[compared.status]
        where = "" if compared.status == "unknown" else _examples(compared)
        yield Observation(
            compared.arrays,
            f"{seen}{where}{note} ({context.checkpoint.checkpoint}: {compared.variable})",
            "convert the checkpoint again: v1sim convert CKPT --out NETWORK.h5; or name the "
            "checkpoint that this network came from",
            n_bad=compared.n_different or 0,
            n_seen=compared.n,
            examples=compared.examples,
        )


@check(
    "checkpoint.updates",
    severity=Severity.WARNING,
    reason="A checkpoint from the first steps of a training holds weights that are hardly trained. "
    f"Below the policy's minimum ({MIN_UPDATES} updates by default) they count as untrained. From "
    "it on this does not refuse: no number of updates says whether a training was finished, and "
    "one that starts from trained weights counts from 0.",
    calibration=f"Updates of the optimizer: 10 after five steps, 40 to 36,828 in trained "
    f"networks; found below {FEW_UPDATES}, for networks that v1sim converted too.",
)
def updates(context: Context) -> Iterator[Observation]:
    """The checkpoint is not from the first steps of its training."""
    for checkpoint, made in _updates(context).items():
        if 0 < made.n < FEW_UPDATES:
            yield Observation(
                checkpoint,
                f"the optimizer had {made} when this checkpoint was saved: "
                "its weights may be hardly trained",
                "is it the one that you want? else take a later checkpoint of the same training",
                n_seen=made.n,
            )


@dataclass(frozen=True)
class Updates:
    """What an optimizer had counted, and its learning rate where that is known.

    ``counts`` is "updates", or "batches" or "steps", of which there are no fewer.
    """

    n: int
    learning_rate: float | None
    counts: str = "updates"

    def __str__(self) -> str:
        return f"{'seen' if self.counts == 'batches' else 'made'} {self.n:,} {self.counts}"


def updates_made(context: Context) -> Updates | None:
    """Updates that the optimizer had made, the fewest that anything says; None if nothing does.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be used.
    """
    return min(_updates(context).values(), key=lambda made: made.n, default=None)


def _updates(context: Context) -> dict[str, Updates]:
    """Updates of the optimizer, by the name of the checkpoint that says so.

    A counter counts where the weights are trained by what that optimizer shows: a new one on
    trained weights counts from 0. One that accumulates gradients counts batches, and made fewer
    updates than that.
    """
    found: dict[str, tuple[Any, Any, str]] = {}
    provenance, comparison = context.network.provenance, context.checkpoint_if_compared
    if provenance is not None and provenance.checkpoint is not None:
        noted = provenance.checkpoint
        tables = noted.get("tables")
        own = tables.get("recurrent") if isinstance(tables, Mapping) else None
        counts = own.get("counts", "updates") if isinstance(own, Mapping) else "updates"
        if not isinstance(own, Mapping) or (
            own.get("rests_on") == "optimizer" and own.get("origin") in ("trained", "average")
        ):
            name = str(noted.get("name", "checkpoint"))
            found[name] = noted.get("iterations"), noted.get("learning_rate"), str(counts)
    if comparison is not None:
        found.pop(Path(comparison.checkpoint).name, None)
        recurrent = comparison.claims["recurrent"]
        if recurrent.rests_on == "optimizer" and recurrent.origin == "trained":
            evidence = comparison.evidence
            found[comparison.checkpoint] = (
                evidence.iterations, evidence.learning_rate, recurrent.evidence.counts,
            )  # fmt: skip
    return {
        name: Updates(n, float(rate) if isinstance(rate, int | float) else None, counts)
        for name, (n, rate, counts) in found.items()
        if isinstance(n, int)
    }


@check(
    "checkpoint.frozen_input",
    severity=Severity.INFO,
    reason="Some trainings change the recurrent weights only. The network is trained all the same, "
    "and its input weights are the initial ones by right.",
    calibration="Exact: the optimizer holds other weights only.",
)
def frozen_input(context: Context) -> Iterator[Observation]:
    """Whether training left the input weights as they were."""
    if why := frozen_by(context):
        yield Observation(
            "lgn.weight",
            f"training froze the input weights, which are the initial ones: {why}",
            n_seen=len(context.network.tables["lgn"]),
        )


@check(
    "checkpoint.signs",
    severity=Severity.ERROR,
    reason="The checkpoint notes the sign that each weight had before training; it must be that of "
    "the synapse's receptor.",
    calibration="Exact: CRC32C of the sign masks.",
)
def signs(context: Context) -> Iterator[Observation]:
    """The checkpoint's signs are those of the receptors."""
    comparison = context.checkpoint
    if comparison is not None and comparison.signs_at_start is False:
        yield Observation(
            "receptor",
            "the signs that the checkpoint notes are not those of the network's receptors",
            "do receptors and weights come from different files?",
        )
