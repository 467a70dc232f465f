"""A console session as a signed cookie: who signed in and until when. Nothing is stored.

The signature covers the hash of the API key, so that a key that is withdrawn or rotated ends its sessions.
"""

import hmac
from typing import Final

from app.core.keys import Key, KeyRing

LASTS_SEC: Final = 12 * 3600


def sign(secret: bytes, key: Key, expires_at: int) -> str:
    """The cookie's value: the key's name, the end in seconds since 1970, and a signature."""
    return f"{key.name}.{expires_at}.{_signature(secret, key, expires_at)}"


def find_key(secret: bytes, ring: KeyRing, value: str, now: float) -> Key | None:
    """The key whose session this is; None for a session that has ended, was forged, or whose key is gone."""
    name, _, rest = value.partition(".")
    end, _, signature = rest.partition(".")
    if not (end.isascii() and end.isdigit() and len(end) <= 12 and signature.isascii()) or int(end) <= now:
        return None
    for key in ring.keys.get(name, ()):
        if hmac.compare_digest(_signature(secret, key, int(end)), signature):
            return key
    return None


def _signature(secret: bytes, key: Key, expires_at: int) -> str:
    return hmac.digest(secret, f"{key.entry()} {expires_at}".encode(), "sha256").hex()
