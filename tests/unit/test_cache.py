"""The user's cache is used where nobody else could have written to it, and nowhere else."""

from __future__ import annotations

import os
import stat

import pytest

from v1sim.cache import CacheError, cache_folder, require_own

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs the rights of root")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_a_new_folder_is_the_users_alone(home):
    path = cache_folder("arrays")
    assert path == home / "cache" / "v1sim" / "arrays"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert cache_folder("arrays") == path


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_is_refused(home, mode):
    path = cache_folder("arrays")
    path.chmod(mode)
    with pytest.raises(CacheError, match="can be written by others"):
        cache_folder("arrays")


def test_a_folder_above_that_all_may_write_is_refused_unless_it_is_sticky(home):
    path = cache_folder("arrays")
    home.chmod(0o777)
    with pytest.raises(CacheError, match="can be written by others"):
        cache_folder("arrays")
    home.chmod(0o1777)
    assert cache_folder("arrays") == path
    home.chmod(0o775)
    assert cache_folder("arrays") == path


@AS_ROOT
@pytest.mark.parametrize("above", [False, True])
def test_what_belongs_to_another_user_is_refused(home, above):
    path = cache_folder("arrays")
    os.chown(path.parent if above else path, 12345, -1)
    with pytest.raises(CacheError, match="belongs to another user"):
        cache_folder("arrays")


def test_a_link_is_judged_by_where_it_leads(home):
    path = cache_folder("arrays")
    elsewhere = home / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    elsewhere.chmod(0o777)
    path.rmdir()
    path.symlink_to(elsewhere)
    with pytest.raises(CacheError, match="elsewhere can be written by others"):
        cache_folder("arrays")


def test_what_cannot_be_made_is_said(home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "file"))
    with pytest.raises(CacheError, match="cannot be made"):
        cache_folder("arrays")


def test_what_is_not_there_is_not_the_users(home):
    with pytest.raises(CacheError, match="cannot be looked at"):
        require_own(home / "absent")
