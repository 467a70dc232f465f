"""The pool against a real Postgres that falls silent."""

import pytest

from app.adapters.postgres import Database
from app.errors import DependencyDown
from tests.faults.proxy import proxied_url
from tests.support.pipeline import database


async def test_one_silent_connection_is_enough_to_give_up_all_of_the_pool(database_url: str) -> None:
    with proxied_url(database_url) as (proxy, url):
        async with database(url, min_size=4, statement_timeout_ms=200) as opened:
            proxy.black_hole()
            proxy.heal()
            with pytest.raises(DependencyDown):
                await ask(opened)
            await opened.open()
            assert await ask(opened) == 1


async def test_whoever_shares_a_silent_pool_is_told_and_the_next_pool_is_left_alone(database_url: str) -> None:
    with proxied_url(database_url) as (proxy, url):
        async with database(url, min_size=2, statement_timeout_ms=200) as opened:

            async def idle_while_another_falls_silent() -> None:
                async with opened.connection() as idle:
                    proxy.black_hole()
                    proxy.heal()
                    with pytest.raises(DependencyDown):
                        await ask(opened)
                    await opened.open()
                    await idle.execute("SELECT 1")

            with pytest.raises(DependencyDown, match=r"closed|released"):
                await idle_while_another_falls_silent()
            assert await ask(opened) == 1


async def ask(opened: Database) -> object:
    async with opened.connection() as connection:
        return await connection.fetchval("SELECT 1")
