#!/usr/bin/env bash
# Version:   nest-simulator 3.10.0
# Guessed:   glif_psc_double_alpha with amp_slow 0 has no slow part: one alpha function.
# Behaviour: it is refused: all slow amplitudes must be strictly positive.
# Output:    amp_slow 0: Setting status of a 'glif_psc_double_alpha' ...: All slow synaptic amplitudes must be strictly positive.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nest-simulator==3.10.0
cd "$folder"
PYNEST_QUIET=1 venv/bin/python - <<'PYTHON'
import nest

print("NEST", nest.__version__)
parameters = {"tau_syn_fast": [1.0], "tau_syn_slow": [5.0]}
nest.Create("glif_psc_double_alpha", params={**parameters, "amp_slow": [1e-9]})
try:
    nest.Create("glif_psc_double_alpha", params={**parameters, "amp_slow": [0.0]})
except nest.NESTError as error:
    print("amp_slow 0:", str(error)[:110])
else:
    raise SystemExit("changed: amp_slow 0 is taken")
PYTHON
