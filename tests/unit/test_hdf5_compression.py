"""Datasets compressed by v1sim, read by h5py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from v1sim.sources.hdf5 import compression
from v1sim.sources.hdf5.compression import write_compressed

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Stored:
    values: np.ndarray
    options: tuple[str | None, bool]
    chunks: tuple[int, ...] | None
    n_bytes: int


def written(values: np.ndarray, dtype: object = None) -> Stored:
    """What h5py reads from a file, as HDF5's own filters unpack it."""
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        write_compressed(file, "group/name", values, dtype)
        data = file["group/name"]
        options = data.compression, data.shuffle
        return Stored(data[()], options, data.chunks, data.id.get_storage_size())


@pytest.mark.parametrize(
    "values",
    [
        RNG.integers(0, 50_000, 200_001).astype(np.int32),
        np.sort(RNG.integers(0, 50_000, 131_072)).astype(np.int32),
        RNG.standard_normal(100_000).astype(np.float32),
        np.array([0.0, -0.0, np.nan, np.inf, 1e-42], np.float32),
        np.ones(1, np.uint8),
        RNG.random((70_001, 4)).astype(np.float32),
        RNG.random((3, 4)),
        np.arange(300_000)[::-2],
        np.zeros(0, np.float32),
        np.zeros((0, 4), np.float32),
    ],
    ids=lambda values: f"{values.dtype}{values.shape}",
)
def test_h5py_reads_every_bit(values):
    stored = written(values)
    assert stored.values.dtype == values.dtype
    assert stored.values.shape == values.shape
    assert stored.values.tobytes() == values.tobytes()
    assert not values.size or stored.options == ("gzip", True)


@given(
    values=hnp.arrays(
        st.sampled_from([np.uint8, np.int32, np.float32, np.float64]), st.integers(1, 300)
    )
)
def test_whatever_the_length_of_the_last_chunk(values):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compression, "_CHUNK_BYTES", 64)
        stored = written(values)
    assert stored.values.tobytes() == values.tobytes()
    assert stored.chunks[0] <= 64


def test_another_type_in_the_file():
    receptor = RNG.integers(0, 4, 100_000).astype(np.uint8)
    held = written(receptor, np.int32).values
    assert held.dtype == np.int32
    np.testing.assert_array_equal(held, receptor)


def test_it_is_no_larger_than_what_hdf5_makes(tmp_path: Path):
    weight = RNG.lognormal(-2, 0.6, 300_000).astype(np.float32)
    weight[RNG.random(len(weight)) < 0.2] = 0
    for values in (weight, np.repeat(np.arange(1000, dtype=np.int32), 300)):
        with h5py.File(tmp_path / "by_hdf5.h5", "w") as file:
            dataset = file.create_dataset("x", data=values, compression=1, shuffle=True)
            size = dataset.id.get_storage_size()
        assert written(values).n_bytes <= 1.05 * size
