from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from v1sim.analysis.results import analyse
from v1sim.cell_classes import CellClasses
from v1sim.model import SpikeTable, Trial
from v1sim.recording import Recording


def recording_of(counts: np.ndarray, classes: CellClasses, *, directions: bool) -> Recording:
    """Trials of 1 s with ``counts[trial, neuron]`` spikes in the window and one outside it."""
    n_trials, n = counts.shape
    outside = np.ones_like(counts)
    trial, neuron, time = [], [], []
    for per_cell, first in ((outside, 0.0), (counts, 100.0)):
        which = np.repeat(np.arange(counts.size), per_cell.ravel())
        rank = np.arange(len(which)) - np.searchsorted(which, which)
        trial.append(which // n)
        neuron.append(which % n)
        time.append(first + rank)
    columns = np.concatenate(trial), np.concatenate(neuron), np.concatenate(time)
    order = np.lexsort((columns[1], columns[2], columns[0]))
    return Recording(
        spikes=SpikeTable(
            columns[0][order].astype(np.int32),
            columns[1][order].astype(np.int32),
            columns[2][order],
        ),
        lgn_spikes=SpikeTable(
            np.zeros(2, np.int32), np.array([0, 0], np.int32), np.array([200.0, 300.0])
        ),
        trials=tuple(
            Trial(
                i, 1e3 * i, 1e3, (100.0, 1000.0), {"direction_deg": 90.0 * i} if directions else {}
            )
            for i in range(n_trials)
        ),
        classes=classes,
        n_lgn=2,
        dt_ms=1.0,
    )


CLASSES = CellClasses(
    names=("e4", "empty", "i4Pvalb"),
    of_neuron=np.array([0, 0, 0, 2, 2], dtype=np.uint16),
    is_excitatory=np.array([True, True, False]),
    inferred=False,
)
COUNTS = np.array([[9, 0, 18, 9, 0], [0, 0, 9, 9, 0], [9, 0, 18, 9, 0], [0, 0, 9, 9, 0]])


def test_results_by_class() -> None:
    results = analyse(recording_of(COUNTS, CLASSES, directions=True))
    np.testing.assert_allclose(results.rate_hz, [5, 0, 15, 10, 0])
    np.testing.assert_allclose(results.lgn_rate_hz, [2 / 3.6, 0])
    exc, inh = results.classes
    assert (exc.name, exc.is_excitatory, exc.n, exc.n_silent) == ("e4", True, 3, 1)
    assert (inh.name, inh.is_excitatory, inh.n, inh.n_silent) == ("i4Pvalb", False, 2, 1)
    assert exc.mean_rate_hz == pytest.approx(20 / 3)
    assert exc.median_rate_hz == pytest.approx(10)
    assert exc.median_osi == pytest.approx((1 + 1 / 3) / 2)
    assert inh.median_osi == pytest.approx(0)


def test_analog_input_has_no_rate() -> None:
    recording = recording_of(COUNTS, CLASSES, directions=False)
    results = analyse(replace(recording, annotations={"lgn_input": "analog"}))
    assert np.isnan(results.lgn_rate_hz).all()
    np.testing.assert_array_equal(results.rate_hz, analyse(recording).rate_hz)


def test_without_directions_there_is_no_tuning() -> None:
    results = analyse(recording_of(COUNTS, CLASSES, directions=False))
    assert results.tuning is None
    assert np.isnan(results.classes[0].median_osi)
    np.testing.assert_allclose(results.rate_hz, [5, 0, 15, 10, 0])


def test_a_silent_network() -> None:
    results = analyse(recording_of(np.zeros((4, 5), dtype=int), CLASSES, directions=True))
    assert [row.n_silent for row in results.classes] == [3, 2]
    assert np.isnan(results.tuning.osi).all()
    assert np.isnan(results.classes[0].median_osi)
    assert np.isnan(results.classes[0].median_rate_hz)
    assert results.classes[0].mean_rate_hz == 0
