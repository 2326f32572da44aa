"""Spikes of a network on bare NEST: what a reader says it is, built by hand.

Nothing here is v1sim's but the tables of the network: cells by NEST's names, one call of
``Connect`` a projection, spikes of source populations from generators.
"""

from __future__ import annotations

from collections.abc import Mapping

import h5py
import numpy as np

from v1sim.model import NetworkModel


def spikes_on_bare_nest(
    network: NetworkModel,
    spikes: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    dt_ms: float,
    duration_ms: float,
) -> np.ndarray:
    """NEST's stamp and neuron of each spike, sorted, shape (q, 2).

    ``spikes`` has the times and cells (indices) of the source populations.
    """
    import nest

    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.resolution = dt_ms
    types = network.cell_types
    ids = np.zeros(network.n_neurons, dtype=np.int64)
    for i in range(len(types)):
        members = np.flatnonzero(network.neurons.cell_type == i)
        parameters = {}
        for p in types.model_of(i).parameters:
            value = types.value(p, i)
            if value is None:
                continue
            if isinstance(p.nest, tuple):
                parameters |= dict(zip(p.nest, value, strict=True))
            else:
                parameters[p.nest] = bool(value) if p.is_switch else value
        ids[members] = nest.Create(types.model[i], len(members), parameters).tolist()
    sources = {}
    for name, population in network.source_populations.items():
        generators = nest.Create("spike_generator", population.size, {"precise_times": True})
        sources[name] = np.array(generators.tolist())
        times, cells = spikes.get(name, (np.empty(0), np.empty(0, dtype=int)))
        for cell in np.unique(cells):
            generators[int(cell)].spike_times = np.sort(times[cells == cell])
    for projection in network.projections.values():
        table = projection.synapses
        if not len(table):
            continue
        pre = (ids if projection.source is None else sources[projection.source])[table.pre]
        by_port = np.array([m.has_ports for m in map(types.model_of, range(len(types)))])
        has_ports = by_port[network.neurons.cell_type[table.post]]
        nest.Connect(
            pre,
            ids[table.post],
            "one_to_one",
            {
                "synapse_model": "static_synapse",
                "weight": table.weight.astype(float),
                "delay": table.delay_ms,
                "receptor_type": np.where(has_ports, table.receptor.astype(int) + 1, 0),
            },
        )
    recorder = nest.Create("spike_recorder")
    nest.Connect(nest.NodeCollection(sorted(ids.tolist())), recorder)
    nest.Simulate(duration_ms)
    events = recorder.events
    neuron = np.empty(int(ids.max()) + 1, dtype=np.int64)
    neuron[ids] = np.arange(len(ids))
    return _sorted(np.round(events["times"] / dt_ms) * dt_ms, neuron[events["senders"]])


def sonata_spikes(path, network: NetworkModel) -> np.ndarray:
    """Spikes of a SONATA file as stamp and neuron, sorted, shape (q, 2)."""
    times, neurons = [], []
    with h5py.File(path) as file:
        start = 0
        for population in network.populations:
            group = file["spikes"].get(population.name)
            if group is not None:
                order = np.argsort(population.node_id)
                place = np.searchsorted(population.node_id, group["node_ids"][:], sorter=order)
                neurons.append(order[place] + start)
                times.append(group["timestamps"][:])
            start += len(population)
    return _sorted(np.concatenate(times), np.concatenate(neurons))


def _sorted(times: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    table = np.stack([times, neurons], axis=1)
    return table[np.lexsort(table.T[::-1])]
