#!/usr/bin/env bash
# Version:   libsonata 0.2.2 h5py 3.14.0
# Guessed:   edges with the index of the format's guide (indices/.../node_id_to_range, as BMTK writes it) answer afferent_edges.
# Behaviour: RuntimeError: libsonata looks for node_id_to_ranges, with an s; under that name the same numbers answer.
# Output:    node_id_to_range: Unable to open the dataset "node_id_to_ranges": (Symbol table) Object not found
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check libsonata==0.2.2 h5py==3.14.0
cd "$folder"
venv/bin/python - 2>/dev/null <<'PYTHON'
import importlib.metadata as metadata

import h5py
import libsonata
import numpy as np

print("libsonata", metadata.version("libsonata"))


def write(path, name):
    """Two edges, 0 -> 1 and 1 -> 0, with an index of both directions."""
    with h5py.File(path, "w") as file:
        root = file.create_group("edges/v1_to_v1")
        for end, ids in (("source", [0, 1]), ("target", [1, 0])):
            root[f"{end}_node_id"] = np.array(ids, dtype="u8")
            root[f"{end}_node_id"].attrs["node_population"] = "v1"
        root["edge_type_id"] = np.zeros(2, dtype="u8")
        root["0/delay"] = np.ones(2)
        for direction, rows in (("source_to_target", [0, 1]), ("target_to_source", [1, 0])):
            index = root.create_group(f"indices/{direction}")
            index[name] = np.array([[0, 1], [1, 2]], dtype="u8")
            index["range_to_edge_id"] = np.array([[i, i + 1] for i in rows], dtype="u8")


write("ranges.h5", "node_id_to_ranges")
edges = libsonata.EdgeStorage("ranges.h5").open_population("v1_to_v1")
print("node_id_to_ranges:", edges.afferent_edges(1).flatten())
assert list(edges.afferent_edges(1).flatten()) == [0]
write("range.h5", "node_id_to_range")
edges = libsonata.EdgeStorage("range.h5").open_population("v1_to_v1")
try:
    edges.afferent_edges(1)
except RuntimeError as error:
    print("node_id_to_range:", error)
else:
    raise SystemExit("changed: the index of the format's guide is read")
PYTHON
