"""Image and movie files, as LGN cells see them: one pixel a degree, -1 (black) to 1 (white).

A picture fills the visual field: it is cut to the field's proportions around its middle, and
each pixel of the field is the mean of the picture over the pixel's area. Row 0 is the
top. Colours become luma (ITU-R BT.601); 8-bit values v become v / 127.5 - 1, 16-bit ones
v / 32767.5 - 1, so that the middle of the range is grey. NumPy files of floats hold
luminances from -1 to 1 already.

- `read_image`: PNG and others that Pillow reads, or ``.npy`` [rows, columns]
- `read_movie`: ``.npy`` [frames, rows, columns], or a video (the extra ``video``)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import MissingExtraError, StimulusError
from v1sim.files.identify import printable
from v1sim.files.numpy_array import read_array

__all__ = ["read_image", "read_movie"]

F32 = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def read_image(path: Path, field_px: tuple[int, int]) -> F32:
    """An image file as it fills a visual field.

    Parameters
    ----------
    path : Path
        Its name ends in ``.npy``, or is that of an image file.
    field_px : (int, int)
        Width and height of the field.

    Returns
    -------
    float32 array, shape (height, width)

    Raises
    ------
    StimulusError
        If it cannot be read as an image, or has transparent pixels.
    """
    values = _load_array(path) if path.suffix == ".npy" else _decode_image(path)
    if values.ndim != 2 and not (values.ndim == 3 and values.shape[2] == 3):
        seen = f"an array of shape {values.shape}"
        raise StimulusError(seen, where=str(path), expected="(rows, columns) or (rows, columns, 3)")
    return _fill(_luminance(values, path), field_px)


def read_movie(
    path: Path, field_px: tuple[int, int], frame_rate_hz: float | None
) -> tuple[F32, float]:
    """A movie file as it fills a visual field, and its frame rate.

    Parameters
    ----------
    path : Path
        Its name ends in ``.npy``, or is that of a video that FFmpeg reads.
    field_px : (int, int)
        Width and height of the field.
    frame_rate_hz : float, optional
        At which to show it; by default the video's own.

    Returns
    -------
    frames : float32 array, shape (frames, height, width)
    frame_rate_hz : float

    Raises
    ------
    StimulusError
        If it cannot be read as a movie, or a frame rate is missing.
    MissingExtraError
        If it is a video and PyAV is not installed.
    """
    if path.suffix != ".npy":
        frames, own_hz = _decode_video(path, field_px)
        return frames, frame_rate_hz or own_hz
    values = _load_array(path)
    if values.ndim != 3 or not len(values):
        seen = f"an array of shape {values.shape}"
        raise StimulusError(seen, where=str(path), expected="(frames, rows, columns)")
    if frame_rate_hz is None:
        raise StimulusError(
            "a NumPy file does not say how fast its frames follow each other",
            where=str(path),
            expected="frame_rate_hz",
            hint="--set stimulus.frame_rate_hz=30",
        )
    return np.stack([_fill(_luminance(frame, path), field_px) for frame in values]), frame_rate_hz


def _load_array(path: Path) -> NDArray[Any]:
    expected = "a NumPy file (.npy)"
    return read_array(path, error=StimulusError, expected=expected, mapped=True)


def _decode_image(path: Path) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            if "A" in image.getbands() or "transparency" in image.info:
                values = np.asarray(image.convert("RGBA"))
                if values[..., 3].min() < 255:
                    raise StimulusError(
                        "the image has transparent pixels",
                        where=str(path),
                        expected="a luminance everywhere",
                        hint="put it on a background",
                    )
                return values[..., :3]
            one_band = image.mode in ("L", "I;16", "I;16B", "I;16L")
            return np.asarray(image if one_band else image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        seen = f"cannot be read: {error}"
        raise StimulusError(seen, where=str(path), expected="a PNG or other image file") from error


def _decode_video(path: Path, field_px: tuple[int, int]) -> tuple[F32, float]:
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "video", f"reading the video {path.name}") from None
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = stream.average_rate
            # Limited-range video comes out as 0 to 255 all the same.
            decoded = (frame.to_ndarray(format="gray") for frame in container.decode(stream))
            frames = [_fill(_luminance(frame, path), field_px) for frame in decoded]
    except (OSError, IndexError, ValueError, av.FFmpegError) as error:
        seen = f"cannot be read: {error}"
        raise StimulusError(seen, where=str(path), expected="a video file") from error
    if not frames or not rate:
        seen = f"{len(frames)} frames at {rate} Hz"
        raise StimulusError(seen, where=str(path), expected="frames and a frame rate")
    return np.stack(frames), float(rate)


def _luminance(values: NDArray[Any], path: Path) -> F32:
    """Values of one image as -1..1, shape (rows, columns)."""
    kinds = {"u1": 127.5, "u2": 32767.5}
    middle = kinds.get(values.dtype.str[1:])
    if values.dtype.kind not in "fiu":
        raise StimulusError(
            f"values of {printable(values.dtype)}", where=str(path), expected="luminances"
        )
    shown = np.asarray(values, dtype=np.float32)
    if values.ndim == 3:
        shown = shown @ _LUMA
    if middle is not None:
        return shown / np.float32(middle) - 1
    good = values.dtype.kind == "f" and shown.size and shown.min() >= -1 and shown.max() <= 1
    if not good:
        span = f" from {shown.min():g} to {shown.max():g}" if shown.size else ""
        raise StimulusError(
            f"values of {values.dtype}{span}",
            where=str(path),
            expected="floats from -1 (black) to 1 (white), or uint8, or uint16",
            hint="8-bit luminance becomes value / 127.5 - 1",
        )
    return shown


def _fill(picture: F32, field_px: tuple[int, int]) -> F32:
    """The middle of a picture, averaged over the pixels of the field (height, width)."""
    width, height = field_px
    n_rows, n_columns = picture.shape
    if (n_rows, n_columns) == (height, width):
        return picture
    scale = min(n_rows / height, n_columns / width)  # pixels of the picture in one of the field
    down, across = (
        _mean_over_pixels(n, n_field, scale)
        for n, n_field in ((n_rows, height), (n_columns, width))
    )
    filled: F32 = (down @ picture @ across.T).astype(np.float32)
    return np.clip(filled, -1, 1)


def _mean_over_pixels(n: int, n_field: int, scale: float) -> F32:
    """Matrix (n_field, n) that averages the middle of n pixels over n_field ones."""
    edges = (n - n_field * scale) / 2 + scale * np.arange(n_field + 1)
    pixel = np.arange(n)
    start = np.maximum(edges[:-1, np.newaxis], pixel)
    stop = np.minimum(edges[1:, np.newaxis], pixel + 1)
    return (np.clip(stop - start, 0, None) / scale).astype(np.float32)
