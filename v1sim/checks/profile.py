"""Weights by pair of cell types and size: one pass over a table that many checks read.

Sizes are counted in quarter octaves, which is as fine as limits need: they are factors of
three and more. Counts do not depend on the order of the synapses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from v1sim.model import NetworkModel, SynapseTable

__all__ = ["SIZES", "Separation", "WeightProfile", "pair_codes", "separation", "weight_profile"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: Synapses handled at a time: the work arrays stay within the CPU's cache.
_BLOCK = 1 << 16
#: Types beyond this are merged with their neighbours: tables of all pairs must stay small.
_MAX_GROUPS = 200
#: Quarter octaves: a float32's exponent and the first two bits of its mantissa. Bins reach from
#: 2**-26 to 2**18; smaller and larger sizes count in the outermost. Bin 0 holds zeros.
_DROPPED_BITS = 21
_FIRST, _N_BINS = (127 - 26) * 4, 44 * 4 + 1

#: Size in the middle of each bin; 0 for the first.
SIZES: F64 = np.concatenate(
    [
        [0.0],
        2.0 ** (np.arange(_N_BINS - 1) // 4 - 26) * (1 + (np.arange(_N_BINS - 1) % 4 + 0.5) / 4),
    ]
)
SIZES.flags.writeable = False


@dataclass(frozen=True, eq=False)
class WeightProfile:
    """Numbers of synapses by source group, target group and size, and each pair's receptor.

    Groups are the cell types, several together where there are hundreds; cells outside of the
    network are one source group. ``counts`` is (pre, post, bins); ``receptor`` (pre, post) that
    of any synapse of the pair, which the checks of structure show to be that of all.
    """

    counts: I64
    receptor: NDArray[np.uint8]
    group_of_type: NDArray[np.int64]

    @cached_property
    def n(self) -> I64:
        """Synapses of each pair."""
        n: I64 = self.counts.sum(axis=-1)
        return n

    @property
    def n_zero(self) -> I64:
        """Synapses of each pair whose weight is exactly zero."""
        return self.counts[..., 0]

    def nonzero(self, receptor: int) -> tuple[I64, I64]:
        """Pairs of a receptor, as indices into flattened pairs, and their counts by size."""
        pairs = np.flatnonzero((self.n > 0).ravel() & (self.receptor.ravel() == receptor))
        counts = self.counts.reshape(-1, _N_BINS)[pairs].copy()
        counts[:, 0] = 0
        return pairs, counts


def _groups(network: NetworkModel) -> NDArray[np.int64]:
    """Group of each type."""
    n_types = len(network.cell_types)
    index = np.arange(n_types, dtype=np.int64)
    return index if n_types <= _MAX_GROUPS else index * _MAX_GROUPS // n_types


def pair_codes(table: SynapseTable, network: NetworkModel, *, external: bool) -> NDArray[np.uint16]:
    """``source group * target groups + target group`` of each synapse; needs indices in range."""
    group_of_type = _groups(network)
    n_groups = int(group_of_type[-1]) + 1
    group = group_of_type[network.neurons.cell_type].astype(np.uint16)
    scaled = group * np.uint16(n_groups)
    codes = np.empty(len(table), dtype=np.uint16)
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        # "raise", the default, would write to a copy first.
        group.take(table.post[part], out=codes[part], mode="clip")
        if not external:
            codes[part] += scaled.take(table.pre[part])
    return codes


def weight_profile(
    table: SynapseTable, network: NetworkModel, codes: NDArray[np.uint16], *, external: bool
) -> WeightProfile:
    """Profile of a table whose indices and receptors are in range and whose weights are finite."""
    group_of_type = _groups(network)
    n_groups = int(group_of_type[-1]) + 1
    shape = (1 if external else n_groups, n_groups)
    n_pairs = shape[0] * shape[1]
    counts = np.zeros(n_pairs * _N_BINS, dtype=np.int64)
    receptor = np.zeros(n_pairs, dtype=np.uint8)
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        index = codes[part].astype(np.int64)
        receptor[index] = table.receptor[part]
        index *= _N_BINS
        index += _bins(table.normalised(network, part))
        np.add.at(counts, index, 1)
    return WeightProfile(counts.reshape(*shape, -1), receptor.reshape(shape), group_of_type)


def _bins(weight: NDArray[np.float32]) -> NDArray[np.int32]:
    bits = weight.view(np.int32) & np.int32(0x7FFFFFFF)
    index = bits >> np.int32(_DROPPED_BITS)
    index -= np.int32(_FIRST - 1)
    np.clip(index, 1, _N_BINS - 1, out=index)
    index *= bits != 0
    return index


@dataclass(frozen=True)
class Separation:
    """How far groups differ: an F statistic, which is about 1 where they do not.

    ``noise`` is the standard deviation of ``f`` when values are dealt out at random.
    """

    f: float
    n_groups: int
    n: int

    @property
    def noise(self) -> float:
        """Standard deviation of ``f`` by chance."""
        return float(np.sqrt(2 / max(self.n_groups - 1, 1)))

    @property
    def sigmas(self) -> float:
        """How far ``f`` lies above chance, in standard deviations."""
        return (self.f - 1) / self.noise


def separation(counts: I64, values: F64) -> Separation:
    """How far rows differ in the mean of ``values``, given how often each has each value.

    Parameters
    ----------
    counts : int array, shape (groups, values)
    values : float array, shape (values,)
    """
    counts = counts[counts.sum(axis=1) > 0]
    n = counts.sum(axis=1)
    total, n_groups = int(n.sum()), len(n)
    if n_groups < 2 or total <= n_groups:
        return Separation(1.0, n_groups, total)
    sums = counts @ values
    centre = sums.sum() / total
    between = float((n * (sums / n - centre) ** 2).sum())
    overall = float((counts.sum(axis=0) * (values - centre) ** 2).sum())
    within = (overall - between) / (total - n_groups)
    if within <= 1e-12 * max(overall, 1e-300):
        return Separation(np.inf if between > 0 else 1.0, n_groups, total)
    return Separation(between / (n_groups - 1) / within, n_groups, total)
