"""The URLs of Postgres and Redis, checked before a driver sees them.

Drivers differ in how they read a URL that breaks the rules of RFC 3986, and their messages show the part that they
could not read. With an unescaped `/` in a password, that part is the password.
"""

import re
from typing import Final
from urllib.parse import urlsplit

_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:,/?#@\s]*)(?::[0-9]{1,5})?"
_URL: Final = re.compile(
    r"[a-z+]+://"
    r"(?:[^/?#@\[\]\s]*@)?"  # user and password: every other @, /, ? and # would be a part of them
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)"
    r"(?:/[^?#@\s]*)?"
    r"(?:\?[^#@\s]*)?"
)
_NOT_ENCODED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00|[\x00-\x1f\x7f]")
_ENCODE: Final = (
    "percent-encode what is neither a letter nor a digit in user and password: / is %2F, # is %23, ? is %3F, @ is %40, "
    "% is %25"
)


def hosts(url: str) -> list[str]:
    """The hosts of a checked URL, without their ports; empty for a socket."""
    netloc = urlsplit(url).netloc.rpartition("@")[2]
    found = (urlsplit(f"//{address}").hostname for address in netloc.split(","))
    return [host for host in found if host]


def checked(url: str, schemes: tuple[str, ...], expected: str) -> str:
    """The URL itself, which every driver takes apart in the same way. Raises `ValueError` that shows nothing of it."""
    if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(expected)
    try:
        urlsplit(url)
        valid = _URL.fullmatch(url) is not None and not _NOT_ENCODED.search(url)
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"{expected}; {_ENCODE}")
    return url
