"""SONATA circuits from their files to spikes: BMTK's, each one, and what a run leaves behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import libsonata
import numpy as np
import pytest
import yaml

from tests.behaviour.test_command_line import v1sim
from tests.sonata.base import base_circuit
from tests.sonata.bmtk import Bmtk
from tests.sonata.circuits import Circuit, Edges, Nodes, Spikes
from tests.unit.test_sonata_run import changed
from v1sim.config import RunConfig
from v1sim.errors import InputError
from v1sim.inputs.fresh import FreshInput
from v1sim.inputs.run_file import load_run
from v1sim.model import NetworkModel
from v1sim.recording import read_nwb
from v1sim.simulation.from_config import configured_plan, configured_voltage_neurons
from v1sim.simulation.run import Output, run_trials

ROOT = Path(__file__).parents[2]
Keys = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def bmtk() -> Iterator[Bmtk]:
    pytest.importorskip("bmtk")
    with Bmtk() as worker:
        yield worker


def simulated(config: RunConfig, **options: Any) -> tuple[Output, NetworkModel, float]:
    """A run through the gate, without the files that it leaves."""
    inputs = FreshInput("a test")
    network = inputs.network(config)
    checked = inputs.admit(config, network)
    shown = inputs.stimulus(config, network)
    plan = configured_plan(config, checked, shown)
    output = run_trials(
        plan,
        shown,
        **({"threads": 1, "between_trials": "rebuild"} | options),
        voltage_of=configured_voltage_neurons(config, network),
        progress=lambda *_: None,
    )
    return output, network, plan.dt_ms


def stamps(output: Output, network: NetworkModel, dt_ms: float, trial: int = 0) -> Keys:
    """Population, node id and NEST's stamp in steps: the end of the step in which a cell spikes."""
    population = np.concatenate([[p.name] * len(p) for p in network.populations])
    node_id = np.concatenate([p.node_id for p in network.populations])
    mine = output.spikes.trial == trial
    neuron = output.spikes.neuron[mine]
    stamp = np.rint(output.spikes.time_ms[mine] / dt_ms).astype(int) + 1
    columns = (population[neuron], node_id[neuron], stamp)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def stamps_of_file(path: Path, dt_ms: float, shift_steps: int = 0) -> Keys:
    found: Keys = []
    with h5py.File(path) as file:
        for name, group in file["spikes"].items():
            step = np.rint(group["timestamps"][:] / dt_ms).astype(int) + shift_steps
            node_id = group["node_ids"][:].tolist()
            found += zip([name] * len(step), node_id, step.tolist(), strict=True)
    return sorted(found)


# --- the public circuits ------------------------------------------------------------------------

#: Circuit, configuration, duration in ms, and what BMTK gave by time step; None: BMTK runs now.
PUBLIC = {
    "mini_v1": ("simulation_config.json", 500.0, {0.25: "bmtk_spikes.h5", 0.1: None, 1.0: None}),
    "point_450glifs": (
        "config.simulation.json",
        1000.0,
        {0.1: "bmtk_spikes.h5", 1.0: "bmtk_spikes_dt1.h5", 0.25: None},
    ),
    "300_pointneurons": (
        "config.json",
        1500.0,
        {0.1: "bmtk_spikes.h5", 0.25: None, 1.0: None},
    ),
}


@pytest.mark.parametrize(
    ("name", "dt_ms"), [(name, dt) for name, (_, _, given) in PUBLIC.items() for dt in given]
)
def test_spikes_are_those_of_bmtk(name, dt_ms, bmtk, shared_data, tmp_path):
    """The table of equivalence: every spike of every public circuit at three time steps."""
    file, duration_ms, given = PUBLIC[name]
    home = shared_data / "sonata"
    config = load_run(
        home / name / file,
        [f"simulation.dt_ms={dt_ms}", f"stimulus.duration_ms={duration_ms}"],
    )
    found = stamps(*simulated(config, threads=2))
    if given[dt_ms] is not None:
        expected = stamps_of_file(home / name / given[dt_ms], dt_ms)
    else:
        for folder in (name, "point_components", "shared_components"):
            shutil.copytree(home / folder, tmp_path / folder, copy_function=shutil.copyfile)
        at_other_step(tmp_path / name / file, dt_ms, duration_ms)
        expected = bmtk.run(tmp_path / name / file).by_step(dt_ms)
    assert len(found) > 500
    assert found == expected


def at_other_step(path: Path, dt_ms: float, duration_ms: float) -> None:
    values = json.loads(path.read_text())
    if "run" not in values:
        at_other_step(path.parent / values["simulation"], dt_ms, duration_ms)
        return
    values["run"] |= {"dt": dt_ms, "tstop": duration_ms}
    values.pop("reports", None)
    path.write_text(json.dumps(values))


# --- one circuit, made here ---------------------------------------------------------------------


@pytest.fixture
def written(tmp_path) -> Path:
    return base_circuit().write(tmp_path / "circuit")


@pytest.mark.parametrize("dt_ms", [0.1, 0.25, 1.0])
def test_currents_and_reports_are_those_of_bmtk(dt_ms, written, bmtk):
    values = json.loads(written.read_text())
    values["run"]["dt"] = dt_ms
    cells = {"population": "v1", "node_id": [30, 3, 0]}
    values["reports"] = {"v": {"module": "membrane_report", "variable_name": "V_m", "cells": cells}}
    values["inputs"] |= {
        "steps": {
            "input_type": "current_clamp",
            "module": "IClamp",
            "node_set": "v1",
            "amp": [80.0, -40.0, 120.0],
            "delay": [20.0, 70, 100],
            "duration": [40.0, 30, 900],
        },
        "one": {
            "input_type": "current_clamp",
            "module": "IClamp",
            "node_set": {"population": "lm", "node_id": [1, 2]},
            "amp": 150.0,
            "delay": 2.0,
            "duration": 50.0,
        },
    }
    values["inputs"]["steps"]["duration"][1] = 29.0  # BMTK stops where one ends as another begins
    written.write_text(json.dumps(values))
    expected = bmtk.run(written)
    config = load_run(written)
    output, network, _ = simulated(config, threads=2)
    assert stamps(output, network, dt_ms) == expected.by_step(dt_ms)
    without = {k: v for k, v in values["inputs"].items() if k not in ("steps", "one")}
    written.write_text(json.dumps({**values, "inputs": without}))
    assert stamps(*simulated(load_run(written))) != expected.by_step(dt_ms)
    with h5py.File(written.parent / "output" / "v.h5") as file:
        v_mv = file["report/v1/data"][:]
        node_id = file["report/v1/mapping/node_ids"][:]
    order = np.argsort(node_id)
    assert output.voltage.neuron.tolist() == [0, 3, 30]
    # BMTK's values have gone through text of three decimals, and the last one is missing.
    np.testing.assert_allclose(output.voltage.v_mv[0, : len(v_mv)], v_mv[:, order], atol=6e-4)


def test_a_current_from_the_start_on_is_injected(written):
    clamp = {"input_type": "current_clamp", "module": "IClamp", "node_set": "v1"}
    found = []
    for delay in (0.0, 0.25, 0.5):
        changed(written, inputs__c={**clamp, "amp": 300.0, "delay": delay, "duration": 100.0})
        found.append(stamps(*simulated(load_run(written))))
    assert found[0] != found[1] != found[2]
    first = [next(stamp for _, _, stamp in sorted(one, key=lambda key: key[2])) for one in found]
    assert first == sorted(first)
    changed(written, inputs__c={**clamp, "amp": 300.0, "delay": 0.1, "duration": 100.0})
    with pytest.raises(InputError, match=r"changes at 0\.1 ms, which is no whole number of steps"):
        simulated(load_run(written))


def test_currents_act_alike_in_every_trial(written):
    clamp = {"input_type": "current_clamp", "module": "IClamp", "node_set": "lm"}
    changed(written, inputs__c={**clamp, "amp": 200.0, "delay": 10.0, "duration": 1000.0})
    config = load_run(written, ["stimulus.duration_ms=150", "stimulus.trials=2"])
    whole, network, dt_ms = simulated(config)
    waited, _, _ = simulated(config, between_trials="gap")
    first = stamps(whole, network, dt_ms)
    for output in (whole, waited):
        assert [stamps(output, network, dt_ms, trial) for trial in (0, 1)] == [first, first]


def glif_alone(rng: np.random.Generator, start_mv: float) -> Circuit:
    """20 glif_psc cells that do not start at rest, which v1sim's NEST module can set back."""
    cell = {
        "C_m": 92.0,
        "g": 6.3,
        "E_L": -77.5,
        "V_m": start_mv,
        "V_reset": -77.5,
        "V_th": -45.0,
        "t_ref": 3.75,
        "asc_decay": [0.003, 0.1],
        "asc_amps": [-9.0, -200.0],
        "asc_init": [12.0, -30.0],
        "tau_syn": [5.5, 8.5],
        "after_spike_currents": True,
        "spike_dependent_threshold": False,
        "adapting_threshold": False,
    }
    model = {"model_type": "point_neuron", "model_template": "nest:glif_psc"}
    types = {1: {**model, "dynamics_params": "c.json", "ei": "e", "pop_name": "e4"}}
    edge_types = {
        10: {"dynamics_params": "s.json", "model_template": "static_synapse", "delay": 1.3}
    }

    def edges(source: str, n_source: int, n: int, weight: float) -> Edges:
        columns = {
            "syn_weight": weight * rng.uniform(0.5, 1.0, n),
            "nsyns": rng.integers(1, 4, n),
        }
        ends = rng.integers(0, n_source, n), rng.integers(0, 20, n)
        name = f"{source}_to_v1"
        type_id = np.full(n, 10)
        return Edges(name, source, "v1", edge_types, *ends, type_id, columns={0: columns})

    clamp = {"input_type": "current_clamp", "module": "IClamp", "node_set": "v1"}
    spikes = Spikes("bkg", rng.integers(0, 5, 400), rng.uniform(0.3, 199.0, 400))
    return Circuit(
        nodes=[
            Nodes("v1", types, np.full(20, 1)),
            Nodes("bkg", {2: {"model_type": "virtual"}}, np.full(5, 2)),
        ],
        edges=[edges("v1", 20, 100, 6.0), edges("bkg", 5, 60, 40.0)],
        cell_models={"c.json": cell},
        synaptic_models={"s.json": {"receptor_type": 1}},
        inputs={
            "b": ({}, spikes),
            "c": ({**clamp, "amp": 150.0, "delay": 20.0, "duration": 1000.0}, None),
        },
        dt_ms=0.1,
        stop_ms=200.0,
    )


@pytest.mark.parametrize("start_mv", [-60.0, -44.0], ids=["below threshold", "above threshold"])
def test_every_trial_is_bmtks_run_however_the_network_returns_to_its_start(
    start_mv, bmtk, tmp_path
):
    written = glif_alone(np.random.default_rng(3), start_mv).write(tmp_path / "circuit")
    expected = bmtk.run(written).by_step(0.1)
    assert len(expected) > 300
    config = load_run(written, ["stimulus.trials=2"])
    for how in ("rebuild", "gap", "reset"):
        output, network, dt_ms = simulated(config, between_trials=how)
        for trial in (0, 1):
            assert stamps(output, network, dt_ms, trial) == expected, how


# --- as a user runs it --------------------------------------------------------------------------


def test_a_run_leaves_what_every_run_leaves(written, tmp_path, bmtk):
    report = {"module": "membrane_report", "variable_name": "V_m", "file_name": "v_of_v1.h5"}
    changed(written, reports__r={**report, "cells": {"population": "v1", "node_id": [4, 2]}})
    done = v1sim("run", written, "--out", "first", "--threads", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "first"
    expected = bmtk.run(written).by_step(0.25)
    found = stamps_of_file(folder / "spikes.h5", 0.25)
    cells = [key for key in found if key[0] in ("v1", "lm")]
    # The start of the step here, its end in BMTK's files.
    assert [(name, node, step + 1) for name, node, step in cells] == expected
    sent = [key for key in found if key[0] in ("lgn", "bkg")]
    for name in ("LGN", "BKG"):
        with h5py.File(written.parent / "inputs" / f"{name}.h5") as file:
            group = file.get(f"spikes/{name.lower()}", file["spikes"])
            ids = group["node_ids" if "node_ids" in group else "gids"][:]
            given = zip(ids, np.ceil(group["timestamps"][:] / 0.25), strict=True)
            wanted = sorted((name.lower(), int(n), int(t)) for n, t in given if t < 1600)
        assert [key for key in sent if key[0] == name.lower()] == wanted
    told = json.loads((folder / "report.json").read_text())
    assert told["guard"]["verdict"] == "undetermined"
    assert told["network"]["projections"].keys() >= {"v1_to_v1", "lgn_to_v1", "bkg_to_v1"}
    assert all(part["equal_to_plan"] for part in told["simulation"]["read_back"])
    assert set(told["network"]["populations"]) > {"e23"}
    page = (folder / "report.html").read_text()
    assert "undetermined" in page
    recording = read_nwb(folder / "spikes.nwb")
    assert [p.name for p in recording.populations] == ["v1", "lm"]
    assert [one.population.name for one in recording.sources] == ["lgn", "bkg"]
    assert len(recording.inputs[0].spikes) == len([key for key in sent if key[0] == "bkg"])
    reader = libsonata.ElementReportReader(str(folder / "v_of_v1.h5"))["v1"]
    assert list(reader.get_node_ids()) == [2, 4]
    assert reader.times == (0.25, 400.25, 0.25)
    frame = reader.get(node_ids=[4], tstart=100.0, tstop=101.0)
    column = recording.voltage.v_mv[0, :, 1]
    np.testing.assert_allclose(frame.data[:, 0], column[399:404], rtol=1e-6)
    # The same run again from what it left.
    again = v1sim("run", folder / "config.yaml", "--out", "again", cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert stamps_of_file(tmp_path / "again" / "spikes.h5", 0.25) == found


def test_a_population_that_nothing_feeds_is_refused_by_name(written, tmp_path):
    values = json.loads(written.read_text())
    del values["inputs"]["BKG"]
    written.write_text(json.dumps(values))
    done = v1sim("run", written, "--out", "x", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "nothing says what the cells of bkg send" in done.stderr
    assert "inputs.bkg: silent" in done.stderr
    assert not (tmp_path / "x").exists()
    done = v1sim("run", written, "--out", "x", "--set", "inputs.bkg=silent", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_runs_are_made_in_the_output_folder_under_names_of_their_own(written, tmp_path):
    (written.parent / "output").mkdir()
    (written.parent / "output" / "notes.txt").write_text("mine")
    for _ in range(2):
        done = v1sim("run", written, "--set", "stimulus.duration_ms=50", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    folders = sorted(p.name for p in (written.parent / "output").iterdir())
    assert "notes.txt" in folders
    assert len(folders) == 3
    assert all(re.fullmatch(r"circuit_\d{8}-\d{6}(_2)?|notes.txt", name) for name in folders)


def test_a_sweep_of_a_circuit(written, tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        f"base: {written}\n"
        "set: {stimulus.duration_ms: 100}\n"
        "axes:\n"
        "  - cases:\n"
        "      - {perturb: []}\n"
        "      - {perturb: [{kind: scale, projection: lgn_to_v1, factor: 0.5}]}\n"
        "      - {perturb: [{kind: silence, neurons: e23}]}\n"
    )
    done = v1sim("batch", "sweep.yaml", "--threads", 1, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = sorted((tmp_path / "sweeps" / "sweep").rglob("report.json"))
    rates = [json.loads(path.read_text())["results"]["mean_rate_hz"] for path in runs]
    assert len(set(rates)) == 3
    # What the circuit's files hold is part of what a run is named by.
    with h5py.File(written.parent / "network" / "lgn_to_v1_edges.h5", "a") as file:
        file["edges/lgn_to_v1/0/syn_weight"][0] *= 2.0
    done = v1sim("batch", "sweep.yaml", "--dry-run", cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3" in done.stdout or "3 runs" in done.stdout, done.stdout


def test_perturbations_name_projections_and_classes_of_the_circuit(written):
    def rate(*perturb: dict[str, Any]) -> int:
        config = load_run(written)
        values = config.model_copy(
            update={
                "perturb": RunConfig.model_validate(
                    {"stimulus": {"kind": "grey"}, "perturb": list(perturb)}
                ).perturb
            }
        )
        return len(simulated(values)[0].spikes)

    whole = rate()
    scale = {"kind": "scale", "factor": 0.0}
    assert rate({**scale, "projection": "lgn_to_v1"}) == rate({**scale, "projection": "lgn"})
    assert rate({**scale, "projection": "recurrent"}) != whole
    assert rate({**scale, "projection": "bkg_to_v1"}) == rate({**scale, "projection": "other"})
    assert rate({"kind": "silence", "neurons": ["e23"]}) < whole
    with pytest.raises(InputError, match="no projection 'v1_to_v2'"):
        rate({**scale, "projection": "v1_to_v2"})


# --- the page -----------------------------------------------------------------------------------


def test_the_page_from_bmtk_to_v1sim_does_what_it_says(tmp_path, bmtk):
    """Its commands are run, its YAML is written, its Python compares with BMTK."""
    page = (ROOT / "docs" / "sonata.md").read_text()
    written = base_circuit().write(tmp_path / "circuit")
    assert written.name == "simulation_config.json"
    bmtk.run(written)
    blocks = re.findall(r"```(console|yaml|python)\n(.*?)```", page, flags=re.DOTALL)
    assert {kind for kind, _ in blocks} == {"console", "yaml", "python"}
    for kind, text in blocks:
        if kind == "yaml":
            name = text.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(text)
        elif kind == "console":
            for line in text.splitlines():
                command = line.removeprefix("$ v1sim ").split()
                done = v1sim(*command, cwd=tmp_path)
                assert done.returncode == 0, line + done.stdout + done.stderr
        else:
            here = text.replace('"first/', f'"{tmp_path}/first/')
            exec(here.replace('"circuit/', f'"{tmp_path}/circuit/'), {})
    assert (tmp_path / "second" / "v.h5").exists()


def test_the_ready_configuration_fits_a_circuit(written, tmp_path):
    config = yaml.safe_load((ROOT / "configs" / "sonata.yaml").read_text())
    circuit = written.with_name("circuit_config.json")
    inputs = f"inputs.bkg.file={written.parent}/inputs/BKG.h5"
    assert config["network"] == circuit.name
    done = v1sim(
        *("run", ROOT / "configs" / "sonata.yaml", "--out", "x", "--set", f"network={circuit}"),
        *("--set", inputs, "--set", "stimulus={kind: spontaneous, duration_ms: 50, trials: 1}"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
