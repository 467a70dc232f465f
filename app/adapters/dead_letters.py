"""The consumer's dead letter table: what could not be counted, whole, with the reason."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_COUNTED_MAX: Final = 20_000
_TAKEN_MAX: Final = 2000

_SQL = sql.load(__file__)


class Failure(Struct, frozen=True):
    """`at`: when, in seconds of the process's monotonic clock."""

    at: float
    error: str


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A Kafka record as it came, and why it could not be counted. `key`: the user's id where the message names
    it, even if it says nothing else that can be counted.

    `error_kind`: decode, data, or batch, whose value is a whole record batch from its first offset on. `failures`: of
    each attempt, the last one at the end.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    event_id: str | None
    traceparent: str | None
    error_kind: str
    failures: Sequence[Failure]
    replays: int = 0
    """How often the message had been sent again when it failed this time."""
    erasures: int | None = None
    """The number of the last erasure when the event was stored; None where the message does not say."""
    letter_id: int | None = None
    """The dead letter that was sent again as this message."""


class StatusBacklog(Struct, frozen=True):
    status: str
    events: int
    oldest_ms: float


async def store(
    connection: "Connection", letters: Sequence[DeadLetter], *, now: float, process: str
) -> set[tuple[str, int, int]]:
    """Keeps each letter once, however often Kafka delivers it, and none of before an erasure of its user. Returns the
    topics, partitions and offsets of those that are new.

    In the transaction of its batch, in key order: another process may store some of them just now. `now`: by the clock
    of the failures. `process`: whose failures they are.
    """
    kept = await connection.fetchmany(
        _SQL["store"],
        [
            (
                letter.topic,
                letter.partition,
                letter.offset,
                letter.timestamp_ms,
                letter.key,
                letter.value,
                [name for name, _ in letter.headers],
                [value for _, value in letter.headers],
                letter.event_id,
                letter.traceparent,
                letter.error_kind,
                letter.failures[-1].error,
                len(letter.failures),
                letter.replays,
                letter.erasures,
                readable(letter.key),
                letter.letter_id,
                [failure.error for failure in letter.failures],
                [now - failure.at for failure in letter.failures],
                process,
            )
            for letter in sorted(letters, key=lambda one: (one.topic, one.partition, one.offset))
        ],
    )
    return set(map(tuple, kept))


async def holds(connection: "Connection", letter: DeadLetter) -> bool:
    """Whether it is stored already, whatever became of it since."""
    place = (letter.topic, letter.partition, letter.offset, letter.timestamp_ms)
    return bool(await connection.fetchval(_SQL["holds"], *place))


async def backlog(connection: "Connection") -> list[StatusBacklog]:
    """Rows by status, counted up to 20,000 of each, and the age of the oldest."""
    return [StatusBacklog(*row) for row in await connection.fetch(_SQL["backlog"], _COUNTED_MAX)]


async def take_resolved(connection: "Connection") -> dict[str, int]:
    """How many were replayed and discarded since the last call; each is counted once, for one process."""
    return {row[0]: row[1] for row in await connection.fetch(_SQL["take_resolved"], _TAKEN_MAX)}


def readable(value: bytes | None) -> str | None:
    """Bytes as text that Postgres takes: what is not UTF-8, and NUL, as escapes."""
    return None if value is None else value.decode("utf-8", "backslashreplace").replace("\x00", "\\0")
