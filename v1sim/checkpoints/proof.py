"""Whether a network is the one in a checkpoint: by checksums, so that the index alone is enough.

The variables of a checkpoint are rebuilt from a network, in the checkpoint's order of
synapses whatever the network's, and their CRC32C is compared with those in the index.
That excludes accident (a chance agreement has the probability 2**-32 for each array), not
forgery. Where the data are there too, bytes are compared, and what differs is told element by
element.

The published loader sorts synapses by target, receptor and source before it encodes
delays; other programs sort by the encoded column, or not at all. A network's order is
therefore tried as it is, then in both sorted orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.checkpoints.bundle import CheckpointIndex, TensorEntry
from v1sim.checkpoints.checkpoint import network_of, shard_reader
from v1sim.checkpoints.claims import Claim, claim
from v1sim.checkpoints.evidence import TABLES, Evidence, Table, checkpoint_evidence
from v1sim.checkpoints.parameters import forward_candidates, tolerance
from v1sim.checkpoints.stored import stored, widened
from v1sim.checkpoints.stored_bytes import StoredBytes
from v1sim.checkpoints.variables import (
    LAYER_OF_TABLE,
    N_RECEPTORS,
    PARAMETERS,
    Variables,
    find_variables,
)
from v1sim.errors import CheckpointError
from v1sim.model import NetworkModel, SynapseTable
from v1sim.receptors import BILLEH_RECEPTORS, Kind
from v1sim.sources.difference import NetworkDifference, TableDifference, compare_networks
from v1sim.sources.provenance import canonical_arrays
from v1sim.units import MODEL_STEP_MS

__all__ = [
    "ArrayComparison",
    "CheckpointComparison",
    "by_training_names",
    "compare_with_checkpoint",
]

I64 = NDArray[np.int64]
Status = Literal["equal", "different", "permuted", "unknown"]

#: Whether each receptor is one of excitatory cells, whatever a file may hold.
_EXCITATORY = np.isin(
    np.arange(256), np.flatnonzero(BILLEH_RECEPTORS.presynaptic[0] == Kind.EXCITATORY)
)
#: Synapses handled at a time: the work arrays stay within the CPU's cache.
_BLOCK = 1 << 16

#: Arrays that each variable proves.
_PROVES: dict[str, tuple[str, ...]] = {
    "voltage_offset": ("cell_types.e_l_mv",),
    "voltage_scale": ("cell_types.v_th_mv",),
    "v_th": ("cell_types.v_th_mv",),
    "e_l": ("cell_types.e_l_mv",),
    "v_reset": ("cell_types.v_reset_mv",),
    "decay": ("cell_types.c_m_pf",),
    "current_factor": ("cell_types.c_m_pf",),
    "param_g": ("cell_types.g_ns",),
    "t_ref": ("cell_types.t_ref_ms",),
    "syn_decay": ("cell_types.tau_syn_ms",),
    "psc_initial": ("cell_types.tau_syn_ms",),
    "asc_amps": ("cell_types.asc_amp_pa",),
    "param_k": ("cell_types.k_per_ms",),
}
_WIRING = ("pre", "post", "receptor", "delay_ms")
_ROUNDING = (
    "computed through an exponential or a logarithm, which other machines may round otherwise; "
    "the checkpoint's data would tell"
)
#: Of values that were made to have a tensor's checksum.
_COLLISION = (
    "they have the checksum of the checkpoint's values and are others, which no accident makes"
)


@dataclass(frozen=True)
class ArrayComparison:
    """One variable of a checkpoint against the arrays of a network that it comes from.

    Parameters
    ----------
    arrays : tuple of str
        Names of the network's arrays (`v1sim.sources.provenance.canonical_arrays`).
    variable : str
        The variable's name in the checkpoint.
    status : str
        "equal"; "different"; "permuted": the same values on other synapses;
        "unknown": it depends on something that differs already, or the index alone
        cannot tell.
    n_different, n : int
        Elements that differ, None where the index alone cannot tell, and all.
    examples : tuple of str
        Up to five.
    note : str
        What else there is to say.
    """

    arrays: tuple[str, ...]
    variable: str
    status: Status
    n: int
    n_different: int | None = None
    examples: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class CheckpointComparison:
    """A network against a checkpoint.

    ``uncovered`` names the arrays of the network that a checkpoint says nothing of;
    ``signs_at_start`` whether the sign masks are those of the receptors (None where wiring
    differs); ``difference`` holds the synapses' differences by class, network first
    and checkpoint second, where the data were there and something differed. ``variables`` are
    those that it was compared with: the ``average`` of the weights (use_ema), where the
    network has that instead. ``by_bytes`` says whether bytes were compared, or checksums alone.
    ``name_of`` gives what the network's source calls an array.
    """

    checkpoint: str
    evidence: Evidence
    variables: Variables
    comparisons: tuple[ArrayComparison, ...]
    uncovered: tuple[str, ...]
    signs_at_start: bool | None
    difference: NetworkDifference | None = None
    average: bool = False
    by_bytes: bool = False
    name_of: Callable[[str], str] = str

    @cached_property
    def claims(self) -> Mapping[Table, Claim]:
        """What the checkpoint's optimizers alone prove of its tables."""
        return {table: claim(found) for table, found in self.evidence.tables.items()}

    @property
    def equal(self) -> bool:
        """Whether all that the checkpoint holds is in the network, to the bit."""
        return all(c.status == "equal" for c in self.comparisons)

    @property
    def how(self) -> str:
        """How what is equal was compared, and what that excludes."""
        if self.by_bytes:
            return "byte by byte"
        return "by CRC32C (accident excluded, not forgery)"

    @property
    def differing(self) -> tuple[ArrayComparison, ...]:
        """What is not proven equal."""
        return tuple(c for c in self.comparisons if c.status != "equal")

    def status(self, array: str) -> Status | None:
        """What is known of an array: the worst of the variables it goes into."""
        found = {c.status for c in self.comparisons if array in c.arrays}
        ranked: tuple[Status, ...] = ("different", "permuted", "unknown", "equal")
        return next((status for status in ranked if status in found), None)


def compare_with_checkpoint(
    network: NetworkModel,
    index: CheckpointIndex,
    *,
    elements: bool = True,
    variables: Variables | None = None,
) -> CheckpointComparison:
    """Compare a network with a checkpoint; its data are read only where checksums differ.

    Parameters
    ----------
    network : NetworkModel
        Any network whose arrays were read; it need not have passed any check.
    index : CheckpointIndex
        The checkpoint's index (`v1sim.checkpoints.bundle.read_index`).
    elements : bool
        Whether to read the data, where they are there, to tell which elements differ.
    variables : Variables, optional
        What to compare with, where it is not what `find_variables` finds.

    Raises
    ------
    CheckpointError
        If the checkpoint is not one of this model, or its data are there but damaged.
    """
    network = by_training_names(network)
    found = find_variables(index)
    evidence = checkpoint_evidence(index, found)
    averaged = _averages_of(evidence)
    average = variables is not None and variables.entries != found.entries
    variables = variables or found
    kept = StoredBytes(index)
    comparisons, signs = _as_kept(network, variables, kept)
    if averaged and not average and _weights_differ(comparisons):
        others = found.with_weights(averaged)
        by_average, _ = _as_kept(network, others, kept)
        if not _weights_differ(by_average):
            variables, comparisons, average = others, by_average, True
    difference = None
    if elements and index.has_data and not all(c.status == "equal" for c in comparisons):
        held = network_of(index, variables, shard_reader(index), n_lgn=None)
        difference = _difference(network, held)
        comparisons = [
            c
            if c.status == "equal"
            else _by_elements(c, network, held, variables, index, difference)
            for c in comparisons
        ]
    comparisons = [
        replace(c, note="; ".join(filter(None, (c.note, _COLLISION))))
        if c.status != "equal" and c.variable in kept.collisions
        else c
        for c in comparisons
    ]
    proven = {array for c in comparisons for array in c.arrays} | {"neurons.cell_type"}
    uncovered = [name for name in canonical_arrays(network) if name not in proven]
    return CheckpointComparison(
        checkpoint=str(index.prefix),
        evidence=evidence,
        variables=variables,
        average=average,
        by_bytes=kept.by_bytes,
        comparisons=tuple(comparisons),
        uncovered=tuple(name for name in uncovered if name not in ("sizes", "lgn.delay_ms")),
        signs_at_start=signs,
        difference=difference,
        name_of=network.source.name_of,
    )


def by_training_names(network: NetworkModel) -> NetworkModel:
    """The network with its projections called as training's, where it has one of each role.

    A circuit's projections have names of their own ("v1_to_v1"); people are shown these.

    Raises
    ------
    CheckpointError
        If it has no recurrent projection or none of the LGN, or several.
    """
    names: dict[str, str] = {}
    for role in ("recurrent", "lgn"):
        held = list(network.tables_of(role))
        if len(held) != 1:
            raise CheckpointError(
                f"the network has {len(held)} projections where training has one ({role}): "
                f"{', '.join(held) or 'none'}",
                where=network.source.path,
                expected="one recurrent projection, and one from the LGN",
                hint="a checkpoint of this training is of another network",
            )
        names[role] = held[0]
    if all(role == name for role, name in names.items()):
        return network
    roles = {name: role for role, name in names.items()}
    lgn = network.projections[names["lgn"]].source
    projections = {
        roles.get(name, name): replace(held, source="lgn") if name == names["lgn"] else held
        for name, held in network.projections.items()
    }
    populations = {
        "lgn" if name == lgn else name: held for name, held in network.source_populations.items()
    }
    name_of = network.source.name_of

    def own_name(array: str) -> str:
        table, dot, column = array.partition(".")
        return name_of(f"{names.get(table, table)}{dot}{column}")

    source = replace(network.source, name_of=own_name)
    return replace(network, projections=projections, source_populations=populations, source=source)


def _averages_of(evidence: Evidence) -> dict[str, TensorEntry]:
    """The averages that an optimizer keeps of weights, by the role of these."""
    return {
        TABLES[table]: found.average
        for table, found in evidence.tables.items()
        if found.average is not None
    }


def _weights_differ(comparisons: list[ArrayComparison]) -> bool:
    return any(c.status != "equal" for c in comparisons if c.arrays[0].endswith(".weight"))


def _as_kept(
    network: NetworkModel, variables: Variables, kept: StoredBytes
) -> tuple[list[ArrayComparison], bool | None]:
    """Every variable against the checkpoint, and whether the sign masks are the receptors'."""
    found = [_parameter(network, variables, name, kept) for name in PARAMETERS]
    signs: list[bool] = []
    for name in LAYER_OF_TABLE:
        compared, signs_match = _table(
            name, network.tables[name], network.n_neurons, variables, kept
        )
        found += compared
        if signs_match is not None:
            signs.append(signs_match)
    for role, array, values in (
        ("background", "background.weight", network.background_weight),
        ("readout_kernel", "readout.weight", network.readout_weight),
        ("readout_bias", "readout.bias", network.readout_bias),
    ):
        if role in variables:
            entry = variables[role]
            if values is None:
                found.append(
                    ArrayComparison(
                        (array,), entry.name, "different", 0, note="the network has none"
                    )
                )
            else:
                equal = _holds(entry, values, kept)
                status: Status = "equal" if equal else "different"
                found.append(ArrayComparison((array,), entry.name, status, values.size))
    return found, all(signs) if len(signs) == 2 else None


def _parameter(
    network: NetworkModel, variables: Variables, name: str, kept: StoredBytes
) -> ArrayComparison:
    """A variable of the cell, computed from the types and spread over the neurons."""
    entry = variables[name]
    n = int(np.prod(entry.shape))
    if network.n_neurons != variables.n_neurons:
        note = f"the network has {network.n_neurons:,} neurons, the checkpoint {entry.shape[0]:,}"
        return ArrayComparison(_PROVES[name], entry.name, "different", n, note=note)
    type_of = network.neurons.cell_type
    for candidate in forward_candidates(network.cell_types, name, entry.dtype):
        if kept.holds(entry, stored(candidate[type_of], entry.dtype)):
            return ArrayComparison(_PROVES[name], entry.name, "equal", n, 0)
    note = _ROUNDING if name in ("decay", "current_factor", "syn_decay", "param_k") else ""
    return ArrayComparison(_PROVES[name], entry.name, "different", n, note=note)


def _holds(entry: TensorEntry, values: NDArray[np.floating], kept: StoredBytes) -> bool:
    """Whether an entry holds these values: cast to its dtype, if that changes none."""
    with np.errstate(over="ignore"):
        cast = stored(values, entry.dtype)
    exact = cast.dtype == values.dtype or bool((widened(cast, entry.dtype) == values).all())
    return exact and kept.holds(entry, cast)


def _holds_weights(
    entry: TensorEntry, table: SynapseTable, order: I64 | None, kept: StoredBytes
) -> bool:
    """Whether an entry holds a table's weights in some order.

    The constraint of training leaves -0 where an inhibitory weight became zero, which
    other programs write as 0.
    """
    weight = table.weight if order is None else table.weight[order]
    if _holds(entry, weight, kept):
        return True
    receptor = table.receptor if order is None else table.receptor[order]
    zero = np.where(_EXCITATORY[receptor], np.float32(0.0), np.float32(-0.0))
    signed = np.where(weight == 0, zero, weight)
    return _holds(entry, signed, kept)


def _table(
    name: str, table: SynapseTable, n_neurons: int, variables: Variables, kept: StoredBytes
) -> tuple[list[ArrayComparison], bool | None]:
    """Wiring and weights of a table; the third result says whether the signs are as expected."""
    layer, delays = LAYER_OF_TABLE[name], name == "recurrent"
    indices, weights = variables[f"{layer}_indices"], variables[f"{layer}_weights"]
    wiring_arrays = tuple(f"{name}.{column}" for column in (_WIRING if delays else _WIRING[:3]))
    n = indices.shape[0]

    def result(wiring: Status, weight: Status, note: str = "") -> list[ArrayComparison]:
        zero = {"equal": 0}
        weight_note = "" if weight != "unknown" else "cannot be aligned without the wiring"
        return [
            ArrayComparison(wiring_arrays, indices.name, wiring, n, zero.get(wiring), note=note),
            ArrayComparison(
                (f"{name}.weight",), weights.name, weight, n, zero.get(weight), note=weight_note
            ),
        ]

    if len(table) != n:
        note = f"the network has {len(table):,} synapses, the checkpoint {n:,}"
        return result("different", "unknown", note), None
    weights_match = False
    for order in _orders(table, n_neurons, delays=delays):
        if not weights_match:
            weights_match = _holds_weights(weights, table, order, kept)
        pairs = partial(_index_pairs, table, order, n_neurons, indices, delays=delays)
        if kept.holds_blocks(indices, pairs):
            expected = _EXCITATORY[_taken(table.receptor, order)]
            signs = kept.holds(variables[f"{layer}_sign"], expected)
            same = _holds_weights(weights, table, order, kept)
            return result("equal", "equal" if same else "different"), signs
    note = "in none of the orders in use: other wiring, other delays, or the checkpoint's own order"
    return result("different", "equal" if weights_match else "unknown", note), None


def _orders(table: SynapseTable, n_neurons: int, *, delays: bool) -> Iterator[I64 | None]:
    """Orders that a checkpoint may have the synapses in; None is the network's own."""
    yield None
    key = table.post.astype(np.int64)
    key *= N_RECEPTORS
    key += table.receptor
    key *= max(n_neurons, int(table.pre.max(initial=0)) + 1)
    key += table.pre
    ascending = key[1:] >= key[:-1]
    if not ascending.all():
        yield np.argsort(key, kind="stable")
    if delays:
        row = key // max(n_neurons, int(table.pre.max(initial=0)) + 1)
        yield np.lexsort((table.pre, table.delay_ms, row))
        yield np.lexsort((table.delay_ms, key))


def _taken(values: NDArray[np.generic], order: I64 | None) -> NDArray[np.generic]:
    return values if order is None else values[order]


def _index_pairs(
    table: SynapseTable,
    order: I64 | None,
    n_neurons: int,
    entry: TensorEntry,
    *,
    delays: bool,
) -> Iterator[NDArray[np.integer]]:
    """The index pairs that training would make of synapses, in blocks.

    They end where a delay is no number of steps.
    """
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK) if order is None else order[start : start + _BLOCK]
        pre, post = table.pre[part].astype(np.int64), table.post[part].astype(np.int64)
        pairs = np.empty((len(pre), 2), dtype=entry.dtype)
        np.multiply(post, N_RECEPTORS, out=pairs[:, 0], casting="unsafe")
        pairs[:, 0] += table.receptor[part]
        if delays:
            delay_ms = table.delay_ms[part]
            steps = np.rint(delay_ms / np.float32(MODEL_STEP_MS))
            if not np.array_equal(steps * np.float32(MODEL_STEP_MS), delay_ms):
                return
            pre += (steps.astype(np.int64) - 1) * n_neurons
        pairs[:, 1] = pre
        yield pairs


# --- element by element ----------------------------------------------------------------------


def _difference(network: NetworkModel, held: NetworkModel) -> NetworkDifference | None:
    """How the synapses differ; None where an index of the network is out of range."""
    in_range = all(column.in_range for column in network.index_columns())
    return compare_networks(network, held) if in_range else None


def _by_elements(
    compared: ArrayComparison,
    network: NetworkModel,
    held: NetworkModel,
    variables: Variables,
    index: CheckpointIndex,
    difference: NetworkDifference | None,
) -> ArrayComparison:
    """The same comparison, once the checkpoint's values are known."""
    group, _, column = compared.arrays[0].partition(".")
    if group == "cell_types":
        name = next(n for n in PARAMETERS if variables[n].name == compared.variable)
        return _parameter_elements(compared, network, variables[name], name, index)
    for array, ours, theirs in (
        ("background.weight", network.background_weight, held.background_weight),
        ("readout.weight", network.readout_weight, held.readout_weight),
        ("readout.bias", network.readout_bias, held.readout_bias),
    ):
        if compared.arrays == (array,):
            return _counted(compared, ours, theirs)
    table = difference.tables.get(group) if difference is not None else None
    if table is None:
        return compared
    if column == "weight":
        return _weight_elements(compared, table)
    parts = []
    if not table.same_wiring:
        parts.append(
            f"{table.n_only_before:,} synapses are only in the network, "
            f"{table.n_only_after:,} only in the checkpoint"
        )
    if table.n_delay_changed:
        parts.append(f"{table.n_delay_changed:,} delays differ")
    n_different = max(table.n_only_before, table.n_only_after) + table.n_delay_changed
    return _with(compared, "different" if n_different else "equal", n_different, "; ".join(parts))


def _weight_elements(compared: ArrayComparison, table: TableDifference) -> ArrayComparison:
    n_different = table.weights.n_changed
    if not n_different:
        status: Status = "equal" if table.same_wiring else "unknown"
        note = "" if table.same_wiring else "equal on the synapses that both have"
        return _with(compared, status, n_different, note)
    if table.same_weight_multiset:
        return _with(
            compared, "permuted", n_different, "the same weights, on other synapses", table.examples
        )
    return _with(compared, "different", n_different, "", table.examples)


def _parameter_elements(
    compared: ArrayComparison,
    network: NetworkModel,
    entry: TensorEntry,
    name: str,
    index: CheckpointIndex,
) -> ArrayComparison:
    if network.n_neurons != entry.shape[0]:
        return compared
    held = shard_reader(index)(entry)
    allowed = tolerance(entry.dtype, held)
    bad = np.ones(held.shape, dtype=bool)
    for candidate in forward_candidates(network.cell_types, name, entry.dtype):
        with np.errstate(invalid="ignore"):
            away = np.abs(candidate[network.neurons.cell_type].astype(np.float64) - held)
            off = ~(away <= allowed)
        if np.count_nonzero(off) <= np.count_nonzero(bad):
            computed, bad = candidate[network.neurons.cell_type], off
    if not bad.any():
        return _with(compared, "equal", 0, "within the rounding of its dtype")
    rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
    examples = tuple(
        f"neuron {i}: {np.array2string(computed[i], precision=6)} in the network, "
        f"{np.array2string(held[i], precision=6)} in the checkpoint"
        for i in rows[:5]
    )
    return _with(compared, "different", int(np.count_nonzero(bad)), "", examples)


def _counted(
    compared: ArrayComparison,
    ours: NDArray[np.floating] | None,
    theirs: NDArray[np.floating] | None,
) -> ArrayComparison:
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return compared
    bad = np.flatnonzero((ours != theirs).ravel())
    examples = tuple(
        f"element {i}: {ours.ravel()[i]:g} in the network, {theirs.ravel()[i]:g} in the checkpoint"
        for i in bad[:5]
    )
    return _with(compared, "different" if bad.size else "equal", int(bad.size), "", examples)


def _with(
    compared: ArrayComparison,
    status: Status,
    n_different: int,
    note: str,
    examples: tuple[str, ...] = (),
) -> ArrayComparison:
    return ArrayComparison(
        compared.arrays, compared.variable, status, compared.n, n_different, examples, note
    )
