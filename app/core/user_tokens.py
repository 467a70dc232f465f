"""Signed user tokens: how an application's server tells this service who uses a page.

A token is a JWT (RFC 7519) with an HMAC-SHA256 (`HS256`) of a secret that both servers have. Its claims are `sub`, the
user's id, and `exp`, when it ends; `nbf`, when it begins, counts where it is there. No other algorithm is known here,
so the token's header chooses nothing.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from app.core.events import Id
from app.core.visitors import PREFIX

MIN_SECRET: Final = 32
"""Characters of a secret: 256 bits, where each is a byte of chance (RFC 7518, section 3.2)."""
LEEWAY_SEC: Final = 30.0
"""How far two servers' clocks may be apart."""
MAX_LIFE_SEC: Final = 31 * 86_400.0
_MAX_LENGTH: Final = 4096
_HEADER: Final = b'{"alg":"HS256","typ":"JWT"}'


class WrongUserToken(ValueError):
    """The token says nothing that can be trusted; the text says why."""


class ExpiredUserToken(WrongUserToken):
    """The token was right, and has ended."""


class _Header(Struct):
    alg: str
    crit: list[str] | None = None


class _Claims(Struct):
    sub: Id
    exp: float
    nbf: float | None = None


_header: Final = msgspec.json.Decoder(_Header)
_claims: Final = msgspec.json.Decoder(_Claims)


class UserTokens(Struct, frozen=True):
    """`secrets`: a token of any of them is right. There are two while one takes the place of the other."""

    secrets: Sequence[str] = ()

    def user_of(self, token: str, now_sec: float) -> str:
        """The id of the user. Raises `WrongUserToken`."""
        if not self.secrets:
            raise WrongUserToken("this service takes no user tokens; its operator sets USER_TOKEN_SECRETS")
        parts = token.split(".") if len(token) <= _MAX_LENGTH else []
        if len(parts) != 3:
            raise WrongUserToken("it is not a JWT of three parts with dots between")
        header, claims, signature = map(_decoded, parts)
        signed = token.rpartition(".")[0].encode()
        # Each is compared, so that the time tells nothing.
        right = [hmac.compare_digest(_signature(signed, secret), signature) for secret in self.secrets]
        if not any(right):
            raise WrongUserToken("no secret of USER_TOKEN_SECRETS has signed it")
        _check_header(header)
        return _user(claims, now_sec)


def parse_secrets(text: str) -> tuple[str, ...]:
    """A comma list. Raises `ValueError`, which names no secret."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for place, secret in enumerate(found, start=1):
        if len(secret) < MIN_SECRET:
            raise ValueError(
                f"secret {place} has {len(secret)} characters; at least {MIN_SECRET} are needed, such as"
                " `openssl rand -hex 32` makes"
            )
    return found


def sign(user_id: str, secret: str, *, now_sec: float, life_sec: float) -> str:
    """A token of this user that ends `life_sec` from now. Raises `ValueError` for what `user_of` would refuse."""
    if len(secret) < MIN_SECRET:
        raise ValueError(f"the secret has {len(secret)} characters; at least {MIN_SECRET} are needed")
    claims = msgspec.json.encode({"sub": user_id, "exp": int(now_sec + life_sec)})
    _user(claims, now_sec)
    signed = _encoded(_HEADER) + b"." + _encoded(claims)
    return (signed + b"." + _encoded(_signature(signed, secret))).decode()


def _check_header(header: bytes) -> None:
    try:
        given = _header.decode(header)
    except msgspec.DecodeError as error:
        raise WrongUserToken(f"its header is not that of a JWT: {error}") from None
    if given.alg != "HS256" or given.crit is not None:
        raise WrongUserToken("its header has to say HS256, and no `crit`")


def _user(claims: bytes, now_sec: float) -> str:
    try:
        given = _claims.decode(claims)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        needed = "its claims need `sub`, the user's id, and `exp`, in seconds since 1970"
        raise WrongUserToken(f"{needed}: {error}") from None
    if given.sub.startswith(PREFIX):
        raise WrongUserToken(f"its `sub` is the id of a visitor ({PREFIX}…), and not of a user")
    if given.exp + LEEWAY_SEC <= now_sec:
        raise ExpiredUserToken("it has ended; ask your server for another one")
    if given.exp > now_sec + MAX_LIFE_SEC + LEEWAY_SEC:
        raise WrongUserToken("its `exp` is more than 31 days ahead; it is in seconds since 1970")
    if given.nbf is not None and given.nbf > now_sec + LEEWAY_SEC:
        raise WrongUserToken("its `nbf` is ahead of this server's clock")
    return given.sub


def _signature(signed: bytes, secret: str) -> bytes:
    return hmac.digest(secret.encode(), signed, hashlib.sha256)


def _encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise WrongUserToken("a part of it is not base64url") from None
