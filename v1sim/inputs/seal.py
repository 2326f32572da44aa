"""The seal of a pass: that the user's own v1sim wrote it, and nobody else.

A folder of shared input may lie where others can write. A pass counts only with a message
authentication code (HMAC-SHA256, RFC 2104) under a secret that lies in the user's own cache.
"""

from __future__ import annotations

import hmac
import os
import secrets

from v1sim.cache import CacheError, cache_folder

__all__ = ["seal", "seal_holds"]

_BYTES = 32


def seal(text: str) -> str | None:
    """The seal of a text, hexadecimal; None where there is no place for a secret."""
    key = _secret(make=True)
    return None if key is None else hmac.digest(key, text.encode(), "sha256").hex()


def seal_holds(text: str, sealed: str | None) -> bool:
    """Whether a text has this user's seal."""
    key = _secret(make=False)
    if key is None or sealed is None:
        return False
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    return hmac.compare_digest(expected.encode(), sealed.encode(errors="replace"))


def _secret(*, make: bool) -> bytes | None:
    """The user's secret; None where there is none and none can be made."""
    try:
        path = cache_folder("secret") / "passes"
        if make and not path.exists():
            # Linked under its name when it is whole: of two that make one, the first counts.
            temporary = path.with_name(f".{secrets.token_hex(8)}")
            temporary.touch(mode=0o600, exist_ok=False)
            try:
                temporary.write_bytes(secrets.token_bytes(_BYTES))
                os.link(temporary, path)
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        key = path.read_bytes()
    except (CacheError, OSError):
        return None
    return key if len(key) == _BYTES else None
