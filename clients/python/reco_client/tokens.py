"""User tokens, which an application's server gives to the pages of a user who is logged in."""

import base64
import hashlib
import hmac
import json
import time
from typing import Final

_HEADER: Final = b'{"alg":"HS256","typ":"JWT"}'


def sign_user_token(user_id: str, secret: str, *, ttl_sec: float = 3600.0, now_sec: float | None = None) -> str:
    """A token that says to the service, for `ttl_sec` seconds, that a browser is this user's: a JWT with HS256.

    `secret`: one of the service's `USER_TOKEN_SECRETS`, of at least 32 characters; it never leaves the server.
    `now_sec`: seconds since 1970; now where it is left out. Raises `ValueError` for a secret that is too short.
    """
    if len(secret) < 32:
        raise ValueError(f"the secret has {len(secret)} characters; at least 32 are needed")
    ends = int((time.time() if now_sec is None else now_sec) + ttl_sec)
    claims = json.dumps({"sub": user_id, "exp": ends}, separators=(",", ":"), ensure_ascii=False).encode()
    signed = b".".join(map(_encoded, (_HEADER, claims)))
    return b".".join((signed, _encoded(hmac.digest(secret.encode(), signed, hashlib.sha256)))).decode()


def _encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
