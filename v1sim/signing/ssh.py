"""Signing and verifying with ``ssh-keygen -Y`` (OpenSSH 8.2 or later), offline.

Keys are SSH keys, which people on clusters have already, hardware keys and agents included. Trusted
keys are a file in the format of ``allowed_signers`` (ssh-keygen(1), "ALLOWED SIGNERS"): a name,
options such as ``valid-before``, and a public key in each line. A signature is in the format
SSHSIG (https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from v1sim.errors import InputError
from v1sim.printable import printable

__all__ = ["NAMESPACE", "Signer", "UntrustedSignature", "sign", "verify"]

#: What the signature is for: one made for anything else does not count.
NAMESPACE = "v1sim-network"
_SECONDS = 120


class UntrustedSignature(Exception):
    """A signature that proves nothing; the text says why."""


@dataclass(frozen=True)
class Signer:
    """Who made a signature: the name beside the key in the list of trusted keys, and the key."""

    name: str
    key: str

    def __str__(self) -> str:
        return f"{self.name} ({self.key})"


def sign(message: bytes, key: Path) -> bytes:
    """The signature of a message.

    Parameters
    ----------
    message : bytes
        What is signed.
    key : Path
        A private key, or a public one whose private key an agent or a token holds.

    Raises
    ------
    InputError
        If the key cannot be used, or OpenSSH is not installed.
    """
    command = ["-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key)]
    done = _ssh_keygen(command, message, interactive=True)
    if done.returncode or not done.stdout:
        raise InputError(
            f"the key cannot be used for signing: {_said(done)}",
            where=str(key),
            expected="a private key of yours, or a public key whose private key your SSH agent has",
        )
    return done.stdout


def verify(message: bytes, signature: bytes, trusted_keys: Path) -> Signer:
    """Who among the trusted signed a message.

    Parameters
    ----------
    message, signature : bytes
        What was signed, and the signature.
    trusted_keys : Path
        File of trusted keys.

    Raises
    ------
    UntrustedSignature
        If the signature is not that of this message, or none of a trusted key.
    InputError
        If the file of trusted keys cannot be read, or OpenSSH is not installed.
    """
    _require_keys(trusted_keys)
    with tempfile.TemporaryDirectory(prefix="v1sim-") as folder:
        file = Path(folder) / "signature"
        file.write_bytes(signature)
        found = _ssh_keygen(
            ["-Y", "find-principals", "-f", str(trusted_keys), "-s", str(file)], message
        )
        names = found.stdout.decode(errors="replace").splitlines()
        if found.returncode or not names:
            made = _ssh_keygen(
                ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(file)], message
            )
            key = _fingerprint(made)
            if made.returncode or key is None:
                raise UntrustedSignature(
                    f"the signature is not that of this statement: {_said(made)}"
                )
            because = re.search(r"key (has expired|is not yet valid).*", found.stderr.decode())
            raise UntrustedSignature(
                f"the key {key} is not among those trusted now in {trusted_keys}"
                + (f" ({printable(because[0])})" if because else "")
            )
        said = ""
        for name in names:
            done = _ssh_keygen(
                [
                    "-Y",
                    "verify",
                    "-n",
                    NAMESPACE,
                    "-f",
                    str(trusted_keys),
                    "-I",
                    name,
                    "-s",
                    str(file),
                ],
                message,
            )
            key = _fingerprint(done)
            if done.returncode == 0 and key is not None:
                return Signer(printable(name), key)
            said = _said(done)
    raise UntrustedSignature(f"the signature is not that of this statement: {said}")


def _require_keys(trusted_keys: Path) -> None:
    try:
        lines = trusted_keys.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        lines, seen = [], f"the trusted keys cannot be read: {reason}"
    else:
        seen = "there is no key in this file"
    if not any(line.strip() and not line.lstrip().startswith("#") for line in lines):
        raise InputError(
            seen,
            where=str(trusted_keys),
            expected="lines like 'name@lab.org ssh-ed25519 AAAA...' (ssh-keygen's allowed_signers)",
            hint="a name and the content of the signer's KEY.pub make such a line",
        )


def _ssh_keygen(
    arguments: list[str], message: bytes, *, interactive: bool = False
) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise InputError(
            "signatures need the program ssh-keygen, which is not installed",
            hint="install OpenSSH 8.2 or later: apt-get install openssh-client, or conda install "
            "-c conda-forge openssh",
        )
    environment = {**os.environ, "LC_ALL": "C"}
    if not interactive:
        environment["SSH_ASKPASS_REQUIRE"] = "never"
    try:
        return subprocess.run(
            [program, *arguments],
            input=message,
            capture_output=True,
            check=False,
            timeout=None if interactive else _SECONDS,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"ssh-keygen cannot be run: {error}", where=program) from error


def _fingerprint(done: subprocess.CompletedProcess[bytes]) -> str | None:
    """The key that ``ssh-keygen`` names, as type and fingerprint."""
    found = re.search(r"with (\S+) key (SHA256:\S+)", done.stdout.decode(errors="replace"))
    return None if found is None else f"{found[1]} {found[2]}"


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """The last line that ``ssh-keygen`` said."""
    lines = (done.stderr + b"\n" + done.stdout).decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return printable(said[-1]) if said else f"exit code {done.returncode}"
