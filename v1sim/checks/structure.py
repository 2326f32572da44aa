"""Checks of structure: indices, receptors, delays' storage, duplicates, the readout.

The reader has already refused files that are no network; these checks read what
it could hold.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from v1sim import units
from v1sim.checks.examples import N_EXAMPLES, neuron_examples, synapse_examples
from v1sim.checks.registry import Context, Observation, check, is_inhibitory
from v1sim.checks.statistics import count_values
from v1sim.model import RECEPTORS, Severity, SynapseTable

__all__: list[str] = []

#: Synapses handled at a time: the work arrays stay small beside the columns.
_BLOCK = 1 << 20

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
            yield Observation(group, "there are no synapses", "convert the network again")


@check(
    "structure.index_range",
    severity=Severity.ERROR,
    reason="An index outside the network would connect cells that do not exist, or the wrong ones.",
    calibration="Exact. " + _NAMED,
    waivable=False,
)
def index_range(context: Context) -> Iterator[Observation]:
    """Sources and targets are cells of the network."""
    network = context.network
    for group, table in context.tables.items():
        n_pre = network.n_neurons if group == "recurrent" else network.n_lgn
        for dataset, index, n in (("sources", table.pre, n_pre), ("targets", table.post, None)):
            n_cells = network.n_neurons if n is None else n
            bad = (index < 0) | (index >= n_cells)
            n_bad = int(np.count_nonzero(bad))
            if not n_bad:
                continue
            cause, hint = "", "convert the network again"
            if dataset == "targets":
                cause, hint = _target_cause(table, index, n_cells) or (cause, hint)
            elif group == "recurrent":
                cause, hint = _source_cause(context, index, n_cells) or (cause, hint)
            yield Observation(
                f"{group}/{dataset}",
                f"{n_bad:,} of {len(index):,} {dataset} are outside 0..{n_cells - 1:,} "
                f"({int(index.min()):,}..{int(index.max()):,}){cause}",
                hint,
                n_bad=n_bad,
                n_seen=len(index),
                examples=synapse_examples(table, bad),
            )
    bad_type = network.neurons.cell_type >= len(network.cell_types)
    if bad_type.any():
        yield Observation(
            "neurons/node_type_ids",
            f"{int(bad_type.sum()):,} of {bad_type.size:,} neurons have a type outside the "
            f"{len(network.cell_types)} rows of glif3_params",
            "convert the network again",
            n_bad=int(bad_type.sum()),
            n_seen=bad_type.size,
            examples=neuron_examples(bad_type),
        )


def _source_cause(context: Context, index: NDArray[np.int32], n: int) -> tuple[str, str] | None:
    """Sources as TensorFlow stores them: ``source + n * (delay_steps - 1)``."""
    if index.min() < 0:
        return None
    delay_ms = context.network.recurrent.delay_ms
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


def _target_cause(table: SynapseTable, index: NDArray[np.int32], n: int) -> tuple[str, str] | None:
    """Targets as TensorFlow stores them: ``target * 4 + receptor``; or times 4; or overflown."""
    if index.min() < 0:
        return (
            "; negative targets look like an overflow of 32-bit integers (target * 4)",
            "convert the checkpoint again with 64-bit indices",
        )
    if index.max() >= 4 * n:
        return None
    remainder = index % 4
    if not remainder.any():
        return "; targets are still times 4", "divide them by 4 or convert the checkpoint again"
    if np.array_equal(remainder, table.receptor):
        return (
            "; targets are still target * 4 + receptor",
            "divide them by 4 (whole numbers) or convert the checkpoint again",
        )
    return None


@check(
    "structure.receptor_range",
    severity=Severity.ERROR,
    reason="A receptor is 0..3; it chooses the synaptic time constant and the sign.",
    calibration="Exact. " + _NAMED,
    waivable=False,
)
def receptor_range(context: Context) -> Iterator[Observation]:
    """Receptors are 0..3."""
    for group, table in context.tables.items():
        bad = table.receptor >= len(RECEPTORS)
        n_bad = int(np.count_nonzero(bad))
        if not n_bad:
            continue
        low, high = int(table.receptor.min()), int(table.receptor.max())
        one_based = low >= 1 and high == len(RECEPTORS)
        yield Observation(
            f"{group}/receptor_types",
            f"{n_bad:,} of {len(table):,} receptors are outside 0..3 ({low}..{high})"
            + ("; receptors look counted from 1 (1..4)" if one_based else ""),
            "subtract 1 from every receptor" if one_based else "convert the network again",
            n_bad=n_bad,
            n_seen=len(table),
            examples=synapse_examples(table, bad),
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
def presynaptic_receptor(context: Context) -> Iterator[Observation]:
    """Each cell projects to receptors of one kind; LGN cells to excitatory ones."""
    table, sends = context.network.recurrent, context.sends
    mixed = sends.min(axis=1) > 0
    if mixed.any():
        n_bad = int(sends.min(axis=1).sum())
        hint = "convert the network again; do columns come from files in different order?"
        cause = ""
        if _consistent_if_swapped(table, context.network.n_neurons):
            cause = "; sources and targets look swapped: exchanged, every cell has one kind"
            hint = "exchange recurrent/sources and recurrent/targets"
        yield Observation(
            "recurrent/receptor_types",
            f"{int(mixed.sum()):,} of {mixed.size:,} neurons project through excitatory and "
            f"inhibitory receptors, {n_bad:,} of {len(table):,} synapses at least are wrong{cause}",
            hint,
            n_bad=n_bad,
            n_seen=len(table),
            examples=neuron_examples(mixed),
        )
    lgn = context.network.lgn
    bad = is_inhibitory(lgn.receptor)
    n_bad = int(np.count_nonzero(bad))
    if n_bad:
        one_based = not (~bad).any()
        yield Observation(
            "input/receptor_types",
            f"{n_bad:,} of {len(lgn):,} LGN synapses have an inhibitory receptor (1 or 3); "
            "LGN cells are excitatory (0 or 2)"
            + ("; receptors look counted from 1" if one_based else ""),
            "subtract 1 from every receptor" if one_based else "convert the network again",
            n_bad=n_bad,
            n_seen=len(lgn),
            examples=synapse_examples(lgn, bad),
        )


def _consistent_if_swapped(table: SynapseTable, n: int) -> bool:
    inhibitory = is_inhibitory(table.receptor)
    as_source = count_values(table.post, n)
    n_inhibitory = count_values(table.post[inhibitory], n)
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
    """Each cell receives through receptors of the kind that it sends with."""
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
        "receptor_types",
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
            "neurons/node_type_ids",
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
            "neurons/glif3_params/cell_class",
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
    reason="Two synapses with the same source, target, receptor and delay act as one with the "
    "sum of their weights: a sign that a file was appended to or merged twice.",
    calibration="The reference networks have none.",
    needs=_IN_RANGE,
)
def duplicates(context: Context) -> Iterator[Observation]:
    """No synapse is there twice."""
    for group, table in context.tables.items():
        n_bad, examples = _repeats(table, context.delays_ms(group))
        if n_bad:
            yield Observation(
                group,
                f"{n_bad:,} of {len(table):,} synapses repeat the source, target, receptor and "
                "delay of another",
                "remove or merge them; was the file written to twice?",
                n_bad=n_bad,
                n_seen=len(table),
                examples=examples,
            )


def _repeats(table: SynapseTable, delays: NDArray[np.float32]) -> tuple[int, tuple[str, ...]]:
    """How many synapses repeat another, and up to five of them.

    Target, receptor, delay and source make one 64-bit word: in this order the
    synapses of a checkpoint are sorted already, which spares keeping and sorting them.
    """
    n = len(table)
    if n < 2:
        return 0, ()
    widths = [int(largest).bit_length() for largest in (3, len(delays), int(table.pre.max()))]
    if sum(widths) + int(table.post.max()).bit_length() > 64:
        msg = f"{len(delays):,} different delays make more combinations than 64 bits hold"
        raise OverflowError(msg)
    repeated = []
    for start in range(0, n - 1, _BLOCK):
        words = _words(table, slice(start, start + _BLOCK + 1), delays, widths)
        if not (words[1:] >= words[:-1]).all():
            break
        repeated.append(words[1:][words[1:] == words[:-1]])
    else:
        return _named_repeats(np.concatenate(repeated), widths, delays)
    key = np.empty(n, dtype=np.uint64)
    for start in range(0, n, _BLOCK):
        part = slice(start, start + _BLOCK)
        key[part] = _words(table, part, delays, widths)
    key.sort()
    repeated = [
        part[1:][part[1:] == part[:-1]]
        for part in (key[start : start + _BLOCK + 1] for start in range(0, n - 1, _BLOCK))
    ]
    return _named_repeats(np.concatenate(repeated), widths, delays)


def _words(
    table: SynapseTable, part: slice, delays: NDArray[np.float32], widths: list[int]
) -> NDArray[np.uint64]:
    """One 64-bit word for each synapse of a part."""
    code = np.searchsorted(delays.view(np.uint32), table.delay_ms[part].view(np.uint32))
    words = table.post[part].astype(np.uint64)
    fields: tuple[NDArray[np.integer], ...] = (table.receptor[part], code, table.pre[part])
    for values, width in zip(fields, widths, strict=True):
        words <<= np.uint64(width)
        words |= values.astype(np.uint64)
    return words


def _named_repeats(
    repeated: NDArray[np.uint64], widths: list[int], delays: NDArray[np.float32]
) -> tuple[int, tuple[str, ...]]:
    lowest = np.unique(repeated)[:N_EXAMPLES]
    return len(repeated), tuple(_named(int(word), widths, delays) for word in lowest)


def _named(word: int, widths: list[int], delays: NDArray[np.float32]) -> str:
    """A synapse as text, from its 64-bit word."""
    pre, word = word % (1 << widths[2]), word >> widths[2]
    code, word = word % (1 << widths[1]), word >> widths[1]
    receptor, post = word % (1 << widths[0]), word >> widths[0]
    return f"{pre} -> {post} ({RECEPTORS[receptor]}, {delays[code]:g} ms)"


@check(
    "structure.stored_dtype",
    severity=Severity.ERROR,
    reason="Weights and delays stored as float16 or whole numbers have lost most of their value.",
    calibration="Training's own type is float32; float16 keeps 3 digits and nothing below 6e-8.",
)
def stored_dtype(context: Context) -> Iterator[Observation]:
    """Weights are stored with at least float32."""
    for path, stored in context.network.source.stored_dtype.items():
        if not path.endswith("weights"):
            continue
        dtype = np.dtype(stored)
        if dtype.kind != "f" or dtype.itemsize < 4:
            yield Observation(
                path,
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
            "readout/neuron_ids",
            f"{sum(map(len, groups)):,} readout neurons do not divide into {len(groups)} groups "
            f"of one size ({sizes[0]} and {sizes[-1]})",
            "correct readout/neuron_ids or the attribute n_output",
            n_bad=sum(map(len, groups)) % len(groups),
            n_seen=sum(map(len, groups)),
        )
    ids = np.concatenate(groups)
    bad = (ids < 0) | (ids >= context.network.n_neurons)
    if bad.any():
        yield Observation(
            "readout/neuron_ids",
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
            "readout/neuron_ids",
            f"{int((counts > 1).sum()):,} of {values.size:,} readout neurons are there more "
            "than once",
            "take the readout from the same network",
            n_bad=int((counts > 1).sum()),
            n_seen=values.size,
            examples=tuple(f"neuron {i}" for i in values[counts > 1][:N_EXAMPLES]),
        )


@check(
    "structure.readout_groups",
    severity=Severity.WARNING,
    reason="Without the attribute n_output the number of readout groups is a guess.",
    calibration="Ten classes in every training so far.",
)
def readout_groups(context: Context) -> Iterator[Observation]:
    """The file says how many readout groups it has."""
    source, groups = context.network.source, context.network.readout
    if source.format == "hdf5" and groups and "attribute n_output" not in source.stored_dtype:
        yield Observation(
            "readout/neuron_ids",
            f"the file does not say how many groups it has; read as {len(groups)} groups of "
            f"{len(groups[0])}",
            "add the attribute n_output",
            n_seen=sum(map(len, groups)),
        )


@check(
    "structure.input_size",
    severity=Severity.WARNING,
    reason="Without the attribute n_input an LGN index out of range cannot be told.",
    calibration="Every published file has it.",
)
def input_size(context: Context) -> Iterator[Observation]:
    """The file says how many LGN cells there are."""
    network = context.network
    source = network.source
    if (
        source.format == "hdf5"
        and network.lgn_cells is None
        and "attribute n_input" not in source.stored_dtype
    ):
        yield Observation(
            "input/sources",
            f"the file does not say how many LGN cells it has; read as {network.n_lgn:,}, "
            "the highest source",
            "add the attribute n_input",
        )


@check(
    "structure.lgn_cells",
    severity=Severity.ERROR,
    reason="The stimulus is computed for each LGN cell of the table.",
    calibration="Exact.",
)
def lgn_cells(context: Context) -> Iterator[Observation]:
    """The table of LGN cells has one row an LGN cell."""
    cells = context.network.lgn_cells
    if cells is not None and len(cells) != context.network.n_lgn:
        yield Observation(
            "lgn",
            f"the table has {len(cells):,} LGN cells, the network {context.network.n_lgn:,}",
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
    table = context.network.recurrent
    own = table.pre == table.post
    n_own = int(np.count_nonzero(own))
    if n_own:
        yield Observation(
            "recurrent",
            f"{n_own:,} of {len(table):,} synapses connect a cell to itself",
            n_bad=n_own,
            n_seen=len(table),
            examples=synapse_examples(table, own),
        )
