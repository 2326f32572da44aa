"""Checks against a TensorFlow checkpoint: whether the network is the one that was saved.

The index alone proves equality by checksums; with the data beside it, what differs is
told element by element (`v1sim.convert.proof`).
"""

from __future__ import annotations

from collections.abc import Iterator

from v1sim.checks.registry import Context, Observation, check
from v1sim.convert.proof import ArrayComparison, CheckpointComparison
from v1sim.model import Severity, Verdict

__all__ = ["checkpoint_verdict"]

#: Updates of the optimizer below which a training has hardly begun: 10 in the network after
#: five steps, 850 and 36,828 in trained ones.
MIN_UPDATES = 100

_STATUS = {
    "different": "differs from the checkpoint",
    "permuted": "has the checkpoint's values on other synapses",
    "unknown": "cannot be compared with the checkpoint",
}


def checkpoint_verdict(comparison: CheckpointComparison, array: str) -> Verdict:
    """What an array of weights is by the checkpoint; undetermined unless it is equal to it."""
    if comparison.status(array) != "equal":
        return Verdict.UNDETERMINED
    state = comparison.training
    if array == "recurrent/weights":
        trained = state.trained("recurrent")
    elif array == "input/weights":
        trained = state.trained("input")
    else:
        return Verdict(state.kind)
    if trained is None:
        return Verdict(state.kind)
    return Verdict.TRAINED if trained else Verdict.UNTRAINED


def _examples(compared: ArrayComparison) -> str:
    if compared.n_different is None:
        return " (the index alone cannot tell where; put the data beside it)"
    return f" in {compared.n_different:,} of {compared.n:,} elements"


@check(
    "checkpoint.equal",
    severity=Severity.ERROR,
    reason="Every array that the checkpoint holds must be in the network to the bit; what differs "
    "is not what was trained.",
    calibration="Exact: CRC32C of every variable, rebuilt from the network in the checkpoint's "
    "order of synapses.",
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
            ", ".join(compared.arrays),
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
    reason="A checkpoint from the first steps of a training holds weights that are trained by name "
    "only.",
    calibration=f"Updates of the optimizer: 10 after five steps, 850 and 36,828 in trained "
    f"networks; found below {MIN_UPDATES}.",
)
def updates(context: Context) -> Iterator[Observation]:
    """The checkpoint is not from the first steps of its training."""
    if context.checkpoint is None:
        return
    iterations = context.checkpoint.training.iterations
    if iterations is not None and 0 < iterations < MIN_UPDATES:
        yield Observation(
            context.checkpoint.checkpoint,
            f"the optimizer had made {iterations:,} updates when this checkpoint was saved",
            "take a later checkpoint of the same training",
            n_seen=iterations,
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
            "receptor_types",
            "the signs that the checkpoint notes are not those of the network's receptors",
            "do receptors and weights come from different files?",
        )
