"""A rebuild that was interrupted, and events that retention has deleted before it went on."""

import asyncpg
import pytest

from app.adapters import building, generations
from app.adapters.postgres import Database
from app.rebuilding.local_log import LocalLog
from app.rebuilding.rebuild import Rebuild
from tests.support.rebuilding import generation, log, rebuild, rebuilt, store_and_count
from workers.batch import FeatureWriter

Pool = asyncpg.Pool


@pytest.mark.slow
async def test_rebuild_goes_on_without_events_that_expired_meanwhile_with_yes_alone(
    database_url: str, opened: Database, pool: Pool
) -> None:
    """Impressions: what is compared before the swap does not tell of them."""
    events = [event for event in log(1_000) if event["event_type"] == "impression"]
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), events)
    async with building.connection(database_url) as live:
        await generations.begin_first(live)
        await Rebuild(database_url, live, log=LocalLog(), dedupe_days=35.0).begin(slices=2)
    expired = [event["event_id"] for event in events[:50]]
    await pool.execute("DELETE FROM events WHERE event_id = ANY ($1)", expired)
    code, output = await rebuild(database_url)
    assert (code, await generation(pool)) == (2, 1), output
    assert "expired (RETENTION_EVENTS_DAYS) after this rebuild was begun" in output
    assert "Give up with `reco rebuild --drop` and begin again, or accept with --yes" in output
    assert "expired (RETENTION_EVENTS_DAYS)" in await rebuilt(database_url, "--yes")
    assert await generation(pool) == 2
    assert await pool.fetchval("SELECT sum(impressions) FROM item_stats") == len(events) - len(expired)


@pytest.mark.slow
async def test_cancellations_of_events_that_expired_before_a_rebuild_went_on_take_nothing_back(
    database_url: str, opened: Database, pool: Pool
) -> None:
    purchases = [event for event in log(1_000) if event["event_type"] == "purchase"]
    cancellations = [
        {
            **event,
            "event_type": "cancel",
            "event_id": f"cancel-{event['event_id']}",
            "cancels": event["event_id"],
            "cancelled_type": "purchase",
            "cancelled_ms": event["ts_ms"],
            "counts": {"kind": 3, "weight": 1.0},
            "received_ms": purchases[-1]["received_ms"] + 1,
        }
        for event in purchases
    ]
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), [*purchases, *cancellations])
    async with building.connection(database_url) as live:
        await generations.begin_first(live)
        await Rebuild(database_url, live, log=LocalLog(), dedupe_days=35.0).begin(slices=2)
    expired = [event["event_id"] for event in purchases[:50]]
    await pool.execute("DELETE FROM events WHERE event_id = ANY ($1)", expired)
    assert "expired (RETENTION_EVENTS_DAYS)" in await rebuilt(database_url, "--yes")
    assert await pool.fetchval("SELECT count(*) FROM item_stats WHERE purchases <> 0") == 0
