"""The watch over a run's activity: every limit, and the end of a hopeless run."""

from __future__ import annotations

import numpy as np
import pytest

from v1sim.cell_classes import CellClasses
from v1sim.config import WatchConfig
from v1sim.errors import SimulationError
from v1sim.model import Severity, SpikeTable
from v1sim.simulation.watch import activity_findings, stop_if_hopeless, watch_run

CLASSES = CellClasses(
    ("e4", "i4", "i5"),
    np.repeat(np.array([0, 1, 2], dtype=np.uint16), (20, 10, 3)),
    np.array([True, False, False]),
    inferred=False,
)
N, N_LGN = 33, 12
LIMITS = WatchConfig(silent_below_hz=0.5, exploding_above_hz=50.0, lgn_above_hz=100.0)
#: Spikes in one second: rates in Hz.
FINE = np.full(N, 5)
LGN = np.full(N_LGN, 10)


def seen(spikes=FINE, lgn=LGN, duration_ms=1000.0, limits=LIMITS):
    found = activity_findings(limits, CLASSES, spikes, lgn, duration_ms)
    return [(f.check, f.where, f.severity) for f in found]


def test_ordinary_activity_is_no_finding():
    assert seen() == []


@pytest.mark.parametrize(("rate", "found"), [(50, False), (51, True)])
def test_an_exploding_class(rate, found):
    spikes = FINE.copy()
    spikes[20:30] = rate
    assert seen(spikes) == ([("run.exploding", "i4", Severity.ERROR)] if found else [])
    assert bool(seen(spikes * 2, LGN * 2, duration_ms=2000.0)) is found


def test_a_silent_class_is_a_warning_unless_it_is_tiny():
    spikes = FINE.copy()
    spikes[20:] = 0
    assert seen(spikes) == [("run.silent", "i4", Severity.WARNING)]
    spikes[20:25] = 1
    assert seen(spikes) == [("run.silent", "i4", Severity.WARNING)]
    spikes[20:26] = 1
    assert seen(spikes) == []


def test_a_silent_network_says_so_once():
    assert seen(np.zeros(N, dtype=np.int64)) == [("run.silent_network", "network", Severity.ERROR)]


@pytest.mark.parametrize(
    ("rate", "check"), [(0, "run.lgn_silent"), (100, None), (101, "run.lgn_rate")]
)
def test_rates_of_the_input(rate, check):
    found = [name for name, _, _ in seen(lgn=np.full(N_LGN, rate))]
    assert found == ([check] if check else [])


def test_probabilities_read_as_spikes_are_named():
    (finding,) = activity_findings(LIMITS, CLASSES, FINE, np.full(N_LGN, 900), 1000.0)
    assert "probabilities read as spikes" in finding.message
    assert (finding.n_bad, finding.n_seen) == (N_LGN, N_LGN)


def test_analog_input_has_no_spikes_to_watch():
    assert seen(lgn=None) == []
    (finding,) = activity_findings(LIMITS, CLASSES, np.zeros(N, dtype=np.int64), None, 1000.0)
    assert finding.check == "run.silent_network"
    assert "with analog LGN input" in finding.message
    stop_if_hopeless(LIMITS, CLASSES, FINE, None, 1000.0)


def test_only_errors_end_a_run():
    silent_class = FINE.copy()
    silent_class[20:30] = 0
    stop_if_hopeless(LIMITS, CLASSES, silent_class, LGN, 1000.0)
    with pytest.raises(SimulationError, match=r"(?s)e4.*120\.0 Hz.*fail_fast: false") as caught:
        stop_if_hopeless(LIMITS, CLASSES, FINE * 24, LGN, 1000.0)
    assert caught.value.exit_code == 3


def test_spikes_of_all_trials_count():
    def table(neuron):
        neuron = np.asarray(neuron, dtype=np.int32)
        return SpikeTable(np.zeros_like(neuron), neuron, np.zeros(len(neuron)))

    spikes, lgn = table(np.repeat(np.arange(N), 5)), table(np.repeat(np.arange(N_LGN), 10))
    assert watch_run(LIMITS, CLASSES, spikes, lgn, N_LGN, 1000.0) == ()
    assert watch_run(LIMITS, CLASSES, spikes, lgn, N_LGN, 10.0)
    assert watch_run(LIMITS, CLASSES, spikes, None, N_LGN, 1000.0) == ()
