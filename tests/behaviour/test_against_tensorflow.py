"""The dynamics of training in TensorFlow itself, on a small network: drawn spikes and analog input.

The cell is written as the published one (Chen, Scherr & Maass 2022, doi 10.1126/sciadv.abq7592) is:
float32, sparse products, receptors beside each other. Nothing of v1sim computes in it. It runs
eagerly: what TensorFlow makes of a graph may add in another order.
"""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from tests.checkpoints import tensorflow
from tests.networks import admitted, sealed, tiny_network
from v1sim import verification
from v1sim.model import CellTypeTable, NetworkModel
from v1sim.sources.hdf5 import write_network

N_TRIALS, N_STEPS = 3, 150
F32 = np.float32


def network() -> NetworkModel:
    """The small network, with parameters of float32 and a reset below E_L."""
    tiny = tiny_network()
    types = tiny.cell_types
    names = ("c_m_pf", "g_ns", "e_l_mv", "v_th_mv", "t_ref_ms", "k_per_ms", "asc_amp_pa")
    rounded = {name: getattr(types, name).astype(F32) for name in (*names, "tau_syn_ms")}
    rounded["v_reset_mv"] = (types.v_reset_mv - 3.0).astype(F32)
    columns = {name: values.astype(np.float64) for name, values in rounded.items()}
    return sealed(replace(tiny, cell_types=types.with_columns(**columns)), kind="constructed")


def constants(tf, types: CellTypeTable):
    """Of each cell type, in many copies: Eigen rounds the last of an array in another way."""
    column = {
        name: np.repeat(np.asarray(getattr(types, name), F32), 64, axis=0)
        for name in ("c_m_pf", "g_ns", "e_l_mv", "v_th_mv", "v_reset_mv", "t_ref_ms")
    }
    k, amplitude, tau_syn = (
        np.repeat(np.asarray(values, F32), 64, axis=0)
        for values in (types.k_per_ms, types.asc_amp_pa, types.tau_syn_ms)
    )
    scale = column["v_th_mv"] - column["e_l_mv"]
    tau = column["c_m_pf"] / column["g_ns"]
    decay = np.exp(-1 / tau)
    held_k = tf.sigmoid(tf.constant(np.log(k / (1 - k))))
    made = {
        "decay": decay,
        "factor": 1 / column["c_m_pf"] * (1 - decay) * tau,
        "reset": (column["v_reset_mv"] - column["e_l_mv"]) / scale,
        "syn_decay": np.exp(-1 / tau_syn),
        "psc_initial": F32(np.e) / tau_syn,
        "asc_decay": tf.exp(-held_k).numpy(),
        "asc": amplitude / scale[:, None],
        "t_ref": column["t_ref_ms"],
        "scale": scale,
        "e_l": column["e_l_mv"],
    }
    return {name: values[::64] for name, values in made.items()}


def sparse(tf, table, column, shape):
    row = table.post.astype(np.int64) * 4 + table.receptor
    order = np.argsort(row, kind="stable")
    place = np.stack([row[order], column[order].astype(np.int64)], axis=1)
    return tf.sparse.SparseTensor(place, table.weight[order], shape)


def simulate(tf, net: NetworkModel, lgn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and mV of every neuron, shape (trials, steps, n), without background."""
    n, shape = net.n_neurons, (len(lgn), net.n_neurons)
    of = net.neurons.cell_type
    c = {name: tf.constant(v[of]) for name, v in constants(tf, net.cell_types).items()}
    delay = net.tables["recurrent"].delay_ms.astype(int)
    n_delays = int(delay.max())
    w_rec = sparse(
        tf,
        net.tables["recurrent"],
        net.tables["recurrent"].pre + n * (delay - 1),
        (4 * n, n * n_delays),
    )
    w_in = sparse(tf, net.tables["lgn"], net.tables["lgn"].pre, (4 * n, net.lgn.size))

    def arriving(weight, sent):
        product = tf.sparse.sparse_dense_matmul(weight, sent, adjoint_b=True)
        return tf.reshape(tf.transpose(product), (*shape, 4))

    def step(sent, past, v, r, asc_1, asc_2, rise, psc):
        z = past[:, :n]
        i = arriving(w_rec, past) + arriving(w_in, sent)
        new_rise = c["syn_decay"] * rise + i * c["psc_initial"]
        new_psc = psc * c["syn_decay"] + c["syn_decay"] * rise
        new_r = tf.nn.relu(r + z * c["t_ref"] - 1)
        new_1 = c["asc_decay"][:, 0] * asc_1 + z * c["asc"][:, 0]
        new_2 = c["asc_decay"][:, 1] * asc_2 + z * c["asc"][:, 1]
        current = tf.reduce_sum(psc, -1) + asc_1 + asc_2
        new_v = c["decay"] * v + c["factor"] * current + z * (c["reset"] - 1)
        spike = tf.where(new_r > 0, 0.0, tf.cast(new_v > 1, tf.float32))
        return tf.concat([spike, past[:, :-n]], 1), new_v, new_r, new_1, new_2, new_rise, new_psc

    zero, currents = tf.zeros(shape), tf.zeros((*shape, 4))
    past = tf.zeros((len(lgn), n * n_delays))
    state = (past, tf.broadcast_to(c["reset"], shape), zero, zero, zero, currents, currents)
    spikes, voltages = [], []
    for t in range(lgn.shape[1]):
        state = step(tf.constant(lgn[:, t]), *state)
        spikes.append(state[0][:, :n].numpy())
        voltages.append((state[1] * c["scale"] + c["e_l"]).numpy())
    return np.stack(spikes, axis=1), np.stack(voltages, axis=1)


@pytest.mark.parametrize("analog", [False, True], ids=["spikes", "analog"])
def test_every_spike_and_every_bit_of_float32_is_tensorflows(tmp_path, analog):
    tf = tensorflow()
    net = network()
    admitted(net)
    write_network(net, tmp_path / "net.h5")
    rng = np.random.default_rng(6)
    lgn = np.broadcast_to(
        np.array([0.02, 0.1, 0.3])[:, None, None], (N_TRIALS, N_STEPS, net.lgn.size)
    )
    lgn = lgn * rng.uniform(0, 2, lgn.shape) if analog else rng.random(lgn.shape) < lgn
    lgn = lgn.astype(F32)
    spike, voltage_mv = simulate(tf, net, lgn)
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["input_spikes"] = lgn
        file["voltage_neuron_ids"] = np.arange(net.n_neurons)
        file["no_background/z"] = spike
        file["no_background/voltage_mV"] = voltage_mv
    result = verification.verify_dynamics(
        *(tmp_path / "net.h5",),
        spikes=None,
        truth=tmp_path / "truth.h5",
        threads=2,
        progress=lambda *_: None,
    )
    assert spike.sum() > 300
    (group,) = result.groups
    by_name = {agreement.name: agreement for agreement in group.agreements}
    for dynamics in ("training", "training_float32", "NumPy float64", "NumPy float32"):
        assert by_name[dynamics].all_equal, dynamics
    for trial, rounded in zip(
        by_name["training"].voltages, by_name["training_float32"].voltages, strict=True
    ):
        assert trial.largest < 1e-4
        assert rounded.n_equal == rounded.n == N_STEPS * net.n_neurons
    assert ("glif_psc" in by_name) is not analog
