"""Writing files and folders so that what stands under a final name is always whole.

What is being written has a temporary name beside the final one, made of random digits and of the
process that writes it. What killed processes left is removed by a later call that writes to the
same folder, where their process is surely dead: it was of this machine, since it was started,
and of this container. Anything else is left alone.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import hashlib
import io
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from v1sim.errors import OutputError
from v1sim.printable import printable

__all__ = [
    "NewFolder",
    "naming_a_full_disk",
    "new_folder",
    "refuse_to_replace",
    "replacing",
    "write_csv",
]

#: The file by which the folder of a run is known.
RUN_REPORT = "report.json"
#: Names tried for a folder whose own name is taken.
_MOST_NAMES = 1000
#: ``.NAME.PLACE-PID-BEGAN-RANDOM.part.SUFFIX``
_TEMPORARY = re.compile(r"^\..*\.([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}\.part(\.[^/]*)?$")


def refuse_to_replace(path: Path, *, force: bool) -> None:
    """Refuse to write over a file that is there, unless that was asked for.

    Raises
    ------
    OutputError
        If there is one.
    """
    if not force and (path.exists() or path.is_symlink()):
        raise OutputError(
            "is there already",
            where=str(path),
            expected="a new name",
            hint="choose another, or replace it with --force",
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to; rename it when the block ends well.

    On any error, Ctrl-C included, the temporary file is removed and whatever
    was under ``path`` stays as it was. A link stays a link: the file that it leads to is replaced.

    Raises
    ------
    OutputError
        If the file cannot be written: no such folder, no permission, disk full. It names
        ``path``, whatever it was that failed.
    """
    final = path.resolve() if path.is_symlink() else path
    _clear_leftovers(final.parent)
    # The suffix stays last: libraries read the format off it.
    temporary = final.with_name(f".{final.stem}.{_tag()}.part{final.suffix}")
    try:
        with _naming(temporary, path), _writing(path, temporary):
            yield temporary
            temporary.replace(final)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_csv(path: Path, rows: Iterable[Iterable[object]], *, delimiter: str = ",") -> None:
    """Write a table, header first. Text in it holds no control characters.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", delimiter=delimiter)
    for row in rows:
        writer.writerow(
            [printable(cell).replace("\n", " ") if isinstance(cell, str) else cell for cell in row]
        )
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


@dataclass
class NewFolder:
    """A folder that is being filled.

    Parameters
    ----------
    temporary : Path
        Where to write.
    final : Path
        What it will be called. After the block, what it is called: another name where somebody
        else took this one meanwhile.
    """

    temporary: Path
    final: Path


@contextmanager
def new_folder(
    path: Path, *, or_next: bool = False, force: bool = False, known_by: str = RUN_REPORT
) -> Iterator[NewFolder]:
    """Give a temporary folder beside ``path`` to fill; rename it when the block ends well.

    The name is claimed before the block begins: no other call gets it meanwhile. If it is taken
    all the same, the folder gets the next free name (``NAME_2``). On any error of the block,
    Ctrl-C included, the temporary folder is removed.

    Parameters
    ----------
    path : Path
        The folder; what is there may be an empty folder, or a link to one.
    or_next : bool
        Whether to take the next free name where this one is taken from the beginning.
    force : bool
        Whether to replace the folder of an earlier run.
    known_by : str
        The file by which such a folder is known.

    Raises
    ------
    OutputError
        If ``path`` cannot be had or written; nothing was begun then. If the filled folder cannot
        get its name, the error says where it is.
    """
    final = path.resolve() if path.is_symlink() or not path.name else path
    with contextlib.ExitStack() as stack:
        if or_next:
            for number in range(1, _MOST_NAMES):
                final = _numbered(path, number)
                if not _is_taken(final) and _claim(final, stack):
                    break
        else:
            _refuse_other(final, path, known_by, force=force)
            if not _claim(final, stack):
                raise OutputError(
                    "another run is writing this folder",
                    where=str(path),
                    expected="a name of its own for each run",
                    hint="choose another with --out",
                )
            _refuse_other(
                final, path, known_by, force=force
            )  # it may have been filled before the claim
        _clear_leftovers(final.parent)
        folder = NewFolder(final.with_name(f".{final.name}.{_tag()}.part"), final)
        with _writing(path, folder.temporary):
            folder.temporary.mkdir(parents=True)
        try:
            with _naming(folder.temporary, path), _filling(path, folder.temporary):
                yield folder
        except BaseException:
            shutil.rmtree(folder.temporary, ignore_errors=True)
            raise
        folder.final = _named(folder.temporary, final, known_by, force=force)


def _numbered(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.name}_{number}")


def _is_taken(path: Path) -> bool:
    return path.is_symlink() or (path.exists() and not (path.is_dir() and _is_empty(path)))


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def _is_ours(folder: Path, known_by: str) -> bool:
    return (folder / known_by).is_file()


def _refuse_other(final: Path, path: Path, known_by: str, *, force: bool) -> None:
    """Refuse what is there already, unless it is an empty folder or may be replaced."""
    if not final.exists():
        return
    seen, hint = "", "choose another with --out"
    if not final.is_dir():
        seen = "is a file"
    elif final.is_mount():
        seen, hint = "is a mount point, which nothing can be renamed to", "choose a folder in it"
    elif not _is_empty(final) and not (force and _is_ours(final, known_by)):
        seen = "the folder exists and is not empty"
        if force:
            seen += f", and it has no {known_by}"
        elif _is_ours(final, known_by):
            hint += ", or replace it with --force"
        else:
            hint += ", or remove it"
    if seen:
        raise OutputError(seen, where=str(path), expected="a new folder", hint=hint)


def _claim(final: Path, stack: contextlib.ExitStack) -> bool:
    """Whether this process alone may give a folder this name, until the stack is left."""
    path = final.with_name(f".{final.name}.claim")
    with _writing(final, path):
        final.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except OSError as error:
                # Without locks there is no claim; the end finds out whether the name is free.
                if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                    os.close(descriptor)
                    raise
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    break
            os.close(descriptor)  # the one who had it has just removed it: try again
    stack.callback(_release, path, descriptor)
    return True


def _release(path: Path, descriptor: int) -> None:
    """Give a claim up; that this fails spoils nothing of what was written."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _named(temporary: Path, final: Path, known_by: str, *, force: bool) -> Path:
    """Give a filled folder its name, or the next that is free; the name."""
    replaced = None
    if force and final.is_dir() and _is_ours(final, known_by):
        replaced = final.with_name(f".{final.name}.{_tag()}.part")
        final.rename(replaced)
    try:
        for number in range(1, _MOST_NAMES):
            name = _numbered(final, number)
            if number > 1 and _is_taken(name):
                continue
            try:
                temporary.rename(name)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY):
                    continue
                raise OutputError(
                    f"the complete folder cannot get its name: {error.strerror}",
                    where=str(final),
                    expected="a name that is free",
                    hint=f"everything is in {temporary}: rename it",
                ) from error
            return name
    finally:
        if replaced is not None:
            if final.exists():
                shutil.rmtree(replaced, ignore_errors=True)
            else:
                replaced.rename(final)
    raise OutputError(
        "the complete folder cannot get its name, nor one with a number",
        where=str(final),
        hint=f"everything is in {temporary}: rename it",
    )


@contextmanager
def _naming(temporary: Path, path: Path) -> Iterator[None]:
    """Errors of writing to a temporary name are about ``path``, as the user knows it."""
    try:
        yield
    except OutputError as error:
        seen, where, expected, hint = (
            text and _named_for_users(text, temporary, path)
            for text in (error.seen, error.where, error.expected, error.hint)
        )
        raise OutputError(seen or "", where=where, expected=expected, hint=hint) from error


def _named_for_users(text: str, temporary: Path, path: Path) -> str:
    return text.replace(str(temporary), str(path)).replace(temporary.name, path.name)


@contextmanager
def _writing(path: Path, temporary: Path) -> Iterator[None]:
    """What the system says of writing to a temporary name becomes an error about ``path``."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            "cannot be written: "
            + (error.strerror or _named_for_users(str(error), temporary, path)),
            where=str(path),
            expected="a folder that exists, with permission to write and enough space",
            hint="free space there or choose another folder with --out",
        ) from error


#: What the system says where nothing more can be written.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


@contextmanager
def _filling(path: Path, temporary: Path) -> Iterator[None]:
    """A disk that is full or failing, while a folder is filled, becomes an error about ``path``."""
    try:
        yield
    except OSError as error:
        elsewhere = error.filename is not None and str(temporary) not in str(error.filename)
        if error.errno not in _FULL or elsewhere:
            raise
        with _writing(path, temporary):
            raise


@contextmanager
def naming_a_full_disk(path: Path) -> Iterator[None]:
    """A disk that is full or failing becomes an error about ``path``, which is worked in.

    Raises
    ------
    OutputError
        If it is.
    """
    with _filling(path, path):
        yield


# --- temporary names, and what killed processes left -----------------------------------------


def _tag() -> str:
    """What makes a temporary name this process's own, and this call's."""
    return f"{_place()}-{os.getpid()}-{_began(os.getpid())}-{secrets.token_hex(4)}"


@cache
def _place() -> str:
    """Eight digits of this start of this machine, and of the container that numbers processes."""
    parts = []
    for path in ("/proc/sys/kernel/random/boot_id", "/etc/machine-id"):
        with contextlib.suppress(OSError):
            parts.append(Path(path).read_text())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    if not parts:
        parts = [os.uname().nodename, str(int(psutil.boot_time()))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _began(process: int) -> int:
    """When a process began, in a unit of this machine's; -1 where there is none, or a dead one."""
    try:
        # After the name in brackets: state is the first, the start the 20th.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return -1 if fields[0] in "ZX" else int(fields[19])
    except (OSError, IndexError):
        pass
    try:
        return int(psutil.Process(process).create_time())
    except psutil.Error:
        return -1


_looked_through: set[tuple[int, Path]] = set()


def _clear_leftovers(folder: Path) -> None:
    """Remove what dead processes left in a folder, once for each process and folder."""
    key = (os.getpid(), folder.absolute())
    if key in _looked_through:
        return
    _looked_through.add(key)
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            if path.name.startswith(".") and path.name.endswith(".claim"):
                _clear_claim(path)
            found = _TEMPORARY.match(path.name)
            if found is None or found[1] != _place() or _began(int(found[2])) == int(found[3]):
                continue
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def _clear_claim(path: Path) -> None:
    """Remove a claim that nobody holds."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            path.unlink()
    except OSError:  # held, or no locks here
        pass
    finally:
        os.close(descriptor)
