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
from typing import Any, Literal

import numpy as np

from v1sim import __version__
from v1sim.convert.bundle import CheckpointIndex, checkpoint_sha256, read_index, require_shards
from v1sim.convert.checkpoint import network_of, tensorflow_reader
from v1sim.convert.checksums import unmask
from v1sim.convert.completion import complete_from_folder
from v1sim.convert.proof import CheckpointComparison, compare_with_checkpoint
from v1sim.convert.training_state import TrainingState, training_state
from v1sim.convert.variables import Variables, find_variables
from v1sim.errors import CheckpointError, OutputError
from v1sim.memory import workers
from v1sim.model import NetworkModel
from v1sim.output import replacing
from v1sim.sources import open_network
from v1sim.sources.hdf5 import add_provenance, write_network
from v1sim.sources.provenance import ProvenanceDraft, canonical_arrays
from v1sim.sources.readout_groups import read_readout_groups
from v1sim.sources.training_data import open_folder

__all__ = ["Conversion", "Kind", "convert", "stamp"]

Kind = Literal["trained", "untrained", "mixed"]

#: Fraction of recurrent weights that are exactly zero from which on they show training,
#: where no optimizer does: that at which `v1sim.checks.training` no longer warns.
_TRAINED_ZEROS = 0.05
#: Share of the recurrent weights that differ from the initial ones in a trained network.
_TRAINED_CHANGED = 0.5
#: Variables that are named where there may be many.
_MAX_NAMES = 8


@dataclass(frozen=True)
class Conversion:
    """A file that is proven to hold what a checkpoint holds.

    ``missing`` names what neither checkpoint nor other files gave; ``reason`` says
    why the weights are called what ``kind`` calls them.
    """

    network: NetworkModel
    kind: Kind
    reason: str
    training: TrainingState
    comparison: CheckpointComparison
    missing: tuple[str, ...] = ()


def convert(
    checkpoint: Path,
    out: Path,
    *,
    command: str,
    data_dir: Path | None = None,
    readout: Path | None = None,
    n_lgn: int | None = None,
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
    allow_untrained : bool
        Convert a checkpoint that was saved before training, and mark it so.

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
    state = training_state(index, variables)
    _require_training(index, state, allow_untrained=allow_untrained)
    require_shards(index)
    with workers(1) as pool:  # hashing runs beside import and reading
        digests = pool.submit(checkpoint_sha256, index)
        read = tensorflow_reader(index)
        network = network_of(index, variables, read, n_lgn=n_lgn)
        files = digests.result()
    origins = _origins(variables, network)
    changed = None
    if data_dir is not None:
        completed = complete_from_folder(network, open_folder(data_dir), variables["decay"].dtype)
        network = completed.network
        origins |= {name: ("copied", text) for name, text in completed.origins.items()}
        changed = completed.fraction_changed
    if readout is not None:
        network = replace(network, readout=read_readout_groups(readout, network.n_neurons))
        origins["readout/neuron_ids"] = ("copied", f"from {readout.name}")
    kind, reason = _judge(index, state, network, changed, allow_untrained=allow_untrained)
    missing = _missing(network, variables, n_lgn)
    draft = _draft(
        index, variables, state, kind, reason, files, command=command, origins=origins,
        network=network, details={"missing": list(missing)},
    )  # fmt: skip
    with replacing(out) as temporary:
        network = write_network(network, temporary, provenance=draft, known_as=out)
        comparison = compare_with_checkpoint(network, index)
        if not comparison.equal:
            names = ", ".join(sorted({a for c in comparison.differing for a in c.arrays}))
            raise OutputError(
                f"what was written does not give the checkpoint's variables again: {names}",
                where=str(out),
                hint="this is a fault of v1sim or of the disk; report it with the output of "
                "v1sim inspect",
            )
    return Conversion(network, kind, reason, state, comparison, missing)


def stamp(network_file: Path, checkpoint: Path, *, command: str) -> Conversion:
    """Prove an existing network file against a checkpoint and write the provenance into it.

    The index of the checkpoint is enough; TensorFlow is not needed. The file is changed only
    where everything that the checkpoint holds is in it; ``comparison`` of the
    result says what differs where not.

    Raises
    ------
    NetworkFileError
        If the file cannot be read as a network.
    CheckpointError
        If the checkpoint cannot be used.
    OutputError
        If the file cannot be written.
    """
    index = read_index(checkpoint)
    variables = find_variables(index)
    state = training_state(index, variables)
    network = open_network(network_file)
    comparison = compare_with_checkpoint(network, index)
    kind, reason = _judge(index, state, network, None, allow_untrained=True)
    if comparison.equal:
        files = checkpoint_sha256(index)
        origins = _origins(variables, network)
        kept = ("copied", "as the file had it; not in the checkpoint")
        origins |= dict.fromkeys(comparison.uncovered, kept)
        draft = _draft(
            index, variables, state, kind, reason, files, command=command, origins=origins,
            network=network, details={"stamped": "an existing file, proven by checksums"},
        )  # fmt: skip
        network = add_provenance(network_file, draft, network)
    return Conversion(network, kind, reason, state, comparison)


# --- what the weights are --------------------------------------------------------------------


def _require_training(
    index: CheckpointIndex, state: TrainingState, *, allow_untrained: bool
) -> None:
    """Refuse, before anything large is read, a checkpoint whose optimizer shows no training."""
    if allow_untrained or state.kind in ("trained", "undetermined"):
        return
    where = str(index.prefix)
    allow = "--allow-untrained converts it all the same, and marks it"
    if not state.took_steps:
        counted = (
            f"optimizer/iter is {state.iterations}"
            if state.iterations is not None
            else "its optimizer has no variables, which the first step makes"
        )
        raise CheckpointError(
            f"this checkpoint was saved before training: {counted}",
            where=where,
            expected="a checkpoint saved after training",
            hint=f"take a later checkpoint of this training; {allow} untrained",
        )
    zero = [name for name, moments in state.moments.items() if moments == "zero"]
    if zero:
        what = " and ".join(zero)
        raise CheckpointError(
            f"the optimizer's moments of the {what} weights are all zero after "
            f"{_steps(state)}: no gradient ever reached them",
            where=where,
            expected="moments that are not zero, or none at all for weights that were frozen",
            hint=f"the training did not train these weights; {allow} {state.kind}",
        )
    raise CheckpointError(
        "the recurrent weights were not trained: the optimizer keeps moments of other variables "
        "only",
        where=where,
        expected="trained recurrent weights",
        hint=f"{allow} {state.kind}",
    )


def _judge(
    index: CheckpointIndex,
    state: TrainingState,
    network: NetworkModel,
    fraction_changed: float | None,
    *,
    allow_untrained: bool,
) -> tuple[Kind, str]:
    """What the weights are, and why; the optimizer decides where there is one."""
    if state.kind != "undetermined":
        return state.kind, _optimizer_reason(state)
    weight = network.recurrent.weight
    zeros = int(np.count_nonzero(weight == 0)) / max(len(weight), 1)
    seen = f"it has no optimizer, and {zeros:.1%} of its recurrent weights are exactly zero"
    trained = zeros >= _TRAINED_ZEROS
    if fraction_changed is not None:
        seen = (
            f"it has no optimizer, and {fraction_changed:.1%} of its recurrent weights differ from "
            "the initial ones of the training data"
        )
        trained = fraction_changed >= _TRAINED_CHANGED
    if not trained and not allow_untrained:
        raise CheckpointError(
            f"nothing shows that this checkpoint was trained: {seen}",
            where=str(index.prefix),
            expected="optimizer variables, or the zeros that training under the sign constraint "
            "leaves",
            hint="--data-dir compares with the initial weights; --allow-untrained converts it "
            "and marks it untrained",
        )
    return "trained" if trained else "untrained", seen


def _steps(state: TrainingState) -> str:
    return f"{state.iterations:,} updates" if state.iterations is not None else "training"


def _optimizer_reason(state: TrainingState) -> str:
    if not state.took_steps:
        return "the optimizer had not taken a step"
    parts = [f"the optimizer made {_steps(state)}"]
    for name, moments in state.moments.items():
        if moments == "absent" and state.keeps_moments:
            parts.append(f"{name} weights were frozen (no moments)")
        elif moments == "absent":
            parts.append(f"it keeps no moments of {name} weights")
        else:
            parts.append(
                f"moments of {name} weights are {'all zero' if moments == 'zero' else 'not zero'}"
            )
    return "; ".join(parts)


# --- provenance ------------------------------------------------------------------------------


def _origins(variables: Variables, network: NetworkModel) -> dict[str, tuple[Any, str]]:
    """Where each array comes from: origin and detail, by dataset; weights' origin is set later."""
    origins: dict[str, tuple[Any, str]] = {}
    for group in ("recurrent", "input"):
        name = variables[f"{group}_indices"].name
        for column in ("sources", "targets", "receptor_types", "delays"):
            origins[f"{group}/{column}"] = ("copied", f"decoded from {name}")
        origins[f"{group}/weights"] = ("trained variable", variables[f"{group}_weights"].name)
    origins["input/delays"] = ("constructed", "one time step, as in training")
    cell = "neurons/glif3_params"
    for dataset, role in (("E_L", "voltage_offset"), ("g", "param_g"), ("t_ref", "t_ref")):
        origins[f"{cell}/{dataset}"] = ("copied", variables[role].name)
    for dataset, roles in (
        ("V_th", ("voltage_scale", "voltage_offset")),
        ("V_reset", ("v_reset", "voltage_scale", "voltage_offset")),
        ("C_m", ("decay", "param_g", "current_factor")),
        ("tau_syn", ("psc_initial", "syn_decay")),
        ("k", ("param_k",)),
        ("asc_amps", ("asc_amps", "voltage_scale")),
    ):
        names = ", ".join(variables[role].name for role in roles)
        origins[f"{cell}/{dataset}"] = ("recomputed", f"from {names}")
    origins["neurons/node_type_ids"] = ("recomputed", "neurons with the same parameters")
    origins["attributes"] = ("recomputed", "from the shapes of the variables")
    for role, dataset in (
        ("background", "input/bkg_weights"),
        ("readout_kernel", "readout/readout_weights"),
        ("readout_bias", "readout/readout_bias"),
    ):
        if role in variables:
            origins[dataset] = ("copied", variables[role].name)
    present = canonical_arrays(network)
    return {name: origin for name, origin in origins.items() if name in present}


def _draft(
    index: CheckpointIndex,
    variables: Variables,
    state: TrainingState,
    kind: Kind,
    reason: str,
    files: Mapping[str, str],
    *,
    command: str,
    origins: dict[str, tuple[Any, str]],
    network: NetworkModel,
    details: Mapping[str, Any],
) -> ProvenanceDraft:
    for group in ("recurrent", "input"):
        name = variables[f"{group}_weights"].name
        trained = state.trained("recurrent" if group == "recurrent" else "input")
        frozen = state.keeps_moments and state.moments[group] == "absent"
        if kind == "untrained" or trained is False:
            note = "frozen: training did not change it" if frozen else "not trained"
            origins[f"{group}/weights"] = ("initial value", f"{name}; {note}")
    present = canonical_arrays(network)
    return ProvenanceDraft(
        kind=kind,
        made_by=f"v1sim {__version__}",
        command=command,
        origin="copied",
        origins={name: origin for name, origin in origins.items() if name in present},
        checkpoint={
            "name": index.prefix.name,
            "sha256": _one_digest(files),
            "files": dict(files),
            "iterations": state.iterations,
            "learning_rate": state.learning_rate,
            "moments": dict(state.moments),
            "why": reason,
            "variables": {
                role: {
                    "name": entry.name,
                    "dtype": entry.dtype,
                    "shape": list(entry.shape),
                    "crc32c": f"{unmask(entry.crc32c):08x}",
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
            f"the number of LGN cells, taken as {network.n_lgn:,}: the highest index plus one "
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
