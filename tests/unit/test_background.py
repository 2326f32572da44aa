"""The background's draws: what is drawn, what is read, what is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.stats import binom, chisquare

from v1sim.errors import StimulusError
from v1sim.stimulus.background import DRAWS, PROBABILITY, event_weight, events, read_draws


def test_shared_draws_are_binomial():
    draws = np.concatenate([events("shared_binomial", 500, 3, trial) for trial in range(20)])
    seen = np.bincount(draws, minlength=DRAWS + 1)
    expected = binom.pmf(np.arange(DRAWS + 1), DRAWS, PROBABILITY) * draws.size
    rare = expected < 5
    pooled = [np.append(counts[~rare], counts[rare].sum()) for counts in (seen, expected)]
    assert chisquare(*pooled).pvalue > 0.001
    assert draws.mean() * event_weight("shared_binomial") == pytest.approx(0.1, rel=0.05)


def test_a_trial_is_drawn_alone_and_trials_differ():
    first, second = (events("shared_binomial", 300, 3, trial) for trial in (0, 1))
    np.testing.assert_array_equal(second, events("shared_binomial", 300, 3, 1))
    assert (first != second).any()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


def test_the_mean_is_the_expectation_of_the_draws():
    assert events("mean", 7, 1, 0).tolist() == [1] * 7
    assert event_weight("mean") == pytest.approx(
        PROBABILITY * DRAWS * event_weight("shared_binomial")
    )
    assert not events("none", 7, 1, 0).any()


@pytest.mark.parametrize("shape", [(12,), (3, 12), (4, 15)])
@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_recorded_draws_come_back(tmp_path, shape, suffix):
    values = np.random.default_rng(1).integers(0, DRAWS + 1, shape)
    path = tmp_path / f"draws{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    else:
        with h5py.File(path, "w") as file:
            file["draws"] = values.astype(np.uint8)
    draws = read_draws(path, [12, 10, 12])
    for trial, n_steps in enumerate((12, 10, 12)):
        row = values if len(shape) == 1 else values[trial]
        np.testing.assert_array_equal(
            events("recorded", n_steps, 1, trial, draws), row[:n_steps], strict=False
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full(12, 0.5), "12 of 12 values, for example 0.5"),
        (np.full(12, DRAWS + 1), "for example 11"),
        (np.full(12, -1), "for example -1"),
        (np.full(12, np.nan), "12 of 12 values"),
        (np.zeros(11), "draws of shape"),
        (np.zeros((2, 12)), "expected: for 3 trials of up to 12 steps"),
        (np.zeros((2, 12, 1)), "shape"),
        (np.array(["1"] * 12), "shape"),
    ],
)
def test_what_are_no_draws_is_refused(tmp_path, values, message):
    path = tmp_path / "draws.npy"
    np.save(path, values)
    with pytest.raises(StimulusError, match=message):
        read_draws(path, [12, 12, 12])


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(StimulusError, match="no such file"):
        read_draws(tmp_path / "draws.npy", [1])
    broken = tmp_path / "broken.npy"
    broken.write_bytes(b"\x93NUMPY")
    with pytest.raises(StimulusError, match="cannot be read"):
        read_draws(broken, [1])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["noise"] = np.zeros(3)
    with pytest.raises(StimulusError, match="no dataset 'draws', but noise"):
        read_draws(tmp_path / "other.h5", [1])
