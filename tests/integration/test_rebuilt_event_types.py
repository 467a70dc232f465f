"""Events of other types and cancellations after a rebuild: what was counted, whatever became of their types."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from tests.support.pipeline import database
from tests.support.rebuilding import assert_alike, generation, log, rebuild, rebuilt, store_and_count, sums
from workers.batch import FeatureWriter

_WISH = {"kind": 16, "weight": 0.6, "pairs": False}
_HIDE = {"kind": 9, "weight": -0.4, "pairs": False, "ends_offer": True}
_CART = {"kind": 4, "weight": 0.7}
_BOUGHT = {"kind": 3, "weight": 1.0}


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
async def test_events_of_other_types_that_are_no_longer_stored_are_told(database_url: str, pool: asyncpg.Pool) -> None:
    """The sums count them under no type, so that their number is not compared."""
    carts = [{**event, "event_type": "cart", "counts": _CART} for event in log(300) if "item_id" in event]
    async with database(database_url) as opened:
        await store_and_count(pool, FeatureWriter(opened, max_retries=1), carts)
    before = await sums(pool)
    await pool.execute("DELETE FROM events WHERE event_id = ANY ($1)", [event["event_id"] for event in carts[:100]])
    code, output = await rebuild(database_url)
    assert (code, await generation(pool)) == (2, 1), output
    assert "older than all that are stored" in output
    assert await sums(pool) == before
    await pool.execute("DELETE FROM events")
    assert (await rebuild(database_url))[0] == 2
    await rebuilt(database_url, "--yes")
    assert await generation(pool) == 2
