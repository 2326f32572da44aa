"""Numbers of synapses and of zero weights by cell: one pass over a table that many checks read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v1sim.model import NetworkModel, SynapseTable
from v1sim.receptors import KNOWN_KINDS, Kind

__all__ = ["CellCounts", "cell_counts"]

I64 = NDArray[np.int64]

#: Synapses handled at a time: the work arrays stay within the CPU's cache.
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class CellCounts:
    """How many synapses each cell has; the last axis is 1 for weights that are exactly zero.

    ``onto`` (n, receptors, 2) counts those onto each neuron by receptor, ``sent`` (cells, kinds, 2)
    those from each cell by its presynaptic kind (`NetworkModel.presynaptic_kind`): the known ones,
    and, where receptors do not say it, `Kind.UNKNOWN`.
    """

    onto: I64
    sent: I64

    @property
    def incoming(self) -> I64:
        """Synapses onto each neuron, (n,)."""
        n: I64 = self.onto.sum(axis=(1, 2))
        return n

    @property
    def incoming_zero(self) -> I64:
        """Those whose weight is exactly zero, (n,)."""
        n: I64 = self.onto[..., 1].sum(axis=1)
        return n

    @property
    def outgoing_zero(self) -> I64:
        """Synapses from each cell whose weight is exactly zero, (cells,)."""
        n: I64 = self.sent[..., 1].sum(axis=1)
        return n


def cell_counts(table: SynapseTable, network: NetworkModel, n_pre: int) -> CellCounts:
    """Count a table of a network whose indices and receptors are in range."""
    n_receptors = network.receptors.n
    onto = np.zeros((network.n_neurons, n_receptors, 2), dtype=np.int64)
    known = bool((network.receptors.presynaptic != Kind.UNKNOWN).all())
    n_kinds = len(KNOWN_KINDS) if known else len(Kind)
    sent = np.zeros((n_pre, n_kinds, 2), dtype=np.int64)
    key = np.empty(min(_BLOCK, len(table)), dtype=np.int64)
    # A receptor, and whether the weight is zero, in one number; and what it is as a kind.
    code_type = np.min_scalar_type(2 * n_receptors)
    kinds = network.receptors.presynaptic[0] << 1
    kind_code = np.stack([kinds, kinds | 1], axis=1).reshape(-1)
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        receptor, zero = table.receptor[part], (table.weight[part] == 0).view(np.uint8)
        index = key[: len(zero)]
        index[:] = table.post[part]
        index *= 2 * n_receptors
        code = (receptor.astype(code_type, copy=False) << 1) | zero
        index += code
        np.add.at(onto.reshape(-1), index, 1)
        index[:] = table.pre[part]
        index *= 2 * n_kinds
        if known and network.receptors.same_for_all_types:
            index += kind_code.take(code)
        else:
            index += (network.presynaptic_kind(table, part) << 1) | zero
        np.add.at(sent.reshape(-1), index, 1)
    return CellCounts(onto, sent)
