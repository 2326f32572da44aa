"""``v1sim doctor --json``: the environment, and what is to be done about it."""

from __future__ import annotations

from typing import Literal

from v1sim.documents.document import Document

__all__ = ["DoctorDocument", "ExaminedPart"]


class ExaminedPart(Document):
    """One part of the environment."""

    part: str
    state: Literal["good", "optional", "doubtful", "bad"]
    """``optional``: what only some uses need is not there; ``bad``: no run is possible."""
    seen: str
    what_to_do: str
    """Empty where nothing need be done."""


class DoctorDocument(Document):
    """What v1sim runs in."""

    parts: list[ExaminedPart]
    versions: dict[str, str]
    """Versions by package, and what the machine is."""

    @property
    def is_bad(self) -> bool:
        """Whether no run is possible."""
        return any(part.state == "bad" for part in self.parts)
