"""The URLs of Postgres and Redis, checked before a driver sees them.

Drivers differ in how they read a URL that breaks the rules of RFC 3986, and their messages show the part that they
could not read. With an unescaped `/` in a password, that part is the password. `urllib.parse` is of no use here: it
refuses several hosts with an IPv6 address among them, from one patch of Python to the next.
"""

import re
from typing import Final, NamedTuple

_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:,/?#@\s]*)(?::[0-9]{1,5})?"
_URL: Final = re.compile(
    r"(?P<scheme>[a-z+]+)://"
    r"(?:(?P<login>[^/?#@\[\]\s]*)@)?"  # user and password: every other @, /, ? and # would be a part of them
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)"
    r"(?P<path>/[^?#@\s]*)?"
    r"(?:\?(?P<query>[^#@\s]*))?"
)
# The full-width #, /, :, ? and @ too: other readers of URLs normalize them first.
_NOT_ENCODED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00|[\x00-\x1f\x7f\uff03\uff0f\uff1a\uff1f\uff20]")
_ENCODE: Final = (
    "percent-encode what is neither a letter nor a digit in user and password: / is %2F, # is %23, ? is %3F, @ is %40, "
    "% is %25"
)


class UrlParts(NamedTuple):
    """What is where in a URL, still percent-encoded; an empty text for a part that is not there.

    `login`: `user:password`. `hosts`: `host:port,host:port`. `path` begins with its `/`.
    """

    scheme: str
    login: str
    hosts: str
    path: str
    query: str


def url_parts(url: str, schemes: tuple[str, ...], expected: str) -> UrlParts:
    """The parts of a URL, which every driver takes apart in the same way. Raises `ValueError` that shows none of it."""
    if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(expected)
    found = _URL.fullmatch(url)
    if found is None or _NOT_ENCODED.search(url):
        raise ValueError(f"{expected}; {_ENCODE}")
    return UrlParts(**found.groupdict(default=""))


def places(hosts: str) -> list[tuple[str, str]]:
    """Host and port of each place in `host:port,host:port`, as they are written; an address without its brackets."""
    return [_place(entry) for entry in hosts.split(",")]


def _place(entry: str) -> tuple[str, str]:
    host, _, port = entry[1:].partition("]") if entry.startswith("[") else entry.partition(":")
    return host, port.removeprefix(":")
