"""Files of spikes of the LGN or another source population, in the layouts that are in use.

======================================== ======================================================
SONATA (HDF5)                            ``/spikes/<population>/{node_ids, timestamps}``
SONATA, older (HDF5)                     ``/spikes/{gids, timestamps}``
BMTK's table (.csv)                      columns ``timestamps``, ``node_ids`` and ``population``
NWB 2 (.nwb)                             ``/units``, whose times are s; ms where BMTK wrote it
NWB 1 (.nwb), as BMTK reads it           ``/processing/<trial>/spike_train/<id>/data``, in ms
dense (HDF5 or .npy)                     0 and 1, [ms, cells] or [pieces, ms, cells]
======================================== ======================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import StimulusError
from v1sim.files.hdf5 import GivenHdf5, given_hdf5
from v1sim.files.identify import printable
from v1sim.files.numpy_array import read_array
from v1sim.files.table import read_table
from v1sim.units import MODEL_STEP_MS

__all__ = ["SpikeFile", "read_spike_file"]

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

_EXPECTED = (
    "spikes: a SONATA spike file, BMTK's .csv, NWB, or zeros and ones [ms, cells] in HDF5 or .npy"
)
#: Names that columns of a table have had.
_NODES = ("node_ids", "node_id", "gids", "gid")
_TIMES = ("timestamps", "timestamp", "times", "time")
#: Names that columns of NWB's units have had: BMTK's and v1sim's.
_NWB_POPULATION, _NWB_NODES = ("population", "source"), ("node_id", "neuron", "id")
#: How BMTK describes the NWB files that it writes.
_BY_BMTK = "BMTK"
#: Datasets of zeros and ones that programs write.
_DENSE = ("spike_trains", "input_spikes", "spikes")
#: Units of an attribute, in ms.
_UNITS_MS = {
    **dict.fromkeys(("milliseconds", "millisecond", "ms", "msec"), 1.0),
    **dict.fromkeys(("seconds", "second", "s", "sec"), 1000.0),
    **dict.fromkeys(("microseconds", "microsecond", "us"), 0.001),
}


@dataclass(frozen=True, eq=False)
class SpikeFile:
    """What a file says: ``node`` and ``time`` (q,), and what a unit of time is in ms.

    ``unit_ms`` is None where the file does not say it; then milliseconds are meant, as SONATA has
    them.
    """

    node: I64
    time: F64
    unit_ms: float | None
    where: str


@dataclass(frozen=True)
class _Wanted:
    """What is wanted of a file (see `read_spike_file`)."""

    population: str | None
    key: str
    trial: str | None
    unit: str | None


def read_spike_file(
    path: Path,
    population: str | None,
    *,
    key: str = "stimulus",
    trial: str | None = None,
    unit: str | None = None,
) -> SpikeFile:
    """Read a file of spikes.

    Parameters
    ----------
    path : Path
        The file.
    population : str, optional
        Which population; may be left out where the file has but one.
    key : str, optional
        Where the configuration names the file, for hints.
    trial : str, optional
        Which one of an NWB 1 file that has several.
    unit : str, optional
        What times are in, whatever the file says: "milliseconds" or "seconds".

    Raises
    ------
    StimulusError
        If it cannot be read, is something else, or has several populations.
    """
    wanted = _Wanted(population, key, trial, unit)
    if path.suffix.lower() in (".csv", ".txt", ".tsv"):
        return _of_table(path, wanted)
    if path.suffix.lower() == ".npy":
        values = read_array(path, error=StimulusError, expected=_EXPECTED)
        return _of_dense(values, str(path))
    with given_hdf5(path, error=StimulusError, expected=_EXPECTED) as file:
        if file.is_group("units"):
            return _of_nwb_units(file, wanted)
        if file.is_group("processing") and not file.has("spikes"):
            return _of_nwb_1(file, wanted)
        return _of_hdf5(file, wanted)


def _of_hdf5(file: GivenHdf5, wanted: _Wanted) -> SpikeFile:
    for name in _DENSE:
        data = file.dataset(name)
        if data is not None:
            if data.ndim not in (2, 3) or data.dtype.kind not in "biuf":
                seen = f"shape {data.shape} of {data.dtype}"
                raise StimulusError(
                    seen, where=file.where(name), expected="zeros and ones [ms, cells]"
                )
            return _of_dense(file.read(data), file.where(name))
    for node_name in ("gids", "node_ids"):
        if file.has(f"spikes/{node_name}"):
            return _of_group(file, "spikes", node_name, wanted)
    names = [name for name in file.names("spikes") if file.is_group(f"spikes/{name}")]
    if not names:
        raise file.missing("spikes")
    name = _chosen(names, file.where("spikes"), wanted)
    group = f"spikes/{name}"
    return _of_group(file, group, "gids" if file.has(f"{group}/gids") else "node_ids", wanted)


def _of_nwb_units(file: GivenHdf5, wanted: _Wanted) -> SpikeFile:
    """The table of units of NWB 2: one row a cell, its spikes up to its place in an index."""
    expected = "NWB's table of units"
    time = file.numbers("units/spike_times", (None,), kinds="f", expected=expected)
    index = file.numbers("units/spike_times_index", (None,), kinds="iu", expected=expected)
    stops = index.astype(np.int64)
    counts = stops - np.concatenate([[0], stops[:-1]]).astype(np.int64)
    if (counts < 0).any() or (len(stops) and int(stops[-1]) != len(time)):
        seen = f"spike_times_index does not divide the {len(time):,} times"
        raise StimulusError(seen, where=file.where("units"), expected=expected)
    name = next(name for name in (*_NWB_NODES, "") if not name or file.has(f"units/{name}"))
    node = file.numbers(f"units/{name}", (len(stops),), kinds="iu", expected="an id a unit")
    chosen = np.ones(len(stops), dtype=bool)
    column = next((c for c in _NWB_POPULATION if file.has(f"units/{c}")), None)
    if column is not None:
        of_unit = np.array(file.texts(f"units/{column}"))
        names = np.unique(of_unit).tolist()
        if names:
            chosen = of_unit == _chosen(names, file.where(f"units/{column}"), wanted)
    description = file.text("session_description")
    in_ms = description is not None and description.startswith(_BY_BMTK)
    kept = np.repeat(chosen, counts)
    return _spikes(
        np.repeat(node, counts)[kept],
        time[kept],
        _unit_ms("ms" if in_ms else "s", file.where("units"), wanted),
        file.where("units"),
    )


def _of_nwb_1(file: GivenHdf5, wanted: _Wanted) -> SpikeFile:
    """What BMTK reads as NWB: a group a cell, of one of the trials."""
    expected = "NWB 1: /processing/<trial>/spike_train/<node id>/data"
    trials = file.names("processing")
    name = wanted.trial or (trials[0] if len(trials) == 1 else None)
    if name not in trials:
        raise StimulusError(
            f"no trial {name!r}" if name else f"{len(trials)} trials",
            where=file.where("processing"),
            expected=f"one of {', '.join(map(printable, trials[:12]))}",
            hint=f"--set {wanted.key}.trial=NAME",
        )
    group = f"processing/{name}/spike_train"
    cells = file.names(group)
    if any(not cell.isdecimal() for cell in cells):
        raise StimulusError(
            "names that are no node ids", where=file.where(group), expected=expected
        )
    units = {file.text_attribute(f"{group}/{cell}/data", "unit") for cell in cells}
    units_ms = {_unit_ms(unit, file.where(group), wanted) for unit in units}
    if len(units_ms) > 1:
        raise StimulusError(
            "cells whose times are in different units", where=file.where(group), expected=expected
        )
    trains = [file.numbers(f"{group}/{cell}/data", (None,), expected=expected) for cell in cells]
    counts = [len(train) for train in trains]
    node = np.repeat(np.array(cells, dtype=np.int64), counts)
    time = np.concatenate([np.empty(0), *trains])
    return _spikes(node, time, units_ms.pop() if units_ms else None, file.where(group))


def _chosen(names: list[str], where: str, wanted: _Wanted) -> str:
    """The population that is meant."""
    name = wanted.population or (names[0] if len(names) == 1 else None)
    if name not in names:
        raise StimulusError(
            f"no population {name!r}" if name else f"{len(names)} populations",
            where=where,
            expected=f"one of {', '.join(map(printable, names))}",
            hint=f"--set {wanted.key}.population={printable(names[0])}",
        )
    return name


def _of_group(file: GivenHdf5, group: str, node_name: str, wanted: _Wanted) -> SpikeFile:
    """Two columns of a group."""
    expected = "one id a timestamp"
    node = file.numbers(f"{group}/{node_name}", (None,), kinds="iu", expected=expected)
    time = file.numbers(f"{group}/timestamps", (None,), expected=expected)
    unit = file.text_attribute(f"{group}/timestamps", "units")
    unit = unit or file.text_attribute(group, "units")
    return _spikes(node, time, _unit_ms(unit, file.where(group), wanted), file.where(group))


def _unit_ms(unit: str | None, where: str, wanted: _Wanted) -> float | None:
    """A unit of time in ms; None where the file does not say one."""
    unit = wanted.unit or unit
    if unit is None:
        return None
    if unit.strip().lower() not in _UNITS_MS:
        raise StimulusError(
            f"timestamps in {printable(unit)!r}",
            where=where,
            expected="milliseconds or seconds",
            hint=f"say what they are: --set {wanted.key}.unit=milliseconds, or seconds",
        )
    return _UNITS_MS[unit.strip().lower()]


def _spikes(
    node: NDArray[np.generic], time: NDArray[np.generic], unit_ms: float | None, where: str
) -> SpikeFile:
    if node.shape != time.shape:
        seen = f"{len(node):,} ids beside {len(time):,} timestamps"
        raise StimulusError(seen, where=where, expected="one id a timestamp")
    if node.size and not -(1 << 62) < int(node.min()) <= int(node.max()) < 1 << 62:
        raise StimulusError(f"a node id of {node.max()}", where=where, expected="ids of cells")
    return SpikeFile(node.astype(np.int64), time.astype(np.float64), unit_ms, where)


def _of_table(path: Path, wanted: _Wanted) -> SpikeFile:
    """BMTK's table, with or without a column of populations."""
    table = read_table(path, error=StimulusError, expected=_EXPECTED)
    node_name, time_name = (
        next((name for name in names if name in table.names), None) for names in (_NODES, _TIMES)
    )
    if node_name is None or time_name is None:
        raise StimulusError(
            f"columns {', '.join(map(printable, table.names[:12]))}",
            where=str(path),
            expected="columns timestamps and node_ids (and population), separated by one sign",
        )
    node, time = table.numbers(node_name), table.numbers(time_name)
    if not (np.isfinite(node) & (node == np.floor(node))).all():
        raise StimulusError("node ids that are no whole numbers", where=str(path))
    chosen = slice(None)
    if "population" in table.names:
        of_spike = table.texts("population")
        names = np.unique(of_spike).tolist()
        if names:
            chosen = of_spike == _chosen(names, str(path), wanted)
    return _spikes(
        node.astype(np.int64)[chosen], time[chosen], _unit_ms(None, str(path), wanted), str(path)
    )


def _of_dense(values: NDArray[np.generic], where: str) -> SpikeFile:
    """Zeros and ones [ms, cells] or [pieces, ms, cells]: the pieces follow each other."""
    if values.ndim not in (2, 3) or values.dtype.kind not in "biuf" or not values.size:
        seen = f"shape {values.shape} of {values.dtype}"
        raise StimulusError(seen, where=where, expected="zeros and ones [ms, cells]")
    spike = values.reshape(-1, values.shape[-1])
    if not ((spike == 0) | (spike == 1)).all():
        raise StimulusError(
            f"values from {spike.min():g} to {spike.max():g}",
            where=where,
            expected="zeros and ones: spikes",
            hint="rates in Hz are stimulus.kind: rates, probabilities stimulus.kind: probabilities",
        )
    step, node = np.nonzero(spike)
    return SpikeFile(
        node.astype(np.int64), step.astype(np.float64) * MODEL_STEP_MS, MODEL_STEP_MS, where
    )
