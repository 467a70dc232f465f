"""What a rebuild would lose or break, told before the work where that can be known, and before the swap in any case."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from app.adapters import building, building_schema, counted_events, postgres
from app.adapters.building import SliceProgress
from app.core.event_numbers import EventNumbers
from app.errors import UserError
from app.importing.counts import Counts
from app.importing.mapping import EVENT_TYPES
from app.rebuilding.processes import Show
from app.rebuilding.rebuild import Log, Progress, unfinished

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_WHY: Final = "They are older than RETENTION_EVENTS_DAYS, or their users were erased."
_ACCEPT: Final = "or accept with --yes that what they have counted is lost"


async def refuse_gaps(live: "Connection", log: Log, show: Show) -> None:
    """Raises `UserError` if events were counted that are neither stored nor in the files.

    With files it looks for events of other types alone, which few files have; the rest is compared before the swap.
    """
    async with live.transaction(isolation="repeatable_read"):  # others count meanwhile
        counted, stored = await building.counted(live), await counted_events.stored(live)
    missing = stored.missing_of(counted)
    if not log.contents():
        if missing:
            raise UserError(
                f"Events were counted that are not stored any more: {_told(missing, counted)}. {_WHY} Give files that "
                f"hold them, {_ACCEPT}. Impressions are not compared"
            )
        if await counted_events.lacks_first(live):
            raise UserError(
                f"Events were counted that are older than all that are stored. {_WHY} Give files that hold them, "
                f"{_ACCEPT}"
            )
    elif wanted := missing.get("other", 0):
        held = await log.other_events(live, wanted, show)
        if held < wanted:
            raise UserError(
                f"{wanted:,} events of other types than view, click, purchase and watch were counted and are not "
                f"stored any more, and the files hold {held:,} that are not stored. {_WHY} Give files that hold them "
                f"as well, {_ACCEPT}. Files can have the types {', '.join(EVENT_TYPES)}, where a cart is a view unless "
                "--map-type cart=cart says otherwise, and those that the application has made and still has"
            )


async def refuse_published(live: "Connection") -> None:
    """Raises `UserError` if logical replicas may follow the tables: they get no rows of those that take their place."""
    if found := await building.publications(live):
        raise UserError(
            f"item_stats, user_history or item_pairs are in the publication {', '.join(found)}. A rebuild puts new "
            "tables in their place, and a logical replica that follows it would stop, and keep the log of Postgres "
            "growing, or go on with the old sums. Drop its subscription and the publication, and make both anew after "
            "the rebuild; or begin with --despite-publication if no replica follows"
        )


async def refuse_dependents(connection: "Connection") -> None:
    """Raises `UserError` if views, triggers, foreign keys or functions of others would go with the former tables. In a
    transaction.
    """
    if found := await building_schema.dependents(connection):
        raise UserError(
            f"On item_stats, user_history or item_pairs there are: {', '.join(found)}. A rebuild puts new tables in "
            "their place and drops the former ones, and with them what you have made on them. Drop it, run the same "
            "command again, and make it anew after the rebuild"
        )


async def expired_since(live: "Connection", *, events_days: float, dedupe_days: float) -> str | None:
    """What an unfinished rebuild can no longer count, because it expired while nobody went on with it; None if nothing.

    Retention deletes no events while a rebuild runs, and goes on as soon as that is interrupted.
    """
    _, progress = await unfinished(live)
    now = await postgres.now(live)
    return loss(
        progress,
        await building.slices(live),
        first=await counted_events.first_received(live),
        events_since=now - timedelta(days=events_days),
        dedupe_since=now - timedelta(days=dedupe_days),
        erased=bool(await building.erased_since(live, progress.erasure)),
    )


def loss(
    progress: Progress,
    parts: Sequence[SliceProgress],
    *,
    first: datetime | None,
    events_since: datetime,
    dedupe_since: datetime,
    erased: bool,
) -> str | None:
    """See `expired_since`.

    `first`: when the first event was received of those that are stored now. `events_since`, `dedupe_since`: older
    events and dedupe rows may be deleted. `erased`: users were erased since the rebuild was begun, and their events.
    """
    if progress.counted_until < max(events_since, dedupe_since):
        return (
            f"What was counted since {_time(progress.counted_until)} is not in the new sums yet, and some of it, or of "
            "its dedupe rows, may have expired meanwhile (RETENTION_EVENTS_DAYS, RETENTION_DEDUPE_DAYS)"
        )
    if progress.first is None or (first is not None and first <= progress.first):
        return None
    if erased and progress.first >= events_since:
        return None
    # A slice folds its events in order of their receipt, and only after all files.
    if all(part.events_done or (first is not None and part.events_until >= first) for part in parts):
        return None
    until = f"to {_time(first)}" if first else "on"
    files = ". Rows of the files that are the same events may have been left out for them" if progress.log else ""
    return (
        f"Events that were received from {_time(progress.first)} {until} expired (RETENTION_EVENTS_DAYS) after this "
        f"rebuild was begun, and before it had folded all of them{files}"
    )


def refuse_expired(lost: str) -> None:
    """Raises `UserError`. `lost`: what `expired_since` has told."""
    raise UserError(f"{lost}. Give up with `reco rebuild --drop` and begin again, {_ACCEPT}")


def refuse_mostly_rejected(part: SliceProgress) -> None:
    """Raises `UserError` if more than half of the rows of the files are no events. `part`: the first, which counts."""
    if Counts(read=part.file_rows, rejected=part.rejected).mostly_rejected():
        raise UserError(
            f"More than half of the rows of the files are no events: {part.rejected:,} of {part.file_rows:,}. One of "
            f"them: {part.first_rejected}. Nothing was swapped. Give up with `reco rebuild --drop` and correct the "
            "options or the files, or run the same command with --yes to leave the rows out"
        )


async def refuse_fewer(built: "Connection") -> None:
    """Raises `UserError` if the new sums hold fewer events than those that serve. In the transaction that swaps."""
    old, new = await building.counted_live(built), await building.counted(built)
    if missing := new.missing_of(old):
        raise UserError(
            f"The new sums lack events that those that serve hold: {_told(missing, old)}. {_WHY} Nothing was swapped. "
            "Give up with `reco rebuild --drop` and rebuild with files of the older events, or swap with `reco rebuild "
            "--yes`"
        )


def _told(missing: Mapping[str, int], counted: EventNumbers) -> str:
    return ", ".join(f"{number:,} of {getattr(counted, name):,} of the type {name}" for name, number in missing.items())


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
