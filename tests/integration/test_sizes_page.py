"""docs/sizes.md has every table that the migrations make and every cache of a process, each with what bounds it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "sizes.md").read_text()
_CACHES: Final = ("FreshCache", "_by_category")


def bounds(heading: str) -> dict[str, str]:
    """What bounds each name that the first column of this section's table has in code format."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = {}
    for line in re.findall(r"^\|(?! ---)(.*)\|$", section, re.MULTILINE)[1:]:
        first, bound, *_ = (cell.strip() for cell in line.split("|"))
        found.update(dict.fromkeys(re.findall(r"`(\w+)`", first), bound))
    return found


def cache_names() -> Iterator[str]:
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in _CACHES:
                    yield str(node.args[0].value)


async def test_every_table_has_its_bound(pool: asyncpg.Pool) -> None:
    rows = await pool.fetch(
        "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    )
    found = bounds("Tables")
    assert found.keys() == {name for (name,) in rows}
    assert all(found.values())


def test_every_cache_has_its_bound() -> None:
    names, found = set(cache_names()), bounds("Memory of a process")
    assert len(names) > 10
    assert {name: found.get(name) for name in names if not found.get(name)} == {}
