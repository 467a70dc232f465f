"""A process that has just started knows none but the popular items, and ranks the user's own all the same."""

import time
import uuid

import asyncpg

from app.core.messages import decode_message
from app.core.model import MODEL
from app.core.signals import HOUR_MS
from app.settings import Settings
from tests.support.api import serving
from tests.support.pipeline import database, message, until_equal
from workers.batch import FeatureWriter
from workers.incoming import Incoming

POPULAR = 5 * MODEL.popular
"""More items than are read for being popular."""


def did(user_id: str, item_id: str, event_type: str, ts_ms: int) -> Incoming:
    payload = message(uuid.uuid4().hex, user_id=user_id, item_id=item_id, event_type=event_type, ts_ms=ts_ms)
    return Incoming(None, "t", decode_message(payload.encode()), None)


async def test_own_item_that_nothing_goes_with_is_a_candidate(settings: Settings, pool: asyncpg.Pool) -> None:
    now_ms = int(time.time() * 1000)
    hits = [did(f"user-{number}", f"hit-{number % POPULAR}", "purchase", now_ms) for number in range(2 * POPULAR)]
    async with database(settings.database_url) as opened:
        await FeatureWriter(opened, max_retries=1).apply([did("ann", "lone", "view", now_ms - HOUR_MS), *hits])
    await pool.execute("DELETE FROM feature_changes")  # as some minutes later
    async with serving(settings) as client:

        async def own() -> list[str]:
            answer = await client.get("/reco?user_id=ann&repeats=only")
            return [item["item_id"] for item in answer.json()["items"]]

        await until_equal(own, ["lone"])  # the first answer waits a moment at most
