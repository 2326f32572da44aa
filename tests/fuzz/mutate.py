"""Ways to damage a sound input: its bytes, or what its bytes mean.

A damaged file names no file outside its own folder: whoever follows such a name, by a fault of
v1sim or of a library, reaches nothing else.
"""

from __future__ import annotations

import copy
import io
import json
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import h5py
import numpy as np
import yaml

Mutator = Callable[[bytes, random.Random], bytes]

INTEGERS = (0, 1, 2, 3, 5, 127, 128, 255, 256, 2**15 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
INTEGERS += (2**32, 2**53, 2**63 - 1, 2**64 - 1, 10**15)

#: Texts that parsers stumble over; names of files are those of the folder.
TOKENS = (
    "", " ", "0", "-1", "1e3", "1e999", "-1e-999", "nan", "NaN", ".inf", "-inf", "null", "~",
    "true", "yes", "010", "0x10", "1:40", "1_000", "1,5", "\u0661\u0662", "9" * 400,
    "1." + "0" * 400, "-", "[]", "{}", "[[[[]]]]", "{a: {b: {c: 1}}}", "&a [*a]", "*a",
    "!!python/name:os.system",
    "!!binary aGk=", "!!int x", "!!float '1'", "2001-01-01", "? a", "<<: {a: 1}", "- - - -", "|",
    ">", "'", '"', "\\", "#", "%", "---", "...", "\t", "\r\n", "\x00", "\x1b[31m", "\x85", "\u2028",
    "\ufeff", "\ud7ff", "\U0001f9e0", "é", "a" * 3000, "$NOT_SET", "${NOT_SET}", "~nobody", ".",
    "net.h5", "other.h5", "none.yaml", "stim.h5",
)  # fmt: skip


# --- bytes -------------------------------------------------------------------------------------


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to several changes anywhere."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8, 40))):
        rng.choice(_BYTE_CHANGES)(out, rng)
    return bytes(out)


def _place(out: bytearray, rng: random.Random) -> int:
    # Headers and footers mean more than what lies between them.
    n = len(out)
    part = rng.random()
    if part < 0.4:
        return rng.randrange(max(1, min(n, 2048)))
    if part < 0.5:
        return max(0, n - 1 - rng.randrange(max(1, min(n, 256))))
    return rng.randrange(max(1, n))


def _flip(out: bytearray, rng: random.Random) -> None:
    if out:
        out[_place(out, rng)] ^= 1 << rng.randrange(8)


def _set(out: bytearray, rng: random.Random) -> None:
    if out:
        out[_place(out, rng)] = rng.randrange(256)


def _integer(out: bytearray, rng: random.Random) -> None:
    at, size = _place(out, rng), rng.choice((1, 2, 4, 8))
    value = rng.choice(INTEGERS) % (1 << (8 * size))
    out[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _fill(out: bytearray, rng: random.Random) -> None:
    at = _place(out, rng)
    size = min(len(out) - at, rng.choice((4, 16, 64, 512, 4096)))
    out[at : at + size] = bytes([rng.choice((0, 0xFF, 0x20, rng.randrange(256)))]) * size


def _cut(out: bytearray, rng: random.Random) -> None:
    del out[_place(out, rng) :]


def _remove(out: bytearray, rng: random.Random) -> None:
    at = _place(out, rng)
    del out[at : at + rng.choice((1, 2, 4, 8, 100))]


def _insert(out: bytearray, rng: random.Random) -> None:
    at = _place(out, rng)
    out[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8, 100)))


def _repeat(out: bytearray, rng: random.Random) -> None:
    at, to = _place(out, rng), _place(out, rng)
    out[to:to] = out[at : at + rng.choice((1, 4, 16, 200))]


def _exchange(out: bytearray, rng: random.Random) -> None:
    size = rng.choice((1, 4, 8, 64))
    a, b = _place(out, rng), _place(out, rng)
    part = bytes(out[a : a + size])
    out[a : a + size] = out[b : b + size]
    out[b : b + size] = part


_BYTE_CHANGES = (
    *(_flip, _flip, _set, _integer, _integer, _fill),
    *(_cut, _remove, _insert, _repeat, _exchange),
)


# --- text --------------------------------------------------------------------------------------


def mutate_text(data: bytes, rng: random.Random) -> bytes:
    """Lines and fields exchanged, taken out or replaced; now and then bytes."""
    if rng.random() < 0.15:
        return mutate_bytes(data, rng)
    lines = data.decode(errors="replace").split("\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(max(1, len(lines)))
        kind = rng.randrange(9)
        if not lines:
            lines.append(rng.choice(TOKENS))
        elif kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        elif kind == 2:
            lines[at] = " " * rng.randrange(5) + lines[at]
        elif kind == 3:
            lines.insert(at, rng.choice(TOKENS))
        elif kind == 4:
            lines[at : at + 1] = lines[at : at + 1] * rng.choice((2, 50, 2000))
        elif kind == 5:
            lines[at] = _other_field(lines[at], rng)
        elif kind == 6:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice(TOKENS) + lines[at][place:]
        elif kind == 7:
            sign = rng.choice(("[", "{", "- ", "a: ", "(", '"', "&x ", "*x "))
            lines[at] += sign * rng.choice((1, 3, 40, 2000))
        else:
            lines[at] = lines[at].swapcase()
    return "\n".join(lines).encode(errors="surrogatepass")


def _other_field(line: str, rng: random.Random) -> str:
    sign = rng.choice([s for s in (": ", ",", " ", ";", "\t", "=") if s in line] or [" "])
    fields = line.split(sign)
    fields[rng.randrange(len(fields))] = rng.choice(TOKENS)
    return sign.join(fields)


# --- trees of plain values ---------------------------------------------------------------------


def mutate_tree(value: Any, rng: random.Random, *, depth: int = 0) -> Any:
    """One change somewhere in mappings, lists and scalars."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        out = dict(value)
        kind = rng.randrange(8)
        if kind == 0:
            del out[key]
        elif kind == 1:
            out[rng.choice(TOKENS)] = out.pop(key)
        elif kind == 2:
            out[rng.choice(("x", 3, "name", "__class__", rng.choice(TOKENS)))] = _value(rng)
        else:
            out[key] = mutate_tree(out[key], rng, depth=depth + 1)
        return out
    if isinstance(value, list | tuple) and value and rng.random() < 0.8:
        out_list = list(value)
        at = rng.randrange(len(out_list))
        kind = rng.randrange(6)
        if kind == 0:
            del out_list[at]
        elif kind == 1:
            out_list *= rng.choice((2, 3, 40))
        elif kind == 2:
            out_list.insert(at, _value(rng))
        else:
            out_list[at] = mutate_tree(out_list[at], rng, depth=depth + 1)
        return type(value)(out_list) if type(value) in (list, tuple) else out_list
    return _value(rng, like=value)


def _value(rng: random.Random, like: Any = None) -> Any:
    kind = rng.randrange(10)
    if kind == 0 and isinstance(like, int | float) and not isinstance(like, bool):
        return rng.choice((-like, like * 1e6, like / 1e6, like + 0.5, float(like), like * 1000))
    if kind == 1:
        return rng.choice(INTEGERS) * rng.choice((1, -1))
    if kind == 2:
        return rng.choice((0.0, -0.0, 1e-300, 1e300, float("nan"), float("inf"), -0.5, 0.1))
    if kind == 3:
        return rng.choice((None, True, False))
    if kind == 4:
        return rng.choice(([], {}, [[]], [None], {"a": 1}, [1, 2], ["a"], [[1, 2], [3]]))
    if kind == 5:
        nested: Any = like
        for _ in range(rng.choice((1, 2, 40, 300))):
            nested = [nested] if rng.random() < 0.5 else {"a": nested}
        return nested
    if kind == 6:
        return [copy.copy(like)] * rng.choice((2, 1000))
    if kind == 7 and isinstance(like, str):
        return like + rng.choice(TOKENS)
    return rng.choice(TOKENS)


def mutate_yaml(data: bytes, rng: random.Random) -> bytes:
    """As text, or what it says."""
    if rng.random() < 0.5:
        return mutate_text(data, rng)
    value = yaml.safe_load(data)
    for _ in range(rng.choice((1, 1, 2))):
        value = mutate_tree(value, rng)
    try:
        return yaml.safe_dump(value, allow_unicode=True, sort_keys=False).encode()
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return mutate_text(data, rng)


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """As text, or what it says."""
    if rng.random() < 0.4:
        return mutate_text(data, rng)
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 2))):
        value = mutate_tree(value, rng)
    try:
        return json.dumps(value, indent=rng.choice((None, 2))).encode(errors="surrogatepass")
    except (ValueError, TypeError, RecursionError):
        return mutate_text(data, rng)


def mutate_pickle(data: bytes, rng: random.Random) -> bytes:
    """As bytes, or what it holds."""
    if rng.random() < 0.5:
        return mutate_bytes(data, rng)
    value = pickle.loads(data)
    for _ in range(rng.choice((1, 1, 2))):
        value = _mutate_objects(value, rng)
    try:
        return pickle.dumps(value, protocol=rng.choice((0, 1, 2, 3, 4, 5)))
    except Exception:
        return mutate_bytes(data, rng)


def _mutate_objects(value: Any, rng: random.Random) -> Any:
    if isinstance(value, np.ndarray):
        return _mutate_array(value, rng)
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        return value | {key: _mutate_objects(value[key], rng)}
    if isinstance(value, list | tuple) and value and rng.random() < 0.8:
        items = list(value)
        at = rng.randrange(len(items))
        items[at] = _mutate_objects(items[at], rng)
        return type(value)(items)
    odd = (object(), range(3), b"x", frozenset((1,)), 1j, np.float16(1), np.array(None), slice(3))
    return rng.choice(odd) if rng.random() < 0.2 else mutate_tree(value, rng)


# --- arrays ------------------------------------------------------------------------------------

_DTYPES = (
    "f2",
    "f4",
    "f8",
    ">f8",
    "i1",
    "u1",
    "i2",
    "i4",
    ">i4",
    "i8",
    "u8",
    "?",
    "c8",
    "S3",
    "U2",
)


def _mutate_array(values: np.ndarray, rng: random.Random) -> np.ndarray:
    """Other values, another shape or another type."""
    kind = rng.randrange(12)
    with np.errstate(all="ignore"):
        if kind == 0:
            try:
                return values.astype(rng.choice(_DTYPES))
            except (ValueError, TypeError):
                return np.zeros(0)
        if kind == 1:
            return values[: rng.randrange(len(values) + 1)] if values.ndim else values.reshape(1)
        if kind == 2:
            return values.T if values.ndim > 1 else values.reshape(-1, 1)
        if kind == 3:
            return values.reshape(rng.choice(((-1,), (1, -1), (-1, 1), (1, 1, -1))))
        if kind == 4:
            return np.concatenate([values, values[:3]]) if values.ndim else values.reshape(1, 1)
        if kind == 5 and values.size:
            return values.reshape(-1)[0]
        if kind == 6 and values.ndim and values.shape[0]:
            return values[rng.choice((slice(None, None, -1), slice(1, None), slice(None, None, 2)))]
        if not values.size:
            return values
        out = values.copy() if values.ndim else values.reshape(1).copy()
        flat = out.reshape(-1)
        some = slice(rng.randrange(flat.size), None) if kind < 9 else rng.randrange(flat.size)
        odd = rng.choice((*INTEGERS, -1, -5, float("nan"), float("inf"), -1e300, 1e-40, 0.5))
        try:
            flat[some] = odd
        except (ValueError, OverflowError, TypeError):
            flat[some] = flat[0]
        return out


def mutate_npy(data: bytes, rng: random.Random) -> bytes:
    """As bytes, in the header's text, or as an array."""
    kind = rng.random()
    if kind < 0.35:
        return mutate_bytes(data, rng)
    if kind < 0.7:
        size = struct.unpack("<H", data[8:10])[0]
        text = bytearray(data[10 : 10 + size])
        for _ in range(rng.choice((1, 1, 2))):
            _other_header(text, rng)
        header = bytes(text)
        return data[:8] + struct.pack("<H", min(len(header), 65535)) + header + data[10 + size :]
    values = np.load(io.BytesIO(data), allow_pickle=False)
    stream = io.BytesIO()
    odd = np.array([1, None], dtype=object) if rng.random() < 0.05 else _mutate_array(values, rng)
    np.save(stream, odd)
    return stream.getvalue()


_HEADERS = (
    b"(3,)", b"()", b"(-1,)", b"(2**60,)", b"(99999999999,)", b"(1, 2, 3, 4)", b"(1.5,)", b"('a',)",
    b"None", b"'<f8'", b"'|O'", b"'<U9999999'", b"'<M8[ns]'", b"'V8'", b"[('a', '<f4')]", b"'<f16'",
    b"'?'", b"'<c8'", b"True", b"False", b"(" * 300, b"[" * 80, b"{", b"}", b"'x'", b"\xff",
    b"0" * 5000, b"'descr'", b"'shape'",
)  # fmt: skip


def _other_header(text: bytearray, rng: random.Random) -> None:
    places = [i for i, c in enumerate(text) if c in b"':(,{"] or [0]
    at = rng.choice(places)
    end = min([i for i in places if i > at] or [len(text)])
    text[at : rng.choice((at, end))] = rng.choice(_HEADERS)


def mutate_npz(data: bytes, rng: random.Random) -> bytes:
    """As bytes, or with other arrays in it."""
    if rng.random() < 0.5:
        return mutate_bytes(data, rng)
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = rng.choice(sorted(arrays))
    kind = rng.randrange(4)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[f"x{rng.randrange(9)}"] = arrays.pop(name)
    else:
        arrays[name] = _mutate_array(arrays[name], rng)
    stream = io.BytesIO()
    rng.choice((np.savez, np.savez_compressed))(stream, **arrays)
    return stream.getvalue()


# --- HDF5 --------------------------------------------------------------------------------------


class Hdf5Seed:
    """A sound HDF5 file in parts, from which damaged ones are written anew."""

    def __init__(self, data: bytes) -> None:
        self.arrays: dict[str, Any] = {}
        self.attributes: dict[tuple[str, str], Any] = {}
        with h5py.File(io.BytesIO(data), "r") as file:
            self.attributes |= {("/", key): value for key, value in file.attrs.items()}

            def keep(name: str, item: h5py.HLObject) -> None:
                if isinstance(item, h5py.Dataset):
                    self.arrays[name] = (item[()], item.dtype)
                self.attributes.update({(name, key): value for key, value in item.attrs.items()})

            file.visititems(keep)


_SEEDS: dict[bytes, Hdf5Seed] = {}


def mutate_hdf5(data: bytes, rng: random.Random) -> bytes:
    """As bytes, or written anew with other contents, other storage and other links."""
    kind = rng.random()
    if kind < 0.6:
        return mutate_bytes(data, rng)
    if data not in _SEEDS:
        _SEEDS[data] = Hdf5Seed(data)
    seed = _SEEDS[data]
    try:
        written = write_damaged(seed, rng)
    except Exception:  # HDF5 does not write everything that it is told to
        return mutate_bytes(data, rng)
    return mutate_bytes(written, rng) if kind > 0.93 else written


def write_damaged(seed: Hdf5Seed, rng: random.Random) -> bytes:
    """A file of the seed's contents with one to three things that are wrong with it."""
    names = sorted(seed.arrays)
    chosen = {rng.choice(names): rng.choice(_DATASET_CHANGES) for _ in range(rng.choice((1, 1, 3)))}
    options: dict[str, Any] = {"libver": rng.choice(("earliest", "latest"))}
    if rng.random() < 0.05:
        options |= {"userblock_size": 512}
    with h5py.File("new.h5", "w", **options) as file:
        for name in names:
            values, dtype = seed.arrays[name]
            if name not in chosen:
                file.create_dataset(name, data=values, dtype=dtype)
                continue
            try:
                chosen[name](file, name, values, dtype, rng)
            except Exception:  # what cannot be written is left out, which is damage as well
                continue
        for (name, key), value in seed.attributes.items():
            if name in file:
                file[name].attrs[key] = value
        if rng.random() < 0.25:
            _other_attribute(file, seed, rng)
        if rng.random() < 0.1:
            _other_link(file, names, rng)
    return Path("new.h5").read_bytes()


def _left_out(file: Any, name: str, values: Any, dtype: Any, rng: random.Random) -> None:
    pass


def _other_values(file: Any, name: str, values: Any, dtype: Any, rng: random.Random) -> None:
    values = np.asarray(values)
    if values.dtype.kind in "OS" and values.shape == ():
        text = values.item()
        text = text if isinstance(text, bytes) else str(text).encode()
        change = mutate_json if text.startswith(b"{") else mutate_text
        text = change(text, rng)
        file[name] = rng.choice((np.bytes_(text), text.decode(errors="replace").replace("\0", "")))
        return
    if values.dtype.kind == "O":
        values = values.astype("S")
    file[name] = _mutate_array(values, rng)


def _otherwise_stored(file: Any, name: str, values: Any, dtype: Any, rng: random.Random) -> None:
    values = np.asarray(values)
    if not values.ndim:
        values = values.reshape(1)
    chunks = tuple(max(1, -(-size // rng.choice((1, 2, 7)))) for size in values.shape)
    options = rng.choice(
        (
            {"compression": "gzip"}, {"compression": "lzf", "shuffle": True}, {"fletcher32": True},
            {"scaleoffset": 2}, {"maxshape": (None,) * values.ndim}, {"track_times": True},
        )
    )  # fmt: skip
    file.create_dataset(name, data=values, dtype=dtype, chunks=chunks, **options)


def _never_written(file: Any, name: str, values: Any, dtype: Any, rng: random.Random) -> None:
    values = np.asarray(values)
    shape = values.shape or (1,)
    chunks = rng.choice((None, tuple(max(1, size // 4) for size in shape)))
    data = file.create_dataset(name, shape, dtype, chunks=chunks)
    if chunks and rng.random() < 0.5:
        data[: chunks[0]] = values[: chunks[0]]


def _enormous(file: Any, name: str, values: Any, dtype: Any, rng: random.Random) -> None:
    values = np.asarray(values)
    rest = values.shape[1:]
    size = rng.choice((10**7, 2**31, 2**40, 2**60))
    chunks = (rng.choice((1, 1000, 1 << 14)), *(1,) * len(rest))
    options = {"compression": "gzip"} if rng.random() < 0.5 else {}
    data = file.create_dataset(name, (size, *rest), dtype, chunks=chunks, **options)
    data[0] = values[0]


def _other_kind(file: Any, name: str, values: Any, dtype: Any, rng: random.Random) -> None:
    kind = rng.randrange(9)
    if kind == 0:
        file.create_group(name)["x"] = np.arange(3)
    elif kind == 1:
        file[name] = h5py.Empty("f4")
    elif kind == 2:
        file[name] = np.zeros(4, dtype=[("a", "f4"), ("b", "i8")])
    elif kind == 3:
        file.create_dataset(name, data=["a", "é", ""], dtype=h5py.string_dtype())
    elif kind == 4:
        file.create_dataset(name, (3,), h5py.vlen_dtype(np.int32))[0] = [1, 2]
    elif kind == 5:
        file.create_dataset(name, (3,), h5py.enum_dtype({"a": 0, "b": 1}, basetype="i1"))
    elif kind == 6:
        file.create_dataset(name, (2,), h5py.ref_dtype)[0] = file.ref
    elif kind == 7:
        file[name] = np.dtype(("f4", (2, 2)))
    else:
        file[name] = np.zeros((2,) * rng.choice((5, 32)), "u1")


def _linked(file: Any, name: str, values: Any, dtype: Any, rng: random.Random) -> None:
    file[name] = rng.choice(
        (
            h5py.SoftLink("/nowhere"),
            h5py.SoftLink(f"/{name}"),
            h5py.SoftLink("/" + name.partition("/")[0]),
            h5py.ExternalLink("other.h5", name),
            h5py.ExternalLink("none.h5", name),
            h5py.ExternalLink(".", "/"),
        )
    )


def _kept_elsewhere(file: Any, name: str, values: Any, dtype: Any, rng: random.Random) -> None:
    shape = np.asarray(values).shape or (1,)
    if rng.random() < 0.5:
        size = rng.choice((8, 1000, h5py.h5f.UNLIMITED))
        file.create_dataset(name, shape, dtype, external=[("raw.bin", 0, size)])
    else:
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(rng.choice(("other.h5", "none.h5", ".")), name, shape)
        file.create_virtual_dataset(name, layout)


_DATASET_CHANGES = (
    *(_left_out, _other_values, _other_values, _other_values, _otherwise_stored),
    *(_never_written, _enormous, _other_kind, _other_kind, _linked, _kept_elsewhere),
)


def _other_attribute(file: Any, seed: Hdf5Seed, rng: random.Random) -> None:
    known = [*seed.attributes, ("/", "nwb_version"), ("/", "keras_version"), ("/", "x")]
    place, key = rng.choice(known)
    value = rng.choice(
        (
            -1, 0, 2**40, 1.5, float("nan"), "text", "\x1b[31m", b"\xff\xfe", np.arange(3), [],
            True, "é", h5py.Empty("f4"), np.zeros(2, dtype=[("a", "f4")]), 10**18, "s",
            np.array(["a", "b"], dtype="S1"),
        )
    )  # fmt: skip
    if place in file:
        file[place].attrs[key] = value


def _other_link(file: Any, names: list[str], rng: random.Random) -> None:
    group = rng.choice([name.rpartition("/")[0] for name in names]) or "/"
    name = rng.choice(("x", "é\x1b[31m", "a" * 2000, "lgn", "spikes", "nodes", "layers", "edges"))
    with_loop = rng.random() < 0.5
    if group in file and name not in file[group]:
        file[group][name] = file["/"] if with_loop else h5py.SoftLink("/none")


# --- the index of a TensorFlow checkpoint ------------------------------------------------------
# A table of LevelDB (github.com/google/leveldb, doc/table_format.md): keys to protocol buffers
# (tensorflow/core/protobuf/tensor_bundle.proto), blocks with checksums, which a damaged table
# must keep for its damage to be seen.


def mutate_index(data: bytes, rng: random.Random) -> bytes:
    """As bytes, or entries of the table with its checksums made anew."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng)
    entries = table_entries(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(entries)) if entries else 0
        key, value = entries[at] if entries else (b"", b"")
        kind = rng.randrange(8)
        if kind == 0 and entries:
            del entries[at]
        elif kind == 1:
            entries.insert(at, (key, value))
        elif kind == 2:
            entries[at : at + 1] = [(mutate_bytes(key, rng), value)]
        elif kind == 3 and entries:
            entries[at] = (key, rng.choice(entries)[1])
        elif kind == 4:
            entries[at : at + 1] = [(mutate_text(key, rng).replace(b"\n", b"/")[:3000], value)]
        else:
            entries[at : at + 1] = [(key, mutate_bytes(value, rng))]
    if rng.random() < 0.8:
        entries.sort()
    return table_of(entries)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _block_entries(block: bytes) -> list[tuple[bytes, bytes]]:
    (n_restarts,) = struct.unpack("<I", block[-4:])
    end, at, key, found = len(block) - 4 - 4 * n_restarts, 0, b"", []
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        size, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        found.append((key, block[at + own : at + own + size]))
        at += own + size
    return found


def table_entries(data: bytes) -> list[tuple[bytes, bytes]]:
    """Keys and values of a sound table."""
    footer = data[-48:]
    _, at = _varint(footer, 0)
    _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, at = _varint(footer, at)
    found = []
    for _, handle in _block_entries(data[offset : offset + size]):
        start, after = _varint(handle, 0)
        length, _ = _varint(handle, after)
        found += _block_entries(data[start : start + length])
    return found


def _block(entries: list[tuple[bytes, bytes]]) -> bytes:
    out = b"".join(
        b"\0" + _as_varint(len(key)) + _as_varint(len(value)) + key + value
        for key, value in entries
    )
    return out + struct.pack("<II", 0, 1)


def _sealed(block: bytes) -> bytes:
    crc = google_crc32c.value(block + b"\0")
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return block + b"\0" + struct.pack("<I", masked)


def table_of(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A table of one block, with right checksums."""
    block = _block(entries)
    out = _sealed(block)
    meta_at = len(out)
    meta = _block([])
    out += _sealed(meta)
    index_at = len(out)
    last = entries[-1][0] if entries else b""
    index = _block([(last + b"\xff", _as_varint(0) + _as_varint(len(block)))])
    out += _sealed(index)
    handles = b"".join(map(_as_varint, (meta_at, len(meta), index_at, len(index))))
    return out + handles.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")
