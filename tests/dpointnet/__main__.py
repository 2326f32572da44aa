"""The judge of DPointNet's dynamics: its spikes against NEST's, each one, over many circuits.

    python -m tests.dpointnet [--n N] [--circuit NAME ...] [--folder FOLDER] [--json FILE]

Every circuit is made with BMTK's NetworkBuilder, trained by DPointNet for a few steps and run there
on inputs until there are --n spikes over all circuits; then it is converted, and NEST runs the same
inputs. Two networks of each: one of the edges files that DPointNet exports, in pA, as users have
them, and one with the weights that its cell held, which export rounds.

    float32      weights inside the cell, training_float32: spikes that differ, and how many of the
                 voltages are equal in every bit
    float64      weights inside the cell, training
    exported     weights of the exported files, training
    trials       of the two: how many have a spike that differs. One that rounding moves makes the
                 trial another one from there on, so that differences come by trials
    margin       of the two: the largest distance of a neuron from threshold, in float64, where a
                 trial first differs, as a part of V_th - E_L. float32 cannot tell 1e-5 apart

Exit code 1 where a spike differs in float32, or in the others by more than rounding.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.dpointnet.maker import DEFAULTS
from tests.networks import DRAFT
from v1sim import verification
from v1sim.conversion.dpointnet import DPointNetTraining, open_training
from v1sim.model import NetworkModel
from v1sim.simulation.reference import in_mv
from v1sim.sources.ground_truth import GroundTruth

ROOT = Path(__file__).resolve().parents[2]
#: Distance from threshold below which float32's rounding decides, as a part of V_th - E_L.
ROUNDING = 1e-5

#: What all circuits of the judge have: hundreds of cells that spike irregularly.
BASE: dict[str, Any] = {
    "n": {"e": 240, "i": 60, "lgn": 60, "bkg": 8},
    "steps": 400,
    "chance": 0.06,
    "weight_pa": [10, 40],
    "lgn_pa": [4, 14],
    "bkg_pa": [10, 30],
    "epochs": 1,
    "steps_per_epoch": 2,
}
_SEVERAL = {
    "e2e": [0.7, 0.0, 0.3, 0.0],
    "i2e": [0.1, 1.0, 0.0, -0.2],
    "e2i": [0.0, 0.0, 1.2, -0.4],
    "i2i": [-0.1, 0.4, 0.0, 0.9],
}
_SIX = {
    "e2e": [0.5, 0.0, 0.3, 0.0, 0.2, -0.05],
    "i2e": [0.0, 1.0, 0.0, -0.2, 0.0, 0.3],
    "e2i": [0.0, 0.0, 1.2, -0.4, 0.1, 0.0],
    "i2i": [-0.1, 0.4, 0.0, 0.9, 0.0, 0.0],
}
_TWO = {"e2e": [1, 0], "i2e": [0, 1], "e2i": [0.8, 0.2], "i2i": [0, 1]}
#: What each circuit has in addition.
CIRCUITS: dict[str, dict[str, Any]] = {
    "subtractive": {"seed": 1},
    "hard": {"seed": 2, "rnn": {"hard_reset": True}},
    "several factors": {"seed": 3, "factors": _SEVERAL, "optimizer": {"name": "adam"}},
    "six basis functions, hard": {
        "seed": 4,
        "tau_basis": [5.5, 8.5, 2.8, 5.8, 20.0, 1.2],
        "factors": _SIX,
        "factors_in": "json",
        "rnn": {"hard_reset": True},
    },
    "two basis functions": {
        "seed": 5,
        "tau_basis": [4.0, 9.0],
        "factors": _TWO,
        "factors_in": "json",
        "optimizer": {"name": "sgd"},
        "learning_rate": 0.001,
    },
    "delays of edges": {
        "seed": 6,
        "delay_of_edges": True,
        "synapses": {"e2i": 1, "i2e": 1},  # of one pair none could be told apart
        "rnn": {"max_delay": 12},
    },
    "drawn input": {
        "seed": 7,
        "inputs": {
            "lgn": {"module": "random", "firing_rate": 60.0},
            "bkg": {"module": "poisson_spikes", "firing_rate": 300.0, "trainable": True},
        },
    },
    "background inside, hard": {
        "seed": 8,
        "inputs": {
            "lgn": {"module": "spikes_files"},
            "bkg": {
                "module": "poisson_spikes_internal",
                "firing_rate": 250.0,
                "trainable": True,
            },
        },
        "rnn": {"hard_reset": True},
    },
    "other cells": {
        "seed": 9,
        "cells": {"t_ref": 5.3, "asc_amps": [12.0, -60.0], "asc_decay": [0.01, 0.3], "g": 7.3},
        "delays": {"e2e": 2.5, "e2i": 4.6, "i2e": 0.6, "i2i": 7.0},
    },
    "small, hard": {
        "seed": 10,
        "n": {"e": 26, "i": 8, "lgn": 12, "bkg": 4},
        "chance": 0.5,
        "lgn_pa": [15, 50],
        "rnn": {"hard_reset": True},
    },
}


@dataclass(frozen=True)
class Row:
    """What came of one circuit; ``bits`` of ``values`` voltages are equal in float32."""

    circuit: str
    n_neurons: int
    n_trials: int
    spikes: int
    float32: int
    bits: int
    values: int
    float64: int
    exported: int
    n_parted: int
    margin: float
    largest_mv: float

    @property
    def proven(self) -> bool:
        """Whether every spike is equal, but for what float32 rounds."""
        return not self.float32 and self.margin < ROUNDING


def train(circuit: dict[str, Any], n_trials: int, folder: Path) -> None:
    """Make, train and run one circuit in a process of its own."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.dpointnet.trials"),
            json.dumps({"circuit": circuit, "trials": n_trials}),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])


def compare(name: str, folder: Path, threads: int = 1) -> Row:
    """NEST's spikes and voltages against those of the trials in a folder."""
    held = np.load(folder / "trials.npz")
    spike = np.unpackbits(held["spike"], axis=2, count=int(held["n_neurons"])).astype(bool)
    trained = folder / "training" / "trained_weights"
    training = open_training(trained, folder / "config.json", command="tests")
    as_exported = training.sealed()
    inside = weights_inside(training, held)
    sent = {p: held[f"from_{p}"].astype(np.int32) for p in inside.source_populations}
    lgn = next(p for p, one in inside.source_populations.items() if one is inside.lgn)
    neuron = held["neuron"].astype(np.int64)
    voltage_mv = in_mv(held["voltage"], inside, neuron)
    truth = GroundTruth("v1", "none", spike, neuron, voltage_mv, None)
    given = (truth, sent.pop(lgn), threads, sent)
    judged = verification._admitted(inside)
    rounded, exact = verification._compare(
        judged, *given, ("training_float32", "training")
    ).agreements[:2]
    judged = verification._admitted(as_exported)
    exported = verification._compare(judged, *given, ("training",)).agreements[0]
    margins = [m for a in (exact, exported) for m in a.threshold_distance if m is not None]
    return Row(
        circuit=name,
        n_neurons=inside.n_neurons,
        n_trials=len(spike),
        spikes=int(spike.sum()),
        float32=rounded.n_different,
        bits=sum(v.n_equal for v in rounded.voltages),
        values=sum(v.n for v in rounded.voltages),
        float64=exact.n_different,
        exported=exported.n_different,
        n_parted=len(margins),
        margin=max(margins, default=0.0),
        largest_mv=max(
            (v.largest or 0.0)
            for v, parted in zip(exact.voltages, exact.threshold_distance, strict=True)
            if parted is None
        )
        if None in exact.threshold_distance
        else float("nan"),
    )


def weights_inside(training: DPointNetTraining, held: Mapping[str, Any]) -> NetworkModel:
    """The network with the weights that the cell held, which export in pA rounds."""
    circuit, weights = training.circuit, dict(training.weights.internal)
    edges, n = circuit.recurrent, len(circuit.neurons.node_id)
    target, delayed = held["recurrent_indices"].T
    # Edges of one pair and delay cannot be told apart but by their weights, which nearly are there.
    theirs = np.lexsort((held["recurrent"], delayed, target))
    of_file = weights[circuit.neurons.population]
    mine = np.lexsort((of_file, edges.source + n * (circuit.delays.steps - 1), edges.target))
    exact = np.empty_like(of_file)
    exact[mine] = held["recurrent"][theirs]
    np.testing.assert_array_max_ulp(exact, of_file, maxulp=2)
    weights[circuit.neurons.population] = exact
    for population in circuit.sources:
        weights[population] = held[f"weight_{population}"]
    network = circuit.network(weights, training.network.source)
    # In the order of the cell: float32 sums of edges of one pair and delay depend on it.
    place = np.empty(len(mine), dtype=np.int64)
    place[mine] = theirs
    edge, _, _ = circuit.rows(circuit.neurons.population)
    table = network.tables[edges.name]
    order = np.argsort(place[edge], kind="stable")
    in_order = replace(table, **{name: column[order] for name, column in table.columns.items()})
    network = network.with_tables(**{edges.name: in_order})
    return replace(network, provenance=DRAFT.seal(network))


def report(rows: list[Row]) -> str:
    """The table of all circuits."""
    lines = [
        f"{'circuit':<26}{'cells':>6}{'trials':>7}{'spikes':>11}{'float32':>8}"
        f"{'voltages equal in every bit':>29}{'float64':>8}{'exported':>9}{'trials':>7}"
        f"{'margin':>9}{'float64, mV':>12}"
    ]
    lines += [
        f"{row.circuit:<26}{row.n_neurons:>6}{row.n_trials:>7}{row.spikes:>11,}{row.float32:>8}"
        f"{f'{row.bits:,} of {row.values:,}':>29}{row.float64:>8}{row.exported:>9}{row.n_parted:>7}"
        f"{row.margin:>9.1e}{row.largest_mv:>12.1e}"
        for row in rows
    ]
    total = sum(row.spikes for row in rows)
    lines.append(
        f"{total:,} spikes compared, different in float32: {sum(row.float32 for row in rows):,}; "
        f"voltages equal in every bit: {sum(row.bits for row in rows):,} of "
        f"{sum(row.values for row in rows):,}"
    )
    return "\n".join(lines)


def main() -> int:
    """Judge, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=float, default=1e5, help="spikes over all circuits")
    parser.add_argument("--circuit", nargs="*", default=list(CIRCUITS), choices=list(CIRCUITS))
    parser.add_argument("--folder", type=Path, help="keep the circuits there; take what is there")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for i, name in enumerate(arguments.circuit):
            folder = (arguments.folder or Path(scratch)) / name.replace(" ", "_").replace(",", "")
            if not (folder / "trials.npz").exists():
                left = arguments.n - sum(row.spikes for row in rows)
                share = max(left / (len(arguments.circuit) - i), 1.0)
                circuit = {**BASE, **CIRCUITS[name]}
                train(circuit, n_trials_for(share, circuit), folder)
            rows.append(compare(name, folder))
            sys.stdout.write(report(rows[-1:]).splitlines()[1] + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"\n{report(rows)}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0 if all(row.proven for row in rows) else 1


def n_trials_for(spikes: float, circuit: dict[str, Any]) -> int:
    """How many trials give about as many spikes, at 70 Hz a cell."""
    n = {**DEFAULTS["n"], **circuit["n"]}
    of_trial = (n["e"] + n["i"]) * 0.07 * circuit["steps"]
    return max(1, round(spikes / of_trial))


if __name__ == "__main__":
    sys.exit(main())
