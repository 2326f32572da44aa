"""The registry and the runner: names, order, crashes, and checks that cannot be run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.networks import tiny_network
from v1sim import guard  # noqa: F401 -- registers the checks
from v1sim.checks import registry
from v1sim.checks.documentation import checks_markdown, with_limits
from v1sim.checks.registry import (
    CRASHED,
    SKIPPED,
    Check,
    Context,
    Observation,
    check,
    registered_checks,
    run_checks,
)
from v1sim.model import Finding, Severity

CONTEXT = Context(tiny_network(), 1.0)


def make(name: str, function, *, needs=(), severity=Severity.ERROR) -> Check:
    return Check(name, severity, "a reason", "a calibration", function, needs)


def sees(*observations: Observation):
    return lambda _: iter(observations)


def crashes(_: Context) -> Iterator[Observation]:
    yield Observation("here", "seen before the crash")
    raise ZeroDivisionError("by zero")


def run(*checks: Check) -> tuple[Finding, ...]:
    return run_checks(CONTEXT, {entry.name: entry for entry in checks})


def test_the_runner_adds_name_severity_and_documentation():
    (finding,) = run(make("values.odd_one", sees(Observation("here", "seen", n_bad=1, n_seen=2))))
    assert finding == Finding(
        "values.odd_one",
        Severity.ERROR,
        "here",
        "seen. See docs/checks.md#values-odd-one",
        n_bad=1,
        n_seen=2,
    )


def test_a_crash_is_an_error_that_names_the_check():
    (finding,) = run(make("values.odd", crashes, severity=Severity.INFO))
    assert (finding.check, finding.severity) == (CRASHED, Severity.ERROR)
    assert "values.odd" in finding.message
    assert "ZeroDivisionError: by zero" in finding.message


def test_a_check_whose_needs_failed_is_left_out_and_says_so():
    bad = make("a.first", sees(Observation("here", "wrong")))
    second = make("a.second", sees(), needs=("a.first",))
    third = make("a.third", sees(), needs=("a.second",))
    found = run(bad, second, third)
    assert [finding.check for finding in found] == ["a.first", SKIPPED, SKIPPED]
    assert [finding.where for finding in found[1:]] == ["a.second", "a.third"]
    assert found[1].severity is Severity.INFO
    assert "because of a.first" in found[1].message
    assert run(make("a.first", crashes), second)[1].check == SKIPPED


def test_a_warning_does_not_keep_others_from_running():
    first = make("a.first", sees(Observation("x", "odd")), severity=Severity.WARNING)
    second = make("a.second", sees(Observation("y", "seen")), needs=("a.first",))
    assert [finding.check for finding in run(first, second)] == ["a.first", "a.second"]


@pytest.fixture
def empty_registry(monkeypatch):
    monkeypatch.setattr(registry, "_CHECKS", {})


def register(name: str, **options) -> None:
    check(name, severity=Severity.ERROR, reason="r", calibration="c", **options)(sees())


def test_names_are_taken_once(empty_registry):
    register("a.b")
    with pytest.raises(ValueError, match=r"two checks are named 'a.b'"):
        register("a.b")
    with pytest.raises(ValueError, match=r"family\.rule"):
        register("loner")


def test_checks_run_after_those_they_need(empty_registry):
    register("a.late", needs=("b.early",))
    register("b.early")
    assert list(registered_checks()) == ["b.early", "a.late"]


def test_needs_that_cannot_be_met(empty_registry):
    register("a.b", needs=("a.c",))
    with pytest.raises(ValueError, match=r"a.b needs a.c, which is not registered"):
        registered_checks()
    register("a.c", needs=("a.b",))
    with pytest.raises(ValueError, match="in turn"):
        registered_checks()


def test_every_check_is_explained():
    checks = registered_checks()
    assert isinstance(checks, MappingProxyType)
    assert {entry.family for entry in checks.values()} >= {
        "structure",
        "values",
        "units",
        "training",
        "provenance",
    }
    for entry in checks.values():
        assert entry.reason.endswith(".")
        assert entry.calibration.endswith(".")
        assert entry.function.__doc__


DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_checks_is_up_to_date():
    """Write it again with ``python -m v1sim.checks.documentation docs``."""
    page = (DOCS / "checks.md").read_text(encoding="utf-8")
    assert page == checks_markdown()
    for entry in registered_checks().values():
        assert f"## {entry.anchor.partition('#')[2]}\n" in page


#: Words after which a limit is written.
_LIMITED = re.compile(
    r"(\blimit( is|:)?|\b[Ff]ound (below|above|beyond|from)|\brefused (below|above|from)|\ballowed|"
    r"\bevidence from)\s+(?=[-\d.])"
)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_limits_in_the_documentation_are_those_of_the_code(page):
    """Write them again with ``python -m v1sim.checks.documentation docs``."""
    text = page.read_text(encoding="utf-8")
    assert with_limits(text) == text


def test_no_limit_is_written_by_hand():
    """A limit stands once, in the code: words about it take it from there."""
    assert "<!--limit training.TRAINED_ZEROS" in (DOCS / "calibration.md").read_text()
    assert not _LIMITED.search((DOCS / "calibration.md").read_text(encoding="utf-8"))
    for module in sorted(Path(registry.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "calibration":
                for part in ast.walk(node.value):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        assert not _LIMITED.search(part.value), (module.name, part.value)


@pytest.mark.parametrize(
    "mark", ["training.NO_SUCH_LIMIT", "no_such_module.ABSENT", "baseline.ALMOST_UNCHANGED[other]"]
)
def test_a_mark_that_names_no_limit(mark):
    with pytest.raises((AttributeError, KeyError, ModuleNotFoundError)):
        with_limits(f"<!--limit {mark}-->1<!--/limit-->")


def test_a_limit_that_changes_is_written_anew(monkeypatch):
    text = "from <!--limit training.TRAINED_ZEROS .1%-->2.0 %<!--/limit--> on"
    monkeypatch.setattr("v1sim.checks.training.TRAINED_ZEROS", 0.0345)
    assert with_limits(text) == text.replace("2.0 %", "3.5 %")
