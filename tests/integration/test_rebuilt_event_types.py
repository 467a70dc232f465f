"""Events of other types and cancellations after a rebuild: what was counted, whatever became of their types."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.adapters import event_types
from tests.support.pipeline import database
from tests.support.rebuilding import (
    assert_alike,
    generation,
    log,
    rebuild,
    rebuild_and_kill,
    rebuilt,
    store_and_count,
    sums,
)
from workers.batch import FeatureWriter

_WISH = {"kind": 16, "weight": 0.6, "pairs": False}
_HIDE = {"kind": 9, "weight": -0.4, "pairs": False, "ends_offer": True}
_CART = {"kind": 4, "weight": 0.7}
_BOUGHT = {"kind": 3, "weight": 1.0}
_AS_CARTS = ("--map-type", "cart=cart")


def with_other_types(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each third event has another type, and each second purchase is taken back after it was received."""
    made: list[dict[str, Any]] = []
    purchases = 0
    for number, event in enumerate(events):
        if number % 3 == 0 and "item_id" in event:
            name, counts = [("wish", _WISH), ("hide", _HIDE), ("cart", _CART)][number // 3 % 3]
            made.append({**event, "event_type": name, "counts": counts})
            continue
        made.append(event)
        if event["event_type"] == "purchase":
            purchases += 1
            if purchases % 2:
                about = {"cancels": event["event_id"], "cancelled_type": "purchase", "cancelled_ms": event["ts_ms"]}
                about |= {"event_id": f"cancel-{event['event_id']}", "received_ms": event["received_ms"] + 1}
                made.append({**event, "event_type": "cancel", "counts": _BOUGHT, **about})
    return made


@pytest.mark.slow
async def test_rebuild_counts_other_types_and_cancellations_as_they_were(database_url: str, pool: asyncpg.Pool) -> None:
    async with database(database_url) as opened:
        writer = FeatureWriter(opened, max_retries=1)
        await store_and_count(pool, writer, with_other_types(log(1_500)))
        before = await sums(pool)
        assert any(entry.flags for history in before["histories"].values() for entry in history.entries)
        await rebuilt(database_url)
        assert_alike(await sums(pool), before)


@pytest.mark.slow
@pytest.mark.parametrize("files", ["with_ids.jsonl", "without_ids.jsonl", None])
async def test_cancellations_of_events_that_are_no_longer_stored_take_nothing_back(
    database_url: str, pool: asyncpg.Pool, tmp_path: Path, files: str | None
) -> None:
    events = with_other_types([event for event in log(1_000) if event["event_type"] == "purchase"])
    await counted(database_url, pool, events)
    cancelled = {event["cancels"] for event in events if "cancels" in event}
    expired = [event for event in events if event["event_id"] in cancelled]
    await no_longer_stored(pool, expired)
    write(tmp_path / "with_ids.jsonl", expired)
    write(tmp_path / "without_ids.jsonl", [without(event, "event_id") for event in expired])
    kept = [event for event in events if event["event_type"] == "purchase" and event not in expired]
    await rebuilt(database_url, *([str(tmp_path / files)] if files else []), "--yes")
    found = await pool.fetch("SELECT item_id, purchases FROM item_stats WHERE purchases <> 0")
    assert dict(found) == Counter(event["item_id"] for event in kept)


@pytest.mark.slow
async def test_events_of_other_types_that_are_no_longer_stored_are_told(database_url: str, pool: asyncpg.Pool) -> None:
    carts = of_type("cart", _CART)
    before = await counted(database_url, pool, carts)
    await no_longer_stored(pool, carts[100:200])
    code, output = await rebuild(database_url)
    assert (code, await generation(pool)) == (2, 1), output
    assert f"not stored any more: 100 of {len(carts)} of the type other" in output
    # As the release before has counted them.
    await pool.execute("UPDATE item_stats SET other_events = 0")
    await no_longer_stored(pool, carts[:1])
    code, output = await rebuild(database_url)
    assert (code, await generation(pool)) == (2, 1), output
    assert "older than all that are stored" in output
    assert (await sums(pool))["histories"] == before["histories"]
    await rebuilt(database_url, "--yes")
    assert await generation(pool) == 2


@pytest.mark.slow
async def test_files_without_the_events_of_other_types_are_told_before_the_work(
    database_url: str, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    events = of_type("cart", _CART)
    for event in events[::2]:
        event |= {"event_type": "purchase"}
        del event["counts"]
    before = await counted(database_url, pool, events)
    old, bought, carts = events[:200], events[:200:2], events[1:200:2]
    await no_longer_stored(pool, old)
    file = tmp_path / "old.jsonl"
    for held, options, found in (
        (bought, (), 0),
        (bought, ("--event-type", "purchase"), 0),
        (carts, (), 0),  # read as views
        ([*carts[:50], *events[200:]], _AS_CARTS, 50),
    ):
        write(file, held)
        code, output = await rebuild(database_url, str(file), *options)
        assert (code, await generation(pool)) == (2, 1), output
        assert "100 events of other types than view, click, purchase and watch were counted" in output
        assert f"the files hold {found} that are not stored" in output
        assert await pool.fetchval("SELECT to_regnamespace('reco_building')") is None
    write(file, events[:220])
    await rebuilt(database_url, str(file), *_AS_CARTS)
    assert_alike(await sums(pool), before)


@pytest.mark.slow
async def test_events_of_other_types_that_files_seemed_to_hold_are_told_before_the_swap(
    database_url: str, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    carts = of_type("cart", _CART)
    before = await counted(database_url, pool, carts)
    await no_longer_stored(pool, carts[:100])
    file = tmp_path / "old.jsonl"
    write(file, [*carts[:50], *carts[:50]])
    code, output = await rebuild(database_url, str(file), *_AS_CARTS)
    assert (code, await generation(pool)) == (2, 1), output
    assert f"lack events that those that serve hold: 50 of {len(carts)} of the type other" in output
    assert_alike(await sums(pool), before)
    await rebuilt(database_url, str(file), *_AS_CARTS, "--yes")
    assert await pool.fetchval("SELECT sum(other_events) FROM item_stats") == len(carts) - 50


@pytest.mark.slow
async def test_files_hold_events_of_own_types(database_url: str, pool: asyncpg.Pool, tmp_path: Path) -> None:
    wish = event_types.NewEventType(
        name="wish", weight=0.6, meaning="interest", pairs=False, ends_offer=False, rating_scale=None
    )
    async with database(database_url) as opened, opened.connection() as connection:
        await event_types.store(connection, wish)
    wishes = of_type("wish", _WISH)
    before = await counted(database_url, pool, wishes)
    await no_longer_stored(pool, wishes[:100])
    write(file := tmp_path / "old.jsonl", wishes[:100])
    await rebuilt(database_url, str(file))
    assert_alike(await sums(pool), before)


@pytest.mark.slow
async def test_rows_of_files_count_as_they_did_when_the_rebuild_was_begun(
    database_url: str, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    carts = of_type("cart", _CART)
    before = await counted(database_url, pool, carts)
    await no_longer_stored(pool, carts[:100])
    write(file := tmp_path / "old.jsonl", carts[:100])
    await rebuild_and_kill(database_url, pool, str(file), *_AS_CARTS, once=partial(_slices_are_made, pool))
    heavier = event_types.NewEventType(
        name="cart", weight=2.0, meaning="interest", pairs=True, ends_offer=False, rating_scale=None
    )
    async with database(database_url) as opened, opened.connection() as connection:
        await event_types.store(connection, heavier)
    await rebuilt(database_url, str(file), *_AS_CARTS)
    assert_alike(await sums(pool), before)


async def _slices_are_made(pool: asyncpg.Pool) -> bool:
    return await pool.fetchval("SELECT to_regclass('reco_building.slices')") is not None


def of_type(name: str, counts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**event, "event_type": name, "counts": counts} for event in log(300) if "item_id" in event]


async def counted(database_url: str, pool: asyncpg.Pool, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sums once these events are counted."""
    async with database(database_url) as opened:
        await store_and_count(pool, FeatureWriter(opened, max_retries=1), events)
    return await sums(pool)


async def no_longer_stored(pool: asyncpg.Pool, events: Sequence[dict[str, Any]]) -> None:
    await pool.execute("DELETE FROM events WHERE event_id = ANY ($1)", [event["event_id"] for event in events])


def without(event: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != field}


def write(file: Path, events: Sequence[dict[str, Any]]) -> None:
    file.write_text("\n".join(map(json.dumps, events)))
