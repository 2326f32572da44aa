"""Image and movie files, as LGN cells see them: one pixel a degree, -1 (black) to 1 (white).

A picture fills the visual field: it is cut to the field's proportions around its middle, and
each pixel of the field is the mean of the picture over the pixel's area. Row 0 is the
top. Colours become luma (ITU-R BT.601); 8-bit values v become v / 127.5 - 1, 16-bit ones
v / 32767.5 - 1, so that the middle of the range is grey. NumPy files of floats hold
luminances from -1 to 1 already.

- `read_images`: PNG and others that Pillow reads, or ``.npy`` [rows, columns]
- `read_movie`: ``.npy`` [frames, rows, columns], GIF, TIFF, or a video (the extra ``video``)
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import MissingExtraError, StimulusError
from v1sim.files.identify import identify, printable
from v1sim.files.numpy_array import read_array
from v1sim.stimulus.decoding import Decoded
from v1sim.stimulus.luminance import filled, luminances

__all__ = ["Movie", "read_images", "read_movie"]

F32 = NDArray[np.float32]

#: What decoders get: a minute of full-size video of 10 MB takes some 20 s.
_SECONDS, _SECONDS_PER_MB = 60.0, 20.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Movie:
    """Frames (f, height, width) as -1..1, for how long each is shown, ms (f,), and remarks."""

    frame: F32
    duration_ms: NDArray[np.float64]
    remarks: tuple[str, ...]


def read_images(paths: Sequence[Path], field_px: tuple[int, int]) -> list[Decoded]:
    """Image files as they fill a visual field, each one frame.

    Parameters
    ----------
    paths : sequence of Path
        Their names end in ``.npy``, or are those of image files.
    field_px : (int, int)
        Width and height of the field.

    Raises
    ------
    StimulusError
        If one cannot be read as an image, or not be shown as it is meant.
    """
    encoded = [path for path in paths if path.suffix != ".npy"]
    decoded = dict(zip(encoded, _decoded("image", encoded, field_px), strict=True))
    return [
        _noted(decoded[path] if path in decoded else _array_image(path, field_px)) for path in paths
    ]


def read_movie(path: Path, field_px: tuple[int, int], frame_rate_hz: float | None) -> Movie:
    """A movie file as it fills a visual field, and for how long each frame is shown.

    Parameters
    ----------
    path : Path
        Its name ends in ``.npy``, or is that of an animation, a TIFF or a video.
    field_px : (int, int)
        Width and height of the field.
    frame_rate_hz : float, optional
        At which to show it; by default every frame at its own time.

    Raises
    ------
    StimulusError
        If it cannot be read as a movie, or a frame rate is missing.
    MissingExtraError
        If it is a video and PyAV is not installed.
    """
    if path.suffix == ".npy":
        movie = _array_movie(path, field_px)
    else:
        (movie,) = _decoded("movie", [path], field_px)
    _noted(movie)
    if frame_rate_hz is not None:
        even_ms = np.full(len(movie.frame), 1000.0 / frame_rate_hz)
        return Movie(movie.frame, even_ms, movie.remarks)
    if movie.duration_ms is None:
        raise StimulusError(
            "the file does not say how fast its frames follow each other",
            where=str(path),
            expected="frame_rate_hz",
            hint="--set stimulus.frame_rate_hz=30",
        )
    return Movie(movie.frame, movie.duration_ms, movie.remarks)


def _noted(shown: Decoded) -> Decoded:
    for remark in shown.remarks:
        _log.warning("%s", remark)
    return shown


def _array_image(path: Path, field_px: tuple[int, int]) -> Decoded:
    values = _load_array(path)
    if values.ndim != 2 and not (values.ndim == 3 and values.shape[2] == 3):
        seen = f"an array of shape {values.shape}"
        raise StimulusError(seen, where=str(path), expected="(rows, columns) or (rows, columns, 3)")
    (shown,) = luminances([values], str(path))
    frame = filled(shown, field_px)
    return Decoded(frame[np.newaxis], None, _from_0_to_1(values, path))


def _array_movie(path: Path, field_px: tuple[int, int]) -> Decoded:
    values = _load_array(path)
    if values.ndim != 3 or not len(values):
        seen = f"an array of shape {values.shape}"
        raise StimulusError(seen, where=str(path), expected="(frames, rows, columns)")
    frames = [filled(shown, field_px) for shown in luminances(list(values), str(path))]
    return Decoded(np.stack(frames), None, _from_0_to_1(values, path))


def _from_0_to_1(values: NDArray[Any], path: Path) -> tuple[str, ...]:
    """What is to be said of floats that look like 0 (black) to 1 (white)."""
    if values.dtype.kind != "f" or not values.size or not 0 <= values.min() <= values.max() <= 1:
        return ()
    if values.max() < 0.5:  # from grey to something brighter
        return ()
    return (
        f"The luminances of {path.name} lie from {values.min():.3g} to {values.max():.3g}: 0 is "
        "shown as grey, -1 would be black. If 0 is meant to be black, save 2 v - 1.",
    )


def _load_array(path: Path) -> NDArray[Any]:
    expected = "a NumPy file (.npy)"
    return read_array(path, error=StimulusError, expected=expected, mapped=True)


def _decoded(kind: str, paths: Sequence[Path], field_px: tuple[int, int]) -> list[Decoded]:
    """What `v1sim.stimulus.decoding` makes of files, in a process of its own."""
    if not paths:
        return []
    for path in paths:
        if not path.is_file():
            seen = "is a folder" if path.is_dir() else "no such file"
            raise StimulusError(
                f"cannot be read: {seen}", where=str(path), expected="an image or a movie file"
            )
        identity = identify(path)
        if identity is not None and not identity.is_picture:
            raise StimulusError(
                f"cannot be read: it is {identity.what}",
                where=str(path),
                expected="an image or a movie file",
                hint=identity.hint,
            )
    width, height = field_px
    with tempfile.TemporaryDirectory() as folder:
        # -P: no module of the working directory is taken for one of Python's. v1sim itself may lie
        # there, so that its place goes last.
        start = "import sys; sys.path.append(sys.argv.pop(1)); "
        start += "from v1sim.stimulus.decoding import main; main(sys.argv[1:])"
        package = str(Path(__file__).parents[2])
        limit_s = _SECONDS + _SECONDS_PER_MB * sum(path.stat().st_size for path in paths) / 1e6
        try:
            done = subprocess.run(
                [
                    *(sys.executable, "-P", "-c", start, package, kind, str(width), str(height)),
                    *(folder, *(str(path.absolute()) for path in paths)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
                timeout=limit_s,
            )
        except subprocess.TimeoutExpired:
            ended = f"was ended after {limit_s:,.0f} s"
        else:
            code = done.returncode
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            ended = f"ended {how}" + (f" ({printable(lines[-1])})" if lines else "")
        return [_left(Path(folder), i, path, ended) for i, path in enumerate(paths)]


def _left(folder: Path, index: int, path: Path, ended: str) -> Decoded:
    """What the process left of one file; ``ended`` says how it ended."""
    try:
        found = json.loads((folder / f"{index}.json").read_text(encoding="utf-8"))
    except OSError:
        raise StimulusError(
            f"cannot be read: the decoder {ended}",
            where=str(path),
            expected="a file that Pillow or FFmpeg can read",
            hint="make the file again, or save its frames as .npy",
        ) from None
    if found.get("missing"):
        raise MissingExtraError("av", "video", f"reading the video {path.name}")
    if "seen" in found:
        raise StimulusError(
            found["seen"], where=str(path), expected=found["expected"], hint=found["hint"]
        )
    duration_ms = found["duration_ms"]
    return Decoded(
        np.load(folder / f"{index}.npy"),
        None if duration_ms is None else np.array(duration_ms),
        tuple(found["remarks"]),
    )
