"""Training's constants, held against TensorFlow's kernels and a real checkpoint's variables."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.networks import tiny_types
from v1sim.simulation.step_constants import (
    step_constants,
    tensorflow_exp,
    tensorflow_sigmoid,
)

_TENSORFLOW = """
import sys, numpy as np, tensorflow as tf
x = np.load("x.npy")
np.save("exp.npy", tf.exp(x).numpy())
np.save("sigmoid.npy", tf.sigmoid(x).numpy())
for checkpoint in sys.argv[1:]:
    reader = tf.train.load_checkpoint(checkpoint)
    path = "model/layer_with_weights-1/cell/{}/.ATTRIBUTES/VARIABLE_VALUE"
    names = "decay current_factor v_reset v_th syn_decay psc_initial param_k asc_amps".split()
    held = {name: reader.get_tensor(path.format(name)) for name in names}
    held["asc_decay"] = tf.exp(-1.0 * tf.sigmoid(held["param_k"])).numpy()
    np.savez(checkpoint.rpartition("/")[2] + ".npz", **held)
"""
#: Multiples of 16: TensorFlow computes what is left over from its vectors in another way.
ARGUMENTS = np.concatenate([np.linspace(-12, 12, 32_000), -np.geomspace(1e-6, 1, 4000)])


@pytest.fixture(scope="module")
def tensorflow(training, tmp_path_factory):
    """A folder of what TensorFlow gave, in a process of its own: importing it takes 10 s."""
    folder = tmp_path_factory.mktemp("tensorflow")
    np.save(folder / "x.npy", ARGUMENTS.astype(np.float32))
    done = subprocess.run(
        [sys.executable, "-c", _TENSORFLOW, str(training.checkpoint)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named 'tensorflow'" in done.stderr:
        pytest.skip("TensorFlow is not installed")
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize(
    ("name", "ours"), [("exp", tensorflow_exp), ("sigmoid", tensorflow_sigmoid)]
)
def test_every_bit_is_tensorflows(tensorflow, name, ours):
    np.testing.assert_array_equal(
        ours(ARGUMENTS.astype(np.float32)), np.load(tensorflow / f"{name}.npy")
    )


def test_every_bit_is_the_checkpoints(tensorflow, training):
    held = np.load(tensorflow / f"{training.checkpoint.name}.npz")
    network = training.open()
    constants = step_constants(network.cell_types)[network.neurons.cell_type]
    expected = np.column_stack(
        [
            *(held["decay"], held["current_factor"], held["v_reset"] - held["v_th"]),
            *(held["syn_decay"], held["psc_initial"], held["asc_decay"], held["asc_amps"]),
        ]
    )
    np.testing.assert_array_equal(constants, expected)


def test_they_are_the_exact_ones_rounded():
    types = tiny_types()
    decay = np.exp(-types.g_ns / types.c_m_pf)
    exact = np.column_stack(
        [
            decay,
            (1 - decay) / types.g_ns,
            (types.v_reset_mv - types.v_th_mv) / types.voltage_scale_mv,
            np.exp(-1 / types.tau_syn_ms),
            np.e / types.tau_syn_ms,
            np.exp(-types.k_per_ms),
            types.asc_amp_pa / types.voltage_scale_mv[:, None],
        ]
    )
    constants = step_constants(types)
    assert constants.dtype == np.float32
    # 1 - decay loses what decay has been rounded by.
    np.testing.assert_allclose(constants, exact, rtol=4e-6)


def test_a_k_that_training_cannot_hold():
    types = tiny_types(k_per_ms=np.tile([0.0, 1.5], (5, 1)))
    asc_decay = step_constants(types)[:, 11:13]
    np.testing.assert_allclose(asc_decay, np.tile([1.0, np.exp(-1.5)], (5, 1)), rtol=1e-6)
