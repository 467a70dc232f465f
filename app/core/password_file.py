"""The password file of libpq. asyncpg's own reading leaves the backslashes of escaped characters in the password.

https://www.postgresql.org/docs/current/libpq-pgpass.html
"""

from collections.abc import Iterable
from typing import Final

_FIELDS: Final = 5


def find_password(lines: Iterable[str], *, host: str, port: int, database: str, user: str) -> str | None:
    """The password of the first line that is of this server, database and user."""
    wanted = (host, str(port), database, user)
    for line in lines:
        *fields, password = _fields(line.rstrip("\r\n"))
        if len(fields) == len(wanted) and all(
            field in ("*", value) for field, value in zip(fields, wanted, strict=True)
        ):
            return password
    return None


def _fields(line: str) -> list[str]:
    """A backslash stands before a colon or a backslash that is part of a field; the last field is the rest."""
    if line.startswith("#"):
        return [""]
    fields = [""]
    characters = iter(line)
    for character in characters:
        if character == "\\":
            fields[-1] += next(characters, character)
        elif character == ":" and len(fields) < _FIELDS:
            fields.append("")
        else:
            fields[-1] += character
    return fields
