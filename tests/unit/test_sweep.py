"""Sweeps: what the axes stand for, what a run's name depends on, and what is refused."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from v1sim.batch import sweep as sweeps
from v1sim.batch.sweep import Sweep, load_sweep, run_name
from v1sim.config import load_config
from v1sim.errors import ConfigError

BASE = {
    "network": {"built_in": {"neurons": 300}},
    "require": "constructed",
    "stimulus": {"kind": "drifting_gratings", "trials": 2},
}


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.yaml"
    path.write_text(yaml.safe_dump(BASE))
    return path


def sweep_of(folder: Path, *axes: dict[str, Any], **keys: Any) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(
        yaml.safe_dump({"base": "base.yaml", "axes": list(axes), **keys}, sort_keys=False)
    )
    return load_sweep(path)


def parameters(sweep: Sweep) -> list[dict[str, Any]]:
    return [dict(run.parameters) for run in sweep.runs]


def test_grid_is_every_combination_the_last_key_fastest(tmp_path, base):
    sweep = sweep_of(tmp_path, {"grid": {"seed": [1, 2], "stimulus.contrast": [0.2, 0.8]}})
    assert parameters(sweep) == [
        {"seed": seed, "stimulus.contrast": contrast} for seed in (1, 2) for contrast in (0.2, 0.8)
    ]
    assert [run.config.seed for run in sweep.runs] == [1, 1, 2, 2]
    assert [run.config.stimulus.contrast for run in sweep.runs] == [0.2, 0.8, 0.2, 0.8]
    assert all(run.config.stimulus.trials == 2 for run in sweep.runs)


def test_zip_goes_along_and_cases_are_as_given(tmp_path, base):
    sweep = sweep_of(
        tmp_path,
        {"zip": {"seed": [1, 2], "stimulus.contrast": [0.2, 0.8]}},
        {"cases": [{"background": "none"}, {}, {"stimulus.trials": 1, "background": "mean"}]},
    )
    assert len(sweep.runs) == 6
    assert {(r.config.seed, r.config.stimulus.contrast) for r in sweep.runs} == {(1, 0.2), (2, 0.8)}
    assert [r.config.background for r in sweep.runs[:3]] == ["none", "mean", "mean"]
    assert parameters(sweep)[1] == {"seed": 1, "stimulus.contrast": 0.2}


def test_set_is_for_all_runs_and_axes_come_after_it(tmp_path, base):
    sweep = sweep_of(
        tmp_path, {"grid": {"seed": [1, 2]}}, set={"stimulus.contrast": 0.5, "seed": 9}
    )
    assert [r.config.seed for r in sweep.runs] == [1, 2]
    assert {r.config.stimulus.contrast for r in sweep.runs} == {0.5}


def test_files_are_relative_to_the_file_that_names_them(tmp_path, base):
    (tmp_path / "inner").mkdir()
    for name in ("a.h5", "inner/a.h5"):
        (tmp_path / name).write_text(name)
    base.write_text(yaml.safe_dump(BASE | {"network": "a.h5"}))
    path = tmp_path / "inner" / "sweep.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "base": "../base.yaml",
                "axes": [{"cases": [{"seed": 3}, {"network": "a.h5"}]}],
            }
        )
    )
    runs = load_sweep(path).runs
    assert [r.config.network for r in runs] == [tmp_path / "a.h5", tmp_path / "inner" / "a.h5"]


def test_names_depend_on_content_alone(tmp_path, base):
    first = sweep_of(tmp_path, {"grid": {"seed": [1, 2, 3]}})
    again = sweep_of(tmp_path, {"cases": [{"seed": 3}, {"seed": 1}]}, name="other", output="x")
    names = {run.config.seed: run.name for run in first.runs}
    assert [run.name for run in again.runs] == [names[3], names[1]]
    assert len(set(names.values())) == 3
    assert all(len(name) == 16 for name in names.values())


def test_a_name_changes_with_an_input_file_not_with_its_path(tmp_path, base):
    (tmp_path / "a.h5").write_bytes(b"one")
    (tmp_path / "b.h5").write_bytes(b"one")
    names = [run_name(load_config(base, [f"network={tmp_path / n}"])) for n in ("a.h5", "b.h5")]
    assert names[0] == names[1]
    (tmp_path / "b.h5").write_bytes(b"two")
    assert run_name(load_config(base, [f"network={tmp_path / 'b.h5'}"])) != names[0]


def test_a_name_changes_with_the_version(base, monkeypatch):
    before = run_name(load_config(base))
    monkeypatch.setattr(sweeps, "__version__", "99.0")
    assert run_name(load_config(base)) != before


def test_threads_count_only_where_results_depend_on_them(base):
    names = [run_name(load_config(base, [f"simulation.threads={n}"])) for n in (1, 2)]
    assert names[0] == names[1]
    poisson = ["background=independent_poisson"]
    names = [run_name(load_config(base, [*poisson, f"simulation.threads={n}"])) for n in (1, 2)]
    assert names[0] != names[1]


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["seed", "stimulus.trials", "stimulus.grey_ms"]),
            st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda axis: axis[0],
    )
)
def test_one_grid_and_an_axis_for_each_key_are_the_same(tmp_path_factory, axes):
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    axes = [(k, [float(v) for v in vs] if k.endswith("_ms") else vs) for k, vs in axes]
    together = sweep_of(folder, {"grid": dict(axes)})
    apart = sweep_of(folder, *({"grid": {key: values}} for key, values in axes))
    assert [run.name for run in together.runs] == [run.name for run in apart.runs]
    expected = list(itertools.product(*(values for _, values in axes)))
    assert [tuple(run.parameters.values()) for run in together.runs] == expected


@pytest.mark.parametrize(
    ("axes", "keys", "parts"),
    [
        ([], {}, ["axes", "missing|at least 1"]),
        ([{"grid": {}}], {}, ["grid"]),
        ([{"grid": {"seed": []}}], {}, ["seed"]),
        ([{"grid": {"seed": [1]}, "zip": {"seed": [1]}}], {}, ["one of grid, zip and cases"]),
        ([{}], {}, ["one of grid, zip and cases"]),
        ([{"zip": {"seed": [1, 2], "background": ["none"]}}], {}, ["seed 2, background 1"]),
        ([{"grid": {"seed": [1]}}, {"grid": {"seed": [2]}}], {}, ["seed is on two axes"]),
        ([{"grid": {"seed": [1, 1]}}], {}, ["two runs are the same", "its own seed"]),
        ([{"grid": {"sed": [1]}}], {}, ["sed", "unknown key", "'seed'", "sweep.yaml"]),
        ([{"grid": {"seed": [-1]}}], {}, ["seed", "sweep.yaml", "-1"]),
        ([{"grid": {"seed": [1]}}], {"sedd": 1}, ["sedd", "unknown"]),
        ([{"grid": {"seed": [1]}}], {"base": "none.yaml"}, ["none.yaml", "cannot be read"]),
        ([{"grid": {"network": ["none.h5"]}}], {}, ["none.h5", "cannot be read", "network"]),
        ([{"grid": {"seed.x": [1]}}], {"set": {"seed": 1}}, ["seed", "no keys of its own"]),
        ([{"grid": {"background": ["independent_poisson"]}}], {}, ["simulation.threads"]),
        ([{"grid": {"seed": [1]}}], {"slurm": {"time": 1}}, ["slurm.time", "time_min"]),
    ],
)
def test_wrong_sweeps_are_refused(tmp_path, base, axes, keys, parts):
    with pytest.raises(ConfigError) as caught:
        sweep_of(tmp_path, *axes, **keys)
    for part in parts:
        assert re.search(part, str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "configs" / "sweeps").glob("*.yaml")), ids=str
)
def test_example_sweeps_load(path):
    assert len(load_sweep(path).runs) == 24


def test_perturbations_are_values_of_axes_and_change_names(tmp_path, base):
    silence = [{"kind": "silence", "neurons": "e23"}]
    sweep = sweep_of(tmp_path, {"cases": [{}, {"perturb": silence}]})
    assert [len(run.config.perturb) for run in sweep.runs] == [0, 1]
    assert sweep.runs[1].parameters["perturb"] == '[{"kind": "silence", "neurons": "e23"}]'
    again = load_config(base, [f"perturb={silence}"])
    assert run_name(again) == sweep.runs[1].name


def test_a_checkpoint_is_known_by_its_index(tmp_path):
    (tmp_path / "run.yaml").write_text("stimulus: {kind: spontaneous}\ncheckpoint: ../ck-1\n")
    outside = tmp_path.parent / "ck-1.index"
    names = []
    for content in (b"a", b"b"):
        outside.write_bytes(content)
        names.append(run_name(load_config(tmp_path / "run.yaml")))
    outside.unlink()
    assert names[0] != names[1]
    with pytest.raises(ConfigError, match="ck-1 cannot be read"):
        run_name(load_config(tmp_path / "run.yaml"))
