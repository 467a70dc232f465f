"""`reco rebuild` of files of which few rows are events: what they hold is not served."""

from pathlib import Path

import asyncpg
import pytest

from tests.integration.test_rebuild_on_spark import on_spark, write_lines
from tests.support.rebuilding import generation, log, rebuild, rebuilt
from tests.support.spark import spark_python

Pool = asyncpg.Pool
_SLOW = (pytest.mark.slow, pytest.mark.timeout(600))


@pytest.mark.parametrize("engine", ["local", pytest.param("spark", marks=_SLOW)])
async def test_files_that_are_mostly_no_events_are_swapped_in_with_yes_alone(
    database_url: str, pool: Pool, tmp_path: Path, engine: str
) -> None:
    file = write_lines(tmp_path / "a.jsonl", [event for event in log(20) if event["event_type"] == "view"][:2], *"{{{")
    command, python = [file], {}
    if engine == "spark":
        command, python = on_spark(tmp_path, file), {"python": str(spark_python())}
    code, output = await rebuild(database_url, *command, **python)
    assert code == 2, output
    assert "More than half of the rows of the files are no events: 3 of 5. One of them: " in " ".join(output.split())
    assert "a.jsonl" in output
    assert await generation(pool) == 1
    await rebuilt(database_url, *command, "--yes", **python)
    assert await generation(pool) == 2
