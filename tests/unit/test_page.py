"""The parts of pages: what is text is escaped, numbers are written for people."""

from __future__ import annotations

import math

import pytest

from v1sim.report import page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        (1234.5678, "1,234.568"),
        ("as it is", "as it is"),
    ],
)
def test_numbers_are_for_people(value, text):
    assert page.number(value) == text


def test_text_is_escaped_and_parts_are_not():
    text = page.page("a < b", ["<p>one</p>", "<p>two</p>"])
    assert "<title>a &lt; b</title>" in text
    assert "<p>one</p>\n<p>two</p>" in text
    assert page.section("R & D", "<i>x</i>") == "<h2>R &amp; D</h2>\n<i>x</i>"
    assert "&lt;b&gt;" in page.facts({"a_name": "<b>"})
    assert "a name" in page.facts({"a_name": 1})
    table = page.table(["<x>", "n"], [["<i>a</i>", "1"]], 1)
    assert "&lt;x&gt;" in table
    assert "<td><i>a</i></td>" in table
    assert '<td class="n">1</td>' in table
    assert 'alt="a &quot;b&quot;"' in page.image(b"png", 'a "b"')


@pytest.mark.parametrize("waived", [{}, {"values.finite": "known <bad>"}])
def test_findings_say_what_was_waived(waived):
    finding = {
        "check": "values.finite",
        "severity": "error",
        "where": "recurrent/weights",
        "message": "1 < 2",
        "hint": "mend it",
        "examples": ["3 -> 4"],
        "n_bad": 1,
        "n_seen": 2000,
    }
    text = page.findings({"findings": [finding], "waived": waived, "checks_run": ["a"]})
    for part in ("1 &lt; 2", "mend it", "3 -&gt; 4", "1 of 2,000", "1 checks ran"):
        assert part in text
    assert ("waived: known &lt;bad&gt;" in text) is bool(waived)
    assert "No findings" in page.findings({"findings": []})
