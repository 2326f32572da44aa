"""The whole dynamic state of a network, taken at the end of a trial and given to later runs.

A state holds what every neuron of the training dynamics knows of the past and what is on its way
to it. Spikes of the last step are on their way inside NEST: they are sent again, in the step
before the run that goes on. Of random streams it knows how many steps of a trial's were
used, so that a run that goes on draws what the whole run would have drawn.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.files.identify import printable
from v1sim.memory import raise_lack_of_memory
from v1sim.output import replacing
from v1sim.simulation.build import Simulation
from v1sim.simulation.plan import IN_ENGINE, BuildPlan

__all__ = [
    "NetworkState",
    "read_state",
    "refuse_state",
    "refuse_unwritable",
    "restore",
    "send_again",
    "take_state",
    "write_state",
]

_FORMAT = "v1sim state 1"
#: Column of the state that says whether the neuron spiked in the last step.
_SPIKED = 2


@dataclass(frozen=True, eq=False)
class NetworkState:
    """State after a trial, of a network in the training dynamics.

    ``n_steps`` is how many steps of the trial's random streams were used. ``state`` (n, numbers)
    and ``arriving`` (n, steps, receptors) are what `NativeModule.get_state` gives.
    """

    network_sha256: str
    dynamics: str
    dt_ms: float
    n_steps: int
    state: NDArray[np.float64]
    arriving: NDArray[np.float64]


def take_state(simulation: Simulation, n_steps: int) -> NetworkState:
    """The state now, of the neurons of all processes; ``n_steps`` of the trial are done."""
    assert simulation.native is not None  # refuse_state
    state, arriving = simulation.native.get_state(simulation.neuron_node)
    gathered = simulation.group.all_gather((state, arriving))
    parts = [part for part in gathered if part[0].size]  # a process may host no neurons at all
    plan = simulation.plan
    return NetworkState(
        plan.network_sha256,
        plan.dynamics,
        plan.dt_ms,
        n_steps,
        np.sum([part for part, _ in parts], axis=0),  # 0 for neurons of other processes
        np.sum([part for _, part in parts], axis=0),
    )


def send_again(simulation: Simulation, saved: NetworkState) -> None:
    """Let the spikes that were on their way leave once more, in the coming step."""
    assert simulation.native is not None
    spiked = np.flatnonzero(saved.state[:, _SPIKED])
    simulation.native.send_again(simulation.neuron_node[spiked])


def restore(simulation: Simulation, saved: NetworkState) -> None:
    """Set every neuron and what is on its way, after the step in which spikes left again."""
    assert simulation.native is not None
    simulation.native.set_state(simulation.neuron_node, saved.state, saved.arriving)


def refuse_state(plan: BuildPlan, saved: NetworkState | None, *, where: str) -> None:
    """Refuse a state that is not of this network, or dynamics whose state cannot be had.

    Raises
    ------
    InputError
        Saying what differs.
    """
    if plan.dynamics not in IN_ENGINE:
        raise InputError(
            f"the state of {plan.dynamics} cannot be saved or restored",
            where=where,
            expected=f"simulation.dynamics: {' or '.join(IN_ENGINE)}",
        )
    if saved is None:
        return
    for name, seen, expected in (
        ("network", saved.network_sha256[:12], plan.network_sha256[:12]),
        ("dynamics", saved.dynamics, plan.dynamics),
        ("time step in ms", f"{saved.dt_ms:g}", f"{plan.dt_ms:g}"),
        ("number of neurons", f"{len(saved.state):,}", f"{plan.n_neurons:,}"),
    ):
        if seen != expected:
            raise InputError(
                f"the state is of another {name}: {seen}",
                where=where,
                expected=expected,
                hint="run the transient of this network once more with --save-state",
            )


def refuse_unwritable(path: Path) -> None:
    """Before anything is simulated: a file that could not be written at the end.

    Raises
    ------
    InputError
        If its folder is not there or cannot be written.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(
            f"{path} cannot be written",
            where="--save-state",
            expected="a file in a folder that is there and may be written",
        )


def write_state(path: Path, saved: NetworkState) -> None:
    """Write a state; the file appears whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            format=_FORMAT,
            network_sha256=saved.network_sha256,
            dynamics=saved.dynamics,
            dt_ms=saved.dt_ms,
            n_steps=saved.n_steps,
            state=saved.state,
            arriving=saved.arriving,
        )


def read_state(path: Path) -> NetworkState:
    """Read what `write_state` wrote.

    Raises
    ------
    InputError
        If there is no such file, or it holds anything else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["format"]) != _FORMAT:
                msg = f"format {str(file['format'])!r}"
                raise ValueError(msg)
            saved = NetworkState(
                str(file["network_sha256"]),
                str(file["dynamics"]),
                float(file["dt_ms"]),
                int(file["n_steps"]),
                file["state"],
                file["arriving"],
            )
    except Exception as error:  # damaged archives and headers raise many kinds
        raise_lack_of_memory(error)
        text = printable(" ".join(str(error).split()) or type(error).__name__)
        seen = "no such file" if not path.exists() else f"cannot be read: {text}"
        raise InputError(
            seen, where=str(path), expected="a state that v1sim run --save-state wrote"
        ) from error
    numbers = saved.state.dtype == saved.arriving.dtype == np.float64
    finite = numbers and bool(np.isfinite(saved.state).all() and np.isfinite(saved.arriving).all())
    if saved.state.ndim != 2 or saved.arriving.ndim != 3 or not finite:
        raise InputError(
            "a state of another shape, or with values that are no numbers",
            where=str(path),
            expected="a state that v1sim run --save-state wrote",
        )
    return saved
