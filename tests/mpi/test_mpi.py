"""Several processes against one: the same spikes, one recording, one message.

Needs a Python whose NEST was built with MPI: V1SIM_MPI_PYTHON, or .venv-mpi
(scripts/test --all makes it).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("V1SIM_MPI_PYTHON") or str(ROOT / ".venv-mpi" / "bin" / "python")

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(not shutil.which(PYTHON), reason=f"no NEST with MPI: {PYTHON}"),
    pytest.mark.skipif(not shutil.which("mpirun"), reason="no mpirun"),
]

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}
GRATINGS = {
    "kind": "drifting_gratings",
    "directions_deg": [0, 90],
    "trials": 1,
    "grey_ms": 100,
    "grating_ms": 300,
}


def run(config: Path, out: str, *, processes: int, threads: int, code: int = 0) -> str:
    """``v1sim run`` in ``processes`` processes; its output."""
    launcher = ["mpirun", "--oversubscribe", "-n", str(processes)] if processes > 1 else []
    done = subprocess.run(
        [
            *launcher,
            *(PYTHON, "-m", "v1sim", "run", str(config), "--out", out),
            *("--threads", str(threads)),
        ],
        cwd=config.parent,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert "Traceback" not in text
    return text


def write(folder: Path, **keys: object) -> Path:
    path = folder / "run.yaml"
    content = {"require": "constructed", "stimulus": GRATINGS, "recording": {"nwb": False}, **keys}
    path.write_text(yaml.safe_dump(content))
    return path


def assert_same(one: Path, several: Path) -> dict[str, object]:
    """Both folders hold the same files and the same spikes; the report of the second."""
    assert {p.name for p in one.iterdir()} == {p.name for p in several.iterdir()}
    with h5py.File(one / "spikes.h5") as a, h5py.File(several / "spikes.h5") as b:
        assert len(a["spikes/v1/node_ids"]) > 100
        for population in a["spikes"]:
            for name in ("node_ids", "timestamps"):
                path = f"spikes/{population}/{name}"
                np.testing.assert_array_equal(a[path][()], b[path][()])
    reports = [json.loads((folder / "report.json").read_text()) for folder in (one, several)]
    digests = [[r["digest"] for r in report["simulation"]["read_back"]] for report in reports]
    assert digests[0] == digests[1]
    return reports[1]["simulation"]


@pytest.mark.parametrize("dynamics", ["glif_psc", "training", "training_float32"])
@pytest.mark.parametrize(("processes", "threads"), [(2, 1), (2, 2), (3, 1)])
def test_spikes_do_not_depend_on_the_number_of_processes(tmp_path, dynamics, processes, threads):
    config = write(
        tmp_path,
        network={"built_in": {"neurons": 500}},
        background="shared_binomial",
        simulation={"dynamics": dynamics},
    )
    run(config, "one", processes=1, threads=processes * threads)
    text = run(config, "several", processes=processes, threads=threads)
    assert text.count("report.html") == 1
    simulation = assert_same(tmp_path / "one", tmp_path / "several")
    assert (simulation["processes"], simulation["threads"]) == (processes, threads)


def test_nests_own_random_numbers_are_those_of_the_virtual_processes(tmp_path):
    network = {"built_in": {"neurons": 500}}
    config = write(tmp_path, network=network, background="independent_poisson")
    run(config, "one", processes=1, threads=2)
    run(config, "several", processes=2, threads=1)
    assert_same(tmp_path / "one", tmp_path / "several")


def test_voltages_come_from_the_process_that_hosts_the_neuron(tmp_path):
    config = write(
        tmp_path,
        network={"built_in": {"neurons": 300}},
        recording={"voltage_of": [3, 4, 250], "nwb": True},
    )
    traces = []
    for out, processes in (("one", 1), ("several", 2)):
        run(config, out, processes=processes, threads=2 // processes)
        with h5py.File(tmp_path / out / "spikes.nwb") as file:
            found: list[np.ndarray] = []
            file.visititems(
                lambda name, item, found=found: (
                    found.append(item[()])
                    if name.endswith("data") and isinstance(item, h5py.Dataset) and item.ndim == 2
                    else None
                )
            )
        assert found
        traces.append(np.concatenate([trace.ravel() for trace in found]))
    assert not np.isnan(traces[0]).any()
    np.testing.assert_array_equal(traces[0], traces[1])


def test_only_the_first_process_reads_the_network(tmp_path):
    """The second one runs where the file is not."""
    folders = tmp_path / "with", tmp_path / "without"
    for folder in folders:
        folder.mkdir()
        write(folder, network="column.h5")
    subprocess.run(
        [sys.executable, "-m", "v1sim", "build-column", "--neurons", "500", "--out", "column.h5"],
        cwd=folders[0],
        check=True,
    )
    run(folders[0] / "run.yaml", "one", processes=1, threads=2)
    command = [PYTHON, "-m", "v1sim", "run", "run.yaml", "--out", "several", "--threads", "1"]
    done = subprocess.run(
        [
            *("mpirun", "--oversubscribe", "-n", "1", "--wdir", str(folders[0]), *command),
            *(":", "-n", "1", "--wdir", str(folders[1]), *command),
        ],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same(folders[0] / "one", folders[0] / "several")
    assert sorted(p.name for p in folders[1].iterdir()) == ["run.yaml"]


def test_a_network_that_may_be_trained_gets_training_dynamics(tmp_path):
    """The first process chooses them, and all look for the module together."""
    column = tmp_path / "column.h5"
    subprocess.run(
        [sys.executable, "-m", "v1sim", "build-column", "--neurons", "500", "--out", str(column)],
        check=True,
    )
    with h5py.File(column, "r+") as file:
        del file["provenance"]
    config = write(tmp_path, network="column.h5", require="any")
    run(config, "one", processes=1, threads=2)
    run(config, "several", processes=2, threads=1)
    simulation = assert_same(tmp_path / "one", tmp_path / "several")
    assert simulation["dynamics"] == "training"


@pytest.mark.parametrize("dynamics", ["training", "training_float32"])
def test_the_numbers_of_analog_input_reach_every_process(tmp_path, dynamics):
    with h5py.File(tmp_path / "stimuli.h5", "w") as file:
        values = np.random.default_rng(1).uniform(0, 0.05, (2, 200, 150))
        file["spike_trains"] = values.astype(np.float32)
    config = write(
        tmp_path,
        network={"built_in": {"neurons": 500, "lgn": 150}},
        stimulus={"kind": "probabilities", "file": "stimuli.h5", "input": "analog"},
        background="shared_binomial",
        simulation={"dynamics": dynamics},
    )
    run(config, "one", processes=1, threads=2)
    run(config, "several", processes=2, threads=1)
    assert_same(tmp_path / "one", tmp_path / "several")


@pytest.mark.slow
def test_a_network_of_a_million_synapses(tmp_path):
    config = write(tmp_path, network={"built_in": {"neurons": 10_000}})
    run(config, "one", processes=1, threads=2)
    run(config, "several", processes=2, threads=1)
    assert_same(tmp_path / "one", tmp_path / "several")
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert sum(report["network"]["projections"].values()) > 1e6


def test_what_all_refuse_is_said_once(tmp_path):
    config = write(tmp_path, network={"built_in": {"neurons": 300}}, require="trained")
    text = run(config, "out", processes=2, threads=1, code=1)
    assert text.count("no neuron was created") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.yaml"]


def test_a_failure_of_one_process_ends_all(tmp_path):
    """The folder that only the first process writes to cannot be made."""
    config = write(tmp_path, network={"built_in": {"neurons": 300}})
    (tmp_path / "file").write_text("")
    text = run(config, "file/out", processes=2, threads=1, code=2)
    assert text.count("cannot be written") == 1
