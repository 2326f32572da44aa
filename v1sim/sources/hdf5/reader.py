"""Reading a network file as it is: every value, nothing converted, nothing judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from v1sim.digests import file_sha256
from v1sim.errors import InputError, NetworkFileError
from v1sim.files.hdf5 import closing_quietly, open_hdf5
from v1sim.files.identify import identify_hdf5
from v1sim.memory import raise_lack_of_memory, workers
from v1sim.model import (
    CellTypeTable,
    Finding,
    NetworkModel,
    NeuronTable,
    Severity,
    SourceFile,
    SynapseTable,
)
from v1sim.receptors import BILLEH_RECEPTORS
from v1sim.sources.hdf5.columns import MOST_CELLS, Column, OpenNetworkFile, one_line
from v1sim.sources.hdf5.general_reader import GeneralFile, is_general
from v1sim.sources.hdf5.names import (
    ATTRIBUTES,
    SYNAPSE_COLUMNS,
    TABLES,
    TYPE_COLUMNS,
    array_of,
    dataset_of,
)
from v1sim.units import MODEL_STEP_MS

__all__ = ["INPUT_DELAY_MS", "Hdf5Reader", "read_file"]

#: Groups of a readout whose file does not say how many: the model's ten classes.
_DEFAULT_READOUT_GROUPS = 10
#: Input synapses act one step after the spike; the layout stores no delay for them.
INPUT_DELAY_MS = MODEL_STEP_MS
_PAIR_COLUMNS = ("k_per_ms", "asc_amp_pa")


class Hdf5Reader:
    """The door's reader of this layout; see `v1sim.sources.reader.Reader`."""

    format = "hdf5"
    reads = "a network in HDF5"

    def recognises(self, path: Path) -> bool:
        """Any file: what is no network in HDF5 is told so, and why."""
        return path.is_file()

    def read(self, path: Path) -> NetworkModel:
        """The network in the file."""
        return read_file(path)


def read_file(path: Path) -> NetworkModel:
    """Read a network file.

    Parameters
    ----------
    path : Path
        An HDF5 file in the layout that the package describes.

    Raises
    ------
    NetworkFileError
        If the file cannot become a network at all. Its ``findings`` name every
        problem that was seen, not the first only.
    """
    try:
        with workers(1) as pool:  # hashing runs beside the reading
            sha256 = pool.submit(file_sha256, path)
            with closing_quietly(_open(path)) as file:
                reader = (GeneralFile if is_general(file) else _BillehFile)(file, path)
                network = reader.network()
            if network is None:
                raise reader.error()
            return replace(network, source=replace(network.source, sha256=sha256.result()))
    except OSError as error:
        raise NetworkFileError(
            f"cannot be read: {error.strerror or one_line(error)}",
            where=str(path),
            hint="check its permissions and the disk",
        ) from error


class _BillehFile(OpenNetworkFile):
    """A file in the layout of the training code's users."""

    def network(self) -> NetworkModel | None:
        """The network, or None where ``problems`` says why there is none."""
        self.identity = identify_hdf5(self.file)
        columns = self._columns()
        self._check_lengths(columns)
        n_neurons, n_types = _length(columns, "neurons/node_type_ids"), _length(columns, _C_M)
        for name, count in (("neurons", n_neurons), ("cell types", n_types)):
            if count == 0:
                self.problem("structure.empty", "/", f"the file has no {name}")
        sizes = self._attributes(n_neurons)
        # Values are read only where the shapes promise a network: damage may declare anything.
        if self.problems or not self.fits_in_memory(columns):
            return None
        arrays = {name: self.values(column) for name, column in columns.items()}
        names = {
            key: self.texts(f"neurons/glif3_params/{key}", n_types)
            for key in ("name", "cell_class")
        }
        lgn_cells = self.lgn_cells("lgn") if self.has("lgn") else None
        provenance, provenance_problem = self.provenance(array_of)
        self.check_types(arrays.get("neurons/node_type_ids"), n_types)
        readout = self._readout(arrays.get("readout/neuron_ids"), sizes.get("n_output"))
        if self.problems:
            return None
        held: dict[str, NDArray[Any]] = {k: v for k, v in arrays.items() if v is not None}
        parameters = {
            key: held[f"neurons/glif3_params/{name}"] for key, name in TYPE_COLUMNS.items()
        }
        lgn = _synapses(held, "lgn")
        n_lgn = sizes.get("n_input")
        if n_lgn is None and lgn_cells is not None:
            n_lgn = len(lgn_cells)
        if n_lgn is None:
            n_lgn = int(lgn.pre.max(initial=-1)) + 1
        return NetworkModel.billeh(
            neurons=NeuronTable(held["neurons/node_type_ids"], _positions(held)),
            cell_types=CellTypeTable.glif3(**parameters, **names),  # type: ignore[arg-type]
            recurrent=_synapses(held, "recurrent"),
            lgn=lgn,
            n_lgn=n_lgn,
            source=SourceFile(
                path=str(self.path),
                sha256="",
                format="hdf5",
                stored_dtype=MappingProxyType(
                    {array_of(path): dtype for path, dtype in self.stored_dtype.items()}
                ),
                assumed=tuple(a for a, name in ATTRIBUTES.items() if name not in sizes),
                name_of=dataset_of,
            ),
            background_weight=held.get("input/bkg_weights"),
            readout=readout,
            readout_weight=held.get(dataset_of("readout.weight")),
            readout_bias=held.get(dataset_of("readout.bias")),
            lgn_cells=lgn_cells,
            provenance=provenance,
            provenance_problem=provenance_problem,
        )

    def _columns(self) -> dict[str, Column]:
        """Every numeric dataset of the layout that the file has, with its problems noted."""
        found = {}
        for path, (dtype, shape, required) in _layout().items():
            column = self.column(path, dtype, shape, required=required)
            if column is not None:
                found[path] = column
        for array in ("readout.weight", "readout.bias"):  # as many classes as there are
            path = dataset_of(array)
            dataset = self.dataset(path, required=False)
            if dataset is not None:
                column = self.column(path, np.dtype("f4"), (dataset.shape or ())[1:], required=True)
                if column is not None:
                    found[path] = column
        axes = [f"neurons/positions_{axis}" for axis in "xyz"]
        present = [path for path in axes if self.has(path)]
        if present and len(present) < len(axes):
            for path in sorted(set(axes) - set(present)):
                self.problem(
                    "structure.missing_dataset", path, "missing, though other axes are there"
                )
        return found

    def _check_lengths(self, columns: Mapping[str, Column]) -> None:
        """Columns of one table must have one length."""
        for prefix, others in (
            ("recurrent/", ()),
            ("input/", ()),
            ("neurons/glif3_params/", ()),
            ("neurons/", ("input/bkg_weights",)),
        ):
            lengths = {
                path: column.dataset.shape[0]
                for path, column in columns.items()
                if (path.rpartition("/")[0] + "/" == prefix and path != "input/bkg_weights")
                or path in others
            }
            if len(set(lengths.values())) > 1:
                listed = ", ".join(f"{path} {size:,}" for path, size in lengths.items())
                self.problem(
                    "structure.length", prefix.rstrip("/"), f"columns differ in length: {listed}"
                )

    def _attributes(self, n_neurons: int | None) -> dict[str, int]:
        """The counts that the file's attributes give."""
        sizes = {}
        for name in ATTRIBUTES.values():
            try:
                if name not in self.file.attrs:
                    continue
                value = np.asarray(self.file.attrs[name])
                count = int(value.reshape(-1)[0]) if value.size == 1 else -1
                valid = value.dtype.kind in "iuf" and count >= 0 and count == value.reshape(-1)[0]
                shown = str(value)
            except Exception as error:  # h5py raises many kinds on damaged files
                raise_lack_of_memory(error)
                valid, shown = False, one_line(error)
            if not valid or count > MOST_CELLS:
                self.problem("structure.attribute", f"attribute {name}", f"no count: {shown}")
                continue
            sizes[name] = count
        stated = sizes.get("n_neurons")
        if stated is not None and n_neurons is not None and stated != n_neurons:
            self.problem(
                "structure.attribute",
                "attribute n_neurons",
                f"says {stated:,} neurons, but neurons/node_type_ids has {n_neurons:,}",
            )
        return sizes

    def _readout(
        self, ids: NDArray[np.int32] | None, n_output: int | None
    ) -> tuple[NDArray[np.int32], ...]:
        """Readout neurons in one array a class; sizes that do not divide are left unequal."""
        if ids is None or ids.size == 0:
            return ()
        if n_output is None:
            n_output = _DEFAULT_READOUT_GROUPS if ids.size % _DEFAULT_READOUT_GROUPS == 0 else 1
        if not 1 <= n_output <= ids.size:
            self.problem(
                "structure.attribute",
                "attribute n_output",
                f"says {n_output:,} readout groups for {ids.size:,} readout neurons",
            )
            return ()
        return tuple(group.copy() for group in np.array_split(ids, n_output))


_C_M = "neurons/glif3_params/C_m"


def _layout() -> dict[str, tuple[np.dtype[Any], tuple[int, ...], bool]]:
    """Canonical dtype, shape after the first axis, and whether it must be there, by path."""

    def entry(dtype: DTypeLike, *shape: int, required: bool = True) -> Any:
        return np.dtype(dtype), shape, required

    n_receptors = BILLEH_RECEPTORS.n
    layout = {"neurons/node_type_ids": entry("u2")}
    layout |= {f"neurons/positions_{axis}": entry("f8", required=False) for axis in "xyz"}
    for key, name in TYPE_COLUMNS.items():
        shape = (2,) if key in _PAIR_COLUMNS else (n_receptors,) if key == "tau_syn_ms" else ()
        layout[f"neurons/glif3_params/{name}"] = entry("f8", *shape)
    for group in TABLES.values():
        for key, name in SYNAPSE_COLUMNS.items():
            dtype = {"receptor": "u1", "delay_ms": "f4", "weight": "f4"}.get(key, "i4")
            required = not (group == "input" and key == "delay_ms")
            layout[f"{group}/{name}"] = entry(dtype, required=required)
    layout["input/bkg_weights"] = entry("f4", n_receptors, required=False)
    layout["readout/neuron_ids"] = entry("i4", required=False)
    return layout


def _open(path: Path) -> h5py.File:
    try:
        # Every chunk is read once, from the first to the last: a cache would only take memory.
        return open_hdf5(path, rdcc_nbytes=0)
    except InputError as error:
        raise NetworkFileError(
            error.seen,
            where=str(path),
            expected="a whole HDF5 file",
            hint=error.hint,
            findings=(Finding("structure.file", Severity.ERROR, str(path), error.seen, n_bad=1),),
        ) from error


def _length(columns: Mapping[str, Column], path: str) -> int | None:
    return int(columns[path].dataset.shape[0]) if path in columns else None


def _positions(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    if "neurons/positions_x" not in arrays:
        return None
    return np.column_stack([arrays[f"neurons/positions_{axis}"] for axis in "xyz"])


def _synapses(arrays: Mapping[str, NDArray[Any]], name: str) -> SynapseTable:
    paths = {key: dataset_of(f"{name}.{key}") for key in SYNAPSE_COLUMNS}
    columns = {key: arrays[path] for key, path in paths.items() if path in arrays}
    if "delay_ms" not in columns:
        columns["delay_ms"] = np.full(len(columns["pre"]), INPUT_DELAY_MS, np.float32)
    return SynapseTable(**columns)  # type: ignore[arg-type]
