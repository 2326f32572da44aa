"""The demonstration shows what it says: trained passes and classifies, untrained does neither."""

from __future__ import annotations

from pathlib import Path

from tests.behaviour.test_command_line import assert_refused, v1sim
from v1sim.documents.run import read_report

ROOT = Path(__file__).parents[2]


def test_the_demonstration_ends_with_a_page_that_tells_trained_from_untrained(tmp_path):
    done = v1sim("demo", cwd=tmp_path, timeout=400)
    assert done.returncode == 0, done.stderr
    steps = done.stdout.split("$ v1sim ")[1:]
    assert [step.split()[0] for step in steps] == [
        "check",
        "check",
        "convert",
        "run",
        "run",
        "compare",
    ]
    assert "PASSED: " in steps[0]
    assert "REFUSED: " in steps[1]
    folder = tmp_path / "v1sim-demo"
    accuracy = {
        name: read_report(folder / name).results.classification.accuracy
        for name in ("trained", "untrained")
    }
    assert accuracy["trained"] > 0.7
    assert accuracy["untrained"] < 0.4
    assert "Accuracy by label" in (folder / "comparison.html").read_text()
    assert_refused(v1sim("demo", cwd=tmp_path), 2, "v1sim-demo")


def test_the_classification_runs_as_it_is(tmp_path):
    done = v1sim("run", ROOT / "configs" / "classify.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "of 10 trials classified rightly (95 % interval" in done.stdout
