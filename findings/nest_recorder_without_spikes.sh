#!/usr/bin/env bash
# Version:   nest-simulator 3.10.0
# Guessed:   the senders of a spike_recorder are integers, however many spikes there were.
# Behaviour: without a spike they are an empty array of float64: indexing with it raises IndexError, in silent networks only.
# Output:    no spike: float64 ; one spike: int64
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nest-simulator==3.10.0
cd "$folder"
PYNEST_QUIET=1 venv/bin/python - <<'PYTHON'
import nest
import numpy as np

print("NEST", nest.__version__)
recorder = nest.Create("spike_recorder")
source = nest.Create("spike_generator", params={"spike_times": [5.0]})
nest.Connect(source, recorder)
nest.Simulate(2.0)
silent = recorder.events["senders"]
nest.Simulate(10.0)
spiking = recorder.events["senders"]
print("no spike:", silent.dtype, "; one spike:", spiking.dtype)
assert silent.dtype == np.float64 and np.issubdtype(spiking.dtype, np.integer)
PYTHON
