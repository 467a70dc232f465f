"""`reco rebuild` of files of which few rows are events: what they hold is not served."""

from pathlib import Path

import asyncpg
import pytest

from tests.integration.test_rebuild_on_spark import on_spark, write_lines
from tests.support.rebuilding import generation, log, rebuild, rebuilt
from tests.support.spark import spark_python

Pool = asyncpg.Pool


async def test_files_that_are_mostly_no_events_are_swapped_in_with_yes_alone(
    database_url: str, pool: Pool, tmp_path: Path
) -> None:
    file = mostly_no_events(tmp_path)
    assert_refused(*await rebuild(database_url, file))
    assert await generation(pool) == 1
    await rebuilt(database_url, file, "--yes")
    assert await generation(pool) == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_files_that_are_mostly_no_events_are_refused_on_spark(
    database_url: str, pool: Pool, tmp_path: Path
) -> None:
    command = on_spark(tmp_path, mostly_no_events(tmp_path))
    assert_refused(*await rebuild(database_url, *command, python=str(spark_python())))
    assert await generation(pool) == 1


def mostly_no_events(folder: Path) -> str:
    return write_lines(folder / "a.jsonl", [event for event in log(20) if event["event_type"] == "view"][:2], *"{{{")


def assert_refused(code: int, output: str) -> None:
    assert code == 2, output
    assert "More than half of the rows of the files are no events: 3 of 5. One of them: " in " ".join(output.split())
    assert "a.jsonl" in output
