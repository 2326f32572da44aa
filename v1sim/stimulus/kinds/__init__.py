"""All kinds of stimuli: every module of this folder is one, found by being here.

A kind is a class of `v1sim.stimulus.base.StimulusConfig` with a ``kind`` of its own. To add
one, add its module (docs/architecture.md); nothing else names the kinds.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args

from pydantic import Field

from v1sim.stimulus.base import StimulusConfig

__all__ = ["KINDS", "AnyStimulus"]


def _found() -> dict[str, type[StimulusConfig]]:
    """The class of every kind, by its name, in the order of the modules' names."""
    kinds: dict[str, type[StimulusConfig]] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        contents: dict[str, Any] = vars(importlib.import_module(f"{__name__}.{module.name}"))
        for item in contents.values():
            if not (isinstance(item, type) and issubclass(item, StimulusConfig)):
                continue
            if item.__module__ != contents["__name__"] or "kind" not in item.model_fields:
                continue
            (kind,) = get_args(item.model_fields["kind"].annotation)
            if kind in kinds:
                msg = f"two stimuli are called {kind!r}: {kinds[kind]} and {item}"
                raise TypeError(msg)
            kinds[kind] = item
    return kinds


#: The configuration class of each kind.
KINDS = _found()

if TYPE_CHECKING:
    AnyStimulus = StimulusConfig
else:
    #: The ``stimulus`` of a configuration: the kind that its ``kind`` names.
    AnyStimulus = Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007
