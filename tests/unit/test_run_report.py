from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.networks import tiny_types
from v1sim.analysis.results import ClassResult, Results
from v1sim.analysis.tuning import DirectionTuning
from v1sim.cell_classes import CellClasses
from v1sim.documents.run import REPORT_FORMAT, RunReport, read_report
from v1sim.errors import InputError, OutputError
from v1sim.report.description import _rounded_refractory_periods, describe_results
from v1sim.report.tables import write_tables

CLASSES = CellClasses(
    names=("e4", "granule"),
    of_neuron=np.array([0, 1, 0], dtype=np.uint16),
    is_excitatory=np.array([True, False]),
    inferred=False,
)


def make_results(*, tuned: bool = True, like_published: bool = True) -> Results:
    nan = np.nan
    tuning = DirectionTuning(
        axis="direction",
        like_published=like_published,
        direction_deg=np.array([0.0, 120.0, 240.0]),
        n_repeats=np.array([2, 2, 1]),
        rate_hz=np.array([[3.0, 0.0, 1.0]] * 3),
        osi=np.array([0.25, nan, 0.125]),
        dsi=np.array([0.5, nan, 0.75]),
        preferred_deg=np.array([120.0, nan, 240.0]),
        untuned_osi=0.0,
        untuned_dsi=0.0,
    )
    indices = (0.1875, 0.625) if tuned else (nan, nan)
    return Results(
        rate_hz=np.array([3.0, 0.0, 1.0 / 3.0]),
        lgn_rate_hz=np.zeros(0),
        classes=(
            ClassResult("e4", True, 2, 0, 5 / 3, 5 / 3, *indices),
            ClassResult("granule", False, 1, 1, 0.0, nan, nan, nan),
        ),
        tuning=tuning if tuned else None,
        aligned=None,
    )


def make_guard(**changes: Any) -> dict[str, Any]:
    return {
        "verdict": "constructed",
        "proof": "provenance",
        "passed": True,
        "findings": [],
        "arrays": {},
        "groups": {},
        "network_sha256": "ab" * 32,
        "network": "net.h5",
        "require": "constructed",
        "waived": {},
        "checks_run": ["values.finite"],
    } | changes


def make_report(**changes: Any) -> RunReport:
    parts: dict[str, Any] = {
        "notes": ["The network is constructed, not trained."],
        "guard": make_guard(),
        "findings": [],
        "network": {
            "path": "net.h5",
            "file_sha256": "cd" * 32,
            "network_sha256": "ab" * 32,
            "n_neurons": np.int64(3),
            "n_lgn": 0,
            "n_cell_types": 2,
            "populations": {"e4": 2, "granule": 1},
            "projections": {"recurrent": 1234},
            "classes": "named by the file",
        },
        "simulation": {
            "dynamics": "training",
            "dt_ms": 1.0,
            "threads": 2,
            "processes": 1,
            "seed": 7,
            "n_trials": 5,
            "simulated_ms": 5000.0,
            "gap_ms": 0.0,
            "between_trials": "reset",
            "background": "mean",
            "read_back": [
                {
                    "projection": "recurrent",
                    "n_synapses": 1234,
                    "digest": "1234:00",
                    "by_receptor": {"exc_to_exc": 1234},
                    "equal_to_plan": True,
                }
            ],
        },
        "results": describe_results(make_results()).model_dump(),
        "timings_s": {"load": 0.5, "run": np.float64(12.25)},
        "peak_memory_mb": 321.5,
        "command": "v1sim run a.yaml",
        "began": "2024-05-01T10:00:00+02:00",
        "config": {"name": "a run", "seed": 7, "network": Path("net.h5")},
        "machine": {"v1sim": "0.1.0", "nest-simulator": "3.10.0"},
    }
    return RunReport.of(parts | changes)


def test_the_report_says_what_design_asks_for() -> None:
    report = make_report().model_dump(mode="json")
    assert report["format"] == REPORT_FORMAT
    assert set(report) == {
        "format", "notes", "guard", "network", "simulation", "results", "timings_s",
        "peak_memory_mb", "findings", "command", "began", "config", "machine",
    }  # fmt: skip
    results = report["results"]
    assert results["mean_rate_hz"] == pytest.approx(10 / 9)
    assert results["lgn_mean_rate_hz"] is None
    assert results["n_silent"] == 1
    e4, granule = results["classes"]
    assert (e4["name"], e4["n"], e4["median_osi"]) == ("e4", 2, 0.1875)
    assert e4["published"]["name"] == "e4"
    assert e4["published"]["median_osi"] == 0.273
    assert (granule["median_osi"], granule["published"]) == (None, None)
    assert results["tuning"]["direction_deg"] == [0.0, 120.0, 240.0]
    assert results["tuning"]["n_repeats"] == [2, 2, 1]


def test_other_gratings_are_not_set_beside_published_ones(tmp_path: Path) -> None:
    other = make_results(like_published=False)
    results = describe_results(other).model_dump(mode="json")
    assert results["tuning"]["axis"] == "direction"
    assert results["classes"][0]["median_osi"] == 0.1875
    assert [row["published"] for row in results["classes"]] == [None, None]
    write_tables(other, CLASSES, tmp_path)
    row = read_csv(tmp_path / "classes.csv")[0]
    assert row["median_osi"] == "0.1875"
    assert not [key for key in row if key.startswith("published")]


def test_without_directions_nothing_published_is_set_beside() -> None:
    results = describe_results(make_results(tuned=False)).model_dump(mode="json")
    assert results["tuning"] is None
    assert [row["published"] for row in results["classes"]] == [None, None]


def test_json_is_strict_and_comes_back(tmp_path: Path) -> None:
    config = {
        "name": "é",
        "nan": np.nan,
        "inf": [float("inf"), 1.5],
        "array": np.array([[1, 2]]),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        "text": np.str_("é"),
        "path": Path("a/b"),
        "none": None,
    }
    report = make_report(config=config)
    report.write(tmp_path / "report.json")

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    back = json.loads(text, parse_constant=refuse)
    assert back == report.model_dump(mode="json")
    assert read_report(tmp_path) == report
    assert back["config"] == {
        "name": "é", "nan": None, "inf": [None, 1.5], "array": [[1, 2]], "scalar": 0.5,
        "flag": True, "text": "é", "path": "a/b", "none": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "Invalid JSON"),
        ("{}", "Field required"),
        ("[1]", "Input should be an object"),
        (None, "No such file"),
        (b"\xff\xfe", "is not text"),
    ],
)
def test_other_files_are_no_reports(tmp_path: Path, content: str | bytes | None, says: str) -> None:
    path = tmp_path / "report.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=says):
        read_report(tmp_path)


def test_a_report_of_another_format_is_refused(tmp_path: Path) -> None:
    values = make_report().model_dump(mode="json") | {"format": REPORT_FORMAT + 1}
    (tmp_path / "report.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"format: Input should be 1"):
        read_report(tmp_path)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_with_tuning(tmp_path: Path) -> None:
    write_tables(make_results(), CLASSES, tmp_path)
    e4, granule = read_csv(tmp_path / "classes.csv")
    assert (e4["name"], e4["n"], e4["n_silent"], e4["mean_rate_hz"]) == ("e4", "2", "0", "1.66667")
    assert (e4["median_osi"], e4["published_class"]) == ("0.1875", "e4")
    assert e4["published_median_osi"] == "0.273"
    assert (granule["median_osi"], granule["published_class"]) == ("", "")
    assert granule["published_mean_rate_hz"] == ""
    assert read_csv(tmp_path / "neurons.csv") == [
        {"neuron": "0", "cell_class": "e4", "rate_hz": "3", "osi": "0.25", "dsi": "0.5",
         "preferred_deg": "120"},
        {"neuron": "1", "cell_class": "granule", "rate_hz": "0", "osi": "", "dsi": "",
         "preferred_deg": ""},
        {"neuron": "2", "cell_class": "e4", "rate_hz": "0.333333", "osi": "0.125", "dsi": "0.75",
         "preferred_deg": "240"},
    ]  # fmt: skip


def test_tables_without_tuning(tmp_path: Path) -> None:
    write_tables(make_results(tuned=False), CLASSES, tmp_path)
    assert list(read_csv(tmp_path / "classes.csv")[0]) == [
        "name", "n", "n_silent", "mean_rate_hz", "median_rate_hz",
    ]  # fmt: skip
    assert list(read_csv(tmp_path / "neurons.csv")[0]) == ["neuron", "cell_class", "rate_hz"]


def test_an_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"report\.json"):
        make_report().write(tmp_path / "absent" / "report.json")
    with pytest.raises(OutputError, match=r"classes\.csv"):
        write_tables(make_results(), CLASSES, tmp_path / "absent")


@pytest.mark.parametrize(
    ("t_ref_ms", "dt_ms", "said"),
    [
        ([3.8, 4.0], 1.0, "1 of 2 cell types is longer by more than 1%"),
        ([3.8, 4.0], 0.1, None),
        ([3.97, 4.0], 1.0, None),  # by 0.8 %
        ([3.0 + 1e-12, 4.0], 1.0, None),  # a whole number of steps to within rounding
    ],
)
def test_refractory_periods_that_nest_rounds_up_are_said(t_ref_ms, dt_ms, said):
    """NEST 3.10 rounds t_ref up to whole steps in every model tried, delays to the nearest."""
    types = tiny_types()
    t_ref = np.concatenate([t_ref_ms, np.full(len(types) - 2, 2.0)])
    plan = SimpleNamespace(
        cell_types=types.with_columns(t_ref_ms=t_ref), dt_ms=dt_ms, in_training_dynamics=False
    )
    sentences = _rounded_refractory_periods(plan)
    assert bool(sentences) == bool(said)
    if said:
        assert said.replace("2 cell", f"{len(types)} cell") in sentences[0]
        assert "4 ms in place of 3.8 ms" in sentences[0]
    plan.in_training_dynamics = True
    assert _rounded_refractory_periods(plan) == []
