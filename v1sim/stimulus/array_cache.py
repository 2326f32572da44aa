"""Arrays that take a while to make, kept in the user's cache under a name made of their content."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from v1sim.cache import CacheError, cache_folder
from v1sim.errors import OutputError
from v1sim.output import replacing

__all__ = ["cached_arrays"]

Arrays = dict[str, NDArray[Any]]

#: Files kept; the ones that were used longest ago go first.
_MOST_FILES = 4

_log = logging.getLogger(__name__)


def cached_arrays(name: str, make: Callable[[], Arrays]) -> Arrays:
    """Arrays from the cache, or made now and put there.

    The cache is the folder ``arrays`` of the user's cache (`v1sim.cache`). A file is
    there whole or not at all; one that cannot be read, or whose bytes changed (ZIP keeps
    a checksum of each array), is made again. A cache that cannot be used costs time and
    nothing else.

    Parameters
    ----------
    name : str
        Holds a digest of everything that the arrays follow from.
    make : callable
        Makes the arrays by name.
    """
    try:
        path = cache_folder("arrays") / f"{name}.npz"
    except CacheError as error:
        _log.info("arrays are not kept: %s", error)
        return make()
    try:
        with path.open("rb") as stream, NpzFile(stream) as file:
            arrays = {key: file[key] for key in file.files}
        path.touch()
        return arrays
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        _log.warning("%s cannot be used and is made again: %s", path, error)
    arrays = make()
    try:
        with replacing(path) as temporary:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
        by_age = sorted(path.parent.glob("*.npz"), key=lambda file: file.stat().st_mtime)
        for old in by_age[:-_MOST_FILES]:
            old.unlink(missing_ok=True)
    except (OSError, OutputError) as error:
        _log.info("%s is not kept: %s", path, error)
    return arrays
