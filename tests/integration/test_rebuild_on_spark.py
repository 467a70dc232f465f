"""`reco rebuild --engine spark`: the sums of the local engine, whatever happens meanwhile.

Numbers are added in another order, so that sums are compared to a millionth; ids, times and counts are equal.
"""

import asyncio
import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.adapters.postgres import Database
from tests.support.pipeline import until
from tests.support.rebuilding import (
    assert_alike,
    generation,
    log,
    rebuild,
    rebuilt,
    start_rebuild,
    store_and_count,
    sums,
)
from tests.support.spark import spark_python
from tests.support.spark_reader import SMALL
from workers.batch import FeatureWriter

Pool = asyncpg.Pool
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def python() -> str:
    return str(spark_python())


def on_spark(folder: Path, *arguments: str, master: str = "local[2]") -> list[str]:
    small = [part for name, value in SMALL.items() for part in ("--conf", f"{name}={value}")]
    return ["--engine", "spark", "--master", master, "--work", str(folder / "work"), *small, *arguments]


def of_one_item(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Events that arrive in the order of their times; without impressions, which have several items."""
    events = [event for event in log(count, first=first) if event["event_type"] != "impression"]
    return sorted((event | {"received_ms": event["ts_ms"]} for event in events), key=lambda event: event["ts_ms"])


def write_lines(path: Path, events: Sequence[dict[str, Any]], *more: str) -> str:
    path.write_text("\n".join([*(json.dumps(event) for event in events), *more]))
    return str(path)


def write_table(path: Path, events: Sequence[dict[str, Any]]) -> str:
    """As pandas does, with times in nanoseconds."""
    names = ("event_id", "event_type", "user_id", "session_id", "item_id", "watch_time_sec")
    columns = {name: pa.array([event.get(name) for event in events]) for name in names}
    times = pa.array([event["ts_ms"] for event in events], pa.timestamp("ms"))
    parquet.write_table(pa.table({**columns, "time": times.cast(pa.timestamp("ns"))}), path)
    return str(path)


async def forget(pool: Pool, events: Sequence[dict[str, Any]]) -> None:
    await pool.execute("DELETE FROM events WHERE event_id = ANY ($1)", [event["event_id"] for event in events])


async def test_spark_makes_the_sums_of_the_local_engine_and_of_the_consumer(
    database_url: str, opened: Database, pool: Pool, tmp_path: Path, python: str
) -> None:
    events = of_one_item(3_000)
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), events)
    before = await sums(pool)
    old = events[:1_500]
    await forget(pool, old)
    await pool.execute("UPDATE user_history SET updated_at = now() - length(user_id) * '50 days'::interval")
    ages = await pool.fetch("SELECT user_id, updated_at FROM user_history ORDER BY user_id")
    # The files overlap with what is stored and with each other, have a row twice, and one that cannot be read.
    days = tmp_path / "days" / "2024"
    days.mkdir(parents=True)
    files = [
        write_lines(tmp_path / "old.jsonl", [*old[:600], old[0]], "{", ""),
        write_table(days / "a.parquet", old[590:1_000]),
        write_table(days / "b.parquet", [*old[1_000:], *events[1_500:1_550]]),
    ]
    output = await rebuilt(database_url, *files)
    assert "that are no events, and were left out: 1. One of them: old.jsonl, line 602" in output
    local = await sums(pool)
    assert_alike(local, before)
    output = await rebuilt(database_url, *on_spark(tmp_path, files[0], str(tmp_path / "days")), python=python)
    assert "The new generation serves" in output
    assert await generation(pool) == 3
    assert_alike(await sums(pool), local)
    assert await pool.fetch("SELECT user_id, updated_at FROM user_history ORDER BY user_id") == ages
    assert list((tmp_path / "work").iterdir()) == []
    assert f"{len(events):,} events" in output
    assert "that are no events, and were left out: 1. One of them: file:" in output
    assert f"{tmp_path}/old.jsonl: not JSON" in output


async def test_rows_without_ids_in_parts_of_any_order_make_the_same_sums(
    database_url: str, opened: Database, pool: Pool, tmp_path: Path, python: str
) -> None:
    rows = [
        {"visitor": event["user_id"], "when": event["ts_ms"], "what": {"id": event["item_id"]}, "event": "view"}
        for event in of_one_item(1_200)
    ]
    rows += rows[:20]  # seen twice in one file: two events each
    rows.sort(key=lambda row: row["when"])
    await rebuilt(database_url, write_lines(tmp_path / "all.jsonl", rows), *MAPPED)
    local = await sums(pool)
    assert sum(item[SUMS_VIEWS] for item in local["items"].values()) == len(rows)
    parts = tmp_path / "parts"
    parts.mkdir()
    middle = len(rows) // 2
    write_lines(parts / "1.jsonl", rows[middle:])
    write_lines(parts / "2.jsonl", rows[:middle])
    await rebuilt(database_url, *on_spark(tmp_path, str(parts), *MAPPED), python=python)
    assert_alike(await sums(pool), local)


MAPPED = ["--map", "user_id=visitor", "--map", "time=when", "--map", "item_id=what.id"]
SUMS_VIEWS = 10


async def test_killed_rebuild_goes_on_with_what_is_loaded(
    database_url: str, opened: Database, pool: Pool, tmp_path: Path, python: str
) -> None:
    events = of_one_item(2_000)
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), events)
    before = await sums(pool)
    await forget(pool, events[:1_000])
    command = on_spark(tmp_path, write_lines(tmp_path / "old.jsonl", events[:1_000]))
    process = start_rebuild(database_url, *command, python=python)
    await until(partial(_holds, pool, "to_regclass('reco_building.loaded_parts') IS NOT NULL"), 120.0)
    async with pool.acquire() as holder, holder.transaction():
        # It can load histories and items, and no pairs.
        await holder.execute("LOCK TABLE reco_building.pair_blocks IN ACCESS EXCLUSIVE MODE")
        await until(partial(_holds, pool, "(SELECT count(*) > 1 FROM reco_building.loaded_parts)"), 300.0)
        process.kill()
        await asyncio.to_thread(process.communicate, timeout=60)
    code, output = await rebuild(database_url, str(tmp_path / "old.jsonl"))
    assert (code, "was begun with --engine spark and" in output) == (2, True), output
    await rebuilt(database_url, *command, python=python)
    assert await generation(pool) == 2
    assert_alike(await sums(pool), before)


async def _holds(pool: Pool, condition: str) -> bool:
    found: bool = await pool.fetchval(f"SELECT {condition}")
    return found


async def test_master_that_is_away_or_silent_is_told_and_nothing_is_begun(
    database_url: str, pool: Pool, tmp_path: Path, python: str
) -> None:
    file = write_lines(tmp_path / "old.jsonl", of_one_item(20))
    shared = ["--work", f"file://{tmp_path}/work"]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        master = f"spark://127.0.0.1:{listener.getsockname()[1]}"
        code, output = await rebuild(database_url, *on_spark(tmp_path, file, *shared, master=master), python=python)
        assert (code, f"No Spark master listens at {master}" in output) == (2, True), output
        listener.listen()
        code, output = await rebuild(database_url, *on_spark(tmp_path, file, *shared, master=master), python=python)
    assert (code, f"Spark did not start with the master {master}" in output) == (2, True), output
    assert "Traceback" not in output
    assert await pool.fetchval("SELECT to_regnamespace('reco_building')") is None


def java_of(pid: int) -> psutil.Process:
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):  # some have ended
            if "SparkSubmit" in " ".join(child.cmdline()):
                return child
    raise AssertionError("Spark has no Java")


async def test_java_that_ends_during_a_rebuild_is_told_as_such(
    database_url: str, pool: Pool, tmp_path: Path, python: str
) -> None:
    command = on_spark(tmp_path, write_lines(tmp_path / "old.jsonl", of_one_item(2_000)))
    process = start_rebuild(database_url, *command, python=python)
    await until(partial(_holds, pool, "to_regclass('reco_building.slices') IS NOT NULL"), 120.0)
    java_of(process.pid).kill()
    output, _ = await asyncio.to_thread(process.communicate, timeout=120)
    assert (process.returncode, "Spark: its Java on this machine has ended" in output) == (2, True), output
    assert "postgres" not in output.lower()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--conf", "x"], "--conf x is not of the form NAME=VALUE"),
        (["--master", "spark://h:7077"], "name a folder that all of them reach"),
    ],
)
async def test_options_that_do_not_go_together_are_told(
    database_url: str, tmp_path: Path, python: str, arguments: list[str], said: str
) -> None:
    file = write_lines(tmp_path / "a.jsonl", of_one_item(20))
    code, output = await rebuild(database_url, *on_spark(tmp_path, file, *arguments), python=python)
    assert code == 2, output
    assert said in output
    assert "Traceback" not in output
