"""From a network file to a signed one: it is checked, and signed if it passes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from v1sim.checkpoints.bundle import checkpoint_sha256
from v1sim.documents.statement import StatementDocument
from v1sim.errors import InputError
from v1sim.guard import examination, examine
from v1sim.model import CheckReport
from v1sim.signing.signature import sign_network
from v1sim.sources import open_network
from v1sim.verdict import Policy, weight_arrays

__all__ = ["Signed", "require_key", "sign_file"]


@dataclass(frozen=True)
class Signed:
    """What the guards said of a network, and what was signed of it: nothing if it is refused."""

    report: CheckReport
    statement: StatementDocument | None


def require_key(key: Path) -> None:
    """Raise where there is no such key, before any work is done that it is to sign.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if not key.is_file():
        raise InputError(
            "there is no such key",
            where=str(key),
            expected="the file of an SSH key",
            hint="make one: ssh-keygen -t ed25519 -f KEY",
        )


def sign_file(path: Path, key: Path, policy: Policy, *, training_code: str | None = None) -> Signed:
    """Check a network file and sign what passes.

    Parameters
    ----------
    path : Path
        The network.
    key : Path
        SSH key (`v1sim.signing.ssh.sign`).
    policy : Policy
        What is required of it, with the checkpoint and the baseline that prove it.
    training_code : str, optional
        Commit of the code that trained it.

    Raises
    ------
    InputError
        If network, checkpoint, baseline or key cannot be used.
    OutputError
        If the signature cannot be written.
    """
    require_key(key)
    network = open_network(path)
    context = examination(network, policy)
    report = examine(network, policy, context)
    if not report.passed:
        return Signed(report, None)
    index = context.checkpoint_index
    statement = sign_network(
        network,
        report,
        key,
        checkpoint=context.checkpoint,
        checkpoint_files=None if index is None else checkpoint_sha256(index),
        baseline=context.baseline,
        training_code=training_code,
        array_of={context.name_of(array): array for array in weight_arrays(context.network)},
    )
    return Signed(report, statement)
