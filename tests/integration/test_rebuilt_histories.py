"""When something was last counted for a user, through a rebuild: retention goes by it."""

import json
from pathlib import Path

import asyncpg
import pytest

from app.adapters.postgres import Database
from tests.support.rebuilding import log, rebuilt, store_and_count
from workers.batch import FeatureWriter

Pool = asyncpg.Pool

_AGE = "UPDATE user_history SET updated_at = now() - '300 days'::interval - length(user_id) * '1 day'::interval"
_TIMES = "SELECT user_id, updated_at FROM user_history"


@pytest.mark.slow
async def test_rebuild_keeps_when_something_was_last_counted_for_a_user(
    database_url: str, opened: Database, pool: Pool, tmp_path: Path
) -> None:
    writer, events = FeatureWriter(opened, max_retries=1), log(1_500)
    await store_and_count(pool, writer, events)
    await pool.execute(_AGE)
    await store_and_count(pool, writer, log(3, first=60_000))
    before = dict(await pool.fetch(_TIMES))
    stranger = {**next(event for event in events if event["event_type"] == "click"), "user_id": "stranger"}
    (tmp_path / "old.jsonl").write_text(json.dumps({**stranger, "event_id": "strange-event"}))
    begun = await pool.fetchval("SELECT now()")
    await rebuilt(database_url, str(tmp_path / "old.jsonl"))
    after = dict(await pool.fetch(_TIMES))
    assert after.pop("stranger") > begun
    assert after == before
