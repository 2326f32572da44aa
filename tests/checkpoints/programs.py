"""Training programs: a network in TensorFlow, its optimizers, and an account of what they did.

The network has the variables of the published training code under their names. What it is trained
for is simple (each weight has a value that it is drawn to), everything else is real: layers of
Keras, gradients of a tape, optimizers with their slots, the sign constraint, checkpoints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tests.checkpoints.methods import (
    METHODS,
    PLAIN,
    Api,
    Modifiers,
    keras_module,
    make_optimizer,
)
from tests.checkpoints.published import model_variables
from tests.checkpoints.truth import OptimizerTruth, Slots, TableTruth, Truth
from v1sim.model import NetworkModel

__all__ = ["Optimizer", "Options", "Program"]

Gradients = Literal["zero", "none"]
#: Values that a few updates draw weights to, relative to the initial ones: not one for all, as
#: weights that are the initial ones times a factor are those of another unit.
_AIMS, _BEYOND_ZERO, _SHARE_BEYOND = (1.2, 1.8), -2.0, 0.25
_BATCHES_TO_ZERO, _BATCHES = 6, 24
_READOUT_CLASSES = 2
_NOTHING: Mapping[str, Gradients] = MappingProxyType({})


@dataclass(frozen=True)
class Options:
    """How a program is written.

    Parameters
    ----------
    api : str
        Keras 3, or tf_keras with its new or its legacy optimizers.
    style : str
        "weight": trainable weights by ``add_weight``; "variable": by tf.Variable, as the published
        code; "module": a tf.Module without layers.
    dtype : str
        Of all variables that are floats.
    zeros : bool
        Whether training drives some weights to zero.
    frozen : tuple of str
        Tables that are not to be trained.
    background, readout : bool
        Whether there is a trained background, and a dense readout.
    """

    api: Api = "keras"
    style: Literal["weight", "variable", "module"] = "weight"
    dtype: str = "float32"
    zeros: bool = True
    frozen: tuple[str, ...] = ()
    background: bool = False
    readout: bool = False

    @property
    def label(self) -> str:
        parts = [self.api, *([self.style] if self.style != "weight" else [])]
        return "-".join(parts + ([self.dtype] if self.dtype != "float32" else []))


@dataclass
class Optimizer:
    """An optimizer of a program and the account of what it did."""

    made: Any
    family: str
    modifiers: Modifiers
    rate: float
    tables: tuple[str, ...]
    batches: int = 0
    #: Tables that it made updates of, by gradients other than zero, and all that it was given.
    moved: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    #: Slots that were saved once and are lost.
    dropped: bool = False
    #: The counter of an earlier checkpoint that it was restored from.
    restored: int | None = None
    #: Families by table, where it wraps several optimizers.
    family_of: dict[str, str] = field(default_factory=dict)

    @property
    def updates(self) -> int:
        return self.batches // self.modifiers.batches_per_update

    @property
    def inner(self) -> Any:
        return getattr(self.made, "inner_optimizer", self.made)


class Program:
    """A network that is trained; `run` makes updates, `truth` says what came of it."""

    def __init__(self, network: NetworkModel, options: Options) -> None:
        self.options = options
        self.initial = {
            name.rsplit("/", 1)[-1]: value for name, value in model_variables(network).items()
        }
        rng = np.random.default_rng(11)
        self.aims: dict[str, NDArray[np.float32]] = {}
        for name in ("recurrent_weight_values", "_weights", "_bkg_weights"):
            factor = rng.uniform(*_AIMS, len(self.initial[name])).astype(np.float32)
            if options.zeros and name != "_bkg_weights":
                factor[rng.random(len(factor)) < _SHARE_BEYOND] = _BEYOND_ZERO
            self.aims[name] = factor * self.initial[name]
            if name == "_bkg_weights":
                self.aims[name] += np.float32(0.5)
        self.stopped: set[str] = set()
        make = _module if options.style == "module" else _keras_model
        #: The model, and its variables of weights by table.
        self.model, self.variables = make(self)
        self.start = {table: self.values(table) for table in self.variables}
        if "readout" in self.start:
            self.aims["readout"] = self.start["readout"] * np.float32(_AIMS[1])
        self.optimizers: dict[str, Optimizer] = {}
        #: Tables that an earlier training trained.
        self.trained_before: set[str] = set()

    # --- what the layers are made of ---------------------------------------------------------

    def loss_of(self, name: str, table: str, variable: Any) -> Any:
        """How far weights are from what they are drawn to."""
        values = tf.cast(tf.convert_to_tensor(variable), tf.float32)
        if table in self.stopped:
            values = tf.stop_gradient(values)
        return 0.5 * tf.reduce_sum(tf.square(values - self.aims[name]))

    def loss(self) -> Any:
        """The same of all tables."""
        names = {
            "recurrent": "recurrent_weight_values", "input": "_weights",
            "background": "_bkg_weights", "readout": "readout",
        }  # fmt: skip
        return sum(self.loss_of(names[t], t, v) for t, v in self.variables.items())

    def constraint(self, table: str) -> Any:
        """Dale's law, as the published code holds weights to it."""
        if table not in ("recurrent", "input"):
            return None
        positive = tf.constant(self.initial[f"{table}_weight_positive"])

        def keep_sign(weight: Any) -> Any:
            weight = tf.convert_to_tensor(weight)
            return tf.where(positive, tf.nn.relu(weight), -tf.nn.relu(-weight))

        return keep_sign

    # --- training ----------------------------------------------------------------------------

    def values(self, table: str) -> NDArray[np.floating]:
        variable = self.variables[table]
        raw = variable.value if _is_keras_variable(variable) else variable
        return np.asarray(raw.numpy()).copy()

    def add(
        self,
        family: str,
        *,
        name: str = "optimizer",
        tables: Iterable[str] | None = None,
        modifiers: Modifiers = PLAIN,
        build: bool = False,
    ) -> Optimizer:
        """An optimizer for some tables, by default for all that are not frozen."""
        method = METHODS[family]
        rate = method.rate if self.options.zeros else method.small_rate
        chosen = tuple(tables) if tables is not None else tuple(self.trainable)
        made = make_optimizer(self.options.api, family, rate, modifiers)
        optimizer = Optimizer(made, family, modifiers, rate, chosen)
        self.optimizers[name] = optimizer
        if build:
            self.build(optimizer)
        return optimizer

    def add_multi(self, families: Mapping[str, str]) -> Optimizer:
        """Keras 3's MultiOptimizer, with an optimizer of a family for each table."""
        import keras

        shown = {"recurrent": "sparse_recurrent_weights", "input": "sparse_input_weights"}
        made = {
            t: make_optimizer("keras", f, METHODS[f].rate, Modifiers()) for t, f in families.items()
        }

        def choose(variable: Any) -> Any:
            return next(made[t] for t in made if shown[t] in variable.path)

        optimizer = Optimizer(
            keras.optimizers.MultiOptimizer(choose),
            "multi",
            Modifiers(),
            METHODS[families["recurrent"]].rate,
            tuple(families),
            family_of=dict(families),
        )
        self.optimizers["optimizer"] = optimizer
        return optimizer

    @property
    def trainable(self) -> list[str]:
        """Tables that the program trains."""
        return [name for name in self.variables if name not in self.options.frozen]

    def freeze(self, table: str) -> None:
        """Train a table no longer."""
        self.options = replace(self.options, frozen=(*self.options.frozen, table))
        if _is_keras_variable(self.variables[table]) and self.options.api == "keras":
            self.variables[table].trainable = False

    def fit(self, name: str, batches: int) -> None:
        """Compile the model with an optimizer, and make updates by ``fit``."""
        optimizer = self.optimizers[name]
        self.model.compile(
            optimizer=optimizer.made,
            loss=lambda y, prediction: tf.reduce_mean(tf.cast(prediction, tf.float32)),
        )
        if batches:
            self.model.fit(self.x(batches), self.y(batches), batch_size=1, verbose=0)
            optimizer.given |= set(optimizer.tables)
            optimizer.moved |= set(optimizer.tables)
        optimizer.batches += batches

    def averages(self) -> dict[str, float]:
        """Sum of the absolute values of each table's average, where averages are kept."""
        found = {}
        for optimizer in self.optimizers.values():
            if optimizer.modifiers.average and optimizer.given:
                averages = optimizer.inner._model_variables_moving_average
                for table, average in zip(optimizer.tables, averages, strict=True):
                    found[table] = float(np.abs(np.asarray(average)).sum())
        return found

    def backup(self, folder: Path) -> Path:
        """What the BackupAndRestore callback leaves while a training goes on."""
        keras = keras_module(self.options.api)
        kept = keras.callbacks.BackupAndRestore(str(folder), delete_checkpoint=False)
        self.model.fit(self.x(1), self.y(1), batch_size=1, verbose=0, callbacks=[kept], epochs=1)
        for optimizer in self.optimizers.values():
            optimizer.batches += 1
            optimizer.given |= set(optimizer.tables)
            optimizer.moved |= set(optimizer.tables)
        return folder

    def x(self, n: int) -> Any:
        return np.zeros((n, 1, 1), np.float32)

    def y(self, n: int) -> Any:
        return np.zeros((n, 1), np.float32)

    def n_crossed(self, table: str) -> int:
        """Weights that have the other sign than at the start."""
        return int(np.count_nonzero(self.values(table) * self.start[table] < 0))

    def build_from(self, other: Program) -> None:
        """Note that this program goes on with what another has trained."""
        for optimizer in other.optimizers.values():
            self.trained_before |= optimizer.moved

    def build(self, optimizer: Optimizer) -> None:
        """Make an optimizer's slots without a step, where that can be done."""
        variables = [self.variables[table] for table in optimizer.tables]
        if self.options.api == "legacy":
            optimizer.made._create_all_weights(variables)
        else:
            optimizer.made.build(variables)
        optimizer.given |= set(optimizer.tables)

    def run(
        self,
        batches: int | None = None,
        *,
        without: Mapping[str, Gradients] = _NOTHING,
        overflow: bool = False,
        only: Sequence[str] | None = None,
    ) -> None:
        """Make updates.

        Parameters
        ----------
        batches : int, optional
            Gradients to compute and apply; by default a few with which weights come to zero, or
            more with which none does.
        without : mapping
            By table, that its gradients are zero, or that there are none.
        overflow : bool
            Whether gradients overflow, so that loss scaling skips all updates.
        only : sequence of str, optional
            Names of the optimizers that take part; by default all.
        """
        if batches is None:
            batches = _BATCHES_TO_ZERO if self.options.zeros else _BATCHES
        self.stopped.clear()
        self.stopped.update(without)
        for _ in range(batches):
            self._batch(without, overflow, list(self.optimizers) if only is None else only)
        self.stopped.clear()

    def _batch(
        self, without: Mapping[str, Gradients], overflow: bool, names: Iterable[str]
    ) -> None:
        with tf.GradientTape(persistent=True) as tape:
            loss = self.loss()
            scaled = {name: self._scaled(self.optimizers[name], loss) for name in names}
        for name in names:
            optimizer = self.optimizers[name]
            variables = [self.variables[table] for table in optimizer.tables]
            raw = [v.value if _is_keras_variable(v) else v for v in variables]
            gradients = tape.gradient(scaled[name], raw)
            pairs = []
            for table, gradient, variable in zip(
                optimizer.tables, gradients, variables, strict=True
            ):
                if gradient is None and without.get(table) == "zero":
                    gradient = tf.zeros(variable.shape, variable.dtype)
                if gradient is not None and overflow:
                    gradient = gradient * np.inf
                pairs.append((gradient, variable))
            if optimizer.modifiers.loss_scale and self.options.api != "keras":
                unscaled = optimizer.made.get_unscaled_gradients([g for g, _ in pairs])
                pairs = list(zip(unscaled, variables, strict=True))
            optimizer.made.apply_gradients(pairs)
            before = optimizer.updates
            optimizer.batches += 0 if overflow else 1
            optimizer.given |= {
                table
                for table, (gradient, _) in zip(optimizer.tables, pairs, strict=True)
                if gradient is not None
            }
            if optimizer.updates > before:
                optimizer.moved |= set(optimizer.tables) - set(without)

    def _scaled(self, optimizer: Optimizer, loss: Any) -> Any:
        if not optimizer.modifiers.loss_scale:
            return loss
        if self.options.api == "keras":
            return optimizer.made.scale_loss(loss)
        return optimizer.made.get_scaled_loss(loss)

    def begin_anew(self) -> None:
        """Forget the optimizers, as a new run on the same weights does."""
        for optimizer in self.optimizers.values():
            self.trained_before |= optimizer.moved
        self.optimizers = {}

    # --- the truth ---------------------------------------------------------------------------

    def tracked(self) -> dict[str, Any]:
        """What ``tf.train.Checkpoint`` is given."""
        return {"model": self.model, **{n: o.made for n, o in self.optimizers.items()}}

    def truth(
        self, situation: str, family: str = "", notes: Iterable[str] = (), **fields: Any
    ) -> Truth:
        """What is known of the checkpoint that is saved now."""
        optimizers = {
            name: OptimizerTruth(
                optimizer.family,
                _counter(optimizer),
                optimizer.updates if optimizer.restored is None else optimizer.restored,
                None if optimizer.modifiers.schedule else optimizer.rate,
                optimizer.modifiers.batches_per_update,
            )
            for name, optimizer in self.optimizers.items()
        }
        tables = {table: self._table(table) for table in self.variables}
        program = self.options.label
        family = family or "+".join(
            dict.fromkeys(o.family + o.modifiers.label for o in self.optimizers.values())
        )
        name = f"{program}/{family}/{situation}"
        return Truth(
            name, program, family, situation, tables, optimizers, notes=tuple(notes), **fields
        )

    def _table(self, table: str) -> TableTruth:
        now, start = self.values(table), self.start[table]
        held_by, slots, average = None, "none", False
        trained = table in self.trained_before
        for name, optimizer in self.optimizers.items():
            trained |= table in optimizer.moved
            if self._holds(optimizer, table):
                held_by = name
                slots = self._slots(optimizer, table)
                average = optimizer.modifiers.average
        # Under Adam's rule in bfloat16, whose 0.999 is 1, gradients come and nothing changes.
        trained &= bool(np.any(now != start))
        values, initial = now.astype(np.float64), start.astype(np.float64)
        return TableTruth(
            n=now.size,
            n_changed=int(np.count_nonzero(now != start)),
            n_zero=int(np.count_nonzero(now == 0)),
            relative_change=float(np.abs(values - initial).mean() / np.abs(initial).mean()),
            trained=trained,
            trainable=table in self.trainable,
            held_by=held_by,
            slots=slots,
            average=average,
        )

    def _holds(self, optimizer: Optimizer, table: str) -> bool:
        """Whether an optimizer was built with a table among its variables."""
        if self.options.api != "keras":  # built of what gradients came for
            return table in optimizer.given
        variable = self.variables[table]
        return any(
            v is variable
            for inner in [optimizer.inner, *getattr(optimizer.inner, "optimizers", ())]
            for v in inner._trainable_variables
        )

    def _slots(self, optimizer: Optimizer, table: str) -> Slots:
        method = METHODS[optimizer.family_of.get(table, optimizer.family)]
        moved, unmoved = method.moved, method.unmoved
        if self.options.api == "tf_keras" and method.class_name in ("SGD", "Lion"):
            # One list of the same name in both: SGD keeps it without momentum, too.
            moved, unmoved = "gradients", "nothing"
        unsaved = bool(optimizer.family_of)  # MultiOptimizer leaves out what its optimizers keep
        if optimizer.dropped or unsaved or moved == "none":
            return "none"
        if not (optimizer.updates or optimizer.restored):
            return "nothing"
        return moved if table in optimizer.moved else unmoved


def _counter(optimizer: Optimizer) -> int | None:
    """The counter that TensorFlow saves."""
    counter = getattr(optimizer.inner, "_iterations", None)
    if counter is None:
        counter = optimizer.inner.iterations
    return int(np.asarray(counter))


def _is_keras_variable(variable: Any) -> bool:
    return not isinstance(variable, tf.Variable) and hasattr(variable, "_value")


# --- networks --------------------------------------------------------------------------------


def _constant(program: Program, name: str) -> Any:
    """A variable that no training changes."""
    value = program.initial[name]
    if value.dtype == np.float32:
        value = tf.cast(value, program.options.dtype)
    # A name with a dash in front is none that a SavedModel can have.
    return tf.Variable(value, trainable=False, name=name.strip("_"))


def _weight(program: Program, layer: Any, name: str, table: str) -> Any:
    """A table's weights, as a layer's weight or as a variable."""
    options = program.options
    value = tf.cast(program.initial[name], options.dtype)
    trainable = table not in options.frozen
    constraint = program.constraint(table)
    shown = {"recurrent": "sparse_recurrent_weights", "input": "sparse_input_weights"}.get(
        table, "rest_of_brain_weights"
    )
    if options.style == "weight":
        return layer.add_weight(
            shape=value.shape,
            initializer=lambda shape, dtype=None: value,
            dtype=options.dtype,
            trainable=trainable,
            constraint=constraint,
            name=shown,
        )
    return tf.Variable(value, trainable=trainable, constraint=constraint, name=shown)


@cache
def _layers(api: Api) -> tuple[Any, Any]:
    """The classes of the input layer and of the cell."""
    keras = keras_module(api)

    class Lgn(keras.layers.Layer):
        def __init__(self, program: Program) -> None:
            super().__init__(name="lgn")
            self._of = _Plain(program)
            self._indices = _constant(program, "_indices")
            self._weights = _weight(program, self, "_weights", "input")
            if program.options.background:
                self._bkg_weights = _weight(program, self, "_bkg_weights", "background")
            else:
                self._bkg_weights = _constant(program, "_bkg_weights")

        def get_config(self) -> dict[str, Any]:
            return {}

        def call(self, x: Any) -> Any:
            program = self._of.program
            loss = program.loss_of("_weights", "input", self._weights)
            if program.options.background:
                loss += program.loss_of("_bkg_weights", "background", self._bkg_weights)
            return x + loss

    class Cell(keras.layers.Layer):
        def __init__(self, program: Program) -> None:
            super().__init__(name="cell")
            self._of = _Plain(program)
            for name in program.initial:
                if name == "recurrent_weight_values":
                    self.recurrent_weight_values = _weight(program, self, name, "recurrent")
                elif not name.startswith("_"):
                    setattr(self, name, _constant(program, name))
            self.n_neurons = len(program.initial["v_th"])
            self.state_size = self.output_size = self.n_neurons

        def get_config(self) -> dict[str, Any]:
            return {}

        def call(self, inputs: Any, states: Any) -> Any:
            program = self._of.program
            loss = program.loss_of(
                "recurrent_weight_values", "recurrent", self.recurrent_weight_values
            )
            return tf.tile(inputs + loss, (1, self.n_neurons)), states

    return Lgn, Cell


class _Plain:
    """Holds a program out of the sight of Keras, which tracks what it can track."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __deepcopy__(self, memo: Any) -> _Plain:
        return self


def _keras_model(program: Program) -> tuple[Any, dict[str, Any]]:
    keras = keras_module(program.options.api)
    lgn_class, cell_class = _layers(program.options.api)
    inputs = keras.Input((1, 1))
    lgn, cell = lgn_class(program), cell_class(program)
    hidden = keras.layers.RNN(cell, name="rsnn")(lgn(inputs))
    tables = {"recurrent": cell.recurrent_weight_values, "input": lgn._weights}
    if program.options.background:
        tables["background"] = lgn._bkg_weights
    if program.options.readout:
        readout = keras.layers.Dense(
            _READOUT_CLASSES,
            name="projection",
            kernel_initializer=keras.initializers.RandomUniform(0.5, 1.5, seed=3),
        )
        hidden = readout(hidden)
        tables["readout"] = readout.kernel
    return keras.Model(inputs, hidden), tables


class _Table(tf.Module):
    """Home of the variables of one layer."""


def _module(program: Program) -> tuple[Any, dict[str, Any]]:
    """The same network without Keras: a module with a module a layer."""
    network = tf.Module()
    network.input_layer, network.cell = _Table(), _Table()
    homes = {"_weights": "input", "recurrent_weight_values": "recurrent"}
    if program.options.background:
        homes["_bkg_weights"] = "background"
    tables = {}
    for name in program.initial:
        home = network.input_layer if name.startswith("_") else network.cell
        if name in homes:
            tables[homes[name]] = _weight(program, home, name, homes[name])
            setattr(home, name, tables[homes[name]])
        else:
            setattr(home, name, _constant(program, name))
    return network, tables
