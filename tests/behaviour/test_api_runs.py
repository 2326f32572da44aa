"""A program that uses v1sim: what it runs and builds is what the command line does."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import v1sim
from tests.networks import N_LGN, N_NEURONS, write_tiny
from v1sim.analysis.rates import spike_counts
from v1sim.errors import InputError, MissingExtraError

CONFIG = {
    "name": "small",
    "require": "constructed",
    "stimulus": {
        "kind": "drifting_gratings",
        "directions_deg": [0, 90, 180, 270],
        "trials": 2,
        "grey_ms": 50,
        "grating_ms": 200,
    },
    "recording": {"voltage_of": [3, 5]},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> v1sim.Run:
    folder = tmp_path_factory.mktemp("api")
    write_tiny(folder / "tiny.h5")
    told = []
    done = v1sim.run(
        CONFIG,
        {"network": folder / "tiny.h5", "seed": np.int64(4)},
        out=str(folder / "out"),
        progress=lambda *stage: told.append(stage),
    )
    assert {stage for stage, _, _ in told} >= {"gate", "synapses", "simulate"}
    return done


def test_a_run_is_its_folder(run):
    again = v1sim.open_run(str(run.folder))
    assert again.report == run.report
    assert again.n_spikes == run.n_spikes == len(again.recording.spikes) > 50
    np.testing.assert_array_equal(again.results.rate_hz, run.results.rate_hz)
    assert again.text == run.text
    assert run.report.command == "v1sim.run() in Python"
    assert run.report.config["seed"] == 4
    assert "COMPLETE" in repr(run) or "SHOWS ERRORS" in repr(run)
    assert run.outcome in run._repr_html_()
    with pytest.raises(InputError, match=r"report\.json"):
        v1sim.open_run(run.folder.parent)


def test_the_recording_in_pandas_says_what_the_arrays_say(run):
    pandas = pytest.importorskip("pandas")
    spikes, neurons, trials = run.spikes(), run.neurons(), run.trials()
    recording = run.recording
    assert len(spikes) == run.n_spikes
    counts = spikes.groupby(["trial", "neuron"]).size()
    held = recording.spikes
    assert counts.loc[(held.trial[0], held.neuron[0])] == np.count_nonzero(
        (held.trial == held.trial[0]) & (held.neuron == held.neuron[0])
    )
    names = np.array(recording.classes.names)[recording.classes.of_neuron[held.neuron]]
    assert spikes["cell_class"].astype(str).tolist() == names.tolist()
    assert len(neurons) == N_NEURONS
    np.testing.assert_array_equal(neurons["rate_hz"], run.results.rate_hz)
    assert trials["direction_deg"].tolist() == [
        t.stimulus["direction_deg"] for t in recording.trials
    ]
    assert isinstance(spikes, pandas.DataFrame)


def test_the_recording_in_xarray_says_what_the_arrays_say(run):
    pytest.importorskip("xarray")
    data = run.to_xarray()
    recording = run.recording
    counts = spike_counts(recording.spikes, recording.trials, recording.n_neurons)
    np.testing.assert_array_equal(data["spike_count"], counts)
    assert dict(data.sizes) == {"trial": 8, "neuron": N_NEURONS, "time": 250, "recorded": 2}
    mean = data["spike_count"].where(data["direction_deg"] == 90).mean("trial")
    shown = [t.stimulus["direction_deg"] == 90 for t in recording.trials]
    np.testing.assert_allclose(mean, counts[shown].mean(axis=0))
    np.testing.assert_array_equal(data["membrane_potential"], recording.voltage.v_mv)
    assert data["membrane_potential"].attrs["units"] == "mV"


def test_the_recording_in_neo_and_the_figure(run):
    block = run.to_neo()
    assert len(block.segments) == 8
    assert len(block.segments[0].spiketrains) == N_NEURONS + N_LGN
    assert run.figure()._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("package", "use"), [("pandas", "spikes"), ("pandas", "trials"), ("xarray", "to_xarray")]
)
def test_a_package_that_is_not_there_is_named_with_the_line_to_type(run, monkeypatch, package, use):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'v1sim\[{package}\]'"):
        getattr(v1sim.open_run(run.folder), use)()


def test_a_network_is_built_as_pynn_objects_in_the_dynamics_of_a_run(run):
    network = v1sim.open_network(run.report.network.path)
    simulation = v1sim.build(network, require="constructed", threads=1)
    assert simulation.plan.dynamics == run.report.simulation.dynamics
    assert sum(simulation.populations[p].size for p in ("e23", "e4", "e5IT")) < N_NEURONS
    assert len(simulation.projections["recurrent"]) == len(network.tables["recurrent"])
    population = simulation.populations["e23"]
    population.record(["spikes", "V_m"])
    population.inject(simulation.pynn.DCSource(amplitude=1.0))
    simulation.pynn.run(200.0)
    segment = population.get_data().segments[0]
    assert segment.analogsignals[0].shape == (
        2001 if simulation.plan.dt_ms == 0.1 else 201,
        population.size,
    )
    assert sum(len(train) for train in segment.spiketrains) > 20
    assert repr(simulation).startswith("<Simulation of 60 neurons")
    assert simulation._repr_html_().count("BUILT") == 1
