"""Check of the signature: whether a trusted key signed the network as it is."""

from __future__ import annotations

from collections.abc import Iterator

from v1sim.checks.registry import Context, Observation, check
from v1sim.model import Severity

__all__: list[str] = []


@check(
    "signature.holds",
    severity=Severity.ERROR,
    reason="All other proofs stand against accident: whoever may write the file can write a "
    "provenance, a checkpoint's index or a checksum that fits. A signature by a key that you trust "
    "stands against forgery too, as long as the key is kept.",
    calibration="Exact: the sha256 of every array, in a statement that OpenSSH verifies. Looked at "
    "where trusted keys are named (--trusted-keys, trusted_keys).",
    waivable=False,
)
def holds(context: Context) -> Iterator[Observation]:
    """The network is the one that a trusted key signed."""
    signature = context.signature
    if signature is not None and not signature.holds:
        yield Observation(
            signature.differing[:5] or str(signature.path),
            f"no trusted key vouches for this network: {signature.problem}",
            "ask who made it to sign it (v1sim sign NETWORK.h5 --key KEY), or add the key that "
            "you trust to the list of trusted keys",
            n_bad=len(signature.differing) or 1,
        )
