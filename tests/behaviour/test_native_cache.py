"""The compiled NEST module: what lies in the cache is loaded if it is v1sim's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from v1sim.simulation.native import library
from v1sim.simulation.native.compile import MODULE_NAME, fitting_module

#: Tells which module this Python would load, without loading NEST. The installed one is no choice.
CODE = """
from pathlib import Path
from v1sim.simulation.native import library
fitting = library.fitting_module
library.fitting_module = lambda f: None if f == Path(library.__file__).parent else fitting(f)
print(library._native_path())
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A cache in which the module has been compiled: its root, and the module."""
    root = tmp_path_factory.mktemp("cache")
    path = which(root)
    assert path.is_relative_to(root)
    return root, path


def which(root, code=CODE):
    from pathlib import Path

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "XDG_CACHE_HOME": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    which.said = done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_module_is_taken_from_the_cache_and_its_stamp_names_its_bytes(compiled):
    root, path = compiled
    before = path.stat().st_mtime_ns
    assert which(root) == path
    assert path.stat().st_mtime_ns == before
    assert len(json.loads(path.with_suffix(".json").read_text())["library"]) == 64


@pytest.mark.slow
def test_a_planted_library_is_not_the_one_of_the_stamp(compiled):
    _, path = compiled
    content = path.read_bytes()
    path.write_bytes(b"planted")
    assert fitting_module(path.parent) is None
    path.write_bytes(content)
    assert fitting_module(path.parent) == path


@pytest.mark.slow
def test_a_folder_that_others_may_write_is_not_used(compiled):
    root, path = compiled
    path.parent.chmod(0o777)
    try:
        other = which(root)
        assert not other.is_relative_to(root)
        assert "can be written by others" in which.said
        assert "compiled for this process alone" in which.said
        assert not other.exists()  # gone with its process
    finally:
        path.parent.chmod(0o700)


def test_a_library_without_the_functions_is_an_error_of_ours(tmp_path, monkeypatch):
    source = tmp_path / "empty.cpp"
    source.write_text('extern "C" int nothing() { return 0; }')
    planted = tmp_path / MODULE_NAME
    subprocess.run(["g++", "-shared", "-fPIC", source, "-o", planted], check=True)
    monkeypatch.setattr(library, "_native_path", lambda: planted)
    library.native_module.cache_clear()
    try:
        with pytest.raises(library.InputError, match=r"cannot be loaded[\s\S]*compiled again"):
            library.native_module()
        planted = tmp_path / f"other_{MODULE_NAME}"
        planted.write_bytes(b"no library")
        with pytest.raises(library.InputError, match="cannot be loaded"):
            library.native_module()
    finally:
        library.native_module.cache_clear()
