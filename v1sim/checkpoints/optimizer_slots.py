"""What each slot of an optimizer can prove: one table, which docs/conversion.md shows.

A slot is what an optimizer keeps for a variable. Its value after some updates proves that
a gradient reached the variable, that none did, or nothing at all: that depends on what it
starts at and on what changes it. Read off the optimizers of Keras 3.15 and tf_keras 2.21, the
legacy ones included, and tried with each (tests/checkpoints).
``python -m v1sim.checkpoints.optimizer_slots docs/conversion.md`` renews the table there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = [
    "SLOT_KINDS",
    "Says",
    "SlotKind",
    "Value",
    "family_of",
    "family_of_slots",
    "kind_by_own_name",
    "kind_of",
    "named_kind",
    "slot_table",
    "write_table",
]

#: What a slot's checksum shows: all zero, one other value everywhere, the values of the variable
#: itself, or anything else.
Value = Literal["zero", "one value", "the variable", "other"]
Says = Literal["gradient", "no gradient", "nothing"]


@dataclass(frozen=True)
class SlotKind:
    """A kind of slot.

    Parameters
    ----------
    name : str
        What messages call it.
    lists : tuple of str
        The lists of an optimizer that hold it (Keras 3, tf_keras).
    legacy : tuple of str
        What legacy optimizers call it.
    families : str
        Whose it is.
    starts_at : str
        Its value before the first update.
    unchanged, changed : str
        What it says while it is as it started, one value everywhere, and what otherwise.
    remark : str
        Why.
    """

    name: str
    lists: tuple[str, ...]
    legacy: tuple[str, ...]
    families: str
    starts_at: str
    unchanged: Says
    changed: Says
    remark: str = ""

    def says(self, value: Value) -> Says:
        """What a value of this slot proves of its variable."""
        if value == "the variable":
            return "nothing"
        if value == "zero" or (value == "one value" and self.starts_at != "0"):
            return self.unchanged
        return "nothing" if value == "one value" else self.changed


#: Every slot that is known; one that is not here proves nothing, and is named.
SLOT_KINDS: tuple[SlotKind, ...] = (
    SlotKind(
        "momentum", ("_momentums", "momentums", "_m"), ("m", "momentum"),
        "Adam, AdamW, Nadam, Adamax, Lamb, Lion, Muon, RMSprop and SGD with momentum",
        "0", "no gradient", "gradient", "a mean of gradients: zero gradients leave it 0",
    ),
    SlotKind(
        "last update", (), (), "SGD of tf_keras, which keeps it without momentum, too",
        "0", "nothing", "gradient",
        "without momentum it is the last gradient alone: 0 says none came only where that of other "
        "weights is not 0",
    ),
    SlotKind(
        "auxiliary weights", (), (), "ScheduleFreeAdamW (its `_momentums`)",
        "the weights", "nothing", "nothing", "it follows the weights",
    ),
    SlotKind(
        "velocity", ("_velocities", "adam_velocities"), ("v", "rms"),
        "Adam, AdamW, Nadam, Lamb, Muon, RMSprop, ScheduleFreeAdamW",
        "0", "no gradient", "gradient", "a mean of squared gradients",
    ),
    SlotKind(
        "velocity_hat", ("_velocity_hats",), ("vhat",), "Adam with amsgrad",
        "0", "no gradient", "gradient", "the largest velocity so far",
    ),
    SlotKind(
        "norm", ("_u",), (), "Adamax",
        "0", "no gradient", "gradient", "the largest gradient so far, decaying",
    ),
    SlotKind(
        "average_gradient", ("_average_gradients",), ("mg",), "RMSprop, centered",
        "0", "no gradient", "gradient", "a mean of gradients",
    ),
    SlotKind(
        "accumulated_grad", ("_accumulated_grads",), ("accum_grad",), "Adadelta",
        "0", "no gradient", "gradient", "a mean of squared gradients",
    ),
    SlotKind(
        "accumulated_delta_var", ("_accumulated_delta_vars",), ("accum_var",), "Adadelta",
        "0", "no gradient", "gradient", "a mean of squared updates",
    ),
    SlotKind(
        "accumulator", ("_accumulators",), ("accumulator",), "Adagrad, Ftrl",
        "`initial_accumulator_value` (0.1 unless it was set)", "no gradient", "gradient",
        "squared gradients are added: one value everywhere, whatever it is, saw none",
    ),
    SlotKind(
        "linear", ("_linears",), ("linear",), "Ftrl",
        "0", "nothing", "nothing", "l2_shrinkage changes it without any gradient",
    ),
    SlotKind(
        "second moment", ("_v",), (), "Adafactor",
        "0, then `epsilon_1` where gradients are 0", "no gradient", "gradient",
        "squared gradients plus a constant: one value everywhere saw none",
    ),
    SlotKind(
        "factor", ("_r", "_c"), (), "Adafactor",
        "0", "nothing", "nothing", "never 0 after an update; unused for a list of weights",
    ),
    SlotKind(
        "gradient_accumulator", ("_accumulated_gradients",), ("gradient_accumulator",),
        "any, with gradient_accumulation_steps",
        "0", "nothing", "nothing",
        "gradients that no update has used yet; 0 after each update. The counter counts batches",
    ),
    SlotKind(
        "average", ("_model_variables_moving_average",), ("average",), "any, with use_ema",
        "0 in Keras 3, the weights in tf_keras", "nothing", "nothing",
        "it follows the weights, trained or not",
    ),
)  # fmt: skip

_BY_NAME = {kind.name: kind for kind in SLOT_KINDS}
_BY_LIST = {name: kind for kind in SLOT_KINDS for name in kind.lists}
_BY_LEGACY = {name: kind for kind in SLOT_KINDS for name in kind.legacy}

#: Families by the kinds of slots that they keep, averages and accumulators of gradients aside.
_FAMILIES: tuple[tuple[frozenset[str], str], ...] = tuple(
    (frozenset(kinds), family)
    for kinds, family in (
        (("momentum", "velocity", "velocity_hat"), "Adam"),
        (("auxiliary weights", "velocity"), "ScheduleFreeAdamW"),
        (("momentum", "norm"), "Adamax"),
        (("accumulated_grad", "accumulated_delta_var"), "Adadelta"),
        (("accumulator",), "Adagrad"),
        (("accumulator", "linear"), "Ftrl"),
        (("velocity",), "RMSprop"),
        (("velocity", "average_gradient"), "RMSprop"),
        (("momentum", "velocity", "average_gradient"), "RMSprop"),
        (("second moment",), "Adafactor"),
        (("second moment", "factor"), "Adafactor"),
    )
)
#: Names that the programs give optimizers by their classes, and so in the names of variables.
_CLASSES = {
    "adam": "Adam", "adamw": "AdamW", "adam_w": "AdamW", "nadam": "Nadam", "adamax": "Adamax",
    "lamb": "Lamb", "lion": "Lion", "muon": "Muon", "rmsprop": "RMSprop", "rm_sprop": "RMSprop",
    "adadelta": "Adadelta",
    "adagrad": "Adagrad", "ftrl": "Ftrl", "adafactor": "Adafactor", "sgd": "SGD",
    "schedule_free_adam_w": "ScheduleFreeAdamW", "schedule_free_adamw": "ScheduleFreeAdamW",
    "multi_optimizer": "MultiOptimizer", "loss_scale_optimizer": "LossScaleOptimizer",
}  # fmt: skip


def kind_of(name: str, *, legacy: bool, tf_keras: bool, family: str) -> SlotKind | None:
    """The kind of a slot, by the list that holds it or a legacy optimizer's name for it.

    Parameters
    ----------
    name : str
        The list, or the slot's name.
    legacy : bool
        Whether it is a legacy optimizer's name.
    tf_keras : bool
        Whether the optimizer is one of tf_keras, legacy or not.
    family : str
        What the optimizer calls itself (`family_of`), empty where it is not known.
    """
    if legacy:
        return _BY_LEGACY.get(name)
    if name == "momentums" and tf_keras and family in ("SGD", ""):
        return _BY_NAME["last update"]
    if name == "_momentums" and family == "ScheduleFreeAdamW":
        return _BY_NAME["auxiliary weights"]
    return _BY_LIST.get(name)


def kind_by_own_name(full_name: str, family: str) -> SlotKind | None:
    """The kind that the end of a slot's own name tells, of an optimizer of a known family.

    Muon's and Adafactor's lists have gaps, and TensorFlow does not track such lists.
    """
    if not family:
        return None
    fitting = [kind for kind in SLOT_KINDS if full_name.endswith(f"_{kind.name}")]
    kind = max(fitting, key=lambda kind: len(kind.name), default=None)
    if family == "Adafactor":
        shared = kind is not None and kind.name in ("average", "gradient_accumulator")
        second = kind is not None and kind.name == "velocity"
        return kind if shared else _BY_NAME["second moment" if second else "factor"]
    if family == "ScheduleFreeAdamW" and kind is not None and kind.name == "momentum":
        return _BY_NAME["auxiliary weights"]
    return kind


def named_kind(name: str) -> SlotKind:
    """A kind by its name."""
    return _BY_NAME[name]


def family_of(own_name: str) -> str:
    """The class in the name that an optimizer gave itself ("adam_2"); empty where it is none."""
    plain = own_name.rstrip("0123456789").rstrip("_").lower()
    return _CLASSES.get(plain, "")


def family_of_slots(kinds: Iterable[str]) -> str:
    """The family that keeps such slots; empty where several do, or none that is known."""
    own = frozenset(kinds) - {"average", "gradient_accumulator"}
    return next((family for slots, family in _FAMILIES if slots == own), "")


def slot_table() -> str:
    """The table of docs/conversion.md, in Markdown."""
    lines = [
        "| slot | kept by | starts at | as it started | changed | because |",
        "|---|---|---|---|---|---|",
    ]
    said = {"gradient": "a gradient reached it", "no gradient": "none did", "nothing": "nothing"}
    lines += [
        f"| {kind.name} | {kind.families} | {kind.starts_at} | {said[kind.unchanged]} | "
        f"{said[kind.changed]} | {kind.remark} |"
        for kind in SLOT_KINDS
    ]
    return "\n".join(lines)


def write_table(page: Path) -> None:
    """Renew the table in a page, between its marks."""
    text = page.read_text(encoding="utf-8")
    before, mark, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (mark and end):
        msg = f"{page} has no {_BEGIN} ... {_END}"
        raise ValueError(msg)
    page.write_text(f"{before}{mark}\n{slot_table()}\n{end}{after}", encoding="utf-8")


_BEGIN, _END = "<!--slots-->", "<!--/slots-->"

if __name__ == "__main__":
    write_table(Path(sys.argv[1]))
