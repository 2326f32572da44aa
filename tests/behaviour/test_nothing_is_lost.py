"""Folders, names and terminals of everyday life: no finished result is lost."""

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

from v1sim.config import load_config

RUN = {
    "network": "net.h5",
    "require": "constructed",
    "stimulus": {"kind": "spontaneous", "rate_hz": 5, "duration_ms": 100, "trials": 1},
    "recording": {"nwb": False},
}


def v1sim(*arguments: object, cwd: Path, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "v1sim", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert "Traceback" not in text
    return text


@pytest.fixture(scope="module")
def column(tmp_path_factory):
    folder = tmp_path_factory.mktemp("column")
    v1sim("build-column", "--out", "net.h5", "--neurons", 300, "--lgn", 400, cwd=folder)
    return folder / "net.h5"


@pytest.fixture
def folder(tmp_path, column):
    shutil.copy(column, tmp_path / "net.h5")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(RUN))
    return tmp_path


def spikes(folder: Path):
    with h5py.File(folder / "spikes.h5") as file:
        return file["spikes/v1/node_ids"][()], file["spikes/v1/timestamps"][()]


def test_a_home_that_cannot_be_written_costs_nothing(folder):
    # Nobody, not even root, can make a folder below a file.
    home = folder / "file"
    home.write_text("")
    environment = {"HOME": str(home), "XDG_CACHE_HOME": ""}
    text = v1sim(
        *("run", "run.yaml", "--out", "out", "--set", "recording.nwb=true"),
        cwd=folder,
        **environment,
    )
    assert "caches lie in" in text
    assert (folder / "out" / "spikes.nwb").exists()


def test_a_package_that_cannot_be_imported_is_found_before_anything_is_built(folder):
    code = "import sys; sys.modules['hdmf'] = None; sys.argv[0] = 'v1sim'; "
    code += "from v1sim.cli import main; main()"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            *["run", "run.yaml", "--out", "out", "--set", "recording.nwb=true"],
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "what writes the results cannot be loaded" in done.stderr
    assert "synapses:" not in done.stderr
    assert not (folder / "out").exists()


def test_runs_of_the_same_second_have_folders_of_their_own(folder):
    command = [sys.executable, "-m", "v1sim", "run", "run.yaml", "--set"]
    for attempt in range(3):
        both = [
            subprocess.Popen([*command, f"seed={seed}"], cwd=folder, stdout=-3, stderr=-3)
            for seed in (1, 2)
        ]
        assert [process.wait() for process in both] == [0, 0]
        runs = sorted((folder / "runs").iterdir())
        assert len(runs) == 2 * (attempt + 1)
        assert all((run / "report.json").exists() for run in runs)
        if any(run.name.endswith("_2") for run in runs):
            break


def test_the_configuration_of_a_run_gives_the_same_run(folder):
    (folder / "built.yaml").write_text(
        yaml.safe_dump({**RUN, "network": {"built_in": {"neurons": 300}}})
    )
    v1sim("run", "built.yaml", "--out", "one", cwd=folder)
    held = load_config(folder / "one" / "config.yaml")
    assert held.network == (folder / "one" / "network.h5")
    assert "auto" not in held.simulation.model_dump().values()
    report = json.loads((folder / "one" / "report.json").read_text())
    assert report["config"]["simulation"] == held.simulation.model_dump(mode="json")
    moved = folder / "elsewhere" / "moved"
    moved.parent.mkdir()
    (folder / "one").rename(moved)
    v1sim("run", moved / "config.yaml", "--out", "two", cwd=folder)
    for a, b in zip(spikes(moved), spikes(folder / "two"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_rule_for_what_is_there_already(folder):
    before = (folder / "net.h5").read_bytes()
    column = ("build-column", "--out", "net.h5", "--neurons", 200, "--lgn", 100)
    assert "--force" in v1sim(*column, cwd=folder, code=2)
    stimulus = ("stimulus", "run.yaml", "--out", "net.h5")
    assert "--force" in v1sim(*stimulus, cwd=folder, code=2)
    assert (folder / "net.h5").read_bytes() == before
    v1sim("run", "run.yaml", "--out", "out", cwd=folder)
    assert "--force" in v1sim("run", "run.yaml", "--out", "out", cwd=folder, code=2)
    v1sim("run", "run.yaml", "--out", "out", "--force", "--set", "seed=7", cwd=folder)
    assert load_config(folder / "out" / "config.yaml").seed == 7
    assert "300 neurons" not in v1sim(*column, "--force", cwd=folder)


def test_stamp_in_the_files_own_folder_and_through_a_link(shipped, tmp_path):
    shutil.copy(shipped.files["trained"], tmp_path / "old.h5")
    (tmp_path / "link.h5").symlink_to("old.h5")
    checkpoint = shipped.indices["trained"]
    for name in ("old.h5", "link.h5"):
        text = v1sim("stamp", name, "--checkpoint", checkpoint, cwd=tmp_path)
        assert text.startswith(f"{name}: trained")
        assert ".part" not in text
    assert (tmp_path / "link.h5").is_symlink()
    with h5py.File(tmp_path / "old.h5") as file:
        assert "provenance" in file


def test_paths_are_what_a_shell_would_make_of_them(folder):
    (folder / "run.yaml").write_text(yaml.safe_dump({**RUN, "network": "$NETS/net.h5"}))
    v1sim(
        *("run", "~/run.yaml", "--out", "~/results/[bold]x"),
        cwd=folder,
        HOME=str(folder),
        NETS=str(folder),
    )
    assert (folder / "results" / "[bold]x" / "report.html").exists()
    text = v1sim("check", "$NO_SUCH_THING/net.h5", cwd=folder, code=2)
    assert "NO_SUCH_THING is not set" in text
    text = v1sim("build-column", "--out", "[red]n.h5", "--neurons", 200, "--lgn", 100, cwd=folder)
    assert text.startswith("[red]n.h5: ")


def test_the_current_folder_may_be_the_run_folder(folder):
    (folder / "here").mkdir()
    text = v1sim("run", folder / "run.yaml", "--out", ".", cwd=folder / "here")
    assert f"{folder / 'here'}/report.html" in text
    assert (folder / "here" / "report.json").exists()
    assert "not empty" in v1sim("run", "run.yaml", "--out", ".", cwd=folder, code=2)


def test_output_that_is_no_terminal_is_never_wrapped(folder):
    with h5py.File(folder / "net.h5", "r+") as file:
        file["recurrent/weights"][...] *= 1000
        del file["provenance"]
    text = v1sim("check", "net.h5", cwd=folder, code=1, COLUMNS="40")
    findings = [line for line in text.splitlines() if line.strip().startswith("error")]
    assert findings
    assert all("See docs/checks.md#" in line for line in findings if "docs/checks" in line)
    assert any(len(line) > 120 for line in text.splitlines())
    assert not any(line.endswith(" ") for line in text.splitlines())
    usage = v1sim("check", "--no-such-option", cwd=folder, code=2, COLUMNS="40")
    assert "No such option: --no-such-option" in usage


def test_control_characters_of_a_file_reach_no_terminal_and_no_table(folder):
    evil = "e4\x1b[2J\x07\x9b31m\u202e"
    with h5py.File(folder / "net.h5", "r+") as file:
        data = file["neurons/glif3_params/cell_class"]
        names = [n.decode() if isinstance(n, bytes) else n for n in data[()]]
        names = [evil if name == "e4" else name for name in names]
        assert evil in names
        del file["neurons/glif3_params/cell_class"], file["provenance"]
        file["neurons/glif3_params/cell_class"] = np.array([n.encode() for n in names], dtype="S64")
    shown = v1sim("check", "net.h5", "--json", "-", "--require", "any", cwd=folder, code=0)
    shown += v1sim("check", "net.h5", "--require", "any", cwd=folder, code=0)
    shown += v1sim("run", "run.yaml", "--out", "out", "--set", "require=any", cwd=folder)
    shown += v1sim("run", "run.yaml", "--dry-run", "--set", "require=any", cwd=folder)
    for path in (folder / "out").glob("*.csv"):
        shown += path.read_text(encoding="utf-8")
    assert "\\x1b[2J" in shown
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}
