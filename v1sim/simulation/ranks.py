"""How many processes were started together (mpirun, srun), and which of them this is."""

from __future__ import annotations

import os
from dataclasses import dataclass

from v1sim.errors import InputError
from v1sim.simulation.native.compile import CompilationError, wanted_stamp

__all__ = ["Launch", "launch", "refuse_without_mpi"]

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


def refuse_without_mpi() -> None:
    """Refuse to be one of several processes of a NEST that cannot join them.

    Without MPI each would simulate the whole network by itself. Rank 0 says so; the
    others end in silence, so that the message stands there once.

    Raises
    ------
    InputError
        On rank 0.
    """
    started = launch()
    if started.size == 1 or _nest_has_mpi():
        return
    if started.rank:
        raise SystemExit(0)
    raise InputError(
        f"{started.size} processes were started together (mpirun, srun), but this NEST was built "
        "without MPI: each would simulate the whole network",
        expected="one process, or a NEST with MPI",
        hint="start one process (srun -n 1) with --threads N, or build NEST with MPI: docs/hpc.md",
    )
