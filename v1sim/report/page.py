"""What pages of v1sim are put together from: one file each, with nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = [
    "facts",
    "findings",
    "gate",
    "image",
    "number",
    "page",
    "section",
    "table",
]

_STYLE = """
:root { --ink: #22252b; --soft: #667085; --line: #e4e7ec; --paper: #fff; --tint: #f8f9fb; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 2rem 1.5rem 4rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); }
p.sub { margin: 0 0 1rem; color: var(--soft); overflow-wrap: anywhere; }
.gate { border-left: 6px solid; border-radius: 4px; padding: .8rem 1rem; background: var(--tint); }
.gate.passed { border-color: #1a7f4b; } .gate.refused { border-color: #c1121f; }
.gate.doubtful { border-color: #b25e00; }
.gate b { font-size: 1.1rem; } .passed b { color: #1a7f4b; } .refused b { color: #c1121f; }
.doubtful b { color: #b25e00; }
.gate div { color: var(--soft); overflow-wrap: anywhere; }
ul.notes { margin: 1rem 0 0; padding-left: 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; color: var(--soft); font-weight: 600; white-space: nowrap; }
th, td { padding: .32rem .7rem .32rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.long { overflow-wrap: anywhere; min-width: 16rem; }
table.facts { width: auto; } table.facts th { padding-right: 1.6rem; }
table.facts td { overflow-wrap: anywhere; }
.error { color: #c1121f; font-weight: 600; } .warning { color: #b25e00; font-weight: 600; }
.waived { color: #8e3b9e; font-weight: 600; } .info { color: var(--soft); }
.hint { color: var(--soft); }
img { width: 100%; height: auto; border: 1px solid var(--line); border-radius: 4px; }
pre { background: var(--tint); padding: 1rem; overflow-x: auto; font-size: 12.5px;
  border-radius: 4px; }
@media print { body { max-width: none; padding: 0; } h2 { break-after: avoid; } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A page as text; the title is text, the parts of its body are HTML."""
    return _PAGE.format(title=escape(title), style=_STYLE, body="\n".join(parts))


def section(title: str, content: str) -> str:
    """A heading and what stands below it, which is HTML already."""
    return f"<h2>{escape(title)}</h2>\n{content}"


def number(value: object, digits: int = 3) -> str:
    """A number for people: thousands separated, a dash for one that does not exist."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], numeric_from: int | None = None
) -> str:
    """A table; cells are HTML already, the header is not. Columns from a given one are numbers."""
    first = len(header) if numeric_from is None else numeric_from
    align = [' class="n"' if i >= first else "" for i in range(len(header))]
    head = "".join(f"<th{a}>{escape(h)}</th>" for h, a in zip(header, align, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{a}>{c}</td>" for c, a in zip(row, align, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def facts(values: Mapping[str, Any]) -> str:
    """Names and values in two columns; mappings in one line."""
    rows = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            text = ", ".join(f"{name} {number(item)}" for name, item in value.items())
        else:
            text = number(value)
        label = key.replace("_", " ")
        rows.append(f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>")
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'


def gate(report: Mapping[str, Any]) -> str:
    """Verdict and gate, of a report as plain values (`v1sim.documents.check.CheckDocument`)."""
    doubts = report.get("doubts") or ()
    passed, doubtful = bool(report["passed"]), bool(doubts)
    state = ("doubtful" if doubtful else "passed") if passed else "refused"
    proof = f"proof: {report['proof']}" if report.get("proof") else "no proof"
    require = report.get("require")
    if isinstance(require, Mapping):
        require = ", ".join(f"{array} {word}" for array, word in require.items())
    required = f"; required: {require}" if require else ""
    said = "".join(f"<div>{escape(str(doubt))}</div>" for doubt in doubts if passed)
    word = {"passed": "passed", "doubtful": "passed, with doubts", "refused": "refused"}[state]
    return (
        f'<div class="gate {state}">'
        f"<b>Weights: {escape(str(report['verdict']))}. Gate: {word}.</b>{said}"
        f"<div>{escape(proof + required)}</div>"
        f"<div>network sha256 {escape(str(report['network_sha256']))}</div></div>"
    )


def findings(report: Mapping[str, Any]) -> str:
    """The findings of a report as plain values, in a table."""
    waived = report.get("waived") or {}
    rows = []
    for finding in report["findings"]:
        check = str(finding["check"])
        label = "waived" if check in waived else str(finding["severity"])
        text = escape(str(finding["message"]))
        if finding.get("where"):
            text = f"<code>{escape(str(finding['where']))}</code>: {text}"
        for example in finding.get("examples") or ():
            text += f'<br><span class="hint">{escape(str(example))}</span>'
        if finding.get("hint"):
            text += f'<br><span class="hint">→ {escape(str(finding["hint"]))}</span>'
        if check in waived:
            text += f'<br><span class="waived">waived: {escape(str(waived[check]))}</span>'
        counts = f"{number(finding.get('n_bad', 0))} of {number(finding.get('n_seen', 0))}"
        rows.append(
            [f'<span class="{escape(label)}">{escape(label)}</span>', escape(check), text, counts]
        )
    ran = report.get("checks_run")
    summary = f"{len(ran)} checks ran." if ran else ""
    if not rows:
        return f"<p>No findings. {escape(summary)}</p>"
    return table(["", "check", "what was seen", "values"], rows, 3) + f"<p>{escape(summary)}</p>"


def image(png: bytes, what: str) -> str:
    """A picture in the page itself; ``what`` is said where it cannot be seen."""
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(what)}" src="data:image/png;base64,{data}">'
