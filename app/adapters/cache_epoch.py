"""The epoch of the cache of histories: a random value in Postgres that every cached history carries.

A new epoch makes all cached histories count as missing. So nothing has to say which of them are wrong when Redis or
Postgres went back in time, or when a write to Redis failed (docs/adr/0027).
"""

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import structlog

from app import metrics
from app.adapters import sql
from app.adapters.history_cache import NOTHING_SETTLED, HistoryCache, Settled, Versioned
from app.adapters.postgres import Database
from app.errors import DependencyDown

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_log = structlog.get_logger(__name__)
_SQL: Final = sql.load(__file__)


async def renew(connection: "Connection") -> bytes:
    """Makes a new epoch and returns it."""
    epoch: bytes = await connection.fetchval(_SQL["renew"])
    return epoch


async def confirm(connection: "Connection", redis: str, *, went_back: bool) -> bytes:
    """The epoch while `redis` and this Postgres are those that it was made for; otherwise a new one for them.

    `redis` identifies the server and its data. `went_back`: it holds older data than before; the epoch is a new one in
    any case. Raises `DependencyDown` when another process made one meanwhile.
    """
    if went_back:
        await renew(connection)
        metrics.CACHE_EPOCHS.labels("redis").inc()
        _log.info("cache_epoch", changed=["redis"], redis=redis)
    row = await connection.fetchrow(_SQL["confirm"], redis)
    if row is None:
        raise DependencyDown("postgres", "the cache epoch changed meanwhile")
    epoch, changed = row
    for reason in changed:
        metrics.CACHE_EPOCHS.labels(reason).inc()
    if changed:
        _log.info("cache_epoch", changed=changed, redis=redis)
    return bytes(epoch)


async def write_through(
    database: Database,
    cache: HistoryCache,
    histories: Mapping[str, Versioned],
    generation: int | None = None,
    settled: Settled = NOTHING_SETTLED,
) -> bool:
    """Writes histories to the cache after their commit. False when the cache did not take them: then a new epoch
    makes what it holds count as missing. Raises `DependencyDown` for Postgres alone.

    The epoch is read after the commit. So whoever read the rows before it has this epoch, where the versions decide, or
    an older one, which no reader takes. `generation`: the one of the histories, where another may have taken its place.
    Then nothing is written: the rows that took theirs hold the same events, and are read.
    """
    async with database.connection() as connection:
        row = await connection.fetchrow(_SQL["current_and_generation"])
        assert row is not None  # of two subqueries
        epoch, serving = row[0] or await renew(connection), row[1]
    if generation is not None and generation != serving:
        return True
    with contextlib.suppress(DependencyDown):
        await cache.put_many(histories, epoch, settled)
        return True
    async with database.connection() as connection:
        await renew(connection)
    metrics.CACHE_EPOCHS.labels("write").inc()
    return False
