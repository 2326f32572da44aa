"""Up to five readable examples of what is wrong, the same ones in whatever order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from v1sim.model import SynapseTable
from v1sim.receptors import ReceptorKinds

__all__ = ["N_EXAMPLES", "neuron_examples", "synapse_examples"]

N_EXAMPLES = 5


def synapse_examples(
    table: SynapseTable, bad: NDArray[np.bool_], receptors: ReceptorKinds
) -> tuple[str, ...]:
    """The bad synapses with the lowest source, then target, receptor, delay and weight."""
    index = np.flatnonzero(bad)
    key = table.pre[index].view(np.uint32).astype(np.uint64) << np.uint64(32)
    key |= table.post[index].view(np.uint32)
    if len(index) > N_EXAMPLES:
        lowest = key <= np.partition(key, N_EXAMPLES - 1)[N_EXAMPLES - 1]
        index, key = index[lowest], key[lowest]
    columns = (table.weight[index], table.delay_ms[index], table.receptor[index], key)
    order = np.lexsort(columns)[:N_EXAMPLES]
    return tuple(_synapse(table, int(i), receptors) for i in index[order])


def _synapse(table: SynapseTable, i: int, receptors: ReceptorKinds) -> str:
    receptor = int(table.receptor[i])
    name = receptors.names[receptor] if receptor < receptors.n else f"receptor {receptor}"
    return (
        f"{table.pre[i]} -> {table.post[i]} ({name}, {table.delay_ms[i]:g} ms): "
        f"weight {table.weight[i]:g}"
    )


def neuron_examples(bad: NDArray[np.bool_]) -> tuple[str, ...]:
    """The bad neurons with the lowest indices."""
    return tuple(f"neuron {i}" for i in np.flatnonzero(bad)[:N_EXAMPLES])
