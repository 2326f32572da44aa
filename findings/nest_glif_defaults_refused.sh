#!/usr/bin/env bash
# Version:   nest-simulator 3.10.0
# Guessed:   what GetDefaults shows of a model can be given to Create.
# Behaviour: glif_psc shows threshold_spike and threshold_voltage as 0.0 and refuses them, 0.0 too, unless their switch is on.
# Output:    threshold_spike=0.0: Setting status of a 'glif_psc' ...: Threshold spike component is not supported or settable ...
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nest-simulator==3.10.0
cd "$folder"
PYNEST_QUIET=1 venv/bin/python - <<'PYTHON'
import nest

print("NEST", nest.__version__)
defaults = nest.GetDefaults("glif_psc")
for name in ("threshold_spike", "threshold_voltage"):
    assert defaults[name] == 0.0
    try:
        nest.Create("glif_psc", params={name: defaults[name]})
    except nest.NESTError as error:
        print(f"{name}=0.0:", str(error)[:100])
    else:
        raise SystemExit(f"changed: {name} is taken")
PYTHON
