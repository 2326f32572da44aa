"""The objects of a checkpoint: who owns which variable, under which name.

TensorFlow saves the graph of the objects that a program tracked (TrackableObjectGraph of
``trackable_object_graph.proto``): the children of each object by local name, the variables with
their keys, and for optimizers of the old kind the slots that they keep for each variable. It
stands in the data file. The keys in the index are paths through the same graph, so with the
index alone most of it can be built again: what is lost are the further names of an object, and
the names that variables had in the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from v1sim.checkpoints import wire

__all__ = ["Node", "ObjectGraph", "Slot", "graph_of_keys", "parse_graph"]

_ATTRIBUTES, _SLOTS = ".ATTRIBUTES", ".OPTIMIZER_SLOT"


@dataclass(frozen=True)
class Slot:
    """What an optimizer of the old kind keeps for a variable; both are numbers of nodes."""

    variable: int
    name: str
    kept: int


@dataclass(frozen=True)
class Node:
    """An object: its children by local name, and where it is a variable, its key.

    ``full_name`` is the name that the variable had in the program.
    """

    children: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    key: str = ""
    full_name: str = ""
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class ObjectGraph:
    """The objects of a checkpoint, the first of which is the one that was saved.

    ``complete`` says whether it is TensorFlow's own, or was built from keys.
    """

    nodes: tuple[Node, ...]
    complete: bool

    @cached_property
    def full_names(self) -> Mapping[str, str]:
        """The name that each variable had in the program, by key."""
        return MappingProxyType(
            {node.key: node.full_name for node in self.nodes if node.key and node.full_name}
        )

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The shortest path from the root to each object."""
        found = {0: ""}
        ahead = [0]
        while ahead:
            following = []
            for number in ahead:
                for name, child in self.nodes[number].children.items():
                    if child not in found and child < len(self.nodes):
                        found[child] = f"{found[number]}/{name}".lstrip("/")
                        following.append(child)
            ahead = following
        return tuple(found.get(number, "") for number in range(len(self.nodes)))

    def child(self, number: int, *names: str) -> int | None:
        """The first child of an object that has one of these names."""
        children = self.nodes[number].children
        return next((children[name] for name in names if name in children), None)

    def has_child(self, name: str) -> bool:
        """Whether any object has a child of this name."""
        return any(name in node.children for node in self.nodes)

    def listed(self, number: int) -> Iterator[tuple[int, int]]:
        """Places and members of an object that is a list: its children that have numbers."""
        children = self.nodes[number].children
        places = sorted(int(name) for name in children if name.isdecimal())
        yield from ((place, children[str(place)]) for place in places)


def parse_graph(message: bytes) -> ObjectGraph:
    """A TrackableObjectGraph.

    Raises
    ------
    DamageError
        If it is none.
    """
    nodes = []
    for encoded in wire.fields(message).get(1, []):
        fields = wire.fields(encoded)
        children = {}
        for child in fields.get(1, []):
            of_child = wire.fields(child)
            children[wire.text(of_child, 2)] = wire.last(of_child, 1)
        key = full_name = ""
        for attribute in fields.get(2, []):
            of_attribute = wire.fields(attribute)
            if wire.text(of_attribute, 1) in ("VARIABLE_VALUE", ""):
                full_name, key = wire.text(of_attribute, 2), wire.text(of_attribute, 3)
        slots = []
        for slot in fields.get(3, []):
            of_slot = wire.fields(slot)
            slots.append(Slot(wire.last(of_slot, 1), wire.text(of_slot, 2), wire.last(of_slot, 3)))
        nodes.append(Node(MappingProxyType(children), key, full_name, tuple(slots)))
    numbers = range(len(nodes))
    for node in nodes:
        used = [*node.children.values(), *(n for s in node.slots for n in (s.variable, s.kept))]
        if any(number not in numbers for number in used):
            msg = "an object of the graph is missing"
            raise wire.DamageError(msg)
    return ObjectGraph(tuple(nodes), complete=True)


def graph_of_keys(keys: Iterable[str]) -> ObjectGraph:
    """The graph as far as the keys of variables tell it."""
    children: list[dict[str, int]] = [{}]
    key_of: dict[int, str] = {}
    slots: dict[int, list[Slot]] = {}

    def place(parts: list[str]) -> int:
        number = 0
        for part in parts:
            if part not in children[number]:
                children[number][part] = len(children)
                children.append({})
            number = children[number][part]
        return number

    for key in keys:
        parts = key.split("/")
        if _ATTRIBUTES in parts:
            parts = parts[: parts.index(_ATTRIBUTES)]
        if _SLOTS in parts:
            at = parts.index(_SLOTS)
            kept = len(children)
            children.append({})
            key_of[kept] = key
            slots.setdefault(place(parts[at + 1 : -1]), []).append(
                Slot(place(parts[:at]), parts[-1], kept)
            )
        else:
            key_of[place(parts)] = key
    return ObjectGraph(
        tuple(
            Node(MappingProxyType(own), key_of.get(n, ""), "", tuple(slots.get(n, ())))
            for n, own in enumerate(children)
        ),
        complete=False,
    )
