"""Draws who imports whom, from the imports themselves, as docs/images/architecture.svg.

``python -m scripts.draw_architecture`` writes it again. A line is left out where the same
import is there through another part.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

_ROW, _LEFT, _WIDTH, _BOX = 26, 300, 860, 150


def drawing() -> str:
    """The picture as SVG."""
    from tests.unit.test_architecture import ORDER, imports

    rank = {part: i for i, part in enumerate(ORDER)}
    uses: dict[str, set[str]] = {part: set() for part in ORDER}
    for _, part, name in imports():
        pieces = name.split(".")
        if pieces[0] == "v1sim" and len(pieces) > 1 and part in rank and pieces[1] in rank:
            uses[part].add(pieces[1])
    reached: dict[str, set[str]] = {}
    drawn: list[tuple[str, str]] = []
    for part in ORDER:
        direct = {other for other in uses[part] if rank[other] < rank[part]}
        through = set().union(*(reached[other] for other in direct)) if direct else set()
        reached[part] = direct | through
        drawn += [(part, other) for other in sorted(direct - through, key=rank.__getitem__)]
    height = _ROW * (len(ORDER) + 1)
    row = {part: _ROW * (len(ORDER) - rank[part]) for part in ORDER}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for part, other in drawn:
        y, z = row[part], row[other]
        bend = _LEFT - 14 - 7 * min(abs(z - y) // _ROW, 38)
        lines.append(
            f'<path d="M{_LEFT} {y} C{bend} {y} {bend} {z} {_LEFT} {z}" fill="none" '
            'stroke="#2a6fdb" stroke-opacity=".35"/>'
        )
    for part in ORDER:
        y = row[part]
        lines.append(
            f'<rect x="{_LEFT}" y="{y - 9}" width="{_BOX}" height="19" rx="4" fill="#f3efe6" '
            'stroke="#8b9099"/>'
            f'<text x="{_LEFT + 8}" y="{y + 5}">{escape(part)}</text>'
            f'<text x="{_LEFT + _BOX + 10}" y="{y + 5}" fill="#667085" font-size="10">'
            f"{escape(_purpose(part))}</text>"
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _purpose(part: str) -> str:
    """The first line of a part's docstring, cut to fit."""
    path = ROOT / "v1sim" / f"{part}.py"
    path = path if path.exists() else ROOT / "v1sim" / part / "__init__.py"
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
    return text if len(text) <= 74 else f"{text[:72].rstrip()} ..."


if __name__ == "__main__":
    PICTURE.write_text(drawing(), encoding="utf-8")
