"""The content of the catalogue in a process: what the change feed announces is read, and nothing else is made anew."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from app.adapters import catalogue
from app.adapters.catalogue import StoredItem
from app.adapters.postgres import Database
from app.errors import DependencyDown
from app.serving import catalogue_content, newest_items
from app.serving.catalogue_content import CatalogueContent
from app.serving.loaded_items import LoadedItems
from app.serving.newest_items import NewestItems

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def item(item_id: str, title: str = "red tent", **changes: Any) -> StoredItem:
    row = {"categories": ["tents"], "tags": [], "published_at": None, "expires_at": None, "hidden": False}
    return StoredItem(item_id=item_id, title=title, **{**row, **changes})


async def have(opened: Database, *items: StoredItem) -> None:
    async with opened.connection() as connection:
        await catalogue.store(connection, [*items, item("other", "blue lamp", categories=["lamps"])])


async def test_items_that_may_be_served_are_alike_and_cold(opened: Database) -> None:
    await have(
        opened,
        item("a"),
        item("b"),
        item("hidden", hidden=True),
        item("expired", expires_at=NOW - DAY),
        item("coming", published_at=NOW + DAY),
    )
    items = LoadedItems()
    index = await CatalogueContent(opened, items).load()
    assert index.alike("a").item_ids == ["b"]
    assert sorted(index.cold_ids) == ["a", "b", "other"]
    assert {items.table.index.find(item_id) for item_id in index.cold_ids} == {0, 1, 2}


async def test_announced_changes_are_read_and_the_index_is_kept_otherwise(opened: Database) -> None:
    await have(opened, item("a"), item("b"), item("c", "green mat"))
    content = CatalogueContent(opened, LoadedItems())
    first = await content.load()
    content.changed(["a", "", "unheard-of"])
    assert await content.load() is first

    await have(opened, item("b", hidden=True), item("c"))
    content.changed(["b", "c"])
    assert (await content.load()).alike("a").item_ids == ["c"]
    async with opened.connection() as connection:
        await catalogue.delete(connection, "c")
        await connection.execute(
            "INSERT INTO item_stats (item_id, views, clicks, other_events) VALUES ('a', 1, 1, 3), ('other', 0, 4, 0)"
        )
    content.changed(["c", "a", "other"])
    found = await content.load()
    assert found.alike("a").item_ids == []
    assert found.cold_ids == ["other"]


async def test_changes_are_read_after_a_failed_load(opened: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await have(opened, item("a"))
    content = CatalogueContent(opened, LoadedItems())
    await content.load()
    await have(opened, item("b"))
    content.changed(["b"])
    with monkeypatch.context() as patched:
        patched.setattr(opened, "connection", Mock(side_effect=DependencyDown("postgres", "gone")))
        with pytest.raises(DependencyDown):
            await content.load()
    assert (await content.load()).alike("a").item_ids == ["b"]


async def test_item_that_is_counted_later_has_sums_in_the_next_list(opened: Database) -> None:
    await have(opened, item("a"))
    items = LoadedItems()
    await CatalogueContent(opened, items).load()
    async with opened.connection() as connection:
        await connection.execute("INSERT INTO item_stats (item_id, frequency, events) VALUES ('a', 2, 3)")
        await items.add(connection, ["a"])
    assert items.table.has_sums("a")


async def test_forgotten_content_is_read_again(opened: Database) -> None:
    await have(opened, item("a"), item("b"))
    content = CatalogueContent(opened, LoadedItems())
    await content.load()
    async with opened.connection() as connection:
        await catalogue.delete(connection, "b")
    content.forget()
    assert (await content.load()).alike("a").item_ids == []


async def test_index_is_made_anew_for_an_item_whose_time_has_come(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_content, "_KEPT_SEC", 0.0)
    await have(opened, item("a"), item("b", published_at=NOW - DAY, expires_at=NOW + DAY))
    content = CatalogueContent(opened, LoadedItems())
    first = await content.load()
    assert await content.load() is first

    await have(opened, item("c", published_at=datetime.now(UTC) + timedelta(seconds=5)))
    content.changed(["c"])
    assert "c" not in (await content.load()).cold_ids
    async with asyncio.timeout(20):
        while "c" not in (found := await content.load()).cold_ids:
            await asyncio.sleep(0.05)
    assert await content.load() is found


async def test_more_changes_than_are_read_at_once_are_all_read(opened: Database) -> None:
    names = [f"item-{number:03}" for number in range(250)]
    await have(opened, *(item(name) for name in names))
    content = CatalogueContent(opened, LoadedItems())
    await content.load()
    await have(opened, *(item(name, "green mat", hidden=name == "item-249") for name in names))
    content.changed(names)
    assert set((await content.load()).cold_ids) == {*names, "other"} - {"item-249"}


async def test_items_that_have_expired_push_no_other_out(opened: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_items, "MAX_ITEMS", 2)
    await have(opened, item("old", published_at=NOW - 2 * DAY))
    newest = NewestItems(opened, catalogue.read_content)
    await newest.refresh()
    ending = [item(f"ending-{number}", expires_at=NOW + DAY) for number in range(3)]
    later = Mock(now_ms=Mock(return_value=int((NOW + 2 * DAY).timestamp() * 1000)))
    monkeypatch.setattr(newest_items, "clock", later)
    await have(opened, *ending)
    for one in ending:
        newest.changed([one.item_id])
        await newest.refresh()
    assert set(newest.items) == {"old", "other"}
    await have(opened, item("ending-0", expires_at=NOW + 3 * DAY))
    newest.changed(["ending-0"])
    await newest.refresh()
    assert set(newest.items) == {"old", "other", "ending-0"}
