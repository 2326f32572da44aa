from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v1sim.errors import StimulusError
from v1sim.stimulus import spikes
from v1sim.stimulus.random_streams import stream
from v1sim.stimulus.spikes import draw_spikes, probability_of_rate


def test_same_seed_and_trial_same_spikes_whatever_else_was_drawn():
    probability = np.full((200, 30), 0.1, dtype=np.float32)
    first = draw_spikes(probability, seed=3, trial=7)
    draw_spikes(probability, seed=3, trial=6)
    again = draw_spikes(probability, seed=3, trial=7)
    np.testing.assert_array_equal(first.step, again.step)
    np.testing.assert_array_equal(first.source, again.source)
    for other in (draw_spikes(probability, 4, 7), draw_spikes(probability, 3, 8)):
        assert len(other) != len(first) or np.any(other.source != first.source)


def test_result_does_not_depend_on_the_size_of_blocks(monkeypatch):
    probability = np.random.default_rng(0).random((101, 7), dtype=np.float32)
    whole = draw_spikes(probability, 1, 0)
    monkeypatch.setattr(spikes, "_BLOCK", 30)  # 4 rows: 28 values, and an odd rest
    parts = draw_spikes(probability, 1, 0)
    np.testing.assert_array_equal(whole.step, parts.step)
    np.testing.assert_array_equal(whole.source, parts.source)


def test_statistics_of_draws():
    """Counts of 4e6 draws with a fixed seed; bounds of 6 sigma hold for nearly any seed."""
    p = np.tile(np.array([0.0, 1e-3, 0.02, 0.5, 1.0], dtype=np.float32), (80_000, 10))
    drawn = draw_spikes(p, seed=11, trial=2)
    count = np.bincount(drawn.source, minlength=50)
    mean, sigma = 80_000 * p[0], np.sqrt(80_000 * p[0] * (1 - p[0]))
    assert np.all(np.abs(count - mean) <= 6 * sigma)
    # Sources and neighbouring steps are independent: coincidences as often as chance.
    half = np.zeros((80_000, 10), dtype=bool)
    at_half = drawn.source % 5 == 3
    half[drawn.step[at_half], drawn.source[at_half] // 5] = True
    both = (half[:, 0] & half[:, 1]).sum(), (half[1:, 0] & half[:-1, 0]).sum()
    assert np.all(np.abs(np.array(both) - 20_000) < 6 * np.sqrt(80_000 * 0.25 * 0.75))


def test_spikes_are_sorted_and_read_only():
    drawn = draw_spikes(np.full((50, 20), 0.3), 1, 0)
    order = drawn.step.astype(np.int64) * 20 + drawn.source
    assert np.all(np.diff(order) > 0)
    assert drawn.step.dtype == drawn.source.dtype == np.int32
    assert not drawn.step.flags.writeable


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_nothing_to_draw(shape):
    assert len(draw_spikes(np.zeros(shape), 1, 0)) == 0


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_what_is_no_probability_is_refused(value):
    probability = np.full((5, 5), 0.5)
    probability[3, 2] = value
    with pytest.raises(StimulusError, match="probabilities"):
        draw_spikes(probability, 1, 0)


@given(st.floats(0, 1e4), st.sampled_from([0.1, 1.0]))
def test_probability_of_rate(rate_hz, dt_ms):
    value = probability_of_rate(np.array([rate_hz]), dt_ms)
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, 1 - np.exp(-rate_hz * dt_ms / 1000), rtol=1e-5, atol=1e-9)


def test_streams_are_named():
    draws = {
        key: stream(*key).random()
        for key in [(1, "a", 0), (1, "a", 1), (1, "b", 0), (2, "a", 0), (11, "a", 0), (1, "a", 11)]
    }
    assert len(set(draws.values())) == len(draws)
    assert stream(1, "a", 1).random() == draws[1, "a", 1]
    # Known value: a changed generator would change every stored result.
    assert stream(1, "lgn spikes", 0).integers(2**32) == KNOWN_DRAW


KNOWN_DRAW = 4073624738
