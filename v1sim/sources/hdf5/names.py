"""What v1sim's arrays are called in a network file: the one place that knows both names.

An array's name in v1sim is the path to it in a `NetworkModel`: ``recurrent.weight``,
``cell_types.c_m_pf``.
"""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType

from v1sim.model import LgnCellTable

__all__ = [
    "ATTRIBUTES",
    "DATASETS",
    "SYNAPSE_COLUMNS",
    "TABLES",
    "TYPE_COLUMNS",
    "array_of",
    "dataset_of",
]

#: Group of each synapse table, by its name in the network.
TABLES = {"recurrent": "recurrent", "lgn": "input"}
#: Dataset of each synapse column, by its name in `SynapseTable`.
SYNAPSE_COLUMNS = {
    "pre": "sources",
    "post": "targets",
    "receptor": "receptor_types",
    "delay_ms": "delays",
    "weight": "weights",
}
#: Dataset of each GLIF3 parameter, by its name in `CellTypeTable`.
TYPE_COLUMNS = {
    "c_m_pf": "C_m",
    "g_ns": "g",
    "e_l_mv": "E_L",
    "v_th_mv": "V_th",
    "v_reset_mv": "V_reset",
    "t_ref_ms": "t_ref",
    "k_per_ms": "k",
    "asc_amp_pa": "asc_amps",
    "tau_syn_ms": "tau_syn",
}
#: Attribute of each size that a file may state.
ATTRIBUTES = {"neurons.size": "n_neurons", "lgn.size": "n_input", "readout.size": "n_output"}

_TYPES = "neurons/glif3_params"
#: What each array, table and size is called, by its name in v1sim.
DATASETS = MappingProxyType(
    {
        "sizes": "attributes",
        **ATTRIBUTES,
        "neurons.cell_type": "neurons/node_type_ids",
        "neurons.position_um": "neurons/positions",
        **{f"neurons.{axis}_um": f"neurons/positions_{axis}" for axis in "xyz"},
        "cell_types": _TYPES,
        "cell_types.model": "neurons/model",
        **{f"cell_types.{key}": f"{_TYPES}/{name}" for key, name in TYPE_COLUMNS.items()},
        **{f"cell_types.{key}": f"{_TYPES}/{key}" for key in ("name", "cell_class")},
        **TABLES,
        **{
            f"{table}.{key}": f"{group}/{name}"
            for table, group in TABLES.items()
            for key, name in SYNAPSE_COLUMNS.items()
        },
        "receptor": SYNAPSE_COLUMNS["receptor"],
        "background": "bkg_weights",
        "background.weight": "input/bkg_weights",
        "readout.neuron": "readout/neuron_ids",
        "readout.weight": "readout/readout_weights",
        "readout.bias": "readout/readout_bias",
        "lgn.cells": "lgn",
        **{f"lgn.cells.{f.name}": f"lgn/{f.name}" for f in fields(LgnCellTable)},
    }
)
_ARRAYS = MappingProxyType({dataset: array for array, dataset in DATASETS.items()})


def dataset_of(array: str) -> str:
    """What an array is called in the file; what is no array's name stays as it is."""
    kind, _, parameter = array.partition(".")
    if kind == "cell_types" and parameter and array not in DATASETS:  # of another cell model
        return f"{_TYPES}/{parameter}"
    return DATASETS.get(array, array)


def array_of(dataset: str) -> str:
    """The array that a dataset holds; what is no dataset of the layout stays as it is."""
    group, _, parameter = dataset.rpartition("/")
    if group == _TYPES and dataset not in _ARRAYS:
        return f"cell_types.{parameter}"
    return _ARRAYS.get(dataset, dataset)
