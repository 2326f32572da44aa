"""Signing a network, and saying who signed the one at hand.

The signature lies beside the network, in two files: ``NET.h5.statement.json``, an in-toto statement
that people can read, and ``NET.h5.statement.json.sig``, which ``ssh-keygen -Y verify`` verifies
without v1sim. It holds for the arrays, not for the bytes of the file: compression changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from v1sim import __version__
from v1sim.checkpoints.proof import CheckpointComparison
from v1sim.documents.statement import (
    BaselineDigest,
    CheckpointDigest,
    DynamicsStatement,
    NetworkStatement,
    Sha256,
    StatementDocument,
    Subject,
    WeightsStatement,
)
from v1sim.model import CheckReport, NetworkModel
from v1sim.output import replacing
from v1sim.signing import ssh
from v1sim.signing.ssh import Signer, UntrustedSignature
from v1sim.sources.provenance import array_digests

__all__ = ["NetworkSignature", "read_signature", "sign_network", "statement_path"]

#: Larger statements do not occur: a network has some dozens of arrays.
_MAX_BYTES = 1 << 22


@dataclass(frozen=True)
class NetworkSignature:
    """A network's signature by a list of trusted keys.

    ``problem`` says why it proves nothing; it is empty, and ``signer`` and ``statement`` are there,
    where the signature is that of a trusted key and every array is the one that was signed.
    ``differing`` names the arrays that are not.
    """

    path: Path
    signer: Signer | None = None
    statement: NetworkStatement | None = None
    problem: str = ""
    differing: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the network at hand is what a trusted key signed."""
        return self.statement is not None and not self.problem


def statement_path(network_path: Path) -> Path:
    """Where the statement about a network lies."""
    return network_path.with_name(network_path.name + ".statement.json")


def _signature_path(network_path: Path) -> Path:
    statement = statement_path(network_path)
    return statement.with_name(statement.name + ".sig")


def sign_network(
    network: NetworkModel,
    report: CheckReport,
    key: Path,
    *,
    checkpoint: CheckpointComparison | None = None,
    checkpoint_files: Mapping[str, str] | None = None,
    baseline: NetworkModel | None = None,
    training_code: str | None = None,
    array_of: Mapping[str, str] = MappingProxyType({}),
) -> StatementDocument:
    """Sign a network and leave statement and signature beside it.

    Parameters
    ----------
    network : NetworkModel
        The network, as read from its file.
    report : CheckReport
        What the guards say of it.
    key : Path
        SSH key (`v1sim.signing.ssh.sign`).
    checkpoint : CheckpointComparison, optional
        With which it was compared.
    checkpoint_files : mapping of str to str, optional
        sha256 of the checkpoint's files by name (`v1sim.checkpoints.bundle.checkpoint_sha256`).
    baseline : NetworkModel, optional
        The network before training.
    training_code : str, optional
        Commit of the code that trained it.
    array_of : mapping of str to str, optional
        v1sim's name of an array of weights by that in the report, where they differ.

    Returns
    -------
    StatementDocument
        What was signed.

    Raises
    ------
    InputError
        If the key cannot be used.
    OutputError
        If the files cannot be written.
    """
    statement = _statement(
        network, report, checkpoint, checkpoint_files or {}, baseline, training_code, array_of
    )
    message = statement.to_text().encode()
    signature = ssh.sign(message, key)
    path = Path(network.source.path)
    for file, content in ((statement_path(path), message), (_signature_path(path), signature)):
        with replacing(file) as temporary:
            temporary.write_bytes(content)
    return statement


def _statement(
    network: NetworkModel,
    report: CheckReport,
    checkpoint: CheckpointComparison | None,
    checkpoint_files: Mapping[str, str],
    baseline: NetworkModel | None,
    training_code: str | None,
    array_of: Mapping[str, str],
) -> StatementDocument:
    return StatementDocument(
        subject=[
            Subject(name=name, digest=Sha256(sha256=sha256))
            for name, sha256 in array_digests(network).items()
        ],
        predicate=NetworkStatement(
            verdict=report.verdict,
            proof=report.proof,
            weights={
                array_of.get(name, name): WeightsStatement(
                    verdict=found.verdict, proof=found.proof, why=found.why
                )
                for name, found in report.arrays.items()
            },
            checkpoint=None
            if checkpoint is None
            else CheckpointDigest(
                name=Path(checkpoint.checkpoint).name,
                sha256=dict(checkpoint_files),
                compared=checkpoint.how,
            ),
            baseline=None
            if baseline is None
            else BaselineDigest(
                name=Path(baseline.source.path).name, file_sha256=baseline.source.sha256
            ),
            step_ms=network.step_ms,
            dynamics=_dynamics(network),
            training_code=training_code,
            waived=dict(report.waived),
            made_by=f"v1sim {__version__}",
            signed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )


def _dynamics(network: NetworkModel) -> DynamicsStatement | None:
    held = network.dynamics
    if held is None:
        return None
    return DynamicsStatement(reset=held.reset, step_ms=held.step_ms, trainer=held.trainer)


def read_signature(
    network: NetworkModel, trusted_keys: Path, digests: Mapping[str, str] | None = None
) -> NetworkSignature:
    """Whether a trusted key signed a network, and what it says of it.

    Parameters
    ----------
    network : NetworkModel
        The network, as it is to be used: its arrays are hashed, not its file.
    trusted_keys : Path
        File of trusted keys (ssh-keygen's ``allowed_signers``).
    digests : mapping of str to str, optional
        Of its arrays (`v1sim.sources.provenance.array_digests`), where they are known.

    Raises
    ------
    InputError
        If the file of trusted keys cannot be read, or OpenSSH is not installed.
    """
    path = Path(network.source.path)
    at = statement_path(path)
    try:
        message, signature = (_content(file) for file in (at, _signature_path(path)))
        signer = ssh.verify(message, signature, trusted_keys)
        document = StatementDocument.model_validate_json(message)
    except FileNotFoundError as error:
        problem = f"it is not signed: there is no {Path(error.filename).name} beside it"
        return NetworkSignature(at, problem=problem)
    except OSError as error:
        return NetworkSignature(at, problem=f"its signature cannot be read: {error.strerror}")
    except UntrustedSignature as error:
        return NetworkSignature(at, problem=str(error))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        problem = f"what was signed is no statement about a network: {place}: {first['msg']}"
        return NetworkSignature(at, problem=problem)
    signed = {subject.name: subject.digest.sha256 for subject in document.subject}
    held = dict(array_digests(network) if digests is None else digests)
    said = document.predicate
    signed |= {"step_ms": repr(said.step_ms), "dynamics": repr(said.dynamics)}
    held |= {"step_ms": repr(network.step_ms), "dynamics": repr(_dynamics(network))}
    differing = sorted(
        name for name in held.keys() | signed.keys() if held.get(name) != signed.get(name)
    )
    problem = ""
    if differing:
        names = ", ".join(map(network.source.name_of, differing[:5]))
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        problem = f"{names}{more} are not what {signer} signed"
    return NetworkSignature(at, signer, said, problem, tuple(differing))


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_BYTES)
