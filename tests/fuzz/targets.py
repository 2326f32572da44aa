"""What v1sim reads: a sound input of every kind, how it is damaged, and the function that reads it.

A reader returns, or raises one of v1sim's own errors. Anything else is an escape.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from tests.fuzz import mutate
from tests.networks import N_LGN, N_NEURONS, tiny_network, with_parts, write_tiny
from tests.training_folder import write_training_folder
from v1sim import cli, guard
from v1sim.batch.sweep import load_sweep
from v1sim.checkpoints.bundle import read_index
from v1sim.checkpoints.checkpoint import network_of, shard_reader
from v1sim.checkpoints.keras_files import keras_advice, keras_kind
from v1sim.checkpoints.variables import find_variables
from v1sim.config import load_config
from v1sim.conversion.inspection import inspect_checkpoint
from v1sim.documents.batch import RunStateDocument
from v1sim.documents.check import CheckDocument
from v1sim.documents.run import RunReport
from v1sim.inputs.shared import SharedInput
from v1sim.model import NetworkModel, Trial
from v1sim.recording import read_sonata
from v1sim.simulation.state import NetworkState, read_state, write_state
from v1sim.sources import open_network
from v1sim.sources.ground_truth import read_ground_truth, read_input, truth_groups
from v1sim.sources.readout_groups import read_readout_groups
from v1sim.sources.sonata.writer import write_circuit
from v1sim.sources.training_data import initial_network, open_folder, select_neurons
from v1sim.stimulus.background import read_draws
from v1sim.stimulus.kinds import KINDS
from v1sim.stimulus.lgn import read_lgn_table
from v1sim.stimulus.pictures import read_images, read_movie

SEEDS = Path(__file__).parent / "seeds"
CHECKPOINTS = Path(__file__).parents[1] / "data" / "checkpoints"
FIELD_PX = (24, 16)
N_STEPS, N_TRIALS = 30, 2
TRIALS = [Trial(i, 30.0 * i, 30.0, (0.0, 30.0), {}) for i in range(N_TRIALS)]
POLICY = guard.Policy("any")


@dataclass(frozen=True)
class Target:
    """One parser.

    ``make(folder)`` writes sound inputs; ``damage`` says of each file that is damaged how that is
    done; ``read(folder, file)`` reads them, ``file`` being the damaged one. ``share`` is how many
    inputs it gets beside those of other targets.
    """

    name: str
    make: Callable[[Path], None]
    damage: Mapping[str, mutate.Mutator]
    read: Callable[[Path, Path], Any]
    share: float = 1.0


TARGETS: dict[str, Target] = {}


def target(name: str, make: Callable[[Path], None], share: float = 1.0, **damage: mutate.Mutator):
    """Register a reader; ``damage`` is by file, with "__" for the point in its name."""

    def register(read: Callable[[Path, Path], Any]) -> Callable[[Path, Path], Any]:
        by_file = {key.replace("__", "."): mutator for key, mutator in damage.items()}
        TARGETS[name] = Target(name, make, by_file, read, share)
        return read

    return register


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def write_hdf5(path: Path, datasets: Mapping[str, Any], **attributes: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
        file.attrs.update(attributes)


def stimulus_from(kind: str, path: Path, network: NetworkModel, **keys: Any) -> None:
    made = KINDS[kind].model_validate({"kind": kind, "file": path, **keys}).made_for(network)
    for trial in itertools.islice(made.trials, 3):
        made.input(trial.index, 1)
    made.remarks()


NETWORK = tiny_network()


# --- networks ----------------------------------------------------------------------------------


def make_network(folder: Path) -> None:
    write_tiny(folder / "net.h5")


@target("network", make_network, net__h5=mutate.mutate_hdf5, share=1.0)
def _network(folder: Path, file: Path) -> None:
    open_network(file)


@target("network through the gate", make_network, net__h5=mutate.mutate_hdf5, share=0.15)
def _gate(folder: Path, file: Path) -> None:
    report = guard.examine(open_network(file), POLICY)
    crashes = [f for f in report.findings if f.check == "guard.crash"]
    assert not crashes, crashes[0].message
    CheckDocument.of_report(report).to_text()


# --- SONATA networks ---------------------------------------------------------------------------

_BY_SUFFIX = {
    "json": mutate.mutate_json,
    "csv": mutate.mutate_text,
    "h5": mutate.mutate_hdf5,
}
_CIRCUIT = (
    *("circuit_config.json", "simulation_config.json", "components/cell_models/e23_100.json"),
    *("components/synaptic_models/receptor_1.json", "network/v1_node_types.csv"),
    *("network/v1_nodes.h5", "network/v1_to_v1_edges.h5", "network/v1_to_v1_edge_types.csv"),
    *("network/lgn_to_v1_edges.h5", "network/bkg_nodes.h5"),
)


def make_circuit(folder: Path) -> None:
    write_circuit(NETWORK, folder / "circuit", command="")


def _circuit(folder: Path, file: Path) -> None:
    configuration = "simulation" if file.name.startswith("simulation") else "circuit"
    open_network(folder / "circuit" / f"{configuration}_config.json")


TARGETS["SONATA network"] = Target(
    "SONATA network",
    make_circuit,
    {f"circuit/{name}": _BY_SUFFIX[name.rpartition(".")[2]] for name in _CIRCUIT},
    _circuit,
    share=0.3,
)


# --- checkpoints -------------------------------------------------------------------------------


def make_checkpoint(folder: Path) -> None:
    for end in ("index", "data-00000-of-00001"):
        shutil.copy(CHECKPOINTS / "01" / f"ck-1.{end}", folder / f"ck-1.{end}")
    case = json.loads((CHECKPOINTS / "cases.jsonl").read_text().splitlines()[1])
    assert case["checkpoint"] == "01/ck-1"
    shutil.copy(CHECKPOINTS / case["start"], folder / "net.h5")


_INDEX = {"ck-1__index": mutate.mutate_index}
_BOTH = {**_INDEX, "ck-1__data-00000-of-00001": mutate.mutate_bytes}


@target("checkpoint index", make_checkpoint, share=4.0, **_INDEX)
def _index(folder: Path, file: Path) -> None:
    read_index(folder / "ck-1")


@target("checkpoint inspection", make_checkpoint, share=0.6, **_BOTH)
def _inspection(folder: Path, file: Path) -> None:
    inspect_checkpoint(folder / "ck-1")


@target("checkpoint conversion", make_checkpoint, share=0.3, **_BOTH)
def _conversion(folder: Path, file: Path) -> None:
    index = read_index(folder / "ck-1")
    network_of(index, find_variables(index), shard_reader(index))


@target("checkpoint as proof", make_checkpoint, share=0.15, **_BOTH)
def _proof(folder: Path, file: Path) -> None:
    policy = guard.Policy("any", checkpoint=folder / "ck-1")
    report = guard.examine(open_network(folder / "net.h5"), policy)
    crashes = [f for f in report.findings if f.check == "guard.crash"]
    assert not crashes, crashes[0].message


def make_keras(folder: Path) -> None:
    import zipfile

    with zipfile.ZipFile(folder / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" * 9)
    write_hdf5(folder / "m.weights.h5", {"layers/dense/vars/0": np.ones(3)})


@target(
    "files of Keras",
    make_keras,
    m__keras=mutate.mutate_bytes,
    m__weights__h5=mutate.mutate_hdf5,
)
def _keras(folder: Path, file: Path) -> None:
    keras_kind(file)
    keras_advice(file)


# --- configurations ----------------------------------------------------------------------------

RUN = """\
network: net.h5
require: {recurrent: constructed, input: any}
minimum: {updates: 20, change: 0.1}
waive: {structure.duplicates: 'known, see notebook 12'}
stimulus:
  kind: sequence
  trials: 2
  duration_ms: 60
  parts:
    - {show: grating, onset_ms: 10, duration_ms: 20, direction_deg: 90}
    - {show: flash, onset_ms: 40, duration_ms: 10, luminance: -1.0}
background:
  recorded: net.h5
simulation: {dynamics: auto, dt_ms: auto, threads: 2}
recording: {nwb: true, sonata: false, voltage_of: [1, 2], experimenter: ['A, B']}
watch: {on_error: report}
perturb: [{kind: silence, neurons: i4}, {kind: scale, projection: lgn, factor: 0.5, pre: [1, 2]}]
seed: 1
"""
SIMPLE = """\
network: {built_in: {neurons: 300, seed: 1}}
require: constructed
stimulus: {kind: drifting_gratings, directions_deg: [0, 90], trials: 1, grating_ms: 100}
background: mean
seed: 1
"""
SWEEP = """\
base: simple.yaml
set: {simulation.threads: 1}
axes:
  - grid: {stimulus.contrast: [0.1, 0.5], seed: [1, 2]}
  - zip: {stimulus.trials: [1, 2], name: [a, b]}
  - cases: [{}, {background: none}]
slurm: {partition: short, time_min: 30, cpus: 2, options: {qos: a}}
"""


def make_configurations(folder: Path) -> None:
    make_network(folder)
    (folder / "run.yaml").write_text(RUN)
    (folder / "simple.yaml").write_text(SIMPLE)
    (folder / "sweep.yaml").write_text(SWEEP)
    overrides = (
        "stimulus.trials=2", "stimulus={kind: flash, luminance: 1}", "background=none",
        "waive={a.b: c}", "network=net.h5", "seed=3", "simulation.dt_ms=0.1",
        "recording.voltage_of=[1, 2]",
        "require=any", "recurrent=trained,input=any", "updates=20,change=0.1", "a.check=a reason",
    )  # fmt: skip
    (folder / "set.txt").write_text("\n".join(overrides))


@target(
    "configuration",
    make_configurations,
    share=2.0,
    run__yaml=mutate.mutate_yaml,
    simple__yaml=mutate.mutate_yaml,
)
def _configuration(folder: Path, file: Path) -> None:
    load_config(file)


@target("sweep", make_configurations, share=0.3, sweep__yaml=mutate.mutate_yaml)
def _sweep(folder: Path, file: Path) -> None:
    load_sweep(file)


@target("--set and the like", make_configurations, share=2.0, set__txt=mutate.mutate_text)
def _set(folder: Path, file: Path) -> None:
    text = file.read_bytes().decode(errors="replace").replace("\0", "")
    lines = text.split("\n")
    line = lines[len(text) % len(lines)]
    parsers: tuple[Callable[[str], Any], ...] = (
        lambda line: load_config(folder / "simple.yaml", [line]),
        cli._requirement,
        cli._minimum,
        lambda line: cli._waivers([line]),
    )
    parsers[0 if len(line) % 2 else len(line) // 2 % 4](line)


# --- stimuli -----------------------------------------------------------------------------------


def make_stimuli(folder: Path) -> None:
    random = rng()
    p = random.uniform(0, 0.1, (N_TRIALS, N_STEPS, N_LGN)).astype("f4")
    write_hdf5(
        folder / "stim.h5",
        {
            "spike_trains": p,
            "labels": np.arange(N_TRIALS),
            "response_window": [10, 20],
            "time_windows": [[0, 10], [10, 20], [20, 30]],
            "stimuli": np.array([b'{"label": 0}', b'{"label": 1}']),
            "lgn_cell_ids": np.arange(N_LGN),
        },
        n_samples=N_TRIALS,
        seq_len=N_STEPS,
    )
    write_hdf5(folder / "rates.h5", {"rates_hz": random.uniform(0, 80, (N_STEPS, N_LGN))})
    np.save(folder / "rates.npy", random.uniform(0, 80, (N_STEPS, N_LGN)).astype("f4"))
    times, nodes = np.sort(random.uniform(0, 200, 90)), random.integers(0, N_LGN, 90)
    write_hdf5(
        folder / "spikes.h5",
        {"spikes/lgn/timestamps": times, "spikes/lgn/node_ids": nodes},
    )
    with h5py.File(folder / "spikes.h5", "r+") as file:
        file["spikes/lgn/timestamps"].attrs["units"] = "milliseconds"
        file["spikes/lgn"].attrs["sorting"] = "by_time"
    write_hdf5(folder / "old.h5", {"spikes/timestamps": times, "spikes/gids": nodes})
    rows = [f"{t:.3f} lgn {n}" for t, n in zip(times, nodes, strict=True)]
    (folder / "spikes.csv").write_text("\n".join(["timestamps population node_ids", *rows]))
    draws = random.integers(0, 4, (N_TRIALS, N_STEPS))
    write_hdf5(folder / "draws.h5", {"draws": draws})
    np.save(folder / "draws.npy", draws)
    names = "id model_id x y spatial_size kpeaks_dom_0 kpeaks_dom_1 weight_dom_0 weight_dom_1 "
    names += "delay_dom_0 delay_dom_1 kpeaks_non_dom_0 kpeaks_non_dom_1 weight_non_dom_0 "
    names += "weight_non_dom_1 delay_non_dom_0 delay_non_dom_1 tuning_angle sf_sep"
    cells = [f"{i} sON_TF8 {i + 1} 40 6 12.9 28.3 3.7 -1.7 0 25" + " NaN" * 8 for i in range(24)]
    (folder / "lgn.csv").write_text("\n".join([names, *cells]))


@target("stimulus", make_stimuli, share=2.0, stim__h5=mutate.mutate_hdf5)
def _stimulus(folder: Path, file: Path) -> None:
    stimulus_from("probabilities", file, NETWORK)


@target(
    "rates", make_stimuli, rates__h5=mutate.mutate_hdf5, rates__npy=mutate.mutate_npy, share=2.0
)
def _rates(folder: Path, file: Path) -> None:
    stimulus_from("rates", file, NETWORK)


@target(
    "SONATA spikes",
    make_stimuli,
    share=2.0,
    spikes__h5=mutate.mutate_hdf5,
    old__h5=mutate.mutate_hdf5,
    spikes__csv=mutate.mutate_text,
)
def _spikes(folder: Path, file: Path) -> None:
    stimulus_from("sonata_spikes", file, NETWORK, duration_ms=100.0, trials=2)


@target("draws", make_stimuli, draws__h5=mutate.mutate_hdf5, draws__npy=mutate.mutate_npy)
def _draws(folder: Path, file: Path) -> None:
    read_draws(file, [N_STEPS] * N_TRIALS)


@target("LGN table", make_stimuli, lgn__csv=mutate.mutate_text, share=2.0)
def _lgn_table(folder: Path, file: Path) -> None:
    read_lgn_table(file)


@target("LGN ids", make_stimuli, stim__h5=mutate.mutate_hdf5)
def _lgn_ids(folder: Path, file: Path) -> None:
    keys = {"kind": "grey", "lgn_table": folder / "lgn.csv", "lgn_ids_from": file}
    KINDS["grey"].model_validate(keys).made_for(NETWORK)


# --- pictures ----------------------------------------------------------------------------------


def make_pictures(folder: Path) -> None:
    pixels = rng().integers(0, 255, (20, 30, 3)).astype("u1")
    np.save(folder / "image.npy", pixels)
    np.save(folder / "movie.npy", (pixels.mean(2)[np.newaxis].repeat(4, 0) / 127 - 1).astype("f4"))
    image = Image.fromarray(pixels)
    for end in ("png", "jpg", "tif", "bmp"):
        image.save(folder / f"image.{end}")
    others = [Image.fromarray(np.roll(pixels, i, 0)) for i in range(3)]
    image.save(folder / "movie.gif", save_all=True, append_images=others, duration=40)
    image.save(folder / "movie.tif", save_all=True, append_images=others)


@target("arrays as pictures", make_pictures, share=2.0, image__npy=mutate.mutate_npy)
def _array_image(folder: Path, file: Path) -> None:
    read_images([file], FIELD_PX)


@target("arrays as movies", make_pictures, movie__npy=mutate.mutate_npy)
def _array_movie(folder: Path, file: Path) -> None:
    read_movie(file, FIELD_PX, 30.0)


@target(
    "pictures",  # each in a process of its own, as in a run
    make_pictures,
    share=0.002,
    image__png=mutate.mutate_bytes,
    image__jpg=mutate.mutate_bytes,
    image__tif=mutate.mutate_bytes,
    image__bmp=mutate.mutate_bytes,
)
def _pictures(folder: Path, file: Path) -> None:
    read_images([file], FIELD_PX)


@target(
    "movies",
    make_pictures,
    share=0.002,
    movie__gif=mutate.mutate_bytes,
    movie__tif=mutate.mutate_bytes,
)
def _movies(folder: Path, file: Path) -> None:
    read_movie(file, FIELD_PX, 30.0)


# --- truth, readout groups, training data ------------------------------------------------------


def make_truth(folder: Path) -> None:
    random = rng()
    shape = (N_TRIALS, N_STEPS, N_NEURONS)
    write_hdf5(
        folder / "truth.h5",
        {
            "input_spikes": random.integers(0, 2, (N_TRIALS, N_STEPS, N_LGN)),
            "voltage_neuron_ids": np.arange(3),
            "a/z": random.integers(0, 2, shape).astype("u1"),
            "a/background": random.integers(0, 3, (N_TRIALS, N_STEPS)),
            "a/voltage_mV": random.uniform(-80, -40, (N_TRIALS, N_STEPS, 3)).astype("f4"),
            "b/no_background/z": random.integers(0, 2, shape).astype("u1"),
        },
    )


@target("truth", make_truth, truth__h5=mutate.mutate_hdf5)
def _truth(folder: Path, file: Path) -> None:
    read_input(file, N_LGN)
    for group in truth_groups(file):
        read_ground_truth(file, group, (N_TRIALS, N_STEPS, N_NEURONS))


def make_readout(folder: Path) -> None:
    groups = rng().permutation(N_NEURONS)[:12].reshape(3, 4)
    write_tiny(folder / "readout.h5")
    np.save(folder / "readout.npy", groups)
    (folder / "readout.json").write_text(json.dumps(groups.tolist()))
    (folder / "readout.txt").write_text("\n".join(" ".join(map(str, row)) for row in groups))


@target(
    "readout",
    make_readout,
    share=2.0,
    readout__h5=mutate.mutate_hdf5,
    readout__npy=mutate.mutate_npy,
    readout__json=mutate.mutate_json,
    readout__txt=mutate.mutate_text,
)
def _readout(folder: Path, file: Path) -> None:
    read_readout_groups(file, N_NEURONS)


def make_training_data(folder: Path) -> None:
    made = folder / "data"
    write_training_folder(made, with_parts(NETWORK, provenance=None))
    for path in (made / "network_dat.pkl", made / "input_dat.pkl", *made.glob("network/*")):
        shutil.copy(path, folder / path.name)


@target(
    "training data",
    make_training_data,
    share=2.0,
    network_dat__pkl=mutate.mutate_pickle,
    input_dat__pkl=mutate.mutate_pickle,
    v1_nodes__h5=mutate.mutate_hdf5,
    v1_node_types__csv=mutate.mutate_text,
)
def _training_data(folder: Path, file: Path) -> None:
    place = "network" if file.name.startswith("v1_") else ""
    held = folder / "data" / place / file.name
    sound = held.read_bytes()
    try:
        shutil.copy(file, held)
        data = open_folder(folder / "data")
        initial_network(data, select_neurons(data, None, "connected", 1))
    finally:
        held.write_bytes(sound)


# --- what v1sim wrote --------------------------------------------------------------------------


def make_documents(folder: Path) -> None:
    write_tiny(folder / "net.h5")
    shared = folder / "shared"
    shared.mkdir(exist_ok=True)
    policy = guard.Policy("constructed")
    network = open_network(folder / "net.h5")
    SharedInput(shared).keep_pass(guard.admit(network, policy), policy)
    (made,) = shared.glob("pass-*.json")
    shutil.copy(made, folder / "pass.json")
    shutil.copy(SEEDS / "report.json", folder)
    RunStateDocument(state="failed", reason="no disk").write(folder / "state.json")
    shape = (N_NEURONS, 3)
    write_state(
        folder / "state.npz",
        NetworkState("ab", "training", 1.0, 9, np.zeros(shape), np.zeros((N_NEURONS, 5, 4))),
    )
    write_hdf5(
        folder / "recording.h5",
        {
            "spikes/v1/timestamps": np.arange(50.0), "spikes/v1/node_ids": np.arange(50),
            "spikes/lgn/node_ids": np.arange(9), "spikes/lgn/timestamps": np.arange(9.0),
        },
    )  # fmt: skip


@target("pass of a batch", make_documents, share=0.4, pass__json=mutate.mutate_json)
def _pass(folder: Path, file: Path) -> None:
    (kept,) = (folder / "shared").glob("pass-*.json")
    shutil.copy(file, kept)
    SharedInput(folder / "shared").admit_by_pass(
        open_network(folder / "net.h5"), guard.Policy("constructed")
    )


@target("report", make_documents, report__json=mutate.mutate_json)
def _report(folder: Path, file: Path) -> None:
    RunReport.read(file, expected="a report").to_text()


@target("state of a batch", make_documents, share=3.0, state__json=mutate.mutate_json)
def _batch_state(folder: Path, file: Path) -> None:
    RunStateDocument.read(file, expected="the state of a run")


@target("saved state", make_documents, state__npz=mutate.mutate_npz)
def _saved_state(folder: Path, file: Path) -> None:
    read_state(file)


@target("recording", make_documents, recording__h5=mutate.mutate_hdf5)
def _recording(folder: Path, file: Path) -> None:
    read_sonata(file, TRIALS, 1.0)
