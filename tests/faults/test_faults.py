"""A sample of the calls that write, of every command; `python -m tests.faults` tries them all."""

from __future__ import annotations

import shutil

import pytest

from tests.faults.harness import CASES, MODES, compiled, examine, place

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None, reason="no C compiler"
)


def examined(name, modes, **options):
    with place() as folder:
        return examine(CASES[name], folder, compiled(folder), modes, **options)


@pytest.mark.parametrize("name", ["build-column", "stamp"])
def test_some_calls_fail(name):
    found = examined(name, ["ENOSPC", "short", "kill"], every=31, first=2)
    for mode, tally in found.items():
        assert tally.problems == [], mode
        assert tally.tried >= 1
        assert set(tally.codes) <= ({0, -9} if mode == "kill" else {0, 2})


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_every_call_fails(name, mode):
    (tally,) = examined(name, [mode]).values()
    assert tally.problems == []
    assert tally.tried == tally.n_calls > 10
