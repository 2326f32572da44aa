"""Rates from a file, and one rate for all."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tests.networks import tiny_network, with_parts
from v1sim.errors import StimulusError
from v1sim.stimulus.kinds.rates import Rates
from v1sim.stimulus.kinds.spontaneous import Spontaneous

N_LGN = 7
NETWORK = with_parts(tiny_network(), n_lgn=N_LGN, lgn_cells=None)


@pytest.fixture
def rate_hz():
    return np.random.default_rng(0).uniform(0, 80, (50, N_LGN))


def from_file(path, **keys):
    return Rates(kind="rates", file=path, **({"trials": 2} | keys)).made_for(NETWORK)


def one_rate(rate_hz, duration_ms, trials):
    return Spontaneous(
        kind="spontaneous", rate_hz=rate_hz, duration_ms=duration_ms, trials=trials
    ).made_for(NETWORK)


def test_constant_rate():
    shown = one_rate(20.0, 3000.0, 2)
    assert shown.trials[1].stimulus == {"rate_hz": 20.0, "repeat": 1}
    assert shown.trials[1].window_ms == (0.0, 3000.0)
    np.testing.assert_allclose(shown.strength(1), 1 - np.exp(-0.02), rtol=1e-6)
    mean = 3000 * N_LGN * (1 - np.exp(-0.02))
    assert abs(len(shown.input(0, 1)) - mean) < 6 * np.sqrt(mean)


def test_no_rate_no_spikes():
    assert len(one_rate(0.0, 100.0, 1).input(0, 1)) == 0


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
    np.testing.assert_allclose(shown.strength(1), 1 - np.exp(-rate_hz / 1000), rtol=1e-5)


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
    assert not from_file(tmp_path / "r.npy").strength(0).any()


def test_a_group_of_pandas_is_named(tmp_path, rate_hz):
    path = tmp_path / "r.h5"
    with h5py.File(path, "w") as file:
        file["rates_hz/axis0"] = np.arange(N_LGN)
        file["rates_hz/block0_values"] = rate_hz
    with pytest.raises(StimulusError, match=r"written by pandas(?s:.*)=rates_hz/block0_values"):
        from_file(path)
    assert len(from_file(path, dataset="rates_hz/block0_values").trials) == 2


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
    with pytest.raises(StimulusError, match="window"):
        from_file(tmp_path / "r.npy", window_ms=(0.0, 51.0))
