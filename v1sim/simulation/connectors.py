"""A PyNN connector and projection that hand NEST whole arrays.

PyNN's FromListConnector calls nest.Connect once a target cell (11-38 thousand
synapses a second), turns a NaN weight into the default and rounds delays. Here a
projection's synapses go to NEST in blocks of two million, in the plan's own order and
units. Each projection has its own copy of ``static_synapse``, by which its
synapses are found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.simulation.cells import PER_SYNAPSE
from v1sim.simulation.kernel import backend
from v1sim.simulation.plan import ProjectionPlan, Synapses
from v1sim.simulation.ranks import hosted_here, launch

__all__ = ["connect_projection"]

_I64 = NDArray[np.int64]
_Progress = Callable[[int], None]


def connect_projection(
    plan: ProjectionPlan,
    pre: Any,
    post: Any,
    pre_node: _I64,
    post_node: _I64,
    on_block: _Progress = lambda n: None,
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
    on_block : callable, optional
        Told the number of synapses after each block.

    Returns
    -------
    pyNN.nest.Projection
        ``len``, ``get``, ``set`` and ``save`` work as PyNN's do (weights in nA).
    """
    nest, pynn = backend()
    from pyNN.connectors import Connector

    model = f"{plan.label}_synapse"
    nest.CopyModel("static_synapse", model)

    class _WholeArrayConnector(Connector):  # type: ignore[misc]
        def connect(self, projection: Any) -> None:
            _connect_blocks(plan.blocks(), model, pre_node, post_node, on_block)

    class _Synapse(pynn.StaticSynapse):  # type: ignore[misc, name-defined]
        def _get_nest_synapse_model(self) -> str:
            return model

    class _Projection(pynn.Projection):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return int(nest.GetDefaults(model)["num_connections"])

        @property
        def nest_connections(self) -> Any:
            return nest.GetConnections(synapse_model=model)

    return _Projection(
        pre,
        post,
        _WholeArrayConnector(),
        synapse_type=_Synapse(),
        receptor_type=PER_SYNAPSE,
        label=plan.label,
    )


def _connect_blocks(
    blocks: Iterable[Synapses],
    model: str,
    pre_node: _I64,
    post_node: _I64,
    on_block: _Progress,
) -> None:
    nest, _ = backend()
    alone = launch().size == 1
    for block in blocks:
        post = post_node[block.post]
        here = slice(None) if alone else np.flatnonzero(hosted_here(post))
        nest.Connect(
            pre_node[block.pre[here]],
            post[here],
            "one_to_one",
            {
                "synapse_model": model,
                "weight": block.weight_pa[here],
                "delay": block.delay_ms[here].astype(np.float64),
                "receptor_type": block.receptor[here] + np.int64(1),
            },
        )
        on_block(len(block.weight_pa))
