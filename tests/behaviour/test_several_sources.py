"""Networks of several populations, projections and sources: the spikes of bare NEST, each one."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import yaml

from tests.bare_nest import bmtk_like_spikes
from tests.cell_models import mixed_network
from tests.networks import N_LGN, N_NEURONS
from v1sim import guard
from v1sim.config import RunConfig, validate
from v1sim.errors import InputError, StimulusError
from v1sim.inputs.protocol import fed
from v1sim.model import NetworkModel, NeuronPopulation, NeuronTable, Projection, SourcePopulation
from v1sim.simulation.from_config import configured_plan
from v1sim.simulation.kernel import backend
from v1sim.simulation.plan import make_plan
from v1sim.simulation.run import run_trials
from v1sim.units import delay_steps, stamp_steps

DURATION_MS = 120.0
#: Ids of the cells of "higher", which are not their indices.
HIGHER_IDS = np.array([40, 7, 12, 3, 9], dtype=np.int64)


def several_sources(dt_ms: float = 1.0) -> NetworkModel:
    """Two populations of neurons, three recurrent projections, three sources; pA and float64."""
    network = mixed_network()
    rng = np.random.default_rng(5)
    scale = network.voltage_scale_mv
    tables = {}
    for name in ("recurrent", "lgn"):
        table = network.tables[name]
        tables[name] = replace(
            table,
            weight=table.weight.astype(np.float64) * scale[table.post],
            unit="pA",
            # None is shorter than half a step, few are whole steps.
            delay_ms=np.round(rng.uniform(0.5 * dt_ms + 0.01, 6.0, len(table)), 2),
        )
    parts = np.array_split(np.arange(len(tables["recurrent"])), 3)
    projections = {
        name: Projection(_rows(tables["recurrent"], rows))
        for name, rows in zip(("recurrent", "v1_to_lm", "lm_to_v1"), parts, strict=True)
    }
    projections["lgn"] = Projection(tables["lgn"], source="LGN")
    for i, (name, size) in enumerate((("higher", len(HIGHER_IDS)), ("bkg", 2))):
        rows = np.sort(rng.permutation(len(tables["lgn"]))[:150])
        table = _rows(tables["lgn"], rows)
        table = replace(table, pre=(table.pre % size).astype(np.int32), weight=table.weight / 2)
        projections[f"{name}_to_v1"] = Projection(table, source=name)
        if i == 0:  # a second projection from the same population
            projections[f"{name}_to_lm"] = Projection(_rows(table, rows[::3] % 150), source=name)
    half = N_NEURONS // 2
    populations = (
        NeuronPopulation("v1", np.arange(half, dtype=np.int64)[::-1].copy()),
        NeuronPopulation("lm", 100 + np.arange(half, dtype=np.int64)),
    )
    neurons = network.neurons
    return replace(
        network,
        neurons=NeuronTable(neurons.cell_type, neurons.position_um, populations),
        projections=projections,
        source_populations={
            "LGN": SourcePopulation("lgn", N_LGN),
            "higher": SourcePopulation("other", len(HIGHER_IDS), node_id=HIGHER_IDS),
            "bkg": SourcePopulation("other", 2),
        },
        provenance=None,
    )


def _rows(table, rows):
    return replace(table, **{name: column[rows] for name, column in table.columns.items()})


def spike_times(seed: int = 3) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Cell and time of spikes by source population: on and off the grid, some two in a step."""
    rng = np.random.default_rng(seed)
    sent = {}
    for name, size, n in (("LGN", N_LGN, 150), ("higher", 5, 60), ("bkg", 2, 80)):
        time_ms = rng.uniform(0.01, DURATION_MS - 1.0, n)
        time_ms[::3] = np.round(time_ms[::3], 1) + 0.1
        time_ms[::7] = np.round(time_ms[::7]) + 1.0
        time_ms[1::7] = time_ms[::7][: len(time_ms[1::7])] - 0.003
        sent[name] = rng.integers(0, size, n), time_ms
    return sent


def write_spikes(folder, sent) -> dict[str, dict[str, str]]:
    """The spikes in SONATA files of several populations; what ``inputs`` says then."""
    for name, (cell, time_ms) in sent.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            other = file.create_group("spikes/aaa")  # comes first, and is not meant
            other["node_ids"], other["timestamps"] = [0, 1], [1.5, 2.5]
            group = file.create_group(f"spikes/{name}")
            group["node_ids"] = HIGHER_IDS[cell] if name == "higher" else cell
            group["timestamps"] = time_ms
    return {name: {"file": str(folder / f"{name}.h5")} for name in sent}


def configured(inputs, dt_ms=1.0, **keys) -> RunConfig:
    stimulus = {"kind": "given_spikes", "duration_ms": DURATION_MS, **keys}
    simulation = {"dt_ms": dt_ms, "dynamics": "nest"}
    values = {"stimulus": stimulus, "inputs": inputs, "simulation": simulation, "require": "any"}
    return validate(RunConfig, values, "test")


def simulate(network, config, *, threads=1, between_trials="rebuild"):
    dt_ms = config.simulation.dt_ms
    off_grid = {"values.delay": "rounded as NEST does"}
    checked = guard.admit(network, guard.Policy(require="any", dt_ms=dt_ms, waivers=off_grid))
    shown = fed(config.stimulus.made_for(network), config, network)
    return run_trials(
        configured_plan(config, checked, shown),
        shown,
        threads=threads,
        between_trials=between_trials,
        voltage_of=np.array([], dtype=np.int32),
        progress=lambda *_: None,
    )


def stamps_of(output, dt_ms: float, trial: int = 0) -> list[tuple[int, int]]:
    """(NEST's stamp in steps, neuron): a spike's time here is the start of its step."""
    table = output.spikes
    mine = table.trial == trial
    stamp = np.rint(table.time_ms[mine] / dt_ms).astype(int) + 1
    return sorted(zip(stamp.tolist(), table.neuron[mine].tolist(), strict=True))


@pytest.mark.parametrize("native", [True, False], ids=["with the native module", "PyNEST alone"])
@pytest.mark.parametrize("dt_ms", [0.1, 0.25, 1.0])
def test_spikes_are_those_of_bare_nest(dt_ms, native, tmp_path, monkeypatch):
    if not native:
        monkeypatch.setattr("v1sim.simulation.build.native_or_none", lambda: None)
    network, sent = several_sources(dt_ms), spike_times()
    config = configured(write_spikes(tmp_path, sent), dt_ms)
    output = simulate(network, config, threads=2)
    expected = bmtk_like_spikes(network, sent, DURATION_MS, dt_ms)
    assert stamps_of(output, dt_ms) == expected
    assert len(expected) > 200
    assert {r.label for r in output.readback} == set(network.projections)
    for name, (cell, time_ms) in sent.items():
        table = output.lgn_spikes if name == "LGN" else output.input_spikes[name]
        wanted = sorted(zip(stamp_steps(time_ms, dt_ms).tolist(), cell.tolist(), strict=True))
        step = np.rint(table.time_ms / dt_ms).astype(int)
        assert sorted(zip(step.tolist(), table.neuron.tolist(), strict=True)) == wanted


def test_each_source_matters_and_a_silent_one_is_said_to_be(tmp_path):
    network, sent = several_sources(), spike_times()
    inputs = write_spikes(tmp_path, sent)
    whole = stamps_of(simulate(network, configured(inputs)), 1.0)
    for name in sent:
        silent = simulate(network, configured({**inputs, name: "silent"}))
        rest = {k: v for k, v in sent.items() if k != name}
        rest[name] = sent[name][0][:0], sent[name][1][:0]
        assert stamps_of(silent, 1.0) == bmtk_like_spikes(network, rest, DURATION_MS, 1.0) != whole
        left_out = {key: given for key, given in inputs.items() if key != name}
        with pytest.raises(InputError, match=f"nothing says what the cells of {name} send"):
            simulate(network, configured(left_out))


def test_trials_have_the_same_spikes_or_those_that_follow(tmp_path):
    network, sent = several_sources(), spike_times()
    inputs = write_spikes(tmp_path, sent)
    half = DURATION_MS / 2
    same = simulate(network, configured(inputs, duration_ms=half, trials=2), between_trials="gap")
    first, second = (stamps_of(same, 1.0, trial) for trial in (0, 1))
    assert first == second == bmtk_like_spikes(network, sent, half, 1.0)
    one_by_one = {name: {**given, "each_trial": "next"} for name, given in inputs.items()}
    both = simulate(network, configured(one_by_one, duration_ms=half, trials=2))
    later = {
        name: (cell[time > half - 1], time[time > half - 1] - half)
        for name, (cell, time) in sent.items()
    }
    assert stamps_of(both, 1.0, 0) == first
    late = {n: (c[np.ceil(t) > 0], t[np.ceil(t) > 0]) for n, (c, t) in later.items()}
    sent_later = both.input_spikes["bkg"]
    mine = sent_later.trial == 1
    kept = late["bkg"][1] > 0
    assert np.count_nonzero(mine & (sent_later.time_ms > 0)) == np.count_nonzero(kept)


def test_delays_and_stamps_are_counted_as_nest_counts_them():
    nest, _ = backend()
    rng = np.random.default_rng(0)
    for dt_ms in (0.1, 0.25, 1.0, 0.05):
        delay_ms = np.concatenate(
            [rng.uniform(dt_ms, 9.0, 200), (np.arange(1, 80) + 0.5) * dt_ms, np.arange(1, 90) * 0.1]
        )
        delay_ms = delay_ms[delay_ms >= dt_ms / 2]
        nest.ResetKernel()
        nest.resolution = dt_ms
        a, b = nest.Create("iaf_psc_alpha", 2)
        nodes = np.full(len(delay_ms), a.global_id), np.full(len(delay_ms), b.global_id)
        syn = {"weight": np.arange(len(delay_ms)) * 1.0, "delay": delay_ms}
        nest.Connect(*nodes, "one_to_one", {"synapse_model": "static_synapse", **syn})
        held = nest.GetConnections().get(["weight", "delay"])
        by_row = np.array(held["delay"])[np.argsort(held["weight"])]
        np.testing.assert_allclose(by_row, delay_steps(delay_ms, dt_ms) * dt_ms, rtol=1e-12)
        time_ms = np.concatenate(
            [
                rng.uniform(0.001, 50.0, 300),
                np.arange(1, 200) * 0.1,
                np.arange(1, 200) * 0.1 + 1e-13,
                np.arange(1, 50) * 0.25,
                np.array([0.1 + 0.2, 0.7 + 0.1, 1e-9]),
            ]
        )
        generators = nest.Create("spike_generator", len(time_ms), params={"precise_times": True})
        parrots = nest.Create("parrot_neuron", len(time_ms))
        recorder = nest.Create("spike_recorder")
        for i, one in enumerate(time_ms):
            generators[i].set(spike_times=[one])
        nest.Connect(generators, parrots, "one_to_one", {"delay": dt_ms})
        nest.Connect(parrots, recorder)
        nest.Simulate(60.0)
        order = np.argsort(recorder.events["senders"])
        stamp = np.rint(np.asarray(recorder.events["times"])[order] / dt_ms).astype(int) - 1
        assert len(stamp) == len(time_ms)
        np.testing.assert_array_equal(stamp, stamp_steps(time_ms, dt_ms))


def test_a_delay_below_half_a_step_is_refused_and_the_largest_change_known():
    network = several_sources(0.25)
    checked = guard.admit(
        network, guard.Policy(require="any", dt_ms=0.25, waivers={"values.delay": "a test"})
    )
    plan = make_plan(checked, background="none", seed=1, dynamics="nest", dt_ms=0.25)
    for one in plan.rounded:
        delay_ms = network.tables[one.projection].delay_ms
        moved = np.abs(delay_steps(delay_ms, 0.25) * 0.25 - delay_ms)
        assert one.largest_ms == pytest.approx(moved.max())
        assert one.n_changed == np.count_nonzero(moved > 1e-6)
    assert {one.projection for one in plan.rounded} == set(network.projections)
    with pytest.raises(InputError, match="shorter than half a step of 1 ms"):
        make_plan(checked, background="none", seed=1, dynamics="nest", dt_ms=1.0)


def test_what_cannot_be_fed_is_refused(tmp_path):
    network, sent = several_sources(), spike_times()
    inputs = write_spikes(tmp_path, sent)
    path = tmp_path / "bkg.h5"

    def refused(match, changed, **keys):
        with pytest.raises(StimulusError, match=match):
            config = configured({**inputs, **changed}, **keys)
            fed(config.stimulus.made_for(network), config, network)

    refused("no source population 'bgk'", {"bgk": "silent"})
    refused("no population 'v2'", {"bkg": {"file": str(path), "population": "v2"}})
    refused(
        "fed by several files", {"bkg": [{"file": str(path)}, {"file": str(path), "nodes": [1]}]}
    )
    refused(
        "1 node ids that bkg has not, for example 9", {"bkg": {"file": str(path), "nodes": [9]}}
    )
    with h5py.File(path, "a") as file:
        file["spikes/bkg/timestamps"][3] = 0.0
    refused("1 of 80 times are not above 0 ms", {})
    with h5py.File(path, "a") as file:
        file["spikes/bkg/timestamps"][3] = 5.0
        file["spikes/bkg/timestamps"].attrs["units"] = "fortnights"
    refused("timestamps in 'fortnights'", {})
    with h5py.File(path, "a") as file:
        file["spikes/bkg/timestamps"].attrs["units"] = "seconds"
    config = configured(inputs, duration_ms=1000.0 * DURATION_MS)
    shown = fed(config.stimulus.made_for(network), config, network)
    time_s = h5py.File(path)["spikes/bkg/timestamps"][()]
    found = shown.inputs(0, 1, 1.0)["bkg"].step
    np.testing.assert_array_equal(found, np.sort(stamp_steps(time_s * 1000.0, 1.0)))
    with h5py.File(path, "a") as file:
        file["spikes/bkg/node_ids"][4] = 17
    refused("1 of 80 spikes are of 1 node ids that the population has not, for example 17", {})
    config = validate(
        RunConfig, {"stimulus": {"kind": "spontaneous"}, "inputs": {"LGN": "silent"}}, "test"
    )
    with pytest.raises(StimulusError, match="LGN is the population of LGN cells"):
        fed(config.stimulus.made_for(network), config, network)


def test_nodes_name_the_cells_that_send(tmp_path):
    network, sent = several_sources(), spike_times()
    inputs = write_spikes(tmp_path, sent)
    higher = {**inputs["higher"], "nodes": [40, 9]}
    config = configured({**inputs, "higher": higher})
    shown = fed(config.stimulus.made_for(network), config, network)
    found = shown.inputs(0, 1, 1.0)["higher"]
    assert set(found.source.tolist()) == {0, 4}
    (said,) = shown.feed_remarks()
    assert "BMTK sends them all" in said


def test_poisson_cells_fire_at_their_rate():
    network = several_sources()
    inputs = {"LGN": {"rate_hz": 200.0}, "higher": {"rate_hz": 4000.0}, "bkg": "silent"}
    config = configured(inputs, duration_ms=2000.0, trials=2)
    shown = fed(config.stimulus.made_for(network), config, network)
    for dt_ms in (1.0, 0.25):
        higher = shown.inputs(0, 7, dt_ms)["higher"]
        assert len(higher) == pytest.approx(40_000, abs=5 * 200)
        lgn = shown.input(0, 7, dt_ms)
        assert len(lgn) == pytest.approx(0.2 * 2000 * N_LGN, abs=5 * 98)
        again = shown.inputs(0, 7, dt_ms)["higher"]
        np.testing.assert_array_equal(again.step, higher.step)
        assert len(shown.inputs(1, 7, dt_ms)["higher"]) != len(higher)
    assert len(shown.inputs(0, 7, 1.0)["bkg"]) == 0


def test_a_configuration_with_inputs_comes_back_from_its_yaml(tmp_path):
    inputs = {
        "lgn": "silent",
        "bkg": {"file": str(tmp_path / "a.h5"), "nodes": [1, 2]},
        "x": {"rate_hz": 3.0},
    }
    config = configured(inputs)
    back = validate(RunConfig, yaml.safe_load(json.dumps(config.model_dump(mode="json"))), "test")
    assert back == config
