"""Protocol buffer messages without a schema: varints, and fields by number."""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["DamageError", "Fields", "fields", "last", "text", "varint"]

#: Values of a message by the number of their field: ints, or bytes of texts and messages.
Fields = dict[int, list[Any]]


class DamageError(Exception):
    """Bytes that are not what the format says; becomes a CheckpointError with the path."""


def varint(data: bytes, position: int) -> tuple[int, int]:
    """A base-128 number and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            msg = "a number is longer than 64 bits"
            raise DamageError(msg)


def fields(message: bytes | int) -> Fields:
    """Fields of a message by number, in the order in which they stand in it.

    Raises
    ------
    DamageError
        If it is none, or the number that a damaged file has where a message belongs.
    """
    if isinstance(message, int):
        msg = f"the number {message} stands where a message belongs"
        raise DamageError(msg)
    found: Fields = {}
    position = 0
    value: Any
    while position < len(message):
        tag, position = varint(message, position)
        kind = tag & 7
        if kind == 0:
            value, position = varint(message, position)
        elif kind == 1:
            value, position = struct.unpack_from("<Q", message, position)[0], position + 8
        elif kind == 5:
            value, position = struct.unpack_from("<I", message, position)[0], position + 4
        elif kind == 2:
            length, position = varint(message, position)
            if position + length > len(message):
                msg = "a field is longer than its message"
                raise DamageError(msg)
            value, position = message[position : position + length], position + length
        else:
            msg = f"a field has the unknown kind {kind}"
            raise DamageError(msg)
        found.setdefault(tag >> 3, []).append(value)
    return found


def last(message: Fields, number: int, default: int = 0) -> int:
    """A field that is a number; the last one counts.

    Raises
    ------
    DamageError
        If it is no number.
    """
    value = message.get(number, [default])[-1]
    if not isinstance(value, int):
        msg = f"field {number} is not a number"
        raise DamageError(msg)
    return value


def text(message: Fields, number: int) -> str:
    """A field that is a text; empty where it is missing.

    Raises
    ------
    DamageError
        If it is no text.
    """
    value = message.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        msg = f"field {number} is not a text"
        raise DamageError(msg)
    return value.decode("utf-8")
