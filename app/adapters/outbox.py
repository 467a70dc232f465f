"""The relay's statements on the outbox: claim, delete, reschedule, postpone; and the notification of new rows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import sql
from app.adapters.arrays import number_array

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

CHANNEL: Final = "event_outbox"

_COUNTED_MAX: Final = 20_000

_SQL = sql.load(__file__)


class OutboxRow(Struct, frozen=True):
    id: int
    event_id: str
    topic: str
    message_key: str
    payload: str
    traceparent: str | None
    attempts: int
    age_ms: float
    claimed_ms: int
    """When the row was claimed, by the database's clock: the message's timestamp, which brokers refuse when it is far
    from their own time. The relay's host may be wrong about that."""
    raw: bytes | None = None
    """A replayed message's bytes as they came; `payload` is empty then."""
    replays: int = 0
    erasures: int | None = None
    """The number of the last erasure when the event was stored; None for a row of an older release."""
    tracestate: str | None = None
    letter_id: int | None = None
    """The dead letter that is replayed by this row."""


class Reschedule(Struct, frozen=True):
    """A row that failed for its own reason: try again after `delay_sec`, or never (None: dead)."""

    id: int
    delay_sec: float | None
    error: str


class Backlog(Struct, frozen=True):
    pending: int
    dead: int
    oldest_pending_ms: float


async def claim_batch(connection: "Connection", limit: int, *, after_id: int = 0, lease_sec: float) -> list[OutboxRow]:
    """Locks up to `limit` due rows that no other relay holds, oldest first. In a transaction, which is the lease.

    The server ends the lease when the transaction has been idle for `lease_sec`.
    """
    await connection.execute(_SQL["limit_lease"], f"{round(lease_sec * 1000)}")
    return [OutboxRow(*row) for row in await connection.fetch(_SQL["claim_batch"], limit, after_id)]


async def delete_published(connection: "Connection", ids: Sequence[int]) -> None:
    await connection.execute(_SQL["delete_published"], number_array(ids))


async def reschedule(connection: "Connection", rows: Sequence[Reschedule], *, process: str) -> None:
    """Adds the errors to those of the rows, in the name of the process."""
    await connection.execute(
        _SQL["reschedule"],
        [row.id for row in rows],
        [row.delay_sec for row in rows],
        [row.error for row in rows],
        process,
    )


async def postpone(connection: "Connection", delays_sec: Mapping[int, float]) -> None:
    """By id: the row is due again after so many seconds. It costs no attempt."""
    await connection.execute(_SQL["postpone"], list(delays_sec), list(delays_sec.values()))


async def notify(connection: "Connection") -> None:
    """Wakes the relays. On its own, never in the transaction of a flush: NOTIFY takes a global lock at commit."""
    await connection.execute(_SQL["notify"])


async def backlog(connection: "Connection") -> Backlog:
    row = await connection.fetchrow(_SQL["backlog"], _COUNTED_MAX)
    assert row is not None  # an aggregate without GROUP BY always has one row
    return Backlog(*row)
