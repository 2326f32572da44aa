"""Compiles the NEST extension module. Standard library only: pip runs it before v1sim is installed.

The module is compiled against the headers that come with NEST, in NEST's own
C++ ABI (the wheel on PyPI has the old one), and with Boost's headers from the
system or from the PyPI package ``boost-headers``. What it was compiled for is
written beside it: a module is only loaded into the NEST that it was made for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

__all__ = [
    "MODULE_NAME",
    "CompilationError",
    "compile_command",
    "compile_module",
    "fitting_module",
    "wanted_stamp",
]

#: NEST derives the name of the module's entry point from its file name.
MODULE_NAME = "v1sim_native.so"

_SOURCES = Path(__file__).parent / "src"


class CompilationError(Exception):
    """The module cannot be compiled; the message says what is missing and what to install."""


def _nest_folder() -> Path:
    spec = importlib.util.find_spec("nest")
    if spec is None or not spec.origin:
        msg = "NEST is not installed; install it: pip install 'nest-simulator>=3.10'"
        raise CompilationError(msg)
    return Path(spec.origin).parent


def _nest_headers() -> Path:
    package = _nest_folder()
    places = [
        package / "include" / "nest",
        Path(sys.prefix) / "include" / "nest",
        package.parents[3] / "include" / "nest",
    ]
    for place in places:
        if (place / "nest_extension_interface.h").exists():
            return place
    msg = f"NEST's headers were not found in {', '.join(map(str, places))}"
    raise CompilationError(msg)


def _boost_headers() -> list[str]:
    """Compiler flags for Boost: none where the system has it."""
    for root in (Path("/usr/include"), Path("/usr/local/include"), Path(sys.prefix) / "include"):
        if (root / "boost" / "version.hpp").exists():
            return [f"-I{root}"] if root.is_relative_to(sys.prefix) else []
    spec = importlib.util.find_spec("boost_headers")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / "include" / "boost" / "version.hpp").exists():
            return [f"-I{Path(folder) / 'include'}"]
    msg = "Boost's headers were not found; install them: pip install boost-headers"
    raise CompilationError(msg)


def _compiler(has_mpi: bool, system: str) -> str:
    usual = "clang++" if system == "Darwin" else "g++"
    candidates = [os.environ.get("CXX", ""), "mpicxx" if has_mpi else usual, "c++", "clang++"]
    for candidate in candidates:
        if candidate and shutil.which(candidate.split()[0]):
            return candidate
    need = "mpicxx (this NEST was built with MPI)" if has_mpi else "a C++20 compiler"
    how = "xcode-select --install" if system == "Darwin" else "apt-get install g++"
    msg = f"{need} was not found; install it, for example: {how}"
    raise CompilationError(msg)


def _openmp_headers_of_macos() -> str:
    """Apple's compiler has no omp.h: Homebrew and conda bring it."""
    folders = [
        *(Path(root) / "opt" / "libomp" / "include" for root in ("/opt/homebrew", "/usr/local")),
        Path(sys.prefix) / "include",
    ]
    for folder in folders:
        if (folder / "omp.h").exists():
            return f"-I{folder}"
    msg = "OpenMP's header omp.h was not found; install it: brew install libomp"
    raise CompilationError(msg)


def _platform_flags(package: Path, system: str) -> list[str]:
    """OpenMP and the ABI, without which the module does not fit NEST's threads and symbols."""
    if system == "Darwin":
        # NEST's symbols are in the library that loads the module; libc++ has one ABI of strings.
        return ["-Xclang", "-fopenmp", _openmp_headers_of_macos(), "-undefined", "dynamic_lookup"]
    return ["-fopenmp", *(["-D_GLIBCXX_USE_CXX11_ABI=0"] if _uses_old_abi(package) else [])]


def compile_command(stamp: Mapping[str, str | bool], output: Path, system: str) -> list[str]:
    """The compiler's command line for a platform.

    Parameters
    ----------
    stamp : mapping
        What `wanted_stamp` says.
    output : Path
        The module to write.
    system : str
        What `platform.system` calls the platform: "Linux" or "Darwin".

    Raises
    ------
    CompilationError
        If a compiler or headers are missing; the message says what to install.
    """
    return [
        *_compiler(bool(stamp["mpi"]), system).split(),
        *("-std=c++20", "-O3", "-DNDEBUG", "-fPIC", "-shared"),
        "-ffp-contract=off",  # a fused multiply-add rounds where training does not
        *_platform_flags(_nest_folder(), system),
        f"-I{_nest_headers()}",
        *_boost_headers(),
        *("-idirafter", str(_SOURCES / "compat")),
        str(_SOURCES / "everything.cc"),
        *("-o", str(output)),
    ]


def _uses_old_abi(package: Path) -> bool:
    """Whether NEST was compiled with libstdc++'s old strings, by the names of its functions."""
    kernel = next(iter(package.glob("nestkernel_api*.so")), None)
    if kernel is None:
        return False
    return re.search(rb"_ZN4nest\w*NSt7__cxx11", kernel.read_bytes()) is None


def wanted_stamp() -> dict[str, str | bool]:
    """What a module must have been compiled for to fit the installed NEST and these sources.

    Raises
    ------
    CompilationError
        If NEST or its headers are not there.
    """
    config = (_nest_headers() / "config.h").read_text()
    version = re.search(r'#define NEST_VERSION "([^"]+)"', config)
    digest = hashlib.sha256()
    for path in (Path(__file__), *sorted(_SOURCES.rglob("*"))):  # the flags stand in this file
        if path.is_file():
            digest.update(path.read_bytes())
    return {
        "nest": version.group(1) if version else "unknown",
        "mpi": re.search(r"^#define HAVE_MPI\b", config, re.MULTILINE) is not None,
        "sources": digest.hexdigest()[:16],
    }


def fitting_module(folder: Path) -> Path | None:
    """The module in ``folder`` if it was compiled for the installed NEST from these sources.

    It must be the library that its stamp was written for, byte by byte.

    Raises
    ------
    CompilationError
        If NEST or its headers are not there.
    """
    module = folder / MODULE_NAME
    try:
        stamp = json.loads(module.with_suffix(".json").read_text())
        digest = _sha256(module)
    except (OSError, ValueError):
        return None
    return module if stamp == {**wanted_stamp(), "library": digest} else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compile_module(folder: Path) -> Path:
    """Compile the module into ``folder``; it and its stamp appear whole or not at all.

    Raises
    ------
    CompilationError
        If something is missing or the compiler fails; the message ends with its last lines.
    """
    stamp = wanted_stamp()
    target = folder / MODULE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".compile-", dir=folder))
    except OSError as error:
        msg = f"{folder} cannot be written: {error.strerror}"
        raise CompilationError(msg) from error
    try:
        command = compile_command(stamp, scratch / MODULE_NAME, platform.system())
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
            detail = "\n    ".join(errors[:5] or done.stderr.splitlines()[-5:])
            msg = f"the compiler failed ({command[0]}):\n    {detail}"
            raise CompilationError(msg)
        library = _sha256(scratch / MODULE_NAME)
        (scratch / "stamp").write_text(json.dumps({**stamp, "library": library}))
        (scratch / MODULE_NAME).replace(target)
        (scratch / "stamp").replace(target.with_suffix(".json"))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


if __name__ == "__main__":
    sys.stdout.write(f"{compile_module(Path(__file__).parent)}\n")
