"""The matrix: optimizers x situations of training x storage, and the other ways of saving.

Each entry is a name and a function that trains and saves; nothing is made before it is called.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from tests.checkpoints.methods import LEGACY, METHODS, TF_KERAS, Api, Modifiers
from tests.checkpoints.programs import Gradients, Options, Program
from tests.checkpoints.storage import Writer
from tests.checkpoints.truth import Storage

__all__ = ["Entry", "available", "matrix"]

Make = Callable[[Writer], object]
Entry = tuple[str, Make]

#: All tables get their gradients.
NONE: Mapping[str, Gradients] = MappingProxyType({})
#: Situations that are stored in every way; the others whole and as an index alone.
_STORED: tuple[Storage, ...] = ("whole", "index", "shards", "slices")
_IN_ALL_STORAGES = ("trained", "trained, no zeros", "no gradient for recurrent")
#: Methods that are combined with averages, accumulation and loss scaling.
_MODIFIED = (
    "adam", "adamw", "lion", "rmsprop", "adagrad", "ftrl", "adafactor", "sgd", "sgd-momentum",
)  # fmt: skip
_MODIFIED_TF_KERAS = ("adam", "adagrad", "sgd")
_MODIFIERS = (
    Modifiers(average=True),
    Modifiers(batches_per_update=2),
    Modifiers(loss_scale=True),
)
#: The same for the first few of them.
_FEW_MODIFIED = ("adam", "adagrad", "sgd")
_FURTHER_MODIFIERS = (
    Modifiers(schedule=True),
    Modifiers(average=True, batches_per_update=2),
    Modifiers(average=True, loss_scale=True),
)
_PAIRS = (
    ("adam", "sgd"), ("sgd", "adam"), ("adam", "adam"), ("sgd", "sgd"), ("adam", "adagrad"),
    ("adagrad", "adam"), ("sgd-momentum", "rmsprop"), ("lion", "adafactor"),
)  # fmt: skip


def matrix() -> Iterator[Entry]:
    """All entries: name and what makes it."""
    for family in METHODS:
        yield from _situations("keras", family)
    for family in TF_KERAS:
        yield from _situations("tf_keras", family)
    for family in LEGACY:
        yield from _situations("legacy", family)
    for family in _MODIFIED:
        for modifiers in _MODIFIERS:
            yield from _modified("keras", family, modifiers)
    for family in _FEW_MODIFIED:
        for modifiers in _FURTHER_MODIFIERS:
            yield from _modified("keras", family, modifiers)
    for family in _MODIFIED_TF_KERAS:
        for modifiers in (Modifiers(average=True), Modifiers(loss_scale=True)):
            yield from _modified("tf_keras", family, modifiers)
    for family in ("adam", "sgd"):
        yield from _modified("legacy", family, Modifiers(loss_scale=True))
    yield from _two_optimizers()
    yield from _other_ways()


def available() -> Iterator[Entry]:
    """Those that can be made here: without tf_keras, Keras 3 alone."""
    complete = importlib.util.find_spec("tf_keras") is not None
    return (entry for entry in matrix() if complete or entry[0].startswith("keras"))


def _entry(
    options: Options, family: str, situation: str, make: Callable[..., object], *args: Any
) -> Entry:
    """An entry whose maker gets writer, program, family and situation."""
    name = f"{options.label}/{family}/{situation}"

    def run(writer: Writer) -> None:
        make(writer, writer.program(options), family, situation, *args)

    return name, run


# --- one optimizer ---------------------------------------------------------------------------


def _situations(api: Api, family: str) -> Iterator[Entry]:
    """Every situation of one optimizer."""
    base = Options(api)
    quiet = replace(base, zeros=False)

    def entry(options: Options, situation: str, make: Callable[..., object], *args: Any) -> Entry:
        return _entry(options, family, situation, make, *args)

    yield entry(base, "not built", _not_built)
    yield entry(base, "built", _built)
    yield entry(base, "trained", _trained)
    yield entry(quiet, "trained, no zeros", _trained)
    for table in ("recurrent", "input"):
        frozen = replace(base, frozen=(table,))
        yield entry(frozen, f"{table} frozen", _trained)
        yield entry(base, f"no gradient for {table}", _trained, {table: "zero"})
    yield entry(base, "no gradient at all for recurrent", _trained, {"recurrent": "none"})
    yield entry(base, "no gradient for both", _trained, {"recurrent": "zero", "input": "zero"})
    both = ((base, ""), (quiet, ", no zeros"))
    for options, suffix in both if api == "keras" else both[:1]:
        yield entry(options, f"new optimizer, not built{suffix}", _new_optimizer, False)
        yield entry(options, f"new optimizer, built{suffix}", _new_optimizer, True)
        yield entry(options, f"saved again, not built{suffix}", _saved_again)
        yield entry(options, f"trained, then recurrent frozen{suffix}", _frozen_later)
        if METHODS[family].forgets:
            continue
        yield entry(options, f"trained, then no gradient for recurrent{suffix}", _none_later)
    if api != "legacy":
        styled = replace(base, style="variable")
        yield entry(styled, "trained", _trained)
        yield entry(styled, "no gradient for recurrent", _trained, {"recurrent": "zero"})
        yield entry(replace(styled, frozen=("recurrent",)), "recurrent frozen", _trained)


def _not_built(writer: Writer, program: Program, family: str, situation: str) -> None:
    program.add(family)
    writer.save(program, program.truth(situation, family))


def _built(writer: Writer, program: Program, family: str, situation: str) -> None:
    program.add(family, build=True)
    writer.save(program, program.truth(situation, family))


def _trained(
    writer: Writer,
    program: Program,
    family: str,
    situation: str,
    without: Mapping[str, Gradients] = NONE,
) -> None:
    program.add(family)
    program.run(without=without)
    everywhere = program.options.label == "keras" and situation in _IN_ALL_STORAGES
    storages = _STORED if everywhere else _STORED[:2]
    writer.save(program, program.truth(situation, family), storages=storages)


def _new_optimizer(
    writer: Writer, program: Program, family: str, situation: str, build: bool
) -> None:
    """Trained, then compiled again: the weights are trained, the optimizer has done nothing."""
    program.add(family)
    program.run()
    program.begin_anew()
    program.add(family, build=build)
    writer.save(program, program.truth(situation, family))


def _saved_again(writer: Writer, program: Program, family: str, situation: str) -> None:
    """Trained, restored by another process, and saved before the optimizer was built.

    Slots are gone then, but those of legacy optimizers, which are made as they are restored.
    """
    program.add(family)
    program.run()
    path = writer.root / "scratch" / program.options.api / family
    saved = tf.train.Checkpoint(**program.tracked()).save(str(path / "ck"))
    again = writer.program(program.options)
    optimizer = again.add(family)
    again.build_from(program)
    tf.train.Checkpoint(**again.tracked()).restore(saved).expect_partial()
    optimizer.dropped = program.options.api != "legacy"
    if not optimizer.dropped:
        optimizer.given |= set(optimizer.tables)
        optimizer.moved |= set(optimizer.tables)
    optimizer.restored = program.optimizers["optimizer"].updates
    writer.save(again, again.truth(situation, family))


def _frozen_later(writer: Writer, program: Program, family: str, situation: str) -> None:
    """Trained, then recurrent weights frozen and the input trained on by a new optimizer."""
    program.add(family)
    program.run()
    program.begin_anew()
    program.freeze("recurrent")
    program.add(family)
    program.run()
    writer.save(program, program.truth(situation, family))


def _none_later(writer: Writer, program: Program, family: str, situation: str) -> None:
    """Trained, then trained on by a new optimizer that no recurrent gradient reaches."""
    program.add(family)
    program.run()
    program.begin_anew()
    program.add(family)
    program.run(without={"recurrent": "zero"})
    writer.save(program, program.truth(situation, family))


def _modified(api: Api, family: str, modifiers: Modifiers) -> Iterator[Entry]:
    """Situations of an optimizer with averages, accumulation, loss scaling or a schedule."""
    base = Options(api)
    label = family + modifiers.label

    def entry(options: Options, situation: str, *args: Any, make: Any = None) -> Entry:
        chosen = make or partial(_modified_run, modifiers=modifiers, family=family)
        return _entry(options, label, situation, chosen, *args)

    yield entry(base, "built", 0)
    yield entry(base, "trained", 6)
    yield entry(replace(base, zeros=False), "trained, no zeros", 48)
    yield entry(replace(base, frozen=("recurrent",)), "recurrent frozen", 6)
    yield entry(base, "no gradient for recurrent", 6, {"recurrent": "zero"})
    yield entry(base, "no gradient for input", 6, {"input": "zero"})
    if modifiers.batches_per_update > 1:
        many = partial(
            _modified_run, modifiers=replace(modifiers, batches_per_update=100), family=family
        )
        yield entry(base, "no update yet", 6, make=many)
    if modifiers.loss_scale:
        overflow = partial(_modified_run, modifiers=modifiers, family=family, overflow=True)
        yield entry(base, "no update yet", 3, make=overflow)


def _modified_run(
    writer: Writer,
    program: Program,
    label: str,
    situation: str,
    batches: int,
    without: Mapping[str, Gradients] = NONE,
    *,
    family: str,
    modifiers: Modifiers,
    overflow: bool = False,
) -> None:
    program.add(family, modifiers=modifiers, build=batches == 0 or overflow)
    program.run(batches, without=without, overflow=overflow)
    writer.save(program, program.truth(situation, label))


# --- two optimizers --------------------------------------------------------------------------


def _two_optimizers() -> Iterator[Entry]:
    """One optimizer for the recurrent weights, another for the input."""
    for recurrent, lgn in _PAIRS:
        for situation, runs, without in (
            ("both trained", ("optimizer_recurrent", "optimizer_input"), {}),
            ("recurrent untouched", ("optimizer_input",), {}),
            ("input untouched", ("optimizer_recurrent",), {}),
            (
                "no gradient for recurrent",
                ("optimizer_recurrent", "optimizer_input"),
                {"recurrent": "zero"},
            ),
            ("built", (), {}),
        ):
            for api in ("keras", "tf_keras"):
                if api == "tf_keras" and recurrent not in ("adam", "sgd"):
                    continue
                for zeros in (True, False):
                    if not zeros and situation != "both trained":
                        continue
                    suffix = "" if zeros else ", no zeros"
                    options = Options(api, zeros=zeros)  # type: ignore[arg-type]
                    yield _entry(
                        options,
                        f"two: {recurrent}, {lgn}",
                        situation + suffix,
                        _two,
                        recurrent,
                        lgn,
                        runs,
                        without,
                    )
    for recurrent, lgn in (("adam", "sgd"), ("sgd", "adam"), ("adam", "adam")):
        label = f"multi: {recurrent}, {lgn}"
        yield _entry(Options(), label, "both trained", _multi, recurrent, lgn, {})
        yield _entry(
            Options(), label, "no gradient for recurrent", _multi, recurrent, lgn,
            {"recurrent": "zero"},
        )  # fmt: skip
        yield _entry(
            Options(), f"listed: {recurrent}, {lgn}", "both trained", _listed, recurrent, lgn
        )


def _two(
    writer: Writer,
    program: Program,
    family: str,
    situation: str,
    recurrent: str,
    lgn: str,
    runs: tuple[str, ...],
    without: Mapping[str, Gradients],
) -> None:
    program.add(recurrent, name="optimizer_recurrent", tables=["recurrent"], build=True)
    program.add(lgn, name="optimizer_input", tables=["input"], build=True)
    program.run(only=runs, without=without)
    writer.save(program, program.truth(situation, family))


def _listed(
    writer: Writer, program: Program, family: str, situation: str, recurrent: str, lgn: str
) -> None:
    """The same, tracked as a list."""
    program.add(recurrent, name="optimizers/0", tables=["recurrent"])
    program.add(lgn, name="optimizers/1", tables=["input"])
    program.run()
    listed = [optimizer.made for optimizer in program.optimizers.values()]
    tracked = {"model": program.model, "optimizers": listed}
    writer.save(program, program.truth(situation, family), tracked=tracked)


def _multi(
    writer: Writer,
    program: Program,
    family: str,
    situation: str,
    recurrent: str,
    lgn: str,
    without: Mapping[str, Gradients],
) -> None:
    """Keras 3's own wrapper of several optimizers."""
    program.add_multi({"recurrent": recurrent, "input": lgn})
    program.run(without=without)
    writer.save(program, program.truth(situation, family))


# --- other ways ------------------------------------------------------------------------------


def _other_ways() -> Iterator[Entry]:
    for tracked_as in ("opt", "trainer_adam", "iteration"):
        for situation, without in (
            ("trained", {}),
            ("no gradient for recurrent", {"recurrent": "zero"}),
        ):
            for family in ("adam", "sgd", "adagrad"):
                yield _entry(
                    Options(), f"{family} tracked as {tracked_as}", situation, _tracked_as, family,
                    tracked_as, without,
                )  # fmt: skip
    for style in ("variable", "module"):
        for api in ("keras", "tf_keras", "legacy"):
            options = Options(api, style=style)  # type: ignore[arg-type]
            for family in ("adam", "sgd", "adagrad"):
                label = f"{family} in a trainer"
                yield _entry(options, label, "trained", _trainer, family, 6, {})
                yield _entry(options, label, "before training", _trainer, family, 0, {})
                yield _entry(
                    options, label, "no gradient for recurrent", _trainer, family, 6,
                    {"recurrent": "zero"},
                )  # fmt: skip
    for variable in ("iteration", "step", "iterations", "iter", "learning_rate", "epoch"):
        for family in ("sgd", "adam"):
            label = f"{family}, own variable {variable}"
            yield _entry(Options(), label, "before training", _own_variable, family, variable, 0)
            yield _entry(Options(), label, "trained", _own_variable, family, variable, 6)
    for family in ("adam", "sgd"):
        for api in ("keras", "tf_keras"):
            options = Options(api)  # type: ignore[arg-type]
            yield _entry(options, f"{family}, teacher and student", "trained", _teacher, family)
            yield _entry(options, f"{family}, compiled", "before training", _compiled, family, 0)
            yield _entry(options, f"{family}, compiled", "trained", _compiled, family, 6)
        for dtype in ("float16", "bfloat16"):
            options = Options(dtype=dtype)
            for situation, make in (
                ("not built", _not_built),
                ("built", _built),
                ("trained", _trained),
            ):
                yield _entry(options, family, situation, make)
            yield _entry(
                options, family, "no gradient for recurrent", _trained, {"recurrent": "zero"}
            )
        for extra in ("background", "readout"):
            options = replace(Options(), **{extra: True})
            yield _entry(options, f"{family}, {extra}", "trained", _trained_as, family, {})
            yield _entry(
                options, f"{family}, {extra}", f"no gradient for {extra}", _trained_as, family,
                {extra: "zero"},
            )  # fmt: skip
    for api in ("keras", "tf_keras"):
        for zeros in (True, False):
            options = Options(api, zeros=zeros)  # type: ignore[arg-type]
            suffix = "" if zeros else ", no zeros"
            yield _entry(options, "without optimizer", f"trained{suffix}", _no_optimizer, 6)
        yield _entry(Options(api), "without optimizer", "before training", _no_optimizer, 0)  # type: ignore[arg-type]
    for family in ("adam", "sgd"):
        for situation, batches in (("before training", 0), ("trained", 6)):
            for way in ("manager", "write", "asynchronous", "savedmodel", "export"):
                yield _entry(Options(), f"{family}, {way}", situation, _way, family, way, batches)
            for way in (".keras", ".weights.h5", "backup"):
                yield _entry(
                    Options(), f"{family}, {way}", situation, _keras_file, family, way, batches
                )
    for family in ("adam", "adamw", "sgd"):
        yield _entry(
            Options(), f"{family}+average after fit", "trained", _average_after_fit, family
        )
        yield _entry(
            Options(), f"{family}+average overwrites", "trained", _average_overwrites, family
        )
    for family in ("adam", "sgd"):
        options = Options("tf_keras")
        yield _entry(options, f"{family}, save_weights", "trained", _save_weights, family, 6)
        yield _entry(
            options, f"{family}, save_weights", "before training", _save_weights, family, 0
        )


def _tracked_as(
    writer: Writer,
    program: Program,
    label: str,
    situation: str,
    family: str,
    tracked_as: str,
    without: Mapping[str, Gradients],
) -> None:
    program.add(family, name=tracked_as)
    program.run(without=without)
    writer.save(program, program.truth(situation, label))


def _trainer(
    writer: Writer,
    program: Program,
    label: str,
    situation: str,
    family: str,
    batches: int,
    without: Mapping[str, Gradients],
) -> None:
    """A tf.Module that owns network, optimizer and a counter of its own."""
    program.add(family, name="trainer/opt", build=program.options.api == "keras")
    program.run(batches, without=without)
    trainer = tf.Module()
    trainer.net = program.model
    trainer.opt = program.optimizers["trainer/opt"].made
    trainer.epoch = tf.Variable(17, dtype=tf.int64, trainable=False)
    writer.save(program, program.truth(situation, label), tracked={"trainer": trainer})


def _own_variable(
    writer: Writer,
    program: Program,
    label: str,
    situation: str,
    family: str,
    variable: str,
    batches: int,
) -> None:
    """The program saves a variable of its own whose name is like the optimizer's."""
    program.add(family)
    program.run(batches)
    value: Any = np.float32(0.75) if variable == "learning_rate" else np.int64(1000)
    own = tf.Variable(value, trainable=False)
    tracked = {**program.tracked(), variable: own}
    writer.save(program, program.truth(situation, label), tracked=tracked)


def _teacher(writer: Writer, program: Program, label: str, situation: str, family: str) -> None:
    program.add(family)
    program.run()
    teacher = writer.program(program.options)
    tracked = {
        "teacher": teacher.model,
        "student": program.model,
        "optimizer": program.optimizers["optimizer"].made,
    }
    truth = program.truth(situation, label, expected="refused or read")
    writer.save(program, truth, tracked=tracked)


def _compiled(
    writer: Writer, program: Program, label: str, situation: str, family: str, batches: int
) -> None:
    """A compiled model alone, which tracks its optimizer."""
    program.add(family, name="model/optimizer")
    program.fit("model/optimizer", batches)
    writer.save(program, program.truth(situation, label), tracked={"model": program.model})


def _trained_as(
    writer: Writer,
    program: Program,
    label: str,
    situation: str,
    family: str,
    without: Mapping[str, Gradients],
) -> None:
    program.add(family)
    program.run(without=without)
    writer.save(program, program.truth(situation, label))


def _no_optimizer(
    writer: Writer, program: Program, label: str, situation: str, batches: int
) -> None:
    if batches:
        program.add("adam")
        program.run()
        program.begin_anew()
    writer.save(program, program.truth(situation, label))


def _way(
    writer: Writer,
    program: Program,
    label: str,
    situation: str,
    family: str,
    way: str,
    batches: int,
) -> None:
    """Ways of writing the same things."""
    compiled = way in ("savedmodel", "export")
    program.add(family, name="optimizer")
    if compiled:
        program.fit("optimizer", batches)
    else:
        program.run(batches)
    truth = program.truth(situation, label, notes=("no model key",) if compiled else ())
    folder = writer.root / truth.name
    folder.mkdir(parents=True)
    if way == "manager":
        checkpoint = tf.train.Checkpoint(**program.tracked())
        manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=2)
        for _ in range(3):
            saved = manager.save()
        writer.note(program, truth, Path(saved), "whole")
    elif way == "write":
        saved = tf.train.Checkpoint(**program.tracked()).write(str(folder / "weights-0012.ckpt"))
        writer.note(program, truth, Path(saved), "whole")
    elif way == "asynchronous":
        checkpoint = tf.train.Checkpoint(**program.tracked())
        options = tf.train.CheckpointOptions(experimental_enable_async_checkpoint=True)
        saved = checkpoint.save(str(folder / "ck"), options=options)
        checkpoint.sync()
        writer.note(program, truth, Path(saved), "whole")
    elif way == "savedmodel":
        tf.saved_model.save(program.model, str(folder / "model"))
        writer.note(program, truth, folder / "model", "savedmodel")
        writer.note(program, truth, folder / "model/variables/variables", "whole")
    else:
        program.model.export(str(folder / "model"), verbose=False)
        # Slots and counter are left out.
        exported = replace(
            truth,
            optimizers={},
            tables={
                name: replace(table, held_by=None, slots="none")
                for name, table in truth.tables.items()
            },
            expected="refused or read",
        )
        writer.note(program, exported, folder / "model", "savedmodel")
        writer.note(program, exported, folder / "model/variables/variables", "whole")


def _keras_file(
    writer: Writer,
    program: Program,
    label: str,
    situation: str,
    family: str,
    way: str,
    batches: int,
) -> None:
    """Files of Keras that leave out every tf.Variable."""
    program.add(family)
    program.fit("optimizer", batches)
    truth = program.truth(situation, label, expected="refused")
    folder = writer.root / truth.name
    folder.mkdir(parents=True)
    if way == ".keras":
        path = folder / "model.keras"
        program.model.save(path)
    elif way == ".weights.h5":
        path = folder / "model.weights.h5"
        program.model.save_weights(path)
    else:
        backup = program.backup(folder / "backup")
        path = next(backup.rglob("*.weights.h5"))
    writer.note(program, truth, path, "keras")


def _average_after_fit(
    writer: Writer, program: Program, label: str, situation: str, family: str
) -> None:
    """``fit`` ends by writing averages over the weights: some have the other sign then."""
    program.add(family, modifiers=Modifiers(average=True))
    program.fit("optimizer", 6)
    crossed = sum(program.n_crossed(table) for table in ("recurrent", "input"))
    notes = ("weights are averages", *(("signs crossed",) if crossed else ()))
    writer.save(program, program.truth(situation, label, notes=notes))


def _average_overwrites(
    writer: Writer, program: Program, label: str, situation: str, family: str
) -> None:
    """Averages are written over the weights every few updates."""
    program.add(family, modifiers=Modifiers(average=True))
    program.optimizers["optimizer"].made.ema_overwrite_frequency = 3
    program.run(6)
    crossed = sum(program.n_crossed(table) for table in ("recurrent", "input"))
    notes = ("weights are averages", *(("signs crossed",) if crossed else ()))
    writer.save(program, program.truth(situation, label, notes=notes))


def _save_weights(
    writer: Writer, program: Program, label: str, situation: str, family: str, batches: int
) -> None:
    """``save_weights`` of Keras 2: a TensorFlow checkpoint of the model, under no name."""
    program.add(family)
    program.fit("optimizer", batches)
    truth = program.truth(situation, label, notes=("no model key",))
    folder = writer.root / truth.name
    folder.mkdir(parents=True)
    program.model.save_weights(str(folder / "weights"), save_format="tf")
    writer.note(program, truth, folder / "weights", "whole")
