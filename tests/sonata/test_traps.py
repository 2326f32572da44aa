"""Every trap: what BMTK makes of it, and that v1sim finds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sonata.base import base_circuit
from tests.sonata.bmtk import Bmtk, BmtkError
from tests.sonata.compare import v1sim_spikes
from tests.sonata.traps import N_SPIKES, TRAPS, Trap, with_table
from v1sim import guard
from v1sim.errors import V1simError
from v1sim.inputs.run_file import load_run
from v1sim.model import CheckReport, Severity
from v1sim.sources import open_network

REPOSITORY = Path(__file__).resolve().parents[2]
ANY = guard.Policy(require="any")


@pytest.fixture(scope="module")
def bmtk() -> Iterator[Bmtk]:
    with Bmtk() as service:
        yield service


def named(trap: Trap) -> str:
    return trap.name


def checked(path: Path) -> CheckReport:
    return guard.examine(open_network(path), ANY)


def test_the_circuit_without_a_trap(bmtk: Bmtk, tmp_path: Path) -> None:
    path = base_circuit().write(tmp_path / "circuit")
    assert len(bmtk.run(path)) == N_SPIKES
    report = checked(path)
    assert report.passed
    assert [f for f in report.findings if f.severity is not Severity.INFO] == []


@pytest.mark.parametrize("trap", TRAPS, ids=named)
def test_what_bmtk_makes_of_it(trap: Trap, bmtk: Bmtk, tmp_path: Path) -> None:
    path = trap.make(tmp_path / "circuit")
    if isinstance(trap.bmtk, int):
        assert len(bmtk.run(path)) == trap.bmtk
    else:
        with pytest.raises(BmtkError) as error:
            bmtk.run(path)
        assert str(error.value).startswith(trap.bmtk)


@pytest.mark.parametrize("trap", TRAPS, ids=named)
def test_what_v1sim_finds(trap: Trap, tmp_path: Path) -> None:
    path = trap.make(tmp_path / "circuit")
    if trap.finds == "error":
        with pytest.raises(V1simError):
            checked(path)
        return
    report = checked(path)
    found = [f for f in report.findings if f.check == trap.finds]
    assert found, [f.check for f in report.findings]
    assert all(f.hint or f.severity is Severity.INFO for f in found)
    assert report.passed == (trap.builds != "refused")
    if trap.builds == "refused":
        assert trap.finds in {f.check for f in report.blocking}
        # The usual checks read what the reader left, and find it too.
        assert {f.check for f in report.blocking} - {trap.finds} <= {
            "values.finite",
            "structure.index_range",
            "structure.receptor_range",
        }


@pytest.mark.parametrize("trap", [t for t in TRAPS if t.builds == "right"], ids=named)
def test_what_v1sim_builds(trap: Trap, bmtk: Bmtk, tmp_path: Path) -> None:
    right = bmtk.run(base_circuit().write(tmp_path / "right"))
    path = trap.make(tmp_path / "circuit")
    dt_ms = load_run(path, []).simulation.dt_ms
    assert dt_ms is not None
    ours = v1sim_spikes(path, tmp_path / "run", ("v1", "lm"))
    assert ours.by_step(dt_ms) == right.by_step(dt_ms)


def test_the_documentation_has_the_table() -> None:
    page = (REPOSITORY / "docs" / "sonata.md").read_text()
    assert "<!--traps-->" in page
    assert with_table(page) == page, "python -m tests.sonata.traps docs/sonata.md"
