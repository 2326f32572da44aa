"""The judge of DPointNet's dynamics (`python -m tests.dpointnet`), on few spikes a circuit."""

from __future__ import annotations

import pytest

from tests.dpointnet.__main__ import BASE, CIRCUITS, compare, n_trials_for, train

N_SPIKES = 600


@pytest.mark.slow
@pytest.mark.parametrize("name", CIRCUITS)
def test_every_spike_and_every_bit_is_tensorflows(name, tmp_path):
    pytest.importorskip("bmtk.builder")
    pytest.importorskip("tensorflow")
    circuit = {**BASE, **CIRCUITS[name]}
    train(circuit, n_trials_for(N_SPIKES, circuit), tmp_path / "circuit")
    row = compare(name, tmp_path / "circuit", threads=2)
    assert row.spikes > N_SPIKES / 4
    assert row.float32 == 0
    # Several spikes in a step, and what is left over from TensorFlow's vectors: docs/dynamics.md.
    in_bits = name not in ("drawn input", "background inside, hard", "small, hard")
    assert row.bits == row.values if in_bits else row.bits > 0.9 * row.values
    assert row.proven, row
