"""Pages from templates: what is text is escaped, numbers are written for people."""

from __future__ import annotations

import math
from importlib.resources import files

import jinja2
import pytest

from v1sim.model import Finding, Severity
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


@pytest.mark.parametrize(
    ("value", "text"),
    [({"e4": 1200, "i4": None}, "e4 1,200, i4 –"), ([1, 2.5], "1, 2.500"), ("<b>", "<b>")],
)
def test_values_in_one_line(value, text):
    assert page.in_one_line(value) == text


def part(call):
    """What a macro of parts.html gives."""
    template = f'{{% from "parts.html" import {call.partition("(")[0]} %}}{{{{ {call} }}}}'
    return page._environment().from_string(template).render


def test_text_is_escaped_and_markup_of_templates_is_not():
    assert "&lt;b&gt;" in part("facts(values)")(values={"a_name": "<b>"})
    assert "<th>a name</th>" in part("facts(values)")(values={"a_name": 1})
    table = part("table(header, rows, 1)")(header=["<x>", "n"], rows=[["<i>", "1"]])
    assert "<th>&lt;x&gt;</th>" in table
    assert "<td>&lt;i&gt;</td>" in table
    assert '<td class="n">1</td>' in table
    image = part("image(png, what)")(png=b"png", what='a "b"')
    assert 'alt="a &#34;b&#34;"' in image
    assert 'src="data:image/png;base64,cG5n"' in image


def test_a_name_that_a_template_misses_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        part("facts(values)")()


def test_every_template_escapes():
    environment = page._environment()
    assert environment.autoescape is True
    names = [path.name for path in (files("v1sim.report") / "templates").iterdir()]
    assert {"page.html", "parts.html", "run.html", "network.html"} <= set(names)
    for name in names:
        source = environment.loader.get_source(environment, name)[0]
        assert "| safe" not in source, name
        assert "autoescape false" not in source, name
        environment.get_template(name)


@pytest.mark.parametrize("waived", [{}, {"values.finite": "known <bad>"}])
def test_findings_say_what_was_waived(waived):
    finding = Finding(
        *("values.finite", Severity.ERROR, "recurrent/weights", "1 < 2", "mend it"),
        n_bad=1,
        n_seen=2000,
        examples=("3 -> 4",),
    )
    text = part("findings(found, waived, ran)")(found=[finding], waived=waived, ran=["a"])
    for words in ("1 &lt; 2", "mend it", "3 -&gt; 4", "1 of 2,000", "1 checks ran"):
        assert words in text
    assert ("waived: known &lt;bad&gt;" in text) is bool(waived)
    assert "No findings" in part("findings(found, waived, ran)")(found=[], waived={}, ran=[])
