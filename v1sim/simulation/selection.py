"""Which neurons a configuration means: populations, and ids in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.model import NetworkModel

__all__ = ["neurons_of"]


def neurons_of(
    cells: Mapping[str, Literal["all"] | Sequence[int]], network: NetworkModel, where: str
) -> NDArray[np.int32]:
    """Indices of neurons, ascending.

    Parameters
    ----------
    cells : mapping
        ``all``, or node ids, by name of the population.
    network : NetworkModel
        Has the populations.
    where : str
        For errors.

    Raises
    ------
    InputError
        If a population or an id is not there.
    """
    known = {population.name for population in network.populations}
    unknown = [name for name in cells if name not in known]
    if unknown:
        raise InputError(
            f"the network has no population {unknown[0]!r}",
            where=where,
            expected=f"one of {', '.join(sorted(known))}",
        )
    found, start = [np.empty(0, dtype=np.int64)], 0
    for population in network.populations:
        wanted = cells.get(population.name, ())
        if wanted == "all":
            found.append(start + np.arange(len(population)))
        else:
            ids = np.unique(np.array(wanted, dtype=np.int64))
            missing = np.setdiff1d(ids, population.node_id)
            if missing.size:
                raise InputError(
                    f"{population.name} has no cell of the id {missing[0]} "
                    f"({missing.size} of {ids.size} ids)",
                    where=where,
                    expected="node ids of its cells",
                )
            found.append(start + np.flatnonzero(np.isin(population.node_id, ids)))
        start += len(population)
    return np.concatenate(found).astype(np.int32)
