from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from v1sim.config import RunConfig, dump_config, load_config
from v1sim.config_section import IsInputFile
from v1sim.errors import ConfigError
from v1sim.inputs.protocol import policy_of
from v1sim.model import MIN_CHANGE, MIN_UPDATES, ArrayRequirements, TrainingMinimum
from v1sim.stimulus.kinds.drifting_gratings import DriftingGratings
from v1sim.stimulus.kinds.probabilities import Probabilities

GRATINGS = "stimulus:\n  kind: drifting_gratings\n"
SEQUENCE = "stimulus:\n  kind: sequence\n  duration_ms: 100\n  parts:\n"


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str) -> Path:
        path = tmp_path / "experiment.yaml"
        path.write_text(text)
        return path

    return _write


def error_of(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_defaults_require_trained_weights(write):
    config = load_config(write(GRATINGS))
    assert config.require == "trained"
    assert config.name == "experiment"
    assert isinstance(config.stimulus, DriftingGratings)


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*.yaml")), ids=str)
def test_shipped_configurations_load(path):
    assert load_config(path).name == path.stem


def test_dumped_configuration_reads_back_equal(write, tmp_path):
    config = load_config(
        write(GRATINGS + "waive: {weight.size: known outlier}\nseed: 7\n"),
        ["network=net.h5", "stimulus.trials=2", "recording.voltage_of=[1, 2]"],
    )
    again = tmp_path / "resolved.yaml"
    again.write_text(dump_config(config))
    assert load_config(again) == config


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (GRATINGS + "  trails: 3\n", ["stimulus.trails", "line 3", "unknown", "'trials'"]),
        (GRATINGS + "seed: 1\nseed: 2\n", ["seed", ":4", "twice", "line 3"]),
        (GRATINGS + "  trials: three\n", ["stimulus.trials", "line 3", "'three'", "integer"]),
        (GRATINGS + "  trials: 0\n", ["stimulus.trials", "line 3", "0", "greater"]),
        (GRATINGS + "  contrast: .inf\n", [":3", "stimulus.contrast", "inf", "finite"]),
        (GRATINGS + "  grey_ms: 1e3\n", ["stimulus.grey_ms", "text to YAML", "1000.0"]),
        (GRATINGS + "  grey_ms: 10.5\n", ["stimulus", "whole number", "steps"]),
        (GRATINGS + "  directions_deg: [0, 0]\n", ["directions_deg", "each value once", "trials"]),
        ("stimulus:\n  kind: movie_star\n", ["stimulus.kind", "movie_star", "drifting_gratings"]),
        ("stimulus:\n  trials: 2\n", ["stimulus.kind", "missing", "one of drifting_gratings, fla"]),
        (GRATINGS + "  contrast: [0.1, 1.5]\n", ["stimulus.contrast.1", "1.5", "equal to 1"]),
        (GRATINGS + "  contrast: high\n", ["stimulus.contrast", "line 3", "'high'", "number"]),
        (GRATINGS + "  lgn_ids_from: a.h5\n", ["stimulus (line 1)", "lgn_table, which is missing"]),
        (SEQUENCE + "    - {onset_ms: 0, duration_ms: 50}\n", ["parts.0.show", "line 5", "movie"]),
        (SEQUENCE + "    - {show: film}\n", ["parts.0.show", "'film'", "one of grating, flash"]),
        (
            SEQUENCE + "    - {onset_ms: 0, duration_ms: 9, show: flash, luminanse: 1}\n",
            ["stimulus.parts.0.luminanse", "line 5", "'luminance'"],
        ),
        (
            SEQUENCE + "    - {onset_ms: 0, duration_ms: 50, show: flash}\n"
            "    - {onset_ms: 49, duration_ms: 20, show: flash}\n",
            ["stimulus (line 1)", "parts[1] begins at 49 ms", "50 ms"],
        ),
        (
            SEQUENCE + "    - {onset_ms: 60, duration_ms: 50, show: flash}\n",
            ["stimulus (line 1)", "ends at 110 ms", "duration_ms"],
        ),
        ("stimulus: {kind: flash, luminances: [0, 2]}\n", ["stimulus.luminances.1", "2", "1"]),
        ("stimulus: {kind: grey, duration_ms: 0.5}\n", ["stimulus.duration_ms", "whole number"]),
        ("stimulus: {kind: images, files: []}\n", ["stimulus.files", "at least 1"]),
        ("stimulus: {kind: images, files: [3]}\n", ["stimulus.files.0", "3", "path"]),
        (
            "stimulus: {kind: rates, file: a.npy, window_ms: [50, 20]}\n",
            ["stimulus.window_ms", "[50, 20]", "a start before the stop"],
        ),
        ("seed: 1\n", ["stimulus", "missing"]),
        (GRATINGS + "network:\n  built_in:\n    neurons: 3\n", ["network.built_in.neurons", "200"]),
        (GRATINGS + "perturb: {silence: e23}\n", ["perturb (line", "{'silence': 'e23'}", "a list"]),
        (GRATINGS + "waive: {weight.size: ''}\n", ["waive.weight.size", "at least 3"]),
        ("- 1\n", ["list", "keys"]),
        ("a: [1\n", ["not YAML"]),
        ("a: \x00", ["not YAML"]),
    ],
)
def test_wrong_yaml_names_key_line_and_way_out(write, text, parts):
    message = error_of(write(text))
    assert "experiment.yaml" in message
    for part in parts:
        assert part in message


def test_several_problems_are_told_at_once(write):
    message = error_of(write(GRATINGS + "  trials: 0\n  contrast: 2\nseeds: 1\n"))
    assert "3 problems" in message
    for key in ("stimulus.trials", "stimulus.contrast", "seeds"):
        assert key in message


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("stimulus.trials=x", ["stimulus.trials", "--set", "'x'"]),
        ("stimulus.trails=2", ["stimulus.trails", "--set", "unknown", "'trials'"]),
        ("trials", ["--set", "key=value"]),
        ("seed.x=1", ["seed", "--set", "integer"]),
        ("network=3", ["network", "--set", "path"]),
    ],
)
def test_wrong_override_is_named(write, override, parts):
    message = error_of(write(GRATINGS), override)
    for part in parts:
        assert part in message


def test_override_replaces_a_path_by_a_column(write):
    config = load_config(write(GRATINGS + "network: net.h5\n"), ["network.built_in.neurons=300"])
    assert config.network.built_in.neurons == 300


def test_paths_are_relative_to_the_file_and_overrides_to_the_working_directory(
    write, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    path = write("network: nets/a.h5\nstimulus: {kind: probabilities, file: s.h5}\n")
    config = load_config(path)
    assert config.network == tmp_path / "nets" / "a.h5"
    assert isinstance(config.stimulus, Probabilities)
    assert config.stimulus.file == tmp_path / "s.h5"
    assert load_config(path, ["network=b.h5"]).network == elsewhere / "b.h5"


def test_every_input_of_a_stimulus_is_relative_to_the_file(write, tmp_path, monkeypatch):
    path = write("stimulus: {kind: images, files: [a.png, /b.png], lgn_table: t, lgn_ids_from: i}")
    stimulus = load_config(path).stimulus
    assert stimulus.files == (tmp_path / "a.png", Path("/b.png"))
    assert (stimulus.lgn_table, stimulus.lgn_ids_from) == (tmp_path / "t", tmp_path / "i")
    monkeypatch.chdir(tmp_path.parent)
    changed = load_config(path, ["stimulus.files=[c.png]", "stimulus.lgn_table=u"]).stimulus
    assert changed.files == (tmp_path.parent / "c.png",)
    assert changed.lgn_table == tmp_path.parent / "u"
    path = write(SEQUENCE + "    - {onset_ms: 0, duration_ms: 50, show: image, file: im/a.png}\n")
    assert load_config(path).stimulus.parts[0].file == tmp_path / "im" / "a.png"


@pytest.mark.parametrize(
    "stimulus",
    [
        "{kind: drifting_gratings, contrast: [0.1, 0.5]}",
        "{kind: static_gratings, orientations_deg: [0, 45]}",
        "{kind: flash}",
        "{kind: images, files: [a.png]}",
        "{kind: movie, file: a.mp4}",
        "{kind: grey}",
        "{kind: sequence, duration_ms: 9, parts: [{onset_ms: 0, duration_ms: 9, show: grating}]}",
        "{kind: spontaneous}",
        "{kind: rates, file: a.npy}",
        "{kind: probabilities, file: a.h5, trials: 3, input: analog}",
        "{kind: sonata_spikes, file: a.h5, duration_ms: 1000}",
    ],
)
def test_every_kind_of_stimulus_survives_being_written(write, tmp_path, stimulus):
    config = load_config(write(f"stimulus: {stimulus}\n"))
    again = tmp_path / "resolved.yaml"
    again.write_text(dump_config(config))
    assert load_config(again) == config


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_unreadable_file(tmp_path, content):
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    assert "cannot be read" in error_of(path)


def test_configuration_is_frozen(write):
    config = load_config(write(GRATINGS))
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]
    assert isinstance(config, RunConfig)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("seed: 010\n", ["octal", "seed", "write it as 10"]),
        ("seed: 08\n", ["text to YAML", "write it as 8)"]),
        ("seed: 1e3\n", ["text to YAML", "write it as 1000)"]),
        ("simulation: {threads: 08}\n", ["text to YAML", "write it as 8)"]),
    ],
)
def test_a_hint_on_a_number_is_accepted_when_followed(write, line, parts):
    message = error_of(write(GRATINGS + line))
    assert all(part in message for part in parts)
    hint = re.search(r"write it as ([^)\s]+)", message)[1]
    odd = line.rstrip("}\n").rsplit(" ", 1)[1]
    load_config(write(GRATINGS + line.replace(odd, hint)))


def test_every_file_of_a_configuration_is_found_by_its_type():
    """Of the paths in a configuration, all but the folder for results are files to read."""
    found = dict(paths_of(RunConfig))
    assert found.pop("output") is False
    assert len(found) >= 11
    assert all(found.values()), [key for key, is_file in found.items() if not is_file]


def paths_of(model, key="", seen=()):
    """Key and whether it is an `InputFile`, of every path that a model may hold."""
    for name, field in model.model_fields.items():
        yield from paths_in(field.annotation, field.metadata, f"{key}{name}", (*seen, model))


def paths_in(annotation, metadata, key, seen):
    metadata = [*metadata, *getattr(annotation, "__metadata__", ())]
    if annotation is Path:
        yield key, any(isinstance(item, IsInputFile) for item in metadata)
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_model and annotation not in seen:
        yield from paths_of(annotation, f"{key}[{annotation.__name__}].", seen)
    for inner in get_args(annotation):
        yield from paths_in(inner, metadata, key, seen)


def test_of_files_set_twice_the_last_one_says_what_they_are_relative_to(
    write, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    path = write("stimulus: {kind: movie, file: m.npy}\n")
    sweep = tmp_path / "sweeps" / "s.yaml"
    changes = {"stimulus": {"kind": "rates", "file": "r.npy"}, "background.recorded": "d.npy"}
    config = load_config(path, changes=changes, changes_from=sweep)
    assert config.stimulus.file == tmp_path / "sweeps" / "r.npy"
    assert config.background.recorded == tmp_path / "sweeps" / "d.npy"
    config = load_config(path, ["stimulus.file=o.npy"], changes=changes, changes_from=sweep)
    assert config.stimulus.file == elsewhere / "o.npy"
    both = ["stimulus.file=o.npy", "stimulus={kind: images, files: [a.png]}"]
    config = load_config(path, both, changes=changes, changes_from=sweep)
    assert config.stimulus.files == (elsewhere / "a.png",)


def test_arrays_are_required_one_by_one(write):
    arrays = load_config(write("stimulus: {kind: grey}\nrequire: {input: trained}\n")).require
    assert arrays.of_arrays() == ArrayRequirements("trained", "trained", "any")
    config = load_config(write("stimulus: {kind: grey}\n"), ["require.recurrent=any"])
    assert config.require.of_arrays() == ArrayRequirements("any", "any", "any")
    policy = policy_of(config)
    assert policy.require == ArrayRequirements("any", "any", "any")
    assert policy_of(load_config(write("stimulus: {kind: grey}\n"))).require == "trained"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("require: {readout: trained}", ["require.readout", "unknown key"]),
        ("require: {input: trainde}", ["require.input", "'trainde' is not allowed"]),
        ("require: someone", ["require", "'trained'"]),
        ("minimum: {updates: -1}", ["minimum.updates", "greater than or equal to 0"]),
        ("minimum: {change: lots}", ["minimum.change", "a valid number"]),
        ("minimum: {steps: 3}", ["minimum.steps", "unknown key"]),
    ],
)
def test_wrong_requirements_are_named(write, text, parts):
    with pytest.raises(ConfigError) as caught:
        load_config(write(f"stimulus: {{kind: grey}}\n{text}\n"))
    for part in parts:
        assert part in str(caught.value)


def test_a_minimum_of_training_reaches_the_policy(write):
    default = policy_of(load_config(write("stimulus: {kind: grey}\n")))
    assert default.minimum == TrainingMinimum(MIN_UPDATES, MIN_CHANGE)
    text = "stimulus: {kind: grey}\nminimum: {updates: 3, change: 0.01}\n"
    assert policy_of(load_config(write(text))).minimum == TrainingMinimum(3, 0.01)
