"""Signed user tokens: how an application's server tells this service who uses a page.

A token is a JWT (RFC 7519) with an HMAC-SHA256 (`HS256`) of a secret that both servers have. Its claims are `sub`, the
user's id, and `exp`, when it ends; `nbf`, when it begins, counts where it is there. No other algorithm is taken. PyJWT
reads and signs; the claims are judged here, since the clock is an argument.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import jwt
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
_ALGORITHM: Final = "HS256"


class WrongUserToken(ValueError):
    """The token says nothing that can be trusted; the text says why."""


class ExpiredUserToken(WrongUserToken):
    """The token was right, and has ended."""


class _Claims(Struct):
    sub: Id
    exp: float
    nbf: float | None = None


_jws: Final = jwt.PyJWS(algorithms=[_ALGORITHM])
_claims: Final = msgspec.json.Decoder(_Claims)


class UserTokens(Struct, frozen=True):
    """`secrets`: a token of any of them is right. There are two while one takes the place of the other."""

    secrets: Sequence[str] = ()

    @classmethod
    def of(cls, lines: Iterable[str]) -> "UserTokens":
        """By the secrets of these lines. Raises as `checked_secrets`."""
        return cls(checked_secrets(lines))

    @classmethod
    def of_some(cls, lines: Iterable[str]) -> "UserTokens":
        """As `of`; raises `ValueError` for no secret, too."""
        found = cls.of(lines)
        if not found.secrets:
            raise ValueError("there is no secret in them; `openssl rand -hex 32` makes one")
        return found

    def user_of(self, token: str, now_sec: float) -> str:
        """The id of the user. Raises `WrongUserToken`."""
        if not self.secrets:
            raise WrongUserToken("this service takes no user tokens; its operator sets USER_TOKEN_SECRETS(_FILE)")
        if len(token) > _MAX_LENGTH:
            raise WrongUserToken(f"it has more than {_MAX_LENGTH} characters")
        for secret in self.secrets:
            try:
                claims = _jws.decode(token, secret, algorithms=[_ALGORITHM])
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidAlgorithmError:
                raise WrongUserToken(f"its header has to say {_ALGORITHM}") from None
            except (jwt.InvalidTokenError, UnicodeEncodeError) as error:
                raise WrongUserToken(f"it is not a JWT as one is read here: {error}") from None
            return _user(claims, now_sec)
        raise WrongUserToken("no secret of USER_TOKEN_SECRETS(_FILE) has signed it")


def parse_secrets(text: str) -> tuple[str, ...]:
    """A comma list. Raises `ValueError`, which names no secret."""
    return checked_secrets(text.split(","))


def checked_secrets(lines: Iterable[str]) -> tuple[str, ...]:
    """Secrets, one a line; empty lines and those that start with # are ignored. Raises as `parse_secrets`."""
    stripped = (line.strip() for line in lines)
    found = tuple(line for line in stripped if line and not line.startswith("#"))
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
    return _jws.encode(claims, secret, _ALGORITHM)


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
