"""What DPointNet wrote of an inference, and what it was shown: spikes, voltages, input.

::

    /spikes/<population>/node_ids         [spikes]
                         timestamps       [spikes]  step * run.dt: the START of the step (NEST's
                                                    stamps are its end)
                         batch_num        [spikes]  where a batch has several trials
    /report/<population>/data             [steps, cells], or a group of batch_<i>: potential at the
                                                    end of each step, before the reset,
                                                    normalised: 0 is E_L, 1 is V_th
                         mapping/node_id  [cells]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError, StimulusError
from v1sim.files.hdf5 import GivenHdf5, given_hdf5
from v1sim.printable import printable
from v1sim.sources.dpointnet.config import DPointNetConfig
from v1sim.stimulus.spike_files import read_spike_file

__all__ = ["Voltages", "inference_steps", "read_inputs", "read_spikes", "read_voltages"]

I64 = NDArray[np.int64]

#: How far a stamp may be from a whole step, in steps.
_ROUNDING = 1e-3
#: What spikes_files adds to the spikes of its files at random.
_NOISE = ("background_noise_rate", "dropout_prob", "jitter_var")


@dataclass(frozen=True, eq=False)
class Voltages:
    """Normalised membrane potential ``v`` (trials, steps, m) of the neurons ``neuron`` (m,)."""

    neuron: I64
    v: NDArray[np.float32]


def inference_steps(document: Mapping[str, Any], where: str) -> int:
    """How many steps an inference has: its own ``seq_len``, the training's, or the run's.

    Raises
    ------
    InputError
        If none is a number of steps.
    """
    sections = [document.get(name) for name in ("inference", "training", "run")]
    for section in sections:
        first = section[0] if isinstance(section, list) and section else section
        if isinstance(first, Mapping) and first.get("seq_len"):
            n_steps = first["seq_len"]
            if isinstance(n_steps, int) and n_steps > 0:
                return n_steps
            raise InputError(f"seq_len is {n_steps!r}", where=where, expected="a number of steps")
    raise InputError("has no run.seq_len", where=where, expected="how many steps a trial has")


def read_spikes(
    path: Path, population: str, node_id: I64, n_steps: int, dt_ms: float
) -> NDArray[np.bool_]:
    """Spikes of an inference, shape (trials, steps, n).

    Parameters
    ----------
    path : Path
        DPointNet's file.
    population : str
        Name of the trained population.
    node_id : int array, shape (n,)
        Its ids, in the order of the network's neurons.
    n_steps : int
        Steps of a trial.
    dt_ms : float
        ``run.dt``: what stamps are multiples of.

    Raises
    ------
    InputError
        If it cannot be read, or spikes are of other cells, between steps or after the end.
    """
    group = f"spikes/{population}"
    with given_hdf5(path, error=InputError, expected="spikes that DPointNet wrote") as file:
        if not file.is_group(group):
            raise InputError(
                f"has no spikes of {printable(population)}",
                where=str(path),
                expected=f"/{group}: the population that the network was read from",
                hint=f"there are {file.listed('spikes')}" if file.is_group("spikes") else None,
            )
        expected = "one id, stamp and trial a spike"
        stamp_ms = file.numbers(f"{group}/timestamps", (None,), expected=expected)
        shape = (len(stamp_ms),)
        node = file.numbers(f"{group}/node_ids", shape, kinds="iu", expected=expected)
        trial = np.zeros(len(node), dtype=np.int64)
        if file.has(f"{group}/batch_num"):
            trial = file.numbers(f"{group}/batch_num", shape, kinds="iu", expected=expected)
    where = f"{path}:/{group}"
    steps = stamp_ms.astype(np.float64) / dt_ms
    step = np.rint(steps)
    if not (np.abs(steps - step) < _ROUNDING).all():
        raise InputError(
            f"stamps between steps of {dt_ms:g} ms, for example "
            f"{stamp_ms[np.argmax(np.abs(steps - step))]:g} ms",
            where=where,
            expected="multiples of run.dt, as DPointNet writes them",
        )
    if len(step) and (step.min() < 0 or step.max() >= n_steps):
        raise InputError(
            f"spikes from step {step.min():g} to {step.max():g}",
            where=where,
            expected=f"steps 0 to {n_steps - 1} of this configuration",
        )
    neuron = _row_of_written(node.astype(np.int64), node_id, where)
    spike = np.zeros((int(trial.max(initial=0)) + 1, n_steps, len(node_id)), dtype=bool)
    spike[trial.astype(np.int64), step.astype(np.int64), neuron] = True
    return spike


def read_voltages(
    path: Path, population: str, node_id: I64, n_trials: int, n_steps: int
) -> Voltages:
    """Normalised voltages of an inference; parameters and errors as `read_spikes`."""
    group = f"report/{population}"
    with given_hdf5(path, error=InputError, expected="voltages that DPointNet wrote") as file:
        node = file.numbers(
            f"{group}/mapping/node_id", (None,), kinds="iu", expected="the id of each column"
        )
        expected = f"{n_steps} steps of {len(node)} cells"
        names = [f"{group}/data"]
        if file.is_group(f"{group}/data"):
            names = [f"{group}/data/batch_{trial}" for trial in range(n_trials)]
        elif n_trials > 1:
            raise InputError(
                "has the voltages of one trial", where=str(path), expected=f"those of {n_trials}"
            )
        v = np.stack([_columns(file, name, (n_steps, len(node)), expected) for name in names])
    return Voltages(_row_of_written(node.astype(np.int64), node_id, f"{path}:/{group}"), v)


def _columns(
    file: GivenHdf5, name: str, shape: tuple[int, int], expected: str
) -> NDArray[np.float32]:
    return file.numbers(name, shape, kinds="f", expected=expected).astype(np.float32)


def read_inputs(
    config: DPointNetConfig,
    populations: Mapping[str, I64],
    n_steps: int,
    replayed: Sequence[Path] = (),
) -> dict[str, NDArray[np.int32]]:
    """How many spikes each cell of each source population sends in each step, (steps, cells).

    Files that the configuration names are taken as its module spikes_files takes them: a spike at t
    acts in step floor(t / ms), several in a step count once. Input that is drawn stands in no
    file; recorded, it is replayed, and then several in a step count as often.

    Parameters
    ----------
    config : DPointNetConfig
        Names the files.
    populations : mapping of str to int array
        Ids of the cells of each source population.
    n_steps : int
        Steps of a trial.
    replayed : sequence of Path, optional
        SONATA files of recorded spikes, in place of what the configuration names.

    Raises
    ------
    InputError
        If what a population sends cannot be known, or its spikes cannot be read.
    """
    given: dict[str, list[Path]] = {name: [] for name in populations}
    for path in replayed:
        for name in _populations_of(path, set(populations)):
            given[name].append(path)
    counts = {}
    for name, node_id in populations.items():
        if given[name]:
            counts[name] = sum(
                (_counted(path, name, node_id, n_steps) for path in given[name]),
                start=np.zeros((n_steps, len(node_id)), dtype=np.int32),
            )
        else:
            # It takes ids for rows, whatever ids the nodes have.
            path, rows = _only_file(config, name), np.arange(len(node_id), dtype=np.int64)
            counts[name] = np.minimum(_counted(path, name, rows, n_steps), 1)
    return counts


def _populations_of(path: Path, known: set[str]) -> list[str]:
    expected = f"spikes of {', '.join(map(printable, sorted(known)))}: /spikes/NAME"
    with given_hdf5(path, error=InputError, expected=expected) as file:
        there = file.names("spikes") if file.is_group("spikes") else []
    names = sorted(known & set(there))
    if not names:
        raise InputError(
            f"has spikes of {', '.join(map(printable, there)) or 'nobody'}",
            where=str(path),
            expected=expected,
        )
    return names


def _only_file(config: DPointNetConfig, population: str) -> Path:
    """The one file that the configuration names for a population."""
    given, where = config.input_of(population), f"{config.path}: inputs"
    hint = "record what the inference was shown and give it: --spikes FILE (SONATA)"
    noise = [name for name in _NOISE if given.options.get(name)]
    if given.module != "spikes_files" or noise:
        how = given.module or "nothing"
        raise InputError(
            f"what {printable(population)} sends is drawn ({printable(', '.join([how, *noise]))}) "
            "and stands in no file"
            if given.module
            else f"nothing says what {printable(population)} sends",
            where=where,
            expected="spikes_files without noise, or recorded spikes",
            hint=hint,
        )
    paths = sorted({path for pattern in given.spikes_paths for path in _matching(pattern)})
    if len(paths) != 1:
        named = ", ".join(printable(str(p)) for p in given.spikes_paths)
        raise InputError(
            f"{len(paths)} files for {printable(population)}: {named}",
            where=where,
            expected="one: of several, DPointNet takes one at random each time",
            hint=hint if paths else "check the path: it is relative to the configuration",
        )
    return paths[0]


def _matching(pattern: Path) -> list[Path]:
    """Files that an absolute pattern names, as BMTK's glob finds them."""
    return list(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))


def _counted(path: Path, population: str, node_id: I64, n_steps: int) -> NDArray[np.int32]:
    try:
        spikes = read_spike_file(path, population, key="--spikes")
    except StimulusError:
        spikes = read_spike_file(path, None, key="--spikes")  # the only one, whatever its name
    step = np.floor(spikes.time * (spikes.unit_ms or 1.0)).astype(np.int64)
    if len(step) and (step.min() < 0 or step.max() >= n_steps):
        raise InputError(
            f"spikes from step {step.min()} to {step.max()}",
            where=spikes.where,
            expected=f"steps 0 to {n_steps - 1}: DPointNet refuses others",
        )
    counts = np.zeros((n_steps, len(node_id)), dtype=np.int32)
    np.add.at(counts, (step, _index_of(spikes.node, node_id, spikes.where)), 1)
    return counts


def _row_of_written(node: I64, node_id: I64, where: str) -> I64:
    """Neurons by the ids that DPointNet writes.

    Where ids are not the rows of their file, it writes the row of a node whose id is the row that
    is meant (``tf2bmtk_id_map`` looks up the wrong way round).
    """
    index = _index_of(node, node_id, where)
    if not np.array_equal(np.sort(node_id), np.arange(len(node_id))):
        return index
    row: I64 = node_id[node]
    return row


def _index_of(node: I64, node_id: I64, where: str) -> I64:
    order = np.argsort(node_id)
    at = np.searchsorted(node_id[order], node)
    at = np.minimum(at, max(len(node_id) - 1, 0))
    known = node_id[order][at] == node if len(node_id) else np.zeros(len(node), dtype=bool)
    if not known.all():
        raise InputError(
            f"{int((~known).sum()):,} of {len(node):,} are of nodes that are not in the network, "
            f"for example {int(node[~known][0])}",
            where=where,
            expected="ids of the network's population",
        )
    index: I64 = order[at]
    return index
