"""What v1sim's arrays are called in a file of the general layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from v1sim.sources.hdf5.names import SYNAPSE_COLUMNS

__all__ = ["DESCRIPTION", "LAYOUT", "VERSION", "GeneralNames", "escaped", "kinds_of"]

#: Attribute of the file that says which layout it has, and its value here.
LAYOUT, VERSION = "v1sim_layout", 2
#: Dataset with all that is no number.
DESCRIPTION = "description"

_OF_NEURONS = {
    "neurons.cell_type": "neurons/node_type_ids",
    "neurons.node_id": "neurons/node_ids",
    **{f"neurons.{axis}_um": f"neurons/positions_{axis}" for axis in "xyz"},
    "neurons.position_um": "neurons/positions",
    "readout.neuron": "readout/neuron_ids",
    "readout.weight": "readout/readout_weights",
    "readout.bias": "readout/readout_bias",
    "receptor": SYNAPSE_COLUMNS["receptor"],
    "cell_types": "cell_types/parameters",
    # What stands in the description, by its keys.
    "sizes": f"{DESCRIPTION}:sizes",
    "structure": f"{DESCRIPTION}:structure",
    "dynamics": f"{DESCRIPTION}:dynamics",
    "cell_types.model": f"{DESCRIPTION}:model",
    "cell_types.name": f"{DESCRIPTION}:name",
    "cell_types.cell_class": f"{DESCRIPTION}:cell_class",
    # One number or kind for each cell type.
    **{
        f"cell_types.{key}": f"cell_types/{key}"
        for key in (
            *("n_receptors", "n_after_spike_currents"),
            *("presynaptic_kind", "postsynaptic_kind", "kind"),
        )
    },
}
_STATIC = MappingProxyType(_OF_NEURONS)
_BACK = MappingProxyType({dataset: array for array, dataset in _STATIC.items()})
_COLUMNS = MappingProxyType({dataset: column for column, dataset in SYNAPSE_COLUMNS.items()})
_PARAMETERS, _PROJECTIONS, _SOURCES = "cell_types/parameters/", "projections/", "sources/"
#: How the name of an array of a source population begins, in v1sim.
_SOURCE = "source_populations."


def escaped(name: str) -> str:
    """A name as HDF5 takes it for a group: any but one with a slash, a NUL, or dots alone."""
    if name in ("", ".", ".."):
        return "%" + name.replace(".", "%2E")
    return re.sub("[%/\0]", lambda found: f"%{ord(found[0]):02X}", name)


def _unescaped(name: str) -> str:
    if name.startswith("%") and name.replace("%2E", "") == "%":
        return name[1:].replace("%2E", ".")
    return re.sub("%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), name)


#: Types of a dataset's values, by the end of its name; the first is that of others.
_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neurons/node_type_ids": ("u2",),
        "neurons/node_ids": ("i8",),
        **{f"neurons/positions_{axis}": ("f8", "f4") for axis in "xyz"},
        "cell_types/n_receptors": ("i8",),
        "cell_types/n_after_spike_currents": ("i8",),
        "cell_types/presynaptic_kind": ("u1",),
        "cell_types/postsynaptic_kind": ("u1",),
        "cell_types/kind": ("u1",),
        "readout/neuron_ids": ("i4",),
        "readout/readout_weights": ("f4",),
        "readout/readout_bias": ("f4",),
    }
)
_COLUMN_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sources": ("i4",),
        "targets": ("i4",),
        "receptor_types": ("u1",),
        "delays": ("f8", "f4", "f2"),
        "weights": ("f8", "f4", "f2"),
    }
)


def kinds_of(dataset: str) -> tuple[str, ...]:
    """The types that the values of a dataset may have; none where the layout has no such one."""
    if dataset in _KINDS:
        return _KINDS[dataset]
    parts = dataset.split("/")
    if dataset.startswith(_PARAMETERS) and len(parts) == 3:
        return ("f8",)
    if dataset.startswith(_PROJECTIONS) and len(parts) == 3:
        return _COLUMN_KINDS.get(parts[2], ())
    if dataset.startswith(_SOURCES) and parts[2:] in (["node_ids"], ["kind"]):
        return ("i8",) if parts[2] == "node_ids" else ("u1",)
    if dataset.startswith(_SOURCES) and len(parts) == 4 and parts[2] == "cells":
        return ("S",) if parts[3] == "model_id" else ("f8",)
    return ()


@dataclass(frozen=True)
class GeneralNames:
    """Names both ways in the file of a network whose population of LGN cells is called ``lgn``."""

    lgn: str = "lgn"

    def source_group(self, name: str) -> str:
        """The group of a source population."""
        return _SOURCES + escaped(name)

    def dataset_of(self, array: str) -> str:
        """What an array, a table or a population is called in the file."""
        if array in _STATIC:
            return _STATIC[array]
        owner, dot, rest = array.rpartition(".")
        if owner == "cell_types":
            return _PARAMETERS + rest
        if rest in SYNAPSE_COLUMNS and dot:
            return f"{_PROJECTIONS}{escaped(owner)}/{SYNAPSE_COLUMNS[rest]}"
        if array.startswith("lgn.cells."):
            return f"{_SOURCES}{escaped(self.lgn)}/cells/{rest}"
        if array.startswith(_SOURCE) and owner.endswith(".cells"):
            name = owner.removeprefix(_SOURCE).removesuffix(".cells")
            return f"{_SOURCES}{escaped(name)}/cells/{rest}"
        if array.startswith(_SOURCE) and rest in ("node_id", "kind"):
            name = "node_ids" if rest == "node_id" else rest
            return f"{_SOURCES}{escaped(owner.removeprefix(_SOURCE))}/{name}"
        if rest == "size" and dot:
            return f"{DESCRIPTION}:{escaped(owner)}/size"
        return _PROJECTIONS + escaped(array)

    def array_of(self, dataset: str) -> str:
        """The array, table or population that goes by a name in the file."""
        if dataset in _BACK:
            return _BACK[dataset]
        if dataset.startswith(_PARAMETERS):
            return f"cell_types.{dataset.removeprefix(_PARAMETERS)}"
        parts = dataset.split("/")
        if dataset.startswith(_PROJECTIONS) and len(parts) in (2, 3):
            name = _unescaped(parts[1])
            if len(parts) == 2:
                return name
            return f"{name}.{_COLUMNS.get(parts[2], parts[2])}"
        if dataset.startswith(_SOURCES) and len(parts) > 2:
            name = _unescaped(parts[1])
            if parts[2] != "cells":
                return f"{_SOURCE}{name}.{parts[2].replace('node_ids', 'node_id')}"
            prefix = "lgn" if name == self.lgn else _SOURCE + name
            return ".".join([prefix, *parts[2:]])
        if dataset.startswith(f"{DESCRIPTION}:") and dataset.endswith("/size"):
            name = dataset.removeprefix(f"{DESCRIPTION}:").removesuffix("/size")
            return f"{_unescaped(name)}.size"
        return dataset
