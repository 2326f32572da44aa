"""The untrained network of a training-data folder, as a network file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from v1sim import __version__
from v1sim.checkpoints.bundle import read_index
from v1sim.checkpoints.completion import published_selections
from v1sim.checkpoints.proof import compare_with_checkpoint
from v1sim.checkpoints.variables import find_variables
from v1sim.errors import InputError
from v1sim.model import NetworkModel
from v1sim.sources.hdf5 import write_network
from v1sim.sources.provenance import ProvenanceDraft, canonical_arrays
from v1sim.sources.training_data import (
    DEFAULT_SEED,
    Delays,
    Selection,
    TrainingFolder,
    initial_network,
    open_folder,
    select_neurons,
)

__all__ = ["Baseline", "write_baseline"]


@dataclass(frozen=True, eq=False)
class Baseline:
    """The untrained network that was written, and how its neurons were selected."""

    network: NetworkModel
    selection: Selection
    delays: Delays


def write_baseline(
    data_dir: Path,
    out: Path,
    *,
    command: str,
    n_neurons: int | None = None,
    selection: Selection = "connected",
    seed: int = DEFAULT_SEED,
    delays: Delays = "own",
    checkpoint: Path | None = None,
) -> Baseline:
    """Write the network that training begins with, marked as untrained.

    Parameters
    ----------
    data_dir : Path
        Training-data folder (`v1sim.sources.training_data`).
    out : Path
        Network file to write.
    command : str
        The command line, for the provenance.
    n_neurons, selection, seed, delays
        See `v1sim.sources.training_data.select_neurons` and ``initial_network``.
    checkpoint : Path, optional
        A checkpoint (its index is enough): neurons, selection and delays are then those
        that have its parameters and its wiring.

    Raises
    ------
    InputError
        If the folder cannot be used, or gives no network with the checkpoint's wiring.
    OutputError
        If the file cannot be written.
    """
    folder = open_folder(data_dir)
    if checkpoint is None:
        nodes = select_neurons(folder, n_neurons, selection, seed)
        network = initial_network(folder, nodes, delays=delays)
    else:
        network, selection, delays = _like(folder, checkpoint, seed)
    copied = ("neurons.", "cell_types.", "readout.", "sizes")
    draft = ProvenanceDraft(
        kind="untrained",
        made_by=f"v1sim {__version__}",
        command=command,
        origin="initial value",
        origins={
            name: ("copied", "training data")
            for name in canonical_arrays(network)
            if name.startswith(copied)
        },
        details={
            "what": "initial weights of the training data, not trained",
            "selection": selection,
            "seed": seed,
            "delays": delays,
            "n_neurons": network.n_neurons,
        },
    )
    return Baseline(write_network(network, out, provenance=draft), selection, delays)


def _like(
    folder: TrainingFolder, checkpoint: Path, seed: int
) -> tuple[NetworkModel, Selection, Delays]:
    """The network with a checkpoint's parameters and wiring."""
    index = read_index(checkpoint)
    n_neurons = find_variables(index).n_neurons
    tried: list[NDArray[np.int64]] = []
    for nodes, selection in published_selections(folder, n_neurons, seed):
        if any(np.array_equal(nodes, other) for other in tried):
            continue
        tried.append(nodes)
        for delays in get_args(Delays):
            network = initial_network(folder, nodes, delays=delays)
            compared = compare_with_checkpoint(network, index, elements=False)
            wired = all(compared.status(f"{t}.pre") == "equal" for t in ("recurrent", "lgn"))
            if wired and compared.status("cell_types.v_th_mv") == "equal":
                return network, selection, delays
    raise InputError(
        f"no selection of {n_neurons:,} of its {folder.n_nodes:,} nodes has the wiring of "
        f"{index.prefix.name}",
        where=str(folder.path),
        expected="the training data of this checkpoint",
        hint="check --data-dir and --seed; without --checkpoint the untrained network is made "
        "as --neurons, --selection and --delays say",
    )
