"""The optimizers in a checkpoint, found by what they own, whatever they are called.

An optimizer is an object that owns a counter of its iterations together with trainable
variables, slots or a learning rate. Keras 3 lists the variables that it trains; tf_keras and
legacy optimizers show them by the slots that they keep. One that wraps another
(LossScaleOptimizer) trains nothing itself: the inner one's counter and learning rate are those
that count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from v1sim.checkpoints.bundle import CheckpointIndex, TensorEntry
from v1sim.checkpoints.object_graph import ObjectGraph
from v1sim.checkpoints.optimizer_slots import (
    SlotKind,
    family_of,
    family_of_slots,
    kind_by_own_name,
    kind_of,
)

__all__ = ["KeptSlot", "Optimizer", "find_optimizers"]

_COUNTERS = ("_iterations", "iterations", "iter")
_RATES = ("_learning_rate", "learning_rate", "_current_learning_rate", "current_learning_rate")
_TRAINABLE, _ALL = "_trainable_variables", "_variables"


@dataclass(frozen=True)
class KeptSlot:
    """A slot as it stands in a checkpoint.

    ``of`` is the key of the variable that it is kept for, empty where nothing tells; ``kind``
    is None where it is none that is known, or where only a number names it (``numbered``).
    """

    entry: TensorEntry
    of: str
    kind: SlotKind | None
    label: str
    numbered: bool = False


@dataclass(frozen=True)
class Optimizer:
    """An optimizer of a checkpoint.

    Parameters
    ----------
    path : str
        Where it was tracked: "optimizer", "optimizer/inner_optimizer".
    family : str
        "Adam", "SGD", ...; empty where nothing tells.
    counter, learning_rate : TensorEntry or None
        Its own, where it keeps them as variables.
    holds : frozenset of str, or None
        Keys of the variables that it trains; None where that is not told, as before it is built.
    slots : tuple of KeptSlot
        What it keeps.
    scales_loss : bool
        Whether it is one of tf_keras that scales the loss, and counts steps that it skipped.
    """

    path: str
    family: str
    counter: TensorEntry | None
    learning_rate: TensorEntry | None
    holds: frozenset[str] | None
    slots: tuple[KeptSlot, ...]
    scales_loss: bool = False

    @property
    def accumulates(self) -> bool:
        """Whether it accumulates gradients, so that its counter counts batches."""
        return any(s.kind and s.kind.name == "gradient_accumulator" for s in self.slots)

    @property
    def numbered(self) -> bool:
        """Whether its slots have numbers alone: what each is, only the data file tells."""
        return any(slot.numbered for slot in self.slots)

    def slots_of(self, key: str) -> tuple[KeptSlot, ...]:
        """What it keeps for a variable."""
        return tuple(slot for slot in self.slots if slot.of == key)


def find_optimizers(index: CheckpointIndex) -> tuple[Optimizer, ...]:
    """Every optimizer of a checkpoint, those apart that only wrap another."""
    graph = index.graph
    numbers = [n for n in range(len(graph.nodes)) if _is_optimizer(graph, n)]
    wrappers = {n for n in numbers if any(m in numbers for m in _below(graph, n))}
    return tuple(_optimizer(index, n) for n in numbers if n not in wrappers)


def _is_optimizer(graph: ObjectGraph, number: int) -> bool:
    node = graph.nodes[number]
    if node.key or number == 0:
        return bool(node.slots)
    counter = graph.child(number, *_COUNTERS)
    if counter is None or not graph.nodes[counter].key:
        return bool(node.slots)
    if node.slots or _TRAINABLE in node.children:
        return True
    # Before it is built, one of Keras owns its counter and its learning rate alone.
    rate = graph.child(number, *_RATES)
    return rate is not None and ("_iterations" in node.children or "iter" in node.children)


def _below(graph: ObjectGraph, number: int) -> Iterator[int]:
    """Children of an object, and members of its lists."""
    for child in graph.nodes[number].children.values():
        yield child
        yield from (member for _, member in graph.listed(child))


def _optimizer(index: CheckpointIndex, number: int) -> Optimizer:
    graph, entries = index.graph, index.entries
    node = graph.nodes[number]

    def variable(*names: str) -> TensorEntry | None:
        child = graph.child(number, *names)
        entry = None if child is None else entries.get(graph.nodes[child].key)
        return entry if entry is not None and entry.shape == () else None

    counter = variable(*_COUNTERS)
    own_name = graph.full_names.get(counter.key, "").rpartition("/")[0] if counter else ""
    family = family_of(own_name) or _family_in_slots(graph, number)
    trained = [
        (place, graph.nodes[member].key)
        for place, member in _members(graph, number, _TRAINABLE)
        if graph.nodes[member].key in entries
    ]
    tf_keras = _TRAINABLE not in node.children
    slots = [*_legacy_slots(index, number)]
    slots += _listed_slots(index, number, dict(trained), tf_keras=tf_keras, family=family)
    kept = {slot.of for slot in slots if slot.of}
    holds: frozenset[str] | None = frozenset(key for _, key in trained) or None
    unclear = any(slot.numbered or not slot.of for slot in slots if slot.entry.shape)
    if holds is None and kept and not unclear:
        holds = frozenset(kept)
    kinds = {slot.kind.name for slot in slots if slot.kind is not None}
    if not family and slots and all(slot.kind is not None for slot in slots):
        family = family_of_slots(kinds)
    path = graph.paths[number]
    if counter is not None:
        path = counter.name.rpartition("/")[0] or path
    scales = "loss_scale" in node.children
    # What MultiOptimizer shares out has rates of its own, which it does not save.
    rate = None if family == "MultiOptimizer" else variable(*_RATES)
    return Optimizer(path, family, counter, rate, holds, tuple(slots), scales)


def _family_in_slots(graph: ObjectGraph, number: int) -> str:
    """The class of a tf_keras optimizer, by which the names of its slots begin ("AdamW/m/...")."""
    names = [graph.nodes[member].full_name for _, member in _members(graph, number, _ALL)]
    names += [graph.nodes[slot.kept].full_name for slot in graph.nodes[number].slots]
    families = {family_of(name.partition("/")[0]) for name in names if "/" in name}
    return families.pop() if len(families) == 1 else ""


def _members(graph: ObjectGraph, number: int, name: str) -> list[tuple[int, int]]:
    child = graph.child(number, name)
    return [] if child is None else list(graph.listed(child))


def _legacy_slots(index: CheckpointIndex, number: int) -> Iterator[KeptSlot]:
    graph = index.graph
    for slot in graph.nodes[number].slots:
        entry = index.entries.get(graph.nodes[slot.kept].key)
        if entry is not None:
            of = graph.nodes[slot.variable].key
            kind = kind_of(slot.name, legacy=True, tf_keras=True, family="")
            yield KeptSlot(entry, of, kind, slot.name)


def _listed_slots(
    index: CheckpointIndex, number: int, trained: dict[int, str], *, tf_keras: bool, family: str
) -> Iterator[KeptSlot]:
    """Slots of optimizers since Keras 2.11, in lists by their kind, and in one list of all."""
    graph, entries = index.graph, index.entries
    own = {graph.child(number, *_COUNTERS), graph.child(number, *_RATES)}
    all_of_it = _keys_below(graph, number)
    seen: set[str] = {graph.nodes[n].key for n in own if n is not None} | set(trained.values())
    for name, child in graph.nodes[number].children.items():
        if name in (_ALL, _TRAINABLE):
            continue
        kind = kind_of(name, legacy=False, tf_keras=tf_keras, family=family)
        for place, member in graph.listed(child):
            entry = entries.get(graph.nodes[member].key)
            if entry is None or entry.key in seen:
                continue
            seen.add(entry.key)
            of = trained.get(place, "")
            if tf_keras and graph.complete:
                of = _kept_for(index, entry, all_of_it)
            elif of and kind is not None and kind.name != "factor":
                of = of if entries[of].shape == entry.shape else ""
            yield KeptSlot(entry, of, kind, kind.name if kind else name.strip("_"))
    for _, member in _members(graph, number, _ALL):
        entry = entries.get(graph.nodes[member].key)
        if entry is None or entry.key in seen or entry.shape == ():
            continue
        of = _kept_for(index, entry, all_of_it) if graph.complete else ""
        own_name = _own_name(index, entry)
        kind = kind_by_own_name(own_name, family) if graph.complete else None
        label = kind.name if kind else own_name
        yield KeptSlot(entry, of, kind, label, numbered=not graph.complete)


def _own_name(index: CheckpointIndex, entry: TensorEntry) -> str:
    return index.graph.full_names.get(entry.key, entry.name)


def _keys_below(graph: ObjectGraph, number: int) -> frozenset[str]:
    """Keys of the variables that an optimizer keeps, those that it trains apart."""
    trained = {graph.nodes[member].key for _, member in _members(graph, number, _TRAINABLE)}
    return frozenset(graph.nodes[n].key for n in _below(graph, number)) - trained


def _kept_for(index: CheckpointIndex, entry: TensorEntry, not_these: frozenset[str]) -> str:
    """The key of the variable whose name a slot's name has in it; empty where nothing tells."""
    name = _plain(_own_name(index, entry))
    names = index.graph.full_names
    fitting = [
        key
        for key, other in index.entries.items()
        if other.shape == entry.shape and other.dtype == entry.dtype and key in names
        and key not in not_these and _plain(names[key]) and _plain(names[key]) in name
    ]  # fmt: skip
    longest = max((len(_plain(names[key])) for key in fitting), default=0)
    best = [key for key in fitting if len(_plain(names[key])) == longest]
    return best[0] if len(best) == 1 else ""


def _plain(full_name: str) -> str:
    return full_name.removesuffix(":0").replace("/", "_")
