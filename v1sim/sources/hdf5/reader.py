"""Reading a network file as it is: every value, nothing converted, nothing judged."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import psutil
from numpy.typing import DTypeLike, NDArray

from v1sim.digests import file_sha256
from v1sim.errors import InputError, NetworkFileError
from v1sim.files.hdf5 import (
    FILTER_HINT,
    chunk_bytes,
    filter_problem,
    open_hdf5,
    storage_problem,
    text_problem,
)
from v1sim.files.identify import Identity, identify_hdf5
from v1sim.memory import raise_lack_of_memory, workers
from v1sim.model import (
    CellTypeTable,
    Finding,
    LgnCellTable,
    NetworkModel,
    NeuronTable,
    Provenance,
    Severity,
    SourceFile,
    SynapseTable,
)
from v1sim.paging import forget, paged_array
from v1sim.receptors import BILLEH_RECEPTORS
from v1sim.sources import provenance as provenance_json
from v1sim.sources.hdf5.datasets import blocks, would_change
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
#: Synapses of a table above which its columns lie in scratch files. Trained networks stay in
#: memory; the whole column leaves it to NEST.
_PAGED_ABOVE = 1 << 25
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
            with _open(path) as file:
                reader = _Reader(file, path)
                network = reader.network()
            if network is None:
                raise reader.error()
            return replace(network, source=replace(network.source, sha256=sha256.result()))
    except OSError as error:
        raise NetworkFileError(
            f"cannot be read: {error.strerror or _one_line(error)}",
            where=str(path),
            hint="check its permissions and the disk",
        ) from error


@dataclass(frozen=True)
class _Column:
    """A dataset that can be read: it exists, is numeric, and holds what it declares."""

    dataset: h5py.Dataset
    path: str
    dtype: np.dtype[Any]


@dataclass
class _Reader:
    """Reads one open file and gathers the problems it sees."""

    file: h5py.File
    path: Path
    problems: list[Finding] = field(default_factory=list)
    stored_dtype: dict[str, str] = field(default_factory=dict)
    identity: Identity | None = None

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
        if self.problems or not self._fits_in_memory(columns):
            return None
        arrays = {name: self._values(column) for name, column in columns.items()}
        names = {
            key: self._texts(f"neurons/glif3_params/{key}", n_types)
            for key in ("name", "cell_class")
        }
        lgn_cells = self._lgn_cells()
        provenance, provenance_problem = self._provenance()
        self._check_types(arrays.get("neurons/node_type_ids"), n_types)
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
                format=Hdf5Reader.format,
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

    def problem(
        self, check: str, where: str, message: str, *, n_bad: int = 1, n_seen: int = 1
    ) -> None:
        """Note a problem; ``where`` is a dataset."""
        self.problems.append(
            Finding(check, Severity.ERROR, where, message, n_bad=n_bad, n_seen=n_seen)
        )

    def error(self) -> NetworkFileError:
        """All problems as one error."""
        lines = [f"{f.where}: {f.message}" for f in self.problems]
        shown = "; ".join(lines[:5]) + (f"; and {len(lines) - 5} more" if len(lines) > 5 else "")
        count = f"{len(lines)} problem{'s' if len(lines) != 1 else ''}"
        identity = self.identity
        if identity is not None and not identity.is_network:
            return NetworkFileError(
                f"this is {identity.what}, not a network file",
                where=str(self.path),
                expected="the network layout of docs/network_file.md",
                hint=identity.hint,
                findings=self.problems,
            )
        return NetworkFileError(
            f"cannot be read as a network, {count}: {shown}",
            where=str(self.path),
            expected="the network layout of docs/network_file.md",
            hint="convert or copy the file again; if it is in another layout, convert it first",
            findings=self.problems,
        )

    def _columns(self) -> dict[str, _Column]:
        """Every numeric dataset of the layout that the file has, with its problems noted."""
        found = {}
        for path, (dtype, shape, required) in _layout().items():
            column = self._column(path, dtype, shape, required=required)
            if column is not None:
                found[path] = column
        for array in ("readout.weight", "readout.bias"):  # as many classes as there are
            path = dataset_of(array)
            dataset = self._dataset(path, required=False)
            if dataset is not None:
                column = self._column(
                    path, np.dtype("f4"), (dataset.shape or ())[1:], required=True
                )
                if column is not None:
                    found[path] = column
        axes = [f"neurons/positions_{axis}" for axis in "xyz"]
        present = [path for path in axes if self._has(path)]
        if present and len(present) < len(axes):
            for path in sorted(set(axes) - set(present)):
                self.problem(
                    "structure.missing_dataset", path, "missing, though other axes are there"
                )
        return found

    def _has(self, path: str) -> bool:
        try:
            return self.file.get(path, getlink=True) is not None
        except Exception:  # damaged groups raise many kinds; `_dataset` says which
            return True

    def _dataset(self, path: str, *, required: bool) -> h5py.Dataset | None:
        """The dataset at ``path``, or None with the reason noted."""
        parts = path.split("/")
        try:
            for depth in range(1, len(parts) + 1):
                prefix = "/".join(parts[:depth])
                link = self.file.get(prefix, getlink=True)
                if link is None:
                    if required:
                        self.problem("structure.missing_dataset", path, "missing")
                    return None
                if isinstance(link, h5py.ExternalLink):
                    self.problem(
                        "structure.external",
                        path,
                        f"is a link to another file ({link.filename}); "
                        "the values must be in the file itself",
                    )
                    return None
                if depth < len(parts) and not isinstance(self.file[prefix], h5py.Group):
                    self.problem(
                        "structure.dataset", path, f"{prefix} is a dataset where a group belongs"
                    )
                    return None
            item = self.file[path]
        except Exception as error:  # h5py raises many kinds on damaged files
            raise_lack_of_memory(error)
            self.problem("structure.unreadable", path, f"cannot be opened: {_one_line(error)}")
            return None
        if not isinstance(item, h5py.Dataset):
            kind = "a group" if isinstance(item, h5py.Group) else "a named type"
            self.problem("structure.dataset", path, f"is {kind} where a dataset belongs")
            return None
        return item

    def _column(
        self, path: str, dtype: np.dtype[Any], shape: tuple[int, ...], *, required: bool
    ) -> _Column | None:
        """The dataset at ``path`` where its type, rank and storage are sound."""
        dataset = self._dataset(path, required=required)
        if dataset is None:
            return None
        try:
            stored, actual = dataset.dtype, dataset.shape
            if stored.kind not in "iuf":
                self.problem("structure.dtype", path, f"holds {stored}, not numbers")
                return None
            self.stored_dtype[path] = str(stored)
            if actual is None or len(actual) != len(shape) + 1 or actual[1:] != shape:
                expected = ", ".join(["n", *map(str, shape)])
                seen = f"has the shape {actual}, expected [{expected}]"
                if shape and actual is not None and actual[:-1] == shape[::-1]:
                    seen += "; its axes look reversed, as Julia and MATLAB write them: transpose it"
                self.problem("structure.shape", path, seen)
                return None
            reason = storage_problem(dataset, self.path)
            missing_filter = filter_problem(dataset)
            if reason is None and missing_filter is not None:
                reason = f"{missing_filter}: {FILTER_HINT}"
        except Exception as error:  # h5py raises many kinds on damaged files
            raise_lack_of_memory(error)
            self.problem("structure.unreadable", path, f"cannot be read: {_one_line(error)}")
            return None
        if reason is not None:
            self.problem("structure.storage", path, reason)
            return None
        return _Column(dataset, path, dtype)

    def _check_lengths(self, columns: Mapping[str, _Column]) -> None:
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
                valid, shown = False, _one_line(error)
            if not valid:
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

    def _fits_in_memory(self, columns: Mapping[str, _Column]) -> bool:
        """Whether the declared arrays fit: compressed files can declare any size."""
        needed = sum(
            math.prod(column.dataset.shape) * column.dtype.itemsize for column in columns.values()
        )
        needed += max((chunk_bytes(column.dataset) for column in columns.values()), default=0)
        available = psutil.virtual_memory().available
        if needed > available:
            self.problem(
                "structure.storage",
                "/",
                f"the arrays need {needed / 1e9:,.1f} GB, "
                f"this machine has {available / 1e9:,.1f} GB free",
            )
        return needed <= available

    def _values(self, column: _Column) -> NDArray[Any] | None:
        """Every value of a column in its canonical dtype."""
        dataset, path = column.dataset, column.path
        paged = len(dataset.shape) == 1 and dataset.shape[0] > _PAGED_ABOVE
        try:
            if paged:
                out = paged_array(dataset.shape[0], column.dtype)
            else:
                out = np.empty(dataset.shape, dtype=column.dtype)
        except OSError as error:
            self.problem(
                "structure.storage",
                path,
                f"needs {dataset.shape[0] * column.dtype.itemsize / 1e9:,.1f} GB of scratch space "
                f"in {tempfile.gettempdir()}: {error.strerror}; TMPDIR names another folder",
            )
            return None
        try:
            if dataset.dtype == column.dtype and not paged:
                if out.size:
                    dataset.read_direct(out)
                return out
            n_unfit, example = 0, None
            with np.errstate(all="ignore"):
                for part in blocks(dataset):
                    values = dataset[part]
                    changed = would_change(values, column.dtype)
                    if changed is not None and changed.any():
                        n_unfit += int(np.count_nonzero(changed))
                        example = values[changed].min() if example is None else example
                    out[part] = values.astype(column.dtype, copy=False)
                    forget(out)
        except Exception as error:  # h5py raises many kinds on damaged files
            raise_lack_of_memory(error)
            self.problem("structure.unreadable", path, f"cannot be read: {_one_line(error)}")
            return None
        if n_unfit:
            self.problem(
                "structure.dtype",
                path,
                f"{n_unfit:,} of {out.size:,} values of type {dataset.dtype} do not fit "
                f"{column.dtype} without changing, for example {example}",
                n_bad=n_unfit,
                n_seen=out.size,
            )
            return None
        return out

    def _texts(self, path: str, n_expected: int | None) -> tuple[str, ...] | None:
        """A dataset of texts, one a row."""
        dataset = self._dataset(path, required=False)
        if dataset is None:
            return None
        try:
            reason = text_problem(dataset, self.path)
            if reason is not None:
                self.problem("structure.dtype", path, reason)
                return None
            if len(dataset.shape) != 1 or (
                n_expected is not None and dataset.shape[0] != n_expected
            ):
                self.problem(
                    "structure.shape", path, f"has the shape {dataset.shape}, not [{n_expected}]"
                )
                return None
            return tuple(text.decode("utf-8") for text in dataset[:].tolist())
        except Exception as error:  # h5py raises many kinds on damaged files
            raise_lack_of_memory(error)
            self.problem("structure.unreadable", path, f"cannot be read: {_one_line(error)}")
            return None

    def _lgn_cells(self) -> LgnCellTable | None:
        """The LGN cells that v1sim writes, where the file has them."""
        if not self._has("lgn"):
            return None
        names = [f.name for f in fields(LgnCellTable) if f.name != "field_deg"]
        before = len(self.problems)
        columns = {}
        for name in names[1:]:
            shape = (2,) if name.endswith("dom") or "_dom_" in name else ()
            column = self._column(f"lgn/{name}", np.dtype("f8"), shape, required=True)
            if column is not None:
                columns[name] = column
        lengths = {name: column.dataset.shape[0] for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            self.problem("structure.length", "lgn", f"columns differ in length: {lengths}")
        model_id = self._texts("lgn/model_id", next(iter(lengths.values()), None))
        if model_id is None and not self._has("lgn/model_id"):
            self.problem("structure.missing_dataset", "lgn/model_id", "missing")
        if len(self.problems) > before:
            return None
        values = {name: self._values(column) for name, column in columns.items()}
        try:
            width, height = (float(v) for v in self.file["lgn"].attrs["field_deg"])
        except Exception as error:  # h5py raises many kinds on damaged files
            raise_lack_of_memory(error)
            self.problem("structure.attribute", "lgn", f"attribute field_deg: {_one_line(error)}")
        if len(self.problems) > before:
            return None
        return LgnCellTable(
            model_id=np.array(model_id, dtype=np.str_),
            field_deg=(width, height),
            **values,  # type: ignore[arg-type]
        )

    def _provenance(self) -> tuple[Provenance | None, str | None]:
        """The provenance, or why the one that the file has cannot be read."""
        if not self._has("provenance"):
            return None, None
        n_problems = len(self.problems)
        dataset = self._dataset("provenance", required=False)
        if dataset is None:
            reasons = [finding.message for finding in self.problems[n_problems:]]
            del self.problems[n_problems:]  # the network itself is readable: the checks report it
            return None, "; ".join(reasons)
        try:
            reason = text_problem(dataset, self.path)
            if reason is None and dataset.shape != ():
                reason = f"has the shape {dataset.shape}, not one text"
            if reason is not None:
                return None, reason
            return provenance_json.from_json(dataset[()].decode("utf-8"), array_of), None
        except Exception as error:  # garbled in any way is one thing: unreadable
            raise_lack_of_memory(error)
            return None, _one_line(error)

    def _check_types(self, cell_type: NDArray[np.uint16] | None, n_types: int | None) -> None:
        if cell_type is None or n_types is None:
            return
        n_bad = int(np.count_nonzero(cell_type >= n_types))
        if n_bad:
            self.problem(
                "structure.type_range",
                "neurons/node_type_ids",
                f"{n_bad:,} of {len(cell_type):,} neurons have a type outside the {n_types} rows "
                f"of glif3_params (largest {int(cell_type.max())})",
                n_bad=n_bad,
                n_seen=len(cell_type),
            )

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


def _length(columns: Mapping[str, _Column], path: str) -> int | None:
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


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
