from __future__ import annotations

import elephant.statistics
import neo
import numpy as np
import pytest
import quantities as pq
from hypothesis import given
from hypothesis import strategies as st

from v1sim.analysis.rates import (
    in_window,
    mean_rate_hz,
    population_rate_hz,
    spike_counts,
    window_s,
)
from v1sim.model import SpikeTable, Trial


def table(*spikes: tuple[int, int, float]) -> SpikeTable:
    """Spikes as (trial, neuron, time)."""
    trial, neuron, time = np.array(spikes, dtype=float).reshape(-1, 3).T
    return SpikeTable(trial.astype(np.int32), neuron.astype(np.int32), time.copy())


def trials_of(*windows: tuple[float, float], duration_ms: float = 300.0) -> tuple[Trial, ...]:
    return tuple(
        Trial(i, i * duration_ms, duration_ms, window, {}) for i, window in enumerate(windows)
    )


def test_window_includes_its_start_and_excludes_its_stop() -> None:
    spikes = table((0, 1, 49.0), (0, 1, 50.0), (0, 1, 249.0), (0, 1, 250.0))
    np.testing.assert_array_equal(spike_counts(spikes, trials_of((50.0, 250.0)), 3), [[0, 2, 0]])


def test_each_trial_has_its_own_window() -> None:
    spikes = table((0, 0, 10.0), (0, 0, 100.0), (1, 0, 10.0), (1, 1, 100.0))
    trials = trials_of((0.0, 50.0), (50.0, 200.0))
    np.testing.assert_array_equal(spike_counts(spikes, trials, 2), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(window_s(trials), [0.05, 0.15])
    np.testing.assert_allclose(mean_rate_hz(spike_counts(spikes, trials, 2), trials), [5.0, 5.0])


@pytest.mark.parametrize("n_units", [0, 2])
def test_no_spikes(n_units: int) -> None:
    trials = trials_of((0.0, 100.0))
    counts = spike_counts(table(), trials, n_units)
    assert counts.shape == (1, n_units)
    assert not counts.any()
    assert not mean_rate_hz(counts, trials).any()


def test_no_trials_give_nan_rates() -> None:
    counts = spike_counts(table(), (), 2)
    assert counts.shape == (0, 2)
    assert np.isnan(mean_rate_hz(counts, ())).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 200))
def test_rates_agree_with_elephant(seed: int, n_spikes: int) -> None:
    rng = np.random.default_rng(seed)
    trials = trials_of((20.0, 120.0), (0.0, 300.0))
    time = np.sort(rng.integers(0, 300, n_spikes)).astype(float)
    spikes = SpikeTable(
        rng.integers(0, 2, n_spikes).astype(np.int32),
        rng.integers(0, 3, n_spikes).astype(np.int32),
        time,
    )
    counts = spike_counts(spikes, trials, 3)
    for trial in trials:
        start, stop = trial.window_ms
        for unit in range(3):
            times = time[(spikes.trial == trial.index) & (spikes.neuron == unit)]
            if not times.size:  # which Elephant refuses
                assert counts[trial.index, unit] == 0
                continue
            # Elephant includes both ends; spikes are on whole ms, so half a ms leaves the stop out.
            train = neo.SpikeTrain(times * pq.ms, t_start=0 * pq.ms, t_stop=300 * pq.ms)
            rate = elephant.statistics.mean_firing_rate(
                train, t_start=start * pq.ms, t_stop=(stop - 0.5) * pq.ms
            )
            n = float((rate * (stop - 0.5 - start) * pq.ms).rescale("dimensionless"))
            assert n == pytest.approx(counts[trial.index, unit])


@pytest.mark.filterwarnings("ignore:The 'copy' argument in Quantity")  # Elephant's own
def test_population_rate_agrees_with_elephant() -> None:
    rng = np.random.default_rng(1)
    trials = trials_of((0.0, 300.0), (0.0, 300.0))
    n_spikes = 400
    spikes = SpikeTable(
        rng.integers(0, 2, n_spikes).astype(np.int32),
        rng.integers(0, 5, n_spikes).astype(np.int32),
        rng.integers(0, 300, n_spikes).astype(float),
    )
    group = np.array([0, 1, 1, 0, 1])
    start_ms, rate_hz = population_rate_hz(spikes, trials, group, 2, bin_ms=25.0)
    np.testing.assert_array_equal(start_ms, np.arange(0, 300, 25))
    for g in range(2):
        members = np.flatnonzero(group == g)
        trains = [
            neo.SpikeTrain(
                np.sort(spikes.time_ms[(spikes.neuron == unit) & (spikes.trial == trial)]) * pq.ms,
                t_stop=300 * pq.ms,
            )
            for unit in members
            for trial in (0, 1)
        ]
        histogram = elephant.statistics.time_histogram(trains, 25 * pq.ms, output="rate")
        np.testing.assert_allclose(
            rate_hz[g], histogram.rescale("Hz").magnitude.ravel(), rtol=1e-12
        )


def test_population_rate_averages_over_the_trials_that_reach_a_bin() -> None:
    short, long = Trial(0, 0.0, 100.0, (0.0, 1.0), {}), Trial(1, 100.0, 250.0, (0.0, 1.0), {})
    spikes = table((0, 0, 10.0), (1, 0, 20.0), (1, 0, 150.0), (1, 0, 249.0))
    start_ms, rate_hz = population_rate_hz(spikes, (short, long), np.array([0]), 1, bin_ms=100.0)
    np.testing.assert_array_equal(start_ms, [0.0, 100.0, 200.0])
    np.testing.assert_allclose(rate_hz, [[10.0, 10.0, 20.0]])
    _, one = population_rate_hz(spikes, (long,), np.array([0]), 1, bin_ms=100.0)
    np.testing.assert_allclose(one, [[10.0, 10.0, 20.0]])


def test_population_rate_of_nobody() -> None:
    _, rate_hz = population_rate_hz(table(), trials_of((0.0, 1.0)), np.array([0]), 2, bin_ms=300.0)
    np.testing.assert_array_equal(rate_hz, [[0.0], [np.nan]])
    start_ms, rate_hz = population_rate_hz(table(), (), np.zeros(0, dtype=int), 1, bin_ms=10.0)
    assert (start_ms.size, rate_hz.shape) == (0, (1, 0))


def test_a_window_has_its_start_and_not_its_end():
    time_ms = np.array([199.0, 200.0, 449.0, 450.0])
    assert in_window(time_ms, 200.0, 450.0).tolist() == [False, True, True, False]
    # Elephant 1.2.1 counts the spike at the end, too.
    train = neo.SpikeTrain(time_ms, units="ms", t_stop=700.0)
    rate = elephant.statistics.mean_firing_rate(train, 200.0 * pq.ms, 450.0 * pq.ms)
    assert float((rate * 250.0 * pq.ms).simplified) == 3.0
