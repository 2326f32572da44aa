#!/usr/bin/env bash
# Guessed: a film's duration reaches at least to the time stamp of its last frame.
# Seen:    written with frames at 0..950, 1000 and 1500 ms, the stream says 1.1 s: less than the stamp of the last frame.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy
cd "$folder"
PYNEST_QUIET=1 venv/bin/python - <<'PYTHON'
from fractions import Fraction
from importlib.metadata import version

import av
import numpy as np

print("PyAV", version("av"))
times_ms = [*range(0, 1000, 50), 1000, 1500]
with av.open("film.mp4", "w") as film:
    stream = film.add_stream("mpeg4", rate=20)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
    for ms in times_ms:
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), dtype=np.uint8), format="rgb24")
        frame.pts, frame.time_base = ms, Fraction(1, 1000)
        film.mux(stream.encode(frame))
    film.mux(stream.encode())
with av.open("film.mp4") as film:
    stream = film.streams.video[0]
    duration_s = float(stream.duration * stream.time_base)
    last_s = max(float(frame.pts * frame.time_base) for frame in film.decode(stream))
print(f"duration {duration_s:.2f} s, last frame at {last_s:.2f} s")
assert duration_s < last_s
PYTHON
