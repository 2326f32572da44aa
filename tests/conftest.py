"""Fixtures that every test may use, and what a run of tests says at its end."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from tests.trained import NETWORK_A, SHARED_DATA, SHIPPED, Training

# A shell without job control starts what it puts into the background with Ctrl-C ignored, and
# children inherit that. Tests that interrupt one need it as a terminal gives it.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Nor does it matter in which job, with which threads or for which screen they are run.
for _name in list(os.environ):
    if re.match(
        r"(OMP|GOMP|KMP|SLURM)_(?!WAIT_POLICY$|CONF$)|(FORCE_COLOR|NO_COLOR|COLUMNS)$", _name
    ):
        del os.environ[_name]


# The same examples in every run: a change is judged by what it does, not by luck. New ones are
# drawn by the judges: python -m tests.fuzz, tests.sonata, tests.dpointnet.
settings.register_profile("v1sim", derandomize=True)
settings.load_profile("v1sim")


def _shared_data() -> Path:
    if not (SHARED_DATA / "trained_a").is_dir():
        pytest.skip("no reference data beside the repository (../shared/data)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The reference networks beside the repository; the test skips where they are absent."""
    return _shared_data()


@pytest.fixture(scope="session", params=["shipped", pytest.param("A", marks=pytest.mark.slow)])
def training(request: pytest.FixtureRequest) -> Training:
    """Networks of a real training: the repository's own, and with the slow tests network A."""
    if request.param == "shipped":
        return SHIPPED
    _shared_data()
    return NETWORK_A


@pytest.fixture(scope="session")
def network_a(shared_data: Path) -> Training:
    """Network A, where what is tested depends on its size or strength."""
    return NETWORK_A


@pytest.fixture(scope="session")
def shipped() -> Training:
    """The trained network of the repository."""
    return SHIPPED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for which reason."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        where = report.longrepr
        text = where[2] if isinstance(where, tuple) else str(where)
        reasons[re.sub(r"^Skipped: ", "", text)] += 1
    if reasons:
        terminalreporter.write_sep("=", f"{sum(reasons.values())} tests skipped")
        for reason, n in reasons.most_common():
            terminalreporter.write_line(f"{n:5d}  {reason}")
