"""Rows that two consumers may write at once are locked in one order, those that have to be created too."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest
from asyncpg import Pool

from app.adapters import dead_letters, erasures, features
from app.adapters.postgres import Database
from tests.support.consuming import incoming
from tests.support.pipeline import database, letters, until
from workers.incoming import unread_letter

# Longer than a busy machine takes to show who waits.
_PATIENT_MS: Final = 20_000
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
async def opened(database_url: str) -> AsyncIterator[Database]:
    patient = {"lock_timeout_ms": _PATIENT_MS, "statement_timeout_ms": _PATIENT_MS}
    async with database(database_url, **patient) as opened:
        yield opened


async def test_row_that_another_transaction_creates_is_waited_for_in_its_order(opened: Database, pool: Pool) -> None:
    await pool.execute("INSERT INTO user_history (user_id, history) VALUES ('bob', 'h')")

    async def both() -> list[bytes]:
        async with opened.connection() as connection, connection.transaction():
            locked = await features.lock_histories(connection, ["bob", "ann"])
            return [locked[user_id].history for user_id in ("ann", "bob")]

    async with opened.connection() as connection, connection.transaction():
        await features.lock_histories(connection, ["ann"])
        waiting = asyncio.create_task(both())
        await until(lambda: pool.fetchval(WAITING))
        # Whoever waits for the first row has not locked the second one.
        assert (await features.lock_histories(connection, ["bob"]))["bob"].history == b"h"
        await features.write_histories(connection, {"ann": b"a", "bob": b"b"})
    assert await waiting == [b"a", b"b"]


async def test_lock_leaves_no_version_and_creates_what_is_missing(opened: Database, pool: Pool) -> None:
    await pool.execute("INSERT INTO user_history (user_id, version, history) VALUES ('bob', 7, 'h')")
    before = await pool.fetchval("SELECT ctid FROM user_history WHERE user_id = 'bob'")
    async with opened.connection() as connection, connection.transaction():
        locked = await features.lock_histories(connection, ["bob", "ann"])
    assert (locked["bob"].version, locked["bob"].history, locked["ann"].history) == (7, b"h", b"")
    assert await pool.fetchval("SELECT ctid FROM user_history WHERE user_id = 'bob'") == before
    assert await pool.fetchval("SELECT count(*) FROM user_history") == 2


@pytest.mark.parametrize(("locked", "other"), [(1, 2), (2, 1)])
async def test_erasure_that_waits_for_a_row_of_an_experiment_holds_no_other_one(
    opened: Database, pool: Pool, locked: int, other: int
) -> None:
    """The roll-up locks the rows of a user in any order."""
    await pool.execute(
        "INSERT INTO experiment_users (run, user_id, variant, exposed_at) "
        "SELECT n, 'ann', 'v', now() FROM generate_series(1, 2) AS n"
    )
    add = "UPDATE experiment_users SET purchases = 1 WHERE run = $1 AND user_id = 'ann'"
    async with opened.connection() as connection:
        begun = (await erasures.begin(connection, "ann")).erasures
    async with opened.connection() as rolling_up, rolling_up.transaction():
        await rolling_up.execute(add, locked)
        erasing = asyncio.create_task(erasures.remove(opened, begun[0], erasures.Removed(), ended=True))
        await until(lambda: pool.fetchval(WAITING))
        await rolling_up.execute("SET LOCAL lock_timeout = 100")
        await rolling_up.execute(add, other)
    await erasing
    assert await pool.fetchval("SELECT count(*) FROM experiment_users") == 0


async def test_dead_letters_of_two_batches_are_stored_in_one_order(opened: Database, pool: Pool) -> None:
    """As after a rebalance, when two members have polled the same messages."""
    first, second = map(unread_letter, incoming("{", "{"))

    async def both() -> None:
        async with opened.connection() as connection, connection.transaction():
            await dead_letters.store(connection, [second, first], now=time.monotonic(), process="b")

    async with opened.connection() as connection, connection.transaction():
        await dead_letters.store(connection, [first], now=time.monotonic(), process="a")
        waiting = asyncio.create_task(both())
        await until(lambda: pool.fetchval(WAITING))
        await dead_letters.store(connection, [second], now=time.monotonic(), process="a")
    await waiting
    assert await letters(pool) == 2
