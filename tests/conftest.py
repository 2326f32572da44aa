"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The reference networks beside the repository; the test skips where they are absent."""
    if not (SHARED_DATA / "trained_a").is_dir():
        pytest.skip(f"no reference data at {SHARED_DATA}")
    return SHARED_DATA
