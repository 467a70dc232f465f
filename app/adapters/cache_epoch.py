"""The epoch of the cache of histories: a random value in Postgres that every cached history carries.

A new epoch makes all cached histories count as missing. So nothing has to say which of them are wrong when Redis or
Postgres went back in time, or when a write to Redis failed (docs/adr/0027). In a Redis Cluster each slot group has an
epoch of its own beside it, and its entries carry that one (docs/adr/0072). Where epochs are passed as one value, it is
the epoch, and then those of all slot groups in their order, with zeros for a group that has none.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from app import metrics
from app.adapters import sql
from app.adapters.history_cache import NOTHING_SETTLED, HistoryCache, Settled, SlotsNotWritten, Versioned
from app.adapters.postgres import Database
from app.core.cache_entry import EPOCH_BYTES
from app.core.redis_slots import GROUPS
from app.errors import DependencyDown

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_log = structlog.get_logger(__name__)
_SQL: Final = sql.load(__file__)

_CLUSTER: Final = "redis-cluster"
"""What `cache_epoch` holds in place of a server, as long as the slot groups have their own."""
_NONE: Final = bytes(EPOCH_BYTES)


def joined(epochs: Mapping[int, bytes]) -> bytes:
    """Those of slot groups as one value."""
    return _NONE + b"".join(epochs.get(group, _NONE) for group in range(GROUPS))


def epoch_of_group(epoch: bytes, group: int) -> bytes | None:
    """None: nobody reads entries of this slot group."""
    at = EPOCH_BYTES * (1 + group)
    found = epoch[at : at + EPOCH_BYTES]
    return None if found in (b"", _NONE) else found


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


async def confirm_slots(
    connection: "Connection", servers: Mapping[int, str], went_back: Collection[int]
) -> dict[int, bytes]:
    """As `confirm`, by slot group. A group is left out when another process made a new epoch meanwhile."""
    if went_back:
        await forget_slots(connection, went_back)
        metrics.CACHE_EPOCHS.labels("redis").inc()
        _log.info("cache_epoch", changed=["redis"], slot_groups=sorted(went_back))
    whole = await confirm(connection, _CLUSTER, went_back=False)
    rows = await connection.fetch(_SQL["confirm_slots"], list(servers), list(servers.values()), whole)
    if changed := sorted(row[0] for row in rows if row[2]):
        metrics.CACHE_EPOCHS.labels("redis").inc()
        _log.info("cache_epoch", changed=["redis"], slot_groups=changed)
    return {row[0]: bytes(row[1]) for row in rows}


async def forget_slots(connection: "Connection", groups: Collection[int]) -> None:
    """Ends the epochs of slot groups. They have new ones once all masters of the group have been seen."""
    await connection.execute(_SQL["forget_slots"], list(groups))


async def _disown(connection: "Connection") -> None:
    """Takes the epoch away from its Redis."""
    await connection.execute(_SQL["disown"])


async def write_through(
    database: Database,
    cache: HistoryCache | None,
    histories: Mapping[str, Versioned],
    generation: int | None = None,
    settled: Settled = NOTHING_SETTLED,
) -> bool:
    """Writes histories to the cache after their commit. False when the cache did not take them all: then a new epoch
    makes what it holds count as missing; of a cluster, what the slot groups hold that did not take theirs. Raises
    `DependencyDown` for Postgres alone.

    A process without Redis (`cache` is None, or in memory) takes the epoch away from the Redis that has it: what that
    holds lacks this write, for the others that read it now, and for all that read it again some day (docs/adr/0087).

    The epoch is read after the commit. So whoever read the rows before it has this epoch, where the versions decide, or
    an older one, which no reader takes. `generation`: the one of the histories, where another may have taken its place.
    Then nothing is written: the rows that took theirs hold the same events, and are read.
    """
    async with database.connection() as connection:
        row = await connection.fetchrow(_SQL["current"])
        assert row is not None  # of subqueries
        epoch, serving, read_from_redis = row[0] or await renew(connection), row[1], row[2]
    if generation is not None and generation != serving:
        return True
    mend: Callable[[Connection], Awaitable[object]]
    try:
        shared = cache is not None and await cache.put_many(histories, epoch, settled)
    except SlotsNotWritten as error:
        taken, mend = False, partial(forget_slots, groups=error.groups)
    except DependencyDown:
        taken, mend = False, renew
    else:
        if shared or not read_from_redis:
            return True
        taken, mend = True, _disown
    async with database.connection() as connection:
        await mend(connection)
    metrics.CACHE_EPOCHS.labels("write").inc()
    return taken
