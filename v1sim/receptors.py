"""What the receptors of a network are: their names, kinds and time courses.

A synapse acts through a receptor of its target. In the layout of the Billeh model the number of a
receptor says what its presynaptic and postsynaptic cells are (`BILLEH_RECEPTORS`). In other
networks it is a port of a cell model and says nothing of the kind: then the kind is
`Kind.UNKNOWN`, and what needs it must leave such synapses out. Whoever wants to know whether a
receptor is excitatory or inhibitory asks `ReceptorKinds.presynaptic_kind`.

Letters in shapes: t cell types, r receptors.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from v1sim import units

__all__ = [
    "BILLEH_RECEPTORS",
    "KNOWN_KINDS",
    "Kind",
    "ReceptorKinds",
    "ReceptorScheme",
    "TimeCourses",
]

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

#: Receptors that a synapse table can tell apart: its column holds a byte.
_MAX_RECEPTORS = 256


class Kind(IntEnum):
    """Kind of a cell, as an index: arrays by kind have `len(Kind)` entries."""

    EXCITATORY = 0
    INHIBITORY = 1
    UNKNOWN = 2


#: The kinds that have a sign, in the order of their indices.
KNOWN_KINDS = (Kind.EXCITATORY, Kind.INHIBITORY)


@dataclass(frozen=True, eq=False)
class ReceptorKinds:
    """Names of the receptors, and the kinds of cells on both of their sides.

    Parameters
    ----------
    names : tuple of str, length r
        By index in a synapse table.
    presynaptic, postsynaptic : uint8 array, shape (t, r) or (1, r)
        A `Kind` each; one row holds for all cell types.
    """

    names: tuple[str, ...]
    presynaptic: U8
    postsynaptic: U8

    def __post_init__(self) -> None:
        shape = np.shape(self.presynaptic)
        if not 1 <= len(self.names) <= _MAX_RECEPTORS or len(set(self.names)) < len(self.names):
            msg = f"1 to {_MAX_RECEPTORS} receptors, each with its own name, not {self.names}"
            raise ValueError(msg)
        if shape != np.shape(self.postsynaptic) or shape[1:] != (len(self.names),):
            msg = f"kinds of the shapes {shape} and {np.shape(self.postsynaptic)}"
            raise ValueError(msg)
        for kinds in (self.presynaptic, self.postsynaptic):
            kinds.flags.writeable = False

    @classmethod
    def unknown(cls, n: int) -> ReceptorKinds:
        """``n`` receptors of which nothing but the number is known."""
        kinds = np.full((1, n), Kind.UNKNOWN, dtype=np.uint8)
        return cls(tuple(f"receptor_{i}" for i in range(n)), kinds, kinds.copy())

    @property
    def n(self) -> int:
        """Number of receptors."""
        return len(self.names)

    @property
    def same_for_all_types(self) -> bool:
        """Whether the kinds do not depend on the cell type of the target."""
        return len(self.presynaptic) == 1

    def same_as(self, other: ReceptorKinds) -> bool:
        """Whether names and kinds are those of another scheme."""
        return (
            self.names == other.names
            and np.array_equal(self.presynaptic, other.presynaptic)
            and np.array_equal(self.postsynaptic, other.postsynaptic)
        )

    def presynaptic_kind(
        self, receptor: NDArray[np.integer], cell_type: NDArray[np.integer] | None = None
    ) -> U8:
        """Kind of the cells that project to a receptor: the one home of "is it inhibitory".

        Parameters
        ----------
        receptor : int array, shape (s,)
            Receptor of each synapse, in range.
        cell_type : int array, shape (s,), optional
            Cell type of each synapse's target; not needed where kinds are `same_for_all_types`.

        Returns
        -------
        uint8 array, shape (s,)
            A `Kind` each.
        """
        return self._kind(self.presynaptic, receptor, cell_type)

    def postsynaptic_kind(
        self, receptor: NDArray[np.integer], cell_type: NDArray[np.integer] | None = None
    ) -> U8:
        """Kind of the cells that a receptor lies on; as `presynaptic_kind`."""
        return self._kind(self.postsynaptic, receptor, cell_type)

    def _kind(
        self, kinds: U8, receptor: NDArray[np.integer], cell_type: NDArray[np.integer] | None
    ) -> U8:
        if self.same_for_all_types:
            return kinds[0].take(receptor)
        if cell_type is None:
            msg = "the kinds of these receptors depend on the cell type of the target"
            raise ValueError(msg)
        index = cell_type.astype(np.intp) * self.n + receptor
        return kinds.reshape(-1).take(index)

    def common_kinds(self, receptor: int) -> tuple[Kind, Kind]:
        """Presynaptic and postsynaptic kind of a receptor; unknown where types differ in it."""
        pre, post = (
            Kind(column[0]) if (column == column[0]).all() else Kind.UNKNOWN
            for column in (self.presynaptic[:, receptor], self.postsynaptic[:, receptor])
        )
        return pre, post

    def index(self, name: str) -> int:
        """Index of the receptor of this name.

        Raises
        ------
        KeyError
            If there is none.
        """
        if name not in self.names:
            raise KeyError(name)
        return self.names.index(name)

    def between(self, presynaptic: ArrayLike, postsynaptic: ArrayLike) -> NDArray[np.intp]:
        """The first receptor from cells of one kind onto cells of another, by broadcasting.

        Raises
        ------
        ValueError
            If there is no such receptor, or which it is depends on the cell type.
        """
        found = self._receptor_between[np.asarray(presynaptic), np.asarray(postsynaptic)]
        if (found < 0).any():
            msg = "no receptor of all cell types is between cells of these kinds"
            raise ValueError(msg)
        return found

    @cached_property
    def _receptor_between(self) -> NDArray[np.intp]:
        table = np.full((len(Kind), len(Kind)), -1, dtype=np.intp)
        for receptor in reversed(range(self.n)):
            table[self.common_kinds(receptor)] = receptor
        return table


@dataclass(frozen=True, eq=False)
class TimeCourses:
    """The current that a spike of weight 1 causes through each receptor of each type.

    It is a sum of functions of time; letters in shapes: f functions.

    Parameters
    ----------
    shape : tuple of str, length t
        Of each type: "alpha" (peak at the amplitude), "exponential" (start at the amplitude), or
        "delta" (the potential jumps by the weight in mV, there is no current), "unknown".
    tau_ms, amplitude : float array, shape (t, r, f)
        Time constants in ms, and amplitudes relative to the weight; NaN where a type has no such
        function or no such receptor.
    """

    shape: tuple[str, ...]
    tau_ms: F64
    amplitude: F64

    def charge_pa_ms(self, weight_pa: float = 1.0) -> F64:
        """Charge of a spike of a weight, pA ms, shape (t, r); NaN where there is no current."""
        is_alpha = np.array(self.shape) == "alpha"
        factor = np.where(is_alpha, weight_pa * np.e, weight_pa)[:, np.newaxis, np.newaxis]
        charge = factor * self.tau_ms * self.amplitude
        none = np.isnan(charge).all(axis=-1)
        return np.where(none, np.nan, np.nansum(charge, axis=-1))

    @property
    def slowest_ms(self) -> float:
        """The longest time constant; 0 where there is none."""
        return float(np.nanmax(self.tau_ms, initial=0.0))

    def peak_psp_mv(self, c_m_pf: F64, g_ns: F64) -> F64:
        """Peak of the potential that a spike of weight 1 causes, from rest, shape (t, r).

        Within 0.01 %; NaN where a type has no such receptor.

        Parameters
        ----------
        c_m_pf, g_ns : float array, shape (t,)
            Capacitance in pF and leak conductance in nS of each type, both > 0.
        """
        peak = np.full(self.tau_ms.shape[:2], np.nan)
        for shape in set(self.shape):  # of which there are three
            row = np.flatnonzero(np.array(self.shape) == shape)
            tau, amplitude = self.tau_ms[row], self.amplitude[row]
            if shape == "unknown":
                continue
            if shape == "delta":
                peak[row] = 1.0
            elif shape == "alpha" and np.isnan(amplitude[..., 1:]).all():
                peak[row] = units.peak_psp_mv_per_pa(c_m_pf[row], g_ns[row], tau[..., 0])
            else:
                peak[row] = units.peak_of_sum_mv_per_pa(
                    c_m_pf[row], g_ns[row], tau, amplitude, alpha=shape == "alpha"
                )
        return peak


@dataclass(frozen=True, eq=False)
class ReceptorScheme(ReceptorKinds):
    """All that is known of the receptors of a network: names, kinds and time courses."""

    time_courses: TimeCourses


#: The receptors of the Billeh model's files and of the published training (Billeh et al. 2020, doi
#: 10.1016/j.neuron.2020.01.040), by their number there.
BILLEH_RECEPTORS = ReceptorKinds(
    names=("exc_to_exc", "inh_to_exc", "exc_to_inh", "inh_to_inh"),
    presynaptic=np.array([[0, 1, 0, 1]], dtype=np.uint8),
    postsynaptic=np.array([[0, 0, 1, 1]], dtype=np.uint8),
)
