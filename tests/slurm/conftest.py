"""The cluster that all tests of this folder share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.slurm import cluster as clusters
from tests.slurm.cluster import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    lacking = clusters.missing()
    if lacking:
        pytest.skip(lacking)
    with clusters.running(tmp_path_factory.mktemp("slurm") / "cluster") as started:
        before = dict(os.environ)
        os.environ.update(started.environment)
        yield started
        os.environ.clear()
        os.environ.update(before)
