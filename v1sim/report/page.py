"""Pages of v1sim, from templates: one file each, with nothing beside it."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from v1sim.output import replacing

__all__ = ["in_one_line", "load_templates", "number", "write_page"]


def number(value: object, digits: int = 3) -> str:
    """A number for people: thousands separated, a dash for one that does not exist."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)


def in_one_line(value: object) -> str:
    """A value for people; of a mapping the names with their values, of a list its items."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value)
    return number(value)


def _number_or_nothing(value: float) -> str:
    return number(value) if value else ""


def _short(value: float) -> str:
    return f"{value:g}"


def _as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("v1sim.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "number_or_nothing": _number_or_nothing,
        "short": _short,
        "in_one_line": in_one_line,
        "as_json": _as_json,
        "data_uri": _data_uri,
    }
    return environment


def load_templates() -> None:
    """Read and compile every template, so that nothing has to be found when a page is written."""
    environment = _environment()
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)


def write_page(path: Path, template: str, **content: Any) -> None:
    """Write a page.

    Parameters
    ----------
    path : Path
        Where to write.
    template : str
        Name of a file in ``v1sim/report/templates``.
    **content
        What it is about. Everything but markup that a template made is escaped.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    text = _environment().get_template(template).render(content)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
