"""``report.html``: the report of a run as one page that needs nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from v1sim.documents.run import RunReport
from v1sim.output import replacing
from v1sim.report.page import facts, findings, gate, image, number, page, section, table

__all__ = ["render_html", "write_html"]

#: Errors of a run that its headline names.
_MOST_ERRORS = 5


def write_html(report: RunReport, figure: Path | None, path: Path) -> None:
    """Write the page.

    Parameters
    ----------
    report : RunReport
        Of the run.
    figure : Path, optional
        A PNG file to embed.
    path : Path
        Where to write.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    text = render_html(report, None if figure is None else figure.read_bytes())
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_html(run_report: RunReport, figure_png: bytes | None = None) -> str:
    """The page as text: verdict and gate first, then what was simulated and what came out."""
    report = run_report.model_dump(mode="json")
    title = str(report["config"].get("name", "run"))
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="sub">v1sim run of {escape(report["began"])} &middot; '
        f"<code>{escape(report['command'])}</code></p>",
        _errors(report["findings"]),
        gate(report["guard"]),
        _notes(report["notes"]),
        section("What was simulated", facts({**report["network"], **_simulated(report)})),
        _figure(figure_png),
        _classification(report["results"].get("classification")),
        section("Results by class", _classes(report["results"])),
        section("Findings of the guards", findings(report["guard"])),
        section("Findings of the run", findings({"findings": report.get("findings", ())})),
        section("Read back from NEST", _read_back(report["simulation"].get("read_back", []))),
        section("Time and memory", _costs(report)),
        section("Versions and machine", facts(report["machine"])),
        section("Configuration", _json(report["config"])),
    ]
    return page(f"{title}: v1sim", parts)


def _errors(findings_of_run: Sequence[Mapping[str, Any]]) -> str:
    """The headline of a run whose activity or read-back shows errors; nothing for others."""
    errors = [finding for finding in findings_of_run if finding["severity"] == "error"]
    if not errors:
        return ""
    lines = "".join(
        f"<div><code>{escape(str(e['where']))}</code>: {escape(str(e['message']))}</div>"
        for e in errors[:_MOST_ERRORS]
    )
    if len(errors) > _MOST_ERRORS:
        lines += (
            f"<div>... and {len(errors) - _MOST_ERRORS} more: see the findings of the run</div>"
        )
    return (
        f'<div class="gate refused"><b>The run shows errors ({len(errors)}): its results are '
        f"probably of no use.</b>{lines}</div>"
    )


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _simulated(report: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report["simulation"].items() if key != "read_back"}


def _figure(png: bytes | None) -> str:
    if png is None:
        return ""
    return section("Summary", image(png, "summary figure"))


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
        [f"class {i}", *(number(n) if n else "" for n in row)]
        for i, row in enumerate(result["confusion"])
    ]
    confusion = table(["shown / decided", *map(str, classes)], rows, 1)
    return section("Classification", f"<p>{escape(text)}</p>{confusion}")


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
        rows.append([escape(number(cell)) for cell in cells])
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
                f"{number(results['tuning']['untuned_osi'])} and a DSI of "
                f"{number(results['tuning']['untuned_dsi'])}."
            )
    return table(header, rows, numeric_from=1) + f'<p class="hint">{escape(legend)}</p>'


def _read_back(results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        return "<p>Nothing was read back.</p>"
    header = list(results[0])
    rows = [[escape(_cell(result.get(key))) for key in header] for result in results]
    return table([key.replace("_", " ") for key in header], rows)


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {number(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value)
    return number(value)


def _costs(report: Mapping[str, Any]) -> str:
    timings = report["timings_s"]
    rows = [[escape(stage), number(float(seconds), 2)] for stage, seconds in timings.items()]
    rows.append(["<b>all stages</b>", f"<b>{number(float(sum(timings.values())), 2)}</b>"])
    memory = number(float(report["peak_memory_mb"]), 0)
    return table(["stage", "s"], rows, 1) + f"<p>Peak memory: {memory} MB.</p>"


def _json(config: Mapping[str, Any]) -> str:
    return f"<pre>{escape(json.dumps(config, indent=2, ensure_ascii=False, default=str))}</pre>"
