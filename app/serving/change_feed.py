"""Follows the feed of changes, so that what this process keeps of items is as fresh as their last commit."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from app.adapters import changes
from app.adapters.postgres import Database
from app.core.watermark import Watermark
from app.errors import DependencyDown

_EVERY_SEC: Final = 0.1
_AWAY_SEC: Final = 1.0
# What may still be under way at the start: reading a change twice is harmless, missing one is not.
_LOOK_BACK: Final = 1000


async def follow(database: Database, outdate: Callable[[Sequence[str]], None]) -> None:
    """Calls `outdate` with the items of every change, until cancelled; one of them may be `changes.RULES_CHANGED`.

    Without Postgres nothing changes either.
    """
    watermark: Watermark | None = None
    while True:
        try:
            async with database.connection() as connection:
                if watermark is None:
                    watermark = Watermark(low=max(0, await changes.newest(connection) - _LOOK_BACK))
                rows = await changes.read(connection, watermark.low, watermark.seen)
        except DependencyDown:
            await asyncio.sleep(_AWAY_SEC)
            continue
        for _, item_ids in rows:
            outdate(item_ids)
        watermark.advance([row_id for row_id, _ in rows], time.monotonic())
        await asyncio.sleep(_EVERY_SEC)
