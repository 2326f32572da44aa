"""The checkpoint's index without TensorFlow, held against TensorFlow's own reading."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.checkpoints import save_trained, tensorflow
from tests.networks import tiny_network
from v1sim.checkpoints.bundle import (
    checkpoint_prefix,
    read_index,
    read_tensor,
    require_shards,
)
from v1sim.checkpoints.checksums import array_crc32c, bytes_crc32c, mask, solve_word, unmask
from v1sim.errors import CheckpointError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    tensorflow()
    return save_trained(tmp_path_factory.mktemp("made") / "ckpt-7", tiny_network(zeros=0.2))


def test_crc32c_known_value():
    assert bytes_crc32c(b"123456789") == 0xE3069283  # RFC 3720, B.4 has the polynomial


def test_array_crc_is_that_of_its_little_endian_bytes():
    values = np.arange(3_000_000, dtype=">f4")  # several chunks
    assert array_crc32c(values) == bytes_crc32c(values.astype("<f4").tobytes())
    assert array_crc32c(values[::2]) == bytes_crc32c(values[::2].astype("<f4").tobytes())
    assert array_crc32c(np.float32(1.5)) == bytes_crc32c(struct.pack("<f", 1.5))


@given(st.integers(0, 2**32 - 1))
def test_mask_is_undone(crc):
    assert unmask(mask(crc)) == crc


@given(word=st.integers(0, 2**32 - 1), padding=st.integers(0, 4), copies=st.integers(1, 30))
def test_a_word_follows_from_its_checksum(word, padding, copies):
    def crc_of(value: int) -> int:
        return bytes_crc32c((struct.pack("<I", value) + bytes(padding)) * copies)

    found = solve_word(crc_of(word), crc_of)
    # Copies can cancel each other out; then no word is better than a wrong one.
    assert found in (word, None)
    if copies == 1:
        assert found == word


def test_entries_equal_those_of_tensorflow(checkpoint):
    reader = tensorflow().train.load_checkpoint(str(checkpoint))
    dtypes = reader.get_variable_to_dtype_map()
    index = read_index(checkpoint)
    assert set(index.entries) == set(dtypes)
    for key, shape in reader.get_variable_to_shape_map().items():
        entry = index.entries[key]
        assert list(entry.shape) == shape
        assert entry.dtype == dtypes[key].name
        if entry.dtype != "string":
            assert np.array_equal(read_tensor(index, key), reader.get_tensor(key))


def test_bytes_may_come_in_blocks(checkpoint):
    entries = read_index(checkpoint).entries
    entry = next(e for e in entries.values() if e.name.endswith("recurrent_indices"))
    values = read_tensor(read_index(checkpoint), entry.key)
    blocks = [values[i : i + 1000] for i in range(0, len(values), 1000)]
    assert entry.holds_blocks(blocks)
    assert not entry.holds_blocks(blocks[:-1])
    assert not entry.holds_blocks([*blocks, values[:1]])
    assert not entry.holds_blocks([blocks[-1], *blocks[1:-1], blocks[0]])


def test_shards_of_tensorflow(tmp_path):
    """Tensors are found in the right one of several shards."""
    from tests.checkpoints import save

    variables = {f"v{i}": np.full(10 + i, i, dtype=np.float64) for i in range(7)}
    index = read_index(save(tmp_path / "many", variables, n_shards=3))
    assert index.n_shards == 3
    for name, values in variables.items():
        key = f"{name}/.ATTRIBUTES/VARIABLE_VALUE"
        assert np.array_equal(read_tensor(index, key), values)


def test_the_real_index_is_read(shared_data):
    index = read_index(shared_data / "third_party/ckpt_51978-153.index")
    assert len(index.entries) == 31
    entry = next(e for e in index.entries.values() if e.name.endswith("recurrent_indices"))
    assert entry.shape == (14_441_124, 2)
    assert not index.has_data
    with pytest.raises(CheckpointError, match="data-00000-of-00001 is missing"):
        require_shards(index)


def test_every_cut_and_every_flipped_byte_is_noticed(checkpoint, tmp_path):
    content = checkpoint.with_name("ckpt-7.index").read_bytes()
    file = tmp_path / "ckpt-7.index"
    entries = read_index(checkpoint).entries
    for cut in range(0, len(content), 37):
        file.write_bytes(content[:cut])
        with pytest.raises(CheckpointError):
            read_index(file)
    for at in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[at] ^= 0x41
        file.write_bytes(damaged)
        try:
            assert read_index(file).entries == entries  # padding and the unused meta index
        except CheckpointError:
            continue


@given(st.binary(max_size=300))
def test_any_bytes_are_an_error_or_an_index(data):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.index"
        file.write_bytes(data + struct.pack("<Q", 0xDB4775248B80FB57))
        with pytest.raises(CheckpointError):
            read_index(file)


def test_checkpoint_file_of_a_folder_is_no_checkpoint(checkpoint, tmp_path):
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-7"\n')
    with pytest.raises(CheckpointError, match="names the latest checkpoint"):
        checkpoint_prefix(tmp_path / "checkpoint")


def test_prefix_with_dots(tmp_path):
    from tests.checkpoints import save

    prefix = save(tmp_path / "ckpt.v2.0-5", {"x": np.float32(1)})
    for path in (prefix, prefix.with_name("ckpt.v2.0-5.index")):
        assert checkpoint_prefix(path) == prefix


@pytest.mark.parametrize("axis", [0, 1])
def test_slices_are_read_and_proven(tmp_path, axis):
    """Partitioned tensors, as TensorFlow's own writer saves them."""
    tf = tensorflow()
    rng = np.random.default_rng(0)
    whole = rng.integers(-9, 9, (300, 4))
    cuts = np.split(whole, [100, 129] if axis == 0 else [1], axis=axis)
    specs, start = [], 0
    for cut in cuts:
        n = cut.shape[axis]
        extents = [f"{start},{n}", "0,4"] if axis == 0 else ["0,300", f"{start},{n}"]
        specs.append(f"300 4 {':'.join(extents)}")
        start += n
    parts = []
    for i, (cut, spec) in enumerate(zip(cuts, specs, strict=True)):
        part = str(tmp_path / f"part{i}")
        tf.raw_ops.SaveV2(
            prefix=part, tensor_names=["x"], shape_and_slices=[spec], tensors=[tf.constant(cut)]
        )
        parts.append(part)
    prefix = tmp_path / "ck"
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=str(prefix))
    index = read_index(prefix)
    entry = index.entries["x"]
    assert (entry.sliced, entry.shape, len(entry.pieces)) == (True, (300, 4), len(cuts))
    assert np.array_equal(read_tensor(index, "x"), whole)
    assert entry.holds(whole)
    assert entry.holds_blocks([whole[:7], whole[7:]])
    other = whole.copy()
    other[200, 3] += 1
    assert not entry.holds(other)
    assert (entry.crc32c is None) is (axis == 1)
    shard = index.shard_path(entry.pieces[-1].shard)
    content = bytearray(shard.read_bytes())
    content[entry.pieces[-1].offset] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CheckpointError, match="the data of x are damaged"):
        read_tensor(index, "x")
