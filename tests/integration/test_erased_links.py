"""Links between ids of which one is erased while a request with the link waits."""

import asyncpg

from app.adapters import erasures
from app.adapters.postgres import Database
from app.api.merging import join_new
from app.core.persons import Link


async def test_a_link_of_before_an_erasure_is_not_made(opened: Database, pool: asyncpg.Pool) -> None:
    link = Link("visitor", "ann")
    async with opened.connection() as connection:
        then = await erasures.newest(connection)
        await erasures.begin(connection, "visitor")
        now = await erasures.newest(connection)
    left = "SELECT (SELECT count(*) FROM user_links) + (SELECT count(*) FROM user_history)"
    assert await join_new(opened, None, [link], then) == 0
    assert await pool.fetchval(left) == 0
    assert await join_new(opened, None, [link], now) == 1
    assert await join_new(opened, None, [link], then) == 0  # it is there
