"""A run from a SONATA simulation configuration: the same as one from YAML, from there on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import ConfigError, NetworkFileError
from v1sim.files.identify import printable
from v1sim.sources.sonata.config import SonataConfig, SonataInput, SonataReport, read_config
from v1sim.sources.sonata.node_sets import NodeSets

__all__ = ["sonata_run"]

_log = logging.getLogger("v1sim")

#: Modules of BMTK's that record membrane potentials.
_V_M_REPORTS = ("membrane_report", "multimeter", "multimeter_report")
#: The one variable of theirs that is recorded here.
_V_M = "V_m"
#: Keys of an input of spikes that say how its file is to be read.
_OF_FILE = ("population", "trial")


def sonata_run(path: Path) -> dict[str, Any]:
    """The values of a run's configuration (`v1sim.config.RunConfig`) that a SONATA file describes.

    Parameters
    ----------
    path : Path
        A simulation configuration, or one that names it.

    Raises
    ------
    NetworkFileError, ConfigError
        If it cannot be read, is a circuit alone, or asks for what v1sim does not simulate.
    """
    config = read_config(path)
    run = config.run
    if run is None or run.duration_ms is None:
        raise ConfigError(
            "a circuit alone: nothing says how long it is to be simulated"
            if run is None
            else "run has neither tstop nor duration",
            where=str(path),
            expected="a SONATA simulation configuration with run.tstop",
            hint=f"a YAML file with network: {printable(path.name)} and a stimulus of v1sim, or "
            "the simulation configuration",
        )
    _refuse_what_runs_otherwise(config)
    node_sets = NodeSets(config)
    inputs, currents = _inputs(config, node_sets)
    values: dict[str, Any] = {
        "name": _run_name(path, config),
        "network": str(path.absolute()),
        # SONATA has no place for a proof of training: the report says that nothing tells.
        "require": "any",
        "stimulus": {"kind": "given_spikes", "duration_ms": run.duration_ms},
        "inputs": inputs,
        "currents": currents,
        "simulation": {"dynamics": "nest"},
        "recording": {"reports": _reports(config, node_sets)},
        "output": str(_output_folder(config)),
    }
    if run.dt_ms is not None:
        values["simulation"]["dt_ms"] = run.dt_ms
    if run.n_threads is not None:
        values["simulation"]["threads"] = run.n_threads
    return values


def _refuse_what_runs_otherwise(config: SonataConfig) -> None:
    """Keys that make BMTK run something else than one simulation from 0 on."""
    assert config.run is not None
    raw = config.run.raw
    others = {
        "n_runs": raw.get("n_runs", 1) not in (None, 1),
        "tstart": bool(raw.get("tstart", 0.0)),
        "start_from_state": bool(raw.get("start_from_state")),
    }
    for key, asked in others.items():
        if asked:
            raise ConfigError(
                f"run.{key} is {printable(raw[key])}",
                where=str(config.path),
                expected="one simulation that begins at 0 ms",
                hint="several trials: stimulus.trials in a YAML file, or --set stimulus.trials=2",
            )


def _run_name(path: Path, config: SonataConfig) -> str:
    """The folder's name where the file has one that all have, otherwise the file's."""
    stem = path.absolute().stem
    name = path.absolute().parent.name if stem.startswith(("config", "simulation")) else stem
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return kept.lstrip("._-")[:100] or "run"


def _output_folder(config: SonataConfig) -> Path:
    folder = config.output.get("output_dir")
    return Path(folder) if isinstance(folder, str) and folder else Path("runs")


def _ids(ids: NDArray[np.int64] | None) -> list[int] | None:
    return None if ids is None else ids.tolist()


def _inputs(
    config: SonataConfig, node_sets: NodeSets
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """``inputs`` and ``currents`` of the run."""
    feeds: dict[str, list[dict[str, Any]]] = {}
    silent: set[str] = set()
    currents = []
    for given in config.inputs:
        where = f"{config.path}: inputs.{printable(given.name)}"
        if given.input_type == "spikes":
            if not given.enabled:
                silent |= _silenced(given, node_sets, where)
                continue
            chosen = node_sets.chosen(_node_set(given, where), where, virtual=True)
            for population, ids in chosen.items():
                feeds.setdefault(population, []).append(_feed(given, _ids(ids), where))
        elif given.enabled and given.module == "IClamp":
            chosen = node_sets.chosen(given.node_set or "all", where, virtual=False)
            currents.append(_clamp(given, chosen, where))
        elif given.enabled:
            raise ConfigError(
                f"input_type {printable(given.input_type)!r} with the module "
                f"{printable(given.module)!r} is not simulated",
                where=where,
                expected="spikes with sonata, h5, csv or nwb; current_clamp with IClamp",
                hint="enabled: false leaves it out",
            )
    inputs: dict[str, Any] = dict.fromkeys(silent, "silent")
    inputs |= {name: parts[0] if len(parts) == 1 else parts for name, parts in feeds.items()}
    return inputs, currents


def _silenced(given: SonataInput, node_sets: NodeSets, where: str) -> set[str]:
    """The populations that an input which is switched off would have fed."""
    try:
        return set(node_sets.chosen(given.node_set, where, virtual=True))
    except NetworkFileError:  # nobody asks for what it names
        return set()


def _node_set(given: SonataInput, where: str) -> Any:
    if given.node_set is None:
        raise ConfigError(
            "no node_set",
            where=where,
            expected="the population that gets the spikes",
        )
    return given.node_set


def _feed(given: SonataInput, ids: list[int] | None, where: str) -> dict[str, Any]:
    """One input of spikes as `v1sim.stimulus.feeds.SpikesOf`."""
    if len(given.input_file) != 1:
        seen = f"{len(given.input_file)} files" if given.input_file else "no input_file"
        raise ConfigError(
            seen,
            where=where,
            expected="one file of spikes",
            hint="BMTK takes one of several for each of n_runs; put them into one file"
            if given.input_file
            else None,
        )
    if given.raw.get("use_parrot_neurons"):
        raise ConfigError(
            "use_parrot_neurons: every spike would be a step later",
            where=where,
            expected="spikes that go to the synapses as they are",
        )
    feed: dict[str, Any] = {"file": str(given.input_file[0])}
    feed |= {key: str(given.raw[key]) for key in _OF_FILE if given.raw.get(key) is not None}
    if ids is not None:
        feed["nodes"] = ids
    return feed


def _clamp(
    given: SonataInput, chosen: Mapping[str, NDArray[np.int64] | None], where: str
) -> dict[str, Any]:
    """A current as `v1sim.config.CurrentClamp`."""
    if given.input_type != "current_clamp":
        raise ConfigError(
            f"a current from input_type {printable(given.input_type)!r}",
            where=where,
            expected="input_type: current_clamp with amp, delay and duration",
            hint="write the amplitudes out as lists of amp, delay and duration",
        )
    missing = [key for key in ("amp", "delay", "duration") if key not in given.raw]
    if missing:
        raise ConfigError(
            f"no {', '.join(missing)}", where=where, expected="amp in pA, delay and duration in ms"
        )
    return {
        "cells": {name: "all" if ids is None else ids.tolist() for name, ids in chosen.items()},
        "amp_pa": _numbers(given.raw["amp"]),
        "delay_ms": _numbers(given.raw["delay"]),
        "duration_ms": _numbers(given.raw["duration"]),
    }


def _numbers(value: Any) -> Any:
    """A number or a list of them, whole ones as floats; what is neither stays for the messages."""
    values = value if isinstance(value, list) else [value]
    return [float(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in values]


def _reports(config: SonataConfig, node_sets: NodeSets) -> dict[str, Any]:
    """``recording.reports`` of the run: those of membrane potentials."""
    found: dict[str, Any] = {}
    for report in config.reports:
        where = f"{config.path}: reports.{printable(report.name)}"
        if not report.enabled or report.module == "spikes_report":
            continue
        variables = report.variable_name
        names = (variables,) if isinstance(variables, str) else variables
        if report.module not in _V_M_REPORTS or set(names) != {_V_M}:
            raise ConfigError(
                f"the module {printable(report.module)!r} with {printable(', '.join(names))}",
                where=where,
                expected=f"membrane_report of {_V_M}",
                hint="enabled: false leaves it out",
            )
        chosen = node_sets.chosen(report.cells, where, virtual=False)
        found[_report_name(report)] = {
            "cells": {n: "all" if ids is None else ids.tolist() for n, ids in chosen.items()},
            **_report_times(report),
        }
    return found


def _report_name(report: SonataReport) -> str:
    given = report.raw.get("file_name")
    name = Path(given).name if isinstance(given, str) and given else report.name
    return name.removesuffix(".h5").removesuffix(".hdf5")


def _report_times(report: SonataReport) -> dict[str, Any]:
    keys = {
        "interval": "interval_ms",
        "dt": "interval_ms",
        "tstart": "start_ms",
        "tstop": "stop_ms",
    }
    given = {ours: report.raw[key] for key, ours in keys.items() if report.raw.get(key) is not None}
    return {key: float(v) if isinstance(v, int) else v for key, v in given.items()}
