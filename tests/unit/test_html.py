from __future__ import annotations

import base64
import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path

from tests.unit.test_run_report import make_guard, make_report, make_results
from v1sim.documents.run import RunReport
from v1sim.report.description import describe_results
from v1sim.report.html import write_html

EVIL = "<script>alert('x')</script>&\"'{0}"
FINDING = {
    "check": "weight.sign",
    "severity": "error",
    "where": "recurrent/weights",
    "message": "312 of 4,018 synapses are > 0",
    "hint": "look at the converter",
    "n_bad": 312,
    "n_seen": 4018,
    "examples": ["synapse 7: 1.5"],
    "observed": {},
}
VOID = {"meta", "br", "img", "hr"}


def render_html(report: RunReport) -> str:
    """The page without a figure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write_html(report, None, path)
        return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags in balance, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []
        self.sources: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_the_gate_comes_first_then_what_was_simulated() -> None:
    words = Page(render_html(make_report())).words
    places = [
        words.index(text)
        for text in (
            "Weights: constructed. Gate: passed.",
            "The network is constructed, not trained.",
            "What was simulated",
            "Results by class",
            "Findings of the guards",
            "Read back from NEST",
            "Time and memory",
            "Versions and machine",
            "Configuration",
        )
    ]
    assert places == sorted(places)


def test_a_refused_network() -> None:
    page = render_html(make_report(guard=make_guard(passed=False, findings=[FINDING])))
    words = Page(page).words
    assert "Gate: refused." in words
    assert 'class="gate refused"' in page
    for text in ("weight.sign", "312 of 4,018", "look at the converter", "synapse 7: 1.5"):
        assert text in words


def test_a_waiver_is_shown_with_its_reason() -> None:
    guard = make_guard(findings=[FINDING], waived={"weight.sign": "a known fault of run 3"})
    words = Page(render_html(make_report(guard=guard))).words
    assert "waived: a known fault of run 3" in words
    assert " error " not in words


def test_numbers_of_the_results() -> None:
    words = Page(render_html(make_report())).words
    assert "e4 2 0 1.667 1.667 0.188 0.625 e4 2.070 0.273 0.164" in words
    assert "granule 1 1 0.000 – – – – – – –" in words
    assert "all stages 12.75" in words
    assert "Peak memory: 322 MB" in words
    assert "recurrent 1,234 1234:00 exc_to_exc 1,234 yes" in words
    assert "populations e4 2, granule 1" in words


def test_without_directions_there_are_no_tuning_columns() -> None:
    page = Page(
        render_html(make_report(results=describe_results(make_results(tuned=False)).model_dump()))
    )
    assert "OSI" not in page.words
    assert "e4 2 0 1.667 1.667 granule" in page.words


def test_uneven_directions_are_explained() -> None:
    report = make_report()
    assert "not spread evenly" not in render_html(report)
    values = report.model_dump()
    values["results"]["tuning"]["untuned_osi"] = 0.745
    assert "an OSI of 0.745" in Page(render_html(RunReport.of(values))).words


def test_everything_is_escaped() -> None:
    evil = {**FINDING, "check": EVIL, "where": EVIL, "message": EVIL, "hint": EVIL}
    values = make_report(
        config={"name": EVIL, EVIL: EVIL},
        command=EVIL,
        began=EVIL,
        machine={EVIL: EVIL},
        guard=make_guard(
            network_sha256=EVIL,
            findings=[{**evil, "examples": [EVIL]}],
            waived={EVIL: EVIL},
        ),
        findings=[evil],
        timings_s={EVIL: 1.0},
        notes=[EVIL],
    ).model_dump()
    values["network"] |= {"path": EVIL, "populations": {EVIL: 1}, "classes": EVIL}
    values["simulation"] |= {"dynamics": EVIL, "background": EVIL}
    values["simulation"]["read_back"][0] |= {"projection": EVIL, "by_receptor": {EVIL: 1}}
    values["results"]["classes"][0]["name"] = EVIL
    page = Page(render_html(RunReport.of(values)))
    assert "script" not in page.seen
    assert page.words.count("alert('x')") >= 20


def test_the_figure_is_inside_and_nothing_is_fetched(tmp_path: Path) -> None:
    png = bytes(range(256)) * 3
    (tmp_path / "summary.png").write_bytes(png)
    write_html(make_report(), tmp_path / "summary.png", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    (source,) = Page(text).sources
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == png
    assert not re.search(r"@import|url\(|https?://", text)


def test_a_run_without_figure_or_read_back() -> None:
    values = make_report().model_dump()
    values["simulation"]["read_back"] = []
    page = Page(render_html(RunReport.of(values)))
    assert "img" not in page.seen
    assert "Nothing was read back." in page.words
