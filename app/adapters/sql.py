"""Named SQL statements, kept in a `.sql` file beside the module that runs them.

A statement starts after a line `-- name: claim_batch`. The idea is procrastinate's `sql/__init__.py`.
"""

import re
from pathlib import Path

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(module_file: str) -> dict[str, str]:
    """The statements of `x.sql` for the module `x.py` (pass `__file__`), by name."""
    return parse(Path(module_file).with_suffix(".sql").read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, str]:
    head, *parts = _NAME.split(text)
    if any(line and not line.startswith("--") for line in head.splitlines()):
        raise ValueError("there is SQL before the first `-- name:` line")
    statements = dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))
    if len(statements) < len(parts) // 2:
        raise ValueError("two statements have the same name")
    return statements


def numbered(statement: str) -> tuple[str, tuple[str, ...]]:
    """A statement of psycopg's as one of asyncpg's: `%(name)s` becomes `$1` and so on. With the names in that order."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(statement)))
    return _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", statement), names
