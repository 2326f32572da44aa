#!/usr/bin/env bash
# Version:   libsonata 0.2.2 h5py 3.14.0
# Guessed:   a circuit_config.json as BMTK writes it (nodes_file and node_types_file) has the populations that its files have.
# Behaviour: it has none, without a word: only what is named under "populations" of an entry is there.
# Output:    without populations: set(); with: {'v1'}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check libsonata==0.2.2 h5py==3.14.0
cd "$folder"
venv/bin/python - <<'PYTHON'
import importlib.metadata as metadata
import json
from pathlib import Path

import h5py
import libsonata
import numpy as np

print("libsonata", metadata.version("libsonata"))
with h5py.File("v1_nodes.h5", "w") as file:
    file["nodes/v1/node_type_id"] = np.full(3, 100, dtype="u8")
    file["nodes/v1/0/x"] = np.zeros(3)
Path("v1_node_types.csv").write_text("node_type_id model_type\n100 point_neuron\n")
found = {}
for name, more in (("without", {}), ("with", {"populations": {"v1": {"type": "point_neuron"}}})):
    entry = {"nodes_file": "./v1_nodes.h5", "node_types_file": "./v1_node_types.csv", **more}
    Path("circuit_config.json").write_text(
        json.dumps({"networks": {"nodes": [entry], "edges": []}})
    )
    found[name] = libsonata.CircuitConfig.from_file("circuit_config.json").node_populations
print(f"without populations: {found['without']}; with: {found['with']}")
if found["without"]:
    raise SystemExit("changed: populations are taken from the files")
assert found["with"] == {"v1"}
PYTHON
