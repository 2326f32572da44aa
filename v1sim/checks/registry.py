"""The registry of checks, what a check is given, and the runner.

A check is a small function that reads a `Context` and yields an `Observation`
for each thing that is wrong. Everything else about it stands in its decorator::

    @check(
        "values.weight_sign",
        severity=Severity.ERROR,
        reason="Training keeps the sign of every weight ...",
        calibration="No nonzero weight of the reference networks has the wrong sign.",
        needs=("structure.index_range",),
    )
    def weight_sign(context: Context) -> Iterator[Observation]: ...

The runner adds name and severity, turns a crash into an error, and says which
checks it left out because a check that they need had found errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v1sim.checks.statistics import count_values
from v1sim.model import (
    EXCITATORY_RECEPTORS,
    RECEPTORS,
    Finding,
    NetworkModel,
    Severity,
    SynapseTable,
)
from v1sim.sources.provenance import ProvenanceMismatch, verify
from v1sim.units import peak_psp_mv_per_pa

__all__ = [
    "CRASHED",
    "SKIPPED",
    "Check",
    "Context",
    "Observation",
    "check",
    "registered_checks",
    "run_checks",
]

#: Name of the finding about a check that crashed. No waiver covers it.
CRASHED = "guard.crash"
#: Name of the finding about a check that could not be run.
SKIPPED = "guard.skipped"
#: Synapses handled at a time: the work arrays stay small beside the columns.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Observation:
    """What a check saw: a `Finding` without the check's name and severity."""

    where: str
    message: str
    hint: str = ""
    n_bad: int = 0
    n_seen: int = 0
    examples: tuple[str, ...] = ()
    observed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, eq=False)
class Context:
    """What checks read: the network, the time step, and what several checks derive from them."""

    network: NetworkModel
    dt_ms: float

    @property
    def tables(self) -> Mapping[str, SynapseTable]:
        """The synapse tables by the name of their group in the file."""
        return {"recurrent": self.network.recurrent, "input": self.network.lgn}

    @cached_property
    def provenance_mismatch(self) -> ProvenanceMismatch | None:
        """What differs from the network's provenance (empty: nothing); None without one."""
        return None if self.network.provenance is None else verify(self.network)

    @cached_property
    def sends(self) -> NDArray[np.int64]:
        """Synapses that each neuron sends through excitatory and inhibitory receptors, (n, 2)."""
        table = self.network.recurrent
        inhibitory = is_inhibitory(table.receptor)
        return _count_pairs(table.pre, inhibitory, self.network.n_neurons)

    @cached_property
    def receives(self) -> NDArray[np.int64]:
        """Synapses that each neuron receives as an excitatory and an inhibitory cell, (n, 2)."""
        counts = np.zeros((self.network.n_neurons, 2), dtype=np.int64)
        for table in self.tables.values():
            counts += _count_pairs(table.post, table.receptor >= 2, self.network.n_neurons)
        return counts

    def delays_ms(self, group: str) -> NDArray[np.float32]:
        """The distinct delays of a table, ascending by their bits (NaN last)."""
        return self._delays_ms[group]

    @cached_property
    def _delays_ms(self) -> dict[str, NDArray[np.float32]]:
        return {
            group: np.unique(table.delay_ms.view(np.uint32)).view(np.float32)
            for group, table in self.tables.items()
        }

    def psp_mv(self, group: str) -> NDArray[np.float32]:
        """Size of the peak potential that each synapse of a table causes, mV, shape (s,).

        Needs indices and receptors in range and parameters that are physical.
        """
        types = self.network.cell_types
        per_pa = peak_psp_mv_per_pa(types.c_m_pf, types.g_ns, types.tau_syn_ms)
        gain = (per_pa * types.voltage_scale_mv[:, np.newaxis]).astype(np.float32)
        return _psp_mv(self.tables[group], gain[self.network.neurons.cell_type].reshape(-1))


def _psp_mv(table: SynapseTable, gain_mv: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sizes of potentials; ``gain_mv`` (n * 4) by neuron and receptor."""
    size = np.empty(len(table), dtype=np.float32)
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        index = table.post[part].astype(np.int64)
        index *= len(RECEPTORS)
        index += table.receptor[part]
        np.multiply(gain_mv[index], table.weight[part], out=size[part])
    return np.abs(size, out=size)


def is_inhibitory(receptor: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether the presynaptic cell of each receptor is inhibitory."""
    lookup = np.ones(256, dtype=bool)
    lookup[list(EXCITATORY_RECEPTORS)] = False
    return lookup[receptor]


def _count_pairs(index: NDArray[np.int32], second: NDArray[np.bool_], n: int) -> NDArray[np.int64]:
    n_second = count_values(index[second], n)
    return np.column_stack([count_values(index, n) - n_second, n_second])


CheckFunction = Callable[[Context], Iterator[Observation]]


@dataclass(frozen=True)
class Check:
    """A check and all that is to be known about it.

    ``needs`` names the checks without whose success this one cannot be run.
    A check that is not ``waivable`` guards the simulator itself.
    """

    name: str
    severity: Severity
    reason: str
    calibration: str
    function: CheckFunction
    needs: tuple[str, ...] = ()
    waivable: bool = True

    @property
    def family(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    @property
    def anchor(self) -> str:
        """Where the documentation explains the check."""
        return f"docs/checks.md#{self.name.replace('.', '-').replace('_', '-')}"


_CHECKS: dict[str, Check] = {}


def check(
    name: str,
    *,
    severity: Severity,
    reason: str,
    calibration: str,
    needs: tuple[str, ...] = (),
    waivable: bool = True,
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a check.

    Raises
    ------
    ValueError
        If the name is taken or has no family.
    """
    if name in _CHECKS:
        msg = f"two checks are named {name!r}"
        raise ValueError(msg)
    if name.count(".") != 1:
        msg = f"a check is named family.rule, not {name!r}"
        raise ValueError(msg)

    def register(function: CheckFunction) -> CheckFunction:
        _CHECKS[name] = Check(name, severity, reason, calibration, function, needs, waivable)
        return function

    return register


def registered_checks() -> Mapping[str, Check]:
    """All checks by name, in the order in which they run: each after those that it needs.

    Raises
    ------
    ValueError
        If a check needs one that is not registered.
    """
    ordered: dict[str, Check] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        if name not in _CHECKS or name in path:
            msg = f"{path[-1]} needs {name}, which " + (
                "needs it in turn" if name in path else "is not registered"
            )
            raise ValueError(msg)
        for need in _CHECKS[name].needs:
            if need not in ordered:
                add(need, (*path, name))
        ordered[name] = _CHECKS[name]

    for name in sorted(_CHECKS):
        if name not in ordered:
            add(name, ())
    return MappingProxyType(ordered)


def run_checks(context: Context, checks: Mapping[str, Check]) -> tuple[Finding, ...]:
    """Run checks in their order and gather what they find.

    A check whose ``needs`` found errors, crashed or were left out is left out
    too, and a finding says so.
    """
    findings: list[Finding] = []
    unusable: set[str] = set()
    for entry in checks.values():
        broken = [need for need in entry.needs if need in unusable]
        if broken:
            unusable.add(entry.name)
            findings.append(
                Finding(
                    SKIPPED,
                    Severity.INFO,
                    entry.name,
                    f"{entry.name} could not be run because of {', '.join(broken)}",
                    hint="mend what that check found and check again",
                )
            )
            continue
        try:
            seen = [_finding(entry, observation) for observation in entry.function(context)]
        except Exception as error:  # a check that crashes refuses like one that fails
            unusable.add(entry.name)
            findings.append(
                Finding(
                    CRASHED,
                    Severity.ERROR,
                    entry.name,
                    f"the check {entry.name} crashed: {type(error).__name__}: {error}",
                    hint="this is a bug in the check: report it with the file's layout",
                )
            )
            continue
        if seen and entry.severity is Severity.ERROR:
            unusable.add(entry.name)
        findings += seen
    return tuple(findings)


def _finding(entry: Check, observation: Observation) -> Finding:
    return Finding(
        check=entry.name,
        severity=entry.severity,
        where=observation.where,
        message=f"{observation.message}. See {entry.anchor}",
        hint=observation.hint,
        n_bad=observation.n_bad,
        n_seen=observation.n_seen,
        examples=observation.examples,
        observed=observation.observed,
    )
