from __future__ import annotations

from pathlib import Path

import pytest

from v1sim.errors import InputError
from v1sim.user_paths import expanded


def test_home_and_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    assert expanded(Path("~/a.h5")) == Path("/home/me/a.h5")
    assert expanded(Path("$SCRATCH/a.h5")) == Path("/scratch/me/a.h5")
    assert expanded(Path("x/${SCRATCH}_old/a.h5")) == Path("x/scratch/me_old/a.h5")
    assert expanded(Path("a/b~c.h5")) == Path("a/b~c.h5")


def test_a_file_of_that_very_name_is_meant(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("$odd.h5").write_text("")
    assert expanded(Path("$odd.h5")) == Path("$odd.h5")


@pytest.mark.parametrize("path", ["$NOT_SET_AT_ALL/a.h5", "~no_such_user_at_all/a.h5"])
def test_what_is_not_there_is_named(path, monkeypatch):
    monkeypatch.delenv("NOT_SET_AT_ALL", raising=False)
    with pytest.raises(InputError, match=r"NOT_SET_AT_ALL|no_such_user|home directory"):
        expanded(Path(path))
