"""Decisions by readout groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from v1sim.analysis.readout import accuracy_curve, classify, labels, votes, wilson_interval
from v1sim.model import SpikeTable, Trial

GROUPS = [np.array([0, 1], dtype=np.int32), np.array([5, 3]), np.array([4])]


def spike_table(*spikes: tuple[int, int, float]) -> SpikeTable:
    trial, neuron, time_ms = np.array(sorted(spikes)).reshape(-1, 3).T
    return SpikeTable(trial.astype(np.int32), neuron.astype(np.int32), time_ms.astype(float))


def make_trials(*shown: int | None, window_ms=(20.0, 30.0)) -> tuple[Trial, ...]:
    return tuple(
        Trial(i, 40.0 * i, 40.0, window_ms, {} if label is None else {"label": label})
        for i, label in enumerate(shown)
    )


def test_spikes_in_the_window_are_votes():
    spikes = spike_table(
        *[(0, 0, 20.0), (0, 1, 29.0), (0, 0, 30.0), (0, 0, 19.0)],  # start in, stop out
        *[(0, 5, 25.0), (0, 2, 25.0), (1, 4, 22.0), (1, 4, 23.0), (1, 3, 24.0)],
    )
    assert votes(spikes, 3, GROUPS, (20.0, 30.0)).tolist() == [[2, 1, 0], [0, 1, 2], [0, 0, 0]]


def test_decisions():
    spikes = spike_table((0, 0, 21.0), (1, 4, 21.0), (2, 0, 21.0), (2, 3, 21.0), (3, 4, 5.0))
    found = classify(spikes, make_trials(0, 1, 1, 0), GROUPS)
    assert found.decision.tolist() == [0, 2, 0, 0]  # equal and silent: the first, as argmax
    assert found.n_undecided == 2
    assert found.accuracy == 0.5
    assert found.confusion.tolist() == [[2, 0, 0], [1, 0, 1], [0, 0, 0]]
    assert found.interval == wilson_interval(2, 4)


def test_a_wrong_window_is_seen():
    shown = [i % 3 for i in range(30)]
    spikes = spike_table(*[(i, [0, 3, 4][label], 2.0) for i, label in enumerate(shown)])
    found = classify(spikes, make_trials(*shown), GROUPS)
    assert found.accuracy == pytest.approx(1 / 3)
    assert found.best_start_ms == 0.0
    assert found.curve_accuracy.max() == 1.0
    assert found.curve_start_ms.tolist() == list(np.arange(0.0, 31.0, 2.0))


def test_the_response_window_is_on_the_curve():
    spikes = spike_table((0, 0, 8.0), (1, 3, 7.0))
    trials = make_trials(0, 1, window_ms=(7.0, 18.0))
    start_ms, accuracy = accuracy_curve(spikes, trials, GROUPS, np.array([0, 1]))
    at = np.flatnonzero(np.isclose(start_ms, 7.0))
    assert at.size == 1
    assert accuracy[at[0]] == 1.0
    assert start_ms.min() >= 0
    assert start_ms.max() + 11.0 <= 40.0


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(0, 39)), max_size=60),
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
)
def test_counts_add_up(spikes, shown):
    table = spike_table(*spikes)
    found = classify(table, make_trials(*shown), GROUPS)
    assert found.confusion.sum() == 6
    assert found.confusion.trace() / 6 == pytest.approx(found.accuracy)
    np.testing.assert_array_equal(found.confusion.sum(axis=1), np.bincount(shown, minlength=3))
    heard = np.isin(table.neuron, np.concatenate(GROUPS))
    heard &= (table.time_ms >= 20) & (table.time_ms < 30)
    assert found.votes.sum() == heard.sum()
    assert found.interval[0] <= found.accuracy <= found.interval[1]


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_scipys(counts):
    n_right, n = counts
    theirs = binomtest(n_right, n).proportion_ci(method="wilson")
    assert wilson_interval(n_right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_nothing_to_classify():
    spikes = spike_table((0, 0, 21.0))
    assert classify(spikes, make_trials(0, 1), []) is None
    assert classify(spikes, make_trials(0, None), GROUPS) is None
    assert classify(spikes, (), GROUPS) is None


def test_other_labels_and_windows_are_refused():
    with pytest.raises(ValueError, match="label 3, but the readout has 3 classes"):
        labels(make_trials(0, 3), 3)
    with pytest.raises(ValueError, match="label -1"):
        labels(make_trials(0, -1), 3)
    first, second = make_trials(0, 1)
    with pytest.raises(ValueError, match="2 different response windows"):
        labels((first, replace(second, window_ms=(0.0, 10.0))), 3)


@pytest.mark.parametrize("n", range(1, 200))
def test_an_interval_holds_its_proportion(n):
    """Also where rounding would put the end of a perfect score at 0.9999999999999999."""
    for n_right in (0, 1, n):
        low, high = wilson_interval(n_right, n)
        assert 0 <= low <= n_right / n <= high <= 1
