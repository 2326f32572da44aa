"""What is to be built, as arrays: no simulator here.

A `BuildPlan` refers to the columns of the checked network; nothing is copied.
Physical units appear when a projection's synapses are asked for, block by
block, on their way into NEST.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from v1sim import units
from v1sim.cell_classes import CellClasses, cell_classes
from v1sim.config import Background, CurrentClamp, Dynamics
from v1sim.config_perturb import Perturbation
from v1sim.digests import SynapseDigest, synapse_digest
from v1sim.errors import InputError, NetworkFileError
from v1sim.guard import CheckedNetwork
from v1sim.model import (
    CellTypeTable,
    NetworkModel,
    SourcePopulation,
    SynapseTable,
    TrainingDynamics,
)
from v1sim.printable import printable
from v1sim.simulation.currents import CurrentPlan, current_plans
from v1sim.simulation.perturbation import (
    WeightScale,
    refuse_other_projections,
    stimulation_table,
    weight_scales,
)
from v1sim.simulation.step_constants import TRAINERS
from v1sim.sources.provenance import network_sha256
from v1sim.stimulus.background import event_weight
from v1sim.units import MODEL_STEP_MS

__all__ = [
    "IN_ENGINE",
    "IN_TRAINING",
    "NO_PORT",
    "BuildPlan",
    "DelayRounding",
    "DrivenBy",
    "HeldAs",
    "PopulationPlan",
    "ProjectionPlan",
    "Synapses",
    "make_plan",
]

#: Dynamics that are training's equations.
IN_TRAINING: tuple[Dynamics, ...] = ("training", "training_single", "training_float32")
#: Those that v1sim's engine simulates, with its own synapses.
IN_ENGINE: tuple[Dynamics, ...] = ("training", "training_single")
#: In place of the receptor of targets whose model has no ports: NEST's port is one more.
NO_PORT = -1
#: Synapses handed over at a time: bounds the 64-bit arrays that nest.Connect needs.
_BLOCK = 1 << 21

#: As what the simulator holds a projection's weights: NEST's synapses with float64 in pA; synapses
#: with the normalised float32 of the file; or numbers of the neurons themselves, normalised too.
HeldAs = Literal["pa_synapses", "normalised_synapses", "normalised_in_neurons"]
#: What makes the sources of a projection spike: they are neurons themselves, the stimulus says so,
#: the background, or a perturbation.
DrivenBy = Literal["neurons", "stimulus", "background", "stimulation"]


@dataclass(frozen=True, eq=False)
class Synapses:
    """A block of synapses: indices, receptor, ms and weight, shape (m,).

    The receptor is `NO_PORT` where NEST chooses it by the sign of the weight. The weight is in pA;
    or normalised, float32, where that is what the simulator holds: then ``scale`` (n,) makes it
    pA by target neuron.
    """

    pre: NDArray[np.integer]
    post: NDArray[np.integer]
    receptor: NDArray[np.integer]
    delay_ms: NDArray[np.floating]
    weight: NDArray[np.floating]
    scale: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.pre)

    @property
    def weight_pa(self) -> NDArray[np.float64]:
        """The physical weight, pA."""
        if self.scale is None:
            return np.asarray(self.weight, dtype=np.float64)
        return units.to_pa(self.weight, self.post, self.scale)

    def take(self, index: NDArray[np.intp]) -> Synapses:
        """The synapses at ``index``, in that order."""
        return Synapses(
            self.pre[index],
            self.post[index],
            self.receptor[index],
            self.delay_ms[index],
            self.weight[index],
            self.scale,
        )

    def digest(self, dt_ms: float) -> SynapseDigest:
        """Digest that ignores the order."""
        steps = units.to_steps(self.delay_ms, dt_ms)
        return synapse_digest(self.pre, self.post, self.receptor, steps, self.weight_pa)


@dataclass(frozen=True, eq=False)
class PopulationPlan:
    """One cell class: its neurons in the order of the PyNN population.

    Neurons are ordered by cell type, then index, so that each type is one run:
    ``type_index`` (k,) and ``type_count`` (k,).
    """

    label: str
    neuron: NDArray[np.int32]
    type_index: NDArray[np.intp]
    type_count: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class ProjectionPlan:
    """Synapses of one projection in physical units, given block by block.

    ``scale`` (n,) turns the table's normalised weight into pA by target neuron;
    ``perturbed_by`` alters it: the pA, or where the simulator holds the normalised weight, that
    one, which is then rounded to float32. ``without_ports`` (n,) are targets whose model has no
    ports in NEST, which chooses their receptor by the sign of the weight; None where there are
    none.
    ``source`` names the population of ``n_source`` cells outside of the network that it comes
    from; None where it comes from the network's own. ``driven_by`` is what makes them spike.
    Delays of weights in pA are rounded as NEST rounds them (`v1sim.units.delay_steps`).
    """

    label: str
    table: SynapseTable
    scale: NDArray[np.float64]
    dt_ms: float
    perturbed_by: tuple[WeightScale, ...] = ()
    without_ports: NDArray[np.bool_] | None = None
    held_as: HeldAs = "pa_synapses"
    source: str | None = None
    n_source: int = 0
    driven_by: DrivenBy = "neurons"

    def __len__(self) -> int:
        return len(self.table)

    def blocks(self, size: int = _BLOCK) -> Iterator[Synapses]:
        """The synapses in file order, at most ``size`` at a time."""
        t = self.table
        for start in range(0, len(t), size):
            part = slice(start, start + size)
            pre, post, receptor = t.pre[part], t.post[part], t.receptor[part]
            delay_ms = t.delay_ms[part]
            if self.without_ports is not None:
                receptor = np.where(self.without_ports[post], NO_PORT, receptor.astype(np.int64))
            if self.held_as == "pa_synapses":
                weight_pa = self._perturbed(part, units.to_pa(t.weight[part], post, self.scale))
                delay_ms = units.delay_steps(delay_ms, self.dt_ms) * self.dt_ms
                yield Synapses(pre, post, receptor, delay_ms, weight_pa)
            else:
                weight = t.weight[part]
                if self.perturbed_by:
                    weight = self._perturbed(part, weight.astype(np.float64)).astype(np.float32)
                yield Synapses(pre, post, receptor, delay_ms, weight, self.scale)
            t.forget()

    def _perturbed(self, part: slice, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """The weights of a part of the table after all perturbations."""
        t = self.table
        for perturbation in self.perturbed_by:
            weight = perturbation.scaled(t.pre[part], t.post[part], t.receptor[part], weight)
        return weight

    def without_zeros(self) -> ProjectionPlan:
        """The same with the perturbed weights as the table's own, those that are not 0."""
        t = self.table
        (whole,) = self.blocks(max(len(t), 1)) if len(t) else (None,)
        if whole is None or self.held_as == "pa_synapses":
            return self
        kept = np.flatnonzero(whole.weight)
        table = SynapseTable(
            pre=t.pre[kept],
            post=t.post[kept],
            receptor=t.receptor[kept],
            delay_ms=t.delay_ms[kept],
            weight=whole.weight[kept].astype(np.float32),
        )
        return replace(self, table=table, perturbed_by=())

    @cached_property
    def digest(self) -> SynapseDigest:
        """Digest of the whole projection that ignores the order of its synapses."""
        total = SynapseDigest(0, (0, 0))
        for block in self.blocks():
            total += block.digest(self.dt_ms)
        return total


@dataclass(frozen=True)
class DelayRounding:
    """How far the delays of a projection are from whole steps.

    ``n_changed`` of ``n`` are no whole number of steps; ``largest_ms`` is the most that one is
    moved by, from ``from_ms`` to ``to_ms``.
    """

    projection: str
    n_changed: int
    n: int
    largest_ms: float
    from_ms: float
    to_ms: float


@dataclass(frozen=True, eq=False)
class BuildPlan:
    """Everything that is to exist in the simulator.

    ``lgn`` is the name of the population of LGN cells; ``sources`` are the sizes of all other
    populations with synapses whose spikes the stimulus gives. ``max_delay_ms`` is the longest
    delay, at least one step, and ``rounded`` says of which projections delays are no whole
    steps. ``trained`` are the dynamics that the network was trained in, those of the published
    training where its source says nothing: neurons follow them where ``dynamics`` is one of
    `IN_TRAINING`. ``draws`` (trials, steps) are those of a recorded background.
    """

    classes: CellClasses
    cell_types: CellTypeTable
    populations: tuple[PopulationPlan, ...]
    projections: tuple[ProjectionPlan, ...]
    n_neurons: int
    n_lgn: int
    background: Background
    dynamics: Dynamics
    dt_ms: float
    seed: int
    network_sha256: str
    max_delay_ms: float
    trained: TrainingDynamics = field(default_factory=TrainingDynamics)
    draws: NDArray[np.int64] | None = None
    lgn: str = "lgn"
    sources: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    rounded: tuple[DelayRounding, ...] = ()
    currents: tuple[CurrentPlan, ...] = ()

    def n_steps(self, duration_ms: float) -> int:
        """Steps of a duration."""
        return round(duration_ms / self.dt_ms)

    @property
    def in_training_dynamics(self) -> bool:
        """Whether neurons follow the training's equations, in a model of v1sim's NEST module."""
        return self.dynamics in IN_TRAINING

    @property
    def n_synapses(self) -> int:
        """Synapses of all projections."""
        return sum(len(p) for p in self.projections)

    def without_synapses(self) -> BuildPlan:
        """The same, small: for processes that are given the synapses of the neurons they host."""
        none = SynapseTable.empty()
        return replace(self, projections=tuple(replace(p, table=none) for p in self.projections))


def make_plan(
    checked: CheckedNetwork,
    *,
    background: Background,
    seed: int,
    dynamics: Dynamics = "glif_psc",
    draws: NDArray[np.int64] | None = None,
    perturb: Sequence[Perturbation] = (),
    currents: Sequence[CurrentClamp] = (),
    dt_ms: float | None = None,
) -> BuildPlan:
    """The plan of a network that passed the guards.

    Parameters
    ----------
    checked : CheckedNetwork
        From `v1sim.guard.admit`; nothing else is accepted.
    background : {"none", "mean", "shared_binomial", "independent_poisson", "recorded"}
        What drives the file's background weights.
    seed : int
        Of random numbers: the background's, and NEST's own, which ``independent_poisson``
        uses with ``glif_psc`` and ``training_float32``.
    dynamics : {"glif_psc", "nest", "training", "training_single", "training_float32"}
        NEST's neuron, the NEST model of each cell type, or the neuron the weights were trained in:
        in float64, in float32, or in float32 with every operation rounded as TensorFlow rounds it.
    draws : int array, shape (trials, steps), optional
        Of the recorded background (`v1sim.stimulus.background.read_draws`).
    perturb : sequence of Perturbation
        How the checked weights are altered.
    currents : sequence of CurrentClamp
        What is injected into cells.
    dt_ms : float, optional
        Time step; the network's own by default.

    Raises
    ------
    NetworkFileError
        If the network's arrays were changed since it was checked.
    InputError
        If a perturbation names what is not there, or cannot be had with the dynamics; if cell
        types have other models than the dynamics, or these another time step; if a delay is
        shorter than half a step.
    TypeError
        If given anything but a `CheckedNetwork`.
    """
    if not isinstance(checked, CheckedNetwork):
        msg = f"a plan is made of a CheckedNetwork (v1sim.guard.admit), not {type(checked)!r}"
        raise TypeError(msg)
    network = checked.network
    if network_sha256(network) != checked.report.network_sha256:
        raise NetworkFileError(
            "the network in memory is no longer the one that passed the checks",
            where=network.source.path,
            hint="its arrays were changed since: check it again (v1sim.guard.admit)",
        )
    dt_ms = network.step_ms if dt_ms is None else dt_ms
    _refuse_other_models(network.cell_types, dynamics)
    trained = network.dynamics or TrainingDynamics()
    if dynamics in IN_TRAINING:
        _refuse_other_training(trained, dt_ms)
    if network.background_weight is None:
        background = "none"  # nothing for it to drive
    if background != "none" and not units.divides_model_step(dt_ms):
        raise InputError(
            f"the background acts once in {MODEL_STEP_MS:g} ms, which is no whole number of steps "
            f"of {dt_ms:g} ms",
            where="simulation.dt_ms",
            expected=f"{MODEL_STEP_MS:g} ms divided by a whole number",
        )
    refuse_other_projections(perturb, network)
    classes = cell_classes(network)
    scale = network.voltage_scale_mv
    without_ports = _without_ports(network.cell_types, network.neurons.cell_type)

    own_synapses = dynamics in IN_ENGINE
    other_unit = [name for name, table in network.tables.items() if table.unit == "pA"]
    if own_synapses and other_unit:
        raise InputError(
            f"the weights of {', '.join(other_unit)} are in pA, training's are normalised",
            where="simulation.dynamics",
            expected="glif_psc",
        )

    given = _given_sources(network)
    driven_by: dict[str | None, DrivenBy] = {None: "neurons", **dict.fromkeys(given, "stimulus")}

    def projection(label: str, table: SynapseTable, factor: float = 1.0) -> ProjectionPlan:
        in_pa = np.ones(network.n_neurons) if table.unit == "pA" else scale
        n_source = network.n_pre(label)
        return ProjectionPlan(
            label,
            table,
            in_pa * factor,
            dt_ms,
            weight_scales(
                perturb, label, classes, n_source, network.receptors, network.role(label)
            ),
            without_ports,
            held_as="normalised_synapses" if own_synapses else "pa_synapses",
            source=network.projections[label].source,
            n_source=n_source,
            driven_by=driven_by.get(network.projections[label].source, "background"),
        )

    projections = [
        projection(name, table)
        for name, table in network.tables.items()
        if network.projections[name].source in driven_by
    ]
    if background != "none" and network.background_weight is not None:
        table = _background_table(network.background_weight, dt_ms)
        driven = projection("background", table, event_weight(background))
        if own_synapses:
            driven = replace(driven, held_as="normalised_in_neurons").without_zeros()
        projections.append(driven)
    stimulated = stimulation_table(
        perturb, classes, network.cell_types, network.neurons.cell_type, dt_ms
    )
    if stimulated is not None:
        if dynamics == "training_float32":
            raise InputError(
                "training_float32 has no place for stimulation in training's order of sums",
                where="perturb",
                expected="simulation.dynamics: training or glif_psc",
            )
        silenced = weight_scales(perturb, "stimulation", classes, 1, network.receptors, None)
        in_pa = np.ones(network.n_neurons)
        projections.append(
            ProjectionPlan(
                "stimulation",
                stimulated,
                in_pa,
                dt_ms,
                silenced,
                without_ports,
                source="stimulation",
                n_source=1,
                driven_by="stimulation",
            )
        )
    if currents and dynamics in IN_TRAINING:
        raise InputError(
            "neurons in training's equations take no injected currents",
            where="currents",
            expected="simulation.dynamics: glif_psc or nest",
        )
    extremes_ms, rounded = _delays(projections)
    return BuildPlan(
        classes=classes,
        cell_types=network.cell_types,
        populations=_populations(classes, network.neurons.cell_type, given),
        projections=tuple(projections),
        n_neurons=network.n_neurons,
        n_lgn=network.lgn.size,
        background=background,
        dynamics=dynamics,
        dt_ms=dt_ms,
        seed=seed,
        network_sha256=checked.report.network_sha256,
        max_delay_ms=max([dt_ms, *extremes_ms]),
        trained=trained,
        draws=draws,
        lgn=next((name for name, one in given.items() if one is network.lgn), "lgn"),
        sources={
            name: one.size
            for name, one in given.items()
            if one is not network.lgn and _has_synapses(network, name)
        },
        rounded=rounded,
        currents=current_plans(currents, network, dt_ms),
    )


def _given_sources(network: NetworkModel) -> dict[str, SourcePopulation]:
    """Source populations whose spikes the stimulus gives: all but a background of one cell."""
    return {
        name: population
        for name, population in network.source_populations.items()
        if population.role != "background" or network.background_weight is None
    }


def _has_synapses(network: NetworkModel, source: str) -> bool:
    """Whether any synapse comes from a source population."""
    return any(p.source == source and len(p.synapses) for p in network.projections.values())


def _delays(
    projections: Sequence[ProjectionPlan],
) -> tuple[list[float], tuple[DelayRounding, ...]]:
    """The longest delay of each projection in ms, and what is rounded.

    Raises
    ------
    InputError
        If a delay is shorter than half a step.
    """
    longest, rounded = [], []
    for plan in projections:
        delay_ms = plan.table.delay_ms
        if plan.held_as != "pa_synapses" or not len(plan):
            longest.append(float(delay_ms.max(initial=0.0)))
            continue
        most_steps = n_changed = 0
        largest_ms, of_ms, to_ms = 0.0, 0.0, 0.0
        for start in range(0, len(plan), _BLOCK):
            block = delay_ms[start : start + _BLOCK].astype(np.float64)
            steps = units.delay_steps(block, plan.dt_ms)
            if (steps < 1).any():
                row = start + int(np.argmax(steps < 1))
                raise InputError(
                    f"{int(np.count_nonzero(steps < 1)):,} delays of {plan.label} are shorter than "
                    f"half a step of {plan.dt_ms:g} ms, for example that of row {row}: "
                    f"{delay_ms[row]:g} ms",
                    where="simulation.dt_ms",
                    expected="delays of at least half a step: NEST has none of 0 steps",
                    hint="simulate in shorter steps",
                )
            moved = np.abs(steps * plan.dt_ms - block)
            moved[units.on_time_grid(block, plan.dt_ms)] = 0.0
            n_changed += int(np.count_nonzero(moved))
            most_steps = max(most_steps, int(steps.max()))
            at = int(np.argmax(moved))
            if moved[at] > largest_ms:
                largest_ms, of_ms = float(moved[at]), float(block[at])
                to_ms = float(steps[at] * plan.dt_ms)
        longest.append(most_steps * plan.dt_ms)
        if n_changed:
            n = len(plan)
            rounded.append(DelayRounding(plan.label, n_changed, n, largest_ms, of_ms, to_ms))
    return longest, tuple(rounded)


def _refuse_other_training(trained: TrainingDynamics, dt_ms: float) -> None:
    if trained.trainer not in TRAINERS:
        raise InputError(
            f"the network was trained by {printable(trained.trainer)!r}, whose equations are not "
            "known",
            where="simulation.dynamics",
            expected=f"a network of {', '.join(TRAINERS)}, or simulation.dynamics: glif_psc",
        )
    if dt_ms != trained.step_ms:
        raise InputError(
            f"training's equations take steps of {trained.step_ms:g} ms, not {dt_ms:g} ms: in "
            "other steps they are another network",
            where="simulation.dt_ms",
            expected=f"{trained.step_ms:g}, or simulation.dynamics: glif_psc",
        )


def _refuse_other_models(types: CellTypeTable, dynamics: Dynamics) -> None:
    why_not, expected = "", "simulation.dynamics: nest"
    if dynamics in IN_TRAINING:
        why_not = types.why_not_of_training
    elif dynamics == "glif_psc":
        others = sorted(set(types.model) - {"glif_psc"})
        why_not = f"there are cells of {', '.join(others)}" if others else ""
    if why_not:
        raise InputError(
            f"these cells cannot be simulated as {dynamics}: {why_not}",
            where="simulation.dynamics",
            expected=expected,
        )


def _populations(
    classes: CellClasses, cell_type: NDArray[np.uint16], sources: Collection[str]
) -> tuple[PopulationPlan, ...]:
    """A population a class; one that is called as a source population is gets another label."""
    order = np.lexsort((cell_type, classes.of_neuron)).astype(np.int32)
    bounds = np.searchsorted(classes.of_neuron[order], np.arange(len(classes.names) + 1))
    plans = []
    for name, start, stop in zip(classes.names, bounds[:-1], bounds[1:], strict=True):
        neuron = order[start:stop]
        if not len(neuron):
            continue
        types, counts = np.unique(cell_type[neuron], return_counts=True)
        label = f"{name} cells" if name in (*sources, "stimulation") else name
        plans.append(PopulationPlan(label, neuron, types.astype(np.intp), counts))
    return tuple(plans)


def _without_ports(types: CellTypeTable, cell_type: NDArray[np.uint16]) -> NDArray[np.bool_] | None:
    """Neurons whose model has no ports in NEST; None where all have."""
    without = np.array([not types.model_of(i).has_ports for i in range(len(types))])
    return without[cell_type] if without.any() else None


def _background_table(weight: NDArray[np.float32], dt_ms: float) -> SynapseTable:
    """A synapse of one step from the one background source, for each neuron, receptor, weight."""
    post, receptor = np.nonzero(weight)
    return SynapseTable(
        pre=np.zeros(len(post), dtype=np.int32),
        post=post.astype(np.int32),
        receptor=receptor.astype(np.uint8),
        delay_ms=np.full(len(post), dt_ms, dtype=np.float32),
        weight=weight[post, receptor],
    )
