"""The password file of libpq. asyncpg's own reading leaves the backslashes of escaped characters in the password.

https://www.postgresql.org/docs/current/libpq-pgpass.html
"""

from collections.abc import Iterable
from typing import Final

_FIELDS: Final = 5
# The default folder of the libpq that comes with psycopg, as on Debian. A server that is asked there is `localhost`.
_SOCKET_FOLDER: Final = "/var/run/postgresql"


def find_password(lines: Iterable[str], *, host: str, port: int, database: str, user: str) -> str | None:
    """The password of the first line that is of this server, database and user."""
    wanted = ("localhost" if host == _SOCKET_FOLDER else host, str(port), database, user)
    for line in lines:
        *fields, password = _fields(line.rstrip("\r\n"))[:_FIELDS]
        if len(fields) == len(wanted) and all(
            field in ("*", value) for field, value in zip(fields, wanted, strict=True)
        ):
            return password
    return None


def _fields(line: str) -> list[str]:
    """A backslash stands before a colon or a backslash that is part of a field. What follows the fifth is ignored."""
    if line.startswith("#"):
        return [""]
    fields = [""]
    characters = iter(line)
    for character in characters:
        if character == "\\":
            fields[-1] += next(characters, character)
        elif character == ":":
            fields.append("")
        else:
            fields[-1] += character
    return fields
