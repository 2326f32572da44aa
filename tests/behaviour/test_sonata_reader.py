"""Networks read from SONATA files have BMTK's spikes on bare NEST, each one."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tests.network_on_nest import sonata_spikes, spikes_on_bare_nest
from v1sim.sources import open_network
from v1sim.sources.sonata.config import read_config

#: Network, its configuration, BMTK's spikes, step and duration in ms.
CASES = [
    ("mini_v1", "simulation_config.json", "bmtk_spikes.h5", 0.25, 500.0, 1200),
    ("300_pointneurons", "config.json", "bmtk_spikes.h5", 0.1, 1500.0, 18777),
    ("point_450glifs", "config.simulation.json", "bmtk_spikes.h5", 0.1, 1000.0, 19263),
    ("point_450glifs", "config.simulation.json", "bmtk_spikes_dt1.h5", 1.0, 1000.0, 17186),
]


def given_spikes(config):
    """Times and cells of each source population, of files in the new or the old layout."""
    found = {}
    for given in config.inputs:
        (path,) = given.input_file
        population = config.node_set(given.node_set)["population"]
        with h5py.File(path) as file:
            group = file["spikes"]
            group = group.get(population, group)
            cells = group["node_ids" if "node_ids" in group else "gids"][:]
            found[population] = group["timestamps"][:], cells
    return found


@pytest.mark.parametrize(("name", "config", "spikes", "dt_ms", "duration_ms", "n"), CASES)
def test_bmtk_spikes(shared_data, name, config, spikes, dt_ms, duration_ms, n):
    folder = shared_data / "sonata" / name
    network = open_network(folder / config)
    found = spikes_on_bare_nest(
        network,
        given_spikes(read_config(folder / config)),
        dt_ms=dt_ms,
        duration_ms=duration_ms,
    )
    expected = sonata_spikes(folder / spikes, network)
    assert len(expected) == n
    np.testing.assert_array_equal(np.round(found[:, 0] / dt_ms), np.round(expected[:, 0] / dt_ms))
    np.testing.assert_array_equal(found[:, 1], expected[:, 1])


@pytest.mark.parametrize("trap", ["group_index", "weight_function"])
def test_traps_are_read_as_they_are_written(shared_data, trap):
    """What BMTK builds otherwise is the same network as that without the trap."""
    plain = open_network(shared_data / "sonata" / "mini_v1" / "simulation_config.json")
    read = open_network(shared_data / "sonata" / "mini_v1_traps" / trap / "simulation_config.json")
    assert read.projections.keys() == plain.projections.keys()
    for name, projection in plain.projections.items():
        for column, values in projection.synapses.columns.items():
            other = read.projections[name].synapses.columns[column]
            np.testing.assert_array_equal(values, other, err_msg=f"{name}.{column}")
    name = {"group_index": "sonata.edge_group_index"}.get(trap, "sonata.weight_function_groups")
    assert [remark.check for remark in read.remarks] == [name]
    assert not plain.remarks
