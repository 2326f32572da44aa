from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v1sim.analysis.tuning import (
    PUBLISHED_TUNING,
    aligned_curves,
    direction_tuning,
    published_tuning,
)
from v1sim.model import Trial

DIRECTIONS = np.arange(0.0, 360.0, 45.0)


def gratings(directions=DIRECTIONS, repeats: int = 1, window_s: float = 2.0) -> tuple[Trial, ...]:
    """Trials in an order in which the repeats of a direction are far apart."""
    return tuple(
        Trial(i, i * 3000.0, 3000.0, (500.0, 500.0 + 1000.0 * window_s), {"direction_deg": d})
        for i, d in enumerate(np.tile(directions, repeats).tolist())
    )


def test_known_shapes() -> None:
    theta = np.deg2rad(DIRECTIONS)
    responses = np.stack(
        [
            np.full(8, 40),  # untuned
            np.where(DIRECTIONS == 90, 30, 0),  # one direction only
            np.where(np.isin(DIRECTIONS, [90, 270]), 30, 0),  # one orientation only
            np.rint(1000 * (1 + np.cos(theta - np.pi / 4))),  # cosine of direction
            np.rint(1000 * (1 + 0.6 * np.cos(2 * (theta - np.pi / 4)))),  # cosine of orientation
            np.zeros(8),  # silent
        ],
        axis=1,
    ).astype(int)
    tuning = direction_tuning(responses, gratings())
    np.testing.assert_allclose(tuning.osi, [0, 1, 1, 0, 0.3, np.nan], atol=1e-3)
    np.testing.assert_allclose(tuning.dsi, [0, 1, 0, 0.5, 0, np.nan], atol=1e-3)
    np.testing.assert_array_equal(tuning.preferred_deg, [0, 90, 90, 45, 45, np.nan])
    np.testing.assert_allclose(tuning.rate_hz, responses / 2.0)
    assert tuning.untuned_osi == pytest.approx(0.0, abs=1e-12)
    assert tuning.untuned_dsi == pytest.approx(0.0, abs=1e-12)


def test_rates_are_means_over_repeats() -> None:
    """Directions with more repeats do not count more."""
    trials = (*gratings(repeats=2), *gratings([0.0])[:1])
    trials = tuple(Trial(i, i * 3e3, 3e3, t.window_ms, t.stimulus) for i, t in enumerate(trials))
    counts = np.full((17, 1), 10)
    counts[8] = 40  # the second repeat of 0 degrees; the third has 10
    tuning = direction_tuning(counts, trials)
    np.testing.assert_array_equal(tuning.n_repeats, [3, 2, 2, 2, 2, 2, 2, 2])
    np.testing.assert_allclose(tuning.rate_hz[:, 0], [10, 5, 5, 5, 5, 5, 5, 5])
    assert tuning.osi[0] == pytest.approx((10 - 5) / 45)


def test_windows_of_different_length_give_rates() -> None:
    trials = list(gratings())
    trials[3] = Trial(3, 9000.0, 3000.0, (0.0, 1000.0), trials[3].stimulus)
    counts = np.full((8, 1), 10)
    counts[3] = 5
    assert direction_tuning(counts, trials).osi[0] == pytest.approx(0.0, abs=1e-12)


def test_trials_without_a_direction_are_left_out() -> None:
    blank = Trial(8, 24000.0, 3000.0, (0.0, 1000.0), {"kind": "blank"})
    counts = np.full((9, 1), 10)
    counts[8] = 10_000
    tuning = direction_tuning(counts, (*gratings(), blank))
    assert tuning.osi[0] == pytest.approx(0.0, abs=1e-12)
    assert tuning.rate_hz.max() == 5.0


def orientations(angles, repeats: int = 1) -> tuple[Trial, ...]:
    return tuple(
        Trial(i, i * 500.0, 500.0, (0.0, 500.0), {"orientation_deg": a, "phase_deg": float(i)})
        for i, a in enumerate(np.tile(angles, repeats).tolist())
    )


def test_orientations_have_no_direction() -> None:
    angles = np.arange(0.0, 180.0, 30.0)
    theta = np.deg2rad(angles)
    responses = np.stack(
        [
            np.full(6, 40),
            np.where(angles == 150, 30, 0),
            np.rint(1000 * (1 + 0.6 * np.cos(2 * (theta - np.pi / 3)))),
            np.zeros(6),
        ],
        axis=1,
    ).astype(int)
    tuning = direction_tuning(responses, orientations(angles))
    assert (tuning.axis, tuning.like_published) == ("orientation", False)
    np.testing.assert_allclose(tuning.osi, [0, 1, 0.3, np.nan], atol=1e-3)
    np.testing.assert_array_equal(tuning.preferred_deg, [0, 150, 60, np.nan])
    assert np.isnan(tuning.dsi).all()
    assert tuning.untuned_osi == pytest.approx(0.0, abs=1e-12)
    assert tuning.untuned_dsi == 0.0
    offset_deg, rate_hz = aligned_curves(np.tile(responses, (2, 1)), orientations(angles, 2))
    np.testing.assert_allclose(offset_deg, [-60, -30, 0, 30, 60, 90])
    assert rate_hz[:, 2].argmax() == 2


def test_trials_of_both_kinds_are_read_by_direction() -> None:
    trials = (*gratings(), *orientations([0.0, 60.0, 120.0]))
    trials = tuple(Trial(i, i * 3e3, 3e3, t.window_ms, t.stimulus) for i, t in enumerate(trials))
    counts = np.full((11, 1), 10)
    counts[8:] = 10_000
    tuning = direction_tuning(counts, trials)
    assert tuning.axis == "direction"
    assert tuning.rate_hz.max() == 5.0


def test_of_several_contrasts_the_highest_counts() -> None:
    trials = tuple(
        Trial(i, i * 3e3, 3e3, t.window_ms, {**t.stimulus, "contrast": c})
        for i, (c, t) in enumerate((c, t) for c in (0.1, 0.9, 0.4) for t in gratings())
    )
    counts = np.zeros((24, 1), dtype=int)
    counts[:8], counts[8:16], counts[16:] = 100, np.arange(8)[:, None], 50
    tuning = direction_tuning(counts, trials)
    np.testing.assert_allclose(tuning.rate_hz[:, 0], np.arange(8) / 2.0)
    assert not tuning.like_published
    assert tuning.n_repeats.tolist() == [1] * 8
    alone = direction_tuning(counts[8:16], trials[8:16])
    assert alone.like_published
    np.testing.assert_array_equal(alone.osi, tuning.osi)


@pytest.mark.parametrize("directions", [[], [0.0], [0.0, 90.0]])
def test_too_few_directions(directions: list[float]) -> None:
    counts = np.ones((len(directions), 2), dtype=int)
    assert direction_tuning(counts, gratings(directions)) is None


def test_uneven_directions_say_what_an_untuned_neuron_scores() -> None:
    tuning = direction_tuning(np.full((3, 1), 7), gratings([0.0, 45.0, 180.0]))
    assert tuning.untuned_osi == pytest.approx(tuning.osi[0])
    assert tuning.untuned_osi == pytest.approx(abs(2 + 1j) / 3)
    assert tuning.untuned_dsi == pytest.approx(tuning.dsi[0])


@given(
    counts=st.lists(st.integers(0, 50), min_size=8, max_size=8),
    turn=st.integers(0, 7),
    factor=st.integers(1, 5),
)
def test_indices_do_not_depend_on_preferred_direction_or_rate(
    counts: list[int], turn: int, factor: int
) -> None:
    pair = np.stack([counts, factor * np.roll(counts, turn)], axis=1)
    tuning = direction_tuning(pair, gratings())
    np.testing.assert_allclose(tuning.osi[0], tuning.osi[1], atol=1e-12)
    np.testing.assert_allclose(tuning.dsi[0], tuning.dsi[1], atol=1e-12)
    if any(counts):
        assert -1e-12 <= tuning.osi[0] <= 1 + 1e-12
    else:
        assert np.isnan(tuning.osi[0])


def test_aligned_curves_start_from_the_preferred_direction() -> None:
    curve = np.array([9, 5, 1, 0, 3, 0, 1, 5])
    counts = np.stack([np.roll(curve, 3), np.roll(curve, -1), np.zeros(8, dtype=int)], axis=1)
    offset_deg, rate_hz = aligned_curves(np.tile(counts, (2, 1)), gratings(repeats=2))
    np.testing.assert_array_equal(offset_deg, [-135, -90, -45, 0, 45, 90, 135, 180])
    for neuron in (0, 1):
        np.testing.assert_allclose(rate_hz[:, neuron] * 2.0, np.roll(curve, 3))
    assert np.isnan(rate_hz[:, 2]).all()


def test_aligned_curves_of_noise_have_no_peak() -> None:
    rng = np.random.default_rng(4)
    counts = rng.poisson(4.0, (40, 5000))
    offset_deg, rate_hz = aligned_curves(counts, gratings(repeats=5))
    assert rate_hz[offset_deg == 0].mean() == pytest.approx(2.0, abs=0.05)
    same_trials = direction_tuning(counts, gratings(repeats=5)).rate_hz.max(axis=0)
    assert same_trials.mean() > 2.4  # what aligning on the same trials would have shown


def test_aligned_curves_need_repeats_and_even_directions() -> None:
    assert aligned_curves(np.ones((8, 1), dtype=int), gratings()) is None
    uneven = gratings([0.0, 45.0, 180.0], repeats=2)
    assert aligned_curves(np.ones((6, 1), dtype=int), uneven) is None
    assert aligned_curves(np.ones((0, 1), dtype=int), ()) is None


def test_published_classes() -> None:
    assert published_tuning("e23").name == "e23Cux2"
    assert published_tuning("e4").n == sum(
        published_tuning(name).n for name in ("e4Nr5a1", "e4Rorb", "e4Scnn1a", "e4other")
    )
    assert published_tuning("e5ET").name == "e5"
    assert published_tuning("i4Vip").name == "i4Htr3a"
    assert published_tuning("i4Pvalb").median_osi == 0.087
    assert published_tuning("granule") is None


def test_published_figures_are_those_of_the_table(shared_data) -> None:
    with gzip.open(shared_data / "third_party/billeh_column_osi_dsi.csv.gz", "rt") as stream:
        header = stream.readline().split()
        rows = [line.split() for line in stream]
    name = np.array([row[header.index("pop_name")] for row in rows])
    osi, dsi, rate = (
        np.array([row[header.index(column)] for row in rows], dtype=float)
        for column in ("OSI", "DSI", "Ave_Rate(Hz)")
    )
    for row in PUBLISHED_TUNING.values():
        pooled = row.name[1:].isdigit()
        members = np.char.startswith(name, row.name) if pooled else name == row.name
        assert members.sum() == row.n
        assert np.median(osi[members]) == pytest.approx(row.median_osi, abs=6e-4)
        assert np.median(dsi[members]) == pytest.approx(row.median_dsi, abs=6e-4)
        assert rate[members].mean() == pytest.approx(row.mean_rate_hz, abs=6e-3)
