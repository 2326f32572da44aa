"""Several processes that simulate one network together (mpirun, srun), each a part of it.

Each hosts the neurons of its virtual processes and the synapses onto them. The first one
(rank 0) alone reads the network and runs the guards, deals out the synapses, talks and
writes. Whatever calls NEST or passes values on must be reached by all, in the same order.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError, MissingExtraError
from v1sim.simulation.kernel import backend
from v1sim.simulation.native.compile import CompilationError, wanted_stamp

__all__ = [
    "Launch",
    "abort_all",
    "dealt",
    "first_before_others",
    "from_first",
    "gathered",
    "host_of",
    "hosted_here",
    "join",
    "launch",
    "wait_for_first",
]

T = TypeVar("T")

#: What the first rank gets to say what went wrong everywhere, before another says it.
_PATIENCE_S = 3.0

#: Number of processes and rank, as Open MPI, MPICH and Intel MPI, MVAPICH and srun say it.
#: SLURM_NTASKS is not among them: it also stands in a job that has started no step.
_VARIABLES = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


@dataclass(frozen=True)
class Launch:
    """``size`` processes were started together; this is number ``rank``, from 0."""

    size: int
    rank: int


def launch() -> Launch:
    """What the launcher says in the environment; one process where there was none."""
    for size, rank in _VARIABLES:
        values = os.environ.get(size, ""), os.environ.get(rank, "")
        if all(value.isdigit() for value in values) and int(values[0]) > 1:
            return Launch(int(values[0]), int(values[1]))
    return Launch(1, 0)


def _nest_has_mpi() -> bool:
    """By NEST's headers: NEST without MPI ends a process that mpirun started as it is imported."""
    try:
        return bool(wanted_stamp()["mpi"])
    except CompilationError:
        return True  # no headers to tell by: NEST itself will


def join() -> Launch:
    """Take one's place among the processes that were started together, or refuse to.

    Where NEST has no MPI, each would simulate the whole network by itself. Rank 0 says so;
    the others end in silence, so that the message stands there once.

    Raises
    ------
    InputError
        On rank 0, if NEST has no MPI, or there is no mpi4py.
    """
    started = launch()
    if started.size == 1:
        return started
    if _nest_has_mpi():
        _world()
        return started
    if started.rank:
        raise SystemExit(0)
    raise InputError(
        f"{started.size} processes were started together (mpirun, srun), but this NEST was built "
        "without MPI: each would simulate the whole network",
        expected="one process, or a NEST with MPI",
        hint="start one process (srun -n 1) with --threads N, or build NEST with MPI: docs/hpc.md",
    )


@functools.cache
def _world() -> Any:
    """All processes, for mpi4py; None where this is the only one."""
    if launch().size == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError:
        raise MissingExtraError("mpi4py", "mpi", "a run on several processes") from None
    return MPI.COMM_WORLD


def gathered(value: T) -> list[T]:
    """The value that each process has, in the order of their ranks."""
    world = _world()
    return [value] if world is None else list(world.allgather(value))


def from_first(value: T | None) -> T:
    """The value that the first process has, whatever the others have."""
    world = _world()
    first: Any = value if world is None else world.bcast(value, root=0)
    return first


def dealt(hands: Iterable[Sequence[T]]) -> Iterator[T]:
    """What the first process deals: of each hand one item for each process, by rank.

    The ``hands`` of the other processes are not looked at.
    """
    world = _world()
    if world is None:
        yield from (hand[0] for hand in hands)
    elif world.Get_rank() == 0:
        for hand in hands:
            yield world.scatter(list(hand))
        world.scatter([None] * world.Get_size())
    else:
        while (item := world.scatter(None)) is not None:
            yield item


@contextmanager
def first_before_others() -> Iterator[None]:
    """The block on the first process, and then on the others."""
    is_first = launch().rank == 0
    if not is_first:
        gathered(None)
    try:
        yield
    finally:
        if is_first:
            gathered(None)


def host_of(node: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank of the process that hosts each of these neurons, by NEST's rule for node ids."""
    nest, _ = backend()
    return node % int(nest.total_num_virtual_procs) % int(nest.num_processes)


def hosted_here(node: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these neurons this process hosts."""
    return host_of(node) == launch().rank


def wait_for_first() -> None:
    """Where something went wrong: if it did so everywhere, the first rank says it for all."""
    if launch().rank:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the launcher may end this one meanwhile
        time.sleep(_PATIENCE_S)


def abort_all(exit_code: int) -> None:
    """End all processes with this exit code, wherever they are; nothing where this is the only one.

    A process that just ended would leave the others waiting for it.
    """
    if launch().size > 1 and "mpi4py.MPI" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        _world().Abort(exit_code)
