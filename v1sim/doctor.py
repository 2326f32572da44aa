"""Looks at what v1sim runs in: NEST, compiler, MPI, caches, locks, cores, memory, extras.

Each part is examined by itself: what is wrong with one does not hide the others.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from v1sim.cache import CacheError, cache_folder
from v1sim.cores import core_limit, variables_that_bind
from v1sim.documents.doctor import DoctorDocument, ExaminedPart
from v1sim.errors import V1simError
from v1sim.memory import memory_limit
from v1sim.simulation.group import MPI_PACKAGE, launched
from v1sim.simulation.machine import describe_machine
from v1sim.simulation.native.compile import CompilationError, compile_command, wanted_stamp
from v1sim.simulation.native.library import present_module

__all__ = ["examine_environment"]

_State = Literal["good", "optional", "doubtful", "bad"]
#: Packages of extras: what they are for, and the extra's name.
_EXTRAS = {
    "tensorflow": ("convert and its proofs", "convert"),
    "pandas": ("tables of recordings", "pandas"),
    "xarray": ("datasets of recordings", "xarray"),
    "pyarrow": ("sweeps' tables as parquet", "hpc"),
    "submitit": ("sweeps on Slurm", "hpc"),
    "av": ("movies as stimuli", "video"),
    MPI_PACKAGE: ("one simulation on several processes", "mpi"),
}
#: Memory below which the networks in use do not fit, MB.
_LITTLE_MEMORY_MB = 4000.0


def examine_environment() -> DoctorDocument:
    """Examine everything; nothing is simulated, compiled or changed."""
    parts = [
        _examined(name, examine)
        for name, examine in (
            ("Python", _python),
            ("NEST", _nest),
            ("v1sim's NEST module", _module),
            ("C++ compiler", _compiler),
            ("MPI", _mpi),
            ("cache", _cache),
            ("file locks here", _locks),
            ("cores", _cores),
            ("thread binding", _binding),
            ("memory", _memory),
            ("optional packages", _extras),
        )
    ]
    try:
        versions = _versions()
    except Exception:  # NEST, which is among the parts
        versions = {}
    return DoctorDocument(parts=parts, versions=versions)


def _versions() -> dict[str, str]:
    return describe_machine(native=_module()[1])


_Examined = tuple[_State, str, str]


def _examined(part: str, examine: Callable[[], _Examined]) -> ExaminedPart:
    try:
        state, seen, what_to_do = examine()
    except V1simError as error:
        state, seen, what_to_do = "bad", error.seen, error.hint or ""
    except Exception as error:  # whatever an installation is broken by
        state, seen = "bad", f"{type(error).__name__}: {error}"
        what_to_do = "install v1sim anew: pip install --force-reinstall v1sim"
    return ExaminedPart(part=part, state=state, seen=seen, what_to_do=what_to_do)


def _python() -> _Examined:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return "doubtful", version, "use CPython 3.11, 3.12 or 3.13, for which NEST is offered"
    return "good", f"{version}, {sys.executable}", ""


def _nest() -> _Examined:
    if find_spec("nest") is None:
        return "bad", "is not installed", "pip install 'nest-simulator>=3.10'"
    machine = _versions()
    text = f"{machine['nest-simulator']}, threads {machine['nest threads']}"
    if machine["nest threads"] != "yes":
        return "doubtful", text, "install a NEST with OpenMP: runs would use one core"
    return "good", text, ""


def _module() -> _Examined:
    try:
        path = present_module()
    except CompilationError as error:
        text = f"cannot be compiled: {error}; networks from training run as glif_psc without it"
        return "doubtful", text, "install what is missing"
    except CacheError as error:
        text = f"is compiled anew for each process, which takes a minute: {error}"
        return "doubtful", text, "set XDG_CACHE_HOME to a folder of your own"
    if path is None:
        return "good", "not compiled yet: the first run does, which takes a minute", ""
    return "good", str(path), ""


def _compiler() -> _Examined:
    try:
        command = compile_command(wanted_stamp(), Path(os.devnull), _system())
    except CompilationError as error:
        return "optional", f"cannot compile: {error}", "needed once, for v1sim's NEST module"
    return "good", shutil.which(command[0]) or command[0], ""


def _system() -> str:
    return "Darwin" if sys.platform == "darwin" else "Linux"


def _mpi() -> _Examined:
    with_mpi = _versions()["nest mpi"] == "yes"
    started = launched().size
    if started > 1 and not with_mpi:
        return (
            "bad",
            f"{started} processes were started together, but this NEST has no MPI",
            "start one process with --threads N, or build NEST with MPI: docs/hpc.md",
        )
    if with_mpi and find_spec(MPI_PACKAGE) is None:
        return (
            "optional",
            f"NEST has MPI; {MPI_PACKAGE} is not installed",
            "pip install 'v1sim[mpi]'",
        )
    if not with_mpi:
        return "optional", "this NEST has no MPI: runs use one process", "docs/hpc.md, if wanted"
    return "good", f"NEST has MPI, {started} process{'es' if started > 1 else ''}", ""


def _cache() -> _Examined:
    try:
        folder = cache_folder("arrays")
    except CacheError as error:
        return "doubtful", str(error), "set XDG_CACHE_HOME to a folder of your own"
    if not os.access(folder, os.W_OK):
        return "doubtful", f"{folder} cannot be written", "set XDG_CACHE_HOME to another folder"
    return "good", str(folder), ""


def _locks() -> _Examined:
    """Whether two open files of this folder exclude each other, as runs of a sweep must."""
    try:
        with tempfile.NamedTemporaryFile(dir=".", prefix=".v1sim-doctor-") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with Path(file.name).open("rb") as other:
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return "good", f"{Path.cwd()} keeps locks", ""
    except OSError as error:
        text = f"{Path.cwd()}: {error.strerror}"
        return "doubtful", text, "run sweeps in a folder that can be written and has locks"
    return (
        "doubtful",
        f"{Path.cwd()} has no working locks",
        "do not start one sweep twice at a time there",
    )


def _cores() -> _Examined:
    limit = core_limit()
    return "good", f"{limit.cores} ({limit.because})", ""


def _binding() -> _Examined:
    variables = variables_that_bind()
    if variables:
        return (
            "doubtful",
            f"{' and '.join(variables)} bind every process to the same cores",
            "unset them, or leave it to v1sim batch, which gives each run cores of its own",
        )
    return "good", "nothing binds threads", ""


def _memory() -> _Examined:
    limit = memory_limit()
    if limit is None:
        return "good", "no limit but the machine's", ""
    text = f"{limit.mb:,.0f} MB ({limit.because})"
    if limit.mb < _LITTLE_MEMORY_MB:
        return "doubtful", text, f"for networks of 50,000 neurons ask for more: {limit.hint}"
    return "good", text, ""


def _extras() -> _Examined:
    missing = {name: about for name, about in _EXTRAS.items() if find_spec(name) is None}
    if not missing:
        return "good", "all are installed", ""
    listed = "; ".join(f"{name}, for {purpose}" for name, (purpose, _) in missing.items())
    extras = ",".join(dict.fromkeys(extra for _, extra in missing.values()))
    return "optional", f"not installed: {listed}", f"pip install 'v1sim[{extras}]'"
