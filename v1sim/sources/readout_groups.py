"""Readout groups: from a file, or by the rule of the published training code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.files.numpy_array import read_array
from v1sim.sources import open_network

__all__ = ["published_readout_groups", "read_readout_groups"]

Groups = tuple[NDArray[np.int32], ...]

#: Centres of the published code's localised readout groups 5 to 14, x and z in um, which read
#: classes 0 to 9 (load_sparse.py of github.com/ifgovh/Training-data-driven-V1-model).
_CENTRE_UM = (
    (0, 260), (180, 230), (-180, 230), (270, 95), (-270, 95),
    (270, -95), (-270, -95), (180, -230), (-180, -230), (0, -260),
)  # fmt: skip
_RADIUS_UM = 55.0
_CELLS_PER_GROUP = 30
_SEED = 3000


def published_readout_groups(
    position_um: NDArray[np.float64], pop_name: NDArray[np.str_]
) -> Groups:
    """Ten groups of thirty layer 5 excitatory cells, as the published code picks them.

    Parameters
    ----------
    position_um : float array, shape (n, 3)
        x, y (depth, negative) and z of each neuron.
    pop_name : str array, shape (n,)
        Its population, for example "e5Rbp4".

    Returns
    -------
    tuple of int32 arrays
        One a class; empty where a column is too small for all ten.
    """
    excitatory = np.char.startswith(pop_name, "e")
    layer_5 = np.array([name[1:2] == "5" for name in np.unique(pop_name)])
    in_layer_5 = layer_5[np.unique(pop_name, return_inverse=True)[1]]
    if not in_layer_5.any():
        return ()
    x, y, z = position_um.T
    top, bottom = y[in_layer_5].max(), y[in_layer_5].min()
    able = excitatory & (y < top) & (y > bottom)
    groups = []
    for centre_x, centre_z in _CENTRE_UM:
        away = (x - centre_x) ** 2 + (z - centre_z) ** 2 + (y - (top + bottom) / 2) ** 2
        near = np.flatnonzero(able & (np.sqrt(away) < _RADIUS_UM))
        if len(near) < _CELLS_PER_GROUP:
            return ()
        # The code's own generator and seed: another would pick other cells.
        picked = np.random.RandomState(_SEED).choice(near, _CELLS_PER_GROUP, replace=False)
        groups.append(np.sort(picked).astype(np.int32))
    return tuple(groups)


def read_readout_groups(path: Path, n_neurons: int) -> Groups:
    """Read readout groups: one array of neuron indices a class, in class order.

    Parameters
    ----------
    path : Path
        A network file (.h5) with readout groups, a JSON list of lists, a .npy array with one
        row a class, or a text file with one line a class.
    n_neurons : int
        Neurons of the network that they are for.

    Raises
    ------
    InputError
        If the file cannot be read, or groups are empty, differ in size, share cells or name
        cells that are not there.
    """
    try:
        groups = _load(path)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except (ValueError, TypeError) as error:
        raise InputError(
            f"holds no readout groups: {' '.join(str(error).split())[:200]}",
            where=str(path),
            expected="a network file, a JSON list of lists, a .npy array with one row a class, or "
            "one line of neuron indices a class",
        ) from error
    everyone = np.concatenate(groups) if groups else np.empty(0, np.int64)
    problem = None
    if not groups or min(len(group) for group in groups) == 0:
        problem = "has no groups, or an empty one"
    elif len({len(group) for group in groups}) > 1:
        problem = f"has groups of {', '.join(str(len(g)) for g in groups)} cells"
    elif everyone.min() < 0 or everyone.max() >= n_neurons:
        problem = f"names cells from {everyone.min()} to {everyone.max()}"
    elif len(np.unique(everyone)) < len(everyone):
        problem = "names a cell twice"
    if problem:
        raise InputError(
            problem,
            where=str(path),
            expected=f"groups of one size, of different cells from 0 to {n_neurons - 1}",
        )
    return tuple(group.astype(np.int32) for group in groups)


def _load(path: Path) -> list[NDArray[np.int64]]:
    suffix = path.suffix.lower()
    if suffix in (".h5", ".hdf5"):
        return [group.astype(np.int64) for group in open_network(path).readout]
    if suffix == ".npy":
        rows: Any = read_array(path, error=InputError, expected="one row of neurons a class")
    elif suffix == ".json":
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    else:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = [
            [int(word) for word in line.replace(",", " ").split()]
            for line in lines
            if line.strip() and not line.startswith("#")
        ]
    groups = [np.asarray(row) for row in rows]
    for group in groups:
        if group.ndim != 1 or (group.size and group.dtype.kind not in "iu"):
            msg = "a group is not a list of whole numbers"
            raise ValueError(msg)
    return [group.astype(np.int64) for group in groups]
