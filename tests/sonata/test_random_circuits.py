"""v1sim's spikes are BMTK's, each one, on circuits that nobody chose."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sonata.__main__ import DTS_MS, judge
from tests.sonata.bmtk import Bmtk
from tests.sonata.compare import compare
from tests.sonata.random_circuits import Variety, random_circuit

#: Of each of which hypothesis leaves off what is not needed for a difference.
VARIETIES = st.builds(
    Variety,
    dt_ms=st.sampled_from(DTS_MS),
    **{name: st.booleans() for name in Variety.switches()},  # type: ignore[arg-type]
)


@pytest.fixture(scope="module")
def bmtk() -> Iterator[Bmtk]:
    with Bmtk() as service:
        yield service


@given(seed=st.integers(0, 2**32 - 1), variety=VARIETIES)
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_all_spikes_are_bmtks(bmtk: Bmtk, seed: int, variety: Variety) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = random_circuit(seed, variety, stop_ms=100.0).write(Path(folder) / "circuit")
        one = compare(config, Path(folder) / "run", variety.dt_ms, bmtk)
    assert one.equal, one


@pytest.mark.slow
def test_all_spikes_of_two_hundred_circuits_are_bmtks(tmp_path: Path) -> None:
    found = judge(range(1000, 1200), DTS_MS, tmp_path)
    assert len(found) == 200
    assert [seed for seed, one in found.items() if not one.equal] == []
    assert sum(one.n_bmtk for one in found.values()) > 50_000


def test_a_circuit_follows_from_its_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        random_circuit(7).write(tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.csv"))
    assert files
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
