"""What a network says it is, as JSON, and whether its arrays still match their digests.

Digests are over the canonical arrays of a `NetworkModel` (sources i4, weights
f4, parameters f8, ...), so they need no file, and compression, byte order or
integer width of a file change nothing. Synapses may be stored in another order:
each table also has a digest that ignores order, asked when a column differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from v1sim.digests import array_sha256, plain_background, structure_of, table_digest
from v1sim.memory import workers
from v1sim.model import ArrayOrigin, NetworkModel, Provenance, SynapseTable
from v1sim.paging import forget
from v1sim.receptors import BILLEH_RECEPTORS

__all__ = [
    "ProvenanceDraft",
    "ProvenanceMismatch",
    "array_digests",
    "canonical_arrays",
    "from_json",
    "network_sha256",
    "to_json",
    "verify",
]

#: Key of the digests that ignore the order of synapses, in the details of the JSON.
_SYNAPSE_DIGESTS = "synapse_digests"
#: Keys of the JSON.
_KEYS = {f.name for f in fields(Provenance)} - {_SYNAPSE_DIGESTS}

Kind = Literal["trained", "untrained", "mixed", "constructed", "undetermined"]
Origin = Literal[
    "trained variable", "initial value", "undetermined", "recomputed", "constructed", "copied"
]


@dataclass(frozen=True)
class ProvenanceDraft:
    """A provenance without digests, which come from the file once it is written.

    Parameters
    ----------
    kind : str
        What the weights are: "trained", "untrained", "mixed", "constructed" or "undetermined".
    made_by : str
        Program and version.
    command : str
        The command or call that made the file.
    origin : str
        Where an array came from, unless ``origins`` says otherwise.
    origins : mapping of str to (origin, detail)
        Where single arrays came from, by their name ("recurrent.weight").
    checkpoint, details : mapping, optional
        Anything that JSON can hold.
    """

    kind: Kind
    made_by: str
    command: str
    origin: Origin
    origins: Mapping[str, tuple[Origin, str]] = field(default_factory=lambda: MappingProxyType({}))
    checkpoint: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def seal(self, network: NetworkModel) -> Provenance:
        """The provenance of ``network``, with a digest of every array it holds.

        Raises
        ------
        ValueError
            If ``origins`` names an array that the network does not have.
        """
        arrays = canonical_arrays(network)
        unknown = sorted(set(self.origins) - set(arrays))
        if unknown:
            msg = f"no such arrays: {', '.join(unknown)}; the network has {', '.join(arrays)}"
            raise ValueError(msg)
        with workers(1) as pool:  # beside those of the arrays
            table_digests = pool.submit(_table_digests, network)
            digests = array_digests(network)
        sealed = {}
        for name, sha256 in digests.items():
            origin, detail = self.origins.get(name, (self.origin, ""))
            sealed[name] = ArrayOrigin(origin, sha256, detail)
        return Provenance(
            kind=self.kind,
            made_by=self.made_by,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            command=self.command,
            arrays=MappingProxyType(sealed),
            synapse_digests=MappingProxyType(table_digests.result()),
            checkpoint=self.checkpoint,
            details=self.details,
        )


@dataclass(frozen=True)
class ProvenanceMismatch:
    """Arrays that are no longer what the provenance says, and those it does not cover."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    uncovered: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.uncovered)


def canonical_arrays(network: NetworkModel) -> dict[str, NDArray[np.generic]]:
    """Every array of a network in its canonical dtype, by its name in v1sim.

    The name is the path to it ("recurrent.weight", "cell_types.c_m_pf"); ``sizes`` holds
    the numbers of neurons, LGN cells and readout groups.
    """
    types, neurons = network.cell_types, network.neurons
    arrays: dict[str, NDArray[np.generic]] = {
        "sizes": np.array(
            [network.n_neurons, network.lgn.size, len(network.readout)], dtype=np.int64
        ),
        "neurons.cell_type": neurons.cell_type,
    }
    if neurons.position_um is not None:
        for axis, name in enumerate("xyz"):
            column = neurons.position_um[:, axis].astype(np.float64)
            arrays[f"neurons.{name}_um"] = column
    for column_name, values in types.columns.items():
        arrays[f"cell_types.{column_name}"] = values
    if set(types.model) != {"glif_psc"}:
        arrays["cell_types.model"] = _as_bytes(types.model)
    kinds = types.receptor_kinds
    if not kinds.same_as(BILLEH_RECEPTORS):
        arrays["cell_types.presynaptic_kind"] = kinds.presynaptic
        arrays["cell_types.postsynaptic_kind"] = kinds.postsynaptic
    for column_name in ("kind", "n_receptors", "n_after_spike_currents"):
        counts = getattr(types, column_name)
        if counts is not None:
            arrays[f"cell_types.{column_name}"] = counts
    for column_name in ("name", "cell_class"):
        texts = getattr(types, column_name)
        if texts is not None:
            arrays[f"cell_types.{column_name}"] = _as_bytes(texts)
    background = plain_background(network)
    if structure := structure_of(network):
        arrays["structure"] = np.frombuffer(structure.encode(), dtype=np.uint8)
    if neurons.populations:
        arrays["neurons.node_id"] = np.concatenate([p.node_id for p in neurons.populations])
    for name, table in _tables(network).items():
        arrays |= {f"{name}.{column}": values for column, values in table.columns.items()}
    if background is not None:
        arrays["background.weight"] = background
    for name, population in network.source_populations.items():
        if population is not network.lgn and (background is None or name != "background"):
            arrays[f"{name}.size"] = np.array(population.size, dtype=np.int64)
        for key in ("node_id", "kind"):
            values = getattr(population, key)
            if values is not None:
                arrays[f"source_populations.{name}.{key}"] = values
    if network.dynamics is not None:
        arrays["dynamics"] = _as_bytes(network.dynamics.text)
    if network.readout:
        arrays["readout.neuron"] = np.concatenate(network.readout)
    for name, dense in (
        ("readout.weight", network.readout_weight),
        ("readout.bias", network.readout_bias),
    ):
        if dense is not None:
            arrays[name] = dense
    for name, population in network.source_populations.items():
        if population.cells is None:
            continue
        prefix = "lgn" if population is network.lgn else f"source_populations.{name}"
        for f in fields(population.cells):
            value = getattr(population.cells, f.name)
            if f.name == "field_deg":
                value = np.array(value, dtype=np.float64)
            elif value.dtype.kind == "U":
                value = _as_bytes(value)
            arrays[f"{prefix}.cells.{f.name}"] = value
    return arrays


def array_digests(network: NetworkModel) -> dict[str, str]:
    """sha256 of every canonical array of a network, by its name."""
    arrays = canonical_arrays(network)

    def digest(values: NDArray[np.generic]) -> str:
        found = array_sha256(values)
        forget(values)  # what lies in a scratch file need not stay in memory
        return found

    with workers(4) as pool:  # hashing frees the interpreter's lock
        return dict(zip(arrays, pool.map(digest, arrays.values()), strict=True))


def network_sha256(network: NetworkModel, digests: Mapping[str, str] | None = None) -> str:
    """Digest of all that a network holds: of its arrays in their order, not of their file.

    Parameters
    ----------
    network : NetworkModel
        The network.
    digests : mapping of str to str, optional
        Of its arrays (`array_digests`), where they are known.
    """
    held = array_digests(network) if digests is None else digests
    text = json.dumps(sorted(held.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def verify(network: NetworkModel, digests: Mapping[str, str] | None = None) -> ProvenanceMismatch:
    """Compare a network with the digests of its provenance.

    Parameters
    ----------
    network : NetworkModel
        With a provenance.
    digests : mapping of str to str, optional
        Of its arrays (`array_digests`), where they are known.

    Raises
    ------
    ValueError
        If the network has no provenance.
    """
    if network.provenance is None:
        msg = "the network has no provenance"
        raise ValueError(msg)
    stated = network.provenance.arrays
    digests = array_digests(network) if digests is None else digests
    changed = {
        name for name, sha256 in digests.items() if name in stated and sha256 != stated[name].sha256
    }
    stated_tables = network.provenance.synapse_digests
    for name, table in _tables(network).items():
        columns = {f"{name}.{column}" for column in table.columns}
        # Columns in another order are the same network, if their rows are the same.
        if changed & columns and str(table_digest(table)) == stated_tables.get(name):
            changed -= columns
    return ProvenanceMismatch(
        changed=tuple(sorted(changed)),
        missing=tuple(sorted(set(stated) - set(digests))),
        uncovered=tuple(sorted(set(digests) - set(stated))),
    )


def to_json(provenance: Provenance, name_of: Callable[[str], str] = str) -> str:
    """Provenance as JSON text that people can read.

    Parameters
    ----------
    provenance : Provenance
        What is to be stored.
    name_of : callable
        What an array or table is called where the text is stored.

    Raises
    ------
    TypeError
        If ``checkpoint`` or ``details`` holds something JSON cannot.
    """
    details = dict(provenance.details)
    if provenance.synapse_digests:
        details[_SYNAPSE_DIGESTS] = {
            name_of(name): digest for name, digest in provenance.synapse_digests.items()
        }
    document = {
        "kind": provenance.kind,
        "made_by": provenance.made_by,
        "made_at": provenance.made_at,
        "command": provenance.command,
        "arrays": {name_of(name): asdict(origin) for name, origin in provenance.arrays.items()},
        "checkpoint": None if provenance.checkpoint is None else dict(provenance.checkpoint),
        "details": details,
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def from_json(text: str, array_of: Callable[[str], str] = str) -> Provenance:
    """Provenance from its JSON text.

    Parameters
    ----------
    text : str
        From `to_json`.
    array_of : callable
        The array or table that goes by a name where the text was stored.

    Raises
    ------
    ValueError
        If it is not JSON or not a provenance; the message says what is wrong.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"not JSON: {error}"
        raise ValueError(msg) from error
    if not isinstance(document, dict):
        msg = f"a JSON {type(document).__name__} where an object belongs"
        raise ValueError(msg)
    _require_keys(document, _KEYS, "provenance")
    kinds = get_args(get_type_hints(Provenance)["kind"])
    if document["kind"] not in kinds:
        msg = f"kind is {document['kind']!r}, not one of {', '.join(kinds)}"
        raise ValueError(msg)
    arrays = document["arrays"]
    if not isinstance(arrays, dict) or not all(isinstance(v, dict) for v in arrays.values()):
        msg = "arrays is not a mapping of dataset to origin"
        raise ValueError(msg)
    for name, value in arrays.items():
        _require_keys(value, {f.name for f in fields(ArrayOrigin)}, f"arrays[{name!r}]")
    if not isinstance(document["checkpoint"], dict | None):
        msg = "checkpoint is not a mapping"
        raise ValueError(msg)
    details = document["details"]
    if not isinstance(details, dict) or not isinstance(details.get(_SYNAPSE_DIGESTS, {}), dict):
        msg = "details is not a mapping"
        raise ValueError(msg)
    digests = details.pop(_SYNAPSE_DIGESTS, {})
    texts = [document[key] for key in ("made_by", "made_at", "command")]
    texts += [text for value in arrays.values() for text in value.values()]
    if not all(isinstance(text, str) for text in texts):
        msg = "a field that should be text is not"
        raise ValueError(msg)
    return Provenance(
        **{
            **document,
            "arrays": MappingProxyType({array_of(k): ArrayOrigin(**v) for k, v in arrays.items()}),
            "synapse_digests": MappingProxyType({array_of(k): v for k, v in digests.items()}),
            "details": MappingProxyType(details),
        }
    )


def _require_keys(value: Mapping[str, Any], names: set[str], where: str) -> None:
    if set(value) != names:
        odd = sorted(set(value) ^ names)
        msg = f"{where} lacks or should not have: {', '.join(odd)}"
        raise ValueError(msg)


def _tables(network: NetworkModel) -> dict[str, SynapseTable]:
    """The tables whose columns are arrays of their own: not a background that is one array."""
    tables = network.tables
    if plain_background(network) is not None:
        del tables["background"]
    return tables


def _table_digests(network: NetworkModel) -> dict[str, str]:
    return {group: str(table_digest(table)) for group, table in _tables(network).items()}


def _as_bytes(texts: tuple[str, ...] | NDArray[np.str_]) -> NDArray[np.uint8]:
    """Texts as bytes: their lengths do not depend on how wide the array's dtype is."""
    return np.frombuffer(json.dumps([str(text) for text in texts]).encode(), dtype=np.uint8)
