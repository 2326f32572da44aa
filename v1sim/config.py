"""YAML to `RunConfig`: strict, and wrong input is answered with the key's full path and line.

Unknown keys, repeated keys, infinities and numbers that YAML 1.1 reads as text
("1e3") are refused. Relative paths in a file are relative to that file; those
given with ``--set`` are relative to the working directory.
"""

from __future__ import annotations

import copy
import difflib
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from v1sim.config_perturb import Perturbation
from v1sim.config_section import InputFile, IsInputFile, OutputFolder, Positive, Section
from v1sim.documents.document import plain
from v1sim.errors import ConfigError
from v1sim.model import ArrayRequirements, Requirement, Strength, TrainingMinimum
from v1sim.stimulus.background import Background, RecordedBackground
from v1sim.stimulus.feeds import AnyFeed
from v1sim.stimulus.kinds import AnyStimulus
from v1sim.units import MODEL_STEP_MS, divides_model_step
from v1sim.user_paths import expanded
from v1sim.yaml_reader import KeyPath, YamlReader, dotted, number_in_text

__all__ = [
    "Background",
    "BuiltInColumn",
    "CurrentClamp",
    "Dynamics",
    "MinimumConfig",
    "RecordedBackground",
    "RecordingConfig",
    "RequireConfig",
    "RunConfig",
    "SimulationConfig",
    "VoltageReport",
    "WatchConfig",
    "dump_config",
    "load_config",
    "load_yaml",
    "resolved_config",
    "validate",
]


def _one_or_more(value: Any) -> Any:
    """A number in place of a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


_ONE_OR_MORE = BeforeValidator(_one_or_more)
_Numbers = Annotated[tuple[float, ...], Field(strict=False, min_length=1), _ONE_OR_MORE]

Dynamics = Literal["glif_psc", "nest", "training", "training_single", "training_float32"]


def _time_step(dt_ms: float) -> float:
    if not divides_model_step(dt_ms):
        msg = f"{MODEL_STEP_MS:g} ms divided by a whole number, such as 1.0, 0.25 or 0.1"
        raise ValueError(msg)
    return dt_ms


class BuiltInColumn(Section):
    """The column that v1sim builds itself (`v1sim.sources.column`)."""

    neurons: Annotated[int, Field(ge=200, le=250_000)] = 2000
    lgn: Annotated[int, Field(ge=100, le=20_000)] | None = None
    seed: Annotated[int, Field(ge=0)] = 1


class _NetworkSource(Section):
    built_in: BuiltInColumn


class SimulationConfig(Section):
    """How the network is simulated.

    ``dynamics: auto`` is ``training`` for networks that came from training where
    v1sim's NEST module is there, and ``glif_psc`` otherwise; ``nest`` where cells have other
    models than glif_psc: each the NEST model that its cell type names. ``dt_ms`` is the time
    step; ``auto`` is the network's own, 1 ms for those of training. ``between_trials``
    says how the network returns to rest: ``reset`` sets everything back inside NEST
    (needs v1sim's NEST module); ``gap`` sets membranes and after-spike currents, and waits
    until nothing that is left of the synaptic currents can change a float64
    membrane potential; ``rebuild`` makes the network anew for each trial;
    ``auto`` is ``reset`` where it can be and ``gap`` otherwise. ``skip_frozen_nodes`` makes runs of
    ``training`` and ``training_single`` faster by writing to private members of NEST. Trials start
    from the state in the file ``warm_start`` (``v1sim run --save-state``), in place of rest.
    """

    dynamics: Dynamics | Literal["auto"] = "auto"
    dt_ms: Annotated[float, AfterValidator(_time_step)] | Literal["auto"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    between_trials: Literal["auto", "reset", "gap", "rebuild"] = "auto"
    skip_frozen_nodes: bool = False
    warm_start: InputFile | None = None


#: Neurons by population: all, or by their ids there.
Cells = dict[
    str,
    Literal["all"]
    | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)],
]


class CurrentClamp(Section):
    """A current into cells: each amplitude from its delay on, for its duration.

    One lasts until its end, or until the next begins. The delays ascend.
    """

    cells: Annotated[Cells, Field(min_length=1)]
    amp_pa: _Numbers
    delay_ms: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...], Field(strict=False), _ONE_OR_MORE
    ]
    duration_ms: Annotated[tuple[Positive, ...], Field(strict=False), _ONE_OR_MORE]

    @model_validator(mode="after")
    def _fit(self) -> CurrentClamp:
        lengths = {len(self.amp_pa), len(self.delay_ms), len(self.duration_ms)}
        if len(lengths) > 1 or any(b <= a for a, b in itertools.pairwise(self.delay_ms)):
            msg = "equally many amplitudes, delays and durations, with delays that ascend"
            raise ValueError(msg)
        return self


class VoltageReport(Section):
    """Membrane potentials of some cells, as a SONATA report of its own (``NAME.h5``).

    ``interval_ms`` is the time between two values, one step by default; ``start_ms`` and
    ``stop_ms`` are on the run's time line.
    """

    cells: Annotated[Cells, Field(min_length=1)]
    interval_ms: Positive | None = None
    start_ms: Annotated[float, Field(ge=0)] = 0.0
    stop_ms: Positive | None = None


_ReportName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class RecordingConfig(Section):
    """What is written: spikes always; ``voltage_of`` names neurons of the file by index.

    ``reports`` are SONATA reports of membrane potentials, by the name of their file without its
    ending. ``institution`` and ``experimenter`` ("Last, First") stand in the NWB file.
    """

    voltage_of: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    reports: dict[_ReportName, VoltageReport] = Field(default_factory=dict)
    nwb: bool = True
    sonata: bool = True
    institution: Annotated[str, Field(min_length=1)] | None = None
    experimenter: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)
    ] = ()


class WatchConfig(Section):
    """What of a run's activity becomes a finding in its report; rates are means over cells.

    ``silent_below_hz``, ``exploding_above_hz``: mean rate of a class at or below, above
    which it is one. ``lgn_above_hz``: mean rate of the LGN above which the input is not
    what it should be. ``fail_fast`` ends a run with exit code 3 when the first
    ``fail_fast_ms`` show an error. ``on_error`` says how a run ends whose activity shows errors:
    "report" names them in its last lines, "fail" ends with exit code 3 as well. Its folder is
    complete either way.
    """

    silent_below_hz: Annotated[float, Field(ge=0)] = 0.0
    exploding_above_hz: Annotated[float, Field(gt=0)] = 100.0
    lgn_above_hz: Annotated[float, Field(gt=0)] = 150.0
    fail_fast: bool = False
    fail_fast_ms: Annotated[float, Field(ge=1)] = 200.0
    on_error: Literal["report", "fail"] = "report"


class RequireConfig(Section):
    """What each array of weights must be, where not all are to be the same."""

    recurrent: Requirement = ArrayRequirements.recurrent
    input: Requirement = ArrayRequirements.input
    background: Requirement = ArrayRequirements.background

    def of_arrays(self) -> ArrayRequirements:
        """The same as the gate takes it."""
        return ArrayRequirements(self.recurrent, self.input, self.background)


class MinimumConfig(Section):
    """The least that counts as a training (`v1sim.model.TrainingMinimum`)."""

    updates: Annotated[int, Field(ge=0)] = TrainingMinimum.updates
    change: Annotated[float, Field(ge=0)] = TrainingMinimum.change

    def of_training(self) -> TrainingMinimum:
        """The same as the gate takes it."""
        return TrainingMinimum(self.updates, self.change)


class RunConfig(Section):
    """One run, fully described."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = "run"
    network: InputFile | _NetworkSource = _NetworkSource(built_in=BuiltInColumn())
    require: Requirement | RequireConfig = "trained"
    strength: Strength = "evidence"
    trusted_keys: InputFile | None = None
    minimum: MinimumConfig = MinimumConfig()
    require_dynamics: Literal["any", "own"] = "any"
    checkpoint: InputFile | None = None
    baseline: InputFile | None = None
    waive: dict[str, Annotated[str, Field(min_length=3)]] = Field(default_factory=dict)
    stimulus: AnyStimulus
    background: (
        Literal["none", "mean", "shared_binomial", "independent_poisson"] | RecordedBackground
    ) = "mean"
    inputs: dict[str, AnyFeed] = Field(default_factory=dict)
    currents: Annotated[tuple[CurrentClamp, ...], Field(strict=False)] = ()
    perturb: Annotated[tuple[Perturbation, ...], Field(strict=False)] = ()
    simulation: SimulationConfig = SimulationConfig()
    recording: RecordingConfig = RecordingConfig()
    watch: WatchConfig = WatchConfig()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    output: OutputFolder = Path("runs")

    @model_validator(mode="after")
    def _signed_by_someone(self) -> RunConfig:
        if (self.strength == "signed") != (self.trusted_keys is not None):
            msg = "'strength: signed' and 'trusted_keys: FILE' go together, and one is missing"
            raise ValueError(msg)
        return self


#: Keys that hold a value or a section; an override may put the one in place of the other.
_ALSO_SECTIONS = ("network", "background", "require")

_Model = TypeVar("_Model", bound=BaseModel)


def load_yaml(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Mapping of a YAML file and the line of each key.

    Raises
    ------
    ConfigError
        If the file is not there, not text, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"the configuration cannot be read: {reason}",
            where=str(path),
            expected="a YAML file, for example configs/drifting_gratings.yaml",
        ) from None
    reader = YamlReader(text, str(path))
    if not isinstance(reader.value, dict):
        raise ConfigError(
            f"the file holds a {type(reader.value).__name__}, not keys and values",
            where=str(path),
            expected="lines like 'seed: 1'",
        )
    return reader.value, reader.lines


def _apply_override(values: dict[str, Any], override: str) -> KeyPath:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"{override!r} sets nothing",
            where="--set",
            expected="key=value, for example stimulus.trials=2",
        )
    value = YamlReader(text, f"--set {key}").value
    # An empty override ("--set network=") reads as {} from the YAML reader: say null.
    value = None if value == {} and not text.strip() else value
    return _set_key(values, key.strip(), value, f"--set {override}")


def _set_key(values: dict[str, Any], key: str, value: Any, where: str) -> KeyPath:
    """Set a dotted key."""
    path: KeyPath = tuple(key.split("."))
    target = values
    for i, part in enumerate(path[:-1]):
        inner = target.get(str(part))
        if not isinstance(inner, dict):
            if inner is not None and not (i == 0 and part in _ALSO_SECTIONS):
                raise ConfigError(
                    f"{dotted(path[: i + 1])} holds {inner!r}, which has no keys of its own",
                    where=where,
                )
            inner = {}
        inner = dict(inner)
        target[str(part)] = inner
        target = inner
    target[str(path[-1])] = copy.deepcopy(value)
    return path


#: The folder that the paths at a key are relative to.
_BaseOf = Callable[[KeyPath], Path]


def _with_absolute_files(section: _Model, base_of: _BaseOf, key: KeyPath = ()) -> _Model:
    """A part of a configuration in which the path of every `InputFile` is absolute."""
    changed = {
        name: _absolute(
            getattr(section, name),
            _has_files(field.annotation, field.metadata),
            base_of,
            (*key, name),
        )
        for name, field in type(section).model_fields.items()
    }
    return section.model_copy(update=changed)


def _absolute(held: Any, is_file: bool, base_of: _BaseOf, key: KeyPath) -> Any:
    """What a field holds, with absolute paths of files."""
    if isinstance(held, tuple):
        return tuple(_absolute(item, is_file, base_of, (*key, i)) for i, item in enumerate(held))
    if isinstance(held, BaseModel):
        return _with_absolute_files(held, base_of, key)
    return (
        (base_of(key) / expanded(held)).absolute() if is_file and isinstance(held, Path) else held
    )


def _has_files(annotation: Any, metadata: Sequence[Any] = ()) -> bool:
    """Whether a field's type holds, or may hold, an `InputFile`."""
    metadata = [*metadata, *getattr(annotation, "__metadata__", ())]
    return any(isinstance(item, IsInputFile) for item in metadata) or any(
        _has_files(inner) for inner in get_args(annotation)
    )


def load_config(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    changes: Mapping[str, Any] = MappingProxyType({}),
    changes_from: Path | None = None,
) -> RunConfig:
    """The run that a YAML file and changes to it describe.

    Parameters
    ----------
    path : Path
        The YAML file.
    overrides : sequence of str
        ``key=value``, with dotted keys and values in YAML.
    changes : mapping
        Values by dotted key, as a sweep gives them; made before the overrides.
    changes_from : Path, optional
        The file that gave ``changes``: their paths are relative to it.

    Raises
    ------
    ConfigError
        With the full path of the key, and its line, ``--set``, or the file of the changes.
    """
    values, lines = load_yaml(path)
    values.setdefault("name", path.stem)
    return resolved_config(
        values, lines, path, overrides, changes=changes, changes_from=changes_from
    )


def resolved_config(
    values: dict[str, Any],
    lines: Mapping[KeyPath, int],
    path: Path,
    overrides: Sequence[str] = (),
    *,
    changes: Mapping[str, Any] = MappingProxyType({}),
    changes_from: Path | None = None,
) -> RunConfig:
    """The run that the values of a file, with the line of each, and changes to them describe.

    Raises
    ------
    ConfigError
        As `load_config`.
    """
    giver = changes_from or path
    changed: dict[KeyPath, str] = {}
    # In the order in which they were set: what was set last at a key, or above it, gave its value.
    bases: list[tuple[KeyPath, Path]] = [((), path.absolute().parent)]
    for key, value in changes.items():
        where = _set_key(values, key, plain(value), str(giver))
        changed[where] = str(giver)
        bases.append((where, giver.absolute().parent))
    for override in overrides:
        where = _apply_override(values, override)
        changed[where] = "--set"
        bases.append((where, Path.cwd()))

    def base_of(key: KeyPath) -> Path:
        return next(base for given, base in reversed(bases) if key[: len(given)] == given)

    return _with_absolute_files(validate(RunConfig, values, str(path), lines, changed), base_of)


def validate(
    model: type[_Model],
    values: Mapping[str, Any],
    where: str,
    lines: Mapping[KeyPath, int] = MappingProxyType({}),
    changed: Mapping[KeyPath, str] = MappingProxyType({}),
) -> _Model:
    """``values`` as a ``model``; an error names its key, and its line or who ``changed`` it."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_describe(p, values, model) for p in error.errors(include_url=False)]
    # A union reports an error for each of its members: where one lies deeper, it
    # is the member that was meant; at one key, every member's expectation counts.
    keys = list(dict.fromkeys(key for key, _, _ in problems))
    keys = [k for k in keys if not any(o != k and o[: len(k)] == k for o in keys)]
    messages = []
    for key in keys:
        seen = next(seen for k, seen, _ in problems if k == key)
        expected = " or ".join(dict.fromkeys(e for k, _, e in problems if k == key and e))
        line = next((lines[key[:i]] for i in range(len(key), 0, -1) if key[:i] in lines), None)
        by = next((b for o, b in changed.items() if key[: len(o)] == o or key == o[: len(key)]), "")
        place = by or (f"line {line}" if line else "missing" if lines else "")
        at = f"{dotted(key)} ({place})" if place else dotted(key)
        messages.append((f"{at}: {seen}", expected))
    if len(messages) == 1:
        raise ConfigError(messages[0][0], where=where, expected=messages[0][1])
    text = "".join(f"\n  - {m}" + (f"; expected {e}" if e else "") for m, e in messages)
    raise ConfigError(f"{len(messages)} problems:{text}", where=where)


def _describe(
    problem: Any, values: Mapping[str, Any], model: type[BaseModel]
) -> tuple[KeyPath, str, str | None]:
    """Key, what was seen, what was expected, of one pydantic error."""
    key = _strip_union_tags(tuple(problem["loc"]), values)
    kind, given = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        known = _known_keys(model, key[:-1], values)
        near = difflib.get_close_matches(str(key[-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}"
        return key, "unknown key", hint
    if kind == "missing":
        return key, "the key is missing", "a value for it"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag_key = str(problem["ctx"]["discriminator"]).strip("'")
        tag = problem["ctx"].get("tag")
        known = [str(_tag(m, tag_key)) for m in _models_at(model, key, values)[0]]
        seen = f"{tag!r} is unknown" if tag else "the key is missing"
        return (*key, tag_key), seen, f"one of {', '.join(known)}"
    seen = f"{given!r} is not allowed"
    expected = str(problem["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    if kind == "value_error" and isinstance(given, Mapping):
        return key, expected, None  # a rule for several keys: it says itself what is wrong
    expected = {"path_type": "a path", "tuple_type": "a list"}.get(kind, expected)
    if isinstance(given, str):
        plain = number_in_text(given, whole="int" in kind or "integer" in expected)
        if plain is not None and not kind.startswith(("path", "string", "literal")):
            seen = f"{given!r} is text to YAML, not a number"
            expected += f" (write it as {plain})"
    return key, seen, expected


def _strip_union_tags(loc: KeyPath, values: Mapping[str, Any]) -> KeyPath:
    """Pydantic's location without the names of union members that it puts between keys."""
    key: list[str | int] = []
    here: Any = values
    for i, part in enumerate(loc):
        last = i == len(loc) - 1
        if isinstance(here, Mapping) and part in (here.get("kind"), here.get("show")):
            continue
        inside = isinstance(here, Mapping) and part in here
        item = isinstance(here, list | tuple) and isinstance(part, int)
        if inside or item:
            key.append(part)
            here = here[part] if inside or int(part) < len(here) else None
        elif last and isinstance(here, Mapping) and isinstance(part, str) and part.islower():
            key.append(part)
    return tuple(key)


def _known_keys(
    model: type[BaseModel], path: Sequence[str | int], values: Mapping[str, Any]
) -> list[str]:
    """Keys that may stand at ``path``."""
    _, meant = _models_at(model, path, values)
    return list(meant.model_fields) if meant else []


def _models_at(
    model: type[BaseModel], path: Sequence[str | int], values: Mapping[str, Any]
) -> tuple[list[type[BaseModel]], type[BaseModel] | None]:
    """Models that may stand at ``path``, and which of them the values mean."""
    here: Any = values
    candidates = [model]
    meant: type[BaseModel] | None = model
    for part in path:
        here = here[part]
        if isinstance(part, str):  # an index leads to what its list may hold
            if meant is None or part not in meant.model_fields:
                return [], None
            candidates = _member_models(meant.model_fields[part].annotation)
        tagged = [
            m
            for m in candidates
            for tag_key in ("kind", "show")
            if isinstance(here, Mapping) and here.get(tag_key, "") == _tag(m, tag_key)
        ]
        meant = next(iter(tagged or candidates), None)
    return candidates, meant


def _tag(model: type[BaseModel], tag_key: str) -> str | None:
    """The value by which a union's member is told from the others."""
    field = model.model_fields.get(tag_key)
    return None if field is None else str(getattr(field.annotation, "__args__", (None,))[0])


def _member_models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _member_models(inner)]


def dump_config(config: RunConfig) -> str:
    """The resolved configuration as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
