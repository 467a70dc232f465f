"""The baskets of each item that somebody asked about."""

from collections.abc import Mapping
from typing import Final

from app.adapters import baskets
from app.adapters.read_replica import ReadSource
from app.core.baskets import NO_BASKETS, Baskets
from app.serving.fresh_cache import FreshCache

# The baskets of a thousand purchases cost Postgres some milliseconds, and an item that sells well changes all the time:
# reloads may take a tenth of the time.
_RELOAD_THROTTLE: Final = 9.0


def baskets_cache(database: ReadSource, *, ttl_sec: float, max_keys: int) -> FreshCache[Baskets]:
    """By item."""

    async def load(item_ids: list[str]) -> Mapping[str, Baskets]:
        async with database.connection() as connection:
            return {item_id: await baskets.read(connection, item_id) for item_id in item_ids}

    return FreshCache(
        "baskets",
        load,
        absent=NO_BASKETS,
        ttl_sec=ttl_sec,
        max_keys=max_keys,
        max_batch=10,
        reload_throttle=_RELOAD_THROTTLE,
    )
