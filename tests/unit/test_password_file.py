"""A password file is read as libpq documents it."""

import pytest

from app.core.password_file import find_password

FILE = r"""# comment:*:*:*:no
db.example:5432:shop:ann:first
db.example:*:*:ann:p\:a\\s:s
[broken
/run/pg:5433:shop:*: with blanks
*:*:*:bob:
"""


@pytest.mark.parametrize(
    ("host", "port", "database", "user", "password"),
    [
        ("db.example", 5432, "shop", "ann", "first"),
        ("db.example", 5433, "shop", "ann", r"p:a\s:s"),
        ("/run/pg", 5433, "shop", "cid", " with blanks"),
        ("other", 1, "x", "bob", ""),
        ("other", 1, "x", "ann", None),
        ("comment", 1, "x", "no", None),
    ],
)
def test_first_line_that_matches_has_the_password(
    host: str, port: int, database: str, user: str, password: str | None
) -> None:
    lines = FILE.splitlines(keepends=True)
    assert find_password(lines, host=host, port=port, database=database, user=user) == password
