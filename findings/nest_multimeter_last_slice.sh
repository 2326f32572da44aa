#!/usr/bin/env bash
# Version:   nest-simulator 3.10.0
# Guessed:   after Simulate(20.0) a multimeter of interval 2 ms holds ten samples, the last at 20 ms.
# Behaviour: it holds nine: what falls into the last min_delay of a run appears only when more is simulated.
# Output:    after 20 ms: 18.0 ; after 21 ms: 20.0 ; min_delay 1.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nest-simulator==3.10.0
cd "$folder"
PYNEST_QUIET=1 venv/bin/python - <<'PYTHON'
import nest

print("NEST", nest.__version__)
cell = nest.Create("iaf_psc_alpha")
meter = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": 2.0})
nest.Connect(meter, cell)
nest.Simulate(20.0)
first = meter.events["times"].tolist()
nest.Simulate(1.0)
later = meter.events["times"].tolist()
print("after 20 ms:", first[-1], "; after 21 ms:", later[-1], "; min_delay", nest.min_delay)
assert (first[-1], later[-1]) == (18.0, 20.0)
PYTHON
