"""Several processes that simulate one network together (mpirun, srun): all there is of MPI.

Each hosts the neurons of its virtual processes and the synapses onto them. The first one
(rank 0) alone reads the network and runs the guards, scatters the synapses, talks and
writes. Whatever calls NEST or a verb of `Group` must be reached by all, in the same order.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError, MissingExtraError
from v1sim.simulation.kernel import backend
from v1sim.simulation.native.compile import CompilationError, wanted_stamp

__all__ = [
    "ALONE",
    "MPI_PACKAGE",
    "Group",
    "abort",
    "host_of",
    "join",
    "launched",
    "wait_for_first",
]

T = TypeVar("T")

#: The package through which processes speak.
MPI_PACKAGE = "mpi4py"

#: Time that the other ranks leave to the first one to report an error, before they do.
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
class Group:
    """``size`` processes that were started together; this is number ``rank``, from 0.

    The verbs are those of MPI. In a group of one process they give back what they are given.
    """

    size: int = 1
    rank: int = 0
    #: Communicator of mpi4py; None where this process is the only one.
    _communicator: Any = field(default=None, repr=False, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reads, talks and writes."""
        return self.rank == 0

    def broadcast(self, value: T | None) -> T:
        """The value that the first process has, whatever the others have."""
        first: Any = value
        if self._communicator is not None:
            first = self._communicator.bcast(value, root=0)
        return first

    def all_gather(self, value: T) -> list[T]:
        """The value that each process has, in the order of their ranks, for all of them."""
        if self._communicator is None:
            return [value]
        return list(self._communicator.allgather(value))

    def scatter(self, hands: Iterable[Sequence[T]]) -> Iterator[T]:
        """Of each hand of the first process one item for each process, by rank.

        The ``hands`` of the other processes are not looked at.
        """
        communicator = self._communicator
        if communicator is None:
            yield from (hand[0] for hand in hands)
        elif self.is_first:
            for hand in hands:
                yield communicator.scatter(list(hand))
            communicator.scatter([None] * self.size)
        else:
            while (item := communicator.scatter(None)) is not None:
                yield item

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """The block on the first process, and then on the others."""
        if not self.is_first:
            self.all_gather(None)
        try:
            yield
        finally:
            if self.is_first:
                self.all_gather(None)


#: The group of a process that simulates by itself.
ALONE = Group()


def launched() -> Group:
    """What the launcher says in the environment; nobody has been spoken to yet."""
    for size, rank in _VARIABLES:
        values = os.environ.get(size, ""), os.environ.get(rank, "")
        if all(value.isdigit() for value in values) and int(values[0]) > 1:
            return Group(int(values[0]), int(values[1]))
    return ALONE


def _nest_has_mpi() -> bool:
    """By NEST's headers: NEST without MPI ends a process that mpirun started as it is imported."""
    try:
        return bool(wanted_stamp()["mpi"])
    except CompilationError:
        return True  # no headers to tell by: NEST itself will


def join() -> Group:
    """Take one's place among the processes that were started together, or refuse to.

    Where NEST has no MPI, each would simulate the whole network by itself. Rank 0 says so;
    the others end in silence, so that the message stands there once.

    Raises
    ------
    InputError
        On rank 0, if NEST has no MPI, or there is no mpi4py.
    """
    started = launched()
    if started.size == 1:
        return started
    if _nest_has_mpi():
        return Group(started.size, started.rank, _world())
    if started.rank:
        raise SystemExit(0)
    raise InputError(
        f"{started.size} processes were started together (mpirun, srun), but this NEST was built "
        "without MPI: each would simulate the whole network",
        expected="one process, or a NEST with MPI",
        hint="start one process (srun -n 1) with --threads N, or build NEST with MPI: docs/hpc.md",
    )


def _world() -> Any:
    """All processes, for mpi4py."""
    try:
        from mpi4py import MPI
    except ImportError:
        raise MissingExtraError("mpi4py", "mpi", "a run on several processes") from None
    return MPI.COMM_WORLD


def host_of(node: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank of the process that hosts each of these neurons, by NEST's rule for node ids."""
    nest, _ = backend()
    return node % int(nest.total_num_virtual_procs) % int(nest.num_processes)


def wait_for_first() -> None:
    """Where something went wrong: if it did so everywhere, the first rank says it for all."""
    if not launched().is_first:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the launcher may end this one meanwhile
        time.sleep(_PATIENCE_S)


def abort(exit_code: int) -> None:
    """End all processes with this exit code, wherever they are; nothing where this is the only one.

    A process that just ended would leave the others waiting for it.
    """
    if launched().size > 1 and "mpi4py.MPI" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        _world().Abort(exit_code)
