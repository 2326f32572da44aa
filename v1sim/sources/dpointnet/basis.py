"""The basis functions of DPointNet's synapses, and the factors by which synaptic models use them.

All cells have the same B alpha-shaped currents (``tau_basis``). A synaptic model is a file of
``dynamics_params``; it has a factor for each of them, in itself or in a table beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import NetworkFileError
from v1sim.files.numpy_array import read_array
from v1sim.files.table import read_table
from v1sim.printable import printable
from v1sim.sources.dpointnet.refusal import refusal

__all__ = ["BasisFactors", "factors_of_models", "read_basis_table", "read_tau_basis"]

#: The columns of a table: always four.
_COLUMNS = ("w0", "w1", "w2", "w3")
_NAMES = ("name", "connection_name")
#: Names of models that a message lists.
_MOST = 5


@dataclass(frozen=True, eq=False)
class BasisFactors:
    """Factors of each synaptic model, shape (models, basis functions), and the models' files."""

    models: tuple[str, ...]
    factor: NDArray[np.float32]

    def expanded(
        self, model: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.float32]]:
        """A row for each basis function that an edge acts on.

        Parameters
        ----------
        model : int array, shape (s,)
            The synaptic model of each edge.

        Returns
        -------
        edge : int64 array, shape (rows,)
            The edge that a row belongs to, ascending.
        receptor : uint8 array, shape (rows,)
            The basis function, ascending within an edge.
        factor : float32 array, shape (rows,)
            Its factor, not zero.
        """
        acts = self.factor != 0
        of_model, receptor = np.nonzero(acts)
        count = acts.sum(axis=1)
        first = np.concatenate([[0], np.cumsum(count)[:-1]])
        n = count[model]
        edge = np.repeat(np.arange(len(model), dtype=np.int64), n)
        within = np.arange(len(edge), dtype=np.int64) - np.repeat(np.cumsum(n) - n, n)
        row = np.repeat(first[model], n) + within
        return edge, receptor[row].astype(np.uint8), self.factor[of_model[row], receptor[row]]


def read_tau_basis(given: Any, folder: Path, where: str) -> NDArray[np.float64]:
    """``tau_basis`` of a configuration: time constants in ms, shape (B,), or a file of them.

    Raises
    ------
    NetworkFileError
        If there are none, or they are no positive numbers.
    """
    expected = "time constants of the basis functions in ms: a list, or the path of an .npy file"
    try:
        if isinstance(given, str):
            path = folder / given
            tau = read_array(path, error=NetworkFileError, expected=expected)
        else:
            tau = np.asarray([] if given is None else given)
        tau = np.asarray(tau, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        tau = np.empty(0)
    if not len(tau) or not (np.isfinite(tau) & (tau > 0)).all():
        raise NetworkFileError(
            f"tau_basis is {printable(repr(given))[:200]}", where=where, expected=expected
        )
    return tau


def read_basis_table(path: Path) -> dict[str, NDArray[np.float64]]:
    """Factors by the name of a synaptic model's file, from a ``basis_weights_file``.

    Raises
    ------
    NetworkFileError
        If it is no such table.
    """
    expected = "a table with a column name and the columns w0, w1, w2, w3"
    table = read_table(path, error=NetworkFileError, expected=expected)
    name = next((name for name in _NAMES if name in table.names), None)
    missing = [column for column in _COLUMNS if column not in table.names]
    if name is None or missing:
        raise NetworkFileError(
            f"has the columns {', '.join(map(printable, table.names))}",
            where=str(path),
            expected=expected,
        )
    values = np.stack([table.numbers(column) for column in _COLUMNS], axis=1)
    return dict(zip(table.texts(name).tolist(), values, strict=True))  # the last of a name counts


def factors_of_models(
    models: Sequence[str],
    parameters: Mapping[str, Mapping[str, Any]],
    table: Mapping[str, NDArray[np.float64]] | None,
    n_basis: int,
    where: str,
) -> BasisFactors:
    """The factors of synaptic models; those of the table outrank those of a model's own file.

    Parameters
    ----------
    models : sequence of str
        Paths of their files.
    parameters : mapping
        What each file holds.
    table : mapping, optional
        From `read_basis_table`.
    n_basis : int
        Number of basis functions.
    where : str
        The configuration, for messages.

    Raises
    ------
    NetworkFileError
        If a model has none, another number of them, or one that is no number.
    """
    found, missing, wrong = [], [], []
    for model in models:
        stem = Path(model).stem
        given = parameters[model].get("basis_weights")
        if table is not None and stem in table:
            given = table[stem]
        try:
            factors = np.asarray([] if given is None else given, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            factors = np.array([np.nan])
        if given is None:
            missing.append(stem)
        elif len(factors) != n_basis or not np.isfinite(factors).all():
            wrong.append(f"{stem} has {printable(str(given))[:80]}")
        found.append(factors)
    for names, seen in (
        (missing, "have no basis weights"),
        (wrong, f"do not have {n_basis} basis weights, one for each time constant of tau_basis"),
    ):
        if names:
            listed = ", ".join(map(printable, names[:_MOST]))
            more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
            raise refusal(
                "dpointnet.basis_weights",
                f"{len(names)} of {len(models)} synaptic models {seen}: {listed}{more}",
                where=where,
                expected="basis_weights in the JSON file of every synaptic model in use, or its "
                "name in rnn_cell_params.basis_weights_file (name,w0,w1,w2,w3)",
                hint="use the configuration and the components of the training",
                n=len(names),
                total=len(models),
            )
    return BasisFactors(tuple(models), np.stack(found).astype(np.float32))
