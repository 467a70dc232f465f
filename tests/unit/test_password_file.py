"""A password file is read as libpq documents it."""

from pathlib import Path

import pytest
from psycopg import pq
from psycopg.conninfo import make_conninfo

from app.core.password_file import find_password

FILE = r"""# comment:*:*:*:no
db.example:5432:shop:ann:first
db.example:*:*:ann:p\:a\\s:s
[broken
/run/pg:5433:shop:*: with blanks
*:*:*:bob:
/var/run/postgresql:*:*:dan:not searched for
localhost:*:*:dan:of the default folder
/tmp:*:*:dan:of another folder
"""


@pytest.mark.parametrize(
    ("host", "port", "database", "user", "password"),
    [
        ("db.example", 5432, "shop", "ann", "first"),
        ("db.example", 5433, "shop", "ann", r"p:a\s"),
        ("/run/pg", 5433, "shop", "cid", " with blanks"),
        ("other", 1, "x", "bob", ""),
        ("other", 1, "x", "ann", None),
        ("comment", 1, "x", "no", None),
        ("/var/run/postgresql", 5432, "shop", "dan", "of the default folder"),
        ("localhost", 5432, "shop", "dan", "of the default folder"),
        ("/tmp", 5432, "shop", "dan", "of another folder"),
    ],
)
def test_first_line_that_matches_has_the_password(
    host: str, port: int, database: str, user: str, password: str | None, tmp_path: Path
) -> None:
    lines = FILE.splitlines(keepends=True)
    assert find_password(lines, host=host, port=port, database=database, user=user) == password
    file = tmp_path / "passwords"
    file.touch(mode=0o600)
    file.write_text(FILE)
    told = make_conninfo(host=host, port=port, dbname=database, user=user, passfile=str(file))
    # An address, so that no name is looked up: libpq reads the file before it connects.
    libpq = pq.PGconn.connect_start(make_conninfo(told, hostaddr="127.0.0.1").encode())
    assert (libpq.password or b"").decode() == (password or "")
