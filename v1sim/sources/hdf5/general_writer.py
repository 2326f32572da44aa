"""Writing a network that the layout in use has no place for: any `NetworkModel`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.errors import OutputError
from v1sim.files.hdf5 import fixed_length_texts
from v1sim.model import NetworkModel, SourcePopulation
from v1sim.sources.hdf5.compression import write_compressed
from v1sim.sources.hdf5.datasets import would_change
from v1sim.sources.hdf5.description import ArrayEntry, Description
from v1sim.sources.hdf5.general_names import DESCRIPTION, LAYOUT, VERSION, GeneralNames, kinds_of

__all__ = ["names_of", "write_general"]


def names_of(network: NetworkModel) -> GeneralNames:
    """The names of a network's arrays in its file."""
    lgn = network.lgn
    found = (name for name, one in network.source_populations.items() if one is lgn)
    return GeneralNames(next(found, "lgn"))


def write_general(file: h5py.File, network: NetworkModel) -> None:
    """Write everything but the provenance.

    Raises
    ------
    OutputError
        If an array has values that the layout's type for it cannot hold.
    """
    file.attrs[LAYOUT] = VERSION
    listed = {}
    for path, values in _arrays(network, names_of(network)):
        fitting = _fitting(path, values)
        listed[path] = ArrayEntry.of(fitting)
        write_compressed(file, path, fitting)
    for population, group in _cells(network):
        assert population.cells is not None
        file[group].attrs["field_deg"] = population.cells.field_deg
    text = Description.of(network, listed).to_json()
    file[DESCRIPTION] = fixed_length_texts([text])[0]


def _fitting(path: str, values: NDArray[Any]) -> NDArray[Any]:
    """The values in a type that the layout has for them, in this machine's byte order."""
    if values.dtype.kind in "SU":
        return values
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    kinds = kinds_of(path)
    if values.dtype.str[1:] in kinds:
        return values
    dtype = np.dtype(kinds[0])
    changed = would_change(values, dtype)
    if changed is not None and changed.any():
        raise OutputError(
            f"{int(np.count_nonzero(changed)):,} of {values.size:,} values of {values.dtype} do "
            f"not fit {dtype}",
            where=path,
            expected=f"values of {' or '.join(str(np.dtype(kind)) for kind in kinds)}",
        )
    return values.astype(dtype)


def _cells(network: NetworkModel) -> Iterator[tuple[SourcePopulation, str]]:
    names = names_of(network)
    for name, population in network.source_populations.items():
        if population.cells is not None:
            yield population, f"{names.source_group(name)}/cells"


def _arrays(network: NetworkModel, names: GeneralNames) -> Iterator[tuple[str, NDArray[Any]]]:
    """Every array, and the dataset that holds it."""
    neurons, types = network.neurons, network.cell_types
    yield names.dataset_of("neurons.cell_type"), neurons.cell_type
    if neurons.populations:
        ids = np.concatenate([population.node_id for population in neurons.populations])
        yield names.dataset_of("neurons.node_id"), ids
    if neurons.position_um is not None:
        for axis, name in enumerate("xyz"):
            yield names.dataset_of(f"neurons.{name}_um"), neurons.position_um[:, axis]
    for key, values in types.columns.items():
        yield names.dataset_of(f"cell_types.{key}"), values
    kinds = types.receptor_kinds
    yield names.dataset_of("cell_types.presynaptic_kind"), kinds.presynaptic
    yield names.dataset_of("cell_types.postsynaptic_kind"), kinds.postsynaptic
    for key in ("kind", "n_receptors", "n_after_spike_currents"):
        counts = getattr(types, key)
        if counts is not None:
            yield names.dataset_of(f"cell_types.{key}"), counts
    for name, table in network.tables.items():
        for key, values in table.columns.items():
            yield names.dataset_of(f"{name}.{key}"), values
        table.forget()
    for name, population in network.source_populations.items():
        for key in ("node_id", "kind"):
            values = getattr(population, key)
            if values is not None:
                yield names.dataset_of(f"source_populations.{name}.{key}"), values
    for population, group in _cells(network):
        cells = population.cells
        for f in fields(cells) if cells is not None else ():
            values = getattr(cells, f.name)
            if isinstance(values, np.ndarray):
                is_text = values.dtype.kind == "U"
                yield (
                    f"{group}/{f.name}",
                    fixed_length_texts(values.tolist()) if is_text else values,
                )
    if network.readout:
        yield names.dataset_of("readout.neuron"), np.concatenate(network.readout)
    for array, dense in (
        ("readout.weight", network.readout_weight),
        ("readout.bias", network.readout_bias),
    ):
        if dense is not None:
            yield names.dataset_of(array), dense
