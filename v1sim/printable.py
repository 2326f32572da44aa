"""Text from files, safe to show: what would steer a terminal or turn text around is spelt out."""

from __future__ import annotations

import re

__all__ = ["printable"]

#: Control characters but for tab and newline, and those that change the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""The text with control characters as ``\x1b`` and the like; tabs and newlines stay."""
    return _CONTROL.sub(lambda found: _spelt(found[0]), text)


def _spelt(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
