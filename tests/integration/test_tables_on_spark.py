"""`reco rebuild --engine spark` of Parquet files as lakes have them: which columns are read, and what is refused."""

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.adapters.postgres import Database
from tests.integration.test_rebuild_on_spark import forget, of_one_item, on_spark, python
from tests.support.rebuilding import assert_alike, generation, rebuild, rebuilt, store_and_count, sums
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


ROW = {"user_id": ["u"], "item_id": ["i"], "event_type": ["view"]}


@pytest.mark.parametrize(
    ("columns", "others", "said"),
    [
        (
            {"date": [1], "x": [1]},
            {"date": ["1"], "x": [1]},
            "lake: some files have date: BIGINT, and others date: STR",
        ),
        (
            {"date": pa.array([time(1)], pa.time32("ms"))},
            None,
            "lake: a column has the type INT32 (TIME(MILLIS,false))",
        ),
    ],
)
async def test_columns_that_spark_cannot_read_are_told_with_what_to_do(
    database_url: str, tmp_path: Path, python: str, columns: dict[str, Any], others: dict[str, Any] | None, said: str
) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    for number, made in enumerate((columns, others or columns)):
        parquet.write_table(pa.table({**ROW, **made}), lake / f"part-{number}.parquet")
    code, output = await rebuild(database_url, *on_spark(tmp_path, str(lake)), python=python)
    assert code == 2, output
    assert said in " ".join(output.split())
    assert "Traceback" not in output
