"""The folder in which Spark has put histories goes when all of it is loaded, or is told; without Spark."""

import asyncio
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner
from msgspec import structs

from app.adapters import building, generations
from app.cli import main
from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.rebuilding.local_log import LocalLog
from app.rebuilding.rebuild import Rebuild, encode_progress, unfinished
from app.rebuilding.spark import log as spark_log
from app.rebuilding.spark.stages import Work
from tests.support.rebuilding import generation


async def at_once(work: Callable[[], Any]) -> Any:
    """In place of `in_spark`: there is no Spark."""
    return work()


async def test_folder_that_an_earlier_run_could_not_remove_is_removed_or_told(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def removed(work: Work) -> bool:
        shutil.rmtree(work.folder)
        return True

    def refused(_work: Work) -> bool:
        raise UserError("Spark: Permission denied")

    monkeypatch.setattr(spark_log, "in_spark", at_once)
    spark = spark_log.SparkLog(None, [], str(tmp_path), 0, ImportOptions())
    async with building.connection(database_url) as live, building.connection(database_url, building=True) as built:
        await generations.begin_first(live)
        rebuild = Rebuild(database_url, live, log=spark, dedupe_days=35.0)
        await rebuild.begin(slices=1)
        _, progress = await unfinished(live)
        folder = tmp_path / f"{progress.counted_until:%Y%m%dT%H%M%S%f}"
        folder.mkdir()
        # All is folded, and some of what was counted meanwhile.
        progress = structs.replace(progress, pairs_done=True, counted_until=datetime.now(progress.started.tzinfo))
        await generations.set_progress(built, encode_progress(progress))
        monkeypatch.setattr(Work, "remove", refused)
        assert await rebuild.run(lambda _: None) == str(folder)
        monkeypatch.setattr(Work, "remove", removed)
        assert await rebuild.run(lambda _: None) is None
    assert not folder.exists()


async def test_folder_that_is_left_is_named_on_the_last_line(
    database_url: str, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def left(_log: LocalLog, _started: datetime) -> str:
        return "s3a://lake/work/1"

    monkeypatch.setattr(LocalLog, "tidy_up", left)
    runner = CliRunner(env={"DATABASE_URL": database_url, "APP_ENV": "test"})
    done = await asyncio.to_thread(runner.invoke, main, ["rebuild"])
    assert (done.exit_code, await generation(pool)) == (0, 2), done.output
    assert done.output.splitlines()[-1] == (
        "The folder s3a://lake/work/1 could not be removed, and holds histories of users. Remove it."
    )
