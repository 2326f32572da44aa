"""Train a small built-in column in TensorFlow: another pair to calibrate and judge the guards by.

usage: .venv/bin/python -m scripts.train_small OUT_DIR [--neurons 400] [--steps 120] [--seed 3]

The equations of training (docs/dynamics.md) with a surrogate gradient, weights held to their
signs, Adam, on ten random input patterns read from the column's ten readout groups. Leaves
untrained.h5, few_steps.h5, trained.h5 and a checkpoint of each (ckpt-0, ckpt-5, ckpt) in the
published layout, with Adam's moments; fallback.h5, the untrained weights in pA, as a converter
leaves them that finds no checkpoint; and stimuli.h5, the ten patterns. Nothing of the network but
the weights changes.

The files of v1sim/data/demo: OUT_DIR --neurons 300 --steps 300 --readout-cells 3 --most-hz 12
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

from tests.checkpoints import CELL, INPUT_LAYER, model_variables, save
from v1sim.model import NetworkModel, SynapseTable
from v1sim.receptors import BILLEH_RECEPTORS, Kind
from v1sim.sources.column import build_column
from v1sim.sources.hdf5 import write_network

T_MS, RESPONSE_MS = 120, slice(40, 120)
N_CLASSES, BATCH = 10, 8
N_RECEPTORS = BILLEH_RECEPTORS.n
DAMPING = 0.3


class Network(tf.Module):
    """Weights as variables, everything else as constants."""

    def __init__(self, network: NetworkModel, *, train_input: bool) -> None:
        super().__init__()
        types, of = network.cell_types, network.neurons.cell_type
        scale = types.voltage_scale_mv
        f32 = tf.float32
        self.n = network.n_neurons
        self.decay = tf.constant(np.exp(-types.g_ns / types.c_m_pf)[of], f32)
        self.factor = tf.constant(((1 - np.exp(-types.g_ns / types.c_m_pf)) / types.g_ns)[of], f32)
        self.syn_decay = tf.constant(np.exp(-1 / types.tau_syn_ms)[of], f32)
        self.psc_initial = tf.constant((np.e / types.tau_syn_ms)[of], f32)
        self.asc = tf.constant((types.asc_amp_pa / scale[:, None])[of], f32)
        self.asc_decay = tf.constant(np.exp(-types.k_per_ms)[of], f32)
        self.t_ref = tf.constant(types.t_ref_ms[of], f32)
        self.background = tf.constant(network.background_weight / 10, f32)
        self.recurrent = _Synapses(network.tables["recurrent"], self.n, trainable=True)
        self.lgn = _Synapses(network.tables["lgn"], self.n, trainable=train_input)
        self.groups = tf.constant(np.stack(network.readout))

    def counts(self, lgn_spikes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Spike counts of the readout groups: (batch, classes)."""
        batch = lgn_spikes.shape[1]
        shape = (batch, self.n)
        v, refractory = tf.zeros(shape), tf.zeros(shape)
        rise = tf.zeros((*shape, N_RECEPTORS))
        current, asc = tf.zeros((*shape, N_RECEPTORS)), tf.zeros((*shape, 2))
        past = [tf.zeros(shape)] * 5
        total = tf.zeros((batch, N_CLASSES))
        spikes = 0.0
        for t in range(T_MS):
            z = past[0]
            arriving = self.recurrent.arriving(tf.stack(past[:5]), batch)
            arriving += self.lgn.arriving(lgn_spikes[t][None], batch)
            arriving += self.background * draws[t][:, None, None]
            new_rise = self.syn_decay * rise + arriving * self.psc_initial
            new_current = self.syn_decay * current + self.syn_decay * rise
            drive = tf.reduce_sum(current, -1) + tf.reduce_sum(asc, -1)
            v = self.decay * v + self.factor * drive - z
            asc = self.asc_decay * asc + z[..., None] * self.asc
            refractory = tf.nn.relu(refractory + z * self.t_ref - 1)
            rise, current = new_rise, new_current
            fired = spike(v - 1) * tf.cast(refractory <= 0, tf.float32)
            past = [fired, *past[:4]]
            spikes += tf.reduce_mean(fired)
            if RESPONSE_MS.start <= t < RESPONSE_MS.stop:
                total += tf.reduce_sum(tf.gather(fired, self.groups, axis=1), -1)
        return total, spikes / T_MS * 1000


def from_excitatory(table: SynapseTable) -> np.ndarray:
    """Whether each synapse comes from an excitatory cell."""
    return BILLEH_RECEPTORS.presynaptic_kind(table.receptor) == Kind.EXCITATORY


class _Synapses:
    """One table: what arrives at each receptor, from the spikes of the last steps."""

    def __init__(self, table: SynapseTable, n: int, *, trainable: bool) -> None:
        self.weight = tf.Variable(table.weight, trainable=trainable)
        self.positive = tf.constant(from_excitatory(table))
        self.segment = tf.constant(table.post * N_RECEPTORS + table.receptor)
        self.source = tf.constant(
            np.column_stack([table.delay_ms.astype(np.int32) - 1, table.pre]).astype(np.int32)
        )
        self.n = n

    def arriving(self, past: tf.Tensor, batch: int) -> tf.Tensor:
        sent = tf.gather_nd(tf.transpose(past, (0, 2, 1)), self.source)
        n_segments = self.n * N_RECEPTORS
        summed = tf.math.unsorted_segment_sum(sent * self.weight[:, None], self.segment, n_segments)
        return tf.transpose(tf.reshape(summed, (self.n, N_RECEPTORS, batch)), (2, 0, 1))

    def keep_signs(self) -> None:
        positive = tf.nn.relu(self.weight)
        self.weight.assign(tf.where(self.positive, positive, -tf.nn.relu(-self.weight)))


@tf.custom_gradient
def spike(v: tf.Tensor) -> tuple[tf.Tensor, object]:
    """A spike where v > 0, with a triangular surrogate of its derivative."""

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return upstream * DAMPING * tf.nn.relu(1 - tf.abs(v))

    return tf.cast(v > 0, tf.float32), gradient


@dataclass(frozen=True)
class State:
    """The network after some updates, and what Adam noted of each weight array."""

    network: NetworkModel
    updates: int
    moments: dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Trained:
    """The network after five and after all steps, and what it was shown."""

    few_steps: State
    last: State
    #: Probability of a spike in each step, by class and LGN cell.
    pattern: np.ndarray


def train(
    network: NetworkModel,
    steps: int,
    seed: int,
    learning_rate: float,
    *,
    train_input: bool,
    shuffled_labels: bool,
    regularisation: float,
    most_hz: float,
) -> Trained:
    """Train a network.

    ``regularisation`` pulls weights back to those it started from; mean rates above ``most_hz``
    cost.
    """
    rng = np.random.default_rng(seed)
    model = Network(network, train_input=train_input)
    initial = tf.constant(network.tables["recurrent"].weight)
    size = tf.reduce_mean(initial**2)
    # Ten patterns: which LGN cells fire, at up to 100 Hz.
    pattern = rng.gamma(0.4, 0.06, (N_CLASSES, network.lgn.size)).clip(0, 0.3)
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    tables = [model.recurrent, *([model.lgn] if train_input else [])]
    variables = [table.weight for table in tables]

    @tf.function
    def step(lgn_spikes: tf.Tensor, draws: tf.Tensor, labels: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            counts, rate = model.counts(lgn_spikes, draws)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, counts / 3)
            )
            change = tf.reduce_mean((model.recurrent.weight - initial) ** 2) / size
            loss += regularisation * change
            loss += tf.nn.relu(rate / most_hz - 1) ** 2
        return tape.gradient(loss, variables), loss, tf.argmax(counts, -1), rate

    def state() -> State:
        tables = {"recurrent": model.recurrent, "lgn": model.lgn}
        trained = network.with_tables(
            **{
                name: replace(network.tables[name], weight=table.weight.numpy())
                for name, table in tables.items()
            }
        )
        noted = [variable.numpy() for variable in optimizer.variables[2:]]  # after counter, rate
        names = ("recurrent", "input")[: len(variables)]
        moments = {name: (noted[2 * i], noted[2 * i + 1]) for i, name in enumerate(names)}
        return State(trained, int(optimizer.iterations.numpy()), moments)

    kept = {}
    for i in range(1, steps + 1):
        labels = rng.integers(0, N_CLASSES, BATCH)
        spikes = rng.random((T_MS, BATCH, network.lgn.size)) < pattern[labels]
        draws = rng.binomial(10, 0.1, (T_MS, BATCH))
        if shuffled_labels:
            labels = rng.permutation(labels)
        gradients, loss, answer, rate = step(
            tf.constant(spikes, tf.float32), tf.constant(draws, tf.float32), tf.constant(labels)
        )
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        for table in tables:
            table.keep_signs()
        if i in (5, steps):
            kept[i] = state()
        if i % 10 == 0:
            right = float(np.mean(answer.numpy() == labels))
            zeros = float(np.mean(model.recurrent.weight.numpy() == 0))
            print(f"step {i}: loss {loss:.2f}, right {right:.2f}, {rate:.1f} Hz, zeros {zeros:.3f}")
    return Trained(kept[5], kept[steps], pattern)


def save_checkpoint(prefix: Path, state: State, learning_rate: float) -> None:
    """Write a network as a checkpoint, with the optimizer's counters and moments."""
    network = state.network
    variables = model_variables(network)
    slots = {
        "recurrent": (f"{CELL}/recurrent_weight_values", network.tables["recurrent"]),
        "input": (f"{INPUT_LAYER}/_weights", network.tables["lgn"]),
    }
    for name, moments in state.moments.items():
        variable, table = slots[name]
        order = np.lexsort((table.pre, table.post.astype(np.int64) * N_RECEPTORS + table.receptor))
        for slot, values in zip(("m", "v"), moments, strict=True):
            variables[f"{variable}/.OPTIMIZER_SLOT/optimizer/{slot}"] = values[order]
    variables["optimizer/iter"] = np.int64(state.updates)
    variables["optimizer/learning_rate"] = np.float32(learning_rate)
    save(prefix, variables)


def in_pa(network: NetworkModel) -> NetworkModel:
    """Weights in pA where a network file holds them divided by the voltage scale."""
    scale = network.cell_types.voltage_scale_mv[network.neurons.cell_type]
    tables = {
        name: replace(table, weight=(table.weight * scale[table.post]).astype(np.float32))
        for name, table in network.tables.items()
        if name in ("recurrent", "lgn")
    }
    return network.with_tables(**tables)


def save_stimuli(path: Path, pattern: np.ndarray) -> None:
    """The patterns as the published stimulus files hold them: 1.3 times the probability."""
    values = np.repeat(1.3 * pattern[:, np.newaxis], T_MS, axis=1).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset("spike_trains", data=values, compression="gzip")
        file["labels"] = np.arange(N_CLASSES)
        file["response_window"] = [RESPONSE_MS.start, RESPONSE_MS.stop]


def with_readout(network: NetworkModel, group: int, seed: int) -> NetworkModel:
    """Readout groups of other cells of layer 5, ``group`` in each."""
    names = np.array(network.cell_types.name)[network.neurons.cell_type]
    cells = np.flatnonzero(np.char.startswith(names, "e5")).astype(np.int32)
    chosen = np.random.default_rng(seed).permutation(cells)[: N_CLASSES * group]
    return replace(
        network, readout=tuple(np.sort(part) for part in chosen.reshape(N_CLASSES, group))
    )


def plain(network: NetworkModel, seed: int) -> NetworkModel:
    """Recurrent weights and delays that depend on nothing but the receptor."""
    rng = np.random.default_rng(seed)
    table = network.tables["recurrent"]
    size = rng.lognormal(0.0, 0.8, len(table))
    for receptor in np.unique(table.receptor):
        of = table.receptor == receptor
        size[of] *= np.abs(table.weight[of]).mean() / size[of].mean()
    weight = np.where(from_excitatory(table), size, -size).astype(np.float32)
    delay = rng.integers(1, 5, len(table)).astype(np.float32)
    return network.with_tables(recurrent=replace(table, weight=weight, delay_ms=delay))


def main() -> None:
    """Build the column, train it, write the three networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--neurons", type=int, default=400)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=0.005)
    parser.add_argument("--freeze-input", action="store_true")
    parser.add_argument("--shuffled-labels", action="store_true", help="Nothing to be learned.")
    parser.add_argument("--regularisation", type=float, default=0.0)
    parser.add_argument("--most-hz", type=float, default=np.inf, help="Of all cells, on average.")
    parser.add_argument("--plain", action="store_true", help="Weights, delays without cell types.")
    parser.add_argument("--readout-cells", type=int, help="In each group; default: the column's.")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    network = build_column(arguments.neurons, seed=arguments.seed)
    if arguments.readout_cells:
        network = with_readout(network, arguments.readout_cells, arguments.seed)
    if arguments.plain:
        network = plain(network, arguments.seed)
    trained = train(
        network,
        arguments.steps,
        arguments.seed,
        arguments.learning_rate,
        train_input=not arguments.freeze_input,
        shuffled_labels=arguments.shuffled_labels,
        regularisation=arguments.regularisation,
        most_hz=arguments.most_hz,
    )
    write_network(network, arguments.out / "untrained.h5")
    write_network(trained.few_steps.network, arguments.out / "few_steps.h5")
    write_network(trained.last.network, arguments.out / "trained.h5")
    write_network(in_pa(network), arguments.out / "fallback.h5")
    for prefix, state in (
        ("ckpt-0", State(network, 0, {})),
        (f"ckpt-{trained.few_steps.updates}", trained.few_steps),
        ("ckpt", trained.last),
    ):
        save_checkpoint(arguments.out / prefix, state, arguments.learning_rate)
    save_stimuli(arguments.out / "stimuli.h5", trained.pattern)


if __name__ == "__main__":
    main()
