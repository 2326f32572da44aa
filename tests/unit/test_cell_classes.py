from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import tiny_network
from v1sim.cell_classes import cell_classes, layer_of_depth


def nameless(network, position_um):
    types = replace(network.cell_types, name=None, cell_class=None)
    return replace(
        network, cell_types=types, neurons=replace(network.neurons, position_um=position_um)
    )


def test_classes_of_the_file():
    network = tiny_network()
    classes = cell_classes(network)
    assert not classes.inferred
    assert classes.names == ("e23", "i23Pvalb", "e4", "i4Sst", "e5IT")
    assert classes.is_excitatory.tolist() == [True, False, True, False, True]
    named = [network.cell_types.cell_class[t] for t in network.neurons.cell_type]
    assert [classes.names[i] for i in classes.of_neuron] == named


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_classes_inferred_from_receptors_and_depth(sign):
    network = tiny_network()
    depth = np.array([200.0, 200.0, 350.0, 350.0, 500.0])[network.neurons.cell_type]
    position = np.stack([0 * depth, sign * depth, 0 * depth], axis=1)
    classes = cell_classes(nameless(network, position))
    assert classes.inferred
    assert classes.names == ("e23", "i23", "e4", "i4", "e5")
    excitatory = np.isin(network.neurons.cell_type, [0, 2, 4])
    np.testing.assert_array_equal(classes.is_excitatory[classes.of_neuron], excitatory)


def test_classes_without_positions_are_excitatory_and_inhibitory():
    classes = cell_classes(nameless(tiny_network(), None))
    assert classes.names == ("e", "i")


def test_ids_partition_the_neurons():
    classes = cell_classes(tiny_network())
    ids = np.concatenate([classes.ids(name) for name in classes.names])
    np.testing.assert_array_equal(np.sort(ids), np.arange(60))


def test_the_top_of_a_layer_belongs_to_it():
    layers = layer_of_depth(np.array([0.0, 99.9, 100.0, 309.9, 310.0, 430.0, 640.0, 9999.0]))
    assert layers.tolist() == [0, 0, 1, 1, 2, 3, 4, 4]
