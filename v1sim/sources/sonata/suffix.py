"""Files of edges whose name claims that they were trained, beside the plain ones.

Published models have trained edges in files of their own beside the plain ones: the same edges
under ``v1_v1_edges_bio_trained.h5`` and ``v1_v1_edges.h5``, which differ in ``syn_weight`` alone. A
file with such a name and the plain file's weights is the initial network under a trained one's
name.
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.errors import NetworkFileError
from v1sim.files.hdf5 import GivenHdf5, given_hdf5
from v1sim.sources.sonata.remarks import Remarks

__all__ = ["claims_training", "plain_file", "remark_on_suffix"]

#: Parts of a name that say that weights were trained.
_CLAIM = re.compile(
    r"(?:^|[_.-])(?:bio|naive|\w*train\w*|learn\w*|optimi[sz]\w*|tuned|fitted|epoch\w*)"
)
#: And those that say that they were not, whatever else is there.
_DENIAL = re.compile(r"untrained|pretrain|before|initial|(?:^|[_.-])(?:plain|init)(?:$|[_.-])")
#: Edges handled at a time.
_BLOCK = 1 << 20
#: Edges that are brought into one order to be compared.
_MOST_SORTED = 50_000_000
_EXPECTED = "a SONATA file of edges"


def claims_training(name: str) -> bool:
    """Whether a suffix like ``bio_trained`` says that weights were trained."""
    name = name.lower()
    return bool(_CLAIM.search(name)) and not _DENIAL.search(name)


def plain_file(path: Path) -> Path | None:
    """The file of the same edges without the suffix that claims training; None if there is none."""
    stem = path.stem
    for cut in (m.start() for m in reversed(list(re.finditer(r"[_.-]", stem)))):
        plain = path.with_name(f"{stem[:cut]}{path.suffix}")
        claims = claims_training(stem[cut + 1 :]) and not claims_training(stem[:cut])
        if claims and plain.is_file():
            return plain
    return None


def remark_on_suffix(path: Path, remarks: Remarks) -> None:
    """Note a file whose name claims a training, and whose weights are those of the plain one."""
    plain = plain_file(path)
    if plain is None:
        return
    try:
        n = _same_weights(path, plain)
    except NetworkFileError:
        return  # of the plain file, which is no part of this network
    if n:
        suffix = path.stem.removeprefix(plain.stem).lstrip("_.-")
        remarks.add(
            "sonata.suffix_untrained",
            str(path),
            f"its name says {suffix}, but all {n:,} weights are those of {plain.name} beside it",
            hint="export the trained weights again; was the plain file copied under this name?",
            n=n,
            total=n,
        )


def _same_weights(path: Path, plain: Path) -> int:
    """How many weights both files have, all of them equal; 0 where they are not."""
    n = 0
    with (
        given_hdf5(path, error=NetworkFileError, expected=_EXPECTED) as one,
        given_hdf5(plain, error=NetworkFileError, expected=_EXPECTED) as other,
    ):
        for population in one.names("edges"):
            root = f"edges/{population}"
            for group in one.names(root):
                name = f"{root}/{group}/syn_weight"
                a, b = one.dataset(name), other.dataset(name)
                if a is None:
                    continue
                if b is None or a.shape != b.shape or a.ndim != 1:
                    return 0
                if not _equal(one, a, other, b) and not _equal_in_order(one, other, root, name):
                    return 0
                n += len(a)
    return n


def _equal(one: GivenHdf5, a: h5py.Dataset, other: GivenHdf5, b: h5py.Dataset) -> bool:
    """Whether two datasets have the same values, as float32 tells them apart."""
    for start in range(0, len(a), _BLOCK):
        part = slice(start, start + _BLOCK)
        x, y = (f.read(d, part).astype(np.float32) for f, d in ((one, a), (other, b)))
        if not np.array_equal(x, y, equal_nan=True):
            return False
    return True


def _equal_in_order(one: GivenHdf5, other: GivenHdf5, root: str, name: str) -> bool:
    """The same where rows are in another order: by source, target, type and weight."""
    ids = ("source_node_id", "target_node_id", "edge_type_id")
    columns: list[list[NDArray[np.generic]]] = []
    for file in (one, other):
        found = [file.dataset(f"{root}/{column}") for column in ids]
        weight = file.dataset(name)
        if weight is None or len(weight) > _MOST_SORTED:
            return False
        if any(d is None or len(d) != len(weight) for d in found):
            return False  # several groups: their edges would have to be found first
        columns.append([file.read(d) for d in (*found, weight) if d is not None])
    if all(np.array_equal(a, b) for a, b in zip(columns[0][:3], columns[1][:3], strict=True)):
        return False  # the same rows, and other weights
    order = [np.lexsort(tuple(reversed(one))) for one in columns]
    return all(
        np.array_equal(a[order[0]].astype(np.float64), b[order[1]].astype(np.float64))
        for a, b in zip(*columns, strict=True)
    )
