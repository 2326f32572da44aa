"""Arrays in scratch files."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from v1sim.paging import forget, paged_array


def resident_mb() -> float:
    """Memory of this process that maps files, as the system counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssFile"):
            return int(line.split()[1]) / 1e3
    pytest.skip("the system does not say")


def test_values_survive_being_forgotten():
    array = paged_array(1_000_000, np.float32)
    assert array.dtype == np.float32
    assert not array.any()
    array[:] = np.arange(1_000_000)
    array.flags.writeable = False
    forget(array)
    np.testing.assert_array_equal(array, np.arange(1_000_000, dtype=np.float32))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_forgetting_a_part_frees_the_whole():
    array = paged_array(20_000_000, np.uint8)
    before = resident_mb()
    array[:] = 1
    touched = resident_mb()
    forget(array[5:10])
    assert touched - before > 15
    assert resident_mb() - before < 5
    assert array.all()


def test_other_arrays_are_left_alone():
    array = np.arange(10)
    forget(array)
    forget(array[2:4])
    np.testing.assert_array_equal(array, np.arange(10))


def test_nothing_is_left_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = paged_array(10, np.int32)
    array[:] = 3
    assert list(tmp_path.iterdir()) == []
    assert array.sum() == 30


def test_a_full_disk_is_an_error_at_once(monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        paged_array(10, np.int32)
