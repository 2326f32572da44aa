"""PyNN cell types of v1sim: neurons of any cell model, and the sources that drive them.

PyNN's own ``native_cell_type("glif_psc")`` cannot be instantiated and knows no
receptor but 0, which glif_psc refuses. These types carry NEST's units (mV, pF,
nS, pA, ms), name the receptors, and are created run by run: all neurons
of one cell type in one call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from v1sim.cell_models import cell_model
from v1sim.cell_types import GLIF3_COLUMNS, CellTypeTable
from v1sim.config import Dynamics
from v1sim.model import TrainingDynamics
from v1sim.simulation.group import host_of
from v1sim.simulation.kernel import backend
from v1sim.simulation.native.library import MODELS as NATIVE_MODELS
from v1sim.simulation.plan import BuildPlan, PopulationPlan
from v1sim.simulation.step_constants import step_constants

__all__ = [
    "PER_SYNAPSE",
    "Creation",
    "create_population",
    "creations",
    "nest_parameters",
    "start_state",
    "whole_state",
]

#: Receptor type of a projection whose connector gives a receptor for every synapse.
PER_SYNAPSE = "per_synapse"

#: What to create: NEST's model, its parameters and how many cells have them.
Creation = tuple[str, dict[str, Any], int]


def nest_parameters(
    types: CellTypeTable, index: int, dynamics: Dynamics, trained: TrainingDynamics | None = None
) -> dict[str, Any]:
    """NEST's parameters of one cell type, as its model takes them from the table.

    ``trained`` are the dynamics of training, where ``dynamics`` are those: by default those of the
    published training.
    """
    if dynamics in NATIVE_MODELS:
        return _in_training(types, index, trained or TrainingDynamics())
    return types.nest_parameters(index)


def start_state(types: CellTypeTable, index: int) -> dict[str, Any]:
    """NEST's names and values of the state from which cells of a type start a trial."""
    model = types.model_of(index)
    state: dict[str, Any] = {}
    for part in model.start:
        switch = None if part.only_with is None else model.parameter(part.only_with)
        if switch is not None and not types.value(switch, index):
            continue
        column = model.parameter(part.value) if isinstance(part.value, str) else None
        state[part.nest] = part.value if column is None else types.value(column, index)
    return state


def whole_state(nodes: Any) -> dict[str, float]:
    """All numbers that NEST tells of cells that are alike, by its names."""
    return {name: value for name, value in nodes[0].get().items() if type(value) is float}


def _in_training(types: CellTypeTable, index: int, trained: TrainingDynamics) -> dict[str, Any]:
    """Parameters of the neurons that follow the training's equations."""
    parameters: dict[str, Any] = {
        str(parameter.nest): types.value(parameter, index)
        for parameter in cell_model("glif_psc").parameters
        if parameter.column in (*GLIF3_COLUMNS, "v_start_mv")
    }
    return parameters | {
        "hard_reset": trained.reset == "hard",
        "step_constants": step_constants(types, trained)[index].tolist(),
    }


def creations(part: PopulationPlan, plan: BuildPlan) -> Iterator[Creation]:
    """What to create for one population: one entry a cell type."""
    types, dynamics = plan.cell_types, plan.dynamics
    for index, count in zip(part.type_index.tolist(), part.type_count.tolist(), strict=True):
        model = NATIVE_MODELS.get(dynamics, types.model[index])
        yield model, nest_parameters(types, index, dynamics, plan.trained), count


def create_population(
    label: str, creations: list[Creation], receptors: tuple[str, ...] = ()
) -> Any:
    """A PyNN population, created in one NEST call per entry of ``creations``.

    ``receptors`` are their names, by which other populations can be projected to it.

    Returns
    -------
    pyNN.nest.Population
        Usable as any of PyNN's; ``get`` and ``set`` take NEST's parameter names and units.
    """
    size = sum(count for _, _, count in creations)
    cell = _cell_class(*creations[0][:2], receptors)
    return _population_class()(size, cell(), creations, label)


def _cell_class(model: str, parameters: dict[str, Any], receptors: tuple[str, ...]) -> type:
    """A PyNN cell type around a NEST model, with the names (and defaults) of its parameters."""
    backend()
    from pyNN.models import BaseCellType
    from pyNN.parameters import ArrayParameter

    class _NestCell(BaseCellType):  # type: ignore[misc]
        nest_model = model
        nest_name = {"on_grid": model, "off_grid": model}  # noqa: RUF012 PyNN's own convention
        receptor_types = (*receptors, PER_SYNAPSE)
        standard_receptor_type = False
        conductance_based = False
        injectable = True
        uses_parrot = False
        default_parameters = {  # noqa: RUF012
            name: ArrayParameter(value) if isinstance(value, list) else value
            for name, value in parameters.items()
        }
        default_initial_values: dict[str, Any] = {}  # noqa: RUF012
        recordable = ("spikes", "V_m")
        units = {"V_m": "mV", "spikes": "ms"}  # noqa: RUF012

        def get_receptor_type(self, name: str) -> int:
            """NEST's port of a receptor: counted from 1, 0 being the unused one."""
            return receptors.index(name) + 1

        def can_record(self, variable: str, location: object = None) -> bool:
            return variable in self.recordable

    _NestCell.__name__ = _NestCell.__qualname__ = model
    return _NestCell


def _created(model: str, parameters: dict[str, Any], n: int) -> Any:
    """``n`` nodes of a model with the same parameters.

    NEST parses a dictionary for each node that it creates with parameters. v1sim's own models
    get them as defaults for the moment instead.
    """
    nest, _ = backend()
    if model not in NATIVE_MODELS.values():
        return nest.Create(model, n, params=parameters)
    before = nest.GetDefaults(model, list(parameters))
    nest.SetDefaults(model, parameters)
    try:
        return nest.Create(model, n)
    finally:
        nest.SetDefaults(model, dict(zip(parameters, before, strict=True)))


def _population_class() -> Any:
    """A PyNN population whose cells NEST makes type by type, not from one dict a cell."""
    nest, pynn = backend()
    from pyNN.nest import simulator

    class _CellId(simulator.ID):  # type: ignore[misc]
        """A PyNN ID that asks for its node collection when it is needed."""

        @property
        def node_collection(self) -> Any:
            return nest.NodeCollection([int(self)])

    class _Assembly(pynn.Assembly):  # type: ignore[misc, name-defined]
        """An assembly that does not drop what overlaps (PyNN 0.13 logs a line, and drops it)."""

        def _insert(self, element: Any) -> None:
            for other in self.populations:
                shared = np.intersect1d(other.all_cells.astype(int), element.all_cells.astype(int))
                if shared.size:
                    msg = (
                        f"{other.label} and {element.label} share {shared.size} cells: a cell is "
                        "in an assembly once; leave them out of one of the two"
                    )
                    raise ValueError(msg)
            super()._insert(element)

    class _ViewsAsAsked:
        """Views have the cells that were asked for, in that order, or are refused."""

        _assembly_class = _Assembly

        def _get_view(self, selector: Any, label: str | None = None) -> Any:
            size = self.size  # type: ignore[attr-defined]
            index = np.arange(size)[selector if isinstance(selector, slice) else np.array(selector)]
            if np.any(np.diff(index) <= 0):  # PyNN would sort them, and drop what is there twice
                msg = (
                    "a view's cells must be given in ascending order, each once: PyNN sorts them, "
                    f"so that results would not be in the order of {selector!r}"
                )
                raise ValueError(msg)
            return _View(self, selector, label)

    class _View(_ViewsAsAsked, pynn.PopulationView):  # type: ignore[misc, name-defined]
        pass

    class _Population(_ViewsAsAsked, pynn.Population):  # type: ignore[misc, name-defined]
        def __init__(self, size: int, cell: Any, creations: list[Creation], label: str) -> None:
            self._creations = creations
            super().__init__(size, cell, label=label)

        def _create_cells(self) -> None:
            parts = [_created(model, p, n) for model, p, n in self._creations]
            self.node_collection = sum(parts[1:], start=parts[0])
            starts = [part[0].get().get("V_m", 0.0) for part in parts]
            self._start_mv = np.repeat(starts, [len(part) for part in parts])
            del self._creations
            # Asking NEST for each node's id and place takes seconds at full size; nodes that
            # are created one after the other have consecutive ids, all of them here.
            first = int(self.node_collection[0].global_id)
            self.node_id = np.arange(first, first + self.size, dtype=np.int64)
            self._mask_local = host_of(self.node_id) == nest.Rank()
            self.all_cells = np.array([_CellId(i) for i in self.node_id.tolist()], dtype=object)
            for cell in self.all_cells:
                cell.parent = self

        def _get_cell_initial_value(self, id: Any, variable: str) -> Any:
            """What recorded traces begin with, as NEST records from the first step's end on."""
            if variable == "V_m" and variable not in self.initial_values:
                return self._start_mv[self.id_to_index(id)]
            return super()._get_cell_initial_value(id, variable)

    return _Population
