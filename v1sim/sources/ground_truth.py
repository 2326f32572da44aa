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

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.files.hdf5 import GivenHdf5, given_hdf5

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


def _opened(path: Path) -> AbstractContextManager[GivenHdf5]:
    return given_hdf5(path, error=InputError, expected="spikes and voltages of another simulator")


def _numbers(
    file: GivenHdf5, name: str, shape: tuple[int | None, ...], expected: str, kinds: str = "biuf"
) -> NDArray[Any]:
    of_shape = f"{expected} of shape {tuple('any' if s is None else s for s in shape)}"
    return file.numbers(name, shape, kinds=kinds, expected=of_shape)


def read_input(path: Path, n_lgn: int) -> NDArray[np.float32]:
    """What the LGN cells send, shape (trials, steps, n_lgn), from ``input_spikes``.

    Zeros and ones are spikes; anything else is analog input, numbers that enter the synapses.

    Raises
    ------
    InputError
        If there is none, or it is not that of this many cells.
    """
    where, expected = f"{path}:/{_INPUT}", "spikes (0 or 1), or numbers that are not negative"
    with _opened(path) as file:
        values = _numbers(file, _INPUT, (None, None, n_lgn), expected).astype(np.float32)
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
        names = (name.rpartition("/") for name in file.datasets())
        found = [group for group, _, name in names if name == "z"]
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
    prefix = f"{group}/" if group else ""
    with _opened(path) as file:
        spike = _numbers(file, f"{prefix}z", shape, "zeros and ones")
        if not np.isin(spike, (0, 1)).all():
            raise InputError(
                "values other than 0 and 1", where=f"{where}/z", expected="zeros and ones"
            )
        neuron = np.empty(0, dtype=np.int64)
        voltage = np.empty((n_trials, n_steps, 0), dtype=np.float32)
        names = [n for n in (f"{prefix}voltage_neuron_ids", "voltage_neuron_ids") if file.has(n)]
        if names and file.has(f"{prefix}voltage_mV"):
            neuron = _numbers(file, names[0], (None,), "neurons", "iu").astype(np.int64)
            if not (neuron.size and neuron.min() >= 0 and neuron.max() < n_neurons):
                seen = f"{len(neuron)} neurons that are not all in the network"
                raise InputError(seen, where=f"{path}:/{names[0]}")
            of_voltages = (n_trials, n_steps, len(neuron))
            voltage = _numbers(file, f"{prefix}voltage_mV", of_voltages, "voltages").astype("f4")
        draws = None
        if file.has(f"{prefix}background"):
            drawn = file.dataset(f"{prefix}background")
            n_axes = (None,) * (1 if drawn is None else drawn.ndim)
            draws = _numbers(file, f"{prefix}background", n_axes, "draws", "biu").astype(np.int64)
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
