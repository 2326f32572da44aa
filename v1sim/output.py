"""Writing files and folders so that what stands under a final name is always whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from v1sim.errors import OutputError

__all__ = ["new_folder", "replacing"]


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
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be written: {error.strerror or error}",
        where=str(path),
        expected="a folder that exists, with permission to write and enough space",
        hint="free space there or choose another folder with --out",
    )


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` to fill; rename it when the block ends well.

    On any error, Ctrl-C included, the temporary folder is removed.

    Raises
    ------
    OutputError
        If ``path`` exists and is not an empty folder, or cannot be written.
    """
    if path.is_dir() and any(path.iterdir()):
        raise OutputError(
            "the folder exists and is not empty",
            where=str(path),
            hint="choose another with --out, or remove it",
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
