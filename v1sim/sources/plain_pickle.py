"""Pickles of arrays, numbers, texts, lists and dicts, read without Python's unpickler.

A pickle is a program. Python's unpickler runs it; even one that is kept to NumPy's own names
can end the process, as NumPy rebuilds arrays from whatever it is told. Here the few operations
that data need are carried out by v1sim itself: arrays come from a fixed list of types and from
bytes that must be as many as their shape says, and everything else is refused by its name.

Operations: Python's ``pickletools``. How arrays are stored: ``numpy.ndarray.__reduce_ex__``
(protocols 0 to 5) of NumPy 1 and 2, and of Python 2.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from v1sim.errors import InputError
from v1sim.memory import raise_lack_of_memory

__all__ = ["read_plain_pickle"]

#: Types of arrays: booleans, integers, floats, bytes and texts of fixed length.
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU]\d{1,4}")
_MAX_DIMENSIONS = 8
_MARK: Final = object()


class _RefusedError(Exception):
    """The pickle wants something other than data."""


class _BrokenError(Exception):
    """The pickle is not one, or was cut off."""


class _Name:
    """A function or class that the pickle names; it is called by `_CALLS` alone."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class _Unfinished:
    """An array or its type between the operation that makes it and the one that fills it."""

    def __init__(self, finish: Callable[[Any], Any], value: Any = None) -> None:
        self.finish = finish
        self.value = value


class _Bounded:
    """A file that does not promise more bytes than it has: readers reserve what they ask for."""

    def __init__(self, stream: BufferedIOBase, size: int) -> None:
        self._stream = stream
        self._size = size

    def read(self, n: int = -1) -> bytes:
        left = self._size - self._stream.tell()
        if n > left:
            raise _BrokenError("it was cut off")
        return self._stream.read(left if n < 0 else n)

    def readline(self) -> bytes:
        return self._stream.readline()

    def tell(self) -> int:
        return self._stream.tell()


def read_plain_pickle(path: Path) -> Any:
    """The arrays, numbers, texts, lists, tuples and dicts of a pickle.

    Parameters
    ----------
    path : Path
        The pickle, of any protocol.

    Returns
    -------
    object
        What it holds; arrays are read-only.

    Raises
    ------
    InputError
        If it cannot be read, is no whole pickle, or holds more than data.
    """
    try:
        with path.open("rb") as stream:
            return _Machine().run(_Bounded(stream, path.stat().st_size))
    except _RefusedError as error:
        raise InputError(
            f"the pickle wants to use {error}, which is not opened: a pickle can run any program",
            where=str(path),
            expected="NumPy arrays, numbers, texts, lists, tuples, dicts",
            hint="find out where the file comes from; write its arrays again without that",
        ) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError(
            "holds bytes in the text protocol, protocol 0 of Python 2, which is not read",
            where=str(path),
            hint="load it in Python 2 and write it again with protocol 2",
        ) from error
    except Exception as error:  # a damaged pickle makes pickletools raise anything
        raise_lack_of_memory(error)
        raise InputError(
            f"is no whole pickle: {' '.join(str(error).split())[:200] or type(error).__name__}",
            where=str(path),
            hint="copy it again",
        ) from error


class _Machine:
    """The stack and the memo of a pickle, and the operations on them."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: _Bounded) -> Any:
        for operation, argument, _ in pickletools.genops(cast(IO[bytes], stream)):
            name = operation.name
            if name == "STOP":
                return self.pop()
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _LITERALS:
                self.stack.append(argument)
            elif name in _OPERATIONS:
                _OPERATIONS[name](self, argument)
            else:
                raise _RefusedError(_REFUSED.get(name, f"the operation {name}"))
        raise _BrokenError("it does not end")

    def pop(self) -> Any:
        if not self.stack:
            raise _BrokenError("it takes what it did not put there")
        value = self.stack.pop()
        if value is _MARK:
            raise _BrokenError("it takes what it did not put there")
        return _finished(value)

    def pop_to_mark(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                values = [_finished(value) for value in self.stack[i + 1 :]]
                del self.stack[i:]
                return values
        raise _BrokenError("it takes what it did not put there")

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise _BrokenError(f"no {kind.__name__} is where one should be")
        return self.stack[-1]

    def get(self, index: Any) -> None:
        if int(index) not in self.memo:
            raise _BrokenError("it remembers what it did not see")
        self.stack.append(self.memo[int(index)])

    def put(self, index: Any) -> None:
        if not self.stack:
            raise _BrokenError("it remembers nothing")
        self.memo[int(index)] = self.stack[-1]

    def tuple_of(self, n: int) -> None:
        values = [self.pop() for _ in range(n)]
        self.stack.append(tuple(reversed(values)))

    def extend(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def update(self, values: list[Any]) -> None:
        self.top(dict).update(_pairs(values))

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise _BrokenError("a name is no text")
        if _call_of(module, name) is None:
            raise _RefusedError(f"{module}.{name}")
        self.stack.append(_Name(module, name))

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise _BrokenError("it calls what is no function")
        call = _call_of(function.module, function.name)
        assert call is not None  # `name` has refused those
        self.stack.append(call(*arguments))

    def build(self) -> None:
        state = self.pop()
        target = self.top(_Unfinished)
        target.value = target.finish(state)


def _finished(value: Any) -> Any:
    """An array in place of what it was made in."""
    if isinstance(value, _Unfinished) and value.value is not None:
        return value.value
    return value


def _pairs(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise _BrokenError("a key has no value")
    keys = values[::2]
    if not all(isinstance(key, str | bytes | int | float | np.number | None) for key in keys):
        raise _RefusedError("a key that is neither text nor number")
    return dict(zip(keys, values[1::2], strict=True))


# --- what may be called ------------------------------------------------------------------------


def _dtype(code: Any, *_: Any) -> _Unfinished:
    """``numpy.dtype(code, align, copy)``; its byte order comes with the state."""
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise _RefusedError(f"arrays of the type {str(code)[:20]!r}")

    def with_byte_order(state: Any) -> np.dtype[Any]:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise _BrokenError("a type of an array is damaged")
        if any(part is not None for part in state[2:5]):
            raise _RefusedError("arrays of records")
        return np.dtype(code if state[1] == "|" else state[1] + code)

    return _Unfinished(with_byte_order, np.dtype(code))


def _array(data: Any, dtype: Any, shape: Any, *, fortran: bool) -> NDArray[Any]:
    """An array of exactly the bytes that its shape and type need."""
    if isinstance(data, str):  # as Python 2 stored bytes
        data = data.encode("latin1")
    if not isinstance(dtype, np.dtype) or not _DTYPE.fullmatch(dtype.str[1:].replace("?", "b1")):
        raise _RefusedError("arrays of objects")
    if not isinstance(data, bytes | bytearray):
        raise _RefusedError("arrays of objects")
    fits = (
        isinstance(shape, tuple)
        and len(shape) <= _MAX_DIMENSIONS
        and all(isinstance(n, int) and n >= 0 for n in shape)
        and math.prod(shape) * dtype.itemsize == len(data)
    )
    if not fits or dtype.itemsize == 0:
        raise _BrokenError("the bytes of an array are not those of its shape")
    values = np.frombuffer(bytes(data) if isinstance(data, bytearray) else data, dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def _reconstruct(kind: Any, *_: Any) -> _Unfinished:
    """``_reconstruct(numpy.ndarray, (0,), b'b')``: an empty array that the state fills."""
    if not isinstance(kind, _Name) or str(kind) != "numpy.ndarray":
        raise _RefusedError(f"an array of the class {kind}")

    def filled(state: Any) -> NDArray[Any]:
        if not isinstance(state, tuple) or len(state) != 5:
            raise _BrokenError("an array is damaged")
        _, shape, dtype, fortran, data = state
        return _array(data, dtype, shape, fortran=bool(fortran))

    return _Unfinished(filled)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> NDArray[Any]:
    if order not in ("C", "F"):
        raise _BrokenError("an array has no order")
    return _array(data, dtype, shape, fortran=order == "F")


def _scalar(dtype: Any, data: Any) -> Any:
    return _array(data, dtype, (), fortran=False)[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """What pickles of bytes need ``codecs.encode`` for, before protocol 3."""
    if encoding != "latin1" or not isinstance(text, str):
        raise _RefusedError(f"codecs.encode for {encoding!r}")
    return text.encode("latin1")


def _empty(kind: type) -> Callable[..., Any]:
    def make(*arguments: Any) -> Any:
        if arguments:
            raise _RefusedError(f"{kind.__name__} of something")
        return kind()

    return make


def _never(*_: Any) -> Any:
    raise _RefusedError("numpy.ndarray itself")


def _call_of(module: str, name: str) -> Callable[..., Any] | None:
    """What is done for a function of a pickle, None where it is not known."""
    module = "builtins" if module == "__builtin__" else module
    module = module.replace("numpy._core.", "numpy.core.")
    return _CALLS.get(f"{module}.{name}")


_CALLS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "numpy.core.multiarray._reconstruct": _reconstruct,
        "numpy.core.multiarray.scalar": _scalar,
        "numpy.core.numeric._frombuffer": _from_buffer,
        "numpy.dtype": _dtype,
        "numpy.ndarray": _never,
        "builtins.bytes": _empty(bytes),
        "builtins.dict": _empty(dict),
        "builtins.list": _empty(list),
        "collections.OrderedDict": _empty(dict),
        "_codecs.encode": _encode,
    }
)


# --- operations ----------------------------------------------------------------------------------

_CONSTANTS: Mapping[str, Any] = MappingProxyType({"NONE": None, "NEWTRUE": True, "NEWFALSE": False})
#: Operations that put their own argument on the stack.
_LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    }
)
_OPERATIONS: Mapping[str, Callable[[_Machine, Any], Any]] = MappingProxyType(
    {
        "PROTO": lambda m, _: None,
        "FRAME": lambda m, _: None,
        "MARK": lambda m, _: m.stack.append(_MARK),
        "POP": lambda m, _: m.stack.pop() if m.stack else m.pop(),
        "POP_MARK": lambda m, _: m.pop_to_mark(),
        "EMPTY_LIST": lambda m, _: m.stack.append([]),
        "EMPTY_DICT": lambda m, _: m.stack.append({}),
        "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
        "LIST": lambda m, _: m.stack.append(m.pop_to_mark()),
        "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_to_mark())),
        "DICT": lambda m, _: m.stack.append(_pairs(m.pop_to_mark())),
        "TUPLE1": lambda m, _: m.tuple_of(1),
        "TUPLE2": lambda m, _: m.tuple_of(2),
        "TUPLE3": lambda m, _: m.tuple_of(3),
        "APPEND": lambda m, _: m.extend([m.pop()]),
        "APPENDS": lambda m, _: m.extend(m.pop_to_mark()),
        "SETITEM": lambda m, _: m.update([m.pop(), m.pop()][::-1]),
        "SETITEMS": lambda m, _: m.update(m.pop_to_mark()),
        "GET": lambda m, index: m.get(index),
        "BINGET": lambda m, index: m.get(index),
        "LONG_BINGET": lambda m, index: m.get(index),
        "PUT": lambda m, index: m.put(index),
        "BINPUT": lambda m, index: m.put(index),
        "LONG_BINPUT": lambda m, index: m.put(index),
        "MEMOIZE": lambda m, _: m.put(len(m.memo)),
        "GLOBAL": lambda m, names: m.name(*names.split(" ", 1)),
        "STACK_GLOBAL": lambda m, _: m.name(*[m.pop(), m.pop()][::-1]),
        "REDUCE": lambda m, _: m.reduce(),
        "BUILD": lambda m, _: m.build(),
    }
)
_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "PERSID": "an object kept outside the file",
        "BINPERSID": "an object kept outside the file",
        "NEXT_BUFFER": "an array kept outside the file",
        "EMPTY_SET": "a set",
        "FROZENSET": "a set",
        "INST": "a class",
        "OBJ": "a class",
        "NEWOBJ": "a class",
        "NEWOBJ_EX": "a class",
        "EXT1": "an extension",
        "EXT2": "an extension",
        "EXT4": "an extension",
    }
)
