"""Datasets of a network file: each is read whole and sound, or why not is noted."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
from numpy.typing import NDArray

from v1sim.errors import NetworkFileError
from v1sim.files.hdf5 import (
    FILTER_HINT,
    chunk_bytes,
    filter_problem,
    storage_problem,
    text_problem,
)
from v1sim.files.identify import Identity
from v1sim.memory import raise_lack_of_memory
from v1sim.model import Finding, LgnCellTable, Provenance, Severity
from v1sim.paging import forget, paged_array
from v1sim.sources import provenance as provenance_json
from v1sim.sources.hdf5.datasets import blocks, would_change

__all__ = ["MOST_CELLS", "Column", "OpenNetworkFile", "one_line"]

#: Synapses of a table above which its columns lie in scratch files. Trained networks stay in
#: memory; the whole column leaves it to NEST.
_PAGED_ABOVE = 1 << 25


#: Cells that an index of 31 bits can name.
MOST_CELLS = 2**31 - 1


@dataclass(frozen=True)
class Column:
    """A dataset that can be read: it exists, is numeric, and holds what it declares."""

    dataset: h5py.Dataset
    path: str
    dtype: np.dtype[Any]

    @property
    def is_paged(self) -> bool:
        """Whether its values are to lie in a scratch file."""
        return len(self.dataset.shape) == 1 and self.dataset.shape[0] > _PAGED_ABOVE


@dataclass
class OpenNetworkFile:
    """An open file, and the problems that were seen in it."""

    file: h5py.File
    path: Path
    problems: list[Finding] = field(default_factory=list)
    stored_dtype: dict[str, str] = field(default_factory=dict)
    identity: Identity | None = None

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

    def has(self, path: str) -> bool:
        """Whether anything has this name."""
        try:
            return self.file.get(path, getlink=True) is not None
        except Exception:  # damaged groups raise many kinds; `_dataset` says which
            return True

    def dataset(self, path: str, *, required: bool) -> h5py.Dataset | None:
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
            self.problem("structure.unreadable", path, f"cannot be opened: {one_line(error)}")
            return None
        if not isinstance(item, h5py.Dataset):
            kind = "a group" if isinstance(item, h5py.Group) else "a named type"
            self.problem("structure.dataset", path, f"is {kind} where a dataset belongs")
            return None
        return item

    def column(
        self, path: str, dtype: np.dtype[Any], shape: tuple[int, ...], *, required: bool
    ) -> Column | None:
        """The dataset at ``path`` where its type, rank and storage are sound."""
        dataset = self.dataset(path, required=required)
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
            self.problem("structure.unreadable", path, f"cannot be read: {one_line(error)}")
            return None
        if reason is not None:
            self.problem("structure.storage", path, reason)
            return None
        return Column(dataset, path, dtype)

    def fits_in_memory(self, columns: Mapping[str, Column]) -> bool:
        """Whether the declared arrays fit: compressed files can declare any size."""
        needed = sum(
            math.prod(column.dataset.shape) * column.dtype.itemsize
            for column in columns.values()
            if not column.is_paged
        )
        needed += max((chunk_bytes(column.dataset) for column in columns.values()), default=0)
        scratch = sum(
            column.dataset.shape[0] * column.dtype.itemsize
            for column in columns.values()
            if column.is_paged
        )
        available = psutil.virtual_memory().available
        if needed > available:
            self.problem(
                "structure.storage",
                "/",
                f"the arrays need {needed / 1e9:,.1f} GB, "
                f"this machine has {available / 1e9:,.1f} GB free",
            )
        free = shutil.disk_usage(tempfile.gettempdir()).free if scratch else 0
        if scratch > free:
            self.problem(
                "structure.storage",
                "/",
                f"the synapses need {scratch / 1e9:,.1f} GB of scratch space in "
                f"{tempfile.gettempdir()}, {free / 1e9:,.1f} GB are free; TMPDIR names another "
                "folder",
            )
        return needed <= available and scratch <= free

    def values(self, column: Column) -> NDArray[Any] | None:
        """Every value of a column in its canonical dtype."""
        dataset, path = column.dataset, column.path
        paged = column.is_paged
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
            self.problem("structure.unreadable", path, f"cannot be read: {one_line(error)}")
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

    def texts(self, path: str, n_expected: int | None) -> tuple[str, ...] | None:
        """A dataset of texts, one a row."""
        dataset = self.dataset(path, required=False)
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
            self.problem("structure.unreadable", path, f"cannot be read: {one_line(error)}")
            return None

    def check_types(self, cell_type: NDArray[np.uint16] | None, n_types: int | None) -> None:
        """Note types of neurons that are no row of the table."""
        if cell_type is None or n_types is None:
            return
        n_bad = int(np.count_nonzero(cell_type >= n_types))
        if n_bad:
            self.problem(
                "structure.type_range",
                "neurons/node_type_ids",
                f"{n_bad:,} of {len(cell_type):,} neurons have a type outside the {n_types} rows "
                f"of cell types (largest {int(cell_type.max())})",
                n_bad=n_bad,
                n_seen=len(cell_type),
            )

    def lgn_cells(self, group: str) -> LgnCellTable | None:
        """The LGN cells that a group holds; None where problems say why not."""
        names = [f.name for f in fields(LgnCellTable) if f.name != "field_deg"]
        before = len(self.problems)
        columns = {}
        for name in names[1:]:
            shape = (2,) if name.endswith("dom") or "_dom_" in name else ()
            column = self.column(f"{group}/{name}", np.dtype("f8"), shape, required=True)
            if column is not None:
                columns[name] = column
        lengths = {name: column.dataset.shape[0] for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            self.problem("structure.length", group, f"columns differ in length: {lengths}")
        model_id = self.texts(f"{group}/model_id", next(iter(lengths.values()), None))
        if model_id is None and not self.has(f"{group}/model_id"):
            self.problem("structure.missing_dataset", f"{group}/model_id", "missing")
        if len(self.problems) > before:
            return None
        values = {name: self.values(column) for name, column in columns.items()}
        try:
            width, height = (float(v) for v in self.file[group].attrs["field_deg"])
        except Exception as error:  # h5py raises many kinds on damaged files
            raise_lack_of_memory(error)
            self.problem("structure.attribute", group, f"attribute field_deg: {one_line(error)}")
        if len(self.problems) > before:
            return None
        return LgnCellTable(
            model_id=np.array(model_id, dtype=np.str_),
            field_deg=(width, height),
            **values,  # type: ignore[arg-type]
        )

    def provenance(self, array_of: Callable[[str], str]) -> tuple[Provenance | None, str | None]:
        """The provenance, or why the one that the file has cannot be read."""
        if not self.has("provenance"):
            return None, None
        n_problems = len(self.problems)
        dataset = self.dataset("provenance", required=False)
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
            return None, one_line(error)


def one_line(error: BaseException) -> str:
    """What an error says, for a message."""
    return " ".join(str(error).split())[:200] or type(error).__name__
