#!/usr/bin/env bash
# Version:   neo 0.14.6 pynwb 4.2.0
# Guessed:   an NWB file with keywords, which nwbinspector recommends, opens in neo.
# Behaviour: NWBIO.read_block raises ValueError (Invalid annotation ... StrDataset); without keywords the same file opens.
# Output:    with keywords: Invalid annotation. Annotations of type <class 'hdmf.utils.StrDataset'> are notallowed
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


def write(path, **more):
    file = pynwb.NWBFile("a run", "1", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), **more)
    file.add_acquisition(pynwb.TimeSeries(name="v", data=np.zeros((5, 2)), unit="volts", rate=1000.0))
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


print("neo", metadata.version("neo"), "pynwb", metadata.version("pynwb"))
write("plain.nwb")
write("keywords.nwb", keywords=["simulation"])
assert len(neo.io.NWBIO("plain.nwb", "r").read_block().segments) == 1
try:
    neo.io.NWBIO("keywords.nwb", "r").read_block()
except ValueError as error:
    print("with keywords:", error)
    assert "StrDataset" in str(error)
else:
    raise SystemExit("changed: a file with keywords is read")
PYTHON
