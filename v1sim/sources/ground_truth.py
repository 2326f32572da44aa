"""Spikes and voltages that another simulator computed, for comparison: HDF5.

::

    input_spikes                [trials, steps, n_lgn]   0 or 1; analog input: any number
    voltage_neuron_ids          [m]                      here or in a group
    <any>/<groups>/z            [trials, steps, n]       0 or 1
    <any>/<groups>/voltage_mV   [trials, steps, m]       may be absent
    <any>/<groups>/background   [steps] or [trials, steps]   draws n of Binomial(10, 0.1)

Without ``background`` a group's name says what drove the background weights:
``no_background`` or ``mean_background``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError

__all__ = ["GroundTruth", "read_ground_truth", "read_input", "truth_groups"]

_INPUT = "input_spikes"
_BACKGROUNDS = {"no_background": "none", "mean_background": "mean"}


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """One run of the other simulator.

    ``spike`` (trials, steps, n); ``voltage_mv`` (trials, steps, m) of ``voltage_neuron``
    (m,), empty where there is none; ``draws`` (trials, steps) where the background was drawn.
    """

    group: str
    background: str
    spike: NDArray[np.bool_]
    voltage_neuron: NDArray[np.int64]
    voltage_mv: NDArray[np.float32]
    draws: NDArray[np.int64] | None


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise InputError("no such file", where=str(path), expected="an HDF5 file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"cannot be read as HDF5: {error}", where=str(path)) from error
    with file:
        yield file


def _numbers(
    data: h5py.Dataset, where: str, shape: tuple[int | None, ...], expected: str
) -> NDArray[Any]:
    fits = len(shape) == data.ndim and all(
        want in (None, seen) for want, seen in zip(shape, data.shape, strict=True)
    )
    if not fits or data.dtype.kind not in "biuf":
        raise InputError(
            f"shape {data.shape} of {data.dtype}",
            where=where,
            expected=f"{expected} of shape {tuple('any' if s is None else s for s in shape)}",
        )
    values: NDArray[Any] = data[()]
    return values


def read_input(path: Path, n_lgn: int) -> NDArray[np.float32]:
    """What the LGN cells send, shape (trials, steps, n_lgn), from ``input_spikes``.

    Zeros and ones are spikes; anything else is analog input, numbers that enter the synapses.

    Raises
    ------
    InputError
        If there is none, or it is not that of this many cells.
    """
    with _opened(path) as file:
        if not isinstance(file.get(_INPUT), h5py.Dataset):
            seen = f"no dataset {_INPUT!r}, but {', '.join(sorted(file)) or 'nothing at all'}"
            raise InputError(
                seen, where=str(path), expected=f"{_INPUT} [trials, steps, {n_lgn} LGN cells]"
            )
        where, expected = f"{path}:/{_INPUT}", "spikes (0 or 1), or numbers that are not negative"
        values = _numbers(file[_INPUT], where, (None, None, n_lgn), expected).astype(np.float32)
    if not (np.isfinite(values).all() and values.min(initial=0) >= 0):
        raise InputError("values that are negative or not finite", where=where, expected=expected)
    return values


def truth_groups(path: Path) -> tuple[str, ...]:
    """Names of the groups that hold spikes ``z``, sorted.

    Raises
    ------
    InputError
        If there is none.
    """
    with _opened(path) as file:
        found = []

        def visit(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and name.rpartition("/")[2] == "z":
                found.append(name.rpartition("/")[0])

        file.visititems(visit)
    if not found:
        raise InputError(
            "no group holds spikes",
            where=str(path),
            expected="a dataset z [trials, steps, neurons], for example trained/no_background/z",
        )
    return tuple(sorted(found))


def read_ground_truth(path: Path, group: str, shape: tuple[int, int, int]) -> GroundTruth:
    """One group of a file.

    Parameters
    ----------
    path : Path
        The file.
    group : str
        One of `truth_groups`.
    shape : (int, int, int)
        Trials and steps of the input, neurons of the network.

    Raises
    ------
    InputError
        If the group is not of this shape, or does not say what its background was.
    """
    n_trials, n_steps, n_neurons = shape
    where = f"{path}:/{group}"
    with _opened(path) as file:
        node = file[group] if group else file
        spike = _numbers(node["z"], f"{where}/z", shape, "zeros and ones")
        if not np.isin(spike, (0, 1)).all():
            raise InputError(
                "values other than 0 and 1", where=f"{where}/z", expected="zeros and ones"
            )
        neuron = np.empty(0, dtype=np.int64)
        voltage = np.empty((n_trials, n_steps, 0), dtype=np.float32)
        ids = node.get("voltage_neuron_ids", file.get("voltage_neuron_ids"))
        if "voltage_mV" in node and ids is not None:
            neuron, voltage = ids[()].astype(np.int64), node["voltage_mV"][()].astype(np.float32)
            if voltage.shape != (n_trials, n_steps, len(neuron)) or not (
                neuron.size and neuron.min() >= 0 and neuron.max() < n_neurons
            ):
                seen = f"shape {voltage.shape} for {len(neuron)} neurons"
                raise InputError(seen, where=f"{where}/voltage_mV")
        draws = node["background"][()].astype(np.int64) if "background" in node else None
    if draws is not None:
        if draws.shape not in ((n_steps,), (n_trials, n_steps)):
            seen = f"shape {draws.shape}"
            raise InputError(seen, where=f"{where}/background", expected=f"{(n_trials, n_steps)}")
        draws = np.broadcast_to(draws, (n_trials, n_steps))
    background = "recorded" if draws is not None else _BACKGROUNDS.get(group.rpartition("/")[2])
    if background is None:
        raise InputError(
            "nothing says what drove the background weights",
            where=where,
            expected=f"a group named {' or '.join(_BACKGROUNDS)}, or a dataset 'background'",
        )
    return GroundTruth(group, background, spike.astype(bool), neuron, voltage, draws)
