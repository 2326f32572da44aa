"""NEST and PyNN, loaded quietly and set up for one run.

Importing PyNN's NEST backend runs cmake whenever it finds a ``nest-config``;
the one in the NEST wheel names a compiler of the machine that built it. So
the import happens here, once, out of sight of nest-config, and with the
banner and the two packages' deprecation notices kept off the user's screen.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from v1sim.errors import InputError
from v1sim.memory import raise_lack_of_memory, require_address_space

__all__ = ["Backend", "backend", "reset_kernel"]

_log = logging.getLogger("v1sim")


class Backend(NamedTuple):
    """The two modules that simulate."""

    nest: ModuleType
    pynn: ModuleType


@contextlib.contextmanager
def _without_nest_config() -> Iterator[None]:
    """A PATH in which no folder holds nest-config."""
    path = os.environ.get("PATH", "")
    kept = [p for p in path.split(os.pathsep) if not (Path(p) / "nest-config").exists()]
    os.environ["PATH"] = os.pathsep.join(kept)
    try:
        yield
    finally:
        os.environ["PATH"] = path


@functools.cache
def backend() -> Backend:
    """NEST and ``pyNN.nest``, imported at the first call.

    Raises
    ------
    InputError
        If they are installed but cannot be loaded.
    """
    require_address_space()
    # Spinning OpenMP threads made the same calls up to 18 times slower on a loaded machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("PYNEST_QUIET", "1")
    with _without_nest_config(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                import nest
                import pyNN.nest as pynn
            except ImportError as error:
                raise_lack_of_memory(error)
                raise InputError(
                    f"NEST or PyNN cannot be loaded: {error}",
                    hint="pip install 'nest-simulator>=3.10' 'pynn>=0.13'",
                ) from error
    # PyNN 0.13 calls what NEST 3.10 has deprecated, at every turn.
    warnings.filterwarnings("ignore", message=r"\s*[SG]etStatus\(\) is deprecated")
    logging.getLogger("PyNN").setLevel(logging.ERROR)
    return Backend(nest, pynn)


def reset_kernel(
    *, dt_ms: float, threads: int, seed: int, max_delay_ms: float, in_order: bool = False
) -> None:
    """An empty NEST kernel behind an empty PyNN, ready for populations.

    With ``in_order`` a spike is delivered to the synapses of its source in the order in which they
    were made; NEST otherwise sorts them by source, which keeps no order among those of one.
    """
    nest, pynn = backend()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pynn.setup(
            timestep=dt_ms,
            min_delay=dt_ms,
            max_delay=max_delay_ms,
            threads=threads,
            rng_seed=seed + 1,  # NEST refuses 0
            spike_precision="on_grid",
            verbosity="error",
        )
    if in_order:
        nest.set(use_compressed_spikes=False)
    _log.debug("NEST %s, %d threads", nest.__version__, threads)
