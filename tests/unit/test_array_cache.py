from __future__ import annotations

import logging
import os

import numpy as np
import pytest

from v1sim.stimulus.array_cache import cached_arrays


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "v1sim" / "arrays"


def arrays():
    return {"a": np.arange(1000, dtype=np.float32), "b": np.array([[1, 2]], dtype=np.int64)}


def assert_equal(seen, expected):
    assert seen.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(seen[key], values)
        assert seen[key].dtype == values.dtype


def test_made_once(folder):
    assert_equal(cached_arrays("x", arrays), arrays())
    assert_equal(cached_arrays("x", pytest.fail), arrays())
    assert [p.name for p in folder.iterdir()] == ["x.npz"]


@pytest.mark.parametrize("damage", ["flip a byte", "cut", "empty", "other", "folder"])
def test_a_damaged_file_is_made_again(folder, damage, caplog):
    cached_arrays("x", arrays)
    path = folder / "x.npz"
    content = bytearray(path.read_bytes())
    if damage == "flip a byte":
        content[1000] ^= 1  # within the values of "a"
    contents = {"cut": content[:-50], "empty": b"", "other": b"no archive at all"}
    path.write_bytes(contents.get(damage, content))
    if damage == "folder":
        path.unlink()
        path.mkdir()
    with caplog.at_level(logging.WARNING):
        assert_equal(cached_arrays("x", arrays), arrays())
    assert "made again" in caplog.text
    if damage != "folder":
        assert_equal(cached_arrays("x", pytest.fail), arrays())


def test_only_the_latest_files_stay(folder):
    for index in range(6):
        cached_arrays(f"x{index}", arrays)
        os.utime(folder / f"x{index}.npz", (index, index))
        if index == 3:
            cached_arrays("x0", pytest.fail)  # used again: now the latest
    assert {p.name for p in folder.iterdir()} == {"x0.npz", "x3.npz", "x4.npz", "x5.npz"}


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert_equal(cached_arrays("x", arrays), arrays())
