"""Some thousands of damaged inputs of all that v1sim reads; `python -m tests.fuzz` for more."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.runner import Inputs, run, shares, table
from tests.fuzz.targets import TARGETS
from tests.networks import write_tiny
from v1sim.errors import V1simError

#: About 15 s of CPU time.
N_INPUTS = 1500
QUICK = (
    "configuration",
    "--set and the like",
    "readout",
    "LGN table",
    "checkpoint index",
    "report",
)


def test_damaged_inputs_are_read_or_refused():
    found = run(shares(N_INPUTS, TARGETS), seed=0, jobs=1)
    escapes = [escape for counts in found.values() for escape in counts.escapes]
    assert not escapes, "\n".join([table(found), *(f"{e.kind}\n{e.trace}" for e in escapes)])
    assert sum(counts.refused for counts in found.values()) > N_INPUTS / 4
    assert all(counts.n for counts in found.values())


@pytest.fixture(scope="module", params=QUICK)
def inputs(request, tmp_path_factory):
    return Inputs(TARGETS[request.param], tmp_path_factory.mktemp("fuzz"), seed=0)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(chance=st.randoms(use_true_random=False))
def test_hypothesis_finds_none_either(inputs, chance):
    """The same damage, whose choices hypothesis makes and makes smaller.

    Without HDF5: what writes it damaged may end the process, and has one of its own elsewhere.
    """
    name = chance.choice(sorted(name for name in inputs.sound if not name.endswith(".h5")))
    content = inputs.target.damage[name](inputs.sound[name], chance)
    with contextlib.suppress(V1simError):
        inputs.read(name, content)


def test_an_escape_is_seen():
    """The runner counts what it is for: errors, ends of the process, time, and memory."""
    code = """
import os, sys, numpy as np
from tests.fuzz import runner, targets
faults = {
    "error": lambda folder, file: {}["x"],
    "end": lambda folder, file: os.kill(os.getpid(), 11),
    "time": lambda folder, file: [None for _ in iter(int, 1)],
    "memory": lambda folder, file: np.ones(1_300_000_000, np.uint8),
    "write": lambda folder, file: (folder / "raw.bin").write_bytes(b"x"),
}
for name, fault in faults.items():
    known = targets.TARGETS["state of a batch"]
    targets.TARGETS[name] = targets.Target(name, known.make, known.damage, fault)
    runner.SECONDS = 0.5 if name == "time" else 60.0
    (counts,) = runner.run({name: 1}, seed=0, jobs=1).values()
    print(name, counts.n_escapes, counts.escapes[0].what)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    lines = done.stdout.splitlines()
    expected = ("KeyError", "SIGSEGV", "more than 0.5 s", "GB of memory", "raw.bin was changed")
    assert len(lines) == len(expected), done.stderr
    for line, words in zip(lines, expected, strict=True):
        assert " 1 " in line
        assert words in line


def test_the_same_number_gives_the_same_input(tmp_path):
    for name in ("network", "configuration", "readout"):
        folders = [tmp_path / f"{name}{i}" for i in range(2)]
        for folder in folders:
            folder.mkdir()
        a, b = (Inputs(TARGETS[name], folder, seed=4) for folder in folders)
        with contextlib.chdir(tmp_path):
            texts = [[one.damaged(n)[0] for n in range(10)] for one in (a, b)]
        assert texts[0] == texts[1]


# --- files that lead out of themselves ---------------------------------------------------------


def leading_out(path: Path, kind: str) -> None:
    """A network file of which one array lies in another file; or its provenance would."""
    other, raw = path.parent / "other.h5", path.parent / "raw.bin"
    write_tiny(path)
    with h5py.File(path, "r+") as file, h5py.File(other, "w") as beside:
        weight = file["recurrent/weights"][()]
        beside["x"] = weight
        beside["text"] = np.bytes_("x" * 2000)
        weight.tofile(raw)
        if kind.startswith("provenance"):
            del file["provenance"]
            file["provenance"] = h5py.ExternalLink("other.h5", "text")
            return
        del file["recurrent/weights"]
        if kind == "raw storage":
            file.create_dataset(
                "recurrent/weights", weight.shape, weight.dtype, external=[("raw.bin", 0, 10**6)]
            )
        elif kind == "link":
            file["recurrent/weights"] = h5py.ExternalLink("other.h5", "x")
        else:
            layout = h5py.VirtualLayout(weight.shape, weight.dtype)
            layout[...] = h5py.VirtualSource("other.h5", "x", weight.shape)
            file.create_virtual_dataset("recurrent/weights", layout)


@pytest.mark.parametrize("kind", ["raw storage", "link", "virtual", "provenance"])
@pytest.mark.parametrize("command", ["check", "stamp"])
def test_nothing_is_written_through_what_a_file_leads_to(tmp_path, kind, command, shipped):
    net = tmp_path / "net.h5"
    leading_out(net, kind)
    beside = {p: p.read_bytes() for p in tmp_path.iterdir() if p != net}
    argv = {"check": [], "stamp": ["--checkpoint", str(shipped.indices["trained"])]}[command]
    done = subprocess.run(
        [sys.executable, "-m", "v1sim", command, str(net), *argv],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert {p: p.read_bytes() for p in beside} == beside


def test_a_stamp_replaces_a_link_and_does_not_follow_it(tmp_path, shipped):
    net = tmp_path / "net.h5"
    net.write_bytes(shipped.files["trained"].read_bytes())
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["text"] = np.bytes_("x" * 20_000)
    with h5py.File(net, "r+") as file:
        file["provenance"] = h5py.ExternalLink("other.h5", "text")
    before, index = (tmp_path / "other.h5").read_bytes(), shipped.indices["trained"]
    subprocess.run(
        [sys.executable, "-m", "v1sim", "stamp", str(net), "--checkpoint", str(index)],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (tmp_path / "other.h5").read_bytes() == before
