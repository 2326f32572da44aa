#!/usr/bin/env bash
# Version:   tensorflow-cpu 2.21.0 keras 3.15.1 numpy 2.4.6
# Guessed:   keras.layers.RNN calls its cell once a time step: a cell that counts its calls counts the steps.
# Behaviour: over 10 steps the cell is called 11 times: once more, before the first step, for the shape of its output. A cell whose random numbers go by its count draws others in every trial.
# Output:    10 steps: the cell was called 11 times
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.6
cd "$folder"
TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1 venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import tensorflow as tf

print("tensorflow-cpu", version("tensorflow-cpu"), "keras", version("keras"))


class Counting(tf.keras.layers.Layer):
    state_size = 1

    def __init__(self):
        super().__init__()
        self.calls = tf.Variable(0, trainable=False)

    def call(self, inputs, states):
        self.calls.assign_add(1)
        return inputs, states


cell = Counting()
layer = tf.keras.layers.RNN(cell, return_sequences=True)
given = np.zeros((1, 10, 1), dtype=np.float32)
layer(given)
before = int(cell.calls.numpy())
layer(given)
calls = int(cell.calls.numpy()) - before
print(f"10 steps: the cell was called {calls} times")
assert calls == 11
PYTHON
