"""What a checkpoint's optimizers prove of each table of weights, from the index or with the data.

For each table: which optimizer holds it, that optimizer's own counter and learning rate, and
what the slots that it keeps for it say (`v1sim.checkpoints.optimizer_slots`). Values follow from
checksums, so that two kilobytes of index tell; with the index alone, slots that have only
numbers prove what every optimizer agrees on that could have left them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.checkpoints.bundle import CheckpointIndex, TensorEntry, read_tensor
from v1sim.checkpoints.checksums import bytes_crc32c, repeated_crc32c, solve_word, unmask
from v1sim.checkpoints.numbered_slots import readings
from v1sim.checkpoints.optimizer_slots import Says, SlotKind, Value, named_kind
from v1sim.checkpoints.optimizers import KeptSlot, Optimizer
from v1sim.checkpoints.stored import stored
from v1sim.checkpoints.variables import FLOATS, Variables

__all__ = [
    "ARRAY_OF",
    "TABLES",
    "TABLE_OF",
    "Evidence",
    "SlotEvidence",
    "State",
    "Table",
    "TableEvidence",
    "checkpoint_evidence",
    "scalar_value",
]

Table = Literal["recurrent", "input", "background", "readout"]
#: Array of a network that holds the weights of each table of a checkpoint, and the reverse.
ARRAY_OF: Mapping[Table, str] = MappingProxyType(
    {
        "recurrent": "recurrent.weight",
        "input": "lgn.weight",
        "background": "background.weight",
        "readout": "readout.weight",
    }
)
TABLE_OF: Mapping[str, Table] = MappingProxyType(
    {array: table for table, array in ARRAY_OF.items()}
)
#: Role of the variable that holds each table's weights.
TABLES: Mapping[Table, str] = MappingProxyType(
    {
        "recurrent": "recurrent_weights",
        "input": "input_weights",
        "background": "background",
        "readout": "readout_kernel",
    }
)
#: What the optimizers say of a table: a gradient reached it; none did, though it was to be
#: trained; no update was made; no optimizer holds it; nothing is proven.
State = Literal["gradient", "no gradient", "no step", "frozen", "nothing"]
#: What an optimizer's counter counts.
Counts = Literal["updates", "batches", "steps"]
#: Counters beyond this are no counters: a checksum always gives some number.
_MAX_COUNT = 1 << 31


@dataclass(frozen=True)
class SlotEvidence:
    """A slot of a table: its variable, its kind, its value, and what that proves."""

    name: str
    kind: str
    value: Value
    says: Says


@dataclass(frozen=True)
class TableEvidence:
    """What is known of one table's weights.

    Parameters
    ----------
    table : str
        "recurrent", "input", "background" or "readout".
    variable : TensorEntry
        Its weights.
    state : str
        See `State`.
    why : str
        The same in words.
    optimizer, family : str
        Where the optimizer that holds it is tracked, and what it is; empty where none is known.
    iterations : int or None
        That optimizer's counter.
    counts : str
        What it counts: "updates"; "batches" where gradients are accumulated; "steps" where a
        loss scale may have skipped some, or the index alone does not tell. Of either there are
        at least as many as updates.
    learning_rate : float or None
        That optimizer's; None where it has none, or a schedule.
    slots : tuple of SlotEvidence
        What it keeps for the table.
    average : TensorEntry or None
        The moving average of the weights (use_ema).
    holds : bool
        Whether an optimizer is known to train it.
    """

    table: Table
    variable: TensorEntry
    state: State
    why: str
    optimizer: str = ""
    family: str = ""
    iterations: int | None = None
    counts: Counts = "updates"
    learning_rate: float | None = None
    slots: tuple[SlotEvidence, ...] = ()
    average: TensorEntry | None = None
    holds: bool = False

    @property
    def faint(self) -> bool:
        """Whether "no gradient" means none that was large enough to change what it was added to."""
        telling = [slot for slot in self.slots if slot.says == "no gradient"]
        return self.state == "no gradient" and all(s.value == "one value" for s in telling)

    @property
    def updated(self) -> bool:
        """Whether its optimizer made updates, of which no slot tells more.

        Gradients that came and may have changed nothing, in bfloat16 or at a rate of 0, are none.
        """
        in_vain = any(slot.says == "gradient" for slot in self.slots)
        return self.holds and self.state == "nothing" and not in_vain

    @property
    def is_average(self) -> bool:
        """Whether the weights are their own moving average, as fit() leaves them."""
        return self.average is not None and self.average.same_as(self.variable)


@dataclass(frozen=True)
class Evidence:
    """What a checkpoint's optimizers prove of its tables.

    ``dtypes`` are those of the tables; ``has_optimizer`` says whether any was saved.
    """

    tables: Mapping[Table, TableEvidence]
    optimizers: tuple[Optimizer, ...]
    has_optimizer: bool

    @property
    def recurrent(self) -> TableEvidence:
        """That of the recurrent weights."""
        return self.tables["recurrent"]

    @property
    def iterations(self) -> int | None:
        """The counter of the optimizer that holds the recurrent weights, else the only one."""
        count = self._scalar("iterations")
        return None if count is None else int(count)

    @property
    def counts(self) -> Counts:
        """What that counter counts."""
        if self.recurrent.optimizer or len(self.optimizers) != 1:
            return self.recurrent.counts
        only = self.optimizers[0]
        held = [table.counts for table in self.tables.values() if table.optimizer == only.path]
        return held[0] if held else _counts(only)

    @property
    def learning_rate(self) -> float | None:
        """That optimizer's learning rate."""
        return self._scalar("learning_rate")

    def _scalar(self, name: Literal["iterations", "learning_rate"]) -> float | None:
        if self.recurrent.optimizer:
            own = self.recurrent
            return own.iterations if name == "iterations" else own.learning_rate
        if len(self.optimizers) != 1:
            return None
        only = self.optimizers[0]
        return _count(only) if name == "iterations" else _rate(only)


def checkpoint_evidence(index: CheckpointIndex, variables: Variables) -> Evidence:
    """What the optimizers of a checkpoint prove of each table that it has."""
    optimizers = variables.optimizers
    if not index.graph.complete:
        optimizers = tuple(map(_without_unused_rate, optimizers))
    reader = _Reader(index, variables, optimizers)
    tables = {table: reader.table(table) for table, role in TABLES.items() if role in variables}
    unused = index.graph.has_child("optimizer") and index.graph.complete
    return Evidence(MappingProxyType(tables), optimizers, bool(optimizers) or unused)


class _Reader:
    """The optimizers of one checkpoint, asked about its tables."""

    def __init__(
        self, index: CheckpointIndex, variables: Variables, optimizers: tuple[Optimizer, ...]
    ) -> None:
        self.index, self.variables, self.optimizers = index, variables, optimizers
        self.values: dict[str, Value] = {}

    def table(self, table: Table) -> TableEvidence:
        """What they say of one."""
        entry = self.variables[TABLES[table]]
        found = [self.by(optimizer, table, entry) for optimizer in self.optimizers]
        held = [e for e in found if e is not None and e.holds]
        for state in ("gradient", "no gradient", "no step", "nothing"):
            for evidence in held:
                if evidence.state == state:
                    return evidence
        open_ = [e for e in found if e is not None]
        if open_ and all(e.state == "no step" for e in open_):
            return open_[0]
        for evidence in open_:
            if evidence.state != "no step":
                return evidence
        if self.optimizers:
            names = " and ".join(optimizer.path for optimizer in self.optimizers)
            have = "hold" if len(self.optimizers) > 1 else "holds"
            why = f"training left them as they were: {names} {have} other weights"
            return TableEvidence(table, entry, "frozen", why)
        if self.index.graph.complete and self.index.graph.has_child("optimizer"):
            why = "its optimizer has no variables, which the first step makes"
            return TableEvidence(table, entry, "no step", why)
        why = "no optimizer left anything in it"
        if not self.index.has_data:
            why = "its index has no variables of an optimizer"
        return TableEvidence(table, entry, "nothing", why)

    def by(self, optimizer: Optimizer, table: Table, entry: TensorEntry) -> TableEvidence | None:
        """What one optimizer says of a table; None where it is known not to hold it."""
        if optimizer.numbered:
            return self.by_numbers(optimizer, table, entry)
        if optimizer.holds is not None and entry.key not in optimizer.holds:
            if not self.hidden(optimizer, entry):
                return None
            return self.untold(optimizer, table, entry)
        kept = optimizer.slots_of(entry.key)
        slots = tuple(self.slot(slot, entry) for slot in kept)
        average = next((s.entry for s in kept if s.kind and s.kind.name == "average"), None)
        count, rate = _count(optimizer), _rate(optimizer)
        holds = optimizer.holds is not None
        state, why = self.judge(optimizer, slots, count, rate, entry.dtype, holds=holds)
        return TableEvidence(
            table, entry, state, why, optimizer.path, optimizer.family, count,
            _counts(optimizer), rate, slots, average, holds,
        )  # fmt: skip

    def judge(
        self,
        optimizer: Optimizer,
        slots: tuple[SlotEvidence, ...],
        count: int | None,
        rate: float | None,
        dtype: str,
        *,
        holds: bool,
    ) -> tuple[State, str]:
        """State and words, from the slots of a table and the optimizer's counter."""
        name = optimizer.path
        steps = _steps(count, optimizer)
        if count == 0 and not any(slot.says == "gradient" for slot in slots):
            return "no step", f"{name} has not taken a step"
        if optimizer.accumulates and holds and not self.updated(optimizer):
            return "no step", f"{name} saw {steps}, but made no update yet: its moments are all 0"
        says = _together(slots)
        if slots and all(s.kind == "last update" and s.value == "zero" for s in slots):
            others = [s for s in optimizer.slots if s.kind and s.kind.name == "last update"]
            if any(self.value(s.entry, s.kind) == "other" for s in others):
                return "no gradient", (
                    f"their last update is all 0 after {steps}, and that of other weights is not, "
                    "so no gradient reached them"
                )
        if says == "gradient" and count == 0:
            return "nothing", f"{name} counts 0 steps, but {_listed(slots, 'gradient')}"
        if says == "gradient" and dtype == "bfloat16":
            return "nothing", (
                f"{_listed(slots, 'gradient')} after {steps}, but bfloat16 may lose all that a "
                "step adds to them"
            )
        if says == "gradient" and rate == 0:
            return "nothing", f"gradients reached them, but the learning rate of {name} is 0"
        if says == "gradient":
            return "gradient", f"{_listed(slots, 'gradient')} after {steps}"
        if says == "no gradient":
            faint = any(slot.value == "one value" for slot in slots)
            seen = " that was large enough to change it" if faint else ""
            return "no gradient", (
                f"{_listed(slots, 'no gradient')} after {steps}, so no gradient reached them{seen}"
            )
        if not holds:
            return "nothing", f"{name} made {steps}, but does not tell of which weights"
        silent = [slot.kind for slot in slots if slot.says == "nothing"]
        if not silent:
            return "nothing", (
                f"{name} holds them and made {steps}, but keeps nothing that shows a gradient"
            )
        return "nothing", (
            f"{name} holds them and made {steps}, but what it keeps of them "
            f"({', '.join(dict.fromkeys(silent))}) does not show whether a gradient came"
        )

    def slot(self, slot: KeptSlot, of: TensorEntry) -> SlotEvidence:
        value = self.value(slot.entry, slot.kind, of)
        says: Says = slot.kind.says(value) if slot.kind is not None else "nothing"
        kind = slot.kind.name if slot.kind is not None else f"{slot.label} (unknown)"
        return SlotEvidence(slot.entry.name, kind, value, says)

    def value(
        self, entry: TensorEntry, kind: SlotKind | None, of: TensorEntry | None = None
    ) -> Value:
        """What a slot holds, compared with its variable, too, if that is given."""
        if entry.key not in self.values:
            exact = kind is not None and kind.starts_at != "0" and kind.changed == "gradient"
            self.values[entry.key] = slot_value(self.index, entry, exact=exact)
        same = of is not None and entry.same_as(of) and self.values[entry.key] != "zero"
        return "the variable" if same else self.values[entry.key]

    def updated(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer made an update, as far as its slots would show it."""
        telling = [s for s in optimizer.slots if s.kind and s.kind.changed == "gradient"]
        values = ((s.kind, self.value(s.entry, s.kind)) for s in telling)
        return not telling or any(k is not None and k.says(v) == "gradient" for k, v in values)

    def by_numbers(
        self, optimizer: Optimizer, table: Table, entry: TensorEntry
    ) -> TableEvidence | None:
        """The same where slots have numbers only: what all readings of them agree on."""
        count, rate = _count(optimizer), _rate(optimizer)
        told = optimizer.holds is not None and not any(
            self.hidden(optimizer, other) for other in self.others
        )
        if told and optimizer.holds is not None and entry.key not in optimizer.holds:
            return None
        trained = None
        if optimizer.holds is not None and told:
            trained = [self.index.entries[key] for key in _in_order(optimizer.holds)]
        numbered = [slot.entry for slot in optimizer.slots if slot.numbered]
        found: dict[State, tuple[str, tuple[SlotEvidence, ...], list[str]]] = {}
        counts: set[Counts] = set()
        for reading in readings(
            numbered, trained, self.others, keras_3=optimizer.holds is not None
        ):
            kept = tuple(
                KeptSlot(e, entry.key, kind, kind.name) for e, kind in reading.slots_of(entry)
            )
            as_read = replace(
                optimizer,
                family=reading.family,
                holds=frozenset({entry.key}),
                slots=tuple(KeptSlot(e, "", kind, kind.name) for e, kind in reading.slots),
            )
            if not self.possible(as_read, entry, count):
                continue
            counts.add(_counts(as_read))
            own = tuple(self.slot(slot, entry) for slot in kept)
            state: State = "frozen"
            why = ""
            if kept:
                state, why = self.judge(as_read, own, count, rate, entry.dtype, holds=True)
            found.setdefault(state, (why, own, []))[2].append(reading.family)
        if set(found) == {"frozen"}:
            return None
        if "frozen" in found and not told and optimizer.holds is not None:
            return self.untold(optimizer, table, entry)
        family = ""
        kept_slots: tuple[SlotEvidence, ...] = ()
        if len(found) == 1:
            state, (why, kept_slots, families) = next(iter(found.items()))
            family = families[0] if len(families) == 1 else ""
        elif count == 0:
            state, why = "no step", f"{optimizer.path} has not taken a step"
        else:
            some = " or of ".join(families[0] for _, _, families in found.values())
            state, why = (
                "nothing",
                (
                    "the index only numbers the slots of the optimizer at "
                    f"{optimizer.path}, which could be those of "
                    f"{some or 'one that is not known'}: the data file beside it would tell"
                ),
            )
        return TableEvidence(
            table, entry, state, why, optimizer.path, family, count,
            counts.pop() if len(counts) == 1 else "steps", rate, kept_slots,
            holds=optimizer.holds is not None,
        )  # fmt: skip

    def hidden(self, optimizer: Optimizer, entry: TensorEntry) -> bool:
        """Whether an optimizer may hold a variable whose key does not say so.

        A key is the shortest path to a variable. Without the graph, one that leads there without
        the optimizer, and is no longer than that through it, tells nothing.
        """
        through = optimizer.path.count("/") + 3
        listed = any("_trainable_variables" in key for key in optimizer.holds or ())
        return (
            listed
            and not self.index.graph.complete
            and entry.key not in (optimizer.holds or ())
            and "_trainable_variables" not in entry.name
            and entry.name.count("/") + 1 <= through
        )

    def untold(self, optimizer: Optimizer, table: Table, entry: TensorEntry) -> TableEvidence:
        """The evidence where the index does not tell whether an optimizer holds a table."""
        why = (
            f"the index does not tell whether {optimizer.path} holds them: the data file beside it "
            "would"
        )
        return TableEvidence(table, entry, "nothing", why)

    @cached_property
    def others(self) -> list[TensorEntry]:
        """The variables that an optimizer could keep slots for."""
        slots = {slot.entry.key for other in self.optimizers for slot in other.slots}
        return [
            entry
            for entry in self.index.entries.values()
            if entry.key not in slots and entry.shape and entry.dtype in FLOATS
        ]

    def possible(self, optimizer: Optimizer, entry: TensorEntry, count: int | None) -> bool:
        """Whether slots could hold what they do, were they of these kinds."""
        for slot in optimizer.slots:
            assert slot.kind is not None
            value = self.value(slot.entry, slot.kind, entry)
            follows = slot.kind.name in ("average", "auxiliary weights")
            if value == "the variable" and not follows:
                return False
            if value == "zero" and follows and count:
                return False
            telling = slot.kind.changed == "gradient" and slot.kind.starts_at == "0"
            if value == "one value" and telling:
                return False
        # Slots of one variable change together, but for squares that float16 cannot hold.
        if entry.dtype not in ("float32", "float64"):
            return True
        by_shape: dict[tuple[int, ...], dict[str, Value]] = {}
        for slot in optimizer.slots:
            assert slot.kind is not None
            if slot.kind.changed == "gradient" or slot.kind.name == "linear":
                value = self.value(slot.entry, slot.kind)
                by_shape.setdefault(slot.entry.shape, {})[slot.kind.name] = value
        return all(
            len({value == "other" for value in values.values()}) == 1
            for values in by_shape.values()
        )


def _together(slots: tuple[SlotEvidence, ...]) -> Says:
    """What several slots of one variable say: squared gradients first, then any."""
    said = {slot.says for slot in slots}
    if "gradient" in said and "no gradient" in said:
        # A momentum beside a velocity of 0: no square is lost but to float16's range.
        return "nothing"
    if "gradient" in said:
        return "gradient"
    return "no gradient" if "no gradient" in said else "nothing"


def _listed(slots: tuple[SlotEvidence, ...], says: Says) -> str:
    """What slots that say the same hold, in words: "their velocity is not all 0"."""
    own = [slot for slot in slots if slot.says == says]
    kinds = list(dict.fromkeys(slot.kind for slot in own))
    are = "are" if len(kinds) > 1 else "is"
    if says == "gradient":
        from_zero = any(named_kind(kind).starts_at == "0" for kind in kinds)
        what = "not all 0" if from_zero else "not one value everywhere"
    else:
        what = "all 0" if all(slot.value == "zero" for slot in own) else "one value everywhere"
    return f"their {' and '.join(kinds)} {are} {what}"


def _counts(optimizer: Optimizer) -> Counts:
    if optimizer.accumulates:
        return "batches"
    return "steps" if optimizer.scales_loss else "updates"


def _steps(count: int | None, optimizer: Optimizer) -> str:
    if count is None:
        return "training"
    what = _counts(optimizer)
    one = {"updates": "update", "batches": "batch", "steps": "step"}[what]
    return f"{count:,} {one if count == 1 else what}"


def _in_order(keys: frozenset[str]) -> list[str]:
    def number(key: str) -> int:
        parts = [part for part in key.split("/") if part.isdecimal()]
        return int(parts[-1]) if parts else 0

    return sorted(keys, key=number)


# --- values ----------------------------------------------------------------------------------


def _count(optimizer: Optimizer) -> int | None:
    value = None if optimizer.counter is None else scalar_value(optimizer.counter)
    return value if isinstance(value, int) else None


def _without_unused_rate(optimizer: Optimizer) -> Optimizer:
    """An optimizer whose index has a rate of 0 and no slot: MultiOptimizer has one, unused."""
    unused = not optimizer.slots and _rate(optimizer) == 0
    return replace(optimizer, learning_rate=None) if unused else optimizer


def _rate(optimizer: Optimizer) -> float | None:
    value = None if optimizer.learning_rate is None else scalar_value(optimizer.learning_rate)
    return None if value is None else float(value)


def scalar_value(entry: TensorEntry) -> float | int | None:
    """The value of a scalar, from its checksum: any float32, and whole numbers below 2**31."""
    if entry.shape != () or entry.dtype not in ("float32", "int32", "int64"):
        return None
    padding = bytes(max(entry.size - 4, 0))
    word = solve_word(
        unmask(entry.pieces[0].crc32c),
        lambda value: bytes_crc32c(struct.pack("<I", value) + padding),
    )
    if word is None:
        return None
    if entry.dtype == "float32":
        return float(np.uint32(word).view(np.float32))
    return word if word < _MAX_COUNT else None


def slot_value(index: CheckpointIndex, entry: TensorEntry, *, exact: bool = False) -> Value:
    """Whether a slot is all zero, one other value everywhere, or neither.

    Zeros follow from checksums. So do other values that people would write: numbers of few
    digits. With ``exact`` the data are read where they are there, so that any value is told.
    """
    if entry.is_zero:
        return "zero"
    if _is_plain_number(entry):
        return "one value"
    if exact and index.has_data:
        values = read_tensor(index, entry.key)
        low, high = float(values.min()), float(values.max())
        # Vectorised and scalar code may round differently.
        if high - low <= _SAME * max(abs(low), abs(high)):
            return "one value"
    return "other"


#: Relative difference below which values are the same but for rounding.
_SAME = 1e-5
#: Digits and powers of ten of the numbers that are tried; powers of ten of the numbers whose
#: neighbours are, and how many on each side: sums of epsilons round to them.
_DIGITS, _POWERS, _EPSILONS, _NEIGHBOURS = 4, range(-10, 4), range(-37, -3), 64


def _is_plain_number(entry: TensorEntry) -> bool:
    """Whether a number of few digits, everywhere, gives a tensor's checksums.

    Of tensors that are not one value, one in thirty thousand is taken for it.
    """
    if entry.dtype not in ("float32", "float64", "float16", "bfloat16"):
        return False
    numbers = _plain_numbers(entry.dtype)
    itemsize = numbers.dtype.itemsize
    piece = entry.pieces[0]
    zero, effects = _effects(itemsize, piece.size // itemsize)
    crc = np.full(len(numbers), zero, dtype=np.uint32)
    for byte, effect in zip(numbers.view(np.uint8).reshape(-1, itemsize).T, effects, strict=True):
        crc ^= effect[byte]
    hits = np.flatnonzero(crc == np.uint32(unmask(piece.crc32c)))
    return any(entry.is_full_of(numbers[hit : hit + 1]) for hit in hits)


@lru_cache(maxsize=4)
def _plain_numbers(dtype: str) -> NDArray[np.generic]:
    """Numbers of few digits as a dtype stores them, and the neighbours of powers of ten."""
    digits = np.arange(1, 10**_DIGITS)
    plain = [digits * 10.0 ** (power - _DIGITS + 1) for power in _POWERS]
    if dtype == "float32":
        near = np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1, dtype=np.int32)
        powers = np.array([10.0**power for power in _EPSILONS], np.float32).view(np.int32)
        plain.append((powers[:, np.newaxis] + near).view(np.float32).astype(np.float64).ravel())
    with np.errstate(over="ignore", under="ignore"):
        return np.ascontiguousarray(stored(np.concatenate(plain), dtype))


@lru_cache(maxsize=64)
def _effects(itemsize: int, count: int) -> tuple[int, tuple[NDArray[np.uint32], ...]]:
    """CRC32C of so many zeros, and what each value of each byte, in all of them, changes in it."""

    def crc_of(word: int) -> int:
        raw = word.to_bytes(itemsize, "little")
        return repeated_crc32c(bytes_crc32c(raw), itemsize, count)

    zero = crc_of(0)
    effects = []
    for byte in range(itemsize):
        effect = np.zeros(256, dtype=np.uint32)
        for bit in range(8):
            half = 1 << bit
            effect[half : 2 * half] = effect[:half] ^ np.uint32(crc_of(half << 8 * byte) ^ zero)
        effects.append(effect)
    return zero, tuple(effects)
