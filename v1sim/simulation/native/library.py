"""The compiled extension module, found or compiled, checked against the running NEST, and called.

``pip install`` compiles the module where a compiler is there. If that one is
missing or was made for another NEST (an upgrade, a build with MPI), it is compiled
once more into the user's cache.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from v1sim.cache import CacheError, cache_folder, require_own
from v1sim.digests import SynapseDigest
from v1sim.errors import InputError, SimulationError
from v1sim.simulation.kernel import backend
from v1sim.simulation.native.compile import (
    CompilationError,
    compile_module,
    fitting_module,
    wanted_stamp,
)
from v1sim.units import to_steps

__all__ = [
    "MODELS",
    "NORMALISED_SYNAPSES",
    "SPIKE_SINK",
    "SPIKE_SOURCE",
    "Audit",
    "NativeModule",
    "has_native",
    "native_module",
    "native_or_none",
    "present_module",
]

#: NEST models of the module by v1sim's name of the dynamics.
MODELS = {
    "training": "glif3_training",
    "training_single": "glif3_training_single",
    "training_float32": "glif3_training_float32",
}
#: NEST models of the source that is given arrays and of the sink that records what it gets.
SPIKE_SOURCE, SPIKE_SINK = "spike_source", "spike_sink"
#: NEST models of synapses that hold the file's normalised weight, by the model of their targets.
NORMALISED_SYNAPSES = {
    "training": "normalised_synapse",
    "training_single": "normalised_synapse_single",
}

_I64 = NDArray[np.int64]
_log = logging.getLogger("v1sim")
_FAILURES = {
    -1: "there is no synapse model of this name",
    -2: "the synapse model is neither v1sim's nor a static synapse",
    -3: "a synapse connects a node that is not in the plan",
}


def _pointer(dtype: type) -> type:
    return np.ctypeslib.ndpointer(dtype=dtype, flags="C_CONTIGUOUS")


@dataclass(frozen=True, eq=False)
class Audit:
    """All synapses of one projection as NEST holds them.

    ``counts`` (receptors,) counts them by receptor.
    """

    digest: SynapseDigest
    counts: _I64


class SynapseBlock(Protocol):
    """What the module needs of a block of synapses that are held normalised."""

    @property
    def pre(self) -> NDArray[np.integer]: ...

    @property
    def post(self) -> NDArray[np.integer]: ...

    @property
    def receptor(self) -> NDArray[np.integer]: ...

    @property
    def delay_ms(self) -> NDArray[np.floating]: ...

    @property
    def weight(self) -> NDArray[np.floating]: ...

    @property
    def scale(self) -> NDArray[np.float64] | None: ...


class NativeModule:
    """The functions of the loaded module. Get it from `native_module`."""

    def __init__(self, path: Path) -> None:
        backend()  # the module resolves NEST's symbols as it is loaded
        self.path = path
        library = ctypes.CDLL(str(path))
        index = [_pointer(np.int64), ctypes.c_int64, _pointer(np.int64), ctypes.c_int64]
        library.v1sim_n_recorded.restype = ctypes.c_int64
        library.v1sim_take_recorded.argtypes = [_pointer(np.uint32), _pointer(np.uint32)]
        library.v1sim_take_recorded.restype = None
        library.v1sim_set_summation_order.argtypes = [
            *(_pointer(np.uint32), ctypes.c_int64),
            *(ctypes.c_int, ctypes.c_int),
        ]
        library.v1sim_set_summation_order.restype = None
        library.v1sim_give_spikes.argtypes = [
            *(ctypes.c_int64, ctypes.c_int64),
            *(_pointer(np.int32), _pointer(np.int64), ctypes.c_int64),
        ]
        library.v1sim_give_spikes.restype = None
        library.v1sim_give_values.argtypes = [*[ctypes.c_int64] * 4, _pointer(np.float32)]
        library.v1sim_give_values.restype = None
        library.v1sim_audit.restype = ctypes.c_int64
        library.v1sim_audit.argtypes = [
            ctypes.c_char_p,
            *index,
            ctypes.c_int64,
            *(_pointer(np.uint64), _pointer(np.int64)),
        ]
        library.v1sim_synapses.restype = ctypes.c_int64
        library.v1sim_synapses.argtypes = [
            ctypes.c_char_p,
            *index,
            ctypes.c_int64,
            *[_pointer(np.int64)] * 4,
            _pointer(np.float64),
        ]
        columns = [
            *(ctypes.c_int64, _pointer(np.int64), _pointer(np.int64)),
            *(_pointer(np.uint8), _pointer(np.int32)),
        ]
        library.v1sim_error_message.restype = ctypes.c_char_p
        library.v1sim_begin_filling.argtypes = [ctypes.c_char_p]
        library.v1sim_count_synapses.argtypes = columns
        library.v1sim_write_synapses.argtypes = [*columns, _pointer(np.float32)]
        library.v1sim_set_background_weights.argtypes = [
            *(_pointer(np.int64), ctypes.c_int64, ctypes.c_int64, _pointer(np.float32)),
        ]
        library.v1sim_set_background_weights.restype = None
        library.v1sim_set_background.argtypes = [
            *(ctypes.c_int64, _pointer(np.float64), ctypes.c_int64),
        ]
        library.v1sim_set_background.restype = None
        library.v1sim_set_poisson_background.argtypes = [
            *(ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_double),
        ]
        library.v1sim_set_poisson_background.restype = None
        library.v1sim_digest.argtypes = [
            *(ctypes.c_int64, _pointer(np.int32), _pointer(np.int32), _pointer(np.uint8)),
            *(_pointer(np.int32), _pointer(np.float32), _pointer(np.float64)),
            _pointer(np.uint64),
        ]
        library.v1sim_digest.restype = None
        library.v1sim_skip_frozen_nodes.restype = None
        shape = [ctypes.POINTER(ctypes.c_int64)] * 3
        library.v1sim_state_shape.argtypes = shape
        library.v1sim_state_shape.restype = None
        state = [
            *(_pointer(np.int64), *[ctypes.c_int64] * 4),
            *(_pointer(np.float64), _pointer(np.float64)),
        ]
        for function in (library.v1sim_get_state, library.v1sim_set_state):
            function.argtypes = state
            function.restype = None
        library.v1sim_send_again.argtypes = [_pointer(np.int64), ctypes.c_int64]
        library.v1sim_send_again.restype = None
        library.v1sim_audit_background.restype = ctypes.c_int64
        library.v1sim_audit_background.argtypes = [
            *(_pointer(np.int64), ctypes.c_int64, ctypes.c_double),
            *(ctypes.c_int64, _pointer(np.uint64), _pointer(np.int64)),
        ]
        library.v1sim_background_weights.restype = ctypes.c_int64
        library.v1sim_background_weights.argtypes = [
            *(_pointer(np.int64), ctypes.c_int64, ctypes.c_double),
            ctypes.c_int64,
            *[_pointer(np.int64)] * 4,
            _pointer(np.float64),
        ]
        self._library = library

    def install(self) -> None:
        """Register the models with the kernel; after every reset and change of threads."""
        nest, _ = backend()
        if MODELS["training"] not in nest.node_models:
            nest.Install(str(self.path))
        self._library.v1sim_prepare()

    def take_spikes(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Node id and time stamp (in steps) of the spikes since the last call, unsorted."""
        n = self._library.v1sim_n_recorded()
        node, step = np.empty(n, dtype=np.uint32), np.empty(n, dtype=np.uint32)
        self._library.v1sim_take_recorded(node, step)
        return node, step

    def give_spikes(
        self, first_node: int, n_sources: int, source: NDArray[np.integer], stamp: _I64
    ) -> None:
        """Give the nodes of a `SPIKE_SOURCE` population their spikes, in place of earlier ones.

        Parameters
        ----------
        first_node, n_sources : int
            The population: consecutive node ids.
        source, stamp : int array, shape (q,)
            Index of the source and time stamp in steps.
        """
        order = np.argsort(stamp, kind="stable")
        self._library.v1sim_give_spikes(
            first_node,
            n_sources,
            np.ascontiguousarray(source[order], dtype=np.int32),
            np.ascontiguousarray(stamp[order], dtype=np.int64),
            len(stamp),
        )

    def give_values(self, first_node: int, first_stamp: int, values: NDArray[np.float32]) -> None:
        """Make the nodes of a `SPIKE_SOURCE` population send numbers instead of spikes.

        In each step the weight of each of their synapses acts times the source's value of that
        step, on the neurons of `MODELS` alone. No other population has analog input then.

        Parameters
        ----------
        first_node : int
            The population: consecutive node ids.
        first_stamp : int
            Time stamp, in steps, of the first row.
        values : float32 array, shape (steps, sources)
        """
        n_steps, n_sources = values.shape
        self._library.v1sim_give_values(
            first_node, n_sources, first_stamp, n_steps, np.ascontiguousarray(values, np.float32)
        )

    def set_summation_order(
        self, groups: Sequence[_I64], *, delay_first: bool, currents_apart: bool
    ) -> None:
        """Say in which order float32 neurons add up.

        Parameters
        ----------
        groups : sequence of int array
            Node ids of the neurons, then of each source population, each in the file's
            order. Training adds up each group by itself, those of the sources to each other, and
            these to the neurons'.
        delay_first : bool
            Whether a group is added up by delay, then source; else by source, then delay.
        currents_apart : bool
            Whether the two after-spike currents are added to each other first.
        """
        order = np.zeros(max(int(node.max(initial=0)) for node in groups) + 1, dtype=np.uint32)
        for group, node in enumerate(groups):
            order[node] = np.arange(len(node), dtype=np.uint32) | np.uint32(group << 26)
        self._library.v1sim_set_summation_order(
            order, len(order), int(delay_first), int(currents_apart)
        )

    def set_muted(self, muted: bool) -> None:
        """While muted, no neuron of the training dynamics spikes."""
        self._library.v1sim_set_muted(int(muted))

    def reset_neurons(self) -> None:
        """State and input of every neuron as after creation, that of glif_psc included."""
        self._library.v1sim_reset_neurons()

    @contextlib.contextmanager
    def filling(self, synapse_model: str) -> Iterator[Filling]:
        """Put synapses into NEST's connectors, as a copy of one of `NORMALISED_SYNAPSES`.

        Within the context all blocks of synapses are counted, and then the same are written.

        Raises
        ------
        SimulationError
            Saying what NEST or the module refused.
        """
        filling = Filling(self._library, synapse_model)
        filling.raise_on_failure(self._library.v1sim_begin_filling(synapse_model.encode()))
        yield filling
        filling.raise_on_failure(self._library.v1sim_finish_filling())

    def set_background_weights(self, node: _I64, weight: NDArray[np.float32]) -> None:
        """Give the neurons ``node`` their normalised background weights, shape (n, receptors)."""
        self._library.v1sim_set_background_weights(
            np.ascontiguousarray(node), *weight.shape, np.ascontiguousarray(weight)
        )

    def set_background(self, first_step: int, factor: NDArray[np.float64]) -> None:
        """What background weights act times in NEST's steps ``first_step`` ..; 0 in all others."""
        self._library.v1sim_set_background(first_step, np.ascontiguousarray(factor), len(factor))

    def set_poisson_background(
        self, first_step: int, n_steps: int, key: int, event_weight: float
    ) -> None:
        """Let each neuron draw its own background events, one a step on average.

        Parameters
        ----------
        first_step, n_steps : int
            The steps of NEST in which it does.
        key : int
            64 bits that the draws follow from, whatever the number of threads and processes.
        event_weight : float
            What the background weights act times for one event.
        """
        self._library.v1sim_set_poisson_background(first_step, n_steps, key, event_weight)

    def skip_frozen_nodes(self, skips: bool) -> None:
        """Whether NEST's loop over nodes ends before the neurons that are updated together.

        That writes to private members of NEST, whose version the module was compiled for.
        """
        self._library.v1sim_skip_frozen_nodes(int(skips))

    def get_state(self, node: _I64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """State of neurons, and what is on its way to them; 0 for those of other processes.

        Returns
        -------
        state : float64 array, shape (n, 5 + 2 receptors)
            v, r, z and the two after-spike currents, then current and rise of each receptor.
        arriving : float64 array, shape (n, steps, receptors)
            What arrives in the coming steps.
        """
        n_numbers, n_slots, n_receptors = self._state_shape()
        state = np.zeros((len(node), n_numbers))
        arriving = np.zeros((len(node), n_slots, n_receptors))
        self._library.v1sim_get_state(
            np.ascontiguousarray(node),
            *(len(node), n_numbers, n_slots, n_receptors, state, arriving),
        )
        return state, arriving

    def set_state(
        self, node: _I64, state: NDArray[np.float64], arriving: NDArray[np.float64]
    ) -> None:
        """Set what `get_state` gave, in a network that has run a step at least."""
        self._library.v1sim_set_state(
            np.ascontiguousarray(node),
            *(len(node), state.shape[1], *arriving.shape[1:]),
            *(np.ascontiguousarray(state), np.ascontiguousarray(arriving)),
        )

    def send_again(self, node: _I64) -> None:
        """Let these neurons send a spike each in the coming step, which is not recorded."""
        self._library.v1sim_send_again(np.ascontiguousarray(node), len(node))

    def _state_shape(self) -> tuple[int, int, int]:
        values = ctypes.c_int64(), ctypes.c_int64(), ctypes.c_int64()
        self._library.v1sim_state_shape(*map(ctypes.byref, values))
        n_numbers, n_slots, n_receptors = (value.value for value in values)
        return n_numbers, n_slots, n_receptors

    def digest(self, block: SynapseBlock, dt_ms: float) -> SynapseDigest:
        """Digest of a block as `v1sim.digests.synapse_digest` gives it, on all threads."""
        sums = np.zeros(2, dtype=np.uint64)
        self._library.v1sim_digest(
            len(block.pre),
            np.ascontiguousarray(block.pre, dtype=np.int32),
            np.ascontiguousarray(block.post, dtype=np.int32),
            np.ascontiguousarray(block.receptor, dtype=np.uint8),
            to_steps(block.delay_ms, dt_ms).astype(np.int32),
            np.ascontiguousarray(block.weight, dtype=np.float32),
            np.ascontiguousarray(block.scale, dtype=np.float64),
            sums,
        )
        return SynapseDigest(len(block.pre), (int(sums[0]), int(sums[1])))

    def audit_background(self, target_index: _I64, event_weight: float, n_receptors: int) -> Audit:
        """Digest and counts of the background weights of all neurons.

        Each weight that is not 0 is a synapse of one step from source 0, with the pA of one event.

        Parameters
        ----------
        target_index : int array
            Index of each node, by node id.
        event_weight : float
            What the background weights act times for one event.
        n_receptors : int
            Receptors of a neuron.
        """
        sums = np.zeros(2, dtype=np.uint64)
        counts = np.zeros(n_receptors, dtype=np.int64)
        n = self._library.v1sim_audit_background(
            *(target_index, len(target_index), event_weight),
            *(n_receptors, sums, counts),
        )
        _raise_on_failure(n, "background")
        return Audit(SynapseDigest(n, (int(sums[0]), int(sums[1]))), counts)

    def background_weights(
        self, target_index: _I64, event_weight: float, capacity: int
    ) -> tuple[_I64, _I64, _I64, _I64, NDArray[np.float64]]:
        """The synapses that `audit_background` sees, as `synapses` gives them."""
        return self._columns(
            self._library.v1sim_background_weights,
            (target_index, len(target_index), event_weight),
            capacity,
            "background",
        )

    def audit(
        self,
        synapse_model: str,
        source_index: _I64,
        target_index: _I64,
        n_receptors: int,
    ) -> Audit:
        """Digest and counts of all synapses of a model.

        Parameters
        ----------
        synapse_model : str
            NEST's name of the model.
        source_index, target_index : int array
            Index of each node, by node id; -1 for nodes that have none.
        n_receptors : int
            Receptors that are counted; synapses of others are in the digest alone.

        Raises
        ------
        SimulationError
            If there is no such model, or a synapse connects a node without index.
        """
        sums = np.zeros(2, dtype=np.uint64)
        counts = np.zeros(n_receptors, dtype=np.int64)
        n = self._library.v1sim_audit(
            synapse_model.encode(),
            *_sized([source_index, target_index]),
            *(n_receptors, sums, counts),
        )
        _raise_on_failure(n, synapse_model)
        return Audit(SynapseDigest(n, (int(sums[0]), int(sums[1]))), counts)

    def synapses(
        self, synapse_model: str, source_index: _I64, target_index: _I64, capacity: int
    ) -> tuple[_I64, _I64, _I64, _I64, NDArray[np.float64]]:
        """Pre, post, receptor, delay in steps and weight in pA of a model's synapses.

        At most ``capacity`` of them, in no order.

        Raises
        ------
        SimulationError
            As `audit` does.
        """
        return self._columns(
            self._library.v1sim_synapses,
            (synapse_model.encode(), *_sized([source_index, target_index])),
            capacity,
            synapse_model,
        )

    def _columns(
        self, function: Any, arguments: tuple[object, ...], capacity: int, what: str
    ) -> tuple[_I64, _I64, _I64, _I64, NDArray[np.float64]]:
        pre, post, receptor, delay = (np.empty(capacity, dtype=np.int64) for _ in range(4))
        weight = np.empty(capacity)
        n = function(*arguments, capacity, pre, post, receptor, delay, weight)
        _raise_on_failure(n, what)
        n = min(n, capacity)
        return pre[:n], post[:n], receptor[:n], delay[:n], weight[:n]


class Filling:
    """Blocks of synapses on their way into NEST's connectors; from `NativeModule.filling`."""

    def __init__(self, library: ctypes.CDLL, synapse_model: str) -> None:
        self._library = library
        self._synapse_model = synapse_model

    def count(self, pre_node: _I64, post_node: _I64, block: SynapseBlock, dt_ms: float) -> None:
        """Count the synapses of a block; those onto neurons of other processes are left out."""
        columns = _columns_of(pre_node, post_node, block, dt_ms)
        self.raise_on_failure(self._library.v1sim_count_synapses(len(pre_node), *columns))

    def write(self, pre_node: _I64, post_node: _I64, block: SynapseBlock, dt_ms: float) -> None:
        """Write them, when all blocks have been counted."""
        columns = _columns_of(pre_node, post_node, block, dt_ms)
        weight = np.ascontiguousarray(block.weight, dtype=np.float32)
        self.raise_on_failure(self._library.v1sim_write_synapses(len(pre_node), *columns, weight))

    def raise_on_failure(self, succeeded: int) -> None:
        """A `SimulationError` with what the module says, unless ``succeeded``."""
        if not succeeded:
            message = self._library.v1sim_error_message().decode(errors="replace")
            raise SimulationError(message, where=f"connecting {self._synapse_model}")


def _columns_of(
    pre_node: _I64, post_node: _I64, block: SynapseBlock, dt_ms: float
) -> tuple[NDArray[np.generic], ...]:
    return (
        np.ascontiguousarray(pre_node),
        np.ascontiguousarray(post_node),
        np.ascontiguousarray(block.receptor, dtype=np.uint8),
        to_steps(block.delay_ms, dt_ms).astype(np.int32),
    )


def _sized(arrays: Sequence[_I64]) -> list[object]:
    return [value for array in arrays for value in (array, len(array))]


def _raise_on_failure(n: int, synapse_model: str) -> None:
    if n < 0:
        raise SimulationError(_FAILURES[n], where=f"read-back of {synapse_model}")


@functools.cache  # a compilation that failed is not tried again
def _native_path() -> Path | InputError:
    """The module's file, compiled now if there is none; or why it cannot be had."""
    try:
        return fitting_module(Path(__file__).parent) or _cached_module(wanted_stamp())
    except (CompilationError, OSError) as error:
        return _not_there(error)


def _cached_module(stamp: dict[str, str | bool]) -> Path:
    """The module in the user's cache, compiled now if it is not there.

    Where the cache cannot be trusted or written, it is compiled for this process alone.
    """
    try:
        folder = cache_folder(_name_in_cache(stamp))
        module = fitting_module(folder)
        if module is not None:
            for path in (module, module.with_suffix(".json")):
                require_own(path)
            return module
        if os.access(folder, os.W_OK):
            return compile_module(folder)
        reason = f"{folder} cannot be written"
    except CacheError as error:
        reason = str(error)
    _log.warning("%s: v1sim's NEST module is compiled for this process alone", reason)
    scratch = Path(tempfile.mkdtemp(prefix="v1sim-"))
    atexit.register(_remove, scratch, os.getpid())
    return compile_module(scratch)


def _name_in_cache(stamp: dict[str, str | bool]) -> str:
    return f"nest-{stamp['nest']}{'-mpi' if stamp['mpi'] else ''}-{stamp['sources']}"


def present_module() -> Path | None:
    """The module that is there for the installed NEST; None where it has to be compiled first.

    Raises
    ------
    CompilationError
        If NEST or its headers are not there.
    CacheError
        If the cache cannot be used.
    """
    here = fitting_module(Path(__file__).parent)
    return here or fitting_module(cache_folder(_name_in_cache(wanted_stamp())))


def _remove(folder: Path, maker: int) -> None:
    """Remove a folder at the end of the process that made it, not of one that it forked."""
    if os.getpid() == maker:
        shutil.rmtree(folder, ignore_errors=True)


def _not_there(error: Exception) -> InputError:
    return InputError(
        f"v1sim's NEST module is not there: {error}",
        where="simulation.dynamics",
        expected="a C++20 compiler, and Boost's headers",
        hint="install what is missing (apt-get install g++; pip install boost-headers), or set "
        "simulation.dynamics: glif_psc",
    )


def has_native() -> bool:
    """Whether there is a module for the installed NEST, compiled now if need be; loads neither."""
    return isinstance(_native_path(), Path)


@functools.cache
def native_module() -> NativeModule:
    """The module for the running NEST; compiled now if there is none.

    Raises
    ------
    InputError
        Saying what to install if it cannot be compiled.
    """
    path = _native_path()
    if isinstance(path, InputError):
        raise path
    try:
        return NativeModule(path)
    except (OSError, AttributeError) as error:  # no library, or one that lacks a function
        raise InputError(
            f"v1sim's NEST module cannot be loaded: {error}",
            where=str(path),
            expected="the library that v1sim compiled for this NEST",
            hint=f"remove {path.parent}: it is compiled again"
            if path.parent != Path(__file__).parent
            else f"remove {path} and its .json: it is compiled again",
        ) from error


def native_or_none() -> NativeModule | None:
    """The module, or None where it cannot be had."""
    try:
        return native_module()
    except InputError:
        return None
