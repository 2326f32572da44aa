"""Converting what a training with DPointNet left into a network file.

DPointNet writes no checkpoint and no optimizer state. That weights were trained is established
against the original circuit, edge by edge; the provenance says so, and what that rests on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from v1sim import __version__
from v1sim.checkpoints.dpointnet import (
    from_checkpoint,
    from_keras,
    is_dpointnet_checkpoint,
    is_keras_weights,
)
from v1sim.digests import file_sha256
from v1sim.errors import InputError, OutputError
from v1sim.files.table import read_table
from v1sim.model import NetworkModel, SourceFile
from v1sim.sources.dpointnet import Circuit, read_circuit
from v1sim.sources.dpointnet.remarks import Remarks
from v1sim.sources.dpointnet.trained import (
    ROUNDING,
    TrainedWeights,
    WeightChange,
    read_trained,
)
from v1sim.sources.dpointnet.trained_edges import edges_files
from v1sim.sources.hdf5 import write_network
from v1sim.sources.provenance import Kind, ProvenanceDraft, canonical_arrays

__all__ = [
    "DPointNetConversion",
    "DPointNetTraining",
    "convert",
    "is_training",
    "open_training",
    "summary",
]

#: The table of losses that DPointNet writes beside the trained weights.
_LOSSES = "losses.csv"


@dataclass(frozen=True)
class Losses:
    """What the table of losses says: a trace of a training, no proof that it made these weights."""

    path: Path
    n_steps: int
    first: float | None
    last: float | None


@dataclass(frozen=True, eq=False)
class DPointNetTraining:
    """A training as a network, before it is written or judged.

    Parameters
    ----------
    network : NetworkModel
        With its remarks, without provenance.
    circuit : Circuit
        The original one.
    weights : TrainedWeights
        The trained ones, and how they changed.
    kind : str
        What they are.
    reason : str
        What that rests on.
    losses : Losses or None
        What the table of losses says, where there is one.
    draft : ProvenanceDraft
        The network's provenance.
    """

    network: NetworkModel
    circuit: Circuit
    weights: TrainedWeights
    kind: Kind
    reason: str
    losses: Losses | None
    draft: ProvenanceDraft

    def sealed(self) -> NetworkModel:
        """The network with its provenance."""
        return replace(self.network, provenance=self.draft.seal(self.network))


@dataclass(frozen=True, eq=False)
class DPointNetConversion:
    """A network file that was made of a training; ``training`` is what it was made of."""

    network: NetworkModel
    training: DPointNetTraining


def is_training(path: Path) -> bool:
    """Whether a path is what only DPointNet leaves: a folder of edges, or weights of its model."""
    return bool(edges_files(path)) or is_dpointnet_checkpoint(path)


def convert(
    trained: Path,
    base: Path | None,
    out: Path,
    *,
    command: str,
    allow_untrained: bool = False,
) -> DPointNetConversion:
    """Convert the trained weights of DPointNet into a network file with its provenance.

    Parameters
    ----------
    trained : Path
        The folder ``trained_weights`` that DPointNet left, or the one above it; or weights of its
        model in a file of Keras (``.weights.h5``) or a TensorFlow checkpoint
        (`v1sim.checkpoints.dpointnet`).
    base : Path or None
        The configuration that the training was run with; it names the original circuit.
    out : Path
        Network file to write; it appears whole or not at all.
    command : str
        The command line, for the provenance.
    allow_untrained : bool
        Convert weights that are those of the original circuit, and mark them so.

    Raises
    ------
    InputError
        If there is no ``base``, the weights are not those of its circuit, or they are untrained.
    NetworkFileError, ConfigError
        If the circuit cannot be read.
    OutputError
        If the file cannot be written.
    """
    if not out.parent.is_dir():
        raise OutputError(f"there is no folder {out.parent}", where=str(out), hint="create it")
    training = open_training(trained, base, command=command)
    if training.kind == "untrained" and not allow_untrained:
        raise InputError(
            f"these weights are untrained: {training.reason}",
            where=str(trained),
            expected="weights that training changed",
            hint="was the training stopped, or its learning rate 0? take the folder that a later "
            "epoch left; --allow-untrained converts them all the same, and marks them untrained",
        )
    network = write_network(training.network, out, provenance=training.draft)
    return DPointNetConversion(network, training)


def open_training(trained: Path, base: Path | None, *, command: str) -> DPointNetTraining:
    """The trained weights of DPointNet as a network.

    Raises
    ------
    InputError, NetworkFileError, ConfigError
        As `convert`.
    """
    if base is None:
        raise InputError(
            "DPointNet leaves weights alone: no delays, no edge types, no time constants, no cells "
            "and nothing of the dynamics",
            where=str(trained),
            expected="the configuration that the training was run with, which names all of them",
            hint="v1sim convert TRAINED_WEIGHTS --base CONFIG.json --out NETWORK.h5",
        )
    circuit = read_circuit(base)
    remarks = Remarks()
    weights = _weights(circuit, trained, remarks)
    losses = _losses(trained)
    digests = {file.name: file_sha256(file) for file in weights.files}
    source = SourceFile(str(trained), _together(digests), "dpointnet")
    network = circuit.network(weights.internal, source)
    network = replace(network, remarks=(*network.remarks, *remarks.all()))
    kind, reason = _kind(circuit, weights.change)
    draft = _draft(circuit, weights, kind, reason, losses, digests, network, command)
    return DPointNetTraining(network, circuit, weights, kind, reason, losses, draft)


def _weights(circuit: Circuit, trained: Path, remarks: Remarks) -> TrainedWeights:
    if is_keras_weights(trained):
        return from_keras(circuit, trained, remarks)
    if is_dpointnet_checkpoint(trained):
        return from_checkpoint(circuit, trained, remarks)
    return read_trained(circuit, trained, remarks)


# --- was it trained? -----------------------------------------------------------------------------


def _kind(circuit: Circuit, change: Mapping[str, WeightChange]) -> tuple[Kind, str]:
    """What the weights are by what changed, and why.

    The recurrent weights decide. Input that was frozen leaves a network trained; input that was to
    be trained, and was not, makes it mixed, and so do recurrent weights that were frozen.
    """
    recurrent = change[circuit.neurons.population]
    inputs = [held for name, held in change.items() if name != circuit.neurons.population]
    reason = "; ".join(_said(held) for held in change.values())
    reason += f" (against the original circuit, relative tolerance {ROUNDING:g})"
    if not any(held.trained for held in change.values()):
        return "untrained", reason
    kept = [held for held in inputs if held.trainable and not held.trained]
    return "trained" if recurrent.trained and not kept else "mixed", reason


def _said(change: WeightChange) -> str:
    if not change.trained:
        frozen = "" if change.trainable else ", frozen by the configuration"
        return f"none of {change.n:,} weights from {change.population} changed{frozen}"
    return (
        f"{change.n_changed:,} of {change.n:,} weights from {change.population} changed, by "
        f"{change.relative_change:.3g} (L2)"
    )


def _losses(trained: Path) -> Losses | None:
    """The table of losses beside trained weights; None where there is none that can be read."""
    for folder in (trained, trained.parent):
        path = folder / _LOSSES
        if not path.is_file():
            continue
        try:
            table = read_table(path, error=InputError, expected="DPointNet's table of losses")
            total = (table.texts("loss_type") == "step") & (
                table.texts("loss_function") == "__total_loss"
            )
            values = table.numbers("loss_value")[total]
        except (InputError, ValueError):  # it proves nothing either way
            return None
        first, last = (float(values[0]), float(values[-1])) if len(values) else (None, None)
        return Losses(path, len(values), first, last)
    return None


# --- provenance ----------------------------------------------------------------------------------


def _draft(
    circuit: Circuit,
    weights: TrainedWeights,
    kind: Kind,
    reason: str,
    losses: Losses | None,
    digests: Mapping[str, str],
    network: NetworkModel,
    command: str,
) -> ProvenanceDraft:
    present = canonical_arrays(network)
    origins = _origins(circuit, weights)
    return ProvenanceDraft(
        kind=kind,
        made_by=f"v1sim {__version__}",
        command=command,
        origin="copied",
        origins={name: origin for name, origin in origins.items() if name in present},
        details={
            "dpointnet": {
                "established": reason,
                "by": "comparison with the original circuit: DPointNet keeps no optimizer state",
                "tolerance": ROUNDING,
                "read_from": weights.kind,
                "trained_files": dict(digests),
                "base_files": _base_files(circuit),
                "weights": {
                    held.projection: _change_to_json(held) for held in weights.change.values()
                },
                "losses": None
                if losses is None
                else {
                    "file": losses.path.name,
                    "steps": losses.n_steps,
                    "first": losses.first,
                    "last": losses.last,
                    "says": "evidence of a training only: nothing ties it to these weights",
                },
            },
            "versions": {"numpy": version("numpy"), "h5py": version("h5py")},
        },
    )


def _origins(circuit: Circuit, weights: TrainedWeights) -> dict[str, tuple[Any, str]]:
    origins: dict[str, tuple[Any, str]] = {}
    for population, edges in circuit.edges.items():
        held = weights.change[population]
        for column in ("pre", "post"):
            origins[f"{edges.name}.{column}"] = ("copied", edges.path.name)
        origins[f"{edges.name}.receptor"] = ("recomputed", "basis functions of the synaptic models")
        recurrent = population == circuit.neurons.population
        origins[f"{edges.name}.delay_ms"] = (
            ("recomputed", f"{edges.path.name}, clipped and rounded as in training")
            if recurrent
            else ("constructed", "one time step, as in training")
        )
        if held.trained:
            text = f"{held.n_changed:,} of {held.n:,} differ from the original circuit's"
            origins[f"{edges.name}.weight"] = (
                "trained variable",
                f"{_short(weights.origin[population])}; {text}",
            )
        else:
            why = (
                "training did not change them"
                if held.trainable
                else "frozen: training did not change it"
            )
            origins[f"{edges.name}.weight"] = ("initial value", f"{edges.path.name}; {why}")
    for column in ("e_l_mv", "v_th_mv", "c_m_pf", "g_ns", "k_per_ms", "asc_amp_pa"):
        origins[f"cell_types.{column}"] = ("copied", "files of the cell types")
    origins["cell_types.v_reset_mv"] = ("constructed", "E_L, as in training")
    origins["cell_types.t_ref_ms"] = ("recomputed", "rounded up to whole steps, as in training")
    origins["cell_types.tau_syn_ms"] = ("copied", f"tau_basis of {circuit.config.path.name}")
    return origins


def _short(origin: str) -> str:
    """Where weights stand, without the folder."""
    file, colon, inside = origin.partition(":")
    return f"{Path(file).name}{colon}{inside}"


def _change_to_json(held: WeightChange) -> dict[str, Any]:
    return {
        "source": held.population,
        "trainable": held.trainable,
        "n": held.n,
        "changed": held.n_changed,
        "became_zero": held.n_zero,
        "sign_changed": held.n_flipped,
        "relative_change": held.relative_change,
        "classes": [
            {
                "source": c.source,
                "target": c.target,
                "n": c.n,
                "changed": c.n_changed,
                "relative_change": c.relative_change,
            }
            for c in held.classes
        ],
    }


def _base_files(circuit: Circuit) -> dict[str, str]:
    paths = [circuit.config.path, circuit.neurons.path, *(e.path for e in circuit.edges.values())]
    if circuit.config.basis_weights_file is not None:
        paths.append(circuit.config.basis_weights_file)
    return {path.name: file_sha256(path) for path in dict.fromkeys(paths)}


def _together(digests: Mapping[str, str]) -> str:
    listed = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(digests.items()))
    return hashlib.sha256(listed.encode()).hexdigest()


def summary(training: DPointNetTraining) -> Iterable[str]:
    """What a conversion says of itself, line by line."""
    network, circuit = training.network, training.circuit
    dynamics = network.dynamics
    assert dynamics is not None
    synapses = ", ".join(f"{len(t):,} {name}" for name, t in network.tables.items())
    yield (
        f"{network.n_neurons:,} neurons of {len(network.cell_types)} types, "
        f"{len(circuit.config.tau_basis_ms)} basis functions, {dynamics.reset} reset, steps of "
        f"{dynamics.step_ms:g} ms; synapses: {synapses}"
    )
    for held in training.weights.change.values():
        yield _said(held)
        for c in held.classes:
            yield (
                f"  {c.source} -> {c.target}: {c.n_changed:,} of {c.n:,} changed, by "
                f"{c.relative_change:.3g} (L2)"
            )
    if training.losses is not None:
        losses = training.losses
        yield (
            f"{losses.path.name} has {losses.n_steps:,} steps"
            + (
                f", loss {losses.first:.6g} to {losses.last:.6g}"
                if losses.first is not None and losses.last is not None
                else ""
            )
            + ": evidence of a training only, nothing ties it to these weights"
        )
