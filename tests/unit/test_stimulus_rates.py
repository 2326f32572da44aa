"""Rates and spikes from files, and one rate for all."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest

from v1sim.errors import StimulusError
from v1sim.stimulus.rates import constant_presentation, rate_file_presentation
from v1sim.stimulus.sonata_spikes import spike_file_presentation
from v1sim.stimulus.spikes import draw_spikes

N_LGN = 7


@pytest.fixture
def rate_hz():
    return np.random.default_rng(0).uniform(0, 80, (50, N_LGN))


def from_file(path, **changes):
    wanted = {"dataset": "rates_hz", "repeats": 2, "window_ms": None} | changes
    return rate_file_presentation(path, N_LGN, **wanted)


def test_constant_rate():
    shown = constant_presentation(N_LGN, 20.0, duration_ms=3000.0, repeats=2)
    assert shown.trials[1].stimulus == {"rate_hz": 20.0, "repeat": 1}
    assert shown.trials[1].window_ms == (0.0, 3000.0)
    np.testing.assert_allclose(shown.probability(1), 1 - np.exp(-0.02), rtol=1e-6)
    drawn = draw_spikes(shown.probability(0), 1, 0)
    mean = 3000 * N_LGN * (1 - np.exp(-0.02))
    assert abs(len(drawn) - mean) < 6 * np.sqrt(mean)


def test_no_rate_no_spikes():
    shown = constant_presentation(N_LGN, 0.0, duration_ms=100.0, repeats=1)
    assert len(draw_spikes(shown.probability(0), 1, 0)) == 0


@pytest.mark.parametrize("name", ["r.npy", "r.h5"])
def test_rates_of_a_file(tmp_path, rate_hz, name):
    path = tmp_path / name
    if name == "r.npy":
        np.save(path, rate_hz)
    else:
        with h5py.File(path, "w") as file:
            file["a/b"] = rate_hz
    shown = from_file(path, dataset="a/b", window_ms=(10.0, 50.0))
    assert len(shown.trials) == 2
    assert (shown.trials[0].duration_ms, shown.trials[0].window_ms) == (50.0, (10.0, 50.0))
    np.testing.assert_allclose(shown.probability(1), 1 - np.exp(-rate_hz / 1000), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r[:, :6], "6 LGN cells"),
        (lambda r: np.ones((N_LGN, 50)), "look swapped"),
        (lambda r: r - 1, "values from -"),
        (lambda r: r * np.nan, "values from nan"),
        (lambda r: r + 990, "0 to 1000"),
        (lambda r: r / 1000, "look like probabilities"),
        (lambda r: r[0], r"shape \(7,\)"),
        (lambda r: r[:0], r"shape \(0, 7\)"),
        (lambda r: r.astype(complex), "complex"),
    ],
)
def test_other_values_are_refused(tmp_path, rate_hz, change, message):
    np.save(tmp_path / "r.npy", change(rate_hz))
    with pytest.raises(StimulusError, match=message):
        from_file(tmp_path / "r.npy")


def test_all_silent_is_a_rate(tmp_path):
    np.save(tmp_path / "r.npy", np.zeros((50, N_LGN)))
    assert not from_file(tmp_path / "r.npy").probability(0).any()


def test_files_that_cannot_be_read(tmp_path, rate_hz):
    (tmp_path / "text.npy").write_text("1 2 3")
    (tmp_path / "text.h5").write_text("1 2 3")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["rates"] = rate_hz
    for name in ("text.npy", "text.h5", "absent.npy", "absent.h5"):
        with pytest.raises(StimulusError, match="cannot be read"):
            from_file(tmp_path / name)
    with pytest.raises(StimulusError, match=r"no dataset 'rates_hz', but rates(?s:.*)--set"):
        from_file(tmp_path / "other.h5")
    np.save(tmp_path / "r.npy", rate_hz)
    for wrong in ({"window_ms": (0.0, 51.0)}, {"repeats": 0}):
        with pytest.raises(StimulusError):
            from_file(tmp_path / "r.npy", **wrong)


def write_spikes(path, node, time_ms, population="lgn", units="milliseconds"):
    with h5py.File(path, "w") as file:
        group = file.create_group(f"spikes/{population}")
        group["node_ids"] = np.asarray(node)
        group["timestamps"] = np.asarray(time_ms, dtype=float)
        group["timestamps"].attrs["units"] = units
    return path


def spikes(path, **changes):
    wanted = {"population": None, "start_ms": 0.0, "duration_ms": 20.0, "pieces": 2} | changes
    return spike_file_presentation(path, N_LGN, **wanted)


def test_spikes_are_drawn_as_they_are_whatever_the_seed(tmp_path):
    path = write_spikes(tmp_path / "s.h5", [6, 0, 3, 3, 2], [0.0, 5.7, 19.999, 20.0, 45.0])
    shown = spikes(path)
    for seed in (1, 2):
        first, second = (draw_spikes(shown.probability(i), seed, i) for i in (0, 1))
        assert list(zip(first.step.tolist(), first.source.tolist(), strict=True)) == [
            (0, 6),
            (5, 0),
            (19, 3),
        ]
        assert (second.step.tolist(), second.source.tolist()) == ([0], [3])
    assert [t.stimulus["piece"] for t in shown.trials] == [0, 1]
    late = spikes(path, start_ms=40.0, pieces=1)
    assert draw_spikes(late.probability(0), 1, 0).step.tolist() == [5]


def test_times_that_seconds_rounded_stay_in_their_step(tmp_path):
    path = write_spikes(tmp_path / "s.h5", [1, 1], [2.9999999999, 0.007 * 1000])
    assert draw_spikes(spikes(path).probability(0), 1, 0).step.tolist() == [3, 7]


def test_two_spikes_of_a_cell_in_one_step_are_one_and_noted(tmp_path, caplog):
    path = write_spikes(tmp_path / "s.h5", [1, 1, 2], [3.2, 3.7, 3.7])
    with caplog.at_level(logging.WARNING):
        shown = spikes(path)
    assert "1 of 3 spikes" in caplog.text
    assert draw_spikes(shown.probability(0), 1, 0).source.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ({"node": [7], "time_ms": [1]}, {}, "node ids from 7 to 7"),
        ({"node": [-1], "time_ms": [1]}, {}, "node ids from -1"),
        ({"node": [1], "time_ms": [np.nan]}, {}, "not finite"),
        ({"node": [1], "time_ms": [1, 2]}, {}, "one id a timestamp"),
        ({"node": [1.5], "time_ms": [1]}, {}, "one id a timestamp"),
        ({"node": [1], "time_ms": [1], "units": "seconds"}, {}, "'seconds'"),
        ({"node": [1], "time_ms": [99]}, {}, "no spikes among 2 pieces of 20 ms"),
        ({"node": np.array([], dtype=int), "time_ms": []}, {}, "no times at all"),
        ({"node": [1], "time_ms": [1]}, {"population": "v1"}, "no population 'v1'"),
        ({"node": [1], "time_ms": [1]}, {"window_ms": (0.0, 30.0)}, "window"),
    ],
)
def test_other_spike_files_are_refused(tmp_path, file, changes, message):
    path = write_spikes(tmp_path / "s.h5", **file)
    with pytest.raises(StimulusError, match=message):
        spikes(path, **changes)


def test_of_several_populations_one_must_be_named(tmp_path):
    path = write_spikes(tmp_path / "s.h5", [1], [1])
    with h5py.File(path, "a") as file:
        file.copy("spikes/lgn", "spikes/v1")
    with pytest.raises(StimulusError, match=r"2 populations(?s:.*)one of lgn, v1"):
        spikes(path)
    assert draw_spikes(spikes(path, population="v1").probability(0), 1, 0).step.tolist() == [1]


def test_what_is_no_spike_file_is_refused(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["spikes"] = [1]
    with h5py.File(tmp_path / "half.h5", "w") as file:
        file["spikes/lgn/node_ids"] = [1]
    for name in ("absent.h5", "text.h5", "other.h5", "half.h5"):
        with pytest.raises(StimulusError, match=name):
            spikes(tmp_path / name)
