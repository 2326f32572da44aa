"""Pickles are read as Python's unpickler reads them where they are data, and refused where not."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from v1sim.errors import InputError
from v1sim.sources.plain_pickle import read_plain_pickle
from v1sim.sources.training_data import initial_network, open_folder

RNG = np.random.default_rng(0)
DATA = {
    "matrix": RNG.random((3, 4)),
    "fortran": np.asfortranarray(RNG.random((3, 2)).astype(np.float32)),
    "big-endian": (np.arange(5, dtype=">i4"), np.array([True, False])),
    "plain": [1, -2.5, "x", "\u00e9\u2028", None, True, b"\x00\xff", b"", 10**30],
    "scalars": [np.float32(2), np.int64(-7), np.bool_(True)],
    "texts": [np.array(["ab", "c"]), np.array([b"x"])],
    "empty": np.zeros((0, 3)),
    "shared": [[1, 2]] * 2,
    3: collections.OrderedDict(a=1),
}


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return set(a) == set(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])
def test_data_of_every_protocol_and_numpy_are_read(tmp_path, protocol, core):
    path = tmp_path / "x.pkl"
    stored = pickle.dumps(DATA, protocol=protocol)
    if protocol < 4:  # names of later protocols have their length before them
        stored = stored.replace(b"numpy._core", core)
    path.write_bytes(stored)
    assert equal(DATA, read_plain_pickle(path))


def test_a_pickle_of_python_2_is_read(tmp_path):
    """Bytes are texts there, and arrays are made of them."""
    path = tmp_path / "x.pkl"
    path.write_bytes(
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nt"
        b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"U\x08\x00\x00\x80?\x00\x00\x00@tb."
    )
    assert read_plain_pickle(path).tolist() == [1.0, 2.0]


def test_bytes_in_the_text_protocol_of_python_2_are_named(tmp_path):
    """Python 3.11's pickletools reads texts of protocol 0 as ASCII."""
    path = tmp_path / "x.pkl"
    path.write_bytes(b"S'\\x80'\n.")
    with pytest.raises(InputError, match=r"(?s)protocol 0 of Python 2.*protocol 2"):
        read_plain_pickle(path)


class Custom:
    pass


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({1, 2}, "a set"),
        (frozenset([1]), "a set"),
        (np.array([[], None], dtype=object), "'O8'"),
        (np.zeros(2, dtype=[("a", "f4")]), "'V4'"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "'M8'"),
        (np.zeros(2, dtype=complex), "'c16'"),
        ({(1, 2): 3}, "a key that is neither text nor number"),
        (collections.defaultdict(list), "collections.defaultdict"),
        (Custom(), "Custom"),
        (len, "builtins.len"),
    ],
)
def test_what_is_no_data_is_refused_by_name(tmp_path, value, named):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(InputError, match="the pickle wants to use"):
        read_plain_pickle(path)
    path.write_bytes(pickle.dumps(value, protocol=4))
    with pytest.raises(InputError, match="the pickle wants to use") as caught:
        read_plain_pickle(path)
    assert named in str(caught.value)


def array_pickle(shape: bytes, dtype: bytes, data: bytes) -> bytes:
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n" + shape
        + b"cnumpy\ndtype\n(S'" + dtype + b"'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        + data + b"tb."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "named"),
    [
        # An array has exactly the bytes of its shape and type, or is none.
        (array_pickle(b"(I1\nt", b"f4", b"S'abc'\n"), "bytes of an array"),
        (array_pickle(b"(I2\nt", b"f4", b"S'abcd'\n"), "bytes of an array"),
        (array_pickle(b"(I-1\nt", b"f4", b"S''\n"), "bytes of an array"),
        (array_pickle(b"(" + b"I1\n" * 9 + b"t", b"i1", b"S'a'\n"), "bytes of an array"),
        (array_pickle(b"(I1\nt", b"f4", b"(lp1\n"), "arrays of objects"),
        (array_pickle(b"(I1\nt", b"O", b"S'abcdefgh'\n"), "'O'"),
        (b".", "takes what it did not put there"),
        (b"0.", "takes what it did not put there"),
        (b"g7\n.", "remembers what it did not see"),
        (b"I1\n", "is no whole pickle"),
        (
            b"\x8e" + b"\xff" * 7 + b"\x0f" + b"abc.",
            "is no whole pickle",
        ),  # bytes that are not there
        (b"(I1\ntI1\nR.", "calls what is no function"),
        (b"I1\nI2\nb.", "where one should be"),
        (b"cnumpy\nndarray\n(tR.", "numpy.ndarray itself"),
    ],
)
def test_what_does_not_fit_is_an_error(tmp_path, content, named):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_plain_pickle(path)
    assert named in str(caught.value)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_pickles_give_data_or_one_error(tmp_path, data):
    path = tmp_path / "x.pkl"
    stored = bytearray(pickle.dumps(DATA, protocol=data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 5))):
        stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(stored)
    try:
        read_plain_pickle(path)
    except InputError as error:
        assert error.exit_code == 2


def test_the_damaged_folders_that_once_crashed_are_errors(shared_data: Path):
    folders = sorted(shared_data.glob("cases/damaged/pkl/*/data"))
    assert folders
    for folder in folders:
        with pytest.raises(InputError) as caught:
            opened = open_folder(folder)
            initial_network(opened, np.arange(opened.n_nodes))
        assert len(str(caught.value)) < 1500
