"""The file that describes a run: YAML of v1sim's own, or a SONATA simulation configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from v1sim.config import RunConfig, load_config, resolved_config
from v1sim.inputs.sonata import sonata_run

__all__ = ["load_run"]


def load_run(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    changes: Mapping[str, Any] = MappingProxyType({}),
    changes_from: Path | None = None,
) -> RunConfig:
    """The run that a file and changes to it describe; as `v1sim.config.load_config`.

    A file whose name ends in ``.json`` is a SONATA configuration.

    Raises
    ------
    ConfigError, NetworkFileError
        If the file or a change cannot be used.
    """
    if path.suffix.lower() != ".json":
        return load_config(path, overrides, changes=changes, changes_from=changes_from)
    return resolved_config(
        sonata_run(path), {}, path, overrides, changes=changes, changes_from=changes_from
    )
