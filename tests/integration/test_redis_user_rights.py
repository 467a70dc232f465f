"""A user of Redis with the rights that docs/settings.md names, and no other, is enough for the service."""

import re
from pathlib import Path

import pytest

from app.adapters.postgres import Database
from tests.support.caching import caching
from tests.support.redis_processes import redis_process

_SETTINGS = Path(__file__).parents[2] / "docs" / "settings.md"


def documented(*, other_database: bool) -> list[str]:
    """The words of the rights, as ACL SETUSER has them."""
    text = _SETTINGS.read_text().partition("The user needs the keys")[2]
    always, _, others = text.partition("A database other than 0 needs")
    named = always + (others.partition(" too, and")[0] if other_database else "")
    return [f"+{command.lower()}" for command in re.findall(r"`([A-Z]+)`", named)]


@pytest.mark.parametrize("number", [0, 3])
async def test_documented_rights_of_a_redis_user_are_enough(opened: Database, number: int) -> None:
    with redis_process() as server:
        with server.client() as admin:
            rights = ["on", ">pw", "~*reco:*", "-@all", *documented(other_database=number > 0)]
            admin.execute_command("ACL", "SETUSER", "shop", *rights)
        async with caching(opened, f"redis://shop:pw@127.0.0.1:{server.port}/{number}") as cache:
            await cache.probe()
            assert await cache.get_many(["ann"]) is not None
