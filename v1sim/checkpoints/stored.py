"""Floats as a checkpoint stores them, bfloat16 among them, which NumPy does not have.

A bfloat16 is the upper half of a float32, so that it widens exactly; here it comes as float32,
and goes back to its 16 bits where checksums are compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["numpy_dtype", "precision", "rounded", "stored", "widened"]

_BFLOAT16 = "bfloat16"


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype of the bytes of a TensorFlow dtype."""
    return np.dtype(np.uint16 if name == _BFLOAT16 else name)


def widened(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Values as they come from a checkpoint, bfloat16 as float32."""
    if dtype != _BFLOAT16:
        return values
    if values.dtype.kind == "V" or values.dtype.name == _BFLOAT16:  # of ml_dtypes
        values = values.view(np.uint16)
    return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)


def stored(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Values as a checkpoint stores them: cast, bfloat16 as its 16 bits."""
    if dtype != _BFLOAT16:
        return values.astype(dtype, copy=False)
    if values.dtype.name == _BFLOAT16:
        return values.view(np.uint16)
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    # To the nearest, ties to the even one, as TensorFlow rounds.
    nearest = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return nearest.astype(np.uint16)


def rounded(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Values rounded to what a checkpoint's dtype can hold."""
    return widened(stored(values, dtype), dtype) if dtype == _BFLOAT16 else values.astype(dtype)


def precision(dtype: str) -> float:
    """Relative distance of neighbouring numbers."""
    return 2.0**-7 if dtype == _BFLOAT16 else float(np.finfo(dtype).eps)
