"""A network with weights in pA and given spikes, in bare NEST, as BMTK PointNet builds it.

Nothing here is v1sim's but the arrays: generators are devices with precise times, delays and
stamps are rounded by NEST itself, all begins at time 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.cell_models import BY_HAND, MODELS, model_of, nest_parameters_by_hand
from v1sim.model import NetworkModel
from v1sim.simulation.kernel import backend


def bmtk_like_spikes(
    network: NetworkModel,
    sent: Mapping[str, tuple[np.ndarray, np.ndarray]],
    duration_ms: float,
    dt_ms: float,
) -> list[tuple[int, int]]:
    """(NEST's stamp in steps, neuron) of every spike of a network of all models.

    ``sent`` has cell and time in ms of each spike by source population.
    """
    nest, _ = backend()
    nest.ResetKernel()
    nest.resolution = dt_ms
    model = [MODELS[m] for m in model_of(network)]
    nodes = np.array(
        [nest.Create(name, params=nest_parameters_by_hand(name)).global_id for name in model]
    )
    pre_nodes: dict[str | None, np.ndarray] = {None: nodes}
    for name, (cell, time_ms) in sent.items():
        size = network.source_populations[name].size
        generators = nest.Create("spike_generator", size, params={"precise_times": True})
        for i in range(size):
            generators[i].set(spike_times=np.sort(time_ms[cell == i]))
        pre_nodes[name] = np.array(generators.tolist())
    has_ports = np.array([BY_HAND[name].has_ports for name in model])
    for projection in network.projections.values():
        table = projection.synapses
        assert table.unit == "pA"
        nest.Connect(
            pre_nodes[projection.source][table.pre],
            nodes[table.post],
            "one_to_one",
            {
                "synapse_model": "static_synapse",
                "weight": table.weight,
                "delay": table.delay_ms,
                "receptor_type": np.where(has_ports[table.post], table.receptor.astype(int) + 1, 0),
            },
        )
    recorder = nest.Create("spike_recorder")
    nest.Connect(nest.NodeCollection(nodes), recorder)
    nest.Simulate(duration_ms)
    events = recorder.events
    index = {int(node): i for i, node in enumerate(nodes)}
    stamps = np.rint(np.asarray(events["times"]) / dt_ms).astype(int)
    return sorted((int(s), index[int(n)]) for s, n in zip(stamps, events["senders"], strict=True))
