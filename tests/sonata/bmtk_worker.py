"""Runs circuits with BMTK's PointNet, one after another, in a process of its own.

Reads a line of JSON a circuit from standard input (``config``, ``spikes``: where to write), and
answers each with a line: ``{"n": ...}`` or ``{"error": ...}``. NEST starts once, as it takes longer
to start than a small circuit takes to run; PointSimulator resets its kernel for each.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


def _register_weight_functions() -> None:
    """Those that users' run scripts define, as the models that are published have them."""
    from bmtk.simulator.pointnet.pyfunction_cache import add_weight_function

    def direction_others(edges: Any, source: Any, target: Any) -> Any:
        delta = np.abs(source["tuning_angle"].values - target["tuning_angle"].values) % 360.0
        delta = np.where(delta > 180.0, 360.0 - delta, delta)
        factor = np.exp(-((delta / edges["weight_sigma"].values) ** 2))
        return edges["syn_weight"].values * edges["nsyns"].values * factor

    def direction_ee(edges: Any, source: Any, target: Any) -> Any:
        source_angle, angle = source["tuning_angle"].values, target["tuning_angle"].values
        delta = np.abs(source_angle - angle) % 360.0
        delta = np.where(delta > 180.0, 360.0 - delta, delta)
        like = np.exp(-((delta / edges["weight_sigma"].values) ** 2))
        dx = target["x"].values - source["x"].values
        dz = target["z"].values - source["z"].values
        radians = np.deg2rad(angle)
        x = np.abs(0.07 * dx * np.cos(radians) + 0.04 * dz * np.sin(radians))
        h = np.abs(angle) % 180.0
        h = np.where(h > 90.0, 180.0 - h, h)
        place = np.exp(-(x**2) / 2) * (5.5 / 4 - 11 / 1680 * h)
        return place * like * edges["syn_weight"].values * edges["nsyns"].values

    def syn_weight_alone(edges: Any, source: Any, target: Any) -> Any:
        return edges["syn_weight"].values

    add_weight_function(direction_others, "DirectionRule_others", overwrite=True)
    add_weight_function(direction_ee, "DirectionRule_EE", overwrite=True)
    for where in ("recurrent", "lgn", "bkg"):
        add_weight_function(syn_weight_alone, f"weight_function_{where}", overwrite=True)
    for where in ("lgn", "bkg"):
        add_weight_function(syn_weight_alone, f"ConstantMultiplier_{where}", overwrite=True)


def run(config_path: str, spikes_path: str) -> int:
    """Run one circuit; leaves population, node id and time of each spike in an npz archive."""
    from bmtk.simulator import pointnet

    os.chdir(Path(config_path).parent)
    config = pointnet.Config.from_json(config_path)
    config.build_env()
    network = pointnet.PointNetwork.from_config(config)
    simulator = pointnet.PointSimulator.from_config(config, network)
    simulator.run()
    written = Path(config["output"]["output_dir"]) / "spikes.h5"
    population, node_id, time_ms = _spikes_of(written)
    np.savez(spikes_path, population=population, node_id=node_id, time_ms=time_ms)
    return len(time_ms)


def _spikes_of(path: Path) -> tuple[Any, Any, Any]:
    import h5py

    populations, ids, times = [np.empty(0, dtype="U1")], [np.empty(0, int)], [np.empty(0)]
    if path.exists():
        with h5py.File(path) as file:
            for name, group in file["spikes"].items():
                if "timestamps" not in group:
                    continue
                populations.append(np.full(len(group["timestamps"]), name))
                ids.append(group["node_ids"][:].astype(int))
                times.append(group["timestamps"][:])
    return np.concatenate(populations), np.concatenate(ids), np.concatenate(times)


def _in_words(error: BaseException) -> str:
    """The error and what it hides: BMTK's handling of NEST's errors fails itself on NEST 3.10."""
    text = f"{type(error).__name__}: {error}"
    hidden = error.__context__
    return text if hidden is None else f"{text} (hides {type(hidden).__name__}: {hidden})"


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")  # NEST and BMTK print to standard output
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    import logging

    logging.disable(logging.CRITICAL)
    import nest

    nest.set_verbosity("M_QUIET")
    _register_weight_functions()
    for line in sys.stdin:
        task = json.loads(line)
        try:
            answer: dict[str, Any] = {"n": run(task["config"], task["spikes"])}
        except BaseException as error:
            answer = {"error": _in_words(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
