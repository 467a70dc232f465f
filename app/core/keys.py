"""API keys: how they are stored, and how a token is checked.

A token is `name.secret`; the secret has 256 random bits, so a plain SHA-256 does not reveal it and needs no
salt or stretching. An entry as it is configured is `name:scopes:hash`, for example `shop:write+read:sha256-9f86d0…`.
Several entries may share a name: that is how a key is rotated.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

from msgspec import Struct

Scope = Literal["write", "read", "catalogue", "users", "operate", "browser", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
MEANINGS: Final[Mapping[Scope, str]] = {
    "write": "send events",
    "read": "recommendations, the catalogue, rules and figures",
    "catalogue": "change items and rules",
    "users": "read and erase what is stored about a user",
    "operate": "preview variants, and whatever else operators do",
    "browser": "send events of one visitor and ask for that visitor's lists: the only scope that may be published",
    "admin": "all others; an alias from before they were apart",
}

SECRET_BYTES: Final = 32

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_HASH: Final = re.compile(r"sha256-[0-9a-f]{64}\Z")
_MAX_TOKEN: Final = 256


class Key(Struct, frozen=True):
    """One entry. `admin` stands for all scopes."""

    name: str
    scopes: frozenset[Scope]
    hash: str

    @property
    def is_public(self) -> bool:
        """Whether anybody may know it: it acts for one visitor at a time, whom each request names."""
        return "browser" in self.scopes

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def entry(self) -> str:
        scopes = "+".join(scope for scope in SCOPES if scope in self.scopes)
        return f"{self.name}:{scopes}:{self.hash}"


class KeyRing(Struct, frozen=True):
    """All keys by name."""

    keys: Mapping[str, tuple[Key, ...]]

    def find(self, token: str) -> Key | None:
        """The key of this token, compared in constant time; None for an unknown token."""
        given = hash_of(token[:_MAX_TOKEN])
        found = None
        for key in self.keys.get(token.partition(".")[0], ()):
            if hmac.compare_digest(key.hash, given):
                found = key
        return found


def hash_of(token: str) -> str:
    return "sha256-" + hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def make(name: str, scopes: Iterable[str], secret: str) -> tuple[Key, str]:
    """A key and its token; `secret` is text made of at least `SECRET_BYTES` random bytes. Raises `ValueError`."""
    if not _NAME.match(name):
        raise ValueError(
            f"{name!r} is not a valid key name: 1 to 64 of a-z, 0-9, - and _, starting with a letter or digit"
        )
    token = f"{name}.{secret}"
    return Key(name, _scopes("+".join(scopes)), hash_of(token)), token


def parse_some(lines: Iterable[str]) -> KeyRing:
    """As `parse`; raises `ValueError` for no key, too."""
    ring = parse(lines)
    if not ring.keys:
        raise ValueError("they hold no key; `reco key new` makes one")
    return ring


def parse(lines: Iterable[str]) -> KeyRing:
    """Entries, one a line; empty lines and those that start with # are ignored.

    Raises `ValueError` that names every invalid line without its content, which may hold a secret.
    """
    keys: dict[str, tuple[Key, ...]] = {}
    errors = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            key = _parse_entry(text)
        except ValueError as error:
            errors.append(f"entry {number}: {error}")
        else:
            keys[key.name] = (*keys.get(key.name, ()), key)
    if errors:
        raise ValueError("; ".join(errors))
    return KeyRing(keys)


def _parse_entry(text: str) -> Key:
    parts = [part.strip() for part in text.split(":")]
    if len(parts) != 3:
        raise ValueError("expected name:scopes:hash, as `reco key new` prints it")
    name, scopes, digest = parts
    if not _NAME.match(name):
        raise ValueError("the name has 1 to 64 of a-z, 0-9, - and _, and starts with a letter or digit")
    if not _HASH.match(digest):
        raise ValueError("the hash is sha256- and 64 hexadecimal digits; the key itself does not belong here")
    return Key(name, _scopes(scopes), digest)


def _scopes(text: str) -> frozenset[Scope]:
    names = [name.strip() for name in text.split("+") if name.strip()]
    found = frozenset(scope for scope in SCOPES if scope in names)
    unknown = [name for name in names if name not in SCOPES]
    if unknown or not found:
        raise ValueError(f"unknown scope {', '.join(unknown) or '(none)'}; {', '.join(SCOPES)}, joined by +")
    if "browser" in found and len(found) > 1:
        raise ValueError("browser is the only scope of its key, since anybody can see it; make another key for others")
    return found
