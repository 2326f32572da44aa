"""The class (population) of every neuron: from the file where it names classes, inferred where not.

A class is what becomes one PyNN Population and one row of the results: "e4",
"i23Pvalb". Trained files in use carry type numbers only. Their types are then
excitatory or inhibitory by the receptors that they project to, and lie in the
layer of their neurons' median depth: "e23", "i4". Types of which no receptor says what
they are count as excitatory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v1sim.model import NetworkModel
from v1sim.receptors import KNOWN_KINDS, Kind

__all__ = ["LAYER_TOP_UM", "CellClasses", "cell_classes", "layer_of_depth"]

#: Depth in um at which each layer begins (Billeh et al. 2020, doi 10.1016/j.neuron.2020.01.040).
LAYER_TOP_UM = {"1": 0.0, "23": 100.0, "4": 310.0, "5": 430.0, "6": 640.0}


#: Synapses handled at a time.
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class CellClasses:
    """Class names, in order of depth and then name, and the class of each neuron (n,)."""

    names: tuple[str, ...]
    of_neuron: NDArray[np.uint16]
    is_excitatory: NDArray[np.bool_]
    inferred: bool

    def ids(self, name: str) -> NDArray[np.int32]:
        """Neuron indices of one class, ascending."""
        return np.flatnonzero(self.of_neuron == self.names.index(name)).astype(np.int32)


def layer_of_depth(depth_um: NDArray[np.floating]) -> NDArray[np.intp]:
    """Index into `LAYER_TOP_UM` of each depth in um (the top of a layer belongs to it)."""
    tops = np.array(list(LAYER_TOP_UM.values()))
    return np.clip(np.searchsorted(tops, depth_um, side="right") - 1, 0, len(tops) - 1)


def _excitatory_types(network: NetworkModel) -> NDArray[np.bool_]:
    """Whether each type is excitatory: by what it sends; silent types by what they receive."""
    n_types, type_of = len(network.cell_types), network.neurons.cell_type
    receptors = network.receptors
    known = list(KNOWN_KINDS)

    def votes_of(cell_type: NDArray[np.uint16], kind: NDArray[np.uint8]) -> NDArray[np.int64]:
        """How many synapses say of each type that it is of each known kind."""
        code = cell_type * np.int64(len(Kind)) + kind
        counts = np.bincount(code, minlength=len(Kind) * n_types)
        return counts.reshape(n_types, len(Kind))[:, known]

    sent, got = np.zeros((2, n_types, len(known)), dtype=np.int64)
    for name, table in network.tables_of("recurrent", "lgn", "other").items():
        for start in range(0, len(table), _BLOCK):
            part = slice(start, start + _BLOCK)
            post_type = type_of[table.post[part]]
            kind = receptors.postsynaptic_kind(table.receptor[part], post_type)
            got += votes_of(post_type, kind)
            if network.role(name) == "recurrent":
                sent += votes_of(type_of[table.pre[part]], network.presynaptic_kind(table, part))
            table.forget()
    votes = np.where(sent.sum(axis=1, keepdims=True) > 0, sent, got)
    return votes[:, Kind.EXCITATORY] >= votes[:, Kind.INHIBITORY]


def cell_classes(network: NetworkModel) -> CellClasses:
    """Classes of a network whose indices are in range (see the structure checks)."""
    types, neurons = network.cell_types, network.neurons
    excitatory = _excitatory_types(network)
    if types.cell_class is not None:
        label = list(types.cell_class)
        excitatory = np.array([name.startswith("e") for name in label])
        if types.kind is not None:
            known = types.kind != Kind.UNKNOWN
            excitatory[known] = types.kind[known] == Kind.EXCITATORY
        inferred = False
    else:
        label = ["e" if exc else "i" for exc in excitatory]
        if neurons.position_um is not None:
            depth = np.abs(neurons.position_um[:, 1])
            order = np.argsort(neurons.cell_type, kind="stable")
            present, start = np.unique(neurons.cell_type[order], return_index=True)
            layers = tuple(LAYER_TOP_UM)
            for type_index, members in zip(
                present, np.split(order, start[1:]), strict=True
            ):  # a loop over types, of which there are about a hundred
                layer = layers[int(layer_of_depth(np.median(depth[members])))]
                label[type_index] += layer
        inferred = True
    names = tuple(sorted(set(label), key=lambda name: (_layer_rank(name), name)))
    class_of_type = np.array([names.index(name) for name in label], dtype=np.uint16)
    is_excitatory = np.zeros(len(names), dtype=bool)
    is_excitatory[class_of_type] = excitatory
    return CellClasses(names, class_of_type[neurons.cell_type], is_excitatory, inferred)


def _layer_rank(name: str) -> int:
    digits = "".join(c for c in name[1:3] if c.isdigit())
    layers = list(LAYER_TOP_UM)
    return (
        layers.index(digits)
        if digits in layers
        else layers.index(digits[:1])
        if digits[:1] in layers
        else len(layers)
    )
