"""Differences of two samples: against SciPy, published intervals, and draws of known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from v1sim.analysis.samples import (
    accuracy_difference,
    difference,
    false_discovery,
    mean_of,
    paired_difference,
)

RNG = np.random.default_rng(7)
VALUES = st.lists(st.floats(0, 50, allow_subnormal=False), min_size=2, max_size=30)


def decisions(right: int, n: int) -> np.ndarray:
    return np.arange(n) < right


def test_the_mean_has_student_s_interval():
    values = RNG.normal(3.0, 2.0, 40)
    seen = mean_of(np.append(values, np.nan))
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert (seen.n, seen.mean) == (40, pytest.approx(values.mean()))
    assert (seen.low, seen.high) == (pytest.approx(low), pytest.approx(high))
    assert np.isnan(mean_of(np.full(3, np.nan)).mean)
    one = mean_of(np.array([2.0]))
    assert (one.mean, np.isnan(one.low)) == (2.0, True)


def test_pairs_are_compared_neuron_by_neuron():
    before = RNG.gamma(2.0, 2.0, 200)
    after = before + RNG.normal(0.5, 1.0, 200)
    after[3] = before[9] = np.nan
    seen = paired_difference(before, after)
    both = ~np.isnan(before) & ~np.isnan(after)
    interval = stats.ttest_rel(after[both], before[both]).confidence_interval(0.95)
    assert (seen.low, seen.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert seen.p == pytest.approx(stats.wilcoxon(after[both], before[both]).pvalue)
    assert (seen.n_before, seen.paired) == (198, True)


@pytest.mark.parametrize(
    ("after", "effect"), [([2, 3, 4], 1.0), ([0, 1, 2], -1.0), ([1, 2, 3], 0.0)]
)
def test_the_effect_goes_from_all_fell_to_all_rose(after, effect):
    before = np.array([1.0, 2.0, 3.0])
    assert paired_difference(before, np.array(after, dtype=float)).effect == effect


def test_a_pair_that_moves_most_weighs_most():
    """Kerby 2014: ranks of 1, 2 and 3 fell by 1, rose by 2 and by 3: (2 + 3 - 1) / 6."""
    seen = paired_difference(np.zeros(3), np.array([-1.0, 2.0, 3.0]))
    assert seen.effect == pytest.approx(4 / 6)


@given(VALUES, VALUES)
def test_cliff_s_delta_counts_pairs(before, after):
    before, after = np.array(before), np.array(after)
    seen = difference(before, after)
    higher = np.sign(after[:, None] - before).mean()
    assert seen.effect == pytest.approx(higher)
    assert seen.difference == pytest.approx(after.mean() - before.mean())


def test_other_neurons_have_welch_s_interval():
    before, after = RNG.gamma(2.0, 2.0, 50), RNG.gamma(2.0, 3.0, 80)
    seen = difference(before, after)
    welch = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    assert (seen.low, seen.high) == (pytest.approx(welch.low), pytest.approx(welch.high))
    assert difference(before, np.full(3, np.nan)) is None
    assert paired_difference(before, np.full(50, np.nan)) is None


def test_newcombe_s_interval_is_the_published_one():
    """Newcombe 1998, table II: 56 of 70 against 48 of 80, method 10."""
    seen = accuracy_difference(decisions(48, 80), decisions(56, 70), paired=False)
    assert seen.difference == pytest.approx(0.2)
    assert (round(seen.low, 4), round(seen.high, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize("paired", [True, False])
def test_intervals_of_accuracies_cover_the_truth(paired):
    """Of 95 % intervals about 95 % do; pairs of decisions hang together."""
    rng = np.random.default_rng(3)
    n, covered = 80, []
    for _ in range(600):
        hard = rng.random(n)
        other = hard if paired else rng.random(n)
        before = hard + 0.3 * rng.normal(size=n) < 0.5
        after = other + 0.3 * rng.normal(size=n) < 0.7
        seen = accuracy_difference(before, after, paired=paired)
        covered.append((seen.low, seen.high))
    rng = np.random.default_rng(4)
    hard = rng.random(400_000)
    noise = 0.3 * rng.normal(size=(2, 400_000))
    truth = np.mean(hard + noise[0] < 0.7) - np.mean(hard + noise[1] < 0.5)
    share = np.mean([low <= truth <= high for low, high in covered])
    assert 0.92 < share < 0.985


def test_pairs_are_judged_by_those_that_changed():
    before = np.array([True] * 30 + [False] * 10)
    after = before.copy()
    assert accuracy_difference(before, after, paired=True).p == 1.0
    after[30:38] = True
    seen = accuracy_difference(before, after, paired=True)
    assert seen.p == pytest.approx(2 * 0.5**8)
    assert 0 < seen.low < seen.difference == pytest.approx(0.2)


def test_false_discoveries_are_controlled_in_the_order_given():
    assert false_discovery([0.04, 0.01, 0.5]) == pytest.approx([0.06, 0.03, 0.5])
    assert false_discovery([]) == []
