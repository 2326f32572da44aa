"""The members of the package: what there is, that it is described, and that it comes late."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import v1sim
from tests.networks import N_NEURONS, damaged, sealed, tiny_network, write_tiny
from v1sim import api
from v1sim.errors import ConfigError, GuardRefusal, NetworkFileError, OutputError
from v1sim.sources.hdf5 import write_network

ROOT = Path(__file__).parents[2]
FUNCTIONS = [name for name in api.__all__ if name != "AnyPath"]


def test_the_members_are_these():
    """Whoever adds or removes one changes what programs outside rely on."""
    assert v1sim.__all__ == [
        "ArrayRequirements",
        "CheckReport",
        "GuardRefusal",
        "InputError",
        "NetworkModel",
        "Run",
        "SimulationError",
        "TrainingMinimum",
        "V1simError",
        "__version__",
        "build",
        "build_column",
        "check",
        "compare",
        "convert",
        "diff",
        "open_network",
        "open_run",
        "preview",
        "run",
        "verify",
        "verify_dynamics",
    ]
    assert set(FUNCTIONS) <= set(v1sim.__all__)
    assert set(v1sim.__all__) <= set(dir(v1sim))
    assert all(getattr(v1sim, name) is not None for name in v1sim.__all__)


def test_a_name_that_is_none_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'open_netwrok'"):
        _ = v1sim.open_netwrok


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_typed_and_described(name):
    """In numpydoc: each parameter, what comes back, what is raised."""
    function = getattr(api, name)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    text = inspect.getdoc(function) or ""
    described = re.findall(r"^([\w*, ]+?)(?: : .*)?\n    \S", text, re.MULTILINE)
    names = {part.strip(" *") for line in described for part in line.split(",")}
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name
        assert parameter.name in names, parameter.name
    assert "\nReturns\n-------\n" in text
    assert "\nRaises\n------\n" in text


@pytest.mark.parametrize("name", FUNCTIONS)
def test_paths_may_be_text_or_like_paths(name):
    """No parameter asks for a `Path` alone."""
    hints = inspect.get_annotations(getattr(api, name))
    paths = [k for k, v in hints.items() if re.search(r"(?<!Any)\bPath\b", str(v))]
    assert paths == []
    assert set(typing.get_args(api.AnyPath)) == {str, os.PathLike[str]}


def test_a_type_checker_knows_the_members_and_no_others(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import v1sim\n"
        "reveal_type(v1sim.check('net.h5').passed)\n"
        "reveal_type(v1sim.run('a.yaml').report.results.mean_rate_hz)\n"
        "v1sim.chekc('net.h5')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(program)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if "No module named mypy" in done.stderr:
        pytest.skip("needs mypy")
    found = [line.partition(": ")[2] for line in done.stdout.splitlines() if "program.py" in line]
    assert 'note: Revealed type is "bool"' in found[0].replace("builtins.", "")
    assert '"float | None"' in found[1].replace("builtins.", "")
    assert 'Module has no attribute "chekc"' in found[2]
    assert len(found) == 3


def test_checking_takes_paths_and_networks(tmp_path):
    path = tmp_path / "tiny.h5"
    write_tiny(path)
    by_text = v1sim.check(str(path), require="constructed")
    by_path = v1sim.check(path, require="constructed")
    read = v1sim.open_network(str(path))
    by_network = v1sim.check(read, require="constructed")
    assert by_text == by_path == by_network
    assert by_text.passed
    refused = v1sim.check(path)
    assert not refused.passed
    waived = v1sim.check(path, waive={refused.blocking[0].check: "known"})
    assert waived.waived == {refused.blocking[0].check: "known"}


def test_what_notebooks_show_begins_with_the_verdict(tmp_path):
    path = tmp_path / "tiny<b>.h5"
    write_tiny(path)
    network = v1sim.open_network(path)
    passed, refused = v1sim.check(network, require="constructed"), v1sim.check(network)
    other = v1sim.diff(network, write_tiny(tmp_path / "other.h5", seed=2))
    for shown, verdict in (
        (network, "NOT CHECKED"),
        (passed, "PASSED"),
        (refused, "REFUSED"),
        (other, "ANOTHER NETWORK"),
        (v1sim.diff(path, network), "EQUAL"),
    ):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 250 + len(str(path))
        html = shown._repr_html_()
        text = re.sub(r"<[^>]*>", " ", html).split()
        assert " ".join(text).startswith(verdict)
        assert "<b>" not in html
    assert refused.blocking[0].message in refused._repr_html_().replace("&#39;", "'")


def test_a_network_that_is_refused_is_not_built(tmp_path):
    """The gate stands before NEST is even loaded."""
    path = tmp_path / "bad.h5"
    network = sealed(tiny_network())
    weight = network.tables["recurrent"].weight.copy()
    weight[3] = np.nan
    write_network(damaged(network, "recurrent", weight=weight), path)
    code = (
        "import sys, v1sim\n"
        "try:\n    v1sim.build(sys.argv[1], require='any')\n"
        "except v1sim.GuardRefusal as refusal:\n"
        "    print(refusal.report.passed, 'nest' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]
    with pytest.raises(GuardRefusal):
        v1sim.run({"network": path, "stimulus": {"kind": "spontaneous"}}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_input_is_told_in_words(tmp_path, monkeypatch):
    with pytest.raises(NetworkFileError, match="no such file"):
        v1sim.open_network(tmp_path / "none.h5")
    with pytest.raises(ConfigError, match=r"stimulus\.trails .changes.: unknown key") as error:
        v1sim.preview({"stimulus": {"kind": "spontaneous"}}, {"stimulus.trails": 3})
    assert "trials" in str(error.value)
    with pytest.raises(ConfigError, match="neurons"):
        v1sim.build_column(tmp_path / "a.h5", neurons=3)
    (tmp_path / "there.h5").write_text("")
    monkeypatch.setenv("PLACE", str(tmp_path))
    with pytest.raises(OutputError, match="is there already"):
        v1sim.build_column("$PLACE/there.h5")


def test_a_configuration_may_be_a_mapping_of_values_as_programs_have_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path / "tiny.h5")
    config = {
        "network": "tiny.h5",
        "require": "constructed",
        "stimulus": {"kind": "spontaneous", "trials": np.int64(2), "duration_ms": 100.0},
    }
    preview = v1sim.preview(config, {"recording.voltage_of": np.arange(2), "seed": 3})
    assert "2 trials" in preview.text
    assert preview.guard.network == str(tmp_path / "tiny.h5")
    assert f"{N_NEURONS}" in repr(v1sim.open_network("tiny.h5"))
