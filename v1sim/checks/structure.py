"""Checks of structure: indices, receptors, delays' storage, duplicates, the readout.

The reader has already refused files that are no network; these checks read what
it could hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v1sim import units
from v1sim.checks.examples import N_EXAMPLES, neuron_examples
from v1sim.checks.registry import Consequence, Context, LeftOut, Observation, check
from v1sim.checks.statistics import count_values
from v1sim.checks.values import MAX_DELAY_PA_MS, MIN_VARIED
from v1sim.model import Severity, SynapseTable
from v1sim.receptors import Kind

__all__: list[str] = []

#: Synapses handled at a time: the work arrays stay small beside the columns.
_BLOCK = 1 << 18

_NAMED = "Seen in files converted by hand or by other tools; each has a name in the message."


@check(
    "structure.no_synapses",
    severity=Severity.ERROR,
    reason="A network without recurrent or input synapses has no weights to judge.",
    calibration="Every network in use has both.",
)
def no_synapses(context: Context) -> Iterator[Observation]:
    """Both tables hold synapses."""
    for group, table in context.tables.items():
        if len(table) == 0:
            yield Observation(
                group,
                "there are no synapses",
                "convert the network again; where they are left out on purpose, a waiver lets it "
                "run: --waive structure.no_synapses=REASON",
            )


@check(
    "structure.index_range",
    severity=Severity.ERROR,
    reason="An index outside the network would connect cells that do not exist, or the wrong ones.",
    calibration="Exact. " + _NAMED,
    consequence=Consequence.ZEROS_ARE_VOID,
    waivable=False,
)
def index_range(context: Context) -> Iterator[Observation]:
    """Sources and targets are cells of the network."""
    network = context.network
    for column in network.index_columns():
        if column.in_range:
            continue
        index, n_cells = column.index, column.n_cells
        table = network.tables[column.projection]
        bad = (index < 0) | (index >= n_cells)
        n_bad = int(np.count_nonzero(bad))
        cause, hint, cells = "", "convert the network again", "sources"
        if column.column == "post":
            n_receptors, cells = network.receptors.n, "targets"
            cause, hint = _target_cause(table, index, n_cells, n_receptors) or (cause, hint)
        elif network.role(column.projection) == "recurrent":
            cause, hint = _source_cause(context, table, n_cells) or (cause, hint)
        yield Observation(
            column.array,
            f"{n_bad:,} of {len(index):,} {cells} are outside 0..{n_cells - 1:,} "
            f"({int(index.min()):,}..{int(index.max()):,}){cause}",
            hint,
            n_bad=n_bad,
            n_seen=len(index),
            examples=context.examples(table, bad),
        )
    bad_type = network.neurons.cell_type >= len(network.cell_types)
    if bad_type.any():
        yield Observation(
            "neurons.cell_type",
            f"{int(bad_type.sum()):,} of {bad_type.size:,} neurons have a type outside the "
            f"{len(network.cell_types)} rows of {context.name_of('cell_types')}",
            "convert the network again",
            n_bad=int(bad_type.sum()),
            n_seen=bad_type.size,
            examples=neuron_examples(bad_type),
        )


def _source_cause(context: Context, table: SynapseTable, n: int) -> tuple[str, str] | None:
    """Sources as TensorFlow stores them: ``source + n * (delay_steps - 1)``."""
    index, delay_ms = table.pre, table.delay_ms
    if index.min() < 0:
        return None
    beyond = index // n
    if units.on_time_grid(delay_ms, context.dt_ms).all() and np.array_equal(
        beyond + 1, units.to_steps(delay_ms, context.dt_ms)
    ):
        encoded = "each of them is source + N * (delay - 1) with the delay of its synapse"
    elif beyond.max() < 8:
        encoded = "they reach into whole multiples of N"
    else:
        return None
    return (
        f"; sources look delay-encoded: {encoded}",
        f"decode them (source % {n}, delay = source // {n} + 1) or convert the checkpoint again",
    )


def _target_cause(
    table: SynapseTable, index: NDArray[np.int32], n: int, n_receptors: int
) -> tuple[str, str] | None:
    """Targets as a checkpoint stores them: ``target * receptors + receptor``; or without it."""
    if index.min() < 0:
        return (
            f"; negative targets look like an overflow of 32-bit integers (target * {n_receptors})",
            "convert the checkpoint again with 64-bit indices",
        )
    if index.max() >= n_receptors * n:
        return None
    remainder = index % n_receptors
    if not remainder.any():
        return (
            f"; targets are still times {n_receptors}",
            f"divide them by {n_receptors} or convert the checkpoint again",
        )
    if np.array_equal(remainder, table.receptor):
        return (
            f"; targets are still target * {n_receptors} + receptor",
            f"divide them by {n_receptors} (whole numbers) or convert the checkpoint again",
        )
    return None


@check(
    "structure.receptor_range",
    severity=Severity.ERROR,
    reason="A receptor is one of those that the network has, 0..3 in the Billeh model; it chooses "
    "the synaptic time constant and, there, the sign.",
    calibration="Exact. " + _NAMED,
    consequence=Consequence.ZEROS_ARE_VOID,
    waivable=False,
)
def receptor_range(context: Context) -> Iterator[Observation]:
    """Receptors are among those of the network."""
    n_receptors = context.network.receptors.n
    for group, table in context.tables.items():
        if not len(table) or table.receptor.max() < n_receptors:
            continue
        bad = table.receptor >= n_receptors
        n_bad = int(np.count_nonzero(bad))
        low, high = int(table.receptor.min()), int(table.receptor.max())
        one_based = low >= 1 and high == n_receptors
        yield Observation(
            f"{group}.receptor",
            f"{n_bad:,} of {len(table):,} receptors are outside 0..{n_receptors - 1} "
            f"({low}..{high})"
            + (f"; receptors look counted from 1 (1..{n_receptors})" if one_based else ""),
            "subtract 1 from every receptor" if one_based else "convert the network again",
            n_bad=n_bad,
            n_seen=len(table),
            examples=context.examples(table, bad),
        )


_IN_RANGE = ("structure.index_range", "structure.receptor_range")


@check(
    "structure.presynaptic_receptor",
    severity=Severity.ERROR,
    reason="Dale's law: a cell is excitatory or inhibitory, and so are all receptors it "
    "projects to. A cell with both says that synapses, receptors or cells are mixed up.",
    calibration="No neuron of the reference networks has both kinds.",
    needs=_IN_RANGE,
)
def presynaptic_receptor(context: Context) -> Iterator[Observation | LeftOut]:
    """Each cell projects to receptors of one kind; LGN cells to excitatory ones.

    Receptors whose presynaptic kind is unknown are left out.
    """
    for group in context.tables:
        yield from context.without_kind(group)
    sends = context.sends
    mixed = sends.min(axis=1) > 0
    if mixed.any():
        group, n_synapses = _main(context), sum(map(len, context.recurrent.values()))
        n_bad = int(sends.min(axis=1).sum())
        hint = "convert the network again; do columns come from files in different order?"
        cause = ""
        if _consistent_if_swapped(context):
            cause = "; sources and targets look swapped: exchanged, every cell has one kind"
            pre, post = (context.name_of(f"{group}.{end}") for end in ("pre", "post"))
            hint = f"exchange {pre} and {post}"
        yield Observation(
            f"{group}.receptor",
            f"{int(mixed.sum()):,} of {mixed.size:,} neurons project through excitatory and "
            f"inhibitory receptors, {n_bad:,} of {n_synapses:,} synapses at least are wrong{cause}",
            hint,
            n_bad=n_bad,
            n_seen=n_synapses,
            examples=neuron_examples(mixed),
        )
    for name, lgn in context.from_lgn.items():
        bad = context.network.presynaptic_kind(lgn) == Kind.INHIBITORY
        n_bad = int(np.count_nonzero(bad))
        if not n_bad:
            continue
        one_based = not (~bad).any()
        yield Observation(
            f"{name}.receptor",
            f"{n_bad:,} of {len(lgn):,} LGN synapses have an inhibitory receptor "
            f"({_numbers_of(context, Kind.INHIBITORY)}); LGN cells are excitatory "
            f"({_numbers_of(context, Kind.EXCITATORY)})"
            + ("; receptors look counted from 1" if one_based else ""),
            "subtract 1 from every receptor" if one_based else "convert the network again",
            n_bad=n_bad,
            n_seen=len(lgn),
            examples=context.examples(lgn, bad),
        )


def _main(context: Context) -> str:
    """The recurrent table of most synapses, of those that name what is found in all of them."""
    tables = context.recurrent
    return max(tables, key=lambda group: len(tables[group]), default="recurrent")


def _numbers_of(context: Context, kind: Kind) -> str:
    """The receptors that all cell types have for presynaptic cells of a kind: "1 or 3"."""
    receptors = context.network.receptors
    of_kind = [i for i in range(receptors.n) if receptors.common_kinds(i)[0] == kind]
    return " or ".join(map(str, of_kind)) or "by cell type"


def _consistent_if_swapped(context: Context) -> bool:
    network, n = context.network, context.network.n_neurons
    as_source, n_inhibitory = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for table in context.recurrent.values():
        inhibitory = network.presynaptic_kind(table) == Kind.INHIBITORY
        as_source += count_values(table.post, n)
        n_inhibitory += count_values(table.post[inhibitory], n)
    return bool(((n_inhibitory == 0) | (n_inhibitory == as_source)).all())


@check(
    "structure.postsynaptic_receptor",
    severity=Severity.ERROR,
    reason="The receptor names the kind of the target too (0, 1 excitatory; 2, 3 inhibitory), "
    "which must be one kind for every cell and agree with what the cell projects to.",
    calibration="No neuron of the reference networks disagrees.",
    needs=_IN_RANGE,
)
def postsynaptic_receptor(context: Context) -> Iterator[Observation]:
    """Each cell receives through receptors of the kind that it sends with, where that is known."""
    sends, receives = context.sends, context.receives
    mixed = receives.min(axis=1) > 0
    sends_inhibitory, receives_inhibitory = (c[:, 1] > c[:, 0] for c in (sends, receives))
    known = (sends.sum(axis=1) > 0) & (receives.sum(axis=1) > 0)
    disagree = known & (sends_inhibitory != receives_inhibitory)
    bad = mixed | disagree
    if not bad.any():
        return
    n_bad = int(np.where(disagree, receives.max(axis=1), receives.min(axis=1))[bad].sum())
    yield Observation(
        "receptor",
        f"{int(bad.sum()):,} of {bad.size:,} neurons receive through receptors of the other kind "
        f"of cell ({int(mixed.sum()):,} through both kinds, {int(disagree.sum()):,} through the "
        "kind that they do not send with)",
        "convert the network again; do targets and receptors come from files in different order?",
        n_bad=n_bad,
        n_seen=int(receives.sum()),
        examples=neuron_examples(bad),
    )


@check(
    "structure.type_kind",
    severity=Severity.ERROR,
    reason="Every neuron of a cell type is of one kind. A type with both says that the neurons' "
    "types belong to another network or another order of neurons.",
    calibration="No type of the reference networks has both kinds.",
    needs=(*_IN_RANGE, "structure.presynaptic_receptor"),
)
def type_kind(context: Context) -> Iterator[Observation]:
    """Cell types hold excitatory or inhibitory cells, not both."""
    network = context.network
    types, n_types = network.neurons.cell_type, len(network.cell_types)
    sending = context.sends.sum(axis=1) > 0
    inhibitory = context.sends[:, 1] > 0
    counts = np.column_stack(
        [
            np.bincount(types[sending & (inhibitory == kind)], minlength=n_types)
            for kind in (False, True)
        ]
    )
    mixed = counts.min(axis=1) > 0
    if mixed.any():
        yield Observation(
            "neurons.cell_type",
            f"{int(mixed.sum())} of {n_types} cell types hold excitatory and inhibitory cells, "
            f"{int(counts.min(axis=1).sum()):,} of {int(sending.sum()):,} neurons at least have "
            "the wrong type",
            "take types and synapses from the same network",
            n_bad=int(counts.min(axis=1).sum()),
            n_seen=int(sending.sum()),
            examples=tuple(
                f"type {i}: {counts[i, 0]} excitatory, {counts[i, 1]} inhibitory"
                for i in np.flatnonzero(mixed)[:N_EXAMPLES]
            ),
        )
    names = network.cell_types.cell_class
    if names is None:
        return
    named = np.array([name[:1] == "i" for name in names])
    labelled = np.array([name[:1] in "ei" and name != "" for name in names])
    wrong = labelled & ~mixed & (counts.sum(axis=1) > 0) & ((counts[:, 1] > 0) != named)
    if wrong.any():
        yield Observation(
            "cell_types.cell_class",
            f"{int(wrong.sum())} of {n_types} cell types send with the other kind of receptor "
            "than their class names",
            "name excitatory classes e... and inhibitory ones i...",
            n_bad=int(wrong.sum()),
            n_seen=n_types,
            examples=tuple(f"type {i}: {names[i]}" for i in np.flatnonzero(wrong)[:N_EXAMPLES]),
        )


@check(
    "structure.duplicates",
    severity=Severity.ERROR,
    reason="A synapse that is there twice with the same weight says that a file was appended to "
    "or merged twice; it acts with twice its weight.",
    calibration="Exact. The reference networks have none. Weights in pA of SONATA networks may be "
    "those of an edge type, and several edges may connect two cells there: refused where each of "
    f"{MIN_VARIED} or more synapses is there twice, or four times, ...",
    needs=(*_IN_RANGE, "values.delay"),
)
def duplicates(context: Context) -> Iterator[Observation]:
    """No synapse is there twice with the same weight."""
    for group, table in context.tables.items():
        repeats = _repeats(context, group)
        n_bad = int(repeats.same_weight.sum())
        if table.unit == "pA" and not (2 * n_bad >= len(table) and _is_doubled(context, table)):
            continue
        if n_bad:
            yield Observation(
                group,
                f"{n_bad:,} of {len(table):,} synapses repeat the source, target, receptor, delay "
                "and weight of another",
                "was the file written to twice? then remove them; if they are several contacts of "
                "one connection (nsyns in SONATA), merge them by adding their weights",
                n_bad=n_bad,
                n_seen=len(table),
                examples=context.examples(table, _mask(repeats.rows[repeats.same_weight], table)),
            )


@check(
    "structure.parallel_synapses",
    severity=Severity.WARNING,
    reason="Synapses with the same source, target, receptor and delay but other weights act as one "
    "with their sum. Training allows them; they can also be two networks in one file.",
    calibration="Exact. The reference networks have none.",
    needs=(*_IN_RANGE, "values.delay"),
)
def parallel_synapses(context: Context) -> Iterator[Observation]:
    """No two synapses differ in their weight only."""
    for group, table in context.tables.items():
        repeats = _repeats(context, group)
        n_bad = int((~repeats.same_weight).sum())
        if n_bad and table.unit == "normalised":  # of those in pA, several may be meant
            yield Observation(
                group,
                f"{n_bad:,} of {len(table):,} synapses have the source, target, receptor and delay "
                "of another, and a weight of their own",
                "are these two networks in one file?",
                n_bad=n_bad,
                n_seen=len(table),
                examples=context.examples(table, _mask(repeats.rows[~repeats.same_weight], table)),
            )


def _is_doubled(context: Context, table: SynapseTable) -> bool:
    """Whether every synapse is there an even number of times, as in a file merged twice."""
    if len(table) < MIN_VARIED:
        return False
    words = _WordLayout.of(context).words(table, slice(None), _ORDERS[0])
    order = np.lexsort((table.weight, words))
    words, weight = words[order], table.weight[order]
    first = np.flatnonzero((words[1:] != words[:-1]) | (weight[1:] != weight[:-1])) + 1
    return not (np.diff(np.concatenate([[0], first, [len(table)]])) % 2).any()


@dataclass(frozen=True, eq=False)
class _Repeats:
    """Synapses beyond the first of each kind, and whether it has the weight of another.

    Zeros count as weights of their own: they act as nothing, however often.
    """

    rows: NDArray[np.int64]
    same_weight: NDArray[np.bool_]


def _mask(rows: NDArray[np.int64], table: SynapseTable) -> NDArray[np.bool_]:
    mask = np.zeros(len(table), dtype=bool)
    mask[rows] = True
    return mask


def _repeats(context: Context, group: str) -> _Repeats:
    return context.once((_repeats, group), lambda: _find_repeats(context, group))


def _find_repeats(context: Context, group: str) -> _Repeats:
    """Synapses that repeat another but for the weight."""
    table = context.tables[group]
    layout = _WordLayout.of(context)
    repeated = _repeated_words(table, layout)
    if not len(repeated):
        return _Repeats(np.empty(0, dtype=np.int64), np.empty(0, dtype=bool))
    parts = []
    for start in range(0, len(table), _BLOCK):
        words = layout.words(table, slice(start, start + _BLOCK), _ORDERS[0])
        parts.append(start + np.flatnonzero(np.isin(words, repeated)))
    rows = np.concatenate(parts)
    words = layout.words(table, rows, _ORDERS[0])
    order = np.lexsort((table.weight[rows], words))
    rows, words, weight = rows[order], words[order], table.weight[rows[order]]
    again = words[1:] == words[:-1]
    same = (weight[1:] == weight[:-1]) & (weight[1:] != 0)
    return _Repeats(rows[1:][again], same[again])


#: Orders that synapses are kept in: those of a training loader, of a checkpoint, and by ends.
_ORDERS = (
    ("post", "receptor", "pre", "delay"),
    ("post", "receptor", "delay", "pre"),
    ("post", "pre", "receptor", "delay"),
)


def _repeated_words(table: SynapseTable, layout: _WordLayout) -> NDArray[np.uint64]:
    """Words (in the first order) of synapses that are there more than once.

    In the order that a file is sorted by, repeats are neighbours, which spares sorting.
    """
    n = len(table)
    if n < 2:
        return np.empty(0, dtype=np.uint64)
    for order in _ORDERS:
        repeated = []
        for start in range(0, n - 1, _BLOCK):
            part = slice(start, start + _BLOCK + 1)
            words = layout.words(table, part, order)
            if not (words[1:] >= words[:-1]).all():
                break
            rows = start + np.flatnonzero(words[1:] == words[:-1])
            repeated.append(layout.words(table, rows, _ORDERS[0]))
        else:
            return np.unique(np.concatenate(repeated))
    key = np.empty(n, dtype=np.uint64)
    for start in range(0, n, _BLOCK):
        part = slice(start, start + _BLOCK)
        key[part] = layout.words(table, part, _ORDERS[0])
    key.sort()
    found = [
        part[1:][part[1:] == part[:-1]]
        for part in (key[start : start + _BLOCK + 1] for start in range(0, n - 1, _BLOCK))
    ]
    return np.unique(np.concatenate(found))


@dataclass(frozen=True)
class _WordLayout:
    """How a synapse's ends, receptor and delay make one 64-bit word: bits of each.

    Indices and receptors are in range, delays at most `MAX_DELAY_PA_MS`: the checks
    that this needs have found them so.
    """

    dt_ms: float
    bits: Mapping[str, int]

    @classmethod
    def of(cls, context: Context) -> _WordLayout:
        network = context.network
        largest = {
            "post": network.n_neurons,
            "receptor": network.receptors.n - 1,
            "pre": max(map(network.n_pre, network.projections)),
            "delay": round(MAX_DELAY_PA_MS / context.dt_ms),
        }
        bits = {name: value.bit_length() for name, value in largest.items()}
        if sum(bits.values()) > 64:
            msg = f"synapses of this network do not fit into 64 bits: {bits}"
            raise ValueError(msg)
        return cls(context.dt_ms, bits)

    def words(
        self, table: SynapseTable, rows: slice | NDArray[np.int64], order: tuple[str, ...]
    ) -> NDArray[np.uint64]:
        """The word of each synapse; they ascend where the synapses do in that order."""
        columns: dict[str, NDArray[np.integer]] = {
            "post": table.post[rows],
            "receptor": table.receptor[rows],
            "pre": table.pre[rows],
            "delay": units.delay_steps(table.delay_ms[rows], self.dt_ms),
        }
        words = columns[order[0]].astype(np.uint64)
        for name in order[1:]:
            words <<= np.uint64(self.bits[name])
            words |= columns[name].astype(np.uint64)
        return words


@check(
    "structure.stored_dtype",
    severity=Severity.ERROR,
    reason="Weights and delays stored as float16 or whole numbers have lost most of their value.",
    calibration="Training's own type is float32; float16 keeps 3 digits and nothing below 6e-8.",
)
def stored_dtype(context: Context) -> Iterator[Observation]:
    """Weights are stored with at least float32."""
    for array, stored in context.network.source.stored_dtype.items():
        if not array.endswith(".weight"):
            continue
        dtype = np.dtype(stored)
        unit = context.network.tables[array.removesuffix(".weight")].unit
        if dtype.kind in "iu" and unit == "pA":
            continue  # SONATA's syn_weight may be whole numbers of pA
        if dtype.kind != "f" or dtype.itemsize < 4:
            yield Observation(
                array,
                f"is stored as {stored}, which cannot hold trained float32 weights",
                "convert the checkpoint again and write float32",
            )


@check(
    "structure.readout",
    severity=Severity.ERROR,
    reason="The readout groups are compared by their spike counts: they need the same number of "
    "cells, each cell in one group.",
    calibration="Exact; groups of 30 in the published network.",
)
def readout(context: Context) -> Iterator[Observation]:
    """Readout neurons exist, are in one group each, and groups have one size."""
    groups = context.network.readout
    if not groups:
        return
    sizes = sorted({len(group) for group in groups})
    if len(sizes) > 1:
        yield Observation(
            "readout.neuron",
            f"{sum(map(len, groups)):,} readout neurons do not divide into {len(groups)} groups "
            f"of one size ({sizes[0]} and {sizes[-1]})",
            f"correct {context.name_of('readout.neuron')} or the attribute "
            f"{context.name_of('readout.size')}",
            n_bad=sum(map(len, groups)) % len(groups),
            n_seen=sum(map(len, groups)),
        )
    ids = np.concatenate(groups)
    bad = (ids < 0) | (ids >= context.network.n_neurons)
    if bad.any():
        yield Observation(
            "readout.neuron",
            f"{int(bad.sum()):,} of {ids.size:,} readout neurons are outside "
            f"0..{context.network.n_neurons - 1:,}",
            "take the readout from the same network",
            n_bad=int(bad.sum()),
            n_seen=ids.size,
            examples=tuple(f"neuron {i}" for i in np.unique(ids[bad])[:N_EXAMPLES]),
        )
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        yield Observation(
            "readout.neuron",
            f"{int((counts > 1).sum()):,} of {values.size:,} readout neurons are there more "
            "than once",
            "take the readout from the same network",
            n_bad=int((counts > 1).sum()),
            n_seen=values.size,
            examples=tuple(f"neuron {i}" for i in values[counts > 1][:N_EXAMPLES]),
        )


@check(
    "structure.readout_cells",
    severity=Severity.ERROR,
    reason="Readout groups are excitatory cells; an inhibitory one says that the indices belong to "
    "another network or another order of neurons.",
    calibration="All readout cells of the trained networks are excitatory.",
    needs=(*_IN_RANGE, "structure.readout", "structure.presynaptic_receptor"),
)
def readout_cells(context: Context) -> Iterator[Observation]:
    """Readout neurons are excitatory."""
    if not context.network.readout:
        return
    ids = np.concatenate(context.network.readout)
    inhibitory = ids[context.sends[ids, 1] > 0]
    if len(inhibitory):
        yield Observation(
            "readout.neuron",
            f"{len(inhibitory):,} of {ids.size:,} readout neurons are inhibitory",
            "take the readout from the same network",
            n_bad=len(inhibitory),
            n_seen=ids.size,
            examples=tuple(f"neuron {i}" for i in np.sort(inhibitory)[:N_EXAMPLES]),
        )


@check(
    "structure.readout_shift",
    severity=Severity.ERROR,
    reason="Groups are written one after the other, each in ascending order. Where the order "
    "breaks inside of groups, always at the same place, the list is shifted against the groups.",
    calibration="Exact, for groups of three and more that ascend; a shift by whole groups, or "
    "groups in another order, only a baseline or a provenance can tell.",
    needs=("structure.readout",),
)
def readout_shift(context: Context) -> Iterator[Observation]:
    """Readout groups begin where their order does."""
    groups = context.network.readout
    if len(groups) < 3 or len(groups[0]) < 3:
        return
    ids, size = np.concatenate(groups), len(groups[0])
    breaks = 1 + np.flatnonzero(ids[1:] < ids[:-1])
    offset = breaks % size
    if len(breaks) >= 3 and offset[0] and (offset == offset[0]).all():
        yield Observation(
            "readout.neuron",
            f"the {ids.size:,} readout neurons ascend in runs that begin {int(offset[0])} after "
            f"the start of each group of {size}: the list is shifted by {int(offset[0])}",
            f"move the first {int(offset[0])} to the end, or take the readout from the training "
            "again",
            n_bad=ids.size,
            n_seen=ids.size,
        )


@check(
    "structure.readout_groups",
    severity=Severity.WARNING,
    reason="Where the file does not say how many readout groups there are, the number is a guess.",
    calibration="Ten classes in every training so far.",
)
def readout_groups(context: Context) -> Iterator[Observation]:
    """The file says how many readout groups it has."""
    source, groups = context.network.source, context.network.readout
    if groups and "readout.size" in source.assumed:
        yield Observation(
            "readout.neuron",
            f"the file does not say how many groups it has; read as {len(groups)} groups of "
            f"{len(groups[0])}",
            f"add the attribute {context.name_of('readout.size')}",
            n_seen=sum(map(len, groups)),
        )


@check(
    "structure.input_size",
    severity=Severity.WARNING,
    reason="Where the file does not say how many LGN cells there are, an LGN index out of "
    "range cannot be told.",
    calibration="Every published file has it.",
)
def input_size(context: Context) -> Iterator[Observation]:
    """The file says how many LGN cells there are."""
    network = context.network
    if network.lgn.cells is None and "lgn.size" in network.source.assumed:
        yield Observation(
            "lgn.pre",
            f"the file does not say how many LGN cells it has; read as {network.lgn.size:,}, "
            "the highest source",
            f"add the attribute {context.name_of('lgn.size')}",
        )


@check(
    "structure.lgn_cells",
    severity=Severity.ERROR,
    reason="The stimulus is computed for each LGN cell of the table.",
    calibration="Exact.",
)
def lgn_cells(context: Context) -> Iterator[Observation]:
    """The table of LGN cells has one row an LGN cell."""
    cells = context.network.lgn.cells
    if cells is not None and len(cells) != context.network.lgn.size:
        yield Observation(
            "lgn.cells",
            f"the table has {len(cells):,} LGN cells, the network {context.network.lgn.size:,}",
            "write the table that belongs to the network",
        )


@check(
    "structure.self_connections",
    severity=Severity.INFO,
    reason="A cell that projects to itself is rare in the model, and allowed.",
    calibration="The reference networks have none.",
)
def self_connections(context: Context) -> Iterator[Observation]:
    """How many cells project to themselves."""
    for group, table in context.recurrent.items():
        own = table.pre == table.post
        n_own = int(np.count_nonzero(own))
        if n_own:
            yield Observation(
                group,
                f"{n_own:,} of {len(table):,} synapses connect a cell to itself",
                n_bad=n_own,
                n_seen=len(table),
                examples=context.examples(table, own),
            )
