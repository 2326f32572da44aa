"""docs/configuration.md says of every key the default that the code has, and leaves none out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from v1sim.config import RunConfig

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
#: Keys whose row says in words what is open until the file is read, or is a section of its own.
IN_WORDS = {"name", "network", "stimulus", "watch"}


def rows() -> dict[str, str]:
    """Default by key, from the tables of keys; ``a.b`, `.c`` is a row for two keys."""
    found = {}
    for line in PAGE.splitlines():
        cells = line.split("|")
        names = re.findall(r"`(\.?[a-z_]+(?:\.[a-z_]+)*)`", cells[1]) if len(cells) > 3 else []
        for name in names:
            section = names[0].rpartition(".")[0]
            found[section + name if name.startswith(".") else name] = cells[2].strip()
    return found


def defaults(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Default of each key, those of sections one by one."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        value = field.get_default(call_default_factory=True)
        if prefix == "" and name in ("simulation", "recording", "watch"):
            found |= defaults(type(value), f"{name}.")
        else:
            found[prefix + name] = value
    return found


KEYS = {key: value for key, value in defaults(RunConfig).items() if key not in IN_WORDS}


def as_the_page_says(value: Any) -> set[str]:
    """How a default may be written there."""
    if value is PydanticUndefined:
        return {"required"}
    if value is None or value in ((), {}):
        return {"none"}
    if isinstance(value, BaseModel):
        inner = ", ".join(f"{key}: {v:g}" for key, v in value.model_dump().items())
        return {f"`{{{inner}}}`"}
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = f"{value:g}" if isinstance(value, float) else text
    return {text, f"`{text}`"}


@pytest.mark.parametrize("key", KEYS)
def test_the_default_is_the_code_s(key):
    assert key in rows(), f"docs/configuration.md has no row for {key}"
    assert rows()[key] in as_the_page_says(KEYS[key])


def test_a_default_that_is_another_would_be_seen():
    assert "`gap`" not in as_the_page_says(KEYS["simulation.between_trials"])
    assert len(KEYS) > 25
