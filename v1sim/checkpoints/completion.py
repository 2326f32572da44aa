"""What a checkpoint does not hold, from the training-data folder, once that is shown to fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from v1sim.checkpoints.parameters import forward, tolerance
from v1sim.errors import InputError
from v1sim.model import NetworkModel, NeuronTable
from v1sim.sources.difference import compare_networks
from v1sim.sources.provenance import canonical_arrays
from v1sim.sources.training_data import (
    DEFAULT_SEED,
    Selection,
    TrainingFolder,
    initial_network,
    select_neurons,
)

__all__ = ["Completion", "complete_from_folder", "published_selections"]


@dataclass(frozen=True, eq=False)
class Completion:
    """A network with types, names, positions and readout groups of the training data.

    ``origins`` says by dataset what came from where; ``initial`` is the network before training.
    """

    network: NetworkModel
    origins: dict[str, str]
    initial: NetworkModel


def complete_from_folder(
    network: NetworkModel, folder: TrainingFolder, dtype: str = "float32"
) -> Completion:
    """Add what the training data know to a network out of a checkpoint.

    Parameters
    ----------
    network : NetworkModel
        From `v1sim.checkpoints.checkpoint.network_of`.
    folder : TrainingFolder
        The training data.
    dtype : str
        Of the checkpoint's parameters: how well they can be compared.

    Raises
    ------
    InputError
        If no selection of the folder's neurons has the checkpoint's parameters, or the
        wiring is another.
    """
    nodes, selection = _matching_nodes(network, folder, dtype)
    initial = initial_network(folder, nodes)
    if network.lgn.size > folder.n_lgn:
        raise InputError(
            f"has {folder.n_lgn:,} LGN cells, the checkpoint's indices go up to "
            f"{network.lgn.size - 1:,}",
            where=str(folder.path),
            expected="the training data of this checkpoint",
        )
    network = network.with_lgn(size=folder.n_lgn)
    difference = compare_networks(initial, network)
    for name, table in difference.tables.items():
        if not table.same_wiring:
            raise InputError(
                f"{table.n_only_before:,} {name} synapses of the training data are not in the "
                f"checkpoint, {table.n_only_after:,} of the checkpoint not in the data",
                where=str(folder.path),
                expected="the training data of this checkpoint",
                hint="convert without --data-dir, or find the folder that it was trained with",
            )
    completed = replace(
        network,
        neurons=NeuronTable(initial.neurons.cell_type, initial.neurons.position_um),
        cell_types=folder.types,
        readout=initial.readout,
    )
    from_pickle = "network_dat.pkl; gives the checkpoint's variables"
    sources = {
        "cell_types.": from_pickle,
        "neurons.cell_type": f"network_dat.pkl; neurons selected as {selection!r}",
        **dict.fromkeys(("neurons.x_um", "neurons.y_um", "neurons.z_um"), "network/v1_nodes.h5"),
        "cell_types.name": "network/v1_node_types.csv",
        "cell_types.cell_class": "network/v1_node_types.csv",
        "readout.neuron": "positions and classes, by the rule of the published code",
    }
    origins = {
        array: text
        for array in canonical_arrays(completed)
        for prefix, text in sources.items()
        if array.startswith(prefix)
    }
    return Completion(completed, origins, initial)


def published_selections(
    folder: TrainingFolder, n_neurons: int, seed: int = DEFAULT_SEED
) -> Iterator[tuple[NDArray[np.int64], Selection]]:
    """What the published loader may have chosen, the usual choice first."""
    selections: tuple[Selection, ...] = ("connected", "core", "random")
    for selection in selections:
        try:
            yield select_neurons(folder, n_neurons, selection, seed), selection
        except InputError:  # not so many, or no positions: another selection then
            continue


def _matching_nodes(
    network: NetworkModel, folder: TrainingFolder, dtype: str
) -> tuple[NDArray[np.int64], Selection]:
    """The selection whose neurons have the checkpoint's parameters."""
    wanted = forward(network.cell_types)
    offered = forward(folder.types)
    best: tuple[int, str] | None = None
    for nodes, selection in published_selections(folder, network.n_neurons):
        type_of = folder.type_of_node[nodes]
        wrong = {
            name: _n_neurons_off(wanted[name], network, offered[name], type_of, dtype)
            for name in wanted
        }
        if not any(wrong.values()):
            return nodes, selection
        name = max(wrong, key=lambda key: wrong[key])
        if best is None or wrong[name] < best[0]:
            best = (
                wrong[name],
                f"{name} of {wrong[name]:,} neurons differs (selected {selection!r})",
            )
    seen = best[1] if best else f"it has {folder.n_nodes:,} nodes"
    raise InputError(
        f"these are not the neurons of the checkpoint: {seen}",
        where=str(folder.path),
        expected=f"{network.n_neurons:,} neurons with the checkpoint's parameters",
        hint="convert without --data-dir, or find the folder that it was trained with",
    )


def _n_neurons_off(
    wanted: NDArray[np.floating],
    network: NetworkModel,
    offered: NDArray[np.floating],
    type_of: NDArray[np.int64],
    dtype: str,
) -> int:
    """Neurons for which a variable is not the same within rounding."""
    ours, theirs = wanted[network.neurons.cell_type], offered[type_of]
    with np.errstate(invalid="ignore"):
        close = np.abs(ours.astype(np.float64) - theirs) <= tolerance(dtype, theirs)
    return int(np.count_nonzero(~close.reshape(len(close), -1).all(axis=1)))
