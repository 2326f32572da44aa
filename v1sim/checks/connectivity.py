"""Who is connected at all: what may be meant, and is worth a remark."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from v1sim.checks.registry import Context, Observation, check
from v1sim.model import Severity
from v1sim.receptors import KNOWN_KINDS, Kind

__all__ = ["MANY_WITHOUT_INPUT"]

#: Share of neurons without a synapse from which on a remark is made; 0 in all networks seen.
MANY_WITHOUT_INPUT = 0.05

_READABLE = ("structure.index_range", "structure.receptor_range")


@check(
    "connectivity.no_inhibition",
    severity=Severity.INFO,
    reason="A network without inhibitory synapses may be meant, as a control. More often its "
    "inhibition was lost: a projection that was left out, or signs that were all made positive.",
    calibration="43 % of the recurrent synapses of the reference networks are inhibitory, 34 to "
    "49 % in built-in columns of 200 to 2,000 neurons. Found where there is not one.",
    needs=_READABLE,
)
def no_inhibition(context: Context) -> Iterator[Observation]:
    """Every recurrent synapse is excitatory."""
    tables = context.recurrent
    n_synapses = sum(map(len, tables.values()))
    if n_synapses == 0 or any(True for group in tables for _ in context.without_kind(group)):
        return
    inhibitory = int(context.sends[:, KNOWN_KINDS.index(Kind.INHIBITORY)].sum())
    if inhibitory == 0:
        yield Observation(
            where=context.name_of(f"{next(iter(tables))}.receptor"),
            message=f"none of the {n_synapses:,} recurrent synapses is inhibitory",
            hint="if inhibition is not meant to be absent, find out where its synapses were lost",
            n_bad=n_synapses,
            n_seen=n_synapses,
        )


@check(
    "connectivity.without_input",
    severity=Severity.INFO,
    reason="Neurons onto which no synapse leads never fire. Many of them mean that synapses were "
    "lost, or that the network was cut out of a larger one.",
    calibration="No neuron of the reference networks or of built-in columns is without input. "
    f"Found from {MANY_WITHOUT_INPUT:.0%} of the neurons on.",
    needs=_READABLE,
)
def without_input(context: Context) -> Iterator[Observation]:
    """A large share of the neurons has no synapse of any table."""
    incoming = np.zeros(context.network.n_neurons, dtype=np.int64)
    for group in context.tables:
        incoming += context.cells(group).incoming
    silent = np.flatnonzero(incoming == 0)
    if not incoming.any() or len(silent) < MANY_WITHOUT_INPUT * len(incoming):
        return
    yield Observation(
        where="neurons",
        message=f"{len(silent):,} of {len(incoming):,} neurons have no synapse onto them",
        hint="if they are not meant to be silent, find out which projection lacks its synapses",
        n_bad=len(silent),
        n_seen=len(incoming),
        examples=tuple(f"neuron {i}" for i in silent[:5].tolist()),
    )
