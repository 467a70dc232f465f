"""`reco rebuild --engine spark` of Parquet files as lakes have them: which columns are read."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.adapters.postgres import Database
from tests.integration.test_rebuild_on_spark import forget, of_one_item, on_spark, python
from tests.support.rebuilding import assert_alike, generation, rebuilt, store_and_count, sums
from workers.batch import FeatureWriter

__all__ = ["python"]

Pool = asyncpg.Pool
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def test_columns_that_are_joined_or_have_dots_or_are_in_later_files_alone_are_read(
    database_url: str, opened: Database, pool: Pool, tmp_path: Path, python: str
) -> None:
    events = of_one_item(600)
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), events)
    before = await sums(pool)
    await forget(pool, events[:150])
    lake = tmp_path / "lake"
    lake.mkdir()
    # What is stored has its event id in the file: without that column, it would count again.
    parquet.write_table(table(events[:150]).drop_columns(["event_id"]), lake / "part-0.parquet")
    parquet.write_table(table(events[150:]), lake / "part-1.parquet")
    mapped = ["--map", "user_id=user.id", "--map", "time=day+clock"]
    await rebuilt(database_url, *on_spark(tmp_path, str(lake), *mapped), python=python)
    assert await generation(pool) == 2
    assert_alike(await sums(pool), before)


def table(events: list[dict[str, Any]]) -> pa.Table:
    """As a warehouse writes it that keeps the day and the time of the day apart."""
    times = [datetime.fromtimestamp(event["ts_ms"] / 1000, UTC) for event in events]
    return pa.table(
        {
            "user.id": [event["user_id"] for event in events],
            "day": [f"{moment:%Y-%m-%d}" for moment in times],
            "clock": pa.array([moment.time() for moment in times], pa.time64("us")),
            **{
                name: [event.get(name) for event in events]
                for name in ("event_id", "event_type", "session_id", "item_id", "watch_time_sec")
            },
        }
    )
