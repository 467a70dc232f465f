"""The sums of items in memory: what the change feed announces is read when somebody asks for a list."""

import asyncio
from typing import Any

import pytest
from asyncpg import Pool

from app.adapters import features
from app.adapters.postgres import Database
from app.clock import clock
from app.core.event_times import MAX_AHEAD_MS
from app.core.item_table import ItemTable
from app.core.signals import DAY_MS
from app.serving import loaded_items
from app.serving.loaded_items import LoadedItems

PLANT = "INSERT INTO item_stats (item_id, popular_ms, popular_hours, events) VALUES"


async def test_changes_that_nobody_asks_for_are_bounded_and_none_is_missed(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a process that takes events alone, or whose learner stands by, for a year."""
    monkeypatch.setattr(loaded_items, "_MOST_CHANGED", 100)
    await pool.execute(f"{PLANT} ('known', 1000, 1, 1)")
    items = LoadedItems()
    async with opened.connection() as connection:
        assert (await items.refresh(connection)).log_ms == 1000
        await pool.execute("UPDATE item_stats SET popular_ms = 2000")
        items.changed(["known"])
        for number in range(1000):
            items.changed([f"item-{number}"])
        await pool.execute(f"{PLANT} ('item-1', 1500, 1, 1)")
        assert len(items._changed) <= 101
        table = await items.refresh(connection)
    assert table.log_ms == 2000
    assert table.has_sums("known")
    assert table.has_sums("item-1")


async def test_clock_of_the_log_is_not_ahead_of_ours(opened: Database, pool: Pool) -> None:
    """Of events that were dated by a clock that was ahead."""
    await pool.execute(f"{PLANT} ('ahead', $1, 1, 1)", float(clock.now_ms() + 30 * DAY_MS))
    async with opened.connection() as connection:
        table = await LoadedItems().refresh(connection)
    assert table.has_sums("ahead")
    assert table.log_ms <= clock.now_ms() + MAX_AHEAD_MS


async def test_items_that_a_restored_database_has_no_more_are_not_popular(opened: Database, pool: Pool) -> None:
    """Nor has its log their times. Whoever starts now knows the same."""
    now_ms = clock.now_ms()
    await pool.execute(f"{PLANT} ('kept', $1, 1, 1), ('lost', $2, 9, 9)", now_ms - DAY_MS, now_ms)
    items = LoadedItems()
    async with opened.connection() as connection:
        table = await items.refresh(connection)
        assert names(table) == {"kept", "lost"}
        await pool.execute("DELETE FROM item_stats WHERE item_id = 'lost'")
        items.forget()
        await items.refresh(connection)
        started = await LoadedItems().refresh(connection)
    assert names(table) == names(started) == {"kept"}
    assert not table.has_sums("lost")
    assert table.log_ms == started.log_ms == now_ms - DAY_MS


async def test_popularity_is_a_share_of_the_most_popular_items_servable_or_not(opened: Database, pool: Pool) -> None:
    """Or a process that starts after that item was hidden would rank in another way than those that know it."""
    now_ms = clock.now_ms()
    await pool.execute(f"{PLANT} ('first', $1, 10, 10), ('second', $1, 1, 1)", now_ms)
    await pool.execute("INSERT INTO items (item_id, hidden) VALUES ('first', TRUE)")
    async with opened.connection() as connection:
        table = await LoadedItems().refresh(connection)
    assert float(table.shares[table.index.number(["second"])[0]].max()) == pytest.approx(0.1)


async def test_read_that_found_no_sums_yet_takes_none_from_another_one(
    opened: Database, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item is counted for the first time while the answer for a list with it is on its way."""
    items, read_sums = LoadedItems(), features.read_sums
    is_read, may_answer = asyncio.Event(), asyncio.Event()

    async def late(*args: Any) -> Any:
        found = await read_sums(*args)
        is_read.set()
        await may_answer.wait()
        return found

    async with opened.connection() as connection, opened.connection() as other:
        await items.refresh(other)
        monkeypatch.setattr(features, "read_sums", late)
        adding = asyncio.create_task(items.add(connection, ["new"]))
        await is_read.wait()
        monkeypatch.setattr(features, "read_sums", read_sums)
        await pool.execute(f"{PLANT} ('new', $1, 1, 1)", clock.now_ms())
        items.changed(["new"])
        table = await items.refresh(other)
        may_answer.set()
        await adding
    assert table.has_sums("new")


def names(table: ItemTable) -> set[str]:
    """The items that are popular."""
    return {table.index.ids[number] for number in table.best(10)}


async def test_what_is_to_be_read_again_while_it_is_read_is_read_again(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when reads go to another server in the middle."""
    items, reads = LoadedItems(), 0
    read_popular = features.read_popular

    async def reading(*args: Any, **named: Any) -> list[str]:
        nonlocal reads
        found = await read_popular(*args, **named)
        reads += 1
        if reads == 1:
            items.forget()
        return found

    monkeypatch.setattr(features, "read_popular", reading)
    async with opened.connection() as connection:
        for _ in range(3):
            await items.refresh(connection)
    assert reads == 2
