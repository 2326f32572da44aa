"""A sweep: a base configuration and axes, as YAML, and the runs that it stands for.

A run's name is a digest of everything that its results depend on: the resolved
configuration, the bytes of its input files and the version of v1sim. The same run has
the same name in any sweep, and one that changes gets another name, and so another folder.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field, model_validator

from v1sim import __version__
from v1sim.config import RunConfig, load_yaml, validate
from v1sim.config_section import OutputFolder, Section
from v1sim.digests import file_sha256
from v1sim.errors import ConfigError
from v1sim.inputs.run_file import load_run
from v1sim.sources.sonata.config import read_config
from v1sim.user_paths import expanded

__all__ = ["SlurmConfig", "Sweep", "SweepConfig", "SweepRun", "load_sweep", "run_name"]

_Changes = dict[str, Any]
_Values = Annotated[tuple[Any, ...], Field(min_length=1, strict=False)]


class Axis(Section):
    """One axis; exactly one of its three kinds."""

    grid: Annotated[dict[str, _Values], Field(min_length=1)] | None = None
    zip: Annotated[dict[str, _Values], Field(min_length=1)] | None = None
    cases: Annotated[tuple[_Changes, ...], Field(min_length=1, strict=False)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Axis:
        given = [kind for kind in ("grid", "zip", "cases") if getattr(self, kind) is not None]
        if len(given) != 1:
            msg = f"one of grid, zip and cases in each axis, not {' and '.join(given) or 'none'}"
            raise ValueError(msg)
        if self.zip and len({len(values) for values in self.zip.values()}) > 1:
            lengths = ", ".join(f"{key} {len(values)}" for key, values in self.zip.items())
            msg = f"equally many values of each key in zip, not {lengths}"
            raise ValueError(msg)
        return self

    def changes(self) -> list[_Changes]:
        """What each position on the axis changes."""
        if self.cases is not None:
            return [dict(case) for case in self.cases]
        axis = self.grid or self.zip or {}
        together = (
            zip(*axis.values(), strict=True) if self.zip else itertools.product(*axis.values())
        )
        return [dict(zip(axis, values, strict=True)) for values in together]


class SlurmConfig(Section):
    """What Slurm is asked for; ``memory_mb`` where it is None is what a run is expected to need."""

    partition: str | None = None
    account: str | None = None
    time_min: Annotated[int, Field(ge=1)] = 60
    memory_mb: Annotated[int, Field(ge=1)] | None = None
    cpus: Annotated[int, Field(ge=1, le=1024)] = 1
    max_jobs: Annotated[int, Field(ge=1)] | None = None
    options: dict[str, str | int | bool] = Field(default_factory=dict)


class SweepConfig(Section):
    """The YAML file of a sweep."""

    base: Annotated[Path, Field(strict=False)]
    axes: Annotated[tuple[Axis, ...], Field(min_length=1, strict=False)]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
    set: _Changes = Field(default_factory=dict)
    output: OutputFolder = Path("sweeps")
    slurm: SlurmConfig = SlurmConfig()


@dataclass(frozen=True)
class SweepRun:
    """One run: its name, its configuration, and the values that the axes gave it."""

    name: str
    config: RunConfig
    parameters: Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True)
class Sweep:
    """A sweep and its runs, in the order of its axes (the last one fastest)."""

    config: SweepConfig
    runs: tuple[SweepRun, ...]

    @property
    def default_folder(self) -> Path:
        """Where the sweep's folder is unless another is given."""
        return self.config.output / self.config.name


def load_sweep(path: Path) -> Sweep:
    """The sweep of a YAML file, with the configuration of each of its runs checked.

    Raises
    ------
    ConfigError
        If the sweep or one of its runs is wrong, an input file cannot be read, or two
        runs are the same.
    """
    values, lines = load_yaml(path)
    values.setdefault("name", path.stem)
    config = validate(SweepConfig, values, str(path), lines)
    base = (path.absolute().parent / expanded(config.base)).resolve()
    digest_of = cache(file_sha256)
    runs: dict[str, SweepRun] = {}
    for changes in itertools.product(*(axis.changes() for axis in config.axes)):
        merged = _merged(changes, path)
        run_config = load_run(base, changes={**config.set, **merged}, changes_from=path)
        _refuse_open_threads(run_config, path)
        name = run_name(run_config, digest_of)
        parameters = MappingProxyType({key: _plain(value) for key, value in merged.items()})
        if name in runs:
            raise ConfigError(
                f"two runs are the same: {dict(runs[name].parameters)} and {dict(parameters)}",
                where=str(path),
                expected="runs that differ in configuration or input",
                hint="to repeat a run, give each repeat its own seed",
            )
        runs[name] = SweepRun(
            name,
            run_config.model_copy(update={"name": f"{config.name}.{name}"}),
            parameters,
        )
    return Sweep(config, tuple(runs.values()))


def _merged(changes: tuple[_Changes, ...], path: Path) -> _Changes:
    merged: _Changes = {}
    for change in changes:
        both = sorted(merged.keys() & change.keys())
        if both:
            raise ConfigError(
                f"{both[0]} is on two axes", where=str(path), expected="each key on one axis"
            )
        merged |= change
    return merged


def _refuse_open_threads(config: RunConfig, path: Path) -> None:
    """NEST draws this background by thread: left open, the machine would decide the results."""
    if config.background == "independent_poisson" and config.simulation.threads == "auto":
        raise ConfigError(
            "background: independent_poisson depends on the number of threads, which is left open",
            where=str(path),
            expected="a number, for example set: {simulation.threads: 2}",
        )


def _plain(value: Any) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | None) else json.dumps(value)


def run_name(config: RunConfig, digest_of: Callable[[Path], str] = file_sha256) -> str:
    """Sixteen hexadecimal digits of what a run's results depend on.

    Parameters
    ----------
    config : RunConfig
        Its name and output folder do not count, nor do its threads unless results depend on them.
    digest_of : callable
        sha256 of an input file.

    Raises
    ------
    ConfigError
        If an input file cannot be read.
    """
    content = config.model_dump(exclude={"name", "output"})
    if config.background != "independent_poisson":
        del content["simulation"]["threads"]
    content = _with_digests(content, (), digest_of) | {"v1sim": __version__}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _with_digests(value: Any, key: tuple[str, ...], digest_of: Callable[[Path], str]) -> Any:
    """The configuration with the sha256 of each input file in the place of its path."""
    if isinstance(value, dict):
        return {k: _with_digests(v, (*key, k), digest_of) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_with_digests(v, key, digest_of) for v in value]
    return _digest(value, ".".join(key), digest_of) if isinstance(value, Path) else value


def _digest(path: Path, key: str, digest_of: Callable[[Path], str]) -> str:
    index = path.with_name(f"{path.name}.index")
    if not path.exists() and index.exists():
        path = index  # a checkpoint's prefix: its index holds the checksums of all its tensors
    try:
        if path.suffix.lower() == ".json":  # a SONATA configuration: what it names counts too
            files = read_config(path).circuit_files
            return hashlib.sha256("".join(map(digest_of, files)).encode()).hexdigest()
        return digest_of(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", where=key, hint="check the path"
        ) from None
