"""Statistics of weights for the report: information, not judgement.

Sums run over sorted values, so that the order of synapses changes no digit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.model import RECEPTORS, NetworkModel, SynapseTable

__all__ = ["PERCENTILES", "group_statistics"]

#: Percentiles of the size of nonzero weights.
PERCENTILES = (1, 10, 50, 90, 99)


def group_statistics(
    table: SynapseTable, network: NetworkModel, *, physical: bool
) -> dict[str, Any]:
    """Statistics of one synapse table, in all and by receptor, ready for JSON.

    Parameters
    ----------
    table : SynapseTable
    network : NetworkModel
    physical : bool
        Whether indices are in range, so that weights can be converted to pA.

    Returns
    -------
    dict
        ``n``, ``n_zero``, ``fraction_zero``, ``normalised`` and (if ``physical``)
        ``pa``: mean, standard deviation, extremes, and percentiles of the size
        of nonzero weights; ``receptors``: the same for each receptor that occurs.
    """
    weights = {"normalised": table.weight}
    if physical:
        scale = network.voltage_scale_mv.astype(np.float32)
        pa = scale[table.post]
        pa *= table.weight
        weights["pa"] = pa
    result = _statistics(weights)
    result["receptors"] = {
        name: _statistics({unit: values[chosen] for unit, values in weights.items()})
        for receptor, name in enumerate(RECEPTORS)
        if (chosen := table.receptor == receptor).any()
    }
    return result


def _statistics(weights: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
    normalised = weights["normalised"]
    n, n_zero = len(normalised), int(np.count_nonzero(normalised == 0))
    result: dict[str, Any] = {
        "n": n,
        "n_zero": n_zero,
        "fraction_zero": n_zero / n if n else None,
    }
    for unit, values in weights.items():
        result[unit] = _moments(values)
    return result


def _moments(values: NDArray[np.float32]) -> dict[str, Any] | None:
    """Moments and percentiles; None where there is no finite value."""
    ordered = np.sort(values[np.isfinite(values)])
    if not ordered.size:
        return None
    size = np.abs(ordered[ordered != 0])
    size.sort()
    return {
        "mean": float(ordered.mean(dtype=np.float64)),
        "std": float(ordered.std(dtype=np.float64)),
        "min": float(ordered[0]) + 0.0,
        "max": float(ordered[-1]) + 0.0,
        "abs_percentiles": {
            str(p): float(size[round((len(size) - 1) * p / 100)]) for p in PERCENTILES
        }
        if size.size
        else {},
    }
