#!/usr/bin/env bash
# Version:   nest-simulator 3.10.0
# Guessed:   poisson_generator with start=-1.0 (a whole number of steps before time 0) is on from the beginning.
# Behaviour: it is refused, and the reason is untrue: 'start must be a multiple of the simulation resolution'.
# Output:    start=-1.0 at 1 ms: Setting status of a 'poisson_generator' ...: start must be a multiple of the simulation resolution.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nest-simulator==3.10.0
cd "$folder"
PYNEST_QUIET=1 venv/bin/python - <<'PYTHON'
import nest

print("NEST", nest.__version__)
nest.resolution = 1.0
try:
    nest.Create("poisson_generator", params={"rate": 100.0, "start": -1.0})
except nest.NESTError as error:
    print("start=-1.0 at 1 ms:", error)
    assert "multiple" in str(error)
else:
    raise SystemExit("changed: a start before 0 is taken")
PYTHON
