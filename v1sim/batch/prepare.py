"""Before anything is started: the gate, once for each network, and what runs share and need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from v1sim import guard
from v1sim.batch.sweep import SweepRun
from v1sim.config import RunConfig
from v1sim.errors import InputError
from v1sim.inputs.protocol import fed, policy_of
from v1sim.inputs.shared import SharedInput
from v1sim.model import NetworkModel
from v1sim.simulation.cost import Need, expected_need
from v1sim.simulation.from_config import configured_plan
from v1sim.sources import open_network
from v1sim.sources.column import open_column
from v1sim.sources.hdf5 import write_network

__all__ = ["prepare"]


def prepare(
    runs: Sequence[SweepRun],
    shared: SharedInput,
    *,
    threads: int,
    keep_stimuli: bool,
    command: str,
    progress: Callable[[str, float, float], None],
) -> dict[str, Need]:
    """Check every network of ``runs``, and compute what they share.

    Parameters
    ----------
    runs : sequence of SweepRun
        Those that are to be started.
    shared : SharedInput
        What is already there is not made again.
    threads : int
        Threads of a run that leaves them open, for the time expected.
    keep_stimuli : bool
        Whether to compute the LGN probabilities.
    command : str
        The command line, for the provenance of built-in columns.
    progress : callable
        Told ``(stage, done, total)``.

    Returns
    -------
    dict
        What each run is expected to need, by its name.

    Raises
    ------
    GuardRefusal
        If a network is refused.
    InputError
        If a network or stimulus cannot be used.
    """
    needs: dict[str, Need] = {}
    by_path: dict[Path, list[SweepRun]] = {}
    for run in runs:
        by_path.setdefault(_network_path(run.config, shared, command), []).append(run)
    for i, (path, group) in enumerate(by_path.items()):
        network = open_network(path)
        checked = _checked(network, group, shared)
        alike: dict[str, Need] = {}
        for run in group:
            # Runs that differ in their seed alone need the same.
            key = run.config.model_dump_json(exclude={"name", "output", "seed"})
            if key not in alike:
                shown = fed(run.config.stimulus.made_for(network), run.config, network)
                if keep_stimuli:
                    shared.keep_stimulus(shown)
                admitted = checked[shared.pass_path(network.source.sha256, policy_of(run.config))]
                given = run.config.simulation.threads
                plan = configured_plan(run.config, admitted, shown)
                alike[key] = expected_need(plan, shown, threads if given == "auto" else given)
            needs[run.name] = alike[key]
        progress("networks", i + 1, len(by_path))
    return needs


def _network_path(config: RunConfig, shared: SharedInput, command: str) -> Path:
    """The run's network file; a built-in column is built now if it is not there."""
    if isinstance(config.network, Path):
        return config.network
    column = config.network.built_in
    path = shared.column_path(column)
    if not path.exists():
        write_network(open_column(column, command=command), path)
    return path


def _checked(
    network: NetworkModel, runs: Sequence[SweepRun], shared: SharedInput
) -> dict[Path, guard.CheckedNetwork]:
    """The network through the gate, once for each policy that a run has: by its pass's path."""
    checked: dict[Path, guard.CheckedNetwork] = {}
    for run in runs:
        policy = policy_of(run.config)
        key = shared.pass_path(network.source.sha256, policy)
        if key in checked:
            continue
        try:
            checked[key] = shared.admit_by_pass(network, policy)
        except InputError:
            checked[key] = guard.admit(network, policy)
            shared.keep_pass(checked[key], policy)
    return checked
