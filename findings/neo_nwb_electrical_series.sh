#!/usr/bin/env bash
# Version:   neo 0.14.6 pynwb 4.2.0
# Guessed:   an ElectricalSeries, NWB's own type for recorded voltages, is read by neo as an AnalogSignal.
# Behaviour: NWBIO.read_block raises ValueError for the whole file (Invalid annotation ... DynamicTableRegion), spikes included.
# Output:    ElectricalSeries: Invalid annotation. Annotations of type <class 'hdmf.common.table.DynamicTableRegion'> are notallowed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check neo==0.14.6 pynwb==4.2.0
cd "$folder"
PYNEST_QUIET=1 venv/bin/python - <<'PYTHON'
import datetime
import importlib.metadata as metadata

import neo
import numpy as np
import pynwb
from pynwb.ecephys import ElectricalSeries

print("neo", metadata.version("neo"), "pynwb", metadata.version("pynwb"))
file = pynwb.NWBFile("a run", "1", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
device = file.create_device(name="probe")
group = file.create_electrode_group(name="g", description="g", location="VISp", device=device)
for channel in (5, 7):
    file.add_electrode(id=channel, group=group, location="VISp")
both = file.create_electrode_table_region([0, 1], "both")
file.add_acquisition(ElectricalSeries(name="v", data=np.zeros((5, 2)), electrodes=both, rate=1000.0))
with pynwb.NWBHDF5IO("v.nwb", "w") as io:
    io.write(file)
assert pynwb.validate(path="v.nwb") == []
try:
    neo.io.NWBIO("v.nwb", "r").read_block()
except ValueError as error:
    print("ElectricalSeries:", error)
    assert "DynamicTableRegion" in str(error)
else:
    raise SystemExit("changed: an ElectricalSeries is read")
PYTHON
