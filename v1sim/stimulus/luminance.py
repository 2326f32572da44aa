"""Values of pictures as luminances, -1 (black) to 1 (white), on the visual field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import StimulusError

__all__ = ["filled", "luminances", "mean_over_pixels"]

F32 = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
#: Middle of the range of unsigned values.
_MIDDLES = {"u1": 127.5, "u2": 32767.5}
#: Largest values that cameras of 8 and of 12 bits write into 16.
_OF_8_BITS, _OF_12_BITS = 255, 4095


def luminances(frames: Sequence[NDArray[Any]], where: str) -> Iterator[F32]:
    """Values of frames as -1..1, each of shape (rows, columns).

    Parameters
    ----------
    frames : sequence of array, shape (rows, columns) or (rows, columns, 3)
        uint8, uint16, or floats that are luminances already.
    where : str
        For errors.

    Raises
    ------
    StimulusError
        If they are of another kind, or in another range.
    """
    _refuse_few_bits(frames, where)
    for values in frames:
        yield _luminance(values, where)


def _luminance(values: NDArray[Any], where: str) -> F32:
    """Values of one image as -1..1."""
    if values.dtype.kind not in "fiu":
        raise StimulusError(f"values of {values.dtype}"[:120], where=where, expected="luminances")
    middle = _MIDDLES.get(values.dtype.str[1:])
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
            where=where,
            expected="floats from -1 (black) to 1 (white), or uint8, or uint16",
            hint="8-bit luminance becomes value / 127.5 - 1",
        )
    return shown


def _refuse_few_bits(frames: Sequence[NDArray[Any]], where: str) -> None:
    """Values of 8 or 12 bits in 16 bits, which would be shown as nearly black.

    A single frame of several may well be dark.
    """
    if any(values.dtype.str[1:] != "u2" or not values.size for values in frames):
        return
    largest = max((int(values.max()) for values in frames), default=0)
    if 0 < largest <= _OF_12_BITS:
        bits = 8 if largest <= _OF_8_BITS else 12
        raise StimulusError(
            f"16-bit values up to {largest} of 65535, as of {bits} bits: nearly black",
            where=where,
            expected="values that fill their range",
            hint=f"multiply them by {65535 // (2**bits - 1)}, or save them as a .npy of luminances",
        )


def filled(picture: F32, field_px: tuple[int, int], pixel_aspect: float = 1.0) -> F32:
    """The middle of a picture, averaged over the pixels of the field, shape (height, width).

    ``pixel_aspect`` is the width of the picture's pixels divided by their height.
    """
    width, height = field_px
    n_rows, n_columns = picture.shape
    if (n_rows, n_columns) == (height, width) and pixel_aspect == 1:
        return picture
    # Pixels of the picture in one of the field.
    scale = min(n_rows / height, n_columns * pixel_aspect / width)
    down = mean_over_pixels(n_rows, height, scale)
    across = mean_over_pixels(n_columns, width, scale / pixel_aspect)
    shown: F32 = (down @ picture @ across.T).astype(np.float32)
    return np.clip(shown, -1, 1)


def mean_over_pixels(n: int, n_field: int, scale: float) -> F32:
    """Matrix (n_field, n) that averages the middle of n pixels over n_field ones."""
    edges = (n - n_field * scale) / 2 + scale * np.arange(n_field + 1)
    pixel = np.arange(n)
    start = np.maximum(edges[:-1, np.newaxis], pixel)
    stop = np.minimum(edges[1:, np.newaxis], pixel + 1)
    return (np.clip(stop - start, 0, None) / scale).astype(np.float32)
