"""The control groups (cgroups) of this process and those above them, in versions 1 and 2.

A limit of any of them holds: schedulers and containers set theirs at different levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

__all__ = ["Cgroup", "cgroups_of_this_process"]

_PROCESS = Path("/proc/self")


class Cgroup(NamedTuple):
    """A cgroup's folder and the version of its interface, 1 or 2."""

    version: int
    folder: Path

    def read(self, name: str) -> str | None:
        """The text of one of its files, None where there is none."""
        try:
            return (self.folder / name).read_text().strip()
        except OSError:
            return None


def cgroups_of_this_process(controller: str, process: Path = _PROCESS) -> Iterator[Cgroup]:
    """The process's cgroup with a controller, and all above it that can be seen, inside out.

    Parameters
    ----------
    controller : str
        "cpu" or "memory".
    process : Path, optional
        The process's folder in /proc.
    """
    try:
        memberships = (process / "cgroup").read_text().splitlines()
        mounts = (process / "mountinfo").read_text().splitlines()
    except OSError:
        return
    for line in memberships:
        _, controllers, path = line.split(":", 2)
        version = 1 if controllers else 2
        if version == 1 and controller not in controllers.split(","):
            continue
        for root, point in _mounts(mounts, version, controller):
            yield from _upwards(version, path, root, point)


def _mounts(lines: list[str], version: int, controller: str) -> Iterator[tuple[str, Path]]:
    """The part of a hierarchy that is mounted, and where (proc(5), mountinfo)."""
    for line in lines:
        before, _, after = line.partition(" - ")
        mounted, details = before.split(), after.split()
        kind, options = details[0], details[-1].split(",")
        fits = kind == "cgroup2" if version == 2 else kind == "cgroup" and controller in options
        if fits:
            yield mounted[3], Path(mounted[4])


def _upwards(version: int, path: str, root: str, point: Path) -> Iterator[Cgroup]:
    """A cgroup's folder below a mount point, and each above it."""
    # In a container the mount begins at the container's own cgroup, or names lie outside of it.
    try:
        inside = PurePosixPath(path).relative_to(root)
    except ValueError:
        inside = PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    folder = point / inside
    while True:
        if folder.is_dir():
            yield Cgroup(version, folder)
        if folder == point:
            return
        folder = folder.parent
