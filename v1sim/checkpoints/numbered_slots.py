"""Slots that an index names by numbers alone: every way to read them.

``optimizer/_variables/4`` says that an optimizer keeps something, not what. Optimizers create
their slots in a fixed order, so the number, order and shapes of the slots leave a few families
that could have left them. With the data file, the object graph names each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from v1sim.checkpoints.bundle import TensorEntry
from v1sim.checkpoints.optimizer_slots import SlotKind, named_kind

__all__ = ["Reading", "readings"]

#: Blocks of slots in the order in which optimizers create them: within a block one of each kind
#: for the first variable, then for the second.
_ORDERS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("Adam", (("momentum", "velocity"),)),
    ("Adam with amsgrad", (("momentum", "velocity"), ("velocity_hat",))),
    ("ScheduleFreeAdamW", (("auxiliary weights", "velocity"),)),
    ("Adamax", (("momentum", "norm"),)),
    ("Adadelta", (("accumulated_grad", "accumulated_delta_var"),)),
    ("Ftrl", (("accumulator", "linear"),)),
    ("Adagrad", (("accumulator",),)),
    ("Lion", (("momentum",),)),
    ("SGD with momentum", (("momentum",),)),
    ("SGD of tf_keras", (("last update",),)),
    ("SGD", ()),
    ("RMSprop", (("velocity",),)),
    ("RMSprop with momentum", (("velocity",), ("momentum",))),
    ("RMSprop, centered", (("velocity",), ("average_gradient",))),
    ("RMSprop, centered, with momentum", (("velocity",), ("momentum",), ("average_gradient",))),
    ("Adafactor", (("second moment",),)),
)
#: What use_ema and gradient_accumulation_steps put before them.
_BEFORE: tuple[tuple[str, ...], ...] = (
    (),
    ("average",),
    ("gradient_accumulator",),
    ("average", "gradient_accumulator"),
)


@dataclass(frozen=True)
class Reading:
    """One way to read numbered slots: the family, and the kind of each slot."""

    family: str
    slots: tuple[tuple[TensorEntry, SlotKind], ...]

    def slots_of(self, variable: TensorEntry) -> tuple[tuple[TensorEntry, SlotKind], ...]:
        """Those that have the shape of a variable."""
        return tuple((e, kind) for e, kind in self.slots if e.shape == variable.shape)


def readings(
    slots: Sequence[TensorEntry],
    trained: Sequence[TensorEntry] | None,
    others: Sequence[TensorEntry],
    *,
    keras_3: bool,
) -> Iterator[Reading]:
    """Every way to read slots, given in the order of their numbers.

    Parameters
    ----------
    slots : sequence of TensorEntry
        The slots.
    trained : sequence of TensorEntry, or None
        The variables that they are kept for, in order; None where the index does not tell.
    others : sequence of TensorEntry
        All variables that they could be kept for.
    keras_3 : bool
        Whether the optimizer is one of Keras 3, or of tf_keras, which accumulates no gradients.
    """
    shapes = [entry.shape for entry in slots]
    there = Counter(entry.shape for entry in others)
    for family, orders in _ORDERS:
        if keras_3 and family == "SGD of tf_keras":
            continue
        for before in _BEFORE:
            if not keras_3 and "gradient_accumulator" in before:
                continue
            blocks = (*((name,) for name in before), *orders)
            per_variable = sum(len(block) for block in blocks)
            if not per_variable:
                continue
            variables = _variables(shapes, blocks, per_variable, trained)
            kinds = [(shape, name) for block in blocks for shape in variables for name in block]
            if trained is None and Counter(variables) - there:
                continue
            if variables and [shape for shape, _ in kinds] == shapes:
                read = zip(slots, (named_kind(name) for _, name in kinds), strict=True)
                yield Reading(_named(family, before), tuple(read))
    yield from _with_matrices(slots, trained)


def _variables(
    shapes: list[tuple[int, ...]],
    blocks: tuple[tuple[str, ...], ...],
    per_variable: int,
    trained: Sequence[TensorEntry] | None,
) -> list[tuple[int, ...]]:
    """Shapes of the variables, given or read off the first block."""
    if trained is not None:
        return [entry.shape for entry in trained]
    n, rest = divmod(len(shapes), per_variable)
    return [] if rest else [shapes[i * len(blocks[0])] for i in range(n)]


def _with_matrices(
    slots: Sequence[TensorEntry], trained: Sequence[TensorEntry] | None
) -> Iterator[Reading]:
    """Optimizers that keep other slots for matrices than for lists of weights."""
    if trained is None or not any(len(entry.shape) > 1 for entry in trained):
        return
    for family, for_list, for_matrix in (
        ("Muon", ("momentum", "velocity"), ("momentum",)),
        ("Adafactor", ("second moment",), ("factor", "factor", "second moment")),
    ):
        for before in _BEFORE:
            kinds = [(entry.shape, name) for name in before for entry in trained]
            for entry in trained:
                shape = entry.shape
                names = for_matrix if len(shape) == 2 else for_list
                own = [shape] * len(names)
                if names[0] == "factor":
                    own[:2] = [shape[:-1], (*shape[:-2], shape[-1])]
                kinds += list(zip(own, names, strict=True))
            if [shape for shape, _ in kinds] == [entry.shape for entry in slots]:
                read = zip(slots, (named_kind(name) for _, name in kinds), strict=True)
                yield Reading(_named(family, before), tuple(read))


def _named(family: str, before: tuple[str, ...]) -> str:
    added = {"average": "use_ema", "gradient_accumulator": "gradient accumulation"}
    return " with ".join([family, *(added[name] for name in before)])
