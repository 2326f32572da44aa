"""A PyNN connector and projection that hand NEST whole arrays.

PyNN's FromListConnector calls nest.Connect once a target cell (11-38 thousand
synapses a second), turns a NaN weight into the default and rounds delays. Here a
projection's synapses go to NEST in blocks of two million, in the plan's own order and
units. Where the plan has it so, v1sim's NEST module puts them into NEST's connectors itself, as
synapses that hold the normalised weight. Each projection has its own copy of its synapse model, by
which its synapses are found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.config import Dynamics
from v1sim.simulation.cells import PER_SYNAPSE
from v1sim.simulation.group import ALONE, Group, host_of
from v1sim.simulation.kernel import backend
from v1sim.simulation.native.library import NORMALISED_SYNAPSES, native_module
from v1sim.simulation.plan import ProjectionPlan, Synapses

__all__ = ["connect_projection", "fill_neurons", "hosted_blocks"]

_I64 = NDArray[np.int64]
_Progress = Callable[[int], None]


def connect_projection(
    plan: ProjectionPlan,
    pre: Any,
    post: Any,
    pre_node: _I64,
    post_node: _I64,
    dynamics: Dynamics,
    on_block: _Progress = lambda n: None,
    group: Group = ALONE,
) -> Any:
    """Connect ``pre`` to ``post`` by the synapses of ``plan``.

    Parameters
    ----------
    plan : ProjectionPlan
        Its synapses index neurons of the network file.
    pre, post : pyNN Population or Assembly
        The two sides.
    pre_node, post_node : int array
        NEST node id of each of the file's indices on either side.
    dynamics : Dynamics
        Of the targets: says which normalised synapses there are.
    on_block : callable, optional
        Told the number of synapses after each block.
    group : Group, optional
        The processes that build together; the first one has the plan's synapses.

    Returns
    -------
    pyNN.nest.Projection
        ``len``, ``get``, ``set`` and ``save`` work as PyNN's do (weights in nA).
    """
    nest, pynn = backend()
    from pyNN.connectors import Connector

    model = f"{plan.label}_synapse"
    normalised = plan.held_as == "normalised_synapses"
    nest.CopyModel(NORMALISED_SYNAPSES[dynamics] if normalised else "static_synapse", model)
    connect_blocks = _fill_blocks if normalised else _connect_blocks

    class _WholeArrayConnector(Connector):  # type: ignore[misc]
        parameter_names = ()  # for PyNN's description

        def connect(self, projection: Any) -> None:
            connect_blocks(plan, model, pre_node, post_node, on_block, group)

    class _Synapse(pynn.StaticSynapse):  # type: ignore[misc, name-defined]
        def _get_nest_synapse_model(self) -> str:
            return model

    class _Projection(pynn.Projection):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return int(nest.GetDefaults(model)["num_connections"])

        @property
        def nest_connections(self) -> Any:
            """By source, target and delay: NEST's own order changes with threads and time."""
            found = nest.GetConnections(synapse_model=model)
            if len(found) < 2:
                return found
            held = found.get(["source", "target", "delay"])
            order = np.lexsort((held["delay"], held["target"], held["source"]))
            return nest.SynapseCollection([found._datum[i] for i in order.tolist()])

        def _set_attributes(self, parameter_space: Any) -> None:
            """Set all connections in one call; PyNN's goes by target cells and by labels."""
            connections = self.nest_connections
            parameter_space.evaluate(simplify=True)
            for name, value in parameter_space.items():
                values = value
                if isinstance(value, np.ndarray):  # by index on either side
                    pre_index = self.pre.id_to_index(list(connections.sources()))
                    post_index = self.post.id_to_index(list(connections.targets()))
                    values = value[pre_index, post_index].tolist()
                connections.set({name: values})

    return _Projection(
        pre,
        post,
        _WholeArrayConnector(),
        synapse_type=_Synapse(),
        receptor_type=PER_SYNAPSE,
        label=plan.label,
    )


def hosted_blocks(
    plan: ProjectionPlan, post_node: _I64, group: Group, on_block: _Progress = lambda n: None
) -> Iterator[Synapses]:
    """The synapses onto neurons that this process hosts, block by block, from the first process.

    ``on_block`` is told the number of synapses of each block, of all processes, when it is done.
    """
    return group.scatter(_hands(plan, post_node, group.size, on_block))


def _hands(
    plan: ProjectionPlan, post_node: _I64, n_processes: int, on_block: _Progress
) -> Iterator[list[Synapses]]:
    """Each block, parted by the process that hosts the target."""
    for block in plan.blocks():
        if n_processes == 1:
            yield [block]
        else:
            host = host_of(post_node[block.post]).astype(np.uint16)
            by_host = np.argsort(host, kind="stable")
            stops = np.cumsum(np.bincount(host, minlength=n_processes))
            yield [block.take(part) for part in np.split(by_host, stops[:-1])]
        on_block(len(block))


def _connect_blocks(
    plan: ProjectionPlan,
    model: str,
    pre_node: _I64,
    post_node: _I64,
    on_block: _Progress,
    group: Group,
) -> None:
    nest, _ = backend()
    for block in hosted_blocks(plan, post_node, group, on_block):
        nest.Connect(
            pre_node[block.pre],
            post_node[block.post],
            "one_to_one",
            {
                "synapse_model": model,
                "weight": block.weight_pa,
                "delay": block.delay_ms.astype(np.float64),
                "receptor_type": block.receptor + np.int64(1),
            },
        )


def _fill_blocks(
    plan: ProjectionPlan,
    model: str,
    pre_node: _I64,
    post_node: _I64,
    on_block: _Progress,
    group: Group,
) -> None:
    with native_module().filling(model) as filling:
        for block in hosted_blocks(plan, post_node, group):
            filling.count(pre_node[block.pre], post_node[block.post], block, plan.dt_ms)
        for block in hosted_blocks(plan, post_node, group, on_block):
            filling.write(pre_node[block.pre], post_node[block.post], block, plan.dt_ms)


def fill_neurons(
    plan: ProjectionPlan,
    n_receptors: int,
    post_node: _I64,
    on_block: _Progress,
    group: Group,
) -> None:
    """Give each neuron the weights of ``plan`` onto it: a plan that is held in the neurons."""
    weight = np.zeros((len(post_node), n_receptors), dtype=np.float32)
    for block in hosted_blocks(plan, post_node, group, on_block):
        weight[block.post, block.receptor] = block.weight
    native_module().set_background_weights(post_node, weight)
