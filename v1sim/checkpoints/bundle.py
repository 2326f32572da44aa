"""TensorFlow's checkpoint files without TensorFlow: the index, and tensors that it places.

A checkpoint is ``PREFIX.index``, a LevelDB table of one entry a tensor (dtype, shape,
place, masked CRC32C of its bytes), and shards ``PREFIX.data-00000-of-00001`` with
the bytes. The index is a few kilobytes and proves what the bytes are. A large tensor may be
cut into slices, each with an entry and a checksum of its own.
Formats: LevelDB's ``doc/table_format.md``; TensorFlow's ``tensor_bundle.proto`` and, for the
keys of slices, ``saved_tensor_slice_util.cc`` and ``ordered_code.cc``.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.checkpoints import wire
from v1sim.checkpoints.checksums import (
    array_crc32c,
    bytes_crc32c,
    combined_crc32c,
    mask,
    repeated_crc32c,
    unmask,
)
from v1sim.checkpoints.keras_files import keras_advice, keras_kind
from v1sim.checkpoints.object_graph import ObjectGraph, graph_of_keys, parse_graph
from v1sim.checkpoints.stored import numpy_dtype, stored, widened
from v1sim.digests import file_sha256
from v1sim.errors import CheckpointError

__all__ = [
    "ATTRIBUTE",
    "OBJECT_GRAPH",
    "CheckpointIndex",
    "Piece",
    "TensorEntry",
    "checkpoint_prefix",
    "checkpoint_sha256",
    "damaged",
    "read_index",
    "read_tensor",
    "require_shards",
    "require_whole",
]

#: End of every variable's key, and key of the names of the tracked objects.
ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
#: Larger indices do not occur: the largest networks have some hundred variables.
_MAX_INDEX_BYTES = 1 << 26
#: TensorFlow's DataType numbers.
_DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string",
    9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 19: "float16", 22: "uint32",
    23: "uint64",
}  # fmt: skip
#: First byte of the keys of slices.
_SLICE_KEY = b"\x00"


@dataclass(frozen=True)
class Piece:
    """Bytes of a tensor that lie together in a shard: all of it, or a slice."""

    shard: int
    offset: int
    size: int
    #: Masked.
    crc32c: int
    start: tuple[int, ...]
    shape: tuple[int, ...]

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """The part of a whole tensor that this piece is."""
        ends = zip(self.start, self.shape, strict=True)
        return values[tuple(slice(start, start + n) for start, n in ends)]


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a checkpoint as its index describes it.

    Parameters
    ----------
    key : str
        Its key in the index.
    dtype : str
        TensorFlow's name of it.
    shape : tuple of int
        Of the whole tensor.
    pieces : tuple of Piece
        One, or its slices.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """The key without the part that all variables share."""
        return self.key.removesuffix(ATTRIBUTE)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return sum(piece.size for piece in self.pieces)

    @property
    def sliced(self) -> bool:
        """Whether it is cut into slices."""
        return len(self.pieces) > 1

    @cached_property
    def crc32c(self) -> int | None:
        """Masked CRC32C of all its bytes in C order; None of slices that cut across rows."""
        if not self.sliced:
            return self.pieces[0].crc32c
        crc, next_row = 0, 0
        for piece in sorted(self.pieces, key=lambda piece: piece.start):
            if piece.start[0] != next_row or piece.shape[1:] != self.shape[1:]:
                return None
            crc = combined_crc32c(crc, unmask(piece.crc32c), piece.size)
            next_row += piece.shape[0]
        return mask(crc)

    def holds(self, values: NDArray[np.generic]) -> bool:
        """Whether the tensor's bytes are those of ``values``, by size and checksum.

        ``values`` are of the entry's dtype, or bfloat16 as its 16 bits.
        """
        if self.crc32c is not None:
            return self.holds_blocks([values])
        if values.nbytes != self.size:
            return False
        whole = values.reshape(self.shape)
        return all(mask(array_crc32c(piece.of(whole))) == piece.crc32c for piece in self.pieces)

    def holds_blocks(self, blocks: Iterable[NDArray[np.generic]]) -> bool:
        """The same of values that come in blocks, one after the other."""
        if self.crc32c is None:
            parts = [values.reshape(-1) for values in blocks]
            return bool(parts) and self.holds(np.concatenate(parts))
        n_bytes = crc = 0
        for values in blocks:
            n_bytes += values.nbytes
            if n_bytes > self.size:
                return False
            crc = array_crc32c(values, crc)
        return n_bytes == self.size and mask(crc) == self.crc32c

    def is_full_of(self, row: NDArray[np.generic]) -> bool:
        """Whether the tensor is ``row`` over and over, told from checksums without its bytes."""
        raw = np.ascontiguousarray(row, dtype=row.dtype.newbyteorder("<")).tobytes()
        crc = bytes_crc32c(raw)
        return bool(raw) and all(
            piece.size % len(raw) == 0
            and mask(repeated_crc32c(crc, len(raw), piece.size // len(raw))) == piece.crc32c
            for piece in self.pieces
        )

    @property
    def is_zero(self) -> bool:
        """Whether all bytes are zero."""
        return self.is_full_of(np.zeros(1, np.uint8))

    def same_as(self, other: TensorEntry) -> bool:
        """Whether checksums show the same values in another entry."""
        return (
            (self.dtype, self.shape, self.size) == (other.dtype, other.shape, other.size)
            and self.crc32c is not None
            and self.crc32c == other.crc32c
        )


@dataclass(frozen=True)
class CheckpointIndex:
    """A checkpoint's index: its tensors by key, and where its shards belong."""

    path: Path
    n_shards: int
    entries: Mapping[str, TensorEntry]

    @cached_property
    def graph(self) -> ObjectGraph:
        """The objects that were saved, their children, variables and slots.

        From the data file; with the index alone, as far as the keys tell.
        """
        names = [key for key in self.entries if key != OBJECT_GRAPH]
        return _read_graph(self) or graph_of_keys(names)

    @property
    def prefix(self) -> Path:
        """The checkpoint as TensorFlow names it."""
        return self.path.with_name(self.path.name.removesuffix(".index"))

    def shard_path(self, shard: int) -> Path:
        """The file of one shard."""
        return _shard_path(self.prefix, shard, self.n_shards)

    @property
    def shards(self) -> tuple[Path, ...]:
        """The files of all shards, there or not."""
        return tuple(self.shard_path(i) for i in range(self.n_shards))

    @property
    def has_data(self) -> bool:
        """Whether every shard is there."""
        return all(path.is_file() for path in self.shards)


def _shard_path(prefix: Path, shard: int, n_shards: int) -> Path:
    return prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{n_shards:05d}")


# --- finding ---------------------------------------------------------------------------------


def checkpoint_prefix(path: Path) -> Path:
    """The prefix of the checkpoint that ``path`` means.

    A prefix, its index, one of its shards, or a SavedModel: its folder, or ``saved_model.pb``.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint; the message lists those in the folder.
    """
    shown = str(path)
    name = path.name
    for suffix in (r"\.index", r"\.data-\d{5}-of-\d{5}"):
        name = re.sub(f"{suffix}$", "", name)
    prefix = path.with_name(name) if name else path
    if name and prefix.with_name(f"{name}.index").is_file():
        return prefix
    inside = _saved_model(path)
    if inside is not None:
        return inside
    kind = keras_kind(path) if path.exists() else ""
    if kind:
        raise CheckpointError(
            f"{kind}, not a TensorFlow checkpoint: it names no variable, and leaves out every "
            "tf.Variable, which wiring and neuron parameters are in the published code",
            where=shown,
            expected="a checkpoint of tf.train.Checkpoint, or a SavedModel",
            hint=keras_advice(path),
        )
    if path.is_dir():
        raise CheckpointError(
            "is a folder, not a checkpoint",
            where=shown,
            expected="a checkpoint's prefix, the path of its .index file without .index",
            hint=_nearby(path),
        )
    if path.is_file():
        raise CheckpointError(_what_it_is(path), where=shown, hint=_nearby(path.parent))
    if not path.parent.is_dir():
        raise CheckpointError(
            f"there is no folder {path.parent}", where=shown, hint="check the path"
        )
    shards = sorted(p.name for p in path.parent.glob(f"{_escaped(name)}.data-*"))
    if shards:
        raise CheckpointError(
            f"the index file {name}.index is missing, though {shards[0]} is there",
            where=shown,
            hint="copy the index beside it: it says what the data are",
        )
    raise CheckpointError("no such checkpoint", where=shown, hint=_nearby(path.parent))


def _saved_model(path: Path) -> Path | None:
    """The prefix of the variables of a SavedModel; None of anything else."""
    folder = path.parent if path.name == "saved_model.pb" else path
    if path.name == "variables" and (path.parent / "saved_model.pb").is_file():
        folder = path.parent
    if not (folder / "saved_model.pb").is_file():
        return None
    prefix = folder / "variables" / "variables"
    if not prefix.with_name("variables.index").is_file():
        raise CheckpointError(
            "is a SavedModel without its variables",
            where=str(path),
            expected="variables/variables.index and its data file in the same folder",
            hint="copy the whole folder again",
        )
    return prefix


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _nearby(folder: Path) -> str:
    """The checkpoints in a folder and one level below, as a hint."""
    found = sorted({*folder.glob("*.index"), *folder.glob("*/*.index")})
    if not found:
        return f"there are no checkpoints in {folder}"
    names = [str(p.relative_to(folder)).removesuffix(".index") for p in found]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"checkpoints in {folder}: {', '.join(names[:20])}{more}"


def _what_it_is(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(8)
    if start == b"\x89HDF\r\n\x1a\n":
        return "is an HDF5 file, not a TensorFlow checkpoint"
    if start[:4] == b"PK\x03\x04":
        return "is a zip archive, not a TensorFlow checkpoint"
    if path.name == "checkpoint":
        return "names the latest checkpoint of this folder, but is not one itself"
    return "is not a TensorFlow checkpoint"


# --- the index -------------------------------------------------------------------------------


def read_index(path: Path) -> CheckpointIndex:
    """Read a checkpoint's index, given any path that `checkpoint_prefix` takes.

    Raises
    ------
    CheckpointError
        If there is none, or it is damaged, cut off, or of a kind that is not in use.
    """
    prefix = checkpoint_prefix(path)
    file = prefix.with_name(f"{prefix.name}.index")
    try:
        size = file.stat().st_size
        if size > _MAX_INDEX_BYTES:
            msg = f"is {size:,} bytes long, which no index is"
            raise wire.DamageError(msg)
        n_shards, entries = _parse(file.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}", where=str(file)) from error
    except (wire.DamageError, struct.error, IndexError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"the index is damaged, cut off or of another kind: {error}",
            where=str(file),
            expected="an index as TensorFlow writes it",
            hint="copy the checkpoint again from where it was trained",
        ) from error
    return CheckpointIndex(file, n_shards, MappingProxyType(entries))


def _parse(data: bytes) -> tuple[int, dict[str, TensorEntry]]:
    """Number of shards and entries by key."""
    if len(data) < _FOOTER_BYTES:
        msg = f"it has {len(data)} bytes, fewer than its footer"
        raise wire.DamageError(msg)
    footer = data[-_FOOTER_BYTES:]
    if struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        msg = "its last bytes are not those of a LevelDB table"
        raise wire.DamageError(msg)
    position = 0
    handle = []
    for _ in range(4):  # place and size of the meta index, then of the index
        value, position = wire.varint(footer, position)
        handle.append(value)
    header: bytes | None = None
    messages: dict[bytes, bytes] = {}
    for _, block in _block_items(_block(data, handle[2], handle[3])):
        place, position = wire.varint(block, 0)
        size, _ = wire.varint(block, position)
        for key, message in _block_items(_block(data, place, size)):
            if key == b"":
                header = message
            else:
                messages[key] = message
    if header is None:
        msg = "it has no header"
        raise wire.DamageError(msg)
    fields = wire.fields(header)
    n_shards = wire.last(fields, 1, 1)
    if wire.last(fields, 2) != 0:
        msg = "its data are big-endian"
        raise wire.DamageError(msg)
    if not 1 <= n_shards <= 99_999:
        msg = f"it says {n_shards} shards"
        raise wire.DamageError(msg)
    entries = {}
    for key, message in messages.items():
        if not key.startswith(_SLICE_KEY):  # these belong to the tensors that they are slices of
            entry = _entry(key, message, messages)
            entries[entry.key] = entry
    return n_shards, entries


def _block(data: bytes, offset: int, size: int) -> bytes:
    """The content of a block, its checksum verified."""
    end = offset + size
    if end + 5 > len(data):
        msg = "a block lies beyond its end"
        raise wire.DamageError(msg)
    if mask(bytes_crc32c(data[offset : end + 1])) != struct.unpack_from("<I", data, end + 1)[0]:
        msg = f"the checksum of the block at byte {offset} does not match"
        raise wire.DamageError(msg)
    if data[end] != 0:
        name = {1: "snappy", 2: "zlib", 4: "zstd"}.get(data[end], str(data[end]))
        msg = f"its blocks are compressed ({name}), which TensorFlow's own are not"
        raise wire.DamageError(msg)
    return data[offset:end]


def _block_items(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; keys share a beginning with the one before."""
    n_restarts = struct.unpack_from("<I", block, len(block) - 4)[0]
    end = len(block) - 4 * (n_restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = wire.varint(block, position)
        unshared, position = wire.varint(block, position)
        length, position = wire.varint(block, position)
        stop = position + unshared + length
        if shared > len(key) or stop > end:
            msg = "an entry does not fit its block"
            raise wire.DamageError(msg)
        key = key[:shared] + block[position : position + unshared]
        yield key, block[position + unshared : stop]
        position = stop


def _entry(key: bytes, value: bytes, messages: Mapping[bytes, bytes]) -> TensorEntry:
    """A BundleEntryProto, with those of its slices."""
    fields = wire.fields(value)
    shape = _shape(fields)
    slices = []
    for part in fields.get(7, []):  # TensorSliceProto: start and length in each dimension
        extents = [wire.fields(extent) for extent in wire.fields(part).get(1, [])]
        start = tuple(wire.last(extent, 1) for extent in extents)
        length = tuple(wire.last(extent, 2, -1) for extent in extents)
        if len(extents) != len(shape):
            msg = f"a slice of {key.decode('utf-8', 'replace')} has another number of dimensions"
            raise wire.DamageError(msg)
        sliced = messages.get(_slice_key(key, start, length))
        if sliced is None:
            msg = f"a slice of {key.decode('utf-8', 'replace')} is missing"
            raise wire.DamageError(msg)
        whole = tuple(full if n < 0 else n for n, full in zip(length, shape, strict=True))
        slices.append(_piece(wire.fields(sliced), start, whole))
    pieces = tuple(slices) or (_piece(fields, (0,) * len(shape), shape),)
    if slices and sum(math.prod(piece.shape) for piece in slices) != math.prod(shape):
        msg = f"the slices of {key.decode('utf-8', 'replace')} do not add up to it"
        raise wire.DamageError(msg)
    number = wire.last(fields, 1)
    return TensorEntry(
        key=key.decode("utf-8"),
        dtype=_DTYPES.get(number, f"type {number}"),
        shape=shape,
        pieces=pieces,
    )


def _shape(fields: wire.Fields) -> tuple[int, ...]:
    """The shape in a BundleEntryProto."""
    dims = [dim for part in fields.get(2, []) for dim in wire.fields(part).get(2, [])]
    return tuple(wire.last(wire.fields(dim), 1) for dim in dims)


def _piece(fields: wire.Fields, start: tuple[int, ...], shape: tuple[int, ...]) -> Piece:
    shard, offset, size, crc32c = (wire.last(fields, number) for number in (3, 4, 5, 6))
    return Piece(shard, offset, size, crc32c, start, shape)


def _slice_key(name: bytes, start: tuple[int, ...], length: tuple[int, ...]) -> bytes:
    """The key of a slice: a zero, the tensor's name, its rank, start and length by dimension."""
    escaped = name.replace(b"\xff", b"\xff\x00").replace(b"\x00", b"\x00\xff")
    rank = len(start).to_bytes((len(start).bit_length() + 7) // 8, "big")
    numbers = b"".join(_signed(value) for pair in zip(start, length, strict=True) for value in pair)
    return _SLICE_KEY + escaped + b"\x00\x01" + bytes([len(rank)]) + rank + numbers


def _signed(value: int) -> bytes:
    """A number in TensorFlow's ordered code: as many leading ones as it has bytes."""
    size = (~value if value < 0 else value).bit_length() // 7 + 1
    header = ((1 << size) - 1) << (8 * size - size) if size < 9 else 0
    return ((value % (1 << (8 * size))) ^ header).to_bytes(size, "big")


# --- the data --------------------------------------------------------------------------------


def require_shards(index: CheckpointIndex) -> None:
    """Raise unless every shard is there and as long as its tensors need.

    Raises
    ------
    CheckpointError
        If a shard is missing or cut off; the message names a tensor that is lost.
    """
    placed = [(entry, piece) for entry in index.entries.values() for piece in entry.pieces]
    for shard, path in enumerate(index.shards):
        own = [(entry, piece) for entry, piece in placed if piece.shard == shard]
        needed = max((piece.offset + piece.size for _, piece in own), default=0)
        if not path.is_file():
            others = sorted(
                p.name for p in path.parent.glob(f"{_escaped(index.prefix.name)}.data-*")
            )
            there = f"; there is {', '.join(others)}" if others else ""
            raise CheckpointError(
                f"the data file {path.name} is missing{there}",
                where=str(index.prefix),
                expected=f"{index.n_shards} data file{'s' * (index.n_shards > 1)} beside the "
                f"index, {needed:,} bytes in this one",
                hint="copy it beside the index; the index alone is enough for v1sim inspect, "
                "and to prove an existing file: v1sim stamp NETWORK.h5 --checkpoint "
                f"{index.path.name}",
            )
        size = path.stat().st_size
        if size < needed:
            lost, _ = min(
                ((e, p) for e, p in own if p.offset + p.size > size), key=lambda ep: ep[1].offset
            )
            raise CheckpointError(
                f"the data file {path.name} is cut off: it has {size:,} of {needed:,} bytes, "
                f"{lost.name} is not whole",
                where=str(index.prefix),
                expected=f"{needed:,} bytes",
                hint="copy the checkpoint again; if the disk was full while it was saved, take "
                "an earlier checkpoint",
            )


def read_tensor(index: CheckpointIndex, key: str) -> NDArray[Any]:
    """Read a tensor from its shards, every checksum verified; bfloat16 comes as float32.

    Raises
    ------
    CheckpointError
        If a shard is missing, cut off, or its bytes are not those that were saved.
    """
    entry = index.entries[key]
    if entry.dtype == "string" or entry.dtype not in _DTYPES.values():
        raise CheckpointError(f"{entry.name} is {entry.dtype}, no array", where=str(index.prefix))
    require_shards(index)
    dtype = numpy_dtype(entry.dtype).newbyteorder("<")
    needed = math.prod(entry.shape) * dtype.itemsize
    if needed != entry.size:
        raise CheckpointError(
            f"the index says {entry.size:,} bytes for {entry.name}, whose shape {entry.shape} "
            f"needs {needed:,}",
            where=str(index.path),
        )
    values: NDArray[Any] | None = None
    for piece in entry.pieces:
        path = index.shard_path(piece.shard)
        part = np.fromfile(path, dtype, math.prod(piece.shape), offset=piece.offset)
        if mask(array_crc32c(part)) != piece.crc32c:
            raise damaged(index, entry, piece)
        if not entry.sliced:
            values = part.reshape(entry.shape)
            break
        if values is None:
            values = np.empty(entry.shape, dtype)
        piece.of(values)[...] = part.reshape(piece.shape)
    assert values is not None
    return widened(values, entry.dtype)


def require_whole(index: CheckpointIndex, entry: TensorEntry, values: NDArray[Any]) -> None:
    """Raise unless the values that somebody read of an entry have its checksums.

    Raises
    ------
    CheckpointError
        If they have not; the message names the bytes.
    """
    whole = stored(values, entry.dtype)
    if not entry.holds(whole):
        pieces = entry.pieces
        for piece in pieces if entry.sliced else ():
            if mask(array_crc32c(piece.of(whole))) != piece.crc32c:
                raise damaged(index, entry, piece)
        raise damaged(index, entry, pieces[0])


def damaged(
    index: CheckpointIndex, entry: TensorEntry, piece: Piece | None = None
) -> CheckpointError:
    """The error about a tensor whose bytes do not have the checksum of the index."""
    piece = piece or entry.pieces[0]
    return CheckpointError(
        f"the data of {entry.name} are damaged: their checksum is not the one noted when they "
        f"were saved (bytes {piece.offset:,} to {piece.offset + piece.size:,} of "
        f"{index.shard_path(piece.shard).name})",
        where=str(index.prefix),
        hint="copy the checkpoint again from where it was trained; index and data must be of "
        "the same save",
    )


def _read_graph(index: CheckpointIndex) -> ObjectGraph | None:
    """The TrackableObjectGraph in the data; None where they are missing or it says nothing.

    It is a help; the variables' own checksums decide what is damaged.
    """
    entry = index.entries.get(OBJECT_GRAPH)
    if entry is None or entry.sliced:
        return None
    piece = entry.pieces[0]
    path = index.shard_path(piece.shard)
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        stream.seek(piece.offset)
        raw = stream.read(piece.size)
    try:
        length, start = wire.varint(raw, 0)
        start += 4  # the checksum of the length
        text = raw[start : start + length]
        return parse_graph(text) if len(text) == length and text else None
    except (wire.DamageError, IndexError, struct.error, UnicodeDecodeError):
        return None


def checkpoint_sha256(index: CheckpointIndex) -> dict[str, str]:
    """sha256 of the index and of every shard that is there, by file name."""
    files = (index.path, *(path for path in index.shards if path.is_file()))
    return {path.name: file_sha256(path) for path in files}
