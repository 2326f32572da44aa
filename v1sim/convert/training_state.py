"""How far a checkpoint's training had come, read off its index alone.

The optimizer counts its steps and keeps moments of the gradients of what it trains.
Zero moments and counters follow from checksums, so that two kilobytes of index tell.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from v1sim.convert.bundle import CheckpointIndex, TensorEntry, has_object
from v1sim.convert.checksums import bytes_crc32c, solve_word, unmask
from v1sim.convert.variables import Variables, is_slot, slots_of

__all__ = ["TrainingState", "scalar_value", "training_state"]

Moments = Literal["absent", "zero", "nonzero"]
#: Counters beyond this are no counters: a checksum always gives some number.
_MAX_COUNT = 1 << 31


@dataclass(frozen=True)
class TrainingState:
    """What a checkpoint's optimizer says.

    Parameters
    ----------
    iterations : int or None
        Calls of apply_gradients; None where the checkpoint has no counter.
    learning_rate : float or None
        None where it has none, or a schedule.
    moments : mapping
        For "recurrent" and "input": whether the optimizer keeps moments of the
        weights, and whether they are all zero.
    keeps_moments : bool
        Whether there are moments of anything: some methods keep none.
    has_optimizer : bool
        Whether an optimizer was saved, even one that never took a step (told by its name,
        which needs the data).
    """

    iterations: int | None
    learning_rate: float | None
    moments: Mapping[str, Moments]
    keeps_moments: bool
    has_optimizer: bool

    @property
    def took_steps(self) -> bool | None:
        """Whether training took a step; None where nothing says."""
        if self.iterations is not None:
            return self.iterations > 0
        if self.keeps_moments:
            return True
        return False if self.has_optimizer else None

    def trained(self, table: Literal["recurrent", "input"]) -> bool | None:
        """Whether a table's weights were trained; None where the optimizer cannot say."""
        if not self.took_steps:
            return self.took_steps
        if self.moments[table] != "absent":
            return self.moments[table] == "nonzero"
        return False if self.keeps_moments else None

    @property
    def kind(self) -> Literal["trained", "untrained", "mixed", "undetermined"]:
        """What the weights are. Input that was frozen on purpose leaves a network trained."""
        recurrent, lgn = self.trained("recurrent"), self.trained("input")
        if recurrent is None:
            return "undetermined" if not self.took_steps else "trained"
        if recurrent:
            return "mixed" if self.moments["input"] == "zero" else "trained"
        return "mixed" if lgn else "untrained"


def training_state(index: CheckpointIndex, variables: Variables) -> TrainingState:
    """Read the state off an index."""
    moments: dict[str, Moments] = {}
    for table in ("recurrent", "input"):
        slots = slots_of(index, variables, f"{table}_weights")
        zero = all(slot.holds(np.zeros(slot.shape, dtype=slot.dtype)) for slot in slots)
        moments[table] = "absent" if not slots else "zero" if zero else "nonzero"
    counters = [
        value
        for entry in index.entries.values()
        if entry.shape == () and _last_part(entry) in ("iter", "iterations", "iteration")
        and isinstance(value := scalar_value(entry), int)
    ]  # fmt: skip
    rates = [
        value
        for entry in index.entries.values()
        if entry.shape == () and _last_part(entry) in ("learning_rate", "current_learning_rate")
        and (value := scalar_value(entry)) is not None
    ]  # fmt: skip
    return TrainingState(
        iterations=max(counters) if counters else None,
        learning_rate=float(rates[0]) if rates else None,
        moments=MappingProxyType(moments),
        keeps_moments=any(is_slot(entry) for entry in index.entries.values()),
        has_optimizer=bool(counters) or has_object(index, "optimizer"),
    )


def scalar_value(entry: TensorEntry) -> float | int | None:
    """The value of a scalar, from its checksum: any float32, and whole numbers below 2**31."""
    if entry.shape != () or entry.dtype not in ("float32", "int32", "int64"):
        return None
    padding = bytes(entry.size - 4)
    word = solve_word(
        unmask(entry.crc32c), lambda value: bytes_crc32c(struct.pack("<I", value) + padding)
    )
    if word is None:
        return None
    if entry.dtype == "float32":
        return float(np.uint32(word).view(np.float32))
    return word if word < _MAX_COUNT else None


def _last_part(entry: TensorEntry) -> str:
    parts = [p for p in entry.name.split("/") if p not in ("_value", "value")]
    return parts[-1].strip("_")
