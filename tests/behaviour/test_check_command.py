"""``v1sim check`` with its proofs and outputs, and with anything at all in place of its files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.behaviour.test_command_line import SMALL, assert_refused, v1sim
from tests.networks import write_tiny
from v1sim import guard
from v1sim.errors import V1simError
from v1sim.sources import open_network


def report(path: Path) -> dict:
    return json.loads(path.read_text())


def test_proofs_strongest_first(shipped, tmp_path):
    net = shipped.files["trained"]
    index = shipped.indices["trained"]
    baseline = shipped.files["untrained"]
    for options, proof in (
        (["--baseline", baseline], "baseline"),
        (["--baseline", baseline, "--checkpoint", index], "checkpoint"),
    ):
        done = v1sim("check", net, *options, "--json", "r.json", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        document = report(tmp_path / "r.json")
        assert (document["verdict"], document["proof"]) == ("trained", proof)
        assert document["arrays"]["recurrent/weights"]["verdict"] == "trained"


def test_the_page_is_written_beside_the_answer(tmp_path):
    write_tiny(tmp_path / "net.h5")
    done = v1sim("check", "net.h5", "--require", "constructed", "--html", "r.html", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout
    assert "data:image/png;base64," in (tmp_path / "r.html").read_text()


def test_an_undetermined_network_names_what_would_settle_it(shipped, tmp_path):
    net = shipped.files["few_steps"]
    done = v1sim("check", net, cwd=tmp_path)
    assert_refused(done, 1, "undetermined", f"v1sim check {net} --checkpoint CKPT", "--baseline")
    done = v1sim("check", net, "--baseline", shipped.files["untrained"], cwd=tmp_path)
    assert_refused(done, 1, "untrained", "almost the baseline's")


def test_a_run_takes_checkpoint_and_baseline_from_its_configuration(tmp_path):
    write_tiny(tmp_path / "tiny.h5")
    config = tmp_path / "small.yaml"
    config.write_text(SMALL.format(network="tiny.h5", require="constructed") + "baseline: no.h5\n")
    assert_refused(v1sim("run", config, cwd=tmp_path), 2, "no.h5", "no such file")
    config.write_text(
        SMALL.format(network="tiny.h5", require="constructed") + "checkpoint: ckpt-1\n"
    )
    assert_refused(v1sim("run", config, cwd=tmp_path), 2, "ckpt-1", "no such checkpoint")


def test_more_evidence_never_lets_a_network_of_five_steps_pass(shipped, tmp_path):
    net = shipped.files["few_steps"]
    checkpoint = ("--checkpoint", shipped.indices["few_steps"])
    baseline = ("--baseline", shipped.files["untrained"])
    for given in ((), checkpoint, baseline, (*checkpoint, *baseline)):
        assert v1sim("check", net, *given, cwd=tmp_path).returncode == 1
    done = v1sim("check", net, *checkpoint, "--minimum", "updates=5", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    wrong = v1sim("check", net, "--minimum", "updates=many", cwd=tmp_path)
    assert_refused(wrong, 2, "--minimum", "updates", "'many' is not allowed")


def test_arrays_are_required_one_by_one(shipped, tmp_path):
    net = shipped.files["trained"]
    by_array = "recurrent=trained,input=any"
    done = v1sim("check", net, "--require", by_array, "--json", "r.json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    words = " ".join(done.stdout.split())
    assert "required: recurrent trained, input any, background any" in words
    wanted = {"recurrent": "trained", "input": "any", "background": "any"}
    assert report(tmp_path / "r.json")["require"] == wanted
    done = v1sim("check", net, "--require", "background=constructed", cwd=tmp_path)
    assert_refused(done, 1, "input/bkg_weights", "constructed ones are")
    assert_refused(
        v1sim("check", net, "--require", "recurrent", cwd=tmp_path), 2, "--require", "recurrent"
    )


def test_an_untrained_network_that_any_accepts_is_no_plain_pass(shipped, tmp_path):
    net = shipped.files["untrained"]
    done = v1sim(
        *("check", net, "--require", "any", "--html", "r.html", "--json", "r.json"), cwd=tmp_path
    )
    assert done.returncode == 0
    assert "PASSED, WITH DOUBTS" in done.stdout
    (doubt,) = report(tmp_path / "r.json")["doubts"]
    assert "Nothing shows that the weights are trained" in doubt
    assert 'class="gate doubtful"' in (tmp_path / "r.html").read_text()


NONSENSE = {
    "empty": b"",
    "signature only": b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8,
}


@pytest.mark.parametrize("content", NONSENSE)
def test_nonsense_in_place_of_any_file(content, tmp_path):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(NONSENSE[content])
    (tmp_path / "ckpt-1.index").write_bytes(NONSENSE[content])
    write_tiny(tmp_path / "net.h5")
    outputs = ["--json", "r.json", "--html", "r.html"]
    assert_refused(v1sim("check", bad, *outputs, cwd=tmp_path), 2, "bad.h5")
    assert report(tmp_path / "r.json")["passed"] is False
    assert "Gate: refused" in (tmp_path / "r.html").read_text()
    done = v1sim("check", "net.h5", "--baseline", bad, *outputs, cwd=tmp_path)
    assert_refused(done, 2, "bad.h5")
    done = v1sim("check", "net.h5", "--checkpoint", "ckpt-1", *outputs, cwd=tmp_path)
    assert_refused(done, 2, "ckpt-1")


def test_outputs_that_cannot_be_written(tmp_path):
    write_tiny(tmp_path / "net.h5")
    for option in ("--json", "--html"):
        done = v1sim(
            "check", "net.h5", "--require", "constructed", option, "/proc/no/r", cwd=tmp_path
        )
        assert_refused(done, 2, "/proc/no/r", "cannot be written")


MEASURE = """
import resource, subprocess, sys
command = [sys.executable, "-m", "v1sim", *sys.argv[1:]]
done = subprocess.run(command, capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(done.returncode, peak, "Traceback" in done.stdout + done.stderr)
"""


def test_memory_is_bounded_whatever_a_file_declares(tmp_path):
    write_tiny(tmp_path / "net.h5")
    write_tiny(tmp_path / "huge.h5")
    with h5py.File(tmp_path / "huge.h5", "r+") as file:
        for name in ("sources", "targets", "weights", "receptor_types", "delays"):
            del file[f"recurrent/{name}"]
            file.create_dataset(
                f"recurrent/{name}", shape=(10**15,), dtype="f4", chunks=(1024,), fillvalue=0
            )
    for arguments in (["huge.h5"], ["net.h5", "--baseline", "huge.h5", "--html", "r.html"]):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, "check", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        code, peak_kb, traceback = done.stdout.split()
        assert (code, traceback) == ("2", "False")
        assert int(peak_kb) < 600_000


def test_random_bytes_over_a_network(tmp_path):
    """A report or one error, whatever bytes are overwritten; never a traceback."""
    write_tiny(tmp_path / "net.h5")
    content = (tmp_path / "net.h5").read_bytes()
    rng = np.random.default_rng(11)
    path = tmp_path / "other.h5"
    n_reports = 0
    for _ in range(60):
        data = bytearray(content)
        for place in rng.integers(0, len(data), int(rng.integers(1, 40))):
            data[place] = int(rng.integers(256))
        path.write_bytes(data)
        try:
            policy = guard.Policy("any", baseline=tmp_path / "net.h5")
            report = guard.examine(open_network(path), policy)
        except V1simError:
            continue
        n_reports += 1
        assert "guard.crash" not in {f.check for f in report.findings}, report.findings
    assert n_reports
