"""Damage a trained network in every known way, and say which guard finds it.

usage: python -m tests.damage [--trained T.h5 --untrained U.h5] [--checkpoint CKPT]
                              [--few-steps F.h5] [--out docs/guards.md]
                              [--other NAME=FOLDER ...] [--held-out NAME=FOLDER ...]
                              [--jobs 1]

Every variant is written as a file and checked as a user would: the file alone, with the
untrained network as baseline, and with the checkpoint (where there is one). A variant is
*found* when it is refused under the default policy, and *named* when one of the findings is
the right one. Good variants must pass. Any trained network with its untrained twin will do;
folders of `scripts.train_small` are summed up below the table of the first.

Where training froze the input, a baseline cannot tell the network from one whose input
weights got lost: it must be refused, by `guard.frozen_input` and nothing else, and is judged
with that finding waived.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from v1sim import guard
from v1sim.checks.registry import Context, registered_checks
from v1sim.errors import NetworkFileError
from v1sim.model import NetworkModel, Severity
from v1sim.sources import open_network
from v1sim.sources.column import build_column
from v1sim.sources.hdf5 import write_network
from v1sim.sources.provenance import ProvenanceDraft
from v1sim.verdict import FROZEN_INPUT

Arrays = dict[str, np.ndarray]
REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "data" / "trained_a"
SEED = 7


@dataclass(frozen=True)
class Pair:
    """The arrays of both files, by dataset; attributes under "@name"."""

    trained: Arrays
    untrained: Arrays
    few_steps: Arrays | None

    @property
    def n(self) -> int:
        return len(self.trained["neurons/node_type_ids"])

    @property
    def input_was_frozen(self) -> bool:
        return np.array_equal(self.trained["input/weights"], self.untrained["input/weights"])


@dataclass(frozen=True)
class Variant:
    """One way to damage a network; ``names`` are the findings that would be right."""

    name: str
    family: str
    make: Callable[[Arrays, Pair, np.random.Generator], None]
    names: tuple[str, ...]
    #: What can tell at all: the file, a baseline, or only a checkpoint.
    told_by: str = "file"
    #: Words that a right finding's message holds.
    words: str = ""


@dataclass
class Outcome:
    """What the guards said of a variant under one kind of proof."""

    refused: bool
    named: bool
    findings: tuple[str, ...]
    verdict: str
    #: Names of the errors that refuse.
    errors: frozenset[str] = frozenset()
    #: Warnings count as found where only they were to be had.
    warned: bool = False
    texts: tuple[str, ...] = field(default=(), repr=False)

    @property
    def mark(self) -> str:
        if self.refused:
            return "named" if self.named else "refused"
        return "warns" if self.warned else "-"


def read_arrays(path: Path) -> Arrays:
    arrays: Arrays = {}

    def keep(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]
        arrays.update({f"@{name}:{key}": np.asarray(v) for key, v in item.attrs.items()})

    with h5py.File(path) as file:
        file.visititems(keep)
        arrays |= {f"@{name}": np.asarray(value) for name, value in file.attrs.items()}
    arrays.pop("provenance", None)  # it would find everything
    return arrays


def write_arrays(arrays: Arrays, path: Path, **options: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            if not name.startswith("@"):
                numbers = values.ndim and values.dtype.kind != "S"
                file.create_dataset(name, data=values, **(options if numbers else {}))
        for name, values in arrays.items():
            if name.startswith("@"):
                place, _, key = name[1:].rpartition(":")
                (file[place] if place else file).attrs[key] = values


# --- ways to damage ---------------------------------------------------------------------------

VARIANTS: list[Variant] = []


def damage(name: str, family: str, *names: str, told_by: str = "file", words: str = ""):
    """Register a function as a way to damage a network's arrays in place."""

    def register(make):
        VARIANTS.append(Variant(name, family, make, names, told_by, words))
        return make

    return register


def scale_of(arrays: Arrays) -> np.ndarray:
    cell = "neurons/glif3_params"
    scale = arrays[f"{cell}/V_th"] - arrays[f"{cell}/E_L"]
    return scale[arrays["neurons/node_type_ids"]]


def scaled(group: str, power: float, factor: float = 1.0):
    def make(a: Arrays, _: Pair, __: np.random.Generator) -> None:
        scale = scale_of(a)[a[f"{group}/targets"]] ** power * factor
        a[f"{group}/weights"] = (a[f"{group}/weights"] * scale).astype(np.float32)

    return make


def times(dataset: str, factor: float):
    def make(a: Arrays, _: Pair, __: np.random.Generator) -> None:
        a[dataset] = (a[dataset] * factor).astype(a[dataset].dtype)

    return make


def both(*makers):
    def make(a: Arrays, pair: Pair, rng: np.random.Generator) -> None:
        for maker in makers:
            maker(a, pair, rng)

    return make


def shuffled(values: np.ndarray, key: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values dealt out anew among those of the same key."""
    out = np.empty_like(values)
    mixed = rng.permutation(len(values))
    out[np.argsort(key, kind="stable")] = values[mixed[np.argsort(key[mixed], kind="stable")]]
    return out


def type_pairs(a: Arrays, group: str = "recurrent") -> np.ndarray:
    types = a["neurons/node_type_ids"].astype(np.int64)
    post = types[a[f"{group}/targets"]]
    pre = types[a[f"{group}/sources"]] if group == "recurrent" else 0
    return (pre * 10_000 + post) * 8 + a[f"{group}/receptor_types"]


def common_type(a: Arrays) -> int:
    """The type with the most recurrent synapses onto it."""
    types = a["neurons/node_type_ids"]
    return int(np.bincount(types[a["recurrent/targets"]]).argmax())


def typical_weight(a: Arrays) -> int:
    """A synapse whose weight has the median size of those that are not zero."""
    size = np.abs(a["recurrent/weights"])
    order = np.argsort(size)
    return int(order[np.searchsorted(size[order], np.median(size[size > 0]))])


def inhibitory_cells(a: Arrays) -> np.ndarray:
    return np.unique(a["recurrent/sources"][np.isin(a["recurrent/receptor_types"], (1, 3))])


IN = "structure.index_range"


@damage("sources delay-encoded (source + N (delay - 1))", "layout", IN, words="delay-encoded")
def _(a, pair, rng):
    step = np.rint(a["recurrent/delays"]).astype(np.int64) - 1
    a["recurrent/sources"] = (a["recurrent/sources"] + pair.n * step).astype(np.int32)


@damage("sources delay-encoded, delays all 1", "layout", IN, words="delay-encoded")
def _(a, pair, rng):
    step = np.rint(a["recurrent/delays"]).astype(np.int64) - 1
    a["recurrent/sources"] = (a["recurrent/sources"] + pair.n * step).astype(np.int32)
    a["recurrent/delays"] = np.ones_like(a["recurrent/delays"])


@damage("targets still times 4", "layout", IN, words="times 4")
def _(a, pair, rng):
    a["recurrent/targets"] = a["recurrent/targets"] * 4


@damage("targets still target * 4 + receptor", "layout", IN, words=r"target \* 4 \+ receptor")
def _(a, pair, rng):
    a["recurrent/targets"] = a["recurrent/targets"] * 4 + a["recurrent/receptor_types"]


@damage("input targets still target * 4 + receptor", "layout", IN, words=r"target \* 4 \+ receptor")
def _(a, pair, rng):
    a["input/targets"] = a["input/targets"] * 4 + a["input/receptor_types"]


@damage("int32 overflow of target * 4", "layout", IN, words="overflow")
def _(a, pair, rng):
    big = (a["recurrent/targets"].astype(np.int64) + 2**29) * 4
    a["recurrent/targets"] = big.astype(np.uint32).view(np.int32)


@damage("receptors 1..4", "layout", "structure.receptor_range", words="counted from 1")
def _(a, pair, rng):
    a["recurrent/receptor_types"] = a["recurrent/receptor_types"] + 1


@damage(
    "input receptors counted from 1",
    "layout",
    "structure.presynaptic_receptor",
    words="counted from 1",
)
def _(a, pair, rng):
    a["input/receptor_types"] = a["input/receptor_types"] + 1


@damage("sources and targets swapped", "layout", "structure.presynaptic_receptor", words="swapped")
def _(a, pair, rng):
    a["recurrent/sources"], a["recurrent/targets"] = a["recurrent/targets"], a["recurrent/sources"]


@damage(
    "input sources and targets swapped",
    "layout",
    IN,
    "structure.postsynaptic_receptor",
    "baseline.same_network",
)
def _(a, pair, rng):
    a["input/sources"], a["input/targets"] = a["input/targets"], a["input/sources"]


@damage(
    "receptors of excitatory and inhibitory targets exchanged",
    "layout",
    "structure.postsynaptic_receptor",
)
def _(a, pair, rng):
    a["recurrent/receptor_types"] = (a["recurrent/receptor_types"] + 2) % 4


@damage("receptors in another order", "layout", "structure.presynaptic_receptor")
def _(a, pair, rng):
    a["recurrent/receptor_types"] = rng.permutation(a["recurrent/receptor_types"])


@damage(
    "delays in random order",
    "layout",
    "patterns.delays",
    "baseline.same_network",
    "checkpoint.equal",
)
def _(a, pair, rng):
    a["recurrent/delays"] = rng.permutation(a["recurrent/delays"])


@damage(
    "delays in the checkpoint's order, edges sorted by source",
    "layout",
    "patterns.delays",
    "baseline.same_network",
)
def _(a, pair, rng):
    r = {k: a[f"recurrent/{k}"] for k in ("sources", "targets", "receptor_types", "delays")}
    encoded = np.lexsort((r["sources"], r["delays"], r["receptor_types"], r["targets"]))
    by_source = np.lexsort((r["sources"], r["receptor_types"], r["targets"]))
    mixed = np.empty_like(r["delays"])
    mixed[by_source] = r["delays"][encoded]
    a["recurrent/delays"] = mixed


@damage("one column too short", "layout", "structure.length")
def _(a, pair, rng):
    a["recurrent/weights"] = a["recurrent/weights"][:-1]


@damage("synapses there twice (50 of them)", "layout", "structure.duplicates")
def _(a, pair, rng):
    rows = np.flatnonzero(a["recurrent/weights"])[::97][:50]
    for column in ("sources", "targets", "weights", "receptor_types", "delays"):
        values = a[f"recurrent/{column}"]
        a[f"recurrent/{column}"] = np.concatenate([values, values[rows]])


@damage("file appended to itself", "layout", "structure.duplicates")
def _(a, pair, rng):
    for column in ("sources", "targets", "weights", "receptor_types", "delays"):
        a[f"recurrent/{column}"] = np.tile(a[f"recurrent/{column}"], 2)


@damage("weights as float16", "layout", "structure.stored_dtype")
def _(a, pair, rng):
    a["recurrent/weights"] = a["recurrent/weights"].astype(np.float16)


@damage("weights as whole numbers", "layout", "structure.stored_dtype")
def _(a, pair, rng):
    a["recurrent/weights"] = np.rint(a["recurrent/weights"]).astype(np.int32)


@damage("weights dataset missing", "layout", "structure.missing_dataset")
def _(a, pair, rng):
    del a["recurrent/weights"]


@damage("delays dataset missing", "layout", "structure.missing_dataset")
def _(a, pair, rng):
    del a["recurrent/delays"]


@damage("types of the neurons in another order", "layout", "structure.type_kind")
def _(a, pair, rng):
    a["neurons/node_type_ids"] = rng.permutation(a["neurons/node_type_ids"])


@damage("a type that has no parameters", "layout", "structure.type_range")
def _(a, pair, rng):
    a["neurons/node_type_ids"] = a["neurons/node_type_ids"].copy()
    a["neurons/node_type_ids"][3] = len(a["neurons/glif3_params/C_m"])


@damage("fewer LGN cells than the synapses name", "layout", IN)
def _(a, pair, rng):
    a["@n_input"] = np.asarray(int(a["input/sources"].max()))


@damage(
    "recurrent synapses of another network",
    "layout",
    "structure.type_kind",
    "structure.presynaptic_receptor",
    "structure.postsynaptic_receptor",
)
def _(a, pair, rng):
    # The same network with its cells numbered otherwise, beside the cells of this one.
    number = rng.permutation(pair.n)
    for end in ("sources", "targets"):
        a[f"recurrent/{end}"] = number[a[f"recurrent/{end}"]].astype(np.int32)


@damage(
    "weights of another network (same sizes)",
    "layout",
    "values.weight_sign",
    "patterns.class_pairs",
)
def _(a, pair, rng):
    a["recurrent/weights"] = np.roll(a["recurrent/weights"], len(a["recurrent/weights"]) // 3)


# --- units


for label, group, power, factor, names in (
    ("recurrent weights in pA", "recurrent", 1, 1.0, ("units.psp",)),
    ("input weights in pA", "input", 1, 1.0, ("units.psp",)),
    ("recurrent weights normalised twice", "recurrent", -1, 1.0, ("units.psp",)),
    ("input weights normalised twice", "input", -1, 1.0, ("units.psp",)),
    ("recurrent weights in nA", "recurrent", 1, 1e-3, ("units.psp",)),
    ("recurrent weights in fA", "recurrent", 1, 1e3, ("units.psp",)),
    ("recurrent weights all times 1,000", "recurrent", 0, 1e3, ("units.psp",)),
):
    VARIANTS.append(Variant(label, "units", scaled(group, power, factor), names))

CELL = "neurons/glif3_params"
for label, maker, names in (
    ("all weights in pA", both(scaled("recurrent", 1), scaled("input", 1)), ("units.psp",)),
    ("background without the factor 10", times("input/bkg_weights", 0.1), ("units.background",)),
    ("background with the factor 10 twice", times("input/bkg_weights", 10), ("units.background",)),
    (
        "V_th, E_L, V_reset in V",
        both(*(times(f"{CELL}/{name}", 1e-3) for name in ("V_th", "E_L", "V_reset"))),
        ("units.parameters",),
    ),
    ("E_L in V", times(f"{CELL}/E_L", 1e-3), ("units.parameters",)),
    ("tau_syn in s", times(f"{CELL}/tau_syn", 1e-3), ("units.parameters",)),
    ("t_ref in s", times(f"{CELL}/t_ref", 1e-3), ("units.parameters",)),
    ("C_m in nF", times(f"{CELL}/C_m", 1e-3), ("units.parameters",)),
    ("g in uS", times(f"{CELL}/g", 1e-3), ("units.parameters",)),
    ("asc_amps in nA", times(f"{CELL}/asc_amps", 1e-3), ("units.after_spike_currents",)),
    ("delays in s", times("recurrent/delays", 1e-3), ("values.delay",)),
    ("delays in us", times("recurrent/delays", 1e3), ("values.delay",)),
):
    VARIANTS.append(Variant(label, "units", maker, names))


@damage(
    "background in raw pA",
    "units",
    "units.background_unusual",
    "units.background",
    "baseline.other_arrays",
    "checkpoint.equal",
    told_by="baseline",
)
def _(a, pair, rng):
    a["input/bkg_weights"] = (a["input/bkg_weights"] * scale_of(a)[:, None] / 10).astype("f4")


@damage("asc_amps normalised (divided by V_th - E_L)", "units", "units.after_spike_currents")
def _(a, pair, rng):
    scale = a[f"{CELL}/V_th"] - a[f"{CELL}/E_L"]
    a[f"{CELL}/asc_amps"] = a[f"{CELL}/asc_amps"] / scale[:, None]


@damage(
    "asc_amps scaled twice (times V_th - E_L)",
    "units",
    "units.after_spike_currents",
    "units.parameters",
)
def _(a, pair, rng):
    scale = a[f"{CELL}/V_th"] - a[f"{CELL}/E_L"]
    a[f"{CELL}/asc_amps"] = a[f"{CELL}/asc_amps"] * scale[:, None]


@damage("V_th relative to E_L", "units", "units.parameters")
def _(a, pair, rng):
    a[f"{CELL}/V_th"] = a[f"{CELL}/V_th"] - a[f"{CELL}/E_L"]


@damage("k as a time constant (1 / k)", "units", "units.parameters")
def _(a, pair, rng):
    a[f"{CELL}/k"] = 1 / a[f"{CELL}/k"]


@damage("C_m and g exchanged", "units", "units.parameters")
def _(a, pair, rng):
    a[f"{CELL}/C_m"], a[f"{CELL}/g"] = a[f"{CELL}/g"], a[f"{CELL}/C_m"]


@damage("delays counted from 0", "units", "values.delay")
def _(a, pair, rng):
    a["recurrent/delays"] = a["recurrent/delays"] - 1


@damage("delays off the grid", "units", "values.delay")
def _(a, pair, rng):
    a["recurrent/delays"] = a["recurrent/delays"] + np.float32(0.3)


# --- values


def one_weight(change: Callable[[float], float], group: str = "recurrent"):
    def make(a: Arrays, pair: Pair, rng: np.random.Generator) -> None:
        index = typical_weight(a)
        a[f"{group}/weights"] = a[f"{group}/weights"].copy()
        with np.errstate(over="ignore"):
            a[f"{group}/weights"][index] = change(float(a[f"{group}/weights"][index]))

    return make


def where(dataset: str, chosen: Callable[[Arrays], Any], value: Callable[[np.ndarray], Any]):
    def make(a: Arrays, pair: Pair, rng: np.random.Generator) -> None:
        rows = chosen(a)
        a[dataset] = a[dataset].copy()
        a[dataset][rows] = value(a[dataset][rows])

    return make


def all_rows(_: Arrays) -> slice:
    return slice(None)


REC, INP = "recurrent/weights", "input/weights"
for label, maker, names in (
    ("one weight NaN", one_weight(lambda w: np.nan), ("values.finite",)),
    ("one weight infinite", one_weight(lambda w: np.inf), ("values.finite",)),
    ("one weight with the other sign", one_weight(lambda w: -w), ("values.weight_sign",)),
    (
        "one weight times 1,000 (of median size)",
        one_weight(lambda w: w * 1e3),
        ("patterns.outlier", "units.largest_psp", "baseline.jumps"),
    ),
    (
        "one weight 1e30",
        one_weight(lambda w: np.copysign(1e30, w)),
        ("patterns.outlier", "units.largest_psp"),
    ),
    (
        "a block of NaN",
        where(REC, lambda a: slice(500, 600), lambda w: np.nan),
        ("values.finite",),
    ),
    ("input weights NaN", where(INP, all_rows, lambda w: np.nan), ("values.finite",)),
    (
        "NaN in the background",
        where("input/bkg_weights", lambda a: (5, 0), lambda w: np.nan),
        ("values.finite",),
    ),
    ("NaN in C_m", where(f"{CELL}/C_m", lambda a: 1, lambda w: np.nan), ("values.finite",)),
    (
        "NaN delays",
        where("recurrent/delays", lambda a: slice(9, 12), lambda w: np.nan),
        ("values.finite",),
    ),
    ("recurrent weights all zero", where(REC, all_rows, lambda w: 0), ("values.constant",)),
    ("input weights all zero", where(INP, all_rows, lambda w: 0), ("values.constant",)),
    (
        "recurrent weights constant by receptor",
        where(REC, all_rows, lambda w: np.sign(w).astype("f4") * 0.3 + 0),
        ("values.constant",),
    ),
    (
        "a block of zeros (a tenth of the file)",
        where(REC, lambda a: slice(0, len(a[REC]) // 10), lambda w: 0),
        ("patterns.blank",),
    ),
    (
        "a block of zeros in the input (a tenth)",
        where(INP, lambda a: slice(0, len(a[INP]) // 10), lambda w: 0),
        ("patterns.blank",),
    ),
    (
        "a population without input (zeros)",
        where(
            REC,
            lambda a: a["neurons/node_type_ids"][a["recurrent/targets"]] == common_type(a),
            lambda w: 0,
        ),
        ("patterns.blank",),
    ),
    (
        "one receptor all zero",
        where(REC, lambda a: a["recurrent/receptor_types"] == 1, lambda w: 0),
        ("values.constant", "patterns.blank"),
    ),
    (
        "sign of one receptor flipped",
        where(REC, lambda a: a["recurrent/receptor_types"] == 1, lambda w: -w),
        ("values.weight_sign",),
    ),
    (
        "sign of one cell type's output flipped",
        where(
            REC,
            lambda a: a["neurons/node_type_ids"][a["recurrent/sources"]] == common_type(a),
            lambda w: -w,
        ),
        ("values.weight_sign",),
    ),
    ("all signs flipped", where(REC, all_rows, lambda w: -w), ("values.weight_sign",)),
    ("all weights positive", where(REC, all_rows, np.abs), ("values.weight_sign",)),
    ("input weights negative", where(INP, all_rows, lambda w: -w), ("values.weight_sign",)),
    (
        "a twentieth of the weights times 1,000",
        where(REC, lambda a: slice(None, None, 20), lambda w: w * 1e3),
        ("units.largest_psp", "patterns.outlier", "units.psp"),
    ),
):
    VARIANTS.append(Variant(label, "values", maker, names))

SHUFFLED = (
    "training.shuffled",
    "patterns.class_pairs",
    "baseline.resemblance",
    "checkpoint.equal",
)


@damage("weights shuffled across all edges", "values", "values.weight_sign", *SHUFFLED)
def _(a, pair, rng):
    a[REC] = rng.permutation(a[REC])


@damage("weights one row off", "values", "values.weight_sign", *SHUFFLED)
def _(a, pair, rng):
    a[REC] = np.roll(a[REC], 1)


@damage("weights shuffled within receptors", "values", *SHUFFLED)
def _(a, pair, rng):
    a[REC] = shuffled(a[REC], a["recurrent/receptor_types"], rng)


@damage("weights shuffled within receptor and type pair", "values", *SHUFFLED)
def _(a, pair, rng):
    a[REC] = shuffled(a[REC], type_pairs(a), rng)


@damage(
    "input weights shuffled within receptors",
    "values",
    "patterns.input_types",
    "baseline.resemblance",
    "baseline.unchanged",
    "checkpoint.equal",
    told_by="baseline",
)
def _(a, pair, rng):
    a[INP] = shuffled(a[INP], a["input/receptor_types"], rng)


# --- training

LOST = ("guard.required", "guard.frozen_input", "baseline.unchanged", "checkpoint.equal")


def initial(chosen: Callable[[Arrays, Pair, np.random.Generator], np.ndarray], dataset: str = REC):
    def make(a: Arrays, pair: Pair, rng: np.random.Generator) -> None:
        a[dataset] = np.where(chosen(a, pair, rng), pair.untrained[dataset], a[dataset])

    return make


def types_of(a: Arrays, end: str) -> np.ndarray:
    return a["neurons/node_type_ids"][a[f"recurrent/{end}"]] == common_type(a)


def everything(a: Arrays, pair: Pair, rng: np.random.Generator) -> np.ndarray:
    return np.ones(1, dtype=bool)


def whole_input(a: Arrays, pair: Pair, rng: np.random.Generator) -> np.ndarray:
    if pair.input_was_frozen:
        raise LookupError  # that is how it should be
    return everything(a, pair, rng)


PARTLY = ("training.partly", "baseline.unchanged", "guard.required", "checkpoint.equal")
for label, maker, names, told_by in (
    ("untrained", both(initial(everything), initial(everything, INP)), LOST, "file"),
    (
        "untrained, in pA (the old converter's fallback)",
        both(
            initial(everything),
            initial(everything, INP),
            scaled("recurrent", 1),
            scaled("input", 1),
        ),
        ("units.psp",),
        "file",
    ),
    ("recurrent untrained, input trained", initial(everything), LOST, "file"),
    ("input untrained, recurrent trained", initial(whole_input, INP), LOST, "baseline"),
    (
        "first half of the file untrained",
        initial(lambda a, p, r: np.arange(len(a[REC])) < len(a[REC]) // 2),
        PARTLY,
        "file",
    ),
    (
        "half of the cells' input untrained",
        initial(lambda a, p, r: (r.permutation(p.n) < p.n // 2)[a["recurrent/targets"]]),
        PARTLY,
        "file",
    ),
    (
        "half of the cells' output untrained",
        initial(lambda a, p, r: (r.permutation(p.n) < p.n // 2)[a["recurrent/sources"]]),
        PARTLY,
        "file",
    ),
    (
        "a random half of the edges untrained",
        initial(lambda a, p, r: r.random(len(a[REC])) < 0.5),
        PARTLY,
        "baseline",
    ),
    (
        "one population's input reset",
        initial(lambda a, p, r: types_of(a, "targets")),
        PARTLY,
        "file",
    ),
    (
        "one population's output reset",
        initial(lambda a, p, r: types_of(a, "sources")),
        (*PARTLY, "training.silent_sources"),
        "baseline",
    ),
    (
        "one receptor untrained",
        initial(lambda a, p, r: a["recurrent/receptor_types"] == 2),
        PARTLY,
        "file",
    ),
    (
        "one pair of types reset",
        initial(lambda a, p, r: type_pairs(a) == np.bincount(type_pairs(a)).argmax()),
        PARTLY,
        "file",
    ),
):
    VARIANTS.append(Variant(label, "training", maker, names, told_by))


@damage("untrained, with 1 % of noise", "training", *LOST)
def _(a, pair, rng):
    for dataset in (REC, INP):
        noise = 1 + 0.01 * rng.standard_normal(len(pair.untrained[dataset]))
        a[dataset] = (pair.untrained[dataset] * noise).astype(np.float32)


@damage("untrained, with a fifth set to zero by hand", "training", "training.shuffled", *LOST)
def _(a, pair, rng):
    a[REC] = np.where(rng.random(len(a[REC])) < 0.2, np.float32(0), pair.untrained[REC])


@damage("untrained, the smallest fifth set to zero", "training", "training.shuffled", *LOST)
def _(a, pair, rng):
    size = np.abs(pair.untrained[REC])
    a[REC] = np.where(size < np.quantile(size, 0.2), np.float32(0), pair.untrained[REC])


@damage("untrained, times 1.5", "training", *LOST)
def _(a, pair, rng):
    a[REC] = pair.untrained[REC] * np.float32(1.5)


@damage("after five steps", "training", *LOST)
def _(a, pair, rng):
    if pair.few_steps is None:
        raise LookupError
    for dataset in (REC, INP):
        a[dataset] = pair.few_steps[dataset]


@damage(
    "weights of another checkpoint of the same training",
    "training",
    "checkpoint.equal",
    told_by="checkpoint",
)
def _(a, pair, rng):
    # Half-way back to the beginning, zeros where they are: as a little earlier in training.
    for dataset in (REC,) if pair.input_was_frozen else (REC, INP):
        back = 0.85 * a[dataset] + 0.15 * pair.untrained[dataset]
        a[dataset] = np.where(a[dataset] == 0, np.float32(0), back).astype(np.float32)


# --- readout


def readout(change: Callable[[np.ndarray, Arrays], np.ndarray]):
    def make(a: Arrays, pair: Pair, rng: np.random.Generator) -> None:
        if "readout/neuron_ids" not in a:
            raise LookupError
        n_groups = int(a["@n_output"])
        groups = a["readout/neuron_ids"].reshape(n_groups, -1).copy()
        a["readout/neuron_ids"] = change(groups, a).ravel()

    return make


def put(groups: np.ndarray, where: Any, value: Any) -> np.ndarray:
    groups[where] = value
    return groups


for label, maker, names, told_by in (
    (
        "readout ids out of range",
        readout(lambda g, a: put(g, (0, 0), 10**6)),
        ("structure.readout",),
        "file",
    ),
    (
        "readout ids of inhibitory cells",
        readout(lambda g, a: put(g, (0, slice(None)), inhibitory_cells(a)[: g.shape[1]])),
        ("structure.readout_cells",),
        "file",
    ),
    (
        "a readout cell in two groups",
        readout(lambda g, a: put(g, (0, 0), g[1, 0])),
        ("structure.readout",),
        "file",
    ),
    (
        "readout groups off by one cell",
        readout(lambda g, a: np.roll(g.ravel(), 1)),
        ("structure.readout_shift", "baseline.other_arrays"),
        "file",
    ),
    (
        "readout groups off by one group",
        readout(lambda g, a: np.roll(g, 1, axis=0)),
        ("baseline.other_arrays",),
        "baseline",
    ),
    (
        "readout groups in reverse order",
        readout(lambda g, a: g[::-1]),
        ("baseline.other_arrays",),
        "baseline",
    ),
):
    VARIANTS.append(Variant(label, "readout", maker, names, told_by))


# --- files

#: Ways to damage the bytes of a file.
FILE_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty file": lambda data: b"",
    "no HDF5 file": lambda data: b"\x80\x04" + b"weights" * 1000,
    "cut off in the middle": lambda data: data[: len(data) // 2],
    "cut off in the last bytes": lambda data: data[:-100],
    "header overwritten": lambda data: b"\0" * 512 + data[512:],
    "zeros over the first 20 kB": lambda data: data[:100] + b"\0" * 20_000 + data[20_100:],
}


# --- good variants ----------------------------------------------------------------------------


def good_variants(pair: Pair) -> Iterator[tuple[str, Arrays, dict[str, Any]]]:
    """Name, arrays and options of writing of what must pass."""
    rng = np.random.default_rng(SEED)
    t = pair.trained

    def edges(order: np.ndarray, group: str) -> Arrays:
        columns = ("sources", "targets", "weights", "receptor_types", "delays")
        return {f"{group}/{c}": t[f"{group}/{c}"][order] for c in columns if f"{group}/{c}" in t}

    def cast(kind: str, dtype: str) -> Arrays:
        return t | {k: v.astype(dtype) for k, v in t.items() if v.ndim and v.dtype.kind in kind}

    yield "as it is", t, {}
    for group in ("recurrent", "input"):
        yield (
            f"{group} edges in random order",
            t | edges(rng.permutation(len(t[f"{group}/weights"])), group),
            {},
        )
    yield "integers of 64 bits", cast("iu", "i8"), {}
    yield "floats of 64 bits", cast("f", "f8"), {}
    yield "big-endian", {k: v.astype(v.dtype.newbyteorder(">")) for k, v in t.items()}, {}
    yield "compressed", t, {"compression": "gzip", "shuffle": True}
    yield "extra datasets", t | {"notes/of_the_lab": np.arange(5.0), "recurrent/x": np.ones(3)}, {}
    yield "without positions", {k: v for k, v in t.items() if "positions" not in k}, {}
    yield (
        "without readout",
        {k: v for k, v in t.items() if "readout" not in k and k != "@n_output"},
        {},
    )
    yield "without background", {k: v for k, v in t.items() if "bkg" not in k}, {}
    yield "zeros without sign", t | {REC: t[REC] + np.float32(0)}, {}
    half = {k: t[k].astype(np.float16).astype(np.float32) for k in (REC, INP)}
    yield "weights rounded to 16 bits", t | half, {}
    size = np.abs(t[REC])
    smallest = size < np.quantile(size[size > 0], 0.3)
    yield "the smallest weights pruned", t | {REC: np.where(smallest, np.float32(0), t[REC])}, {}
    for factor in (0.5, 2.0):
        yield f"weights times {factor:g}", t | {REC: t[REC] * np.float32(factor)}, {}
    yield "cells numbered otherwise", renumbered(t, rng.permutation(pair.n)), {}
    for share in (0.7, 0.4):
        kept = np.sort(rng.permutation(pair.n)[: int(share * pair.n)])
        yield f"{share:.0%} of the cells", subnetwork(t, kept), {}


def renumbered(a: Arrays, new_of_old: np.ndarray) -> Arrays:
    old_of_new = np.argsort(new_of_old)
    changed = {
        k: v[old_of_new] for k, v in a.items() if k.startswith("neurons/") and "params" not in k
    }
    changed |= {k: a[k][old_of_new] for k in ("input/bkg_weights",) if k in a}
    for key in ("recurrent/sources", "recurrent/targets", "input/targets", "readout/neuron_ids"):
        if key in a:
            changed[key] = new_of_old[a[key]].astype(a[key].dtype)
    return a | changed


def subnetwork(a: Arrays, kept: np.ndarray) -> Arrays:
    n = len(a["neurons/node_type_ids"])
    new = np.full(n, -1)
    new[kept] = np.arange(len(kept))
    out = {k: v for k, v in a.items() if "readout" not in k and k != "@n_output"}
    out["@n_neurons"] = np.asarray(len(kept))
    for key in list(out):
        if (key.startswith("neurons/") and "params" not in key) or "bkg" in key:
            out[key] = out[key][kept]
    for group, ends in (("recurrent", ("sources", "targets")), ("input", ("targets",))):
        inside = np.all([new[a[f"{group}/{end}"]] >= 0 for end in ends], axis=0)
        for key in [k for k in out if k.startswith(f"{group}/") and "bkg" not in k]:
            out[key] = a[key][inside]
        for end in ends:
            out[f"{group}/{end}"] = new[out[f"{group}/{end}"]].astype(np.int32)
    return out


def good_columns() -> Iterator[tuple[str, NetworkModel]]:
    """Built-in columns of several sizes and seeds, with a provenance."""
    draft = ProvenanceDraft("constructed", "tests/damage.py", "build_column", "constructed")
    for n, seed in ((200, 1), (300, 4), (500, 2), (1000, 1), (1000, 5), (2000, 3)):
        network = build_column(n, seed=seed)
        provenance = draft.seal(network)
        yield f"built-in column, {n:,} cells, seed {seed}", replace(network, provenance=provenance)
        yield f"the same without provenance ({n:,}, {seed})", network


# --- judging ----------------------------------------------------------------------------------


def judge(path: Path, policy: guard.Policy, variant: Variant | None = None) -> Outcome:
    """What the guards say of a file."""
    try:
        report = guard.examine(open_network(path), policy)
    except NetworkFileError as error:
        findings, refused, verdict = list(error.findings), True, "unreadable"
        errors = frozenset(f.check for f in findings)
    else:
        findings = [f for f in report.findings if f.severity is not Severity.INFO]
        refused, verdict = not report.passed, str(report.verdict)
        errors = frozenset(f.check for f in report.blocking)
    names, words = (variant.names, variant.words) if variant else ((), "")
    right = [f for f in findings if f.check in names and re.search(words, f.message)]
    return Outcome(
        refused=refused,
        named=bool(right),
        findings=tuple(dict.fromkeys(f.check for f in findings)),
        verdict=verdict,
        errors=errors,
        warned=bool(right),
        texts=tuple(f"{f.check} [{f.where}]: {f.message}" for f in findings),
    )


def policies(untrained: Path, checkpoint: Path | None) -> dict[str, guard.Policy]:
    kinds = {"file alone": guard.Policy(), "with baseline": guard.Policy(baseline=untrained)}
    if checkpoint is not None:
        kinds["with checkpoint"] = guard.Policy(checkpoint=checkpoint)
    return kinds


def load_pair(trained: Path, untrained: Path, few_steps: Path | None) -> Pair:
    return Pair(
        read_arrays(trained), read_arrays(untrained), read_arrays(few_steps) if few_steps else None
    )


def written(variant: Variant, pair: Pair, path: Path) -> bool:
    """Write a damaged file; False where the pair does not have what the damage needs."""
    arrays = dict(pair.trained)
    try:
        variant.make(arrays, pair, np.random.default_rng(SEED))
    except (LookupError, KeyError):
        return False
    write_arrays(arrays, path)
    return True


@dataclass
class Result:
    """What was found of one pair: damaged variants by kind of proof, and good variants.

    ``undecided`` are the good variants that a baseline alone must refuse, because training
    froze the input; ``one_weight`` are the shares of single weights times 1,000 that the file
    shows, that a baseline shows, and that become the largest of their receptor at all.
    """

    bad: dict[str, dict[str, Outcome]]
    good: dict[str, Outcome]
    undecided: dict[str, Outcome]
    one_weight: tuple[float, float, float]

    @property
    def alarms(self) -> dict[str, Outcome]:
        """Good variants that are refused, or for another reason than a frozen input."""
        frozen = {FROZEN_INPUT}
        wrong = {name: o for name, o in self.undecided.items() if o.errors != frozen}
        return {name: o for name, o in self.good.items() if o.refused} | wrong


def run(pair: Pair, kinds: dict[str, guard.Policy], folder: Path) -> Result:
    """Judge every variant of a pair under every kind of proof."""
    alone = kinds
    if pair.input_was_frozen:
        known = {FROZEN_INPUT: "training froze the input"}
        kinds = {k: replace(p, waivers=known) if p.baseline else p for k, p in kinds.items()}
    bad: dict[str, dict[str, Outcome]] = {}
    path = folder / "variant.h5"
    for variant in VARIANTS:
        if written(variant, pair, path):
            bad[variant.name] = {k: judge(path, policy, variant) for k, policy in kinds.items()}
    whole = folder / "whole.h5"
    write_arrays(pair.trained, whole)
    for name, spoil in FILE_DAMAGE.items():
        path.write_bytes(spoil(whole.read_bytes()))
        variant = Variant(name, "file", lambda *_: None, ("structure.file", "structure.unreadable"))
        bad[name] = {k: judge(path, policy, variant) for k, policy in kinds.items()}
    good, undecided = {}, {}
    for name, arrays, options in good_variants(pair):
        write_arrays(arrays, path, **options)
        for kind, policy in kinds.items():
            if kind == "file alone" or comparable(name, kind):
                good[f"{name} ({kind})"] = judge(path, policy)
            if policy.waivers and comparable(name, kind):
                undecided[f"{name} ({kind})"] = judge(path, alone[kind])
    for name, network in good_columns():
        write_network(network, path)
        require = "constructed" if network.provenance else "any"
        good[name] = judge(path, guard.Policy(require=require))
    write_arrays(pair.untrained, path)
    good["the untrained network, where any is accepted"] = judge(path, guard.Policy(require="any"))
    one_weight = one_weight_times_1000(open_network(whole), open_network(path))
    return Result(bad, good, undecided, one_weight)


def comparable(name: str, kind: str) -> bool:
    """Whether a good variant is still the network of the baseline, or of the checkpoint."""
    if any(word in name for word in ("numbered", "of the cells", "times", "without background")):
        return False
    edited = "rounded" in name or "pruned" in name
    return kind == "with baseline" or not edited


def one_weight_times_1000(
    network: NetworkModel, untrained: NetworkModel, n: int = 200
) -> tuple[float, float, float]:
    """Shares of single recurrent weights times 1,000: see `Result.one_weight`."""
    rng = np.random.default_rng(SEED)
    table, checks = network.tables["recurrent"], registered_checks()
    size = np.abs(table.weight)
    alone = with_baseline = largest = 0
    for index in rng.choice(np.flatnonzero(size), n):
        weight = table.weight.copy()
        weight[index] *= np.float32(1e3)
        damaged = network.with_tables(recurrent=replace(table, weight=weight))
        context = Context(damaged, 1.0, baseline=untrained)
        names = ("patterns.outlier", "units.largest_psp")
        found = any(list(checks[name].function(context)) for name in names)
        alone += found
        with_baseline += found or bool(list(checks["baseline.jumps"].function(context)))
        largest += 1e3 * size[index] > size[table.receptor == table.receptor[index]].max()
    return alone / n, with_baseline / n, float(largest / n)


# --- the page ---------------------------------------------------------------------------------

_HEAD = """\
# What the guards find

Made by `python -m tests.damage` from {source}: {n} kinds of damage, each written as a file and \
checked under the default policy (`require: trained`, `strength: evidence`). **named**: refused, \
and a finding says what it is; refused: refused for another reason; warns: a warning that names \
it, not refused; -: passes. A file that v1sim converted or stamped carries digests of every \
array: with them, every one of these is refused and the arrays that differ are named.

What passes the file alone is what no look at one file can tell; the report of every pass by \
evidence says so (`guard.evidence`) and names the commands that tell. A baseline cannot tell \
another checkpoint of the same training, and a checkpoint holds no readout groups.
"""

_OTHERS = """\

## Other networks

The same on other trainings ([calibration](calibration.md) says what they are). Limits were set \
with those marked *calibration* at hand; the *held out* ones were made and judged after that, and \
changed nothing.

"""

_FROZEN = """\

In {names} training froze the input. A baseline alone cannot tell that from input weights that got \
lost on their way: every good variant is `mixed` then, and refused by `guard.frozen_input` and \
nothing else. The checkpoint (its index is enough) settles it, as does \
`--waive guard.frozen_input='training froze the input'`; damaged and good variants are judged with \
that waiver here. "input untrained, recurrent trained" is no damage in them and left out.
"""

_ONE_WEIGHT = """\

## One weight times 1,000

NaN, infinity and a wrong sign are found wherever they are. A weight times 1,000 is found when it \
then lies beyond what physics or the tail of its receptor and pair of cell types allow. The others \
were among the smallest, and become weights of an ordinary size: most of them do not even become \
the largest of their receptor, so that a limit which found them would refuse undamaged networks. A \
baseline shows more, since training limits how far any weight moves. Provenance and checkpoint \
find all. Of 200 weights drawn at random:

| network | found by the file alone | with baseline | become the largest of their receptor |
|---|---|---|---|
"""


def markdown(result: Result, source: str) -> str:
    """The page of one pair."""
    lines = [_HEAD.format(source=source, n=len(result.bad))]
    kinds = list(next(iter(result.bad.values())))
    told_by = {v.name: v.told_by for v in VARIANTS}
    family = {v.name: v.family for v in VARIANTS}
    lines += [
        f"| damage | {' | '.join(kinds)} | findings (file alone) |",
        f"|---|{'---|' * len(kinds)}---|",
    ]
    last = ""
    for name, outcomes in result.bad.items():
        if family.get(name, "file") != last:
            last = family.get(name, "file")
            lines.append(f"| **{last}** |{' |' * len(kinds)} |")
        marks = [f"**{o.mark}**" if o.mark == "named" else o.mark for o in outcomes.values()]
        first = next(iter(outcomes.values()))
        found = ", ".join(f"`{c}`" for c in first.findings[:4])
        note = {
            "baseline": "only a baseline or checkpoint can tell",
            "checkpoint": "only the checkpoint can tell",
        }.get(told_by.get(name, "file"), "")
        if family.get(name) == "readout" and note:
            note = "only a baseline can tell"
        lines.append(f"| {name} | {' | '.join(marks)} | {'; '.join(filter(None, [found, note]))} |")
    lines += [
        "",
        f"## Good variants: {len(result.good)}, false alarms: {len(result.alarms)}",
        "",
        "| variant | result |",
        "|---|---|",
        *(f"| {name} | {passes(outcome)} |" for name, outcome in result.good.items()),
    ]
    return "\n".join(lines) + "\n"


def passes(outcome: Outcome) -> str:
    findings = ", ".join(outcome.findings)
    if outcome.refused:
        return f"**REFUSED** {findings}"
    return f"passes (warns: {findings})" if findings else "passes"


def summary(first: Result, others: dict[str, tuple[str, Result]]) -> str:
    """How the other pairs went, and where a damage was found otherwise than in the first."""
    kinds = list(next(iter(first.bad.values())))
    lines = [
        _OTHERS
        + f"| network | used for | damages | {' | '.join(f'{k}: named, other' for k in kinds)} | "
        "good variants | false alarms |",
        f"|---|---|---|{'---|' * len(kinds)}---|---|",
    ]
    otherwise: dict[str, list[str]] = {}
    alarms, frozen = [], []
    for name, (use, result) in others.items():
        cells = []
        for kind in kinds:
            marks = [o[kind].mark for o in result.bad.values() if kind in o]
            rest = [f"{marks.count(m)} {m}" for m in ("refused", "warns", "-") if m in marks]
            cells.append(", ".join([str(marks.count("named")), *rest]) if marks else "")
        lines.append(
            f"| {name} | {use} | {len(result.bad)} | {' | '.join(cells)} | {len(result.good)} | "
            f"{len(result.alarms)} |"
        )
        for difference in differences(first, result):
            otherwise.setdefault(difference, []).append(name)
        alarms += [f"- {name}, {variant}: {passes(o)}" for variant, o in result.alarms.items()]
        if result.undecided:
            frozen.append(name)
    text = "\n".join(lines) + "\n"
    if frozen:
        text += _FROZEN.format(names=", ".join(frozen))
    if alarms:
        text += "\nFalse alarms:\n\n" + "\n".join(alarms) + "\n"
    if otherwise:
        text += "\n| otherwise than in the first table | networks |\n|---|---|\n"
        text += "".join(f"| {what} | {', '.join(names)} |\n" for what, names in otherwise.items())
    return text


def differences(first: Result, other: Result) -> Iterator[str]:
    """Damages that were marked otherwise, by kind of proof."""
    for name, outcomes in other.bad.items():
        for kind, outcome in outcomes.items():
            before = first.bad[name][kind].mark if name in first.bad else ""
            if before and outcome.mark != before:
                yield f"{name}, {kind}: {outcome.mark} instead of {before}"


def one_weight(results: dict[str, Result]) -> str:
    rows = [
        f"| {name} | {' | '.join(f'{share:.1%}' for share in result.one_weight)} |"
        for name, result in results.items()
    ]
    return _ONE_WEIGHT + "\n".join(rows) + "\n"


def judged(
    trained: Path, untrained: Path, few_steps: Path | None, checkpoint: Path | None
) -> Result:
    """Run all on the files of a pair."""
    pair = load_pair(trained, untrained, few_steps)
    folder = Path(tempfile.mkdtemp())
    try:
        return run(pair, policies(untrained, checkpoint), folder)
    finally:
        shutil.rmtree(folder)


def judged_folder(folder: Path) -> Result:
    """The same for a folder of `scripts.train_small`."""
    files = [folder / f"{name}.h5" for name in ("trained", "untrained", "few_steps")]
    checkpoint = folder / "ckpt"
    known = checkpoint.with_name("ckpt.index").exists()
    return judged(*files, checkpoint if known else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trained", type=Path, default=REFERENCE / "net_A_trained.h5")
    parser.add_argument("--untrained", type=Path, default=REFERENCE / "net_A_untrained.h5")
    parser.add_argument("--few-steps", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--other", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--held-out", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--jobs", type=int, default=1, help="Pairs at a time.")
    parser.add_argument("--out", type=Path, help="Markdown to write; default: the screen.")
    parser.add_argument("--verbose", action="store_true", help="Print what was found.")
    arguments = parser.parse_args()
    if arguments.trained.parent == REFERENCE:
        arguments.few_steps = arguments.few_steps or REFERENCE / "net_A_few_steps.h5"
        arguments.checkpoint = arguments.checkpoint or REFERENCE / "trained" / "ckpt_1000-425"
    others = {}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        of_first = pool.submit(
            judged,
            arguments.trained,
            arguments.untrained,
            arguments.few_steps,
            arguments.checkpoint,
        )
        for use, named in (("calibration", arguments.other), ("held out", arguments.held_out)):
            for name, _, folder in (text.partition("=") for text in named):
                others[name] = (use, pool.submit(judged_folder, Path(folder)))
        first = of_first.result()
        others = {name: (use, future.result()) for name, (use, future) in others.items()}
    text = markdown(first, f"`{arguments.trained.name}` and `{arguments.untrained.name}`")
    text += summary(first, others) if others else ""
    text += one_weight({"A": first} | {name: result for name, (_, result) in others.items()})
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    if arguments.verbose:
        for name, outcomes in first.bad.items():
            for kind, outcome in outcomes.items():
                sys.stderr.write(f"\n{name} / {kind}: {outcome.mark} {outcome.verdict}\n")
                sys.stderr.writelines(f"    {t}\n" for t in outcome.texts)


if __name__ == "__main__":
    main()
