"""The built-in column on NEST: what its figures were calibrated for."""

from __future__ import annotations

import numpy as np
import pytest

from v1sim.analysis.rates import spike_counts
from v1sim.analysis.tuning import direction_tuning
from v1sim.cell_classes import cell_classes
from v1sim.guard import Policy, admit
from v1sim.simulation.plan import make_plan
from v1sim.simulation.run import run_trials
from v1sim.sources.column import build_column
from v1sim.stimulus.gratings import Grating, GratingStimulus


@pytest.mark.parametrize("seed", [1, 2])
def test_gratings_drive_every_class_and_tune_excitatory_cells(seed):
    network = build_column(1000, seed=seed)
    gratings = [Grating(direction, grating_ms=2000) for direction in (0, 45, 90, 135)]
    shown = GratingStimulus(network.lgn.cells, gratings, repeats=1)
    plan = make_plan(admit(network, Policy(require="any")), background="mean", seed=seed)
    output = run_trials(
        plan,
        shown,
        threads=1,
        between_trials="gap",
        voltage_of=np.empty(0, dtype=np.int32),
        progress=lambda *_: None,
    )
    counts = spike_counts(output.spikes, shown.trials, network.n_neurons)
    tuning = direction_tuning(counts, shown.trials)
    assert tuning is not None
    rate_hz = tuning.rate_hz.mean(axis=0)
    classes = cell_classes(network)
    for name in classes.names:
        ids = classes.ids(name)
        if len(ids) >= 5:
            assert 0.2 < rate_hz[ids].mean() < 30, name
    osi = {name: np.nanmedian(tuning.osi[classes.ids(name)]) for name in ("e4", "i4Pvalb")}
    assert osi["e4"] > 0.2
    assert osi["e4"] > osi["i4Pvalb"] + 0.1
    # No step in which a large part of the network fires together.
    step, together = np.unique(
        output.spikes.time_ms + 1e4 * output.spikes.trial, return_counts=True
    )
    assert len(step) > 1000
    assert together.max() < 0.15 * network.n_neurons
