"""Comparisons of spikes and voltages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from v1sim.analysis.compare import (
    SpikeAgreement,
    VoltageAgreement,
    compare_spike_tables,
    compare_spikes,
    compare_voltages,
)
from v1sim.model import SpikeTable

SPIKES = arrays(bool, (2, 6, 4))


def spikes(*places: tuple[int, int]) -> np.ndarray:
    array = np.zeros((1, 5, 3), dtype=bool)
    for step, neuron in places:
        array[0, step, neuron] = True
    return array


def test_a_late_spike_is_one_missing_and_one_extra():
    (found,) = compare_spikes(spikes((0, 1), (2, 2)), spikes((0, 1), (3, 2)))
    assert found == SpikeAgreement(2, 1, 1, 1, first_step=2, first_neuron=2)


def test_equal_spikes_never_part():
    (found,) = compare_spikes(spikes((4, 0)), spikes((4, 0)))
    assert found == SpikeAgreement(1, 1, 0, 0, None, None)


@given(SPIKES, SPIKES)
def test_counts_add_up(truth, found):
    for trial, agreement in enumerate(compare_spikes(truth, found)):
        assert agreement.n_equal + agreement.n_missing == truth[trial].sum()
        assert agreement.n_equal + agreement.n_extra == found[trial].sum()
        assert (agreement.first_step is None) == (truth[trial] == found[trial]).all()


def test_voltages():
    truth = np.float32([[[1.0, 2.0]], [[3.0, 4.0]]])
    other = np.float32([[[1.0, 2.5]], [[3.0, 4.0]]])
    assert compare_voltages(truth, other) == (
        VoltageAgreement(2, 1, 0.5),
        VoltageAgreement(2, 2, 0.0),
    )
    none = np.empty((1, 5, 0), dtype=np.float32)
    assert compare_voltages(none, none) == (VoltageAgreement(0, 0, None),)


@pytest.mark.parametrize("compare", [compare_spikes, compare_voltages])
def test_other_shapes_are_no_comparison(compare):
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(np.zeros((1, 2, 3), dtype=bool), np.zeros((1, 2, 4), dtype=bool))


def listed(spikes: np.ndarray, dt_ms: float) -> SpikeTable:
    trial, step, neuron = np.nonzero(spikes)
    return SpikeTable(trial.astype(np.int32), neuron.astype(np.int32), step * dt_ms)


@given(SPIKES, SPIKES)
def test_spikes_that_are_listed_compare_as_those_of_arrays(truth, found):
    sides = listed(truth, 0.1), listed(found, 0.1)
    seen = compare_spike_tables(*sides, n_trials=2, n_neurons=4, dt_ms=0.1)
    assert seen == compare_spikes(truth, found)
