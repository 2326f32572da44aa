"""A circuit of DPointNet as a network: as its training simulates it, with one set of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from v1sim.cell_types import CellTypeTable
from v1sim.errors import NetworkFileError
from v1sim.model import (
    NetworkModel,
    NeuronPopulation,
    NeuronTable,
    Projection,
    SourceFile,
    SourcePopulation,
    SourceRemark,
    SynapseTable,
    TrainingDynamics,
)
from v1sim.printable import printable
from v1sim.receptors import ReceptorKinds
from v1sim.sources.dpointnet.basis import BasisFactors, factors_of_models, read_basis_table
from v1sim.sources.dpointnet.cells import CircuitCells, note_cells, read_cells
from v1sim.sources.dpointnet.circuit import (
    CircuitEdges,
    CircuitNodes,
    SynapticModels,
    synaptic_models,
)
from v1sim.sources.dpointnet.config import DPointNetConfig
from v1sim.sources.dpointnet.delays import DelaySteps, delay_steps
from v1sim.sources.dpointnet.refusal import refusal
from v1sim.sources.dpointnet.remarks import Remarks

__all__ = ["Circuit", "open_circuit"]

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

#: Cells above which the key that recurrent edges are sorted by overflows its 32 bits.
MOST_CELLS_IN_ORDER = 65_536
#: Synaptic models that a byte can number.
_MOST_MODELS = 256


@dataclass(frozen=True, eq=False)
class Circuit:
    """The original circuit and the configuration of its training.

    ``edges`` has the edges by source population, the recurrent ones under the name of the
    recurrent population; ``model`` the synaptic model of each edge in the same way.
    """

    config: DPointNetConfig
    neurons: CircuitNodes
    sources: Mapping[str, CircuitNodes]
    edges: Mapping[str, CircuitEdges]
    model: Mapping[str, I64]
    models: SynapticModels
    cells: CircuitCells
    basis: BasisFactors
    delays: DelaySteps
    remarks: tuple[SourceRemark, ...]

    @property
    def recurrent(self) -> CircuitEdges:
        """The edges among the neurons."""
        return self.edges[self.neurons.population]

    def weight_scale(self, population: str) -> float:
        """The factor by which weights of a source population act in training."""
        if population == self.neurons.population:
            return self.config.recurrent_weight_scale
        return self.config.input_of(population).weight_scale

    def trainable(self, population: str) -> bool:
        """Whether training changes the weights of a source population."""
        if population == self.neurons.population:
            return self.config.train_recurrent
        return self.config.input_of(population).trainable

    def internal(self, population: str) -> F32:
        """Weights before training as the cell holds them, in the order of the file."""
        edges = self.edges[population]
        weight: F32 = edges.weight_pa / self.cells.scale_mv[edges.target]
        return weight * self.weight_scale(population) / self.config.lr_scale

    def export_factor(self, population: str) -> F32:
        """What a weight inside is multiplied by when it is written in pA."""
        scale = self.cells.scale_mv[self.edges[population].target]
        factor = scale * self.config.lr_scale / self.weight_scale(population)
        return factor.astype(np.float32)

    def written(self, population: str) -> F32:
        """The original weights in pA after the way into the cell and back: last bits differ."""
        weight: F32 = self.internal(population) * self.export_factor(population)
        return weight

    def internal_of(self, population: str, weight_pa: F32) -> F32:
        """Weights inside from those written in pA, in the order of the original file.

        A weight that was written as an unchanged one would be is that one, exactly; of others the
        division gives the last bit or its neighbour.
        """
        weight: F32 = weight_pa / self.export_factor(population)
        unchanged = weight_pa == self.written(population)
        weight[unchanged] = self.internal(population)[unchanged]
        return weight

    def network(self, internal: Mapping[str, F32], source: SourceFile) -> NetworkModel:
        """The network with weights inside by source population, in the order of the files."""
        config, cells = self.config, self.cells
        steps = cells.refractory_steps(config.step_ms)
        n_types = len(cells.name)
        types = CellTypeTable.glif3(
            name=cells.name,
            receptors=self._receptors(),
            c_m_pf=cells.c_m_pf,
            g_ns=cells.g_ns,
            e_l_mv=cells.e_l_mv,
            v_th_mv=cells.v_th_mv,
            v_reset_mv=cells.e_l_mv.copy(),
            t_ref_ms=steps * config.step_ms,
            k_per_ms=cells.asc_decay_per_ms,
            asc_amp_pa=cells.asc_amp_pa,
            tau_syn_ms=np.tile(config.tau_basis_ms, (n_types, 1)),
        )
        projections, populations = {}, {}
        for population, edges in self.edges.items():
            of_neurons = population == self.neurons.population
            table = self._table(population, internal[population])
            projections[edges.name] = Projection(table, None if of_neurons else population)
            if not of_neurons:
                nodes = self.sources[population]
                lgn = population.lower().startswith("lgn")
                populations[population] = SourcePopulation(
                    "lgn" if lgn else "other", len(nodes.node_id), nodes.node_id.copy()
                )
        neurons = NeuronPopulation(self.neurons.population, self.neurons.node_id.copy())
        return NetworkModel(
            neurons=NeuronTable(cells.type_index, populations=(neurons,)),
            cell_types=types,
            projections=projections,
            source_populations=populations,
            source=source,
            step_ms=config.step_ms,
            dynamics=TrainingDynamics(
                reset="hard" if config.hard_reset else "subtractive",
                step_ms=config.step_ms,
                trainer="dpointnet",
            ),
            remarks=self.remarks,
        )

    def rows(self, population: str) -> tuple[I64, NDArray[np.uint8], F32]:
        """Edge, basis function and factor of each synapse that a source population's edges make."""
        return self.basis.expanded(self.model[population])

    def _table(self, population: str, internal: F32) -> SynapseTable:
        edges = self.edges[population]
        edge, receptor, factor = self.rows(population)
        steps = np.ones(len(edges), dtype=np.int32)
        if population == self.neurons.population:
            steps = self.delays.steps
        acting = internal * np.float32(self.config.lr_scale)
        return SynapseTable(
            pre=edges.source[edge].astype(np.int32),
            post=edges.target[edge].astype(np.int32),
            receptor=receptor,
            delay_ms=(steps[edge] * self.config.step_ms).astype(np.float32),
            weight=acting[edge] * factor,
            unit="normalised",
        )

    def _receptors(self) -> ReceptorKinds:
        """Basis functions as receptors: which one a synapse acts on says nothing of its cells."""
        n = len(self.config.tau_basis_ms)
        unknown = ReceptorKinds.unknown(n)
        names = tuple(f"basis_{b}" for b in range(n))
        return ReceptorKinds(names, unknown.presynaptic, unknown.postsynaptic)


def open_circuit(
    config: DPointNetConfig,
    nodes: list[CircuitNodes],
    edges: list[CircuitEdges],
    components: Mapping[str, object],
) -> Circuit:
    """The circuit, with remarks on all that DPointNet does with it in silence.

    Raises
    ------
    NetworkFileError
        If DPointNet could not have built or exported a network of these files.
    """
    where, remarks = str(config.path), Remarks()
    neurons, sources = _populations(nodes, where)
    by_source = _by_source(edges, neurons, where)

    def folder(key: str) -> Path | None:
        value = components.get(key)
        return Path(str(value)) if value else None

    ordered = [by_source[name] for name in (neurons.population, *sources) if name in by_source]
    models = synaptic_models(ordered, folder("synaptic_models_dir"))
    table = (
        None if config.basis_weights_file is None else read_basis_table(config.basis_weights_file)
    )
    basis = factors_of_models(
        models.files, models.parameters, table, len(config.tau_basis_ms), where
    )
    cells = read_cells(neurons, folder("point_neuron_models_dir"), where)
    recurrent = by_source[neurons.population]
    _require_finite(by_source)
    delays = delay_steps(recurrent.delay_ms, config.step_ms, config.max_delay_ms)
    _require_possible(delays, config, recurrent)
    circuit = Circuit(
        config=config,
        neurons=neurons,
        sources={name: held for name, held in sources.items() if name in by_source},
        edges={held.source_population: held for held in ordered},
        model={held.source_population: models.model(held) for held in ordered},
        models=models,
        cells=cells,
        basis=basis,
        delays=delays,
        remarks=(),
    )
    note_cells(cells, config.tau_basis_ms, config.step_ms, where, remarks)
    _note(circuit, remarks)
    return replace(circuit, remarks=remarks.all())


def _populations(
    nodes: list[CircuitNodes], where: str
) -> tuple[CircuitNodes, dict[str, CircuitNodes]]:
    real = [n for n in nodes if not n.virtual]
    mixed = [n.population for n in nodes if n.mixed]
    if mixed or len(real) != 1:
        names = ", ".join(printable(n.population) for n in real) or "none"
        raise NetworkFileError(
            f"{printable(mixed[0])} has virtual cells and others"
            if mixed
            else f"{len(real)} populations of simulated cells: {names}",
            where=where,
            expected="one population of point neurons, and virtual ones: DPointNet trains no other",
        )
    return real[0], {n.population: n for n in nodes if n.virtual}


def _by_source(
    edges: list[CircuitEdges], neurons: CircuitNodes, where: str
) -> dict[str, CircuitEdges]:
    found: dict[str, CircuitEdges] = {}
    for held in edges:
        first = found.setdefault(held.source_population, held)
        if first is not held:
            total, n_lost = len(first) + len(held), min(len(first), len(held))
            raise refusal(
                "dpointnet.lost_edges",
                f"the edges from {printable(held.source_population)} lie in {first.where} "
                f"({len(first):,}) and {held.where} ({len(held):,}): DPointNet overwrites those "
                f"of one with those of the next, so that {n_lost:,} of {total:,} edges at least "
                "are lost, and no training of these files is one of their network",
                where=where,
                expected="one file with one population of edges for each source population",
                hint="merge them into one edge population and train again",
                n=n_lost,
                total=total,
            )
    if neurons.population not in found:
        raise NetworkFileError(
            f"no edges among {printable(neurons.population)}",
            where=where,
            expected="recurrent edges: DPointNet trains no network without them",
        )
    return found


def _require_finite(by_source: Mapping[str, CircuitEdges]) -> None:
    for edges in by_source.values():
        for name, values in (("weights", edges.weight_pa), ("delays", edges.delay_ms)):
            n = int((~np.isfinite(values)).sum())
            if n:
                raise NetworkFileError(
                    f"{n:,} of {len(values):,} {name} are not finite",
                    where=edges.where,
                    expected="finite numbers",
                    hint="no training of this circuit can have worked: mend the file",
                )


def _require_possible(delays: DelaySteps, config: DPointNetConfig, edges: CircuitEdges) -> None:
    steps = delays.steps
    if len(steps) and (steps.min() < 1 or steps.max() > delays.limit_ms):
        raise NetworkFileError(
            f"delays of {int(steps.min())} to {int(steps.max())} steps where DPointNet keeps the "
            f"spikes of {delays.limit_ms} (dt {config.step_ms:g} ms, max_delay "
            f"{config.max_delay_ms}): it cannot build this network",
            where=edges.where,
            expected="delays that fit: at least half a step, and rnn_cell_params.dt 1.0",
            hint="take the configuration and the files that the training read",
        )


# --- what is done in silence ---------------------------------------------------------------------


def _note(circuit: Circuit, remarks: Remarks) -> None:
    config, where = circuit.config, str(circuit.config.path)
    _note_delays(circuit, remarks)
    if config.run_dt_ms != config.step_ms:
        remarks.add(
            "dpointnet.run_dt",
            where,
            f"run.dt is {config.run_dt_ms:g} ms, the cell's step {config.step_ms:g} ms: the "
            f"network was trained in steps of {config.step_ms:g} ms, and stamps of spikes are "
            f"those of the cell times {config.run_dt_ms / config.step_ms:g}",
            hint="set both to the same; v1sim takes the cell's",
        )
    if config.dtype in ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16"):
        remarks.add(
            "dpointnet.precision",
            where,
            f"run.dtype is {config.dtype}: training rounded weights and states to it",
            hint="train with float32 for spikes that can be compared; v1sim takes the weights in "
            "single precision, as they are written",
        )
    if len(circuit.models.files) > _MOST_MODELS:
        remarks.add(
            "dpointnet.synaptic_models",
            where,
            f"{len(circuit.models.files):,} synaptic models are in use: DPointNet takes those from "
            "the 257th on for the first ones",
            hint="use 256 at most, and train again",
            n=len(circuit.models.files) - _MOST_MODELS,
            total=len(circuit.models.files),
        )
    if len(circuit.neurons.node_id) > MOST_CELLS_IN_ORDER:
        n = len(circuit.neurons.node_id)
        remarks.add(
            "dpointnet.row_order",
            where,
            f"{n:,} cells: the recurrent rows of the trained file are in no order",
            hint="pair them by source, target and type, as v1sim does, and not by their place",
            n=n,
            total=n,
        )
    for population, edges in circuit.edges.items():
        _note_edges(circuit, population, edges, remarks)
    for nodes in (circuit.neurons, *circuit.sources.values()):
        wrong = nodes.node_id != np.arange(len(nodes.node_id))
        if wrong.any():
            n = int(wrong.sum())
            gaps = int(nodes.node_id.max()) + 1 != len(nodes.node_id)
            remarks.add(
                "dpointnet.node_ids",
                str(nodes.path),
                f"{n:,} of {len(wrong):,} node ids of {printable(nodes.population)} are not their "
                "row: DPointNet "
                + ("cannot export such a network" if gaps else "writes other ids than it read"),
                hint="number the nodes 0, 1, 2, ... in the order of the file; "
                "v1sim puts exported ids right",
                n=n,
                total=len(wrong),
            )


def _note_delays(circuit: Circuit, remarks: Remarks) -> None:
    edges, delays, step = circuit.recurrent, circuit.delays, circuit.config.step_ms
    changed = delays.clipped | delays.raised | delays.rounded
    if changed.any():
        n = int(changed.sum())
        parts = [
            f"{int(which.sum()):,} {what}"
            for which, what in (
                (delays.clipped, f"above the limit of {delays.limit_ms} ms were clipped"),
                (delays.raised, f"below {step:g} ms were raised to it"),
                (delays.rounded, f"were rounded to steps of {step:g} ms"),
                (delays.to_even, "of them from the middle between two to the even one"),
            )
            if which.any()
        ]
        kinds, first = np.unique(edges.delay_ms[changed], return_index=True)
        became = zip(kinds[:5].tolist(), delays.steps[changed][first].tolist(), strict=False)
        remarks.add(
            "dpointnet.delays",
            edges.where,
            f"{n:,} of {len(edges):,} delays are others in training: {'; '.join(parts)}",
            hint="v1sim takes the delays of training; PointNet takes those of the files, or NEST's "
            "1.0 ms where neither the edges file that it is given nor the table of types has any",
            n=n,
            total=len(edges),
            examples=[f"{d:g} ms became {s * step:g} ms" for d, s in became],
        )
    for population, held in circuit.edges.items():
        other = held.delay_ms != np.float32(step)
        if population != circuit.neurons.population and other.any():
            remarks.add(
                "dpointnet.input_delays",
                held.where,
                f"{int(other.sum()):,} of {len(held):,} delays from {printable(population)} are "
                f"not {step:g} ms: training used none",
                hint="v1sim lets these spikes act in the step in which training did; PointNet "
                "delays them",
                n=int(other.sum()),
                total=len(held),
            )


def _note_edges(circuit: Circuit, population: str, edges: CircuitEdges, remarks: Remarks) -> None:
    n_edges, name = len(edges), printable(population)
    if edges.nsyns is not None and (several := edges.nsyns != 1).any():
        n = int(several.sum())
        remarks.add(
            "dpointnet.nsyns",
            edges.where,
            f"{n:,} of {n_edges:,} edges from {name} have an nsyns that is not 1 (up to "
            f"{edges.nsyns.max():g}): their weights were trained without it",
            hint="v1sim leaves it out as in training; for PointNet divide trained weights by it "
            "(v1sim export --edges-like does)",
            n=n,
            total=n_edges,
        )
    scale = circuit.weight_scale(population)
    if scale != 1.0:
        remarks.add(
            "dpointnet.weight_scale",
            edges.where,
            f"{n_edges:,} weights from {name} act times {scale:g} in training, and stand without "
            "the factor in the trained file",
            hint="v1sim has it in the weights; PointNet must be given weights times it "
            "(v1sim export --edges-like does)",
            n=n_edges,
            total=n_edges,
        )
    functions = {t: row["weight_function"] for t, row in edges.types.items()
                 if "weight_function" in row}  # fmt: skip
    if functions:
        n = int(np.isin(edges.keys.edge_type, list(functions)).sum())
        remarks.add(
            "dpointnet.weight_function",
            edges.where,
            f"{n:,} of {n_edges:,} edges from {name} have a weight_function: training ignored it",
            hint="take it out of the table of types before PointNet reads trained weights",
            n=n,
            total=n_edges,
            examples=sorted({printable(f) for f in functions.values()}),
        )
    acts = circuit.basis.factor != 0
    silent = ~acts.any(axis=1)[circuit.model[population]]
    if silent.any():
        n = int(silent.sum())
        remarks.add(
            "dpointnet.silent_edges",
            edges.where,
            f"{n:,} of {n_edges:,} edges from {name} have basis weights that are all zero",
            hint="they make no synapse, as in training",
            n=n,
            total=n_edges,
        )
    ports = _other_ports(circuit, population)
    if ports:
        n = int(np.isin(circuit.model[population], list(ports)).sum())
        remarks.add(
            "dpointnet.receptor_type",
            edges.where,
            f"{n:,} of {n_edges:,} edges from {name} act through other time courses in training "
            "than their receptor_type names",
            hint="v1sim takes the basis functions; PointNet takes the port",
            n=n,
            total=n_edges,
            examples=ports.values(),
        )


def _other_ports(circuit: Circuit, population: str) -> dict[int, str]:
    """Models of a population's edges whose port is not the one basis function they act on."""
    found = {}
    for model in np.unique(circuit.model[population]).tolist():
        file = circuit.models.files[model]
        port = circuit.models.parameters[file].get("receptor_type")
        factor = circuit.basis.factor[model]
        acts = np.flatnonzero(factor)
        same = len(acts) == 1 and factor[acts[0]] == 1 and port == acts[0] + 1
        if port is not None and not same:
            listed = ", ".join(f"{f:g}" for f in factor)
            found[model] = f"{printable(Path(file).stem)}: port {port}, basis weights {listed}"
    return found
