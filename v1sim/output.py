"""Writing files so that a file under its final name is always whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from v1sim.errors import OutputError

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to; rename it when the block ends well.

    On any error, Ctrl-C included, the temporary file is removed and whatever
    was under ``path`` stays as it was.

    Raises
    ------
    OutputError
        If the file cannot be written: no such folder, no permission, disk full.
    """
    # The suffix stays last: libraries read the format off it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            expected="a folder that exists, with permission to write and enough space",
            hint="free space there or choose another folder with --out",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
