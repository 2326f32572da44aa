"""``report.html``: the report of a run as one page that needs nothing beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from v1sim.output import replacing

__all__ = ["render_html", "write_html"]

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
.gate b { font-size: 1.1rem; } .passed b { color: #1a7f4b; } .refused b { color: #c1121f; }
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


def write_html(report: Mapping[str, Any], figure: Path | None, path: Path) -> None:
    """Write the page.

    Parameters
    ----------
    report : mapping
        From `v1sim.report.digest.build_report`, or read back from report.json.
    figure : Path, optional
        A PNG file to embed.
    path : Path
        Where to write.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    page = render_html(report, None if figure is None else figure.read_bytes())
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render_html(report: Mapping[str, Any], figure_png: bytes | None = None) -> str:
    """The page as text: verdict and gate first, then what was simulated and what came out."""
    title = str(report["config"].get("name", "run"))
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="sub">v1sim run of {escape(report["began"])} &middot; '
        f"<code>{escape(report['command'])}</code></p>",
        _gate(report["guard"]),
        _notes(report["notes"]),
        _section("What was simulated", _facts({**report["network"], **_simulated(report)})),
        _figure(figure_png),
        _classification(report["results"].get("classification")),
        _section("Results by class", _classes(report["results"])),
        _section("Findings of the guards", _findings(report["guard"])),
        _section("Findings of the run", _findings({"findings": report.get("findings", ())})),
        _section("Read back from NEST", _read_back(report["simulation"].get("read_back", []))),
        _section("Time and memory", _costs(report)),
        _section("Versions and machine", _facts(report["machine"])),
        _section("Configuration", _json(report["config"])),
    ]
    return _PAGE.format(title=escape(f"{title}: v1sim"), style=_STYLE, body="\n".join(parts))


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{content}"


def _number(value: object, digits: int = 3) -> str:
    """A number for people: thousands separated, a dash for one that does not exist."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)


def _table(
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


def _facts(facts: Mapping[str, Any]) -> str:
    """Names and values in two columns; mappings in one line."""
    rows = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            text = ", ".join(f"{name} {_number(item)}" for name, item in value.items())
        else:
            text = _number(value)
        label = key.replace("_", " ")
        rows.append(f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>")
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'


def _gate(guard: Mapping[str, Any]) -> str:
    passed = bool(guard["passed"])
    proof = f"proof: {guard['proof']}" if guard.get("proof") else "no proof"
    required = f"; required: {guard['require']}" if guard.get("require") else ""
    return (
        f'<div class="gate {"passed" if passed else "refused"}">'
        f"<b>Weights: {escape(str(guard['verdict']))}. "
        f"Gate: {'passed' if passed else 'refused'}.</b>"
        f"<div>{escape(proof + required)}</div>"
        f"<div>network sha256 {escape(str(guard['network_sha256']))}</div></div>"
    )


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _simulated(report: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report["simulation"].items() if key != "read_back"}


def _figure(png: bytes | None) -> str:
    if png is None:
        return ""
    data = base64.b64encode(png).decode("ascii")
    return _section("Summary", f'<img alt="summary figure" src="data:image/png;base64,{data}">')


def _classification(result: Mapping[str, Any] | None) -> str:
    """Accuracy, and the confusion matrix; nothing for runs that classify nothing."""
    if result is None:
        return ""
    low, high = result["interval_95"]
    start_ms, stop_ms = result["window_ms"]
    text = (
        f"Accuracy {result['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f}; chance "
        f"{result['chance']:.3f}) in {result['n_trials']:,} trials, read out in {start_ms:g} to "
        f"{stop_ms:g} ms. In {result['n_undecided']:,} trials several classes had most votes: the "
        "first of them counts, as in training."
    )
    if start_ms != result["best_window_ms"][0]:
        best_ms = result["best_window_ms"]
        text += (
            f" The best window of this width, {best_ms[0]:g} to {best_ms[1]:g} ms, would give "
            f"{result['best_window_accuracy']:.3f}: if that is much more, the window is wrong."
        )
    classes = range(len(result["confusion"]))
    rows = [
        [f"class {i}", *(_number(n) if n else "" for n in row)]
        for i, row in enumerate(result["confusion"])
    ]
    table = _table(["shown / decided", *map(str, classes)], rows, 1)
    return _section("Classification", f"<p>{escape(text)}</p>{table}")


def _classes(results: Mapping[str, Any]) -> str:
    tuned = results["tuning"] is not None
    header = ["class", "neurons", "silent", "mean rate, Hz", "median rate, Hz"]
    if tuned:
        header += ["median OSI", "median DSI", "published: class", "rate, Hz", "OSI", "DSI"]
    rows = []
    for row in results["classes"]:
        cells = [row["name"], row["n"], row["n_silent"]]
        cells += [row["mean_rate_hz"], row["median_rate_hz"]]
        if tuned:
            published = row["published"] or {}
            cells += [row["median_osi"], row["median_dsi"], published.get("name")]
            cells += [published.get(k) for k in ("mean_rate_hz", "median_osi", "median_dsi")]
        rows.append([escape(_number(cell)) for cell in cells])
    legend = "Medians are over the neurons that spiked in the analysed windows."
    if tuned:
        legend += (
            " OSI = |Σ r exp(2iθ)| / Σ r and DSI = |Σ r exp(iθ)| / Σ r over mean rates by"
            " direction; both are biased upwards for neurons of few spikes."
            " Published: simulated responses of Billeh et al. 2020,"
            " doi 10.1016/j.neuron.2020.01.040, of the nearest class."
        )
        if max(results["tuning"]["untuned_osi"], results["tuning"]["untuned_dsi"]) > 1e-6:
            legend += (
                " The directions are not spread evenly: an untuned neuron would score an OSI of "
                f"{_number(results['tuning']['untuned_osi'])} and a DSI of "
                f"{_number(results['tuning']['untuned_dsi'])}."
            )
    return _table(header, rows, numeric_from=1) + f'<p class="hint">{escape(legend)}</p>'


def _findings(guard: Mapping[str, Any]) -> str:
    waived = guard.get("waived") or {}
    rows = []
    for finding in guard["findings"]:
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
        counts = f"{_number(finding.get('n_bad', 0))} of {_number(finding.get('n_seen', 0))}"
        rows.append(
            [f'<span class="{escape(label)}">{escape(label)}</span>', escape(check), text, counts]
        )
    ran = guard.get("checks_run")
    summary = f"{len(ran)} checks ran." if ran else ""
    if not rows:
        return f"<p>No findings. {escape(summary)}</p>"
    return _table(["", "check", "what was seen", "values"], rows, 3) + f"<p>{escape(summary)}</p>"


def _read_back(results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        return "<p>Nothing was read back.</p>"
    header = list(results[0])
    rows = [[escape(_cell(result.get(key))) for key in header] for result in results]
    return _table([key.replace("_", " ") for key in header], rows)


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_number(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_number(item) for item in value)
    return _number(value)


def _costs(report: Mapping[str, Any]) -> str:
    timings = report["timings_s"]
    rows = [[escape(stage), _number(float(seconds), 2)] for stage, seconds in timings.items()]
    rows.append(["<b>all stages</b>", f"<b>{_number(float(sum(timings.values())), 2)}</b>"])
    memory = _number(float(report["peak_memory_mb"]), 0)
    return _table(["stage", "s"], rows, 1) + f"<p>Peak memory: {memory} MB.</p>"


def _json(config: Mapping[str, Any]) -> str:
    return f"<pre>{escape(json.dumps(config, indent=2, ensure_ascii=False, default=str))}</pre>"
