"""CRC32C of arrays as TensorFlow stores it, and what a checksum alone gives away.

A CRC is an affine map over GF(2). Up to four unknown bytes in known surroundings can
therefore be computed from the checksum: every float32 scalar of a checkpoint, and
its counters below 2**32, follow from the index file without the data.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import google_crc32c
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "array_crc32c",
    "bytes_crc32c",
    "combined_crc32c",
    "mask",
    "repeated_crc32c",
    "solve_word",
    "unmask",
]

_MASK_DELTA = 0xA282EAD8
#: The polynomial of CRC32C without its highest term, bits reversed.
_POLYNOMIAL = 0x82F63B78
#: Bytes that are copied at a time: they stay in the CPU's cache.
_CHUNK_BYTES = 1 << 17


def bytes_crc32c(data: bytes) -> int:
    """CRC32C (Castagnoli) of bytes."""
    return int(google_crc32c.value(data))


def array_crc32c(values: NDArray[np.generic], before: int = 0) -> int:
    """CRC32C of an array's little-endian bytes in C order.

    ``before`` is that of the bytes that they follow.
    """
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    raw = little.reshape(-1).view(np.uint8)
    crc = before
    for start in range(0, raw.size, _CHUNK_BYTES):
        crc = google_crc32c.extend(crc, raw[start : start + _CHUNK_BYTES].tobytes())
    return int(crc)


def mask(crc: int) -> int:
    """A checksum as LevelDB tables store it."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def unmask(masked: int) -> int:
    """Inverse of `mask`."""
    rotated = (masked - _MASK_DELTA) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def combined_crc32c(first: int, second: int, n_second: int) -> int:
    """CRC32C of two runs of bytes, one after the other, from those of each.

    ``n_second`` is the number of bytes of the second. The first is multiplied by
    ``x**(8 n)`` modulo the polynomial, as zlib's ``crc32_combine`` does: the time grows with
    the number of digits of ``n``.
    """
    return _product(_shift(n_second), first) ^ second


def repeated_crc32c(crc: int, n_bytes: int, times: int) -> int:
    """CRC32C of bytes that are there ``times`` times, one after the other, from theirs."""
    found, doubled = 0, crc  # the CRC32C of no bytes is 0
    while times:
        if times & 1:
            found = combined_crc32c(found, doubled, n_bytes)
        times >>= 1
        if times:
            doubled = combined_crc32c(doubled, doubled, n_bytes)
            n_bytes *= 2
    return found


def _product(a: int, b: int) -> int:
    """Product of two polynomials over GF(2), bits reversed, modulo that of CRC32C."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = (b >> 1) ^ (_POLYNOMIAL if b & 1 else 0)
    return product


@lru_cache(maxsize=1024)
def _shift(n_bytes: int) -> int:
    """``x**(8 n_bytes)`` modulo the polynomial."""
    power, square = 1 << 31, 1 << 23  # 1, and x**8
    while n_bytes:
        if n_bytes & 1:
            power = _product(power, square)
        square = _product(square, square)
        n_bytes >>= 1
    return power


def solve_word(checksum: int, crc_of_word: Callable[[int], int]) -> int | None:
    """The 32-bit word that gives a checksum, or None where it is not determined.

    Parameters
    ----------
    checksum : int
        CRC32C that was seen.
    crc_of_word : callable
        CRC32C of the bytes that a word stands in (its own four bytes, or many
        copies of them).
    """
    zero = crc_of_word(0)
    # Gauss-Jordan over GF(2): (effect of some bits of the word, those bits), by leading bit.
    basis: dict[int, tuple[int, int]] = {}
    for bit in range(32):
        effect, bits = crc_of_word(1 << bit) ^ zero, 1 << bit
        while effect and effect.bit_length() in basis:
            other = basis[effect.bit_length()]
            effect, bits = effect ^ other[0], bits ^ other[1]
        if effect == 0:
            return None
        basis[effect.bit_length()] = (effect, bits)
    rest, word = checksum ^ zero, 0
    while rest:
        effect, bits = basis[rest.bit_length()]
        rest, word = rest ^ effect, word ^ bits
    return word
