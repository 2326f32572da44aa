"""Trains a circuit with DPointNet in the current, empty folder, and runs it on many inputs.

``python -m tests.dpointnet.trials '{"circuit": {...}, "trials": 8}'``: ``circuit`` has the keys of
`tests.dpointnet.maker`. Leaves what a user has, and trials.npz: how many spikes each source cell
sent in each step, where each neuron spiked, the normalised voltages of some, and the weights inside
the cell. A process of its own for each circuit.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

import numpy as np

from tests.dpointnet.maker import write_circuit

#: Neurons whose voltages are kept.
N_VOLTAGES = 40
_INTERNAL = ("poisson_spikes_internal", "noisy_current")


def run(what: dict[str, Any], n_trials: int) -> None:
    """Train the circuit of this folder, run it, and write the trials."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", OMP_NUM_THREADS="1")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.random.set_seed(what["seed"])
    from bmtk.simulator.dpointnet import RNN

    rnn = RNN.from_config("config.json")
    rnn.build()
    if what["epochs"]:
        rnn.train()
    cell, inference = rnn.cell, rnn.inference
    rng = np.random.default_rng(what["seed"])
    n = len(rnn.recurrent_network["node_type_ids"])
    kept = np.unique(np.linspace(0, n - 1, min(n, N_VOLTAGES)).round().astype(int))
    given = np.concatenate([inference.data_itr.next_spikes()[0].numpy() for _ in range(n_trials)])
    sent: dict[str, np.ndarray] = {}
    # Keras calls the cell once before the first step, to see what it gives: that draws, too.
    first_step = int(cell.noise_step.numpy()) + 1
    for index, (population, held) in enumerate(cell.inputs.items()):
        if held["input_type"] in _INTERNAL:
            sent[population] = _drawn_inside(
                tf, cell, held, first_step, (what["steps"], n_trials, held["input_dim"])
            )
            continue
        columns = slice(cell.inputs_idx[index], cell.inputs_idx[index + 1])
        if what["inputs"][population]["module"] == "spikes_files":
            # Its file gives the same in each trial: in all but the first, others of about as many.
            density = rng.uniform(0.5, 1.5, n_trials - 1) * given[0, :, columns].mean()
            drawn = rng.random(given[1:, :, columns].shape)
            given[1:, :, columns] = drawn < density[:, None, None]
        sent[population] = given[:, :, columns].astype(np.uint8)
    # DPointNet runs an inference step by step, outside of a graph: all trials beside each other.
    found = rnn.run_inference(
        spikes=tf.constant(given), initial_state=cell.zero_state(n_trials, tf.float32)
    )
    assert int(cell.noise_step.numpy()) == first_step + what["steps"]
    np.savez(
        "trials.npz",
        spike=np.packbits(found.spikes.to_spikes_table().numpy() > 0, axis=2),
        n_neurons=n,
        voltage=found.voltages.voltages_table.numpy()[:, :, kept],
        neuron=kept,
        recurrent=cell.recurrent_weight_values.numpy(),
        recurrent_indices=cell.recurrent_indices.numpy(),
        **{f"from_{population}": counts for population, counts in sent.items()},
        **{
            f"weight_{population}": held["input_weight_values"].numpy()
            for population, held in cell.inputs.items()
        },
    )


def _drawn_inside(
    tf: Any, cell: Any, held: Any, first_step: int, shape: tuple[int, int, int]
) -> np.ndarray:
    """What the cell draws, (trials, steps, cells): its stream is a seed and the step's number."""
    seed = int(cell.noise_seed.numpy())
    drawn = [
        tf.random.stateless_poisson(
            shape[1:], seed=[seed, first_step + step], lam=held["spike_prob"], dtype=tf.int32
        ).numpy()
        for step in range(shape[0])
    ]
    return np.stack(drawn, axis=1).astype(np.uint8)


if __name__ == "__main__":
    logging.disable(logging.INFO)
    asked = json.loads(sys.argv[1])
    run(write_circuit(asked["circuit"]), asked["trials"])
