"""Checks of provenance: what the file says of itself, and whether it still holds."""

from __future__ import annotations

from collections.abc import Iterator

from v1sim.checks.registry import Consequence, Context, Observation, check
from v1sim.model import Severity

__all__: list[str] = []


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
                ", ".join(names),
                f"{len(names)} of {n_seen} arrays {what} "
                f"({network.provenance.made_by}, {network.provenance.made_at})",
                "take the file as it was made, or remove the dataset 'provenance' and have the "
                "weights judged without it",
                n_bad=len(names),
                n_seen=n_seen,
                examples=names[:5],
            )
