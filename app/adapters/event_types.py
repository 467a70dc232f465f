"""The event types that the application has made or changed. A change and its announcement are one transaction."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import changes, sql
from app.core.event_types import (
    FIRST_NUMBER,
    MAX_NAMES,
    MAX_TYPES,
    READY,
    EventType,
    EventTypes,
    Meaning,
    RatingScale,
)

if TYPE_CHECKING:
    import asyncpg

    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)


class TooManyTypes(Exception):
    """`MAX_TYPES` types are in use, or `MAX_NAMES` names were; the new one was not stored."""


class StoredEventType(Struct, frozen=True):
    """A type that is in use, and since when it is as it is; None: as it comes with the service."""

    type: EventType
    updated_at: datetime | None


class NewEventType(Struct, frozen=True, kw_only=True):
    """What a caller says of a type."""

    name: str
    weight: float
    meaning: Meaning
    pairs: bool
    ends_offer: bool
    rating_scale: RatingScale | None


async def read_types(connection: "Connection") -> EventTypes:
    rows = await connection.fetch(_SQL["read_all"], MAX_NAMES)
    return EventTypes(
        [_stored(row).type for row in rows if not row["deleted"]], {row["number"]: row["name"] for row in rows}
    )


async def read_all(connection: "Connection") -> list[StoredEventType]:
    """The types that are in use, those that are ready to use among them, by name."""
    found = {name: StoredEventType(ready, None) for name, ready in READY.items()}
    for row in await connection.fetch(_SQL["read_all"], MAX_NAMES):
        if not row["deleted"]:
            found[row["name"]] = _stored(row)
    return [found[name] for name in sorted(found)]


async def lock(connection: "Connection") -> None:
    """Until the end of the transaction nobody else changes a type. Readers do not wait."""
    await connection.execute(_SQL["lock"])


async def store(connection: "Connection", new: NewEventType) -> bool:
    """Stores or replaces the type; True when it was not in use. Raises `TooManyTypes`."""
    ready, scale = READY.get(new.name), new.rating_scale
    async with connection.transaction():
        await lock(connection)  # or two could both take the next number
        row = await connection.fetchrow(
            _SQL["store"],
            new.name,
            None if ready is None else ready.number,
            new.weight,
            new.meaning,
            new.pairs,
            new.ends_offer,
            None if scale is None else scale.worst,
            None if scale is None else scale.best,
            MAX_TYPES,
            MAX_NAMES,
            FIRST_NUMBER,
        )
        if row is None:
            raise TooManyTypes
        await changes.record(connection, [changes.EVENT_TYPES_CHANGED])
    created: bool = row["created"]
    return created and ready is None


async def delete(connection: "Connection", name: str) -> bool:
    """True when it was made or changed. One that is ready to use is then as it comes with the service."""
    async with connection.transaction():
        found = await connection.fetchval(_SQL["delete"], name)
        if found is not None:
            await changes.record(connection, [changes.EVENT_TYPES_CHANGED])
    return found is not None


def _stored(row: "asyncpg.Record") -> StoredEventType:
    scale = None if row["rating_worst"] is None else RatingScale(row["rating_worst"], row["rating_best"])
    found = EventType(
        name=row["name"],
        number=row["number"],
        weight=row["weight"],
        meaning=row["meaning"],
        pairs=row["pairs"],
        ends_offer=row["ends_offer"],
        rating_scale=scale,
    )
    return StoredEventType(found, row["updated_at"])
