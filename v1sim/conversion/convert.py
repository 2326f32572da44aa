"""Converting a checkpoint into a network file, and proving an existing file against one.

Both end with a file whose provenance says what each array is, after the file was read back
and compared with the checkpoint, checksum by checksum; or with an error and no file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from v1sim import __version__
from v1sim.card import card
from v1sim.checkpoints.averages import averages_of
from v1sim.checkpoints.bundle import CheckpointIndex, checkpoint_sha256, read_index, require_shards
from v1sim.checkpoints.checkpoint import network_of, shard_reader, tensorflow_reader
from v1sim.checkpoints.checksums import unmask
from v1sim.checkpoints.claims import Claim, Kind, claim_to_json, kind_of
from v1sim.checkpoints.completion import complete_from_folder
from v1sim.checkpoints.evidence import ARRAY_OF, TABLES, Evidence, Table, checkpoint_evidence
from v1sim.checkpoints.proof import (
    CheckpointComparison,
    by_training_names,
    compare_with_checkpoint,
)
from v1sim.checkpoints.variables import LAYER_OF_TABLE, Variables, find_variables
from v1sim.conversion.looks import (
    InitialWeights,
    claims_of,
    initial_of_table,
    initial_weights,
    undecided,
)
from v1sim.errors import CheckpointError, OutputError
from v1sim.memory import workers
from v1sim.model import NetworkModel, Role
from v1sim.output import replacing
from v1sim.sources import open_network
from v1sim.sources.hdf5 import add_provenance, write_network
from v1sim.sources.provenance import ProvenanceDraft, canonical_arrays
from v1sim.sources.readout_groups import read_readout_groups
from v1sim.sources.training_data import open_folder

__all__ = ["Conversion", "Kind", "convert", "stamp"]

#: Tables whose claims stand in the reason.
_SAID: tuple[Table, ...] = ("recurrent", "input")
#: Variables that are named where there may be many.
_MAX_NAMES = 8


@dataclass(frozen=True, repr=False)
class Conversion:
    """A file that is proven to hold what a checkpoint holds.

    ``missing`` names what neither checkpoint nor other files gave; ``reason`` says
    why the weights are called what ``kind`` calls them, ``claims`` the same by table; ``notes``
    is what else there is to say.
    """

    network: NetworkModel
    kind: Kind
    reason: str
    claims: Mapping[Table, Claim]
    comparison: CheckpointComparison
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Conversion {self.kind}: {self.network.source.path}>"

    def _repr_html_(self) -> str:
        return card(
            self.kind.upper(),
            self.network.source.path,
            {"because": self.reason, "lacks": ", ".join(self.missing) or "nothing"},
            tone="good" if self.kind == "trained" else "doubtful",
            notes=self.notes,
        )


def convert(
    checkpoint: Path,
    out: Path,
    *,
    command: str,
    data_dir: Path | None = None,
    readout: Path | None = None,
    n_lgn: int | None = None,
    baseline: Path | None = None,
    initial: Path | None = None,
    weights: Literal["raw", "average"] = "raw",
    allow_untrained: bool = False,
) -> Conversion:
    """Convert a TensorFlow checkpoint into a network file with its provenance.

    Parameters
    ----------
    checkpoint : Path
        Prefix, index or shard of the checkpoint.
    out : Path
        Network file to write; it appears when everything is proven, or not at all.
    command : str
        The command line, for the provenance.
    data_dir : Path, optional
        Training-data folder; gives names of types, positions, readout groups and the number
        of LGN cells, and is checked against the checkpoint.
    readout : Path, optional
        File with the readout groups (see `v1sim.sources.readout_groups`).
    n_lgn : int, optional
        Number of LGN cells, where it is above the highest index in use.
    baseline : Path, optional
        The network's file before training: weights that differ from it were trained.
    initial : Path, optional
        The same, by an earlier checkpoint of this training.
    weights : str
        "raw", or the "average" that an optimizer with use_ema keeps of them.
    allow_untrained : bool
        Convert weights that are not trained, or not known to be, and mark them so.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be used, or shows no training.
    InputError
        If the folder or the readout groups do not fit the checkpoint.
    MissingExtraError
        If TensorFlow is not installed.
    OutputError
        If the file cannot be written, or is not what was converted when read back.
    """
    if not out.parent.is_dir():
        raise OutputError(f"there is no folder {out.parent}", where=str(out), hint="create it")
    index = read_index(checkpoint)
    variables = find_variables(index)
    evidence = checkpoint_evidence(index, variables)
    averages = averages_of(evidence)
    if weights == "average":
        variables = averages.in_place_of_weights(variables, str(index.prefix))
    given = any(path is not None for path in (data_dir, baseline, initial))
    if not given and not undecided(evidence):
        # The optimizers alone decide: nothing large need be read to refuse.
        _require_training(index, claims_of(evidence, None), allow_untrained=allow_untrained)
    require_shards(index)
    with workers(1) as pool:  # hashing runs beside import and reading
        digests = pool.submit(checkpoint_sha256, index)
        read = tensorflow_reader(index)
        on_signs = averages.on_signs(weights)
        network = network_of(index, variables, read, n_lgn=n_lgn, on_signs=on_signs)
        files = digests.result()
    origins = _origins(variables, network)
    before: InitialWeights = {}
    if data_dir is not None:
        completed = complete_from_folder(network, open_folder(data_dir), variables["decay"].dtype)
        network = completed.network
        origins |= {name: ("copied", text) for name, text in completed.origins.items()}
        whose, first = "the training data", completed.initial
        before = {
            table: initial_of_table(first.tables[name], network.tables[name], whose)
            for name, table in LAYER_OF_TABLE.items()
        }
    before |= initial_weights(
        network, variables, read, str(index.prefix), baseline=baseline, initial=initial
    )
    if readout is not None:
        network = replace(network, readout=read_readout_groups(readout, network.n_neurons))
        origins["readout.neuron"] = ("copied", f"from {readout.name}")
    claims = claims_of(evidence, network, before)
    _require_training(index, claims, allow_untrained=allow_untrained)
    kind, reason = kind_of(claims), _reason(evidence, claims)
    notes = (*averages.notes(read, weights), *_dtype_notes(variables))
    missing = _missing(network, variables, n_lgn)
    draft = _draft(
        index, variables, evidence, claims, reason, files, command=command, origins=origins,
        network=network, averages=averages.record(read, weights),
        details={"missing": list(missing), "notes": list(notes)},
    )  # fmt: skip
    with replacing(out) as temporary:
        network = write_network(network, temporary, provenance=draft, known_as=out)
        comparison = compare_with_checkpoint(network, index, variables=variables)
        if not comparison.equal:
            arrays = {array for c in comparison.differing for array in c.arrays}
            names = ", ".join(sorted(map(comparison.name_of, arrays)))
            raise OutputError(
                f"what was written does not give the checkpoint's variables again: {names}",
                where=str(out),
                hint="this is a fault of v1sim or of the disk; report it with the output of "
                "v1sim inspect",
            )
    return Conversion(network, kind, reason, claims, comparison, missing, notes)


def stamp(
    network_file: Path,
    checkpoint: Path,
    *,
    command: str,
    baseline: Path | None = None,
    initial: Path | None = None,
) -> Conversion:
    """Prove an existing network file against a checkpoint and write the provenance into it.

    The index of the checkpoint is enough; TensorFlow is not needed. The file is changed only
    where everything that the checkpoint holds is in it; ``comparison`` of the
    result says what differs where not. ``baseline`` and ``initial`` are those of `convert`; an
    earlier checkpoint needs the data of both.

    Raises
    ------
    NetworkFileError
        If the file cannot be read as a network.
    CheckpointError
        If the checkpoint cannot be used.
    InputError
        If ``baseline`` or ``initial`` has other synapses.
    OutputError
        If the file cannot be written.
    """
    index = read_index(checkpoint)
    held = open_network(network_file)
    network = by_training_names(held)  # a circuit's projections have names of their own
    comparison = compare_with_checkpoint(network, index)
    evidence, variables = comparison.evidence, comparison.variables
    if not comparison.equal:
        claims = claims_of(evidence, None)
        reason = _reason(evidence, claims)
        return Conversion(held, kind_of(claims), reason, claims, comparison)
    read = shard_reader(index) if index.has_data else None
    before = initial_weights(
        network, variables, read, str(index.prefix), baseline=baseline, initial=initial
    )
    claims = claims_of(evidence, network, before)
    kind, reason = kind_of(claims), _reason(evidence, claims)
    averages = averages_of(evidence)
    weights: Literal["raw", "average"] = "average" if comparison.average else "raw"
    notes = (*averages.notes(read, weights), *_dtype_notes(variables))
    files = checkpoint_sha256(index)
    origins = _origins(variables, network)
    kept = ("copied", "as the file had it; not in the checkpoint")
    origins |= dict.fromkeys(comparison.uncovered, kept)
    draft = _draft(
        index, variables, evidence, claims, reason, files, command=command, origins=origins,
        network=network, averages=averages.record(read, weights),
        details={"stamped": f"an existing file, compared {comparison.how}", "notes": list(notes)},
    )  # fmt: skip
    draft = replace(draft, origins=_by_own_names(draft.origins, held))
    network = add_provenance(network_file, draft, held)
    return Conversion(network, kind, reason, claims, comparison, notes=notes)


def _by_own_names(
    origins: Mapping[str, tuple[Any, str]], network: NetworkModel
) -> dict[str, tuple[Any, str]]:
    """Origins of arrays by the names that the network has for them."""
    roles: tuple[Role, ...] = ("recurrent", "lgn")
    own = {role: list(network.tables_of(role)) for role in roles}
    if all(names == [role] for role, names in own.items()):
        return dict(origins)
    arrays = canonical_arrays(network)
    found: dict[str, tuple[Any, str]] = {}
    for name, origin in origins.items():
        table, _, column = name.partition(".")
        names = [f"{held}.{column}" for held in own.get(table, ())]  # type: ignore[call-overload]
        found |= {one: origin for one in (name, *names) if one in arrays}
    return found


# --- what the weights are --------------------------------------------------------------------


def _require_training(
    index: CheckpointIndex, claims: Mapping[Table, Claim], *, allow_untrained: bool
) -> None:
    """Refuse a checkpoint whose weights are not trained, or not known to be."""
    kind = kind_of(claims)
    if allow_untrained or kind == "trained":
        return
    allow = f"--allow-untrained converts it all the same, and marks it {kind}"
    recurrent = claims["recurrent"]
    if recurrent.origin == "undetermined":
        raise CheckpointError(
            f"nothing shows that this checkpoint was trained: {recurrent.why}",
            where=str(index.prefix),
            expected="an optimizer that shows gradients of the recurrent weights, or the exact "
            "zeros that training under the sign constraint leaves in them",
            hint=f"{recurrent.decide}; {allow}",
        )
    by_reason: dict[str, list[str]] = {}
    for table in _SAID:
        claimed = claims[table]
        if claimed.origin in ("initial", "frozen") and (
            table == "recurrent" or claimed.origin == "initial"
        ):
            by_reason.setdefault(claimed.why, []).append(table)
    what = "; ".join(
        f"the {' and '.join(tables)} weights were not trained: {why}"
        for why, tables in by_reason.items()
    )
    raise CheckpointError(
        what,
        where=str(index.prefix),
        expected="trained recurrent weights, and input weights that were trained or frozen",
        hint=f"take another checkpoint of this training; {allow}",
    )


def _dtype_notes(variables: Variables) -> tuple[str, ...]:
    """What is to be said of how the variables are stored."""
    n = sum(entry.dtype == "bfloat16" for entry in variables.entries.values())
    text = f"{n} of its variables are bfloat16, widened to float32, which is exact"
    return (text,) if n else ()


def _reason(evidence: Evidence, claims: Mapping[Table, Claim]) -> str:
    """Why the weights are called what they are, in words."""
    parts = []
    if evidence.iterations:
        counts = evidence.counts
        verb = "saw" if counts == "batches" else "made"
        parts.append(f"the optimizer {verb} {evidence.iterations:,} {counts}")
    parts += [f"{table} weights: {claims[table].why}" for table in _SAID if table in claims]
    return "; ".join(parts)


#: What an origin means for the weights of a table.
_NOTES: Mapping[str, str] = MappingProxyType(
    {
        "initial": "not trained",
        "frozen": "frozen: training did not change it",
        "undetermined": "nothing shows whether it was trained",
    }
)


# --- provenance ------------------------------------------------------------------------------


def _origins(variables: Variables, network: NetworkModel) -> dict[str, tuple[Any, str]]:
    """Where each array comes from: origin and detail, by its name; weights' origin is set later."""
    origins: dict[str, tuple[Any, str]] = {}
    for table, layer in LAYER_OF_TABLE.items():
        name = variables[f"{layer}_indices"].name
        for column in ("pre", "post", "receptor", "delay_ms"):
            origins[f"{table}.{column}"] = ("copied", f"decoded from {name}")
        origins[f"{table}.weight"] = ("trained variable", variables[f"{layer}_weights"].name)
    origins["lgn.delay_ms"] = ("constructed", "one time step, as in training")
    for parameter, role in (
        ("e_l_mv", "voltage_offset"),
        ("g_ns", "param_g"),
        ("t_ref_ms", "t_ref"),
    ):
        origins[f"cell_types.{parameter}"] = ("copied", variables[role].name)
    for parameter, roles in (
        ("v_th_mv", ("voltage_scale", "voltage_offset")),
        ("v_reset_mv", ("v_reset", "voltage_scale", "voltage_offset")),
        ("c_m_pf", ("decay", "param_g", "current_factor")),
        ("tau_syn_ms", ("psc_initial", "syn_decay")),
        ("k_per_ms", ("param_k",)),
        ("asc_amp_pa", ("asc_amps", "voltage_scale")),
    ):
        names = ", ".join(variables[role].name for role in roles)
        origins[f"cell_types.{parameter}"] = ("recomputed", f"from {names}")
    origins["neurons.cell_type"] = ("recomputed", "neurons with the same parameters")
    origins["sizes"] = ("recomputed", "from the shapes of the variables")
    for role, array in (
        ("background", "background.weight"),
        ("readout_kernel", "readout.weight"),
        ("readout_bias", "readout.bias"),
    ):
        if role in variables:
            origins[array] = ("copied", variables[role].name)
    present = canonical_arrays(network)
    return {name: origin for name, origin in origins.items() if name in present}


def _draft(
    index: CheckpointIndex,
    variables: Variables,
    evidence: Evidence,
    claims: Mapping[Table, Claim],
    reason: str,
    files: Mapping[str, str],
    *,
    command: str,
    origins: dict[str, tuple[Any, str]],
    network: NetworkModel,
    averages: Mapping[Table, Mapping[str, Any]],
    details: Mapping[str, Any],
) -> ProvenanceDraft:
    for table, array in ARRAY_OF.items():
        if table in claims and array in origins:
            claimed = claims[table]
            name = variables[TABLES[table]].name
            if claimed.origin == "trained":
                origins[array] = ("trained variable", name)
            elif table in _SAID or claimed.origin != "undetermined":
                origin = "undetermined" if claimed.origin == "undetermined" else "initial value"
                origins[array] = (origin, f"{name}; {_NOTES[claimed.origin]}")
    present = canonical_arrays(network)
    return ProvenanceDraft(
        kind=kind_of(claims),
        made_by=f"v1sim {__version__}",
        command=command,
        origin="copied",
        origins={name: origin for name, origin in origins.items() if name in present},
        checkpoint={
            "name": index.prefix.name,
            "sha256": _one_digest(files),
            "files": dict(files),
            "iterations": evidence.iterations,
            "learning_rate": evidence.learning_rate,
            "why": reason,
            "tables": {
                table: claim_to_json(claimed, average=averages.get(table, {}).get("used", False))
                | ({"average": dict(averages[table])} if table in averages else {})
                for table, claimed in claims.items()
            },
            "variables": {
                role: {
                    "name": entry.name,
                    "dtype": entry.dtype,
                    "shape": list(entry.shape),
                    "crc32c": "" if entry.crc32c is None else f"{unmask(entry.crc32c):08x}",
                }
                for role, entry in variables.entries.items()
            },
        },
        details={**details, "versions": _versions()},
    )


def _one_digest(files: Mapping[str, str]) -> str:
    """sha256 over the digests of index and shards, as ``sha256sum`` would list them."""
    listed = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(listed.encode()).hexdigest()


def _versions() -> dict[str, str]:
    found = {"numpy": version("numpy"), "h5py": version("h5py")}
    for package in ("tensorflow", "tensorflow-cpu"):
        try:
            found["tensorflow"] = version(package)
        except ModuleNotFoundError:  # the stamp needs none
            continue
    return found


def _missing(network: NetworkModel, variables: Variables, n_lgn: int | None) -> tuple[str, ...]:
    """What the file lacks, and what would give it."""
    missing = []
    if network.neurons.position_um is None:
        missing.append("positions of the neurons (--data-dir)")
    if network.cell_types.name is None:
        missing.append("names of the cell types (--data-dir)")
    if not network.readout and "readout_kernel" not in variables:
        missing.append("readout groups (--readout or --data-dir)")
    if "background" not in variables:
        missing.append("background weights (not in the checkpoint)")
    if n_lgn is None and network.neurons.position_um is None:
        missing.append(
            f"the number of LGN cells, taken as {network.lgn.size:,}: the highest index plus one "
            "(--lgn or --data-dir)"
        )
    if variables.unused:
        names = [entry.name for entry in variables.unused]
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        missing.append(
            f"what the checkpoint has beyond this model: {', '.join(names[:_MAX_NAMES])}{more}; "
            "a network file has no place for it"
        )
    return tuple(missing)
