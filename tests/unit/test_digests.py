from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.networks import sealed, tiny_network, with_parts
from v1sim.digests import array_sha256, file_sha256, synapse_digest
from v1sim.model import SynapseTable, TrainingDynamics
from v1sim.sources.provenance import network_sha256, verify


def columns(seed: int, n: int = 200):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 1000, n, dtype=np.int32),
        rng.integers(0, 1000, n, dtype=np.int32),
        rng.integers(0, 4, n, dtype=np.uint8),
        rng.integers(1, 5, n, dtype=np.int64),
        rng.normal(size=n),
    )


@given(st.integers(0, 2**32 - 1))
def test_order_does_not_matter(seed):
    table = columns(seed)
    order = np.random.default_rng(seed + 1).permutation(len(table[0]))
    assert synapse_digest(*table) == synapse_digest(*(c[order] for c in table))


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 199))
def test_any_changed_value_matters(seed, column, row):
    table = list(columns(seed))
    before = synapse_digest(*table)
    changed = table[column].copy()
    changed[row] = np.nextafter(changed[row], np.inf) if column == 4 else changed[row] + 1
    table[column] = changed
    assert synapse_digest(*table) != before


def test_exchanged_weights_doubles_and_losses_matter():
    pre, post, receptor, delay, weight = columns(3)
    before = synapse_digest(pre, post, receptor, delay, weight)
    swapped = weight.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    assert synapse_digest(pre, post, receptor, delay, swapped) != before
    twice = [np.concatenate([c, c[:2], c[:2]]) for c in (pre, post, receptor, delay, weight)]
    once = [np.concatenate([c, c[:2]]) for c in (pre, post, receptor, delay, weight)]
    assert synapse_digest(*twice).sums != synapse_digest(*once).sums != before.sums
    assert synapse_digest(*(c[1:] for c in (pre, post, receptor, delay, weight))) != before


def test_blocks_add_up_to_the_whole():
    table = columns(5, 150_000)  # more than one block
    parts = [synapse_digest(*(c[part] for c in table)) for part in (slice(0, 7), slice(7, None))]
    assert parts[0] + parts[1] == synapse_digest(*table)


def test_minus_zero_counts_as_zero():
    one = np.ones(1, dtype=np.int64)
    plus, minus = (synapse_digest(one, one, one, one, np.array([z])) for z in (0.0, -0.0))
    assert plus == minus


def test_array_digest_knows_dtype_and_shape_but_not_byte_order():
    values = np.arange(6, dtype=np.float32)
    assert array_sha256(values) == array_sha256(values.astype(">f4"))
    assert array_sha256(values) != array_sha256(values.astype(np.float64))
    assert array_sha256(values) != array_sha256(values.reshape(2, 3))
    expected = hashlib.sha256(b"<f4(6,)" + values.tobytes()).hexdigest()
    assert array_sha256(values) == expected


def test_file_digest_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"v1sim" * 1000)
    assert file_sha256(path) == hashlib.sha256(b"v1sim" * 1000).hexdigest()


def test_network_digest_is_of_every_value_and_its_place():
    network = tiny_network()
    before = network_sha256(network)
    rec = network.tables["recurrent"]
    order = np.random.default_rng(0).permutation(len(rec))
    names = ("pre", "post", "receptor", "delay_ms", "weight")
    permuted = SynapseTable(**{name: getattr(rec, name)[order] for name in names})
    assert network_sha256(with_parts(network, recurrent=permuted)) != before
    assert network_sha256(replace(network, source=replace(network.source, path="x"))) == before
    weight = rec.weight.copy()
    weight[5] = np.nextafter(weight[5], np.float32(np.inf))
    changed = replace(rec, weight=weight)
    assert network_sha256(with_parts(network, recurrent=changed)) != before


@pytest.mark.parametrize("field", ["c_m_pf", "asc_amp_pa", "tau_syn_ms"])
def test_network_digest_notices_a_parameter(field):
    network = tiny_network()
    values = getattr(network.cell_types, field).copy()
    values.flat[0] += 1e-9
    types = network.cell_types.with_columns(**{field: values})
    assert network_sha256(replace(network, cell_types=types)) != network_sha256(network)


@pytest.mark.parametrize(
    "dynamics",
    [TrainingDynamics(), TrainingDynamics("hard"), TrainingDynamics(trainer="dpointnet")],
    ids=lambda dynamics: "-".join(dynamics.text),
)
def test_network_digest_and_provenance_cover_the_dynamics(dynamics):
    network = sealed(tiny_network())
    other = replace(network, dynamics=dynamics)
    assert network_sha256(other) != network_sha256(network)
    mine = replace(dynamics, step_ms=0.5)
    assert network_sha256(replace(network, dynamics=mine)) != network_sha256(other)
    assert verify(other).uncovered == ("dynamics",)
    assert not verify(sealed(other))
    assert verify(replace(sealed(other), dynamics=mine)).changed == ("dynamics",)
