"""Which variable of a checkpoint is what: found by names' ends and by shapes, not by layers.

Layers are numbered and named as the training program was written, and Keras 3 numbers
the variables too. What stays are the last part of a name and how shapes fit together.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from v1sim.checkpoints.bundle import OBJECT_GRAPH, CheckpointIndex, TensorEntry
from v1sim.checkpoints.optimizers import Optimizer, find_optimizers
from v1sim.errors import CheckpointError
from v1sim.receptors import BILLEH_RECEPTORS

__all__ = ["FLOATS", "LAYER_OF_TABLE", "N_RECEPTORS", "PARAMETERS", "Variables", "find_variables"]

#: Layer of the trained model that holds each synapse table of a network.
LAYER_OF_TABLE: Mapping[str, Literal["recurrent", "input"]] = MappingProxyType(
    {"recurrent": "recurrent", "lgn": "input"}
)

#: Receptors of the layout, whose rows are ``target * N_RECEPTORS + receptor``.
N_RECEPTORS = BILLEH_RECEPTORS.n

#: Variables of the cell, one row a neuron, and the shape of a row.
PARAMETERS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "voltage_scale": (), "voltage_offset": (), "v_th": (), "e_l": (), "v_reset": (),
        "decay": (), "current_factor": (), "param_g": (), "t_ref": (),
        "syn_decay": (N_RECEPTORS,), "psc_initial": (N_RECEPTORS,),
        "asc_amps": (2,), "param_k": (2,),
    }
)  # fmt: skip

#: Last parts of the names that the other variables have had.
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "recurrent_indices": ("recurrent_indices",),
        "recurrent_weights": (
            "recurrent_weight_values", "sparse_recurrent_weights", "recurrent_weights",
        ),
        "recurrent_sign": ("recurrent_weight_positive", "recurrent_weights_sign"),
        "input_indices": ("indices", "input_indices"),
        "input_weights": (
            "weights", "input_weight_values", "sparse_input_weights", "input_weights",
        ),
        "input_sign": ("input_weight_positive", "input_weights_sign"),
        "background": ("bkg_weights", "rest_of_brain_weights"),
        "readout_kernel": ("kernel",),
        "readout_bias": ("bias",),
    }
)  # fmt: skip
#: As the published training code names them, for messages.
_SHOWN = {
    "recurrent_weights": "recurrent_weight_values",
    "recurrent_sign": "recurrent_weight_positive",
    "input_indices": "_indices (of the input layer)",
    "input_weights": "_weights (of the input layer)",
    "input_sign": "input_weight_positive",
}
_OPTIONAL = ("background", "readout_kernel", "readout_bias")
_INTEGERS = ("int64", "int32", "int16", "uint32", "uint64", "uint16")
#: Dtypes that weights have.
FLOATS = ("float32", "float64", "float16", "bfloat16")


@dataclass(frozen=True)
class Variables:
    """The variables of a network by role, and how many neurons they are for.

    Roles are the names in `PARAMETERS`, "recurrent_indices", "recurrent_weights",
    "recurrent_sign", the same with "input_", and where the checkpoint has them
    "background", "readout_kernel" and "readout_bias". ``unused`` are arrays of the model that
    have none of these roles: other inputs, other layers. ``optimizers`` are those that were
    saved with it.
    """

    n_neurons: int
    entries: Mapping[str, TensorEntry]
    unused: tuple[TensorEntry, ...] = ()
    optimizers: tuple[Optimizer, ...] = ()

    def __getitem__(self, role: str) -> TensorEntry:
        return self.entries[role]

    def __contains__(self, role: object) -> bool:
        return role in self.entries

    def with_weights(self, weights: Mapping[str, TensorEntry]) -> Variables:
        """The same with other entries for some roles: averages in place of weights."""
        return replace(self, entries=MappingProxyType({**self.entries, **weights}))

    @property
    def n_recurrent(self) -> int:
        """Number of recurrent synapses."""
        return self.entries["recurrent_indices"].shape[0]

    @property
    def n_input(self) -> int:
        """Number of input synapses."""
        return self.entries["input_indices"].shape[0]


def find_variables(index: CheckpointIndex) -> Variables:
    """Find every variable of a network in a checkpoint.

    Raises
    ------
    CheckpointError
        If one is missing, ambiguous, or of another shape than the others imply; the message
        names all that are, and the closest names that are there.
    """
    return _Finder(index).find()


class _Finder:
    """Roles by name first, then by shape; gathers what is missing."""

    def __init__(self, index: CheckpointIndex) -> None:
        self.index = index
        self.optimizers = find_optimizers(index)
        names = index.graph.full_names
        slots = {slot.entry.key for optimizer in self.optimizers for slot in optimizer.slots}
        self.candidates = [
            e
            for e in index.entries.values()
            if e.key != OBJECT_GRAPH
            and e.dtype != "string"
            and e.key not in slots
            and ".OPTIMIZER_SLOT/" not in e.key
        ]
        self.names = {e.key: _last_parts(e, names.get(e.key, "")) for e in self.candidates}
        self.found: dict[str, TensorEntry] = {}
        self.problems: list[str] = []

    def find(self) -> Variables:
        scale = self.named("voltage_scale", lambda e: len(e.shape) == 1, "[neurons]")
        recurrent = self.named("recurrent_indices", _is_edge_list, "[synapses, 2] integers")
        self.input_indices(recurrent)
        if scale is not None:
            for role, row in PARAMETERS.items():
                self.shaped(role, (role,), (scale.shape[0], *row), FLOATS)
            self.background(scale.shape[0])
            self.readout(scale.shape[0])
        for table in ("recurrent", "input"):
            indices = self.found.get(f"{table}_indices")
            if indices is not None:
                rows = (indices.shape[0],)
                self.weights(table, rows)
                role = f"{table}_sign"
                self.shaped(role, _NAMES[role], rows, ("bool",))
        missing = [
            role
            for role in (*PARAMETERS, *_NAMES)
            if role not in self.found and role not in _OPTIONAL
        ]
        if missing or self.problems:
            raise self.error(missing)
        assert scale is not None
        used = {e.key for e in self.found.values()}
        twins = [self.found[role] for role in self.found]
        unused = tuple(
            e
            for e in self.candidates
            if e.shape and e.key not in used and not any(self.twins(e, one) for one in twins)
        )
        return Variables(
            scale.shape[0], MappingProxyType(dict(self.found)), unused, self.optimizers
        )

    def by_name(self, names: Iterable[str]) -> list[TensorEntry]:
        """Arrays with one of these names; those earlier in ``names`` only, if there are any."""
        for name in names:
            hits = [e for e in self.candidates if e.shape and name in self.names[e.key]]
            if hits:
                return hits
        return []

    def named(
        self, role: str, fits: Callable[[TensorEntry], bool], expected: str
    ) -> TensorEntry | None:
        """The variable of a role's names, if its shape fits."""
        hits = self.by_name(_NAMES.get(role, (role,)))
        return self.settle(role, hits, [e for e in hits if fits(e)], expected)

    def settle(
        self, role: str, hits: list[TensorEntry], fitting: list[TensorEntry], expected: str
    ) -> TensorEntry | None:
        """Note the one that fits, or why there is none."""
        fitting = self.distinct(fitting)
        if len(fitting) > 1:
            self.problems.append(f"{_shown(role)} could be {' or '.join(e.name for e in fitting)}")
        elif fitting:
            self.found[role] = fitting[0]
            return fitting[0]
        elif hits:
            self.problems.extend(
                f"{e.name} is {e.dtype} {list(e.shape)}, expected {expected}" for e in hits
            )
        return None

    def distinct(self, entries: list[TensorEntry]) -> list[TensorEntry]:
        """Entries without those that are saved twice; the one that an optimizer holds is kept."""
        held = {key for o in self.optimizers for key in o.holds or ()}
        kept: list[TensorEntry] = []
        for entry in sorted(entries, key=lambda e: e.key not in held):
            if not any(self.twins(entry, other) for other in kept):
                kept.append(entry)
        return kept

    def twins(self, entry: TensorEntry, other: TensorEntry) -> bool:
        """Whether two entries are one variable, as ``model.export`` saves it."""
        if entry.key == other.key or not entry.same_as(other):
            return entry.key == other.key
        names = self.index.graph.full_names
        name = names.get(entry.key)
        listed = sum(e.key.startswith("_all_variables/") for e in (entry, other))
        return (name is not None and name == names.get(other.key)) or listed == 1

    def shaped(
        self, role: str, names: Iterable[str], shape: tuple[int, ...], dtypes: tuple[str, ...]
    ) -> None:
        """The variable of a name and of a known shape."""
        if role in self.found:
            return
        hits = self.by_name(names)
        fitting = [e for e in hits if e.shape == shape and e.dtype in dtypes]
        kind = "bool" if dtypes == ("bool",) else "floats"
        self.settle(role, hits, fitting, f"{kind} {list(shape)}")

    def input_indices(self, recurrent: TensorEntry | None) -> None:
        """The other edge list: by name, else the only one there is."""
        lists = [e for e in self.candidates if _is_edge_list(e) and e is not recurrent]
        named = [e for e in lists if set(_NAMES["input_indices"]) & self.names[e.key]]
        hits = named or lists
        if len(hits) > 1:  # other inputs have edge lists too: the sign mask belongs to this one
            signs = {e.shape[0] for e in self.by_name(_NAMES["input_sign"]) if e.shape}
            hits = [e for e in hits if e.shape[0] in signs] or hits
        self.settle("input_indices", hits, hits, "[synapses, 2] integers")

    def weights(self, table: str, rows: tuple[int, ...]) -> None:
        """Float values of the length of an edge list, beside it or named as weights."""
        role = f"{table}_weights"
        fitting = [e for e in self.candidates if e.shape == rows and e.dtype in FLOATS]
        named = [e for e in fitting if set(_NAMES[role]) & self.names[e.key]]
        parent = _parent(self.found[f"{table}_indices"])
        beside = [e for e in (named or fitting) if _parent(e) == parent]
        chosen = beside or named or fitting
        hits = chosen or [
            e for e in self.by_name(_NAMES[role]) if table == "recurrent" or _parent(e) == parent
        ]
        self.settle(role, hits, chosen, f"floats {list(rows)}")

    def background(self, n_neurons: int) -> None:
        shapes = ((n_neurons * N_RECEPTORS,), (n_neurons, N_RECEPTORS))
        hits = self.by_name(_NAMES["background"])
        if not hits:  # numbered, as Keras 3 does: nothing else has this length
            hits = [e for e in self.candidates if e.shape == shapes[0] and e.dtype in FLOATS]
        fitting = [e for e in hits if e.shape in shapes and e.dtype in FLOATS]
        expected = (
            f"floats [{n_neurons * N_RECEPTORS}] ({N_RECEPTORS} receptors of {n_neurons} neurons)"
        )
        self.settle("background", hits, fitting, expected)

    def readout(self, n_neurons: int) -> None:
        """A dense readout: a kernel, from every neuron if there are several, and its bias."""
        kernels = [e for e in self.by_name(_NAMES["readout_kernel"]) if len(e.shape) == 2]
        kernels = self.distinct(kernels)
        if len(kernels) > 1:
            kernels = [e for e in kernels if e.shape[0] == n_neurons]
        if len(kernels) != 1:
            return  # none, or several of which none is known to be the readout
        self.found["readout_kernel"] = kernels[0]
        biases = [
            e for e in self.by_name(_NAMES["readout_bias"]) if e.shape == kernels[0].shape[1:]
        ]
        beside = [e for e in biases if _parent(e) == _parent(kernels[0])] or biases
        if len(beside) == 1:
            self.found["readout_bias"] = beside[0]

    def error(self, missing: list[str]) -> CheckpointError:
        explained = {problem.split(" ")[0].rsplit("/", 1)[-1] for problem in self.problems}
        lines = list(self.problems)
        silent = [r for r in missing if not {*_NAMES.get(r, ()), r, _shown(r)} & explained]
        silent = [r for r in silent if not any(p.startswith(_shown(r)) for p in self.problems)]
        # Whether these fit is not known before the edges are.
        waiting = [f"{t}_{part}" for t in ("recurrent", "input") for part in ("weights", "sign")]
        silent = [
            r
            for r in silent
            if r not in waiting
            or f"{r.partition('_')[0]}_indices" in self.found
            or not self.by_name(_NAMES[r])
        ]
        names = [e.name for e in self.candidates]
        if silent:
            lines.append("missing: " + "; ".join(_shown(r) + self.closest(r) for r in silent))
        if len(silent) > len(PARAMETERS):
            lines.append("none of this model's layers can be recognised")
        shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        return CheckpointError(
            f"its variables are not those of a network: {'. '.join(lines)}",
            where=str(self.index.prefix),
            expected="the variables of the published training code (docs/conversion.md); "
            f"this checkpoint has {len(names)}: {shown}",
            hint=self.advice(),
        )

    def advice(self) -> str:
        """What to save instead."""
        several = [p for p in self.problems if " could be " in p]
        if several:
            return (
                "it seems to hold several networks: save the one that you want alone, "
                "tf.train.Checkpoint(model=model, optimizer=optimizer).write(PREFIX); v1sim "
                "inspect lists all variables"
            )
        return (
            "v1sim inspect lists them all; save the model itself (tf.train.Checkpoint("
            "model=model, optimizer=optimizer)), not a wrapper that tracks none of its layers"
        )

    def closest(self, role: str) -> str:
        """The names most like those of a role, in words."""
        last = {e.key: e.name.rsplit("/", 1)[-1] for e in self.candidates}
        taken = {e.key for e in self.found.values()}
        hits: list[str] = []
        for name in (role, *_NAMES.get(role, ())):
            close = difflib.get_close_matches(name, last.values(), n=2, cutoff=0.5)
            hits += [e.name for e in self.candidates if last[e.key] in close and e.key not in taken]
        unique = list(dict.fromkeys(hits))[:3]
        return f" (closest: {', '.join(unique)})" if unique else ""


def _is_edge_list(entry: TensorEntry) -> bool:
    return len(entry.shape) == 2 and entry.shape[1] == 2 and entry.dtype in _INTEGERS


def _last_parts(entry: TensorEntry, full_name: str) -> set[str]:
    """The plain last part of a variable's key, and of its name in the program."""
    parts = [p for p in entry.name.split("/") if p not in ("_value", "value")]
    last = {parts[-1].strip("_")}
    own = full_name.removesuffix(":0").rsplit("/", 1)[-1]
    if own and own != "Variable":
        last.add(own.strip("_"))
        # Keras 3 joins the names of layers and variables with underscores in places.
        last |= {name for names in _NAMES.values() for name in names if own.endswith(f"_{name}")}
    return last


def _parent(entry: TensorEntry) -> str:
    return entry.name.rpartition("/")[0]


def _shown(role: str) -> str:
    return _SHOWN.get(role, role)
