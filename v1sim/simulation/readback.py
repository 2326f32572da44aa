"""What NEST holds after building, compared whole with what the plan says.

Each projection has its own synapse model, so its synapses can be asked for by
name; they are turned back into the file's indices and digested whatever their
order. Where v1sim's NEST module is there, it walks NEST's connectors in C++. Without
it PyNEST builds a dict for every synapse (about 10 us and 2 kB each), in chunks
of targets. Connections from a device (the Poisson generator) lie elsewhere in
NEST and are always read through PyNEST.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.digests import SynapseDigest
from v1sim.errors import ReadbackError
from v1sim.model import Finding, Severity
from v1sim.simulation.build import Progress, Simulation
from v1sim.simulation.connectors import hosted_blocks
from v1sim.simulation.kernel import backend
from v1sim.simulation.plan import NO_PORT, ProjectionPlan, Synapses
from v1sim.stimulus.background import event_weight

__all__ = ["READ_BACK", "ProjectionReadback", "read_back", "read_back_findings"]

#: Synapses asked for at a time: about 200 MB of dicts.
_CHUNK = 100_000


#: Name of the finding about what NEST holds.
READ_BACK = "build.read_back"


@dataclass(frozen=True)
class ProjectionReadback:
    """One projection as planned and as NEST holds it; the digests are equal."""

    label: str
    n_synapses: int
    digest: str
    by_receptor: dict[str, int]


def read_back(simulation: Simulation, progress: Progress) -> tuple[ProjectionReadback, ...]:
    """Read every synapse back from NEST and compare it with the plan.

    Raises
    ------
    ReadbackError
        Naming the projection, the counts and up to five synapses that differ.
    """
    group = simulation.group
    results = []
    receptors = simulation.plan.cell_types.receptors
    done, total = 0, simulation.plan.n_synapses
    for plan in simulation.plan.projections:
        if _is_read_natively(simulation, plan):
            digest, counts = _audit(simulation, plan)
        else:
            digest, counts = SynapseDigest(0, (0, 0)), np.zeros(receptors.n, dtype=np.int64)
            for block in _held_by_pynest(simulation, plan):
                digest += block.digest(plan.dt_ms)
                with_port = block.receptor[block.receptor != NO_PORT]
                counts += np.bincount(with_port, minlength=receptors.n)
                progress("read-back", done + digest.n_synapses, total)
        parts = group.all_gather((digest, counts))
        digest = sum((part for part, _ in parts), start=SynapseDigest(0, (0, 0)))
        counts = np.sum([part for _, part in parts], axis=0)
        done += digest.n_synapses
        progress("read-back", done, total)
        if digest != group.broadcast(_planned(simulation, plan)):
            raise _difference(simulation, plan)
        results.append(
            ProjectionReadback(
                plan.label,
                digest.n_synapses,
                str(digest),
                {name: int(n) for name, n in zip(receptors.names, counts, strict=True)},
            )
        )
    return tuple(results)


def read_back_findings(results: tuple[ProjectionReadback, ...]) -> tuple[Finding, ...]:
    """What the read-back saw, as findings: a difference would have ended the run."""
    return tuple(
        Finding(
            READ_BACK,
            Severity.INFO,
            f"projection {result.label}",
            f"all {result.n_synapses:,} synapses that NEST holds are those of the file: source, "
            "target, receptor, delay and weight",
            n_seen=result.n_synapses,
        )
        for result in results
    )


def _planned(simulation: Simulation, plan: ProjectionPlan) -> SynapseDigest:
    """Digest of what was to be built, from the plan's columns alone."""
    if simulation.native is None or plan.held_as == "pa_synapses":
        return plan.digest
    return sum(
        (simulation.native.digest(block, plan.dt_ms) for block in plan.blocks()),
        start=SynapseDigest(0, (0, 0)),
    )


def _is_read_natively(simulation: Simulation, plan: ProjectionPlan) -> bool:
    """Whether the native module can read the projection."""
    drawn = simulation.plan.background == "independent_poisson"
    from_device = plan.driven_by == "background" and drawn
    in_neurons = plan.held_as == "normalised_in_neurons"
    return simulation.native is not None and (in_neurons or not from_device)


def _audit(simulation: Simulation, plan: ProjectionPlan) -> tuple[SynapseDigest, NDArray[np.int64]]:
    """Digest and counts by receptor, from the native module."""
    assert simulation.native is not None
    n_receptors = simulation.plan.cell_types.receptors.n
    if plan.held_as == "normalised_in_neurons":
        audit = simulation.native.audit_background(
            _inverse(simulation.neuron_node), event_weight(simulation.plan.background), n_receptors
        )
        return audit.digest, audit.counts
    sources = simulation.source_node[plan.label]
    audit = simulation.native.audit(
        simulation.projections[plan.label].nest_synapse_model,
        _inverse(sources),
        _inverse(simulation.neuron_node),
        n_receptors,
    )
    return audit.digest, audit.counts


def _held(simulation: Simulation, plan: ProjectionPlan) -> Iterator[Synapses]:
    """A projection's synapses as NEST holds them, in the file's indices."""
    if not _is_read_natively(simulation, plan):
        yield from _held_by_pynest(simulation, plan)
        return
    assert simulation.native is not None
    neuron_of = _inverse(simulation.neuron_node)
    if plan.held_as == "normalised_in_neurons":
        pre, post, receptor, delay_steps, weight_pa = simulation.native.background_weights(
            neuron_of,
            event_weight(simulation.plan.background),
            capacity=simulation.plan.n_neurons * simulation.plan.cell_types.receptors.n,
        )
    else:
        pre, post, receptor, delay_steps, weight_pa = simulation.native.synapses(
            simulation.projections[plan.label].nest_synapse_model,
            _inverse(simulation.source_node[plan.label]),
            neuron_of,
            capacity=2 * len(simulation.projections[plan.label]) + 1,
        )
    yield Synapses(pre, post, receptor, delay_steps * plan.dt_ms, weight_pa)


def _held_by_pynest(simulation: Simulation, plan: ProjectionPlan) -> Iterator[Synapses]:
    """A projection's synapses as NEST holds them, in the file's indices, by chunks of targets."""
    nest, _ = backend()
    neuron_of = _inverse(simulation.neuron_node)
    source_of = _inverse(simulation.source_node[plan.label])
    model = simulation.projections[plan.label].nest_synapse_model
    n_held = int(nest.GetDefaults(model)["num_connections"])
    nodes = np.sort(simulation.neuron_node)
    n_chunks = max(1, -(-n_held // _CHUNK))
    for targets in np.array_split(nodes, min(n_chunks, len(nodes))):
        found = nest.GetConnections(target=nest.NodeCollection(targets), synapse_model=model)
        if len(found):
            yield _synapses(found, source_of, neuron_of)


def _synapses(
    connections: Any, source_of: NDArray[np.int64], neuron_of: NDArray[np.int64]
) -> Synapses:
    names = ("source", "target", "receptor", "delay", "weight")
    held = connections.get(list(names))
    source, target, port, delay, weight = (np.atleast_1d(held[name]) for name in names)
    return Synapses(
        pre=source_of[source],
        post=neuron_of[target],
        receptor=port.astype(np.int64) - 1,
        delay_ms=delay.astype(np.float64),
        weight=weight.astype(np.float64),
    )


def _inverse(node: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of each node id; -1 for nodes that are none of these."""
    index = np.full(int(node.max()) + 1, -1, dtype=np.int64)
    index[node] = np.arange(len(node))
    return index


def _difference(simulation: Simulation, plan: ProjectionPlan) -> ReadbackError:
    """The error that says how plan and NEST differ."""
    planned = _table(hosted_blocks(plan, simulation.neuron_node, simulation.group))
    held = _table(_held(simulation, plan))
    only_planned = np.setdiff1d(planned, held)
    only_held = np.setdiff1d(held, planned)
    names = simulation.plan.cell_types.receptors.names
    examples = tuple(
        f"{side}: neuron {row['pre']} -> {row['post']}, {_named(row['receptor'], names)}, "
        f"{row['delay']} ms, {row['weight']:.6g} pA"
        for side, rows in (("only in the plan", only_planned), ("only in NEST", only_held))
        for row in rows[:5]
    )
    finding = Finding(
        READ_BACK,
        Severity.ERROR,
        f"projection {plan.label}",
        f"NEST holds {len(held):,} synapses, the plan {len(planned):,}; {len(only_planned):,} "
        "of the plan are not in NEST as planned",
        n_bad=max(len(only_planned), len(only_held)),
        n_seen=len(planned),
        examples=examples,
    )
    return ReadbackError(
        finding,
        expected="the same synapses: pre, post, receptor, delay and weight",
        hint="do not use results of this run; please report this with the run's log",
    )


def _named(receptor: int, names: tuple[str, ...]) -> str:
    return "the receptor of its sign" if receptor == NO_PORT else names[receptor]


def _table(blocks: Iterator[Synapses]) -> NDArray[np.void]:
    fields = [("post", "i8"), ("pre", "i8"), ("receptor", "i8"), ("delay", "f8"), ("weight", "f8")]
    parts = [np.empty(0, dtype=fields)]
    for block in blocks:
        part = np.empty(len(block.pre), dtype=fields)
        part["post"], part["pre"], part["receptor"] = block.post, block.pre, block.receptor
        part["delay"], part["weight"] = block.delay_ms, block.weight_pa
        parts.append(part)
    return np.concatenate(parts)
