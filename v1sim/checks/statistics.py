"""Statistics of weights for the report: information, not judgement.

One pass over a table in blocks. Sums are taken over whole numbers and sizes
are counted in bins, so that the order of synapses changes no digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.model import NetworkModel, SynapseTable

__all__ = ["PERCENTILES", "SizeCounts", "count_values", "group_statistics"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

#: Percentiles of the size of nonzero weights.
PERCENTILES = (1, 10, 50, 90, 99)
#: Synapses handled at a time.
_BLOCK = 1 << 20
#: The same where several work arrays are to stay in the CPU's cache.
_SMALL_BLOCK = 1 << 16
#: Low bits of a float32 that a bin does not tell apart: a bin is 0.2 % wide.
_DROPPED_BITS = 14
_BIN_BITS = 31 - _DROPPED_BITS
#: Steps of the largest size in which values are summed. The sums over a block are
#: whole numbers below 2**53, which float64 adds without rounding, in any order.
_STEPS = 2.0**32


@dataclass(frozen=True, eq=False)
class SizeCounts:
    """How many values of each size there are, by receptor: ``counts`` (receptors, bins).

    A bin holds the float32 numbers whose leading bits are its index.
    """

    counts: I64

    def percentile(self, percent: float, receptor: int | None = None) -> float | None:
        """Percentile of the nonzero sizes, within 0.1 %; None where there are none."""
        up_to = np.cumsum(self._nonzero(receptor))
        if up_to[-1] == 0:
            return None
        rank = max(1.0, percent / 100 * up_to[-1])
        index = np.uint32(1 + np.searchsorted(up_to, rank))
        middle = (index << np.uint32(_DROPPED_BITS)) + np.uint32(1 << (_DROPPED_BITS - 1))
        return float(middle.view(np.float32))

    def _nonzero(self, receptor: int | None) -> I64:
        counts = self.counts.sum(axis=0) if receptor is None else self.counts[receptor]
        return counts[1:]


def count_values(values: NDArray[np.integer], n: int) -> I64:
    """How often each of 0..n-1 occurs; `numpy.bincount` without its copy as int64 of it all."""
    counts = np.zeros(n, dtype=np.int64)
    for start in range(0, len(values), _BLOCK):
        counts += np.bincount(values[start : start + _BLOCK], minlength=n)
    return counts


def _no_sizes(n_receptors: int) -> I64:
    return np.zeros((n_receptors, 1 << _BIN_BITS), dtype=np.int64)


def _count_sizes(counts: I64, values: F32, receptor: NDArray[np.uint8]) -> None:
    """Add values to the counts of `SizeCounts`."""
    index = values.view(np.uint32) & np.uint32(0x7FFFFFFF)
    index >>= np.uint32(_DROPPED_BITS)
    index |= np.left_shift(receptor, _BIN_BITS, dtype=np.uint32)
    np.add.at(counts.reshape(-1), index.astype(np.intp), 1)


def group_statistics(table: SynapseTable, network: NetworkModel) -> dict[str, Any]:
    """Statistics of one synapse table, in all and by receptor, ready for JSON.

    Indices and receptors must be in range.

    Returns
    -------
    dict
        ``n``, ``n_zero``, ``fraction_zero``, and in ``normalised`` and ``pa``
        mean, standard deviation, extremes and percentiles of the size of nonzero
        weights (None where a value is not finite); ``receptors`` has the same for
        each receptor that occurs.
    """
    sums, names = _sums(table, network), network.receptors.names
    n, n_zero = sums.sizes.counts.sum(axis=1), sums.n_zero
    scale = network.cell_types.voltage_scale_mv
    units: dict[str, dict[str, Any]] = {}
    for unit, factor, sizes in (
        ("normalised", np.ones(len(scale)), sums.sizes),
        ("pa", scale, sums.sizes_pa),
    ):
        # Each type has one factor, so that sums over a type need be taken once only.
        usable = sums.largest is not None and bool(np.isfinite(_as_float32(factor)).all())
        units[unit] = (
            _summaries(sums, factor, sizes, names) if usable else dict.fromkeys(("all", *names))
        )
    receptors = {
        name: {
            **_shares(int(n[i]), int(n_zero[i])),
            **{unit: summaries[name] for unit, summaries in units.items()},
        }
        for i, name in enumerate(names)
        if n[i]
    }
    return {
        **_shares(int(n.sum()), int(n_zero.sum())),
        **{unit: summaries["all"] for unit, summaries in units.items()},
        "receptors": receptors,
    }


def _as_float32(factor: F64) -> F32:
    """Factors of float32 weights; infinite where no weight could be multiplied by them."""
    with np.errstate(over="ignore"):
        return factor.astype(np.float32)


def _shares(n: int, n_zero: int) -> dict[str, Any]:
    return {"n": n, "n_zero": n_zero, "fraction_zero": n_zero / n if n else None}


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sizes and zeros by receptor, and sums over the synapses onto each type by receptor.

    ``steps`` and ``squares`` (types, receptors) are sums of whole numbers of steps of
    ``largest``, the largest size; it is None where a weight is not finite, and these and the
    extremes say nothing. ``lowest`` exceeds ``highest`` where there are no synapses.
    """

    sizes: SizeCounts
    sizes_pa: SizeCounts
    n_zero: I64
    steps: I64
    squares: I64
    lowest: F32
    highest: F32
    largest: float | None


def _sums(table: SynapseTable, network: NetworkModel) -> _Sums:
    weight = table.normalised(network)
    ends = (float(f(weight)) if len(table) else 0.0 for f in (np.min, np.max))
    largest = max(abs(end) for end in ends)
    finite = bool(np.isfinite(largest))
    per_step = _STEPS / (largest or 1.0)
    n_receptors = network.receptors.n
    shape = (len(network.cell_types), n_receptors)
    sizes, sizes_pa = _no_sizes(n_receptors), _no_sizes(n_receptors)
    n_zero = np.zeros(n_receptors, dtype=np.int64)
    steps, squares = (np.zeros(shape, dtype=np.int64) for _ in range(2))
    lowest, highest = (np.full(shape, end, dtype=np.float32) for end in (np.inf, -np.inf))
    first = network.neurons.cell_type.astype(np.intp) * n_receptors
    scale = np.repeat(_as_float32(network.cell_types.voltage_scale_mv), n_receptors)
    for start in range(0, len(table), _SMALL_BLOCK):
        part = slice(start, start + _SMALL_BLOCK)
        values, receptor = weight[part], table.receptor[part]
        _count_sizes(sizes, values, receptor)
        zero = values == 0
        n_zero += [np.count_nonzero(zero & (receptor == i)) for i in range(n_receptors)]
        if not finite:
            continue
        index = first.take(table.post[part])
        index += receptor
        with np.errstate(over="ignore", invalid="ignore"):  # of a scale that is not finite
            _count_sizes(sizes_pa, scale.take(index) * values, receptor)
        _widen(lowest.reshape(-1), highest.reshape(-1), index, values)
        _add_moments(steps.reshape(-1), squares.reshape(-1), index, values * np.float64(per_step))
    return _Sums(
        sizes=SizeCounts(sizes),
        sizes_pa=SizeCounts(sizes_pa),
        n_zero=n_zero,
        steps=steps,
        squares=squares,
        lowest=lowest,
        highest=highest,
        largest=largest if finite else None,
    )


def _widen(lowest: F32, highest: F32, index: NDArray[np.intp], values: F32) -> None:
    """Let extremes reach as far as the values; only the few beyond them need a closer look."""
    beyond = values < lowest.take(index)
    beyond |= values > highest.take(index)
    rows = np.flatnonzero(beyond)
    np.minimum.at(lowest, index[rows], values[rows])
    np.maximum.at(highest, index[rows], values[rows])


def _add_moments(steps: I64, squares: I64, index: NDArray[np.intp], values: F64) -> None:
    """Add values and their squares, in steps; as complex numbers both are added in one go."""
    both = np.empty(len(values), dtype=np.complex128)
    np.rint(values, out=both.real)
    values *= values
    values /= _STEPS
    np.rint(values, out=both.imag)
    sums = np.zeros(len(steps), dtype=np.complex128)
    np.add.at(sums, index, both)
    steps += sums.real.astype(np.int64)
    squares += sums.imag.astype(np.int64)


def _summaries(
    sums: _Sums, factor: F64, counts: SizeCounts, names: tuple[str, ...]
) -> dict[str, Any]:
    """Moments and percentiles of all values and of those of each receptor."""
    summaries: dict[str, Any] = {}
    for i, name in enumerate(("all", *names), start=-1):
        chosen = slice(None) if i < 0 else slice(i, i + 1)
        n = int(sums.sizes.counts[chosen].sum())
        if n == 0:
            summaries[name] = None
            continue
        assert sums.largest is not None
        step = sums.largest / _STEPS
        mean = float(factor @ sums.steps[:, chosen].sum(axis=1)) * step / n
        square = float(factor**2 @ sums.squares[:, chosen].sum(axis=1)) * step * sums.largest / n
        some = sums.lowest[:, chosen] <= sums.highest[:, chosen]
        low, high = (
            (factor[:, np.newaxis] * extreme[:, chosen].astype(np.float64))[some]
            for extreme in (sums.lowest, sums.highest)
        )
        summaries[name] = {
            "mean": mean,
            "std": max(square - mean * mean, 0.0) ** 0.5,
            "min": float(min(low.min(), high.min())) + 0.0,
            "max": float(max(low.max(), high.max())) + 0.0,
            "abs_percentiles": {
                str(p): counts.percentile(p, None if i < 0 else i) for p in PERCENTILES
            },
        }
    return summaries
