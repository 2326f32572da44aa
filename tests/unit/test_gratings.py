from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lgn_cells import make_cells
from v1sim.errors import StimulusError
from v1sim.stimulus.gratings import (
    Grating,
    GratingStimulus,
    grating_movie,
    grating_rates,
)
from v1sim.stimulus.lgn import lgn_filters, rates_of_movie

ALL = ("sON_TF8", "tOFF_TF4", "sONsOFF_001", "sONtOFF_001")


@settings(max_examples=8, deadline=None)
@given(
    direction_deg=st.floats(0, 360),
    temporal_frequency_hz=st.sampled_from([0.0, 1.0, 2.0, 7.5, 15.0]),
    spatial_frequency_cpd=st.floats(0.0, 0.3),
    contrast=st.floats(0, 1),
    grey_ms=st.sampled_from([0.0, 30.0]),
    grating_ms=st.sampled_from([50.0, 900.0]),  # shorter and longer than the kernels
    phase_deg=st.floats(-180, 180),
)
def test_rates_equal_those_of_the_movie(**parameters):
    cells = make_cells(ALL, (20, 61.3, 100, 119), (20, 40.2, 70, 1))
    grating = Grating(**parameters)
    filters = lgn_filters(cells)
    direct = grating_rates(filters, grating)
    filmed = rates_of_movie(filters, grating_movie(grating))
    np.testing.assert_allclose(direct, filmed, atol=1e-3)


def test_movie_is_grey_then_the_documented_sinusoid():
    grating = Grating(30.0, 3.0, 0.05, contrast=0.7, grey_ms=20, grating_ms=40, phase_deg=15)
    movie = grating_movie(grating)
    assert movie.shape == (60, 80, 120)
    assert not movie[:20].any()
    y, x = np.mgrid[:80, :120]
    along = x * np.cos(np.pi / 6) - y * np.sin(np.pi / 6)
    for step in (0, 17, 39):
        phase = 2 * np.pi * (0.05 * along - 3.0 * step / 1000) + np.deg2rad(15)
        np.testing.assert_allclose(movie[20 + step], 0.7 * np.sin(phase), atol=1e-5)


@pytest.mark.parametrize(
    ("direction_deg", "axis", "shift"), [(0, 1, 1), (180, 1, -1), (90, 0, -1), (270, 0, 1)]
)
def test_bars_move_in_their_direction(direction_deg, axis, shift):
    """At 1 Hz and 0.1 cycles/degree a bar moves one pixel in 100 ms."""
    movie = grating_movie(Grating(direction_deg, 1.0, 0.1, grey_ms=0, grating_ms=101))
    moved = np.roll(movie[0], shift, axis=axis)
    interior = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(movie[100][interior], moved[interior], atol=1e-4)


def test_a_leftward_grating_reaches_cells_on_the_right_first():
    cells = make_cells(("sON_TF8",) * 2, (58.0, 62.0), (40, 40))
    lag_ms = {}
    for direction in (0.0, 180.0):
        rates = grating_rates(
            lgn_filters(cells), Grating(direction, 1.0, 0.05, grey_ms=0, grating_ms=3000)
        )
        steady = rates[1000:]
        peaks = steady[:1000].argmax(axis=0)
        lag_ms[direction] = (peaks[1] - peaks[0] + 500) % 1000 - 500
    # 4 pixels (119/120 of 4 degrees) at 20 degrees a second
    assert lag_ms[0.0] == pytest.approx(198, abs=3)
    assert lag_ms[180.0] == pytest.approx(-198, abs=3)


def test_composite_cell_answers_to_the_order_of_its_subunits():
    """ON lies at +x of OFF: the order in which bars cross them follows the direction."""
    cells = make_cells(("sONtOFF_001",), (60,), (40,), size_deg=3.0)
    modulation = {}
    for direction in (0.0, 180.0):
        steady = grating_rates(lgn_filters(cells), Grating(direction, 4.0, 0.05, 1.0, 0, 2000))[
            1000:, 0
        ]
        spectrum = np.abs(np.fft.rfft(steady)) / len(steady)
        modulation[direction] = 2 * spectrum[4] / spectrum[0]
    assert abs(modulation[0.0] - modulation[180.0]) > 0.2


def test_static_grating_settles():
    cells = make_cells(ALL, (20, 61, 100, 110), (20, 40, 70, 1))
    rates = grating_rates(lgn_filters(cells), Grating(45.0, 0.0, grey_ms=100, grating_ms=1500))
    np.testing.assert_array_equal(rates[1000:], np.tile(rates[1000], (600, 1)))
    assert np.ptp(rates[100:1000], axis=0).min() > 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction_deg": np.nan},
        {"temporal_frequency_hz": -1.0},
        {"temporal_frequency_hz": 501.0},
        {"spatial_frequency_cpd": 0.6},
        {"contrast": 1.01},
        {"contrast": np.nan},
        {"grey_ms": -1.0},
        {"grey_ms": 0.5},
        {"grating_ms": 0.0},
        {"phase_deg": np.inf},
    ],
)
def test_grating_refuses(wrong):
    with pytest.raises(StimulusError, match=next(iter(wrong))):
        Grating(**({"direction_deg": 0.0} | wrong))


def test_stimulus_of_gratings():
    cells = make_cells(ALL, (20, 61, 100, 110), (20, 40, 70, 1))
    gratings = [Grating(d, grey_ms=50, grating_ms=150) for d in (0, 90)]
    shown = GratingStimulus(cells, gratings, repeats=3)
    assert shown.n_lgn == 4
    assert [t.stimulus["direction_deg"] for t in shown.trials] == [0, 0, 0, 90, 90, 90]
    assert [t.stimulus["repeat"] for t in shown.trials] == [0, 1, 2, 0, 1, 2]
    assert [t.start_ms for t in shown.trials] == [0, 200, 400, 600, 800, 1000]
    assert {t.window_ms for t in shown.trials} == {(50, 200)}
    assert shown.strength(1) is shown.strength(2)
    rate = grating_rates(lgn_filters(cells), gratings[1])
    np.testing.assert_allclose(shown.strength(4), 1 - np.exp(-rate / 1000), atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        shown.strength(0)[0, 0] = 1


def test_each_grating_of_a_stimulus_has_its_own_frequency_contrast_and_picture():
    cells = make_cells(ALL, (20, 61, 100, 110), (20, 40, 70, 1))
    times = {"grey_ms": 20, "grating_ms": 100}
    gratings = [Grating(45, 2.0, **times), Grating(45, 8.0, contrast=0.2, **times)]
    gratings.append(Grating(200, 0.0, phase_deg=90, **times))
    shown = GratingStimulus(cells, gratings, repeats=1)
    for trial, grating in enumerate(gratings):
        rate = grating_rates(lgn_filters(cells), grating)
        np.testing.assert_allclose(shown.strength(trial), 1 - np.exp(-rate / 1000), atol=1e-6)
        movie = grating_movie(grating)
        for step in (0, 19, 20, 77):
            np.testing.assert_allclose(shown.picture(trial, step), movie[step], atol=1e-5)
    assert shown.trials[1].stimulus == {
        "direction_deg": 45.0,
        "temporal_frequency_hz": 8.0,
        "spatial_frequency_cpd": 0.04,
        "contrast": 0.2,
        "repeat": 0,
    }
    assert shown.trials[2].stimulus["orientation_deg"] == 20
    assert "direction_deg" not in shown.trials[2].stimulus
    assert len({shown.key(i) for i in range(3)}) == 3


@pytest.mark.parametrize(
    ("gratings", "repeats"),
    [([], 1), ([Grating(0)], 0), ([Grating(0), Grating(0, grey_ms=0)], 1)],
)
def test_refuses(gratings, repeats):
    with pytest.raises(StimulusError):
        GratingStimulus(make_cells(("sON_TF8",), (60,), (40,)), gratings, repeats=repeats)


def test_drift_is_that_of_bmtk():
    pytest.importorskip("bmtk")
    from bmtk.simulator.filternet.lgnmodel.movie import GratingMovie

    theirs = GratingMovie(80, 120).create_movie(
        t_max=0.05, cpd=0.05, temporal_f=4, theta=60, phase=30, contrast=0.7, degrees_per_pixel=1.0
    )
    # The formula of ours (see the test of the movie) at the places of their pixels.
    t_s, y, x = np.ix_(np.arange(51) / 1000, theirs.row_range, theirs.col_range)
    along = x * np.cos(np.pi / 3) - y * np.sin(np.pi / 3)
    phase = 2 * np.pi * (0.05 * along - 4 * t_s) + np.pi / 6
    np.testing.assert_allclose(theirs.data, 0.7 * np.sin(phase), atol=1e-9)
