"""From a plan to PyNN populations and projections on NEST."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.card import card
from v1sim.simulation.cells import create_population, creations
from v1sim.simulation.connectors import connect_projection, fill_neurons
from v1sim.simulation.currents import create_currents
from v1sim.simulation.group import ALONE, Group
from v1sim.simulation.kernel import backend, reset_kernel
from v1sim.simulation.native.library import (
    SPIKE_SINK,
    SPIKE_SOURCE,
    NativeModule,
    native_module,
    native_or_none,
)
from v1sim.simulation.plan import BuildPlan, ProjectionPlan
from v1sim.units import MODEL_STEP_MS

__all__ = ["Progress", "Simulation", "build"]

#: Told the stage, how much of it is done, and how much there is.
Progress = Callable[[str, float, float], None]


@dataclass(frozen=True, eq=False, repr=False)
class Simulation:
    """A built network.

    ``populations["e23"]`` and ``projections["recurrent"]`` are PyNN objects;
    the i-th cell of a population is neuron ``plan.populations[...].neuron[i]``
    of the network file (also in the population's annotation ``neuron``).
    ``neuron_node`` (n,) and ``source_node`` by projection give NEST's node ids. A background that
    the neurons hold themselves (dynamics ``training``) is neither population nor projection.
    ``native`` is v1sim's NEST module; where it is there spikes are recorded in it,
    otherwise in ``spike_recorder``. ``group`` is the processes that it is built in.
    ``current_generators`` are those of ``plan.currents``.
    """

    plan: BuildPlan
    group: Group
    threads: int
    populations: Mapping[str, Any]
    projections: Mapping[str, Any]
    neuron_node: NDArray[np.int64]
    source_node: Mapping[str, NDArray[np.int64]]
    native: NativeModule | None
    spike_recorder: Any
    multimeter: Any
    voltage_of: NDArray[np.int32]
    current_generators: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<Simulation of {self.plan.n_neurons:,} neurons in {len(self.populations)} "
            f"populations, {self.plan.n_synapses:,} synapses, dynamics {self.plan.dynamics}>"
        )

    def _repr_html_(self) -> str:
        return card(
            "BUILT",
            f"from a network that passed the guards (sha256 {self.plan.network_sha256[:16]})",
            {
                "populations": ", ".join(f"{k} {v.size:,}" for k, v in self.populations.items()),
                "projections": ", ".join(f"{k} {len(v):,}" for k, v in self.projections.items()),
                "dynamics": f"{self.plan.dynamics}, steps of {self.plan.dt_ms:g} ms",
                "threads": self.threads,
            },
            tone="good",
        )

    @property
    def pynn(self) -> Any:
        """The module `pyNN.nest`, in whose kernel this is."""
        return backend()[1]


def _quiet(stage: str, done: float, total: float) -> None:
    """No progress wanted."""


def build(
    plan: BuildPlan,
    *,
    threads: int,
    voltage_of: NDArray[np.int32] | None = None,
    progress: Progress = _quiet,
    group: Group = ALONE,
    skip_frozen_nodes: bool = False,
) -> Simulation:
    """Create the plan's populations and projections in a fresh kernel.

    Parameters
    ----------
    plan : BuildPlan
        From `v1sim.simulation.plan.make_plan`.
    threads : int
        NEST's threads.
    voltage_of : int array, optional
        Neurons of the file whose membrane potential is recorded at every step.
    progress : callable, optional
        Told ``(stage, done, total)``.
    group : Group, optional
        The processes that build together; each calls this, and the first has the synapses.
    skip_frozen_nodes : bool, optional
        Whether NEST's loop over nodes ends before the neurons that are updated together
        (dynamics ``training`` and ``training_single``). That writes to private members of NEST.
    """
    nest, pynn = backend()
    reset_kernel(
        dt_ms=plan.dt_ms,
        threads=threads,
        seed=plan.seed,
        max_delay_ms=plan.max_delay_ms,
        in_order=plan.dynamics == "training_float32",  # its sums depend on it
    )
    native = native_module() if plan.in_training_dynamics else native_or_none()
    if native:
        native.install()
        native.skip_frozen_nodes(skip_frozen_nodes)
    populations: dict[str, Any] = {}
    neuron_node = np.zeros(plan.n_neurons, dtype=np.int64)
    for i, part in enumerate(plan.populations):
        population = create_population(
            part.label,
            list(creations(part, plan)),
            plan.cell_types.receptors.names,
        )
        population.annotate(neuron=part.neuron)
        neuron_node[part.neuron] = population.node_id
        populations[part.label] = population
        progress("populations", i + 1, len(plan.populations))
    v1 = pynn.Assembly(*populations.values(), label="v1")

    source_node: dict[str, NDArray[np.int64]] = {}
    projections: dict[str, Any] = {}
    done = 0

    def on_block(n_synapses: int) -> None:
        nonlocal done
        done += n_synapses
        progress("synapses", done, plan.n_synapses)

    for projection in plan.projections:
        if projection.held_as == "normalised_in_neurons":
            fill_neurons(projection, plan.cell_types.receptors.n, neuron_node, on_block, group)
            continue
        if projection.source is None:
            pre, source_node[projection.label] = v1, neuron_node
        else:
            if projection.source not in populations:
                populations[projection.source] = _create_sources(projection, plan, native)
            pre = populations[projection.source]
            source_node[projection.label] = pre.node_id
        projections[projection.label] = connect_projection(
            projection,
            *(pre, v1, source_node[projection.label], neuron_node),
            plan.dynamics,
            on_block,
            group,
        )

    if native and plan.dynamics == "training_float32":
        outside = {p.source: source_node[p.label] for p in plan.projections if p.source}
        native.set_summation_order(
            [neuron_node, *outside.values()],
            delay_first=plan.trained.trainer == "dpointnet",
            currents_apart=plan.trained.trainer == "dpointnet",
        )
    recorder = None
    if native is None:
        recorder = nest.Create("spike_recorder")
        nest.Connect(v1.node_collection, recorder)
    elif not plan.in_training_dynamics:
        nest.Connect(v1.node_collection, nest.Create(SPIKE_SINK), syn_spec={"delay": plan.dt_ms})
    multimeter = None
    voltage_of = np.unique(voltage_of if voltage_of is not None else []).astype(np.int32)
    if voltage_of.size:
        multimeter = nest.Create(
            "multimeter", params={"record_from": ["V_m"], "interval": plan.dt_ms}
        )
        nest.Connect(multimeter, nest.NodeCollection(np.sort(neuron_node[voltage_of])))
    return Simulation(
        plan=plan,
        group=group,
        threads=threads,
        populations=MappingProxyType(populations),
        projections=MappingProxyType(projections),
        neuron_node=neuron_node,
        native=native,
        source_node=MappingProxyType(source_node),
        spike_recorder=recorder,
        multimeter=multimeter,
        voltage_of=voltage_of,
        current_generators=create_currents(plan.currents, neuron_node, plan.dt_ms),
    )


def _create_sources(
    projection: ProjectionPlan, plan: BuildPlan, native: NativeModule | None
) -> Any:
    """Cells whose spikes the stimulus gives, or the one source of background or stimulation."""
    label, size = projection.source or "", projection.n_source
    if projection.driven_by == "stimulus":
        model = SPIKE_SOURCE if native else "spike_train_injector"
        return create_population(label, [(model, {}, size)])
    if projection.driven_by == "background" and plan.background == "independent_poisson":
        # Ten draws a step of the model at probability 0.1: one event a step on average.
        rate_hz = 1000.0 / MODEL_STEP_MS
        return create_population(label, [("poisson_generator", {"rate": rate_hz}, size)])
    return create_population(label, [("spike_train_injector", {}, size)])
