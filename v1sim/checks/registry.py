"""The registry of checks, what a check is given, and the runner.

A check is a small function that reads a `Context` and yields an `Observation`
for each thing that is wrong, and a `LeftOut` for what it cannot judge. Everything else about
it stands in its decorator::

    @check(
        "values.weight_sign",
        severity=Severity.ERROR,
        reason="Training keeps the sign of every weight ...",
        calibration="No nonzero weight of the reference networks has the wrong sign.",
        needs=("structure.index_range",),
    )
    def weight_sign(context: Context) -> Iterator[Observation]: ...

The runner adds name and severity, turns a crash into an error, and says which
checks it left out because a check that they need had found errors. What an error means for
the verdict on the weights (`Consequence`), and whether proof outranks the check, stand in
its decorator too: `v1sim.verdict` knows no check by its name.

Other packages add checks by naming a module in the entry point group `PLUGIN_GROUP`;
importing it must register them. One that cannot be imported refuses every network: a
guard that somebody relies on must not be left out in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import cache, cached_property
from importlib.metadata import entry_points
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from v1sim import units
from v1sim.checkpoints.bundle import CheckpointIndex
from v1sim.checkpoints.proof import CheckpointComparison, compare_with_checkpoint
from v1sim.checks.cells import CellCounts, cell_counts
from v1sim.checks.examples import synapse_examples
from v1sim.checks.profile import WeightProfile, pair_codes, weight_profile
from v1sim.errors import V1simError
from v1sim.memory import raise_lack_of_memory
from v1sim.model import (
    CRASHED,
    Finding,
    NetworkModel,
    Severity,
    SynapseTable,
    TrainingMinimum,
)
from v1sim.receptors import KNOWN_KINDS, Kind
from v1sim.sources.provenance import ProvenanceMismatch, array_digests, verify

if TYPE_CHECKING:  # it knows JSON models, which a check seldom needs
    from v1sim.signing.signature import NetworkSignature

__all__ = [
    "CRASHED",
    "LEFT_OUT",
    "PLUGIN_GROUP",
    "SKIPPED",
    "Check",
    "Consequence",
    "Context",
    "LeftOut",
    "Observation",
    "check",
    "registered_checks",
    "run_checks",
]

#: Entry points of this group are modules of other packages that register checks.
PLUGIN_GROUP = "v1sim.checks"

#: Name of the finding about a check that could not be run.
SKIPPED = "guard.skipped"
#: Name of the finding about values that a check could not judge.
LEFT_OUT = "guard.left_out"
#: Synapses handled at a time: the work arrays stay small beside the columns.
_BLOCK = 1 << 20
#: The same where several work arrays are to stay in the CPU's cache.
_SMALL_BLOCK = 1 << 16
#: Values that are told apart by comparing with each of them; beyond, by sorting.
_MAX_FEW = 32
#: Whole numbers below this are told apart by counting; beyond, by sorting.
_MAX_COUNTED = 1 << 16

_Value = TypeVar("_Value")


class Consequence(Flag):
    """What an error of a check, or its crash, means for the verdict on the weights."""

    NOTHING = 0
    #: Arrays are not what the provenance says: it proves nothing.
    PROVENANCE_IS_VOID = auto()
    #: The baseline is not this network before training: nothing can be compared with it.
    BASELINE_IS_VOID = auto()
    #: The weights are not those that training starting from the baseline leads to.
    UNLIKE_BASELINE = auto()
    #: The weights differ from the baseline's, but not by training.
    CHANGES_ARE_VOID = auto()
    #: Exact zeros among the weights are no evidence of training.
    ZEROS_ARE_VOID = auto()
    #: A part of the recurrent weights was not trained, or was reset.
    PARTLY_TRAINED = auto()


@dataclass(frozen=True)
class Observation:
    """What a check saw: a `Finding` without the check's name and severity.

    ``where`` is the name of an array or a table in v1sim ("recurrent.weight"), or whatever
    else the finding is about; several parts are listed. Names of arrays are shown as what
    the network's source calls them.
    """

    where: str | tuple[str, ...]
    message: str
    hint: str = ""
    n_bad: int = 0
    n_seen: int = 0
    examples: tuple[str, ...] = ()
    observed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class LeftOut:
    """What a check could not judge, and why: information, no fault of the network."""

    where: str
    why: str
    n_left_out: int
    n_seen: int


@dataclass(frozen=True, eq=False)
class Context:
    """What checks read: the network, the time step, and what several checks derive from them.

    ``baseline`` is the untrained network that it is compared with, ``checkpoint_index`` the
    checkpoint; None where the user named none. ``minimum`` is the least that counts as a training.
    ``trusted_keys`` is the file of the keys whose signature counts; None where none is asked for.
    ``dynamics`` are those of the run, as `v1sim.config.SimulationConfig` has them; None where there
    is none. ``require_dynamics`` says whether they must be the network's own.
    """

    network: NetworkModel
    dt_ms: float
    baseline: NetworkModel | None = None
    checkpoint_index: CheckpointIndex | None = None
    minimum: TrainingMinimum = field(default_factory=TrainingMinimum)
    trusted_keys: Path | None = None
    dynamics: str | None = None
    require_dynamics: Literal["any", "own"] = "any"
    _derived: dict[object, Any] = field(default_factory=dict, init=False, repr=False)
    _digesting: Lock = field(default_factory=Lock, init=False, repr=False)

    def once(self, key: object, compute: Callable[[], _Value]) -> _Value:
        """What ``compute`` gives, computed for the first that asks by this key."""
        if key not in self._derived:
            self._derived[key] = compute()
        value: _Value = self._derived[key]
        return value

    @cached_property
    def checkpoint(self) -> CheckpointComparison | None:
        """The network against the checkpoint; None without one."""
        if self.checkpoint_index is None:
            return None
        return compare_with_checkpoint(self.network, self.checkpoint_index)

    @cached_property
    def checkpoint_if_compared(self) -> CheckpointComparison | None:
        """The same; None also where comparing crashed, which the checks that need it report.

        Raises
        ------
        CheckpointError
            If the checkpoint cannot be used.
        """
        try:
            return self.checkpoint
        except V1simError:
            raise
        except Exception as error:
            raise_lack_of_memory(error)
            return None

    @property
    def name_of(self) -> Callable[[str], str]:
        """What the network's source calls an array, for messages and hints."""
        return self.network.source.name_of

    @property
    def tables(self) -> Mapping[str, SynapseTable]:
        """The synapse tables by name, but for a background's."""
        return self.network.tables_of("recurrent", "lgn", "other")

    @property
    def recurrent(self) -> Mapping[str, SynapseTable]:
        """Those among them whose sources are the network's own neurons."""
        return self.network.tables_of("recurrent")

    @property
    def from_lgn(self) -> Mapping[str, SynapseTable]:
        """Those among them whose sources are LGN cells."""
        return self.network.tables_of("lgn")

    @property
    def array_digests(self) -> Mapping[str, str]:
        """sha256 of every array of the network; threads that ask at once wait for one another."""
        with self._digesting:
            return self.once("array digests", lambda: array_digests(self.network))

    @cached_property
    def signature(self) -> NetworkSignature | None:
        """Who signed the network, and whether it still is what was signed; None if none asks.

        Raises
        ------
        InputError
            If the trusted keys cannot be read, or OpenSSH is not installed.
        """
        if self.trusted_keys is None:
            return None
        from v1sim.signing.signature import read_signature  # JSON models: seldom needed

        return read_signature(self.network, self.trusted_keys, self.array_digests)

    @cached_property
    def provenance_mismatch(self) -> ProvenanceMismatch | None:
        """What differs from the network's provenance (empty: nothing); None without one."""
        network = self.network
        return None if network.provenance is None else verify(network, self.array_digests)

    @cached_property
    def sends(self) -> NDArray[np.int64]:
        """Synapses that each neuron sends through excitatory and inhibitory receptors, (n, 2).

        Receptors whose presynaptic kind is unknown do not count.
        """
        n = np.zeros((self.network.n_neurons, len(KNOWN_KINDS)), dtype=np.int64)
        for group in self.recurrent:
            n += self.cells(group).sent.sum(axis=-1)[:, list(KNOWN_KINDS)]
        return n

    @cached_property
    def receives(self) -> NDArray[np.int64]:
        """Synapses that each neuron receives as an excitatory and an inhibitory cell, (n, 2).

        Receptors whose postsynaptic kind is unknown do not count.
        """
        by_receptor = sum(self.cells(group).onto.sum(axis=-1) for group in self.tables)
        kinds = self.network.receptors.postsynaptic
        if len(kinds) > 1:
            kinds = kinds[self.network.neurons.cell_type]
        return np.stack([(by_receptor * (kinds == kind)).sum(axis=1) for kind in KNOWN_KINDS], 1)

    @cached_property
    def receives_kind(self) -> NDArray[np.int64]:
        """Numbers of neurons that receive as excitatory and as inhibitory cells, (2,)."""
        return np.count_nonzero(self.receives, axis=0)

    def delays_ms(self, group: str) -> NDArray[np.floating]:
        """The distinct delays of a table, ascending by their bits (NaN last).

        Those of weights in pA are as NEST rounds them to the time step, and must be finite.
        """
        return self._delays_ms[group]

    @cached_property
    def _delays_ms(self) -> dict[str, NDArray[np.floating]]:
        return {
            group: _distinct(table.delay_ms)
            if table.unit == "normalised"
            else _distinct_rounded(table.delay_ms, self.dt_ms)
            for group, table in self.tables.items()
        }

    def cells(self, group: str) -> CellCounts:
        """A table's synapses by cell; needs indices and receptors in range."""
        return self._cells[group]

    @cached_property
    def _cells(self) -> dict[str, CellCounts]:
        return {
            group: cell_counts(table, self.network, self.network.n_pre(group))
            for group, table in self.tables.items()
        }

    def is_external(self, group: str) -> bool:
        """Whether a table's synapses come from outside of the network."""
        return self.network.role(group) != "recurrent"

    def examples(self, table: SynapseTable, bad: NDArray[np.bool_]) -> tuple[str, ...]:
        """A few of the bad synapses of a table, readable."""
        return synapse_examples(table, bad, self.network.receptors)

    def without_kind(self, group: str) -> Iterator[LeftOut]:
        """The synapses of a table whose presynaptic kind is unknown, if there are any."""
        network, table = self.network, self.tables[group]
        if not (network.receptors.presynaptic == Kind.UNKNOWN).any():
            return
        n = int(np.count_nonzero(network.presynaptic_kind(table) == Kind.UNKNOWN))
        if n:
            why = "whether they come from excitatory or inhibitory cells is not known"
            yield LeftOut(group, why, n, len(table))

    def pair_codes(self, group: str) -> NDArray[np.uint16]:
        """Pair of cell types of each synapse of a table; needs indices in range."""
        return self._pair_codes[group]

    def profile(self, group: str) -> WeightProfile:
        """Weights of a table by pair of cell types and size.

        Needs indices and receptors in range and finite weights.
        """
        return self._profiles[group]

    @cached_property
    def _pair_codes(self) -> dict[str, NDArray[np.uint16]]:
        return {
            group: pair_codes(table, self.network, external=self.is_external(group))
            for group, table in self.tables.items()
        }

    @cached_property
    def _profiles(self) -> dict[str, WeightProfile]:
        return {
            group: weight_profile(
                table, self.network, self._pair_codes[group], external=self.is_external(group)
            )
            for group, table in self.tables.items()
        }

    @cached_property
    def psp_gain_mv(self) -> NDArray[np.float64]:
        """Peak potential in mV that a normalised weight of 1 causes, (types, receptors)."""
        types = self.network.cell_types
        per_pa = types.receptors.time_courses.peak_psp_mv(types.c_m_pf, types.g_ns)
        return per_pa * types.voltage_scale_mv[:, np.newaxis]

    def psp_mv(self, group: str) -> NDArray[np.float32]:
        """Size of the peak potential that each synapse of a table causes, mV, shape (s,).

        Needs indices and receptors in range and parameters that are physical.
        """
        gain = self.psp_gain_mv.astype(np.float32)
        return _psp_mv(self.tables[group], self.network, gain[self.network.neurons.cell_type])


def _distinct(values: NDArray[np.floating]) -> NDArray[Any]:
    """Distinct values, ascending by their bits; fast where they are few."""
    bits = values.view(np.dtype(f"u{values.itemsize}"))
    known = np.empty(0, dtype=bits.dtype)
    for start in range(0, len(bits), _SMALL_BLOCK):
        part = bits[start : start + _SMALL_BLOCK]
        new = np.ones(len(part), dtype=bool)
        for one in known:
            new &= part != one
        if new.any():
            known = np.union1d(known, part[new])
            if len(known) > _MAX_FEW:
                return np.unique(bits).view(values.dtype)
    return known.view(values.dtype)


def _distinct_rounded(values: NDArray[np.floating], dt_ms: float) -> NDArray[np.float64]:
    """Distinct delays as NEST rounds them, ascending."""
    few, others = np.zeros(_MAX_COUNTED, dtype=np.int64), np.empty(0, dtype=np.int64)
    for start in range(0, len(values), _BLOCK):
        steps = units.delay_steps(values[start : start + _BLOCK], dt_ms)
        counted = (steps >= 0) & (steps < _MAX_COUNTED)
        if not counted.all():
            others = np.union1d(others, steps[~counted])
            steps = steps[counted]
        few += np.bincount(steps, minlength=_MAX_COUNTED)
    found = np.union1d(np.flatnonzero(few), others)
    return found.astype(np.float64) * np.float64(dt_ms)


def _psp_mv(
    table: SynapseTable, network: NetworkModel, gain_mv: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Sizes of potentials; ``gain_mv`` (n, receptors)."""
    size = np.empty(len(table), dtype=np.float32)
    n_receptors = gain_mv.shape[1]
    gain_mv = gain_mv.reshape(-1)
    for start in range(0, len(table), _BLOCK):
        part = slice(start, start + _BLOCK)
        index = table.post[part].astype(np.int64)
        index *= n_receptors
        index += table.receptor[part]
        np.multiply(gain_mv[index], table.normalised(network, part), out=size[part])
    return np.abs(size, out=size)


CheckFunction = Callable[[Context], Iterator[Observation | LeftOut]]


@dataclass(frozen=True)
class Check:
    """A check and all that is to be known about it.

    ``needs`` names the checks without whose success this one cannot be run.
    ``consequence`` is what an error means for the verdict. A check that goes ``by_looks``
    of networks yields where provenance or checkpoint prove the array that it names.
    A check that is not ``waivable`` guards the simulator itself. ``page`` is where
    the documentation explains it; that of another package has its own or none.
    """

    name: str
    severity: Severity
    reason: str
    calibration: str
    function: CheckFunction
    needs: tuple[str, ...] = ()
    consequence: Consequence = Consequence.NOTHING
    by_looks: bool = False
    waivable: bool = True
    page: str = "docs/checks.md"

    @property
    def family(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    @property
    def anchor(self) -> str:
        """Where the documentation explains the check; empty where nothing does."""
        return f"{self.page}#{self.name.replace('.', '-').replace('_', '-')}" if self.page else ""


_CHECKS: dict[str, Check] = {}


def check(
    name: str,
    *,
    severity: Severity,
    reason: str,
    calibration: str,
    needs: tuple[str, ...] = (),
    consequence: Consequence = Consequence.NOTHING,
    by_looks: bool = False,
    waivable: bool = True,
    page: str = "",
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a check; ``page`` is where another package documents its own.

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
        home = page or ("docs/checks.md" if function.__module__.startswith("v1sim.") else "")
        _CHECKS[name] = Check(
            name=name,
            severity=severity,
            reason=reason,
            calibration=calibration,
            function=function,
            needs=needs,
            consequence=consequence,
            by_looks=by_looks,
            waivable=waivable,
            page=home,
        )
        return function

    return register


def registered_checks() -> Mapping[str, Check]:
    """All checks by name, in the order in which they run: each after those that it needs.

    Checks of other packages are among them (see `PLUGIN_GROUP`).

    Raises
    ------
    ValueError
        If a check needs one that is not registered.
    """
    _plugin_problems()
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


@cache
def _plugin_problems() -> tuple[Finding, ...]:
    """Import the checks of other packages; a finding for each module that cannot be."""
    problems = []
    for plugin in entry_points(group=PLUGIN_GROUP):
        before = dict(_CHECKS)
        try:
            plugin.load()
            unknown = {need for c in _CHECKS.values() for need in c.needs} - set(_CHECKS)
            if unknown:
                msg = f"a check needs {', '.join(sorted(unknown))}, which is not registered"
                raise ValueError(msg)
        except Exception as error:  # whatever another package raises
            raise_lack_of_memory(error)
            _CHECKS.clear()
            _CHECKS.update(before)  # half of a package's checks are as good as none
            package = plugin.dist.name if plugin.dist else plugin.value
            problems.append(
                Finding(
                    CRASHED,
                    Severity.ERROR,
                    f"{PLUGIN_GROUP}: {plugin.name}",
                    f"the checks of {package} cannot be loaded: {type(error).__name__}: {error}",
                    hint=f"mend or uninstall {package}",
                )
            )
    return tuple(problems)


def _after_a_crash(entry: Check) -> str:
    """What to do where a check crashed."""
    report = "this is a fault of the check: report it with the file's layout"
    if entry.waivable:
        return f"{report}; at your own risk, --waive {entry.name}='REASON' goes on without it"
    return f"{report}; no waiver goes on without it, as it guards the simulation itself"


def run_checks(context: Context, checks: Mapping[str, Check]) -> tuple[Finding, ...]:
    """Run checks in their order and gather what they find.

    A check whose ``needs`` found errors, crashed or were left out is left out
    too, and a finding says so.
    """
    findings = list(_plugin_problems())
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
            seen = list(entry.function(context))
            for table in context.tables.values():
                table.forget()
        except Exception as error:  # a check that crashes refuses like one that fails
            raise_lack_of_memory(error)  # which says nothing about the network
            unusable.add(entry.name)
            findings.append(
                Finding(
                    CRASHED,
                    Severity.ERROR,
                    entry.name,
                    f"the check {entry.name} crashed: {type(error).__name__}: {error}",
                    hint=_after_a_crash(entry),
                )
            )
            continue
        found_something = any(isinstance(one, Observation) for one in seen)
        if found_something and entry.severity is Severity.ERROR:
            unusable.add(entry.name)
        findings += [
            _finding(entry, one, context.name_of)
            if isinstance(one, Observation)
            else _left_out(entry, one, context.name_of)
            for one in seen
        ]
    return tuple(findings)


def _left_out(entry: Check, left_out: LeftOut, name_of: Callable[[str], str]) -> Finding:
    return Finding(
        LEFT_OUT,
        Severity.INFO,
        f"{entry.name}, {name_of(left_out.where)}",
        f"{entry.name} left out {left_out.n_left_out:,} of {left_out.n_seen:,} synapses: "
        f"{left_out.why}",
        n_bad=0,
        n_seen=left_out.n_seen,
    )


def _finding(entry: Check, observation: Observation, name_of: Callable[[str], str]) -> Finding:
    where = observation.where
    parts = (where,) if isinstance(where, str) else where
    return Finding(
        check=entry.name,
        severity=entry.severity,
        where=", ".join(part if "/" in part else name_of(part) for part in parts),  # or a path
        array=parts[0] if len(parts) == 1 else "",
        message=observation.message + (f". See {entry.anchor}" if entry.anchor else ""),
        hint=observation.hint,
        n_bad=observation.n_bad,
        n_seen=observation.n_seen,
        examples=observation.examples,
        observed=observation.observed,
    )
