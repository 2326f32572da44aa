"""Reading a file of the general layout: every value as it is, nothing judged."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.files.hdf5 import text_problem
from v1sim.files.identify import identify_hdf5
from v1sim.memory import raise_lack_of_memory
from v1sim.model import (
    CellTypeTable,
    NetworkModel,
    NeuronPopulation,
    NeuronTable,
    Projection,
    SourceFile,
    SourcePopulation,
    SynapseTable,
)
from v1sim.receptors import Kind, ReceptorKinds
from v1sim.sources.hdf5.columns import Column, OpenNetworkFile, one_line
from v1sim.sources.hdf5.description import Description, SourceEntry
from v1sim.sources.hdf5.general_names import (
    DESCRIPTION,
    LAYOUT,
    VERSION,
    GeneralNames,
    kinds_of,
)
from v1sim.sources.hdf5.names import SYNAPSE_COLUMNS

__all__ = ["GeneralFile", "is_general"]

_TYPE_IDS = "neurons/node_type_ids"
_COUNTS = ("n_receptors", "n_after_spike_currents")
_KIND_COLUMNS = ("presynaptic_kind", "postsynaptic_kind")


def is_general(file: h5py.File) -> bool:
    """Whether a file has this layout, or had it before it was damaged."""
    try:
        return LAYOUT in file.attrs or ("projections" in file and "recurrent" not in file)
    except Exception:  # h5py raises many kinds on damaged files
        return False


class GeneralFile(OpenNetworkFile):
    """A file in the layout that has a place for every network."""

    def network(self) -> NetworkModel | None:
        """The network, or None where ``problems`` says why there is none."""
        self.identity = identify_hdf5(self.file)
        description = self._description()
        if description is None:
            return None
        columns = self._columns(description)
        self._check_lists(description)
        if self.problems or not self.fits_in_memory(columns):
            return None
        lgn = next((entry.name for entry in description.sources if entry.role == "lgn"), "lgn")
        names = GeneralNames(lgn)
        values = {path: self.values(column) for path, column in columns.items()}
        populations = {
            entry.name: self._population(entry, description, values, names)
            for entry in description.sources
        }
        provenance, provenance_problem = self.provenance(names.array_of)
        self.check_types(values.get(_TYPE_IDS), len(description.model))
        held = {path: array for path, array in values.items() if array is not None}
        if not self.problems:
            self._check_values(description, held)
        if self.problems:
            return None
        try:
            return NetworkModel(
                neurons=_neurons(description, held),
                cell_types=_cell_types(description, held, names),
                projections={
                    entry.name: Projection(
                        SynapseTable(
                            **{
                                key: held[names.dataset_of(f"{entry.name}.{key}")]
                                for key in SYNAPSE_COLUMNS
                            },
                            unit=entry.unit,  # type: ignore[arg-type]
                        ),
                        source=entry.source,
                    )
                    for entry in description.projections
                },
                source_populations=populations,
                source=SourceFile(
                    path=str(self.path),
                    sha256="",
                    format="hdf5",
                    stored_dtype=MappingProxyType(
                        {names.array_of(path): dtype for path, dtype in self.stored_dtype.items()}
                    ),
                    name_of=names.dataset_of,
                ),
                readout=_readout(description, held),
                readout_weight=held.get("readout/readout_weights"),
                readout_bias=held.get("readout/readout_bias"),
                provenance=provenance,
                provenance_problem=provenance_problem,
                step_ms=description.step_ms,
                dynamics=description.dynamics,
                remarks=description.remarks,
            )
        except (ValueError, InputError) as error:
            # A cell model that is not known, columns that are not those of the models.
            seen = error.seen if isinstance(error, InputError) else one_line(error)
            self.problem("structure.description", DESCRIPTION, seen)
            return None

    def _description(self) -> Description | None:
        problem = partial(self.problem, "structure.description")
        try:
            version = self.file.attrs.get(LAYOUT)
            if version is None:
                problem(f"attribute {LAYOUT}", "missing, though this is no file of another layout")
                return None
            if np.shape(version) not in ((), (1,)) or np.ravel(version)[0] != VERSION:
                problem(
                    f"attribute {LAYOUT}",
                    f"says {one_line(ValueError(version))}, this v1sim reads {VERSION}: it was "
                    "written by a newer one",
                )
                return None
        except Exception as error:  # h5py raises many kinds on damaged files
            raise_lack_of_memory(error)
            problem(f"attribute {LAYOUT}", f"cannot be read: {one_line(error)}")
            return None
        dataset = self.dataset(DESCRIPTION, required=True)
        if dataset is None:
            return None
        try:
            reason = text_problem(dataset, self.path)
            if reason is None and dataset.shape != ():
                reason = f"has the shape {dataset.shape}, not one text"
            if reason is None:
                return Description.from_json(dataset[()].decode("utf-8"))
        except Exception as error:  # garbled in any way is one thing: unreadable
            raise_lack_of_memory(error)
            reason = one_line(error)
        problem(DESCRIPTION, reason)
        return None

    def _columns(self, description: Description) -> dict[str, Column]:
        """Every dataset of numbers that the description lists."""
        found = {}
        for path, entry in description.arrays.items():
            kinds = kinds_of(path)
            if entry.kind not in kinds:
                expected = f"{' or '.join(kinds)}" if kinds else "no such array"
                self.problem(
                    "structure.description",
                    DESCRIPTION,
                    f"lists {path} as {entry.kind}, the layout has {expected}",
                )
                continue
            if entry.kind == "S":
                continue
            column = self.column(path, np.dtype(entry.kind), entry.shape[1:], required=True)
            if column is None:
                continue
            if column.dataset.shape != entry.shape:
                self.problem(
                    "structure.shape",
                    path,
                    f"has the shape {column.dataset.shape}, {DESCRIPTION} says {entry.shape}",
                )
                continue
            found[path] = column
        return found

    def _check_lists(self, description: Description) -> None:
        """What the description lists must be what its other parts ask for."""
        arrays, names = description.arrays, GeneralNames()
        n_types = len(description.model)
        n_neurons = next(iter(arrays[_TYPE_IDS].shape), 0) if _TYPE_IDS in arrays else None
        for name, count in (("neurons", n_neurons), ("cell types", n_types)):
            if count == 0:
                self.problem("structure.empty", "/", f"the file has no {name}")
        expected: dict[str, tuple[int | None, ...]] = {_TYPE_IDS: (n_neurons,)}
        if description.populations:
            expected["neurons/node_ids"] = (n_neurons,)
            stated = sum(size for _, size in description.populations)
            if n_neurons is not None and stated != n_neurons:
                self.problem(
                    "structure.description",
                    DESCRIPTION,
                    f"its populations have {stated:,} neurons, {_TYPE_IDS} has {n_neurons:,}",
                )
        axes = [f"neurons/positions_{axis}" for axis in "xyz"]
        if any(path in arrays for path in axes):
            expected |= dict.fromkeys(axes, (n_neurons,))
        for key in _KIND_COLUMNS:  # one row holds for all types
            path = f"cell_types/{key}"
            one_row = path in arrays and arrays[path].shape[:1] == (1,)
            expected[path] = (1 if one_row else n_types, len(description.receptors))
        expected |= {path: (n_types,) for key in _COUNTS if (path := f"cell_types/{key}") in arrays}
        for entry in description.projections:
            paths = [names.dataset_of(f"{entry.name}.{key}") for key in SYNAPSE_COLUMNS]
            sizes = [arrays[path].shape for path in paths if path in arrays]
            expected |= dict.fromkeys(paths, next((size for size in sizes if len(size) == 1), (0,)))
        for source in description.sources:
            for key in ("node_ids", "kind"):
                path = f"{names.source_group(source.name)}/{key}"
                if path in arrays:
                    expected[path] = (source.size,)
        if description.readout:
            expected["readout/neuron_ids"] = (sum(description.readout),)
        if "readout/readout_weights" in arrays:
            expected["readout/readout_weights"] = (None, None)
        if "readout/readout_bias" in arrays:
            expected["readout/readout_bias"] = (None,)
        for path, shape in expected.items():
            if path not in arrays:
                self.problem(
                    "structure.missing_dataset", path, f"is not among the arrays of {DESCRIPTION}"
                )
                continue
            seen = arrays[path].shape
            if len(seen) != len(shape) or any(
                want not in (None, size) for want, size in zip(shape, seen, strict=True)
            ):
                wanted = ", ".join("n" if size is None else f"{size:,}" for size in shape)
                self.problem("structure.length", path, f"has the shape {seen}, expected [{wanted}]")

    def _population(
        self,
        entry: SourceEntry,
        description: Description,
        values: Mapping[str, NDArray[Any] | None],
        names: GeneralNames,
    ) -> SourcePopulation:
        group = names.source_group(entry.name)
        has_cells = any(path.startswith(f"{group}/cells/") for path in description.arrays)
        return SourcePopulation(
            role=entry.role,  # type: ignore[arg-type]
            size=entry.size,
            node_id=values.get(f"{group}/node_ids"),
            kind=values.get(f"{group}/kind"),
            cells=self.lgn_cells(f"{group}/cells") if has_cells else None,
        )

    def _check_values(self, description: Description, held: Mapping[str, NDArray[Any]]) -> None:
        """Numbers that stand for kinds and counts must be such."""
        kinds = [f"cell_types/{key}" for key in (*_KIND_COLUMNS, "kind")]
        kinds += [path for path in held if path.startswith("sources/") and path.endswith("/kind")]
        for path in kinds:
            if path not in held:
                continue
            n_bad = int(np.count_nonzero(held[path] >= len(Kind)))
            if n_bad:
                self.problem(
                    "structure.description",
                    path,
                    f"{n_bad} of {held[path].size} values are no kind of a cell (0 to "
                    f"{len(Kind) - 1})",
                    n_bad=n_bad,
                    n_seen=held[path].size,
                )
        for key in _COUNTS:
            path = f"cell_types/{key}"
            if path in held and (held[path] < 0).any():
                self.problem("structure.description", path, "has counts below 0")


def _neurons(description: Description, held: Mapping[str, NDArray[Any]]) -> NeuronTable:
    position = None
    if "neurons/positions_x" in held:
        position = np.column_stack([held[f"neurons/positions_{axis}"] for axis in "xyz"])
    populations = []
    start = 0
    for name, size in description.populations:
        ids = held["neurons/node_ids"][start : start + size].copy()
        populations.append(NeuronPopulation(name, ids))
        start += size
    return NeuronTable(held[_TYPE_IDS], position, tuple(populations))


def _cell_types(
    description: Description, held: Mapping[str, NDArray[Any]], names: GeneralNames
) -> CellTypeTable:
    prefix = names.dataset_of("cell_types") + "/"
    return CellTypeTable(
        model=description.model,
        columns={
            path.removeprefix(prefix): values
            for path, values in held.items()
            if path.startswith(prefix)
        },
        receptor_kinds=ReceptorKinds(
            description.receptors, *(held[f"cell_types/{key}"] for key in _KIND_COLUMNS)
        ),
        name=description.name,
        cell_class=description.cell_class,
        kind=held.get("cell_types/kind"),
        n_receptors=held.get("cell_types/n_receptors"),
        n_after_spike_currents=held.get("cell_types/n_after_spike_currents"),
    )


def _readout(
    description: Description, held: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.int32], ...]:
    if not description.readout:
        return ()
    ends = np.cumsum(description.readout)[:-1]
    return tuple(group.copy() for group in np.split(held["readout/neuron_ids"], ends))
