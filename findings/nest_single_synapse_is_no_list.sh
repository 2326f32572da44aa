#!/usr/bin/env bash
# Version:   nest-simulator 3.10.0
# Guessed:   GetConnections().weight is a list, of one number where there is one synapse.
# Behaviour: of a single synapse it is a plain float: len() and indexing fail in networks with exactly one.
# Output:    one synapse: float ; two: list
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
nest.Connect(cells[0], cells[1])
one = nest.GetConnections().weight
nest.Connect(cells[1], cells[0])
two = nest.GetConnections().weight
print("one synapse:", type(one).__name__, "; two:", type(two).__name__)
assert isinstance(one, float) and isinstance(two, list)
PYTHON
