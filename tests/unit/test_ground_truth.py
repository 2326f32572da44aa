"""Files of another simulator's spikes: what is read, what is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from v1sim.errors import InputError
from v1sim.sources.ground_truth import read_ground_truth, read_input, truth_groups

SHAPE = (2, 5, 3)


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(1)
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["input_spikes"] = rng.integers(0, 2, (2, 5, 4)).astype(np.uint8)
        file["voltage_neuron_ids"] = np.array([2, 0])
        for name in ("trained/mean_background", "noise"):
            file[f"{name}/z"] = rng.integers(0, 2, SHAPE).astype(np.uint8)
        file["trained/mean_background/voltage_mV"] = rng.normal(-70, 5, (2, 5, 2))
        file["noise/background"] = np.array([0, 1, 2, 3, 4])
    return tmp_path / "truth.h5"


def change(path, **datasets):
    with h5py.File(path, "a") as file:
        for name, values in datasets.items():
            name = name.replace("__", "/")
            file.pop(name, None)
            if values is not None:
                file[name] = values


def test_what_is_there_is_read(path):
    assert truth_groups(path) == ("noise", "trained/mean_background")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(read_input(path, 4), file["input_spikes"])
    truth = read_ground_truth(path, "trained/mean_background", SHAPE)
    assert (truth.background, truth.draws) == ("mean", None)
    assert truth.voltage_neuron.tolist() == [2, 0]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(truth.spike, file["trained/mean_background/z"])
    noise = read_ground_truth(path, "noise", SHAPE)
    assert noise.background == "recorded"
    assert noise.voltage_mv.shape == (2, 5, 0)
    np.testing.assert_array_equal(noise.draws, [[0, 1, 2, 3, 4]] * 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_spikes": None}, "no dataset 'input_spikes', but noise"),
        ({"input_spikes": np.zeros((2, 5, 3))}, r"shape \(2, 5, 3\)"),
        ({"input_spikes": np.full((2, 5, 4), -0.5)}, "negative or not finite"),
        ({"input_spikes": np.full((2, 5, 4), np.nan)}, "negative or not finite"),
        ({"noise__z": np.full(SHAPE, 0.5)}, "noise/z: values other than 0 and 1"),
        ({"noise__z": np.zeros((2, 4, 3))}, r"noise/z: shape \(2, 4, 3\)"),
        ({"noise__background": np.zeros(4)}, "noise/background: shape"),
        ({"noise__background": None}, "nothing says what drove the background"),
        ({"noise__voltage_mV": np.zeros((2, 5, 1))}, "noise/voltage_mV: shape"),
        (
            {"noise__voltage_mV": np.zeros((2, 5, 2)), "voltage_neuron_ids": np.array([0, 3])},
            "voltage_neuron_ids: 2 neurons that are not all in the network",
        ),
    ],
)
def test_what_does_not_fit_is_refused(path, changes, message):
    change(path, **changes)
    with pytest.raises(InputError, match=message):
        read_input(path, 4)
        read_ground_truth(path, "noise", SHAPE)


def test_analog_input_is_read_as_it_is(path):
    change(path, input_spikes=np.full((2, 5, 4), 0.5))
    values = read_input(path, 4)
    assert values.dtype == np.float32
    assert (values == 0.5).all()


def test_files_that_hold_no_truth(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        truth_groups(tmp_path / "truth.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        truth_groups(tmp_path / "text.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(InputError, match="no group holds spikes"):
        truth_groups(tmp_path / "empty.h5")
