"""What a sweep's folder says of its runs while they are not complete."""

from __future__ import annotations

from typing import Literal

from pydantic import RootModel

from v1sim.documents.document import Document

__all__ = ["ArrayMembers", "RunStateDocument"]


class RunStateDocument(Document):
    """What became of a run (``states/NAME.json``)."""

    state: Literal["running", "failed", "done"]
    """A run that is done has a state only where there is something to say of it."""
    reason: str | None = None
    """Why it failed, or which errors its activity shows."""
    began: str | None = None
    """When it was started (ISO 8601)."""
    host: str | None = None
    """Where it was started."""
    job: str | None = None
    """Its job in Slurm."""


class ArrayMembers(RootModel[tuple[str, ...]]):
    """The runs of a Slurm job array, in the order of its elements (``slurm/NAME.json``)."""
