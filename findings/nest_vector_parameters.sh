#!/usr/bin/env bash
# Version:   nest-simulator 3.10.0
# Guessed:   a list of lists gives each neuron its own vector parameter, as a list gives each its own number.
# Behaviour: TypeMismatch; and a flat list as long as the population is one vector for all, not a number for each.
# Output:    tau_syn=[2, 3] on two neurons: [[2.0, 3.0], [2.0, 3.0]]; a list of lists: ... Failed to cast 'tau_syn' ...
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nest-simulator==3.10.0
cd "$folder"
PYNEST_QUIET=1 venv/bin/python - <<'PYTHON'
import nest

print("NEST", nest.__version__)
cells = nest.Create("glif_psc", 2)
cells.set(V_m=[-80.0, -79.0])
assert cells.V_m == (-80.0, -79.0)
cells.set(tau_syn=[2.0, 3.0])
print("tau_syn=[2, 3] on two neurons:", [list(tau) for tau in cells.tau_syn])
assert all(list(tau) == [2.0, 3.0] for tau in cells.tau_syn)
try:
    cells.set({"tau_syn": [[2.0, 3.0], [4.0, 5.0]]})
except nest.NESTError as error:
    print("a list of lists:", str(error)[:90])
else:
    raise SystemExit("changed: vectors for each neuron are taken")
PYTHON
