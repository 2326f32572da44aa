"""PyNN cell types of v1sim: GLIF3 neurons and the sources that drive them.

PyNN's own ``native_cell_type("glif_psc")`` cannot be instantiated and knows no
receptor but 0, which glif_psc refuses. These types carry NEST's units (mV, pF,
nS, pA, ms), name the receptors, and are created run by run: all neurons
of one GLIF3 type in one call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from v1sim.config import Dynamics
from v1sim.model import CellTypeTable
from v1sim.simulation.group import host_of
from v1sim.simulation.kernel import backend
from v1sim.simulation.plan import PopulationPlan
from v1sim.simulation.step_constants import step_constants

__all__ = ["PER_SYNAPSE", "Creation", "create_population", "glif3_creations", "glif3_parameters"]

#: Receptor type of a projection whose connector gives a receptor for every synapse.
PER_SYNAPSE = "per_synapse"

#: What to create: NEST parameters and how many cells have them.
Creation = tuple[dict[str, Any], int]


def glif3_parameters(types: CellTypeTable, index: int, dynamics: Dynamics) -> dict[str, Any]:
    """NEST parameters of one cell type, starting at ``V_reset`` as training does."""
    parameters = {
        "C_m": float(types.c_m_pf[index]),
        "g": float(types.g_ns[index]),
        "E_L": float(types.e_l_mv[index]),
        "V_th": float(types.v_th_mv[index]),
        "V_reset": float(types.v_reset_mv[index]),
        "V_m": float(types.v_reset_mv[index]),
        "t_ref": float(types.t_ref_ms[index]),
        "asc_decay": types.k_per_ms[index].tolist(),
        "asc_amps": types.asc_amp_pa[index].tolist(),
        "tau_syn": types.tau_syn_ms[index].tolist(),
    }
    if dynamics == "glif_psc":
        return parameters | _GLIF3_OF_GLIF_PSC
    return parameters | {"step_constants": step_constants(types)[index].tolist()}


#: What makes NEST's family of models the GLIF3 one. After a spike, training adds the
#: amplitude to what is left of the after-spike current: asc_r = 1.
_GLIF3_OF_GLIF_PSC = {
    "asc_init": [0.0, 0.0],
    "asc_r": [1.0, 1.0],
    "after_spike_currents": True,
    "spike_dependent_threshold": False,
    "adapting_threshold": False,
}


def glif3_creations(
    plan: PopulationPlan, types: CellTypeTable, dynamics: Dynamics
) -> Iterator[Creation]:
    """What to create for one population: one entry a cell type."""
    for index, count in zip(plan.type_index, plan.type_count, strict=True):
        yield glif3_parameters(types, int(index), dynamics), int(count)


def create_population(
    label: str, model: str, creations: list[Creation], receptors: tuple[str, ...] = ()
) -> Any:
    """A PyNN population of ``model``, created in one NEST call per entry of ``creations``.

    ``receptors`` are their names, by which other populations can be projected to it.

    Returns
    -------
    pyNN.nest.Population
        Usable as any of PyNN's; ``get`` and ``set`` take NEST's parameter names and units.
    """
    size = sum(count for _, count in creations)
    cell = _cell_class(model, creations[0][0], receptors)
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


def _population_class() -> Any:
    """A PyNN population whose cells NEST makes type by type, not from one dict a cell."""
    nest, pynn = backend()
    from pyNN.nest import simulator

    class _CellId(simulator.ID):  # type: ignore[misc]
        """A PyNN ID that asks for its node collection when it is needed."""

        @property
        def node_collection(self) -> Any:
            return nest.NodeCollection([int(self)])

    class _Population(pynn.Population):  # type: ignore[misc, name-defined]
        def __init__(self, size: int, cell: Any, creations: list[Creation], label: str) -> None:
            self._creations = creations
            super().__init__(size, cell, label=label)

        def _create_cells(self) -> None:
            model = self.celltype.nest_model
            self.node_collection = sum(
                (nest.Create(model, n, params=p) for p, n in self._creations[1:]),
                start=nest.Create(model, self._creations[0][1], params=self._creations[0][0]),
            )
            del self._creations
            # Asking NEST for each node's id and place takes seconds at full size; nodes that
            # are created one after the other have consecutive ids, all of them here.
            first = int(self.node_collection[0].global_id)
            self.node_id = np.arange(first, first + self.size, dtype=np.int64)
            self._mask_local = host_of(self.node_id) == nest.Rank()
            self.all_cells = np.array([_CellId(i) for i in self.node_id.tolist()], dtype=object)
            for cell in self.all_cells:
                cell.parent = self

    return _Population
