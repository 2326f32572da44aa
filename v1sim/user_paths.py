"""Paths as users write them: ``~`` and ``$NAME`` stand for what a shell would make of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from v1sim.errors import InputError

__all__ = ["expanded"]

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


def expanded(path: Path) -> Path:
    """The path with ``~``, ``~NAME``, ``$NAME`` and ``${NAME}`` put in; one that exists as it is.

    Raises
    ------
    InputError
        If there is no such variable or user.
    """
    if not (str(path).startswith("~") or "$" in str(path)) or path.exists():
        return path

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in os.environ:
            raise InputError(
                f"the variable {name} is not set",
                where=str(path),
                expected="a path whose variables are set",
                hint=f"export {name}=..., or write the path out",
            )
        return os.environ[name]

    try:
        return Path(_VARIABLE.sub(value, str(path))).expanduser()
    except RuntimeError as error:
        raise InputError(str(error), where=str(path), hint="write the path out") from None
