"""TensorFlow's checkpoint files without TensorFlow: the index, and tensors that it places.

A checkpoint is ``PREFIX.index``, a LevelDB table of one entry a tensor (dtype, shape,
place, masked CRC32C of its bytes), and shards ``PREFIX.data-00000-of-00001`` with
the bytes. The index is a few kilobytes and proves what the bytes are.
Formats: LevelDB's ``doc/table_format.md``; TensorFlow's ``tensor_bundle.proto``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.convert.checksums import array_crc32c, bytes_crc32c, mask
from v1sim.digests import file_sha256
from v1sim.errors import CheckpointError

__all__ = [
    "ATTRIBUTE",
    "OBJECT_GRAPH",
    "CheckpointIndex",
    "TensorEntry",
    "checkpoint_prefix",
    "checkpoint_sha256",
    "damaged",
    "full_names",
    "has_object",
    "read_index",
    "read_tensor",
    "require_shards",
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
_NO_ARRAY = ("string", "bfloat16")


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a checkpoint as its index describes it; ``crc32c`` is masked."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int
    sliced: bool = False

    @property
    def name(self) -> str:
        """The key without the part that all variables share."""
        return self.key.removesuffix(ATTRIBUTE)

    def holds(self, values: NDArray[np.generic]) -> bool:
        """Whether the tensor's bytes are those of ``values``, by size and checksum."""
        return self.holds_blocks([values])

    def holds_blocks(self, blocks: Iterable[NDArray[np.generic]]) -> bool:
        """The same of values that come in blocks, one after the other."""
        n_bytes = crc = 0
        for values in blocks:
            n_bytes += values.nbytes
            if n_bytes > self.size:
                return False
            crc = array_crc32c(values, crc)
        return n_bytes == self.size and mask(crc) == self.crc32c


@dataclass(frozen=True)
class CheckpointIndex:
    """A checkpoint's index: its tensors by key, and where its shards belong."""

    path: Path
    n_shards: int
    entries: Mapping[str, TensorEntry]

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
    """The prefix of the checkpoint that ``path`` means: a prefix, its index, or one of its shards.

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
        return "is a zip archive (a .keras file?), not a TensorFlow checkpoint"
    if path.name == "checkpoint":
        return "names the latest checkpoint of this folder, but is not one itself"
    return "is not a TensorFlow checkpoint"


# --- the index -------------------------------------------------------------------------------


class _DamageError(Exception):
    """Bytes that are not what the format says; becomes a CheckpointError with the path."""


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
            raise _DamageError(msg)
        n_shards, entries = _parse(file.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}", where=str(file)) from error
    except (_DamageError, struct.error, IndexError, UnicodeDecodeError) as error:
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
        raise _DamageError(msg)
    footer = data[-_FOOTER_BYTES:]
    if struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        msg = "its last bytes are not those of a LevelDB table"
        raise _DamageError(msg)
    position = 0
    handle = []
    for _ in range(4):  # place and size of the meta index, then of the index
        value, position = _varint(footer, position)
        handle.append(value)
    header: bytes | None = None
    entries = {}
    for _, block in _block_items(_block(data, handle[2], handle[3])):
        place, position = _varint(block, 0)
        size, _ = _varint(block, position)
        for key, message in _block_items(_block(data, place, size)):
            if key == b"":
                header = message
            else:
                entry = _entry(key.decode("utf-8"), message)
                entries[entry.key] = entry
    if header is None:
        msg = "it has no header"
        raise _DamageError(msg)
    fields = _fields(header)
    n_shards = int(fields.get(1, [1])[-1])
    if int(fields.get(2, [0])[-1]) != 0:
        msg = "its data are big-endian"
        raise _DamageError(msg)
    if not 1 <= n_shards <= 99_999:
        msg = f"it says {n_shards} shards"
        raise _DamageError(msg)
    return n_shards, entries


def _block(data: bytes, offset: int, size: int) -> bytes:
    """The content of a block, its checksum verified."""
    end = offset + size
    if end + 5 > len(data):
        msg = "a block lies beyond its end"
        raise _DamageError(msg)
    if mask(bytes_crc32c(data[offset : end + 1])) != struct.unpack_from("<I", data, end + 1)[0]:
        msg = f"the checksum of the block at byte {offset} does not match"
        raise _DamageError(msg)
    if data[end] != 0:
        name = {1: "snappy", 2: "zlib", 4: "zstd"}.get(data[end], str(data[end]))
        msg = f"its blocks are compressed ({name}), which TensorFlow's own are not"
        raise _DamageError(msg)
    return data[offset:end]


def _block_items(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; keys share a beginning with the one before."""
    n_restarts = struct.unpack_from("<I", block, len(block) - 4)[0]
    end = len(block) - 4 * (n_restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        stop = position + unshared + length
        if shared > len(key) or stop > end:
            msg = "an entry does not fit its block"
            raise _DamageError(msg)
        key = key[:shared] + block[position : position + unshared]
        yield key, block[position + unshared : stop]
        position = stop


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A base-128 number and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            msg = "a number is longer than 64 bits"
            raise _DamageError(msg)


def _fields(message: bytes) -> dict[int, list[Any]]:
    """Fields of a protocol buffer message: ints, or bytes of nested messages."""
    found: dict[int, list[Any]] = {}
    position = 0
    value: Any
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(message, position)
        elif kind == 1:
            value, position = struct.unpack_from("<Q", message, position)[0], position + 8
        elif kind == 5:
            value, position = struct.unpack_from("<I", message, position)[0], position + 4
        elif kind == 2:
            length, position = _varint(message, position)
            if position + length > len(message):
                msg = "a field is longer than its message"
                raise _DamageError(msg)
            value, position = message[position : position + length], position + length
        else:
            msg = f"a field has the unknown kind {kind}"
            raise _DamageError(msg)
        found.setdefault(tag >> 3, []).append(value)
    return found


def _entry(key: str, value: bytes) -> TensorEntry:
    """A BundleEntryProto."""
    fields = _fields(value)

    def last(number: int, default: int = 0) -> int:
        return int(fields.get(number, [default])[-1])

    shape = []
    for part in fields.get(2, []):
        shape += [int(_fields(dim).get(1, [0])[-1]) for dim in _fields(part).get(2, [])]
    number = last(1)
    return TensorEntry(
        key=key,
        dtype=_DTYPES.get(number, f"type {number}"),
        shape=tuple(shape),
        shard=last(3),
        offset=last(4),
        size=last(5),
        crc32c=last(6),
        sliced=7 in fields,
    )


# --- the data --------------------------------------------------------------------------------


def require_shards(index: CheckpointIndex) -> None:
    """Raise unless every shard is there and as long as its tensors need.

    Raises
    ------
    CheckpointError
        If a shard is missing or cut off; the message names a tensor that is lost.
    """
    for shard, path in enumerate(index.shards):
        own = [entry for entry in index.entries.values() if entry.shard == shard]
        needed = max((entry.offset + entry.size for entry in own), default=0)
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
            lost = min((e for e in own if e.offset + e.size > size), key=lambda e: e.offset)
            raise CheckpointError(
                f"the data file {path.name} is cut off: it has {size:,} of {needed:,} bytes, "
                f"{lost.name} is not whole",
                where=str(index.prefix),
                expected=f"{needed:,} bytes",
                hint="copy the checkpoint again; if the disk was full while it was saved, take "
                "an earlier checkpoint",
            )


def read_tensor(index: CheckpointIndex, key: str) -> NDArray[Any]:
    """Read a tensor from its shard, its checksum verified.

    Raises
    ------
    CheckpointError
        If the shard is missing, cut off, or its bytes are not those that were saved.
    """
    entry = index.entries[key]
    if entry.sliced or entry.dtype in _NO_ARRAY or entry.dtype not in _DTYPES.values():
        raise CheckpointError(
            f"{entry.name} is {'in slices' if entry.sliced else entry.dtype}, no plain array",
            where=str(index.prefix),
        )
    require_shards(index)
    dtype = np.dtype(entry.dtype).newbyteorder("<")
    count = int(np.prod(entry.shape, dtype=np.int64))
    if count * dtype.itemsize != entry.size:
        raise CheckpointError(
            f"the index says {entry.size:,} bytes for {entry.name}, whose shape {entry.shape} "
            f"needs {count * dtype.itemsize:,}",
            where=str(index.path),
        )
    path = index.shard_path(entry.shard)
    values: NDArray[Any] = np.fromfile(path, dtype, count, offset=entry.offset)
    values = values.reshape(entry.shape)
    if not entry.holds(values):
        raise damaged(index, entry)
    return values


def damaged(index: CheckpointIndex, entry: TensorEntry) -> CheckpointError:
    """The error about a tensor whose bytes do not have the checksum of the index."""
    return CheckpointError(
        f"the data of {entry.name} are damaged: their checksum is not the one noted when they "
        f"were saved (bytes {entry.offset:,} to {entry.offset + entry.size:,} of "
        f"{index.shard_path(entry.shard).name})",
        where=str(index.prefix),
        hint="copy the checkpoint again from where it was trained; index and data must be of "
        "the same save",
    )


def full_names(index: CheckpointIndex) -> dict[str, str]:
    """The name that each variable had in the program, by key; empty where the data are missing.

    Keras 3 numbers its variables in the keys ("optimizer/_variables/4"); only these names
    then say what is what.
    """
    names = {}
    for node in _object_graph(index):
        for attribute in _fields(node).get(2, []):
            fields = _fields(attribute)
            if 2 in fields and 3 in fields:
                names[fields[3][-1].decode("utf-8")] = fields[2][-1].decode("utf-8")
    return names


def has_object(index: CheckpointIndex, name: str) -> bool:
    """Whether an object of this name was saved, with variables of its own or without."""
    return any(
        _fields(child).get(2, [b""])[-1].decode("utf-8") == name
        for node in _object_graph(index)
        for child in _fields(node).get(1, [])
    )


def _object_graph(index: CheckpointIndex) -> list[bytes]:
    """The nodes of the TrackableObjectGraph, undecoded."""
    entry = index.entries.get(OBJECT_GRAPH)
    if entry is None or not index.shard_path(entry.shard).is_file():
        return []
    with index.shard_path(entry.shard).open("rb") as stream:
        stream.seek(entry.offset)
        raw = stream.read(entry.size)
    try:
        length, start = _varint(raw, 0)
        start += 4  # the checksum of the length
        if start + length > len(raw):
            return []
        return list(_fields(raw[start : start + length]).get(1, []))
    except (_DamageError, IndexError, struct.error):
        return []  # names are a help; the variables' own checksums decide what is damaged


def checkpoint_sha256(index: CheckpointIndex) -> dict[str, str]:
    """sha256 of the index and of every shard that is there, by file name."""
    files = (index.path, *(path for path in index.shards if path.is_file()))
    return {path.name: file_sha256(path) for path in files}
