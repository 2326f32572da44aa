"""Optimizers of Keras 3, tf_keras and tf_keras.legacy, and how to make each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from tests.checkpoints.truth import Slots

__all__ = [
    "LEGACY",
    "METHODS",
    "PLAIN",
    "TF_KERAS",
    "Api",
    "Method",
    "Modifiers",
    "keras_module",
    "make_optimizer",
]

Api = Literal["keras", "tf_keras", "legacy"]


@dataclass(frozen=True)
class Method:
    """A kind of optimizer.

    Parameters
    ----------
    class_name : str
        In ``optimizers`` of its library.
    rate, small_rate : float
        Learning rates with which a few updates leave zeros behind, and none.
    options : mapping
        Further arguments.
    moved, unmoved : str
        What its slots show where gradients came, and where all were zero.
    forgets : bool
        Whether it computes weights anew from its slots (Ftrl): without a gradient all become 0,
        whatever they were.
    """

    class_name: str
    rate: float
    small_rate: float
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    moved: Slots = "gradients"
    unmoved: Slots = "no gradients"
    forgets: bool = False


METHODS: dict[str, Method] = {
    "adam": Method("Adam", 0.05, 2e-3),
    "adamw": Method("AdamW", 0.05, 2e-3),
    "amsgrad": Method("Adam", 0.05, 2e-3, {"amsgrad": True}),
    "nadam": Method("Nadam", 0.05, 2e-3),
    "adamax": Method("Adamax", 0.05, 2e-3),
    "lion": Method("Lion", 0.05, 2e-3),
    "lamb": Method("Lamb", 0.4, 0.01),
    "muon": Method("Muon", 0.05, 2e-3),
    "rmsprop": Method("RMSprop", 0.02, 2e-3),
    "rmsprop-momentum": Method("RMSprop", 0.02, 2e-4, {"momentum": 0.9}),
    "rmsprop-centered": Method("RMSprop", 0.02, 2e-4, {"momentum": 0.9, "centered": True}),
    "adadelta": Method("Adadelta", 20.0, 5.0),
    "adagrad": Method("Adagrad", 0.1, 0.02),
    "adagrad-0": Method("Adagrad", 0.05, 5e-3, {"initial_accumulator_value": 0.0}),
    "adagrad-1": Method("Adagrad", 0.2, 0.1, {"initial_accumulator_value": 1.0}),
    "ftrl": Method("Ftrl", 0.05, 0.05, forgets=True),
    "ftrl-1": Method("Ftrl", 0.2, 0.2, {"initial_accumulator_value": 1.0}, forgets=True),
    "adafactor": Method("Adafactor", 0.5, 0.02, unmoved="nothing"),
    "sgd": Method("SGD", 0.15, 0.05, moved="none", unmoved="none"),
    "sgd-momentum": Method("SGD", 0.05, 0.01, {"momentum": 0.9}),
    "sgd-nesterov": Method("SGD", 0.05, 0.01, {"momentum": 0.9, "nesterov": True}),
    "schedule-free": Method("ScheduleFreeAdamW", 0.05, 2e-3),
}  # fmt: skip

#: Those that tf_keras has, and its legacy optimizers have.
TF_KERAS = (
    "adam", "adamw", "amsgrad", "nadam", "adamax", "lion", "rmsprop", "rmsprop-momentum",
    "rmsprop-centered", "adadelta", "adagrad", "adagrad-0", "ftrl", "adafactor", "sgd",
    "sgd-momentum", "sgd-nesterov",
)  # fmt: skip
LEGACY = (
    "adam", "amsgrad", "nadam", "adamax", "rmsprop", "rmsprop-momentum", "rmsprop-centered",
    "adadelta", "adagrad", "adagrad-0", "ftrl", "sgd", "sgd-momentum",
)  # fmt: skip


@dataclass(frozen=True)
class Modifiers:
    """What is around a method: averages, accumulation over batches, loss scaling, a schedule."""

    average: bool = False
    batches_per_update: int = 1
    loss_scale: bool = False
    schedule: bool = False

    @property
    def label(self) -> str:
        parts = [
            "average" * self.average,
            f"accumulate-{self.batches_per_update}" * (self.batches_per_update > 1),
            "loss-scale" * self.loss_scale,
            "schedule" * self.schedule,
        ]
        return "".join(f"+{part}" for part in parts if part)


#: A method alone.
PLAIN = Modifiers()


def keras_module(api: Api) -> Any:
    """Keras 3, or tf_keras for the optimizers of Keras 2."""
    if api == "keras":
        import keras

        return keras
    try:
        import tf_keras
    except ImportError as error:
        message = "tf_keras is not installed: pip install --no-deps tf_keras"
        raise SystemExit(message) from error
    return tf_keras


def make_optimizer(api: Api, family: str, rate: float, modifiers: Modifiers) -> Any:
    """A real optimizer of a family."""
    method, keras = METHODS[family], keras_module(api)
    home = keras.optimizers.legacy if api == "legacy" else keras.optimizers
    options: dict[str, Any] = dict(method.options)
    if modifiers.average:
        options |= {"use_ema": True, "ema_momentum": 0.9}
    if modifiers.batches_per_update > 1:
        options["gradient_accumulation_steps"] = modifiers.batches_per_update
    given: Any = rate
    if modifiers.schedule:
        given = keras.optimizers.schedules.ExponentialDecay(rate, 100, 0.99)
    optimizer = getattr(home, method.class_name)(learning_rate=given, **options)
    if not modifiers.loss_scale:
        return optimizer
    if api == "keras":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return keras.mixed_precision.LossScaleOptimizer(optimizer)
