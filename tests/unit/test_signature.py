"""Signatures of networks: by OpenSSH, over every array, and what forgery comes to."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.behaviour.test_command_line import v1sim
from tests.networks import write_tiny
from v1sim import guard
from v1sim.documents.statement import StatementDocument
from v1sim.errors import GuardRefusal, InputError
from v1sim.signer import sign_file
from v1sim.signing.signature import read_signature, statement_path
from v1sim.sources import open_network
from v1sim.verdict import Policy

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")


def make_key(path: Path) -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def trust(path: Path, *keys: Path, options: str = "") -> Path:
    lines = (
        f"{key.name}@lab {options}{key.with_name(key.name + '.pub').read_text()}" for key in keys
    )
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    trust(folder / "trusted", make_key(folder / "maker"))
    make_key(folder / "stranger")
    return folder


@pytest.fixture
def signed(tmp_path, keys) -> Path:
    path = tmp_path / "net.h5"
    write_tiny(path)
    done = sign_file(path, keys / "maker", Policy(require="constructed"), training_code="1a2b3c")
    assert done.statement is not None
    return path


def policy(keys: Path, **changes: object) -> Policy:
    values = {"require": "constructed", "strength": "signed", "trusted_keys": keys / "trusted"}
    return Policy(**(values | changes))


def refused(path: Path, wanted: Policy) -> str:
    with pytest.raises(GuardRefusal) as error:
        guard.admit(open_network(path), wanted)
    (finding,) = (f for f in error.value.report.findings if f.check == "signature.holds")
    return finding.message


def test_a_signed_network_passes_and_names_its_signer(signed, keys):
    checked = guard.admit(open_network(signed), policy(keys))
    assert checked.report.proof == "signature"
    assert all("signed by maker@lab" in a.why for a in checked.report.arrays.values())
    signature = read_signature(open_network(signed), keys / "trusted")
    assert signature.holds
    assert signature.statement.training_code == "1a2b3c"


def test_openssh_alone_verifies_it(signed, keys):
    at = statement_path(signed)
    command = ["ssh-keygen", "-Y", "verify", "-n", "v1sim-network", "-I", "maker@lab"]
    command += ["-f", str(keys / "trusted"), "-s", f"{at}.sig"]
    done = subprocess.run(command, input=at.read_bytes(), capture_output=True, check=False)
    assert done.returncode == 0
    statement = json.loads(at.read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert {s["name"] for s in statement["subject"]} >= {"recurrent.weight", "readout.neuron"}


def test_the_signature_is_of_the_arrays_not_of_the_file(signed, keys):
    """It holds for a copy with other compression, and for none with another value anywhere."""
    copy = signed.with_name("copy.h5")
    with h5py.File(signed) as source, h5py.File(copy, "w") as target:
        target.attrs.update(source.attrs)
        for name in source:
            source.copy(name, target)
    for end in ("", ".sig"):
        shutil.copy(f"{statement_path(signed)}{end}", f"{statement_path(copy)}{end}")
    assert guard.admit(open_network(copy), policy(keys))


@pytest.mark.parametrize(
    "array", ["recurrent/weights", "neurons/x", "recurrent/delays_ms", "readout/g0", "lgn/sources"]
)
def test_any_other_value_is_told(signed, keys, array):
    with h5py.File(signed, "r+") as file:
        names = []
        file.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
        (name,) = (n for n in names if n.endswith(array)) if array in names else (names[0],)
        values = file[name][()]
        values.flat[0] = values.flat[1] if values.flat[0] != values.flat[1] else values.flat[0] + 1
        file[name][...] = values
    message = refused(signed, policy(keys))
    assert "not what maker@lab" in message


def test_unsigned(tmp_path, keys):
    write_tiny(tmp_path / "net.h5")
    message = refused(tmp_path / "net.h5", policy(keys))
    assert "it is not signed: there is no net.h5.statement.json beside it" in message


def test_a_stranger_s_signature(signed, keys):
    sign_file(signed, keys / "stranger", Policy(require="constructed"))
    message = refused(signed, policy(keys))
    assert "is not among those trusted now" in message
    assert "SHA256:" in message


def test_an_edited_statement(signed, keys):
    """A statement that says something else than what was signed."""
    at = statement_path(signed)
    at.write_text(at.read_text().replace('"verdict": "constructed"', '"verdict": "trained"'))
    assert "the signature is not that of this statement" in refused(signed, policy(keys))


def test_a_signature_for_something_else(signed, keys):
    """One that the same key made over other statements, as git does, does not count."""
    at = statement_path(signed)
    command = ["ssh-keygen", "-Y", "sign", "-q", "-n", "git", "-f", str(keys / "maker")]
    made = subprocess.run(command, input=at.read_bytes(), capture_output=True, check=True)
    at.with_name(at.name + ".sig").write_bytes(made.stdout)
    assert "the signature is not that of this statement" in refused(signed, policy(keys))


def test_a_provenance_written_by_hand_is_no_signature(signed, keys):
    """What passes as proof by provenance does not pass as signed."""
    with h5py.File(signed, "r+") as file:
        held = json.loads(file["provenance"][()])
        held["kind"] = "trained"
        for origin in held["arrays"].values():
            origin["origin"] = "trained variable"
        del file["provenance"]
        text = json.dumps(held).encode()
        file["provenance"] = np.array(text, dtype=h5py.string_dtype("utf-8", len(text)))
    report = guard.examine(open_network(signed), Policy(require="trained", strength="proof"))
    assert report.proof == "provenance"
    with pytest.raises(GuardRefusal):
        guard.admit(open_network(signed), policy(keys, require="trained"))


def test_keys_change(signed, keys, tmp_path):
    """A key that has expired is trusted no more; the new one signs again."""
    old = trust(tmp_path / "old", keys / "maker", options='valid-before="20200101" ')
    assert "key has expired" in refused(signed, policy(keys, trusted_keys=old))
    both = trust(tmp_path / "both", keys / "maker", keys / "stranger")
    assert guard.admit(open_network(signed), policy(keys, trusted_keys=both))
    sign_file(signed, keys / "stranger", Policy(require="constructed"))
    assert guard.admit(open_network(signed), policy(keys, trusted_keys=both))


@pytest.mark.parametrize("content", [None, "", "# nobody\n"])
def test_nobody_is_trusted(signed, keys, tmp_path, content):
    if content is not None:
        (tmp_path / "nobody").write_text(content)
    with pytest.raises(InputError, match="allowed_signers"):
        guard.admit(open_network(signed), policy(keys, trusted_keys=tmp_path / "nobody"))


def test_signed_needs_trusted_keys(keys):
    with pytest.raises(InputError, match="one of the two is missing"):
        Policy(strength="signed")
    with pytest.raises(InputError, match="one of the two is missing"):
        Policy(trusted_keys=keys / "trusted")


def test_what_is_refused_is_not_signed(tmp_path, keys):
    write_tiny(tmp_path / "net.h5")
    done = sign_file(tmp_path / "net.h5", keys / "maker", Policy(require="trained"))
    assert done.statement is None
    assert not statement_path(tmp_path / "net.h5").exists()


def test_the_statement_reads_back(signed):
    text = statement_path(signed).read_text()
    assert StatementDocument.model_validate_json(text).to_text() == text


def test_the_command_line(tmp_path, keys):
    write_tiny(tmp_path / "net.h5")
    key, trusted = keys / "maker", keys / "trusted"
    sign = ("sign", "net.h5", "--require", "constructed", "--key")
    assert v1sim(*sign, tmp_path / "none", cwd=tmp_path).returncode == 2
    done = v1sim(*sign, key, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "signed as constructed (proof: provenance)" in done.stdout
    done = v1sim("verify", "net.h5", "--trusted-keys", trusted, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "signed by maker@lab (ED25519 SHA256:" in done.stdout
    options = ("--require", "constructed", "--trusted-keys", trusted)
    done = v1sim("check", "net.h5", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "proof: signature" in done.stdout
    statement_path(tmp_path / "net.h5").unlink()
    assert v1sim("verify", "net.h5", "--trusted-keys", trusted, cwd=tmp_path).returncode == 1
    assert v1sim("check", "net.h5", *options, cwd=tmp_path).returncode == 1


def test_dynamics_are_signed(signed, keys):
    network = open_network(signed)
    other = replace(network, step_ms=0.5)
    assert read_signature(network, keys / "trusted").holds
    assert not read_signature(other, keys / "trusted").holds
