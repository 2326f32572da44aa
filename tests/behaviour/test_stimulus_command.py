"""``v1sim stimulus``, and that a run on the file it writes is the run itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.networks import write_tiny
from v1sim.config import load_config
from v1sim.sources import open_network

CONFIG = """
network: tiny.h5
require: constructed
stimulus:
  kind: drifting_gratings
  directions_deg: [0, 90]
  contrast: [0.2, 1.0]
  trials: 3
  grey_ms: 50
  grating_ms: 200
seed: 5
"""


def v1sim(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "v1sim", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    write_tiny(tmp_path / "tiny.h5")
    (tmp_path / "gratings.yaml").write_text(CONFIG)
    return tmp_path


def test_file_and_picture(folder):
    done = v1sim("stimulus", "gratings.yaml", "--out", "s.h5", "--set", "seed=8", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "4 stimuli of 250 ms" in " ".join(done.stdout.split())
    assert {p.name for p in folder.iterdir()} == {"tiny.h5", "gratings.yaml", "s.h5", "s.png"}
    with Image.open(folder / "s.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 20

    network = open_network(folder / "tiny.h5")
    shown = load_config(folder / "gratings.yaml").stimulus.made_for(network)
    same = f"{{kind: probabilities, file: {folder}/s.h5, trials: 3}}"
    changed = load_config(folder / "gratings.yaml", [f"stimulus={same}"])
    again = changed.stimulus.made_for(network)
    assert len(shown.trials) == len(again.trials) == 12
    for ours, theirs in zip(shown.trials, again.trials, strict=True):
        assert ours.window_ms == theirs.window_ms
        assert ours.stimulus.items() <= theirs.stimulus.items()
        a, b = (p.input(ours.index, 5) for p in (shown, again))
        np.testing.assert_array_equal(a.step, b.step)
        np.testing.assert_array_equal(a.source, b.source)


@pytest.mark.slow
def test_a_run_on_the_file_gives_the_spikes_of_the_run(folder):
    assert v1sim("stimulus", "gratings.yaml", "--out", "s.h5", cwd=folder).returncode == 0
    same = "stimulus={kind: probabilities, file: s.h5, trials: 3}"
    for out, changes in (("direct", []), ("filed", ["--set", same])):
        done = v1sim("run", "gratings.yaml", "--out", out, "--threads", 1, *changes, cwd=folder)
        assert done.returncode == 0, done.stderr
    replayed = "stimulus={kind: sonata_spikes, file: direct/spikes.h5, population: lgn, "
    replayed += "duration_ms: 250, trials: 12}"
    done = v1sim(
        "run", "gratings.yaml", "--out", "replayed", "--threads", 1, "--set", replayed, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    tables = [folder / out / "spikes.h5" for out in ("direct", "filed", "replayed")]
    for population in ("lgn", "v1"):
        spikes = []
        for path in tables:
            with h5py.File(path) as file:
                group = file[f"spikes/{population}"]
                spikes.append((group["node_ids"][()], group["timestamps"][()]))
        assert len(spikes[0][0]) > 50
        for other in spikes[1:]:
            np.testing.assert_array_equal(other[0], spikes[0][0])
            np.testing.assert_array_equal(other[1], spikes[0][1])
    # What the file shows is known from it: both runs have the same tuning.
    neurons = [(folder / out / "neurons.csv").read_text() for out in ("direct", "filed")]
    assert neurons[0] == neurons[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gratings.yaml", "--out", "s.png"], "both the file and its picture"),
        (["gratings.yaml", "--out", "absent/s.h5"], "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_one_message(folder, arguments, message):
    done = v1sim("stimulus", *arguments, cwd=folder)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert {p.name for p in folder.iterdir()} == {"tiny.h5", "gratings.yaml"}
