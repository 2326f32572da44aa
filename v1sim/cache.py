"""The user's cache: what can be made again, in folders that nobody else could have written to.

Code is loaded from there, so that a folder counts only if it, and whatever it lies in, belongs to
the user or to root and cannot be written by others. /tmp and the like are no danger, as there
nobody can replace what is another's (the sticky bit).
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import stat
import tempfile
from pathlib import Path

__all__ = ["CacheError", "cache_folder", "place_caches", "require_own"]

_log = logging.getLogger("v1sim")


class CacheError(Exception):
    """The cache cannot be used; the message says why."""


def cache_folder(name: str) -> Path:
    """The folder ``name`` of v1sim's cache, made if it is not there.

    ``$XDG_CACHE_HOME/v1sim/NAME`` on Linux, ``~/.cache`` without that variable.

    Raises
    ------
    CacheError
        If it is not there and cannot be made, or others could have written to it.
    """
    import platformdirs  # 6 ms that most commands can do without

    root = platformdirs.user_cache_path("v1sim", appauthor=False)
    path = root / name
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        for folder in (root, path):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        msg = f"{path} cannot be made: {error.strerror}"
        raise CacheError(msg) from error
    require_own(path)
    return path


def require_own(path: Path) -> None:
    """Refuse a file or folder that others could have written, or put where it is.

    Raises
    ------
    CacheError
        Naming what belongs to another user or can be written by others.
    """
    path = path.resolve()
    for place in (path, *path.parents):
        try:
            status = place.stat()
        except OSError as error:
            msg = f"{place} cannot be looked at: {error.strerror}"
            raise CacheError(msg) from error
        if status.st_uid not in (os.geteuid(), 0):
            msg = f"{place} belongs to another user (number {status.st_uid})"
            raise CacheError(msg)
        # In folders above, what the group may do is the user's business: it is often his own.
        writable = stat.S_IWGRP | stat.S_IWOTH if place == path else stat.S_IWOTH
        if status.st_mode & writable and not status.st_mode & stat.S_ISVTX:
            msg = f"{place} can be written by others (chmod go-w {place})"
            raise CacheError(msg)


def place_caches() -> None:
    """Give libraries a folder for their caches where the user's own cannot be written.

    Homes are read-only on some clusters and in containers. matplotlib, pynwb and v1sim's NEST
    module look for their caches when they are first used: after that it is too late.
    """
    import platformdirs

    root = platformdirs.user_cache_path()
    try:
        root.mkdir(parents=True, exist_ok=True)
        if os.access(root, os.W_OK):
            return
        reason = "no permission"
    except OSError as error:
        reason = error.strerror or str(error)
    folder = Path(tempfile.mkdtemp(prefix="v1sim-cache-"))
    atexit.register(_remove, folder, os.getpid())
    _log.warning("%s cannot be written (%s): caches lie in %s for this run", root, reason, folder)
    os.environ["XDG_CACHE_HOME"] = str(folder)
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))


def _remove(folder: Path, maker: int) -> None:
    """Remove a folder at the end of the process that made it, not of one that it forked."""
    if os.getpid() == maker:
        shutil.rmtree(folder, ignore_errors=True)
