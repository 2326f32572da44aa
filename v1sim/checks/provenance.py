"""Checks of provenance: what the file says of itself, and whether it still holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from v1sim.checkpoints.evidence import TABLE_OF
from v1sim.checks.registry import Consequence, Context, Observation, check
from v1sim.checks.training import TRAINED_ZEROS
from v1sim.model import NetworkModel, Severity

__all__ = ["doubt", "is_proof"]


def is_proof(network: NetworkModel, array: str) -> bool:
    """Whether a network's provenance proves what an array of weights is.

    It does not where it says itself that the claim rests on what the weights look like, or on
    nothing; nor where an earlier version wrote it that could not judge the optimizer.
    """
    provenance = network.provenance
    if provenance is None or doubt(network):
        return False
    tables = (provenance.checkpoint or {}).get("tables")
    if not isinstance(tables, Mapping):
        return True
    claimed = tables.get(TABLE_OF.get(array, ""))
    if not isinstance(claimed, Mapping):
        return True
    return claimed.get("rests_on") in ("optimizer", "initial weights", "no zeros")


def doubt(network: NetworkModel) -> str:
    """Why a provenance of an earlier version proves nothing of the weights; empty if it does.

    Such a version went by names: it took any slot that is not zero for a moment of a gradient,
    averages and accumulators too, and any counter for the optimizer's. Where it saw slots that are
    not zero and the weights have the exact zeros that training leaves, that comes to the same.
    """
    provenance = network.provenance
    if provenance is None or provenance.checkpoint is None:
        return ""
    noted = provenance.checkpoint
    if "moments" not in noted or "tables" in noted:
        return ""
    tables = network.tables_of("recurrent").values()
    n = sum(map(len, tables))
    zeros = sum(int(np.count_nonzero(table.weight == 0)) for table in tables) / max(n, 1)
    moments = noted["moments"] if isinstance(noted["moments"], Mapping) else {}
    if provenance.kind in ("trained", "mixed"):
        if moments.get("recurrent") == "nonzero" and zeros >= TRAINED_ZEROS:
            return ""
        kept = "it kept no moments" if moments.get("recurrent") == "absent" else "moments"
        seen = "which says nothing" if kept.startswith("it") else "which other slots look like"
        return (
            f"it calls the weights {provenance.kind} by {kept} of the optimizer, {seen}, and "
            f"{zeros:.1%} of the recurrent weights are exactly zero"
        )
    if provenance.kind == "untrained" and zeros >= TRAINED_ZEROS:
        return (
            f"it calls the weights untrained, but {zeros:.1%} of the recurrent weights are "
            "exactly zero, as after training"
        )
    return ""


@check(
    "provenance.earlier_version",
    severity=Severity.WARNING,
    reason="Earlier versions of v1sim went by the names of an optimizer's variables, and called "
    "weights trained that no gradient had reached: with averages (use_ema), accumulated gradients, "
    "Adagrad, Ftrl, Adafactor, SGD, or several optimizers. What they wrote proves the weights only "
    "where the weights bear it out.",
    calibration="Exact: a provenance that has no record by table. It is believed where it noted "
    f"moments that are not zero and at least {TRAINED_ZEROS:.0%} of the recurrent weights are "
    "exactly zero.",
)
def earlier_version(context: Context) -> Iterator[Observation]:
    """The provenance is of a version that could judge the optimizer."""
    if why := doubt(context.network):
        provenance = context.network.provenance
        assert provenance is not None
        yield Observation(
            "provenance",
            f"{provenance.made_by} wrote this provenance and could not judge every optimizer: "
            f"{why}. It does not count as proof",
            "convert again: v1sim convert CKPT --out NETWORK.h5; or prove the file by its "
            "checkpoint: v1sim stamp NETWORK.h5 --checkpoint CKPT",
        )


@check(
    "provenance.readable",
    severity=Severity.ERROR,
    reason="A provenance that cannot be read proves nothing, and says that the file was edited "
    "or made by another version.",
    calibration="Exact.",
)
def readable(context: Context) -> Iterator[Observation]:
    """The provenance, where there is one, can be read."""
    problem = context.network.provenance_problem
    if problem is not None:
        yield Observation(
            "provenance",
            f"the file's provenance cannot be read: {problem}",
            "convert the network again, or remove the dataset 'provenance' and have the "
            "weights judged without it",
        )


@check(
    "provenance.digests",
    severity=Severity.ERROR,
    reason="The maker of the file noted a digest of every array; an array that differs was "
    "edited afterwards, and what the provenance says of it is no longer true.",
    calibration="Exact: sha256. The order of synapses does not matter.",
    consequence=Consequence.PROVENANCE_IS_VOID | Consequence.ZEROS_ARE_VOID,
)
def digests(context: Context) -> Iterator[Observation]:
    """Every array is as its provenance says."""
    network, mismatch = context.network, context.provenance_mismatch
    if network.provenance is None or not mismatch:
        return
    n_seen = len(set(network.provenance.arrays) | set(mismatch.uncovered))
    for names, what in (
        (mismatch.changed, "differ from the digests that their maker noted"),
        (mismatch.missing, "are named by the provenance, but not in the network"),
        (mismatch.uncovered, "are not covered by the provenance"),
    ):
        if names:
            yield Observation(
                names,
                f"{len(names)} of {n_seen} arrays {what} "
                f"({network.provenance.made_by}, {network.provenance.made_at})",
                "take the file as it was made, or remove the dataset 'provenance' and have the "
                "weights judged without it",
                n_bad=len(names),
                n_seen=n_seen,
                examples=tuple(map(context.name_of, names[:5])),
            )
