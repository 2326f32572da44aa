#!/usr/bin/env bash
# Version:   nest-simulator 3.10.0
# Guessed:   disconnect() of a handle from GetConnections removes the synapse that the handle stands for.
# Behaviour: of two synapses of a pair it removes the first that it finds: the handle of the second (weight 3) removes the one of weight 2.
# Output:    the synapse of weight 3 was disconnected; left: 3.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nest-simulator==3.10.0
cd "$folder"
PYNEST_QUIET=1 venv/bin/python - <<'PYTHON'
import nest

print("NEST", nest.__version__)
cells = nest.Create("iaf_psc_alpha", 2)
for weight in (2.0, 3.0):
    nest.Connect(cells[0], cells[1], syn_spec={"weight": weight})
second = nest.GetConnections()[1]
assert second.weight == 3.0
second.disconnect()
left = nest.GetConnections().weight
print("the synapse of weight 3 was disconnected; left:", left)
assert left == 3.0, "changed: the handle's own synapse is removed"
PYTHON
