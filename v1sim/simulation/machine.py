"""What simulates here: versions, the NEST build, cores, and the memory that was used."""

from __future__ import annotations

import platform
import resource
import sys
from importlib.metadata import version

from v1sim import __version__
from v1sim.cores import core_limit
from v1sim.errors import InputError
from v1sim.simulation.kernel import backend
from v1sim.simulation.native.library import native_module

__all__ = ["describe_machine", "peak_memory_mb"]

_PACKAGES = ("nest-simulator", "pynn", "neo", "numpy", "h5py", "pynwb")


def describe_machine(*, native: str | None = None) -> dict[str, str]:
    """Versions, threads and the NEST build, as plain text by name.

    Parameters
    ----------
    native : str, optional
        What is known of v1sim's NEST module; by default it is loaded, and compiled if need be.
    """
    nest, _ = backend()
    build = nest.build_info
    return {
        "v1sim": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "nest threads": "yes" if build["have_threads"] else "no",
        "nest mpi": "yes" if build["have_mpi"] else "no",
        "nest built": str(build["built"]),
        "v1sim's nest module": native or _native_state(),
        "usable cores": _usable_cores(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _usable_cores() -> str:
    limit = core_limit()
    return f"{limit.cores} ({limit.because})"


def _native_state() -> str:
    try:
        return str(native_module().path)
    except InputError as error:
        return f"not there: {error.seen}"


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
