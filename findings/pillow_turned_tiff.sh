#!/usr/bin/env bash
# Version:   pillow 13.0.0 numpy 2.4.6
# Guessed:   an uncompressed TIFF with an orientation tag (6: turn by 90 degrees) opens as it is stored, or turned.
# Behaviour: opened by its path its pixels are scrambled (rows of the wrong length), from memory they are right; no word in either case.
# Output:    by path right: False; from memory right: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$folder"
PYNEST_QUIET=1 venv/bin/python - <<'PYTHON'
import io
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

print("Pillow", version("pillow"))
stored = np.arange(96, dtype=np.uint8).reshape(12, 8)
exif = Image.Exif()
exif[274] = 6
Image.fromarray(stored).save("turned.tif", exif=exif)
by_path = np.asarray(Image.open("turned.tif"))
from_memory = np.asarray(Image.open(io.BytesIO(Path("turned.tif").read_bytes())))
turned = np.rot90(stored, -1)
print("by path right:", np.array_equal(by_path, turned) or np.array_equal(by_path, stored))
print("from memory right:", np.array_equal(from_memory, turned) or np.array_equal(from_memory, stored))
assert np.array_equal(from_memory, turned) or np.array_equal(from_memory, stored)
assert not np.array_equal(by_path, turned) and not np.array_equal(by_path, stored)
PYTHON
