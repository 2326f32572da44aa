from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lgn_cells import make_cells
from v1sim.errors import StimulusError
from v1sim.stimulus.films import Film, FilmStimulus, grey, joined, movie, still
from v1sim.stimulus.lgn import lgn_filters, rates_of_movie

ALL = ("sON_TF8", "tOFF_TF4", "sONsOFF_001", "sONtOFF_001")


def cells():
    return make_cells(ALL, (20, 61, 100, 110), (20, 40, 70, 1))


def noise(n):
    return np.random.default_rng(n).uniform(-1, 1, (n, 80, 120)).astype(np.float32)


@given(n=st.integers(1, 40), rate_hz=st.floats(1, 1000))
def test_frames_of_a_movie_keep_the_rate(n, rate_hz):
    film = movie(np.zeros((n, 2, 3), dtype=np.float32), rate_hz)
    onset = np.cumsum(film.steps) - film.steps
    np.testing.assert_allclose(onset, np.arange(n) * 1000 / rate_hz, atol=0.5 + 1e-6)
    assert film.steps.min() >= 1
    assert abs(film.n_steps - n * 1000 / rate_hz) <= 0.5 + 1e-6


def test_joined_cut_and_looked_at():
    a, b = noise(1)[0], noise(2)
    film = joined([grey((120, 80), 3), still(a, 2), grey((120, 80), 0), movie(b, 500)])
    assert film.n_steps == 9
    assert len(film.frame) == 4
    for step, frame in enumerate([0, 0, 0, a, a, b[0], b[0], b[1], b[1]]):
        np.testing.assert_array_equal(film.at(step), np.broadcast_to(frame, (80, 120)))
    assert film.cut(6).steps.tolist() == [3, 2, 1]
    assert film.cut(5).steps.tolist() == [3, 2]
    assert film.cut(50).steps.tolist() == film.steps.tolist()
    with pytest.raises(ValueError, match="read-only"):
        film.frame[0] = 1


def test_frames_that_last_are_seen_as_often_as_they_are_shown():
    filters = lgn_filters(cells())
    film = Film(noise(3), np.array([40, 1, 160]))
    rates = rates_of_movie(filters, film.frame, film.steps)
    np.testing.assert_allclose(
        rates, rates_of_movie(filters, film.frame.repeat(film.steps, axis=0)), atol=1e-4
    )
    assert np.ptp(rates, axis=0).min() > 0.1


def test_stimulus_of_films():
    shown = FilmStimulus(
        cells(),
        [still(frame, 60) for frame in noise(2)],
        [{"image": 0}, {"image": 1}],
        repeats=2,
        window_ms=(10, 60),
    )
    assert [dict(t.stimulus) for t in shown.trials] == [
        {"image": 0, "repeat": 0},
        {"image": 0, "repeat": 1},
        {"image": 1, "repeat": 0},
        {"image": 1, "repeat": 1},
    ]
    assert {(t.duration_ms, t.window_ms) for t in shown.trials} == {(60.0, (10, 60))}
    rates = rates_of_movie(lgn_filters(cells()), noise(2)[1:], np.array([60]))
    np.testing.assert_allclose(shown.strength(3), 1 - np.exp(-rates / 1000), atol=1e-6)
    np.testing.assert_array_equal(shown.picture(1, 59), noise(2)[1])
    assert shown.key(0) != shown.key(1)
    assert shown.key(0) == FilmStimulus(
        cells(), [still(noise(2)[0], 60)], [{}], repeats=1, window_ms=(0, 60)
    ).key(0)


def test_refuses():
    with pytest.raises(StimulusError, match="at least one"):
        FilmStimulus(cells(), [], [], repeats=1, window_ms=(0, 1))
    film = still(noise(1)[0], 60)
    with pytest.raises(StimulusError, match="window"):
        FilmStimulus(cells(), [film], [{}], repeats=1, window_ms=(0, 61))
    white = still(noise(1)[0] + 2, 60)
    with pytest.raises(StimulusError, match="luminances"):
        FilmStimulus(cells(), [white], [{}], repeats=1, window_ms=(0, 60)).strength(0)
