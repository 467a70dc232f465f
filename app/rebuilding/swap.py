"""The end of a rebuild: the last events, and the new tables in place of those that serve, in one transaction."""

import asyncio
import time
from typing import TYPE_CHECKING, Final

import asyncpg
from msgspec import Struct

from app.adapters import (
    audit,
    building,
    building_histories,
    building_schema,
    cache_epoch,
    changes,
    counted_events,
    generations,
    postgres,
    rebuild_locks,
)
from app.adapters.audit import AuditEntry
from app.core.features import fold
from app.core.messages import decode_message
from app.errors import DependencyDown, UserError
from app.rebuilding.gaps import refuse_dependents, refuse_fewer
from app.rebuilding.processes import Report, Show
from app.rebuilding.rebuild import Rebuild, counted_until, unfinished

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_FEW: Final = 1_000
"""So many events are folded in a moment: the consumers wait for no more than that."""
_TRIES: Final = 60
_PAUSE_SEC: Final = 1.0
_PATIENCE_SEC: Final = 60.0


class Swapped(Struct, frozen=True):
    """`events`: how many it caught up with. `is_tidy`: the former tables are dropped; otherwise they may be left."""

    events: int
    is_tidy: bool


async def swap(rebuild: Rebuild, built: "Connection", show: Show, *, fewer_are_fine: bool, actor: str) -> Swapped:
    """Catches up, swaps, and drops the former tables.

    `actor`: who asked for it, for the audit log. Unless `fewer_are_fine`, raises `UserError` when the new sums hold
    fewer events.
    """
    before = await _serving(built)
    folded = 0
    for _ in range(_TRIES):
        left = await rebuild.catch_up(built)
        folded += left
        show(Report("Catching up", left, left))
        if left > _FEW:
            continue
        swapped = None
        try:
            async with built.transaction():
                last = await _swap(rebuild, built, fewer_are_fine=fewer_are_fine)
                await _record(built, actor)
                swapped = folded + last
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            # A long statement reads the tables, or vacuums them; nobody may wait behind us for longer.
            await asyncio.sleep(_PAUSE_SEC)
            continue
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncio.CancelledError):
            # Without the answer to the COMMIT, the command would be run again, and make all of it anew.
            if swapped is None or await _serving_after(rebuild) == before:
                raise
        show(Report("Dropping the former tables", 0, 0))
        return Swapped(swapped, await _drop_former(rebuild))
    raise UserError(
        "The tables could not be swapped: a transaction holds them, or more is counted than can be caught up with. "
        "Look into pg_stat_activity, and run the same command again: it goes on here"
    )


async def _swap(rebuild: Rebuild, built: "Connection", *, fewer_are_fine: bool) -> int:
    """Returns how many events it folded."""
    await rebuild_locks.end_vacuums(built)
    folded = await rebuild.catch_up(built)  # what was counted while vacuums ended
    await rebuild_locks.stop_counting(built)
    await rebuild_locks.lock_new_tables(built)
    # All is committed that was counted until now.
    folded += await rebuild.fold_counted(built, await postgres.now(built))
    if not fewer_are_fine:
        await refuse_fewer(built)
    await rebuild_locks.lock_tables(built)
    # From here on no migration changes them, and nobody makes anything on them.
    await building_schema.check_shape(built, pairs_indexed=True)
    await refuse_dependents(built)
    await _erase(built)
    await building.swap(built)
    await generations.serve_building(built)
    # Cached histories are those of the other tables, and so are the lists of the API's processes.
    await cache_epoch.renew(built)
    await changes.record(built, [changes.GENERATION_CHANGED])
    return folded


async def _drop_former(rebuild: Rebuild) -> bool:
    """Whether they are: not where a transaction holds them, or Ctrl-C comes. The swap is done in spite of that."""
    try:
        async with rebuild.connection() as connection:  # that of the swap may be lost
            await building.drop_former(connection)
    except (DependencyDown, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncio.CancelledError):
        return False
    return True


async def _serving_after(rebuild: Rebuild) -> int:
    """Which generation serves once the transaction of the swap has ended, of which no answer comes."""
    ends = time.monotonic() + _PATIENCE_SEC
    while True:
        try:
            async with rebuild.connection() as again:
                await counted_until(again)
                return await _serving(again)
        except DependencyDown as error:
            if time.monotonic() > ends:
                raise UserError(
                    f"The connection was lost while the tables were swapped ({error.reason}), so that nobody knows "
                    "which serve. `reco doctor` names their generation. If it is the former one, run the same command "
                    "again: it goes on here"
                ) from error
            await asyncio.sleep(_PAUSE_SEC)


async def _serving(connection: "Connection") -> int:
    found = await generations.serving(connection)
    assert found is not None  # a rebuild makes sure of that before it begins
    return found[0]


async def _record(built: "Connection", actor: str) -> None:
    serving = await _serving(built)
    entry = AuditEntry(
        actor=actor, action="rebuild", targets=[f"generation {serving}"], outcome="served", request_id=None
    )
    await audit.record(built, [entry])


async def _erase(built: "Connection") -> None:
    """Users who were erased since the rebuild began have what they did after their erasure, and nothing else."""
    model, progress = await unfinished(built)
    erased = await building.erased_since(built, progress.erasure)
    if not erased:
        return
    messages = [decode_message(payload.encode()) for payload in await counted_events.read_of_users(built, erased)]
    await building_histories.replace(built, erased, fold(messages, {}, model).histories)
