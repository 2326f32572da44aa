"""What a file of the general layout says in words: a JSON text beside the arrays.

It names populations, projections and models, and lists every array with its type and shape, so
that a part that is missing or was changed is noticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args, get_type_hints

from numpy.typing import NDArray

from v1sim.model import NetworkModel, Role, Severity, SourceRemark, TrainingDynamics
from v1sim.receptors import ReceptorKinds
from v1sim.sources.hdf5.columns import MOST_CELLS

__all__ = ["Description", "ProjectionEntry", "SourceEntry"]

_ROLES = tuple(role for role in get_args(Role) if role != "recurrent")
_RESETS = get_args(get_type_hints(TrainingDynamics)["reset"])
_UNITS = ("normalised", "pA")
_KINDS = re.compile("[iu][1248]|f[248]|S")
#: The largest count that an index can be.
_MOST = 2**62


@dataclass(frozen=True)
class ProjectionEntry:
    """A projection: its name, the source population (None: neurons), and the weights' unit."""

    name: str
    source: str | None
    unit: str


@dataclass(frozen=True)
class SourceEntry:
    """A source population."""

    name: str
    role: str
    size: int


@dataclass(frozen=True)
class ArrayEntry:
    """The type ("f4", "S" for texts) and shape of an array: what it is to be read as."""

    kind: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, values: NDArray[Any]) -> ArrayEntry:
        """Of an array that is written."""
        return cls("S" if values.dtype.kind in "SU" else values.dtype.str[1:], values.shape)


@dataclass(frozen=True)
class Description:
    """Everything of a network that is no array of numbers.

    Parameters
    ----------
    step_ms, dynamics
        See `v1sim.model.NetworkModel`.
    populations : sequence of (name, size)
        Of neurons, in the order of their indices; empty where the network names none.
    model, name, cell_class : tuple of str, length t
        Of the cell types; the last two may be None.
    receptors : tuple of str
        Names of the receptors.
    projections, sources : tuple of entries
        In the network's order.
    readout : tuple of int
        Sizes of the groups.
    remarks : tuple of SourceRemark
        What was odd in the source that the network came from.
    arrays : mapping of str to ArrayEntry
        Every dataset of numbers or texts but the provenance.
    """

    step_ms: float
    dynamics: TrainingDynamics | None
    populations: tuple[tuple[str, int], ...]
    model: tuple[str, ...]
    name: tuple[str, ...] | None
    cell_class: tuple[str, ...] | None
    receptors: tuple[str, ...]
    projections: tuple[ProjectionEntry, ...]
    sources: tuple[SourceEntry, ...]
    readout: tuple[int, ...]
    remarks: tuple[SourceRemark, ...]
    arrays: Mapping[str, ArrayEntry]

    @classmethod
    def of(cls, network: NetworkModel, arrays: Mapping[str, ArrayEntry]) -> Description:
        """The description of a network whose arrays are listed."""
        types = network.cell_types
        return cls(
            step_ms=float(network.step_ms),
            dynamics=network.dynamics,
            populations=tuple((p.name, len(p)) for p in network.neurons.populations),
            model=types.model,
            name=types.name,
            cell_class=types.cell_class,
            receptors=types.receptor_kinds.names,
            projections=tuple(
                ProjectionEntry(name, projection.source, projection.synapses.unit)
                for name, projection in network.projections.items()
            ),
            sources=tuple(
                SourceEntry(name, population.role, int(population.size))
                for name, population in network.source_populations.items()
            ),
            readout=tuple(map(len, network.readout)),
            remarks=network.remarks,
            arrays=arrays,
        )

    def to_json(self) -> str:
        """As JSON that people can read."""
        document = {
            "step_ms": self.step_ms,
            "dynamics": None if self.dynamics is None else asdict(self.dynamics),
            "populations": [{"name": name, "size": size} for name, size in self.populations],
            "cell_types": {
                "model": self.model,
                "name": self.name,
                "cell_class": self.cell_class,
                "receptors": self.receptors,
            },
            "projections": [asdict(entry) for entry in self.projections],
            "sources": [asdict(entry) for entry in self.sources],
            "readout": self.readout,
            "remarks": [asdict(remark) for remark in self.remarks],
            "arrays": {path: [entry.kind, *entry.shape] for path, entry in self.arrays.items()},
        }
        return json.dumps(document, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Description:
        """From what `to_json` gave.

        Raises
        ------
        ValueError
            Saying what is wrong with it.
        """
        try:
            document = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            msg = f"not JSON: {error}"
            raise ValueError(msg) from error
        top = _Part(document, "")
        types = top.part("cell_types")
        model = types.texts("model")
        found = cls(
            step_ms=top.number("step_ms"),
            dynamics=_dynamics(top) if top.given("dynamics") else None,
            populations=tuple(
                (p.text("name"), p.count("size"))
                for p in top.parts("populations", ("name", "size"))
            ),
            model=model,
            name=types.texts("name", n=len(model)) if types.given("name") else None,
            cell_class=(
                types.texts("cell_class", n=len(model)) if types.given("cell_class") else None
            ),
            receptors=types.texts("receptors"),
            projections=tuple(
                ProjectionEntry(
                    p.text("name"),
                    p.text("source") if p.given("source") else None,
                    p.one_of("unit", _UNITS),
                )
                for p in top.parts("projections", _names_of(ProjectionEntry))
            ),
            sources=tuple(
                SourceEntry(p.text("name"), p.one_of("role", _ROLES), p.count("size", MOST_CELLS))
                for p in top.parts("sources", _names_of(SourceEntry))
            ),
            readout=tuple(top.counts("readout")),
            remarks=tuple(
                SourceRemark(
                    check=p.text("check"),
                    severity=Severity(p.one_of("severity", tuple(Severity))),
                    where=p.text("where"),
                    message=p.text("message"),
                    hint=p.text("hint"),
                    n=p.count("n"),
                    total=p.count("total"),
                    examples=p.texts("examples"),
                )
                for p in top.parts("remarks", _names_of(SourceRemark))
            ),
            arrays=_arrays(top.part("arrays")),
        )
        top.require(
            "step_ms", "dynamics", "populations", "cell_types", "projections", "sources", "readout",
            "remarks", "arrays",
        )  # fmt: skip
        types.require("model", "name", "cell_class", "receptors")
        found._require_names()
        return found

    def _require_names(self) -> None:
        """Names must be unlike, and sources be there."""
        for what, names in (
            ("populations", [name for name, _ in self.populations]),
            ("projections", [entry.name for entry in self.projections]),
            ("sources", [entry.name for entry in self.sources]),
        ):
            if len(set(names)) < len(names):
                msg = f"{what}: a name stands there twice"
                raise ValueError(msg)
        sources = {entry.name for entry in self.sources}
        for entry in self.projections:
            if entry.source is not None and entry.source not in sources:
                msg = f"projections: {entry.name!r} comes from {entry.source!r}, which is not there"
                raise ValueError(msg)
        ReceptorKinds.unknown(max(1, len(self.receptors)))
        if not self.receptors:
            msg = "cell_types.receptors: there are none"
            raise ValueError(msg)


def _dynamics(top: _Part) -> TrainingDynamics:
    part = top.part("dynamics")
    part.require(*_names_of(TrainingDynamics))
    return TrainingDynamics(
        reset=part.one_of("reset", _RESETS),  # type: ignore[arg-type]
        step_ms=part.number("step_ms"),
        trainer=part.text("trainer"),
    )


def _names_of(entry: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(entry))


def _arrays(part: _Part) -> dict[str, ArrayEntry]:
    found = {}
    for path, value in part.value.items():
        kind, shape = (value[0], value[1:]) if isinstance(value, list) and value else (None, [])
        if (
            not isinstance(kind, str)
            or not _KINDS.fullmatch(kind)
            or not all(map(_is_count, shape))
        ):
            msg = f"arrays.{path}: {_shown(value)} is no type and shape"
            raise ValueError(msg)
        found[path] = ArrayEntry(kind, tuple(shape))
    return found


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def _no_number(text: str) -> float:
    msg = f"{text} is no number that can be used"
    raise ValueError(msg)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


@dataclass(frozen=True)
class _Part:
    """An object of the JSON, and where it stands; its values are of the kind asked for."""

    value: Any
    where: str

    def __post_init__(self) -> None:
        if not isinstance(self.value, Mapping):
            msg = f"{self.where or 'the text'} is {type(self.value).__name__}, not an object"
            raise ValueError(msg)

    def _get(self, key: str, what: str, fits: Callable[[Any], bool]) -> Any:
        where = f"{self.where}.{key}".lstrip(".")
        if key not in self.value:
            msg = f"{where} is missing"
            raise ValueError(msg)
        value = self.value[key]
        if not fits(value):
            msg = f"{where} is {_shown(value)}, not {what}"
            raise ValueError(msg)
        return value

    def given(self, key: str) -> bool:
        return self._get(key, "", lambda _: True) is not None

    def text(self, key: str) -> str:
        return str(self._get(key, "a text", lambda v: isinstance(v, str)))

    def one_of(self, key: str, known: Sequence[str]) -> str:
        what = f"one of {', '.join(known)}"
        return str(self._get(key, what, lambda v: isinstance(v, str) and v in known))

    def number(self, key: str) -> float:
        def fits(v: Any) -> bool:
            return isinstance(v, int | float) and not isinstance(v, bool)

        return float(self._get(key, "a number", fits))

    def count(self, key: str, most: int = _MOST) -> int:
        return int(self._get(key, "a count", lambda v: _is_count(v) and v <= most))

    def counts(self, key: str) -> list[int]:
        def fits(v: Any) -> bool:
            return isinstance(v, list) and all(map(_is_count, v))

        return list(self._get(key, "a list of counts", fits))

    def texts(self, key: str, n: int | None = None) -> tuple[str, ...]:
        def fits(v: Any) -> bool:
            all_texts = isinstance(v, list) and all(isinstance(text, str) for text in v)
            return all_texts and n in (None, len(v))

        return tuple(self._get(key, f"a list of {n if n is not None else 'the'} texts", fits))

    def part(self, key: str) -> _Part:
        value = self._get(key, "an object", lambda v: isinstance(v, dict))
        return _Part(value, f"{self.where}.{key}".lstrip("."))

    def parts(self, key: str, keys: Sequence[str]) -> list[_Part]:
        """Objects that have these keys, and no others."""
        values = self._get(key, "a list", lambda v: isinstance(v, list))
        found = [_Part(value, f"{key}[{i}]") for i, value in enumerate(values)]
        for part in found:
            part.require(*keys)
        return found

    def require(self, *keys: str) -> None:
        """Raise unless these keys are there, and no others."""
        odd = sorted(set(self.value) ^ set(keys))
        if odd:
            msg = f"{self.where or 'the text'} lacks or should not have: {', '.join(odd)}"
            raise ValueError(msg)
