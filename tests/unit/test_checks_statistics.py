"""Statistics: those of numpy, and the same in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.networks import damaged, tiny_network
from tests.unit.test_sources_provenance import permuted
from v1sim.checks import statistics
from v1sim.checks.statistics import PERCENTILES, SizeCounts, count_values, group_statistics

NET = tiny_network(zeros=0.2)


def expected(values: np.ndarray) -> dict[str, float]:
    values = values.astype(np.float64)
    return {
        "mean": values.mean(),
        "std": values.std(),
        "min": values.min(),
        "max": values.max(),
    }


def test_they_are_those_of_numpy():
    table = NET.tables["recurrent"]
    found = group_statistics(table, NET)
    assert found["n"] == len(table)
    assert found["n_zero"] == np.count_nonzero(table.weight == 0)
    parts = {None: np.ones(len(table), bool)} | {
        name: table.receptor == i for i, name in enumerate(NET.receptors.names)
    }
    for name, chosen in parts.items():
        part = found if name is None else found["receptors"][name]
        assert part["n"] == chosen.sum()
        for unit, values in (("normalised", table.weight), ("pa", table.weight_pa(NET))):
            size = np.sort(np.abs(values[chosen]))
            size = size[size > 0]
            for key, value in expected(values[chosen]).items():
                assert part[unit][key] == pytest.approx(value, rel=1e-5, abs=1e-7)
            for p in PERCENTILES:
                low, high = (
                    np.percentile(size, p, method="lower"),
                    np.percentile(size, p, method="higher"),
                )
                # Ranks differ by up to one value between definitions of a percentile.
                index = np.searchsorted(size, low)
                low = size[max(index - 1, 0)]
                assert low * 0.998 <= part[unit]["abs_percentiles"][str(p)] <= high * 1.002


@pytest.mark.parametrize("seed", range(5))
def test_order_changes_no_digit(seed):
    other = permuted(NET, seed)
    for group in ("recurrent", "lgn"):
        assert group_statistics(NET.tables[group], NET) == group_statistics(
            other.tables[group], other
        )


def test_infinities_and_emptiness():
    weight = NET.tables["recurrent"].weight.copy()
    weight[0] = np.nan
    found = group_statistics(damaged(NET, "recurrent", weight=weight).tables["recurrent"], NET)
    assert found["normalised"] is None
    assert found["n"] == len(weight)
    rows = {k: getattr(NET.tables["recurrent"], k)[:0] for k in NET.tables["recurrent"].columns}
    found = group_statistics(damaged(NET, "recurrent", **rows).tables["recurrent"], NET)
    assert found["n"] == 0
    assert found["fraction_zero"] is None
    assert found["receptors"] == {}


FLOATS = st.floats(-(2.0**99), 2.0**99, width=32)


@given(values=hnp.arrays(np.float32, st.integers(1, 60), elements=FLOATS))
def test_percentiles_lie_among_the_values(values):
    counted = statistics._no_sizes(1)
    statistics._count_sizes(counted, values, np.zeros(len(values), np.uint8))
    counts = SizeCounts(counted)
    size = np.sort(np.abs(values[np.abs(values) >= 1e-37]))
    for percent in (0, 50, 100):
        found = counts.percentile(percent, 0)
        if size.size == len(values):
            assert size[0] * 0.998 <= found <= size[-1] * 1.002
    if not values.any():
        assert counts.percentile(50) is None


def test_counting_is_bincount():
    values = np.random.default_rng(0).integers(0, 9, 1000).astype(np.int32)
    np.testing.assert_array_equal(count_values(values, 12), np.bincount(values, minlength=12))
    assert count_values(values[:0], 3).tolist() == [0, 0, 0]
