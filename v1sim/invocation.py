"""How v1sim was called: what provenance and reports name as the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["as_command", "called_as"]

_COMMAND: ContextVar[str | None] = ContextVar("v1sim_command", default=None)


@contextmanager
def as_command(command: str) -> Iterator[None]:
    """In this block a command line calls; ``command`` is what was typed."""
    token = _COMMAND.set(command)
    try:
        yield
    finally:
        _COMMAND.reset(token)


def called_as(function: str) -> str:
    """The command line that is at work, or else the ``function`` that a program called."""
    return _COMMAND.get() or f"{function}() in Python"
