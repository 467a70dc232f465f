"""One batch of messages into Postgres: decode, dedupe, fold, write, in one transaction; halved when its data fails."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog
from aiokafka import ConsumerRecord
from msgspec import Struct, field

from app import metrics
from app.adapters import changes, dead_letters, erasures, features, sessions
from app.adapters.dead_letters import DeadLetter, readable
from app.adapters.history_cache import Versioned
from app.adapters.postgres import Database
from app.adapters.record_batches import Unreadable
from app.adapters.sessions import Session
from app.core.decoding import InvalidInput
from app.core.features import Fold, History, encode_history, fold
from app.core.messages import ImpressionMessage, Message, decode_message
from app.errors import describe

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_log = structlog.get_logger(__name__)

# What a message's own content can cause in the fold or in Postgres; an outage comes as `DependencyDown` instead.
_DATA_FAULTS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
)
# The fold is pure computation on the event loop: it gives way to the others after so many messages or histories.
_CHUNK: Final = 50


class Incoming(Struct, frozen=True):
    """A record as polled; `message` is None when it could not be read, and `read_error` says why.

    `kind` of the error: `decode`, or `batch` when the record stands for a whole batch. `erasures`: the number
    of the last erasure when the event was stored; None where the message does not say.
    """

    record: ConsumerRecord
    topic: str
    message: Message | None
    read_error: str | None
    kind: str = "decode"
    erasures: int | None = None


class Applied(Struct):
    """What became of a batch: events counted, duplicates, dead letters; histories to write through to the cache."""

    counted: int = 0
    duplicates: int = 0
    dead: int = 0
    histories: dict[str, Versioned] = field(default_factory=dict)

    def add(self, other: "Applied") -> None:
        self.counted += other.counted
        self.duplicates += other.duplicates
        self.dead += other.dead
        self.histories.update(other.histories)


def read_record(record: ConsumerRecord, *, topic: str) -> Incoming:
    """Decodes a record; `topic` is its name without the prefix."""
    try:
        message = decode_message(record.value)
    except InvalidInput as error:
        return Incoming(record, topic, None, str(error))
    return Incoming(record, topic, message, None, erasures=_number(record.headers, "erasures"))


def read_unreadable(batch: Unreadable, *, topic: str) -> Incoming:
    """A batch that nobody can read, as one record without a key: its bytes, at its first offset."""
    record = ConsumerRecord(
        topic=batch.partition.topic,
        partition=batch.partition.partition,
        offset=batch.first,
        timestamp=batch.timestamp_ms,
        timestamp_type=0,
        key=None,
        value=batch.raw,
        checksum=None,
        serialized_key_size=-1,
        serialized_value_size=len(batch.raw),
        headers=(),
    )
    read_error = f"batch of the offsets {batch.first} to {batch.after - 1} cannot be read: {batch.reason}"
    return Incoming(record, topic, None, read_error, kind="batch")


def was_replayed(item: Incoming) -> bool:
    """True for a message that was read, and that an operator had sent again."""
    return item.message is not None and any(name == "replays" for name, _ in item.record.headers)


class FeatureWriter:
    """Applies batches. Raises `DependencyDown` when Postgres is away: nothing of the failing part is written then."""

    def __init__(self, database: Database, *, max_retries: int) -> None:
        self._database = database
        self._max_retries = max_retries
        self._keys = features.ItemKeys()

    async def apply(self, incoming: Sequence[Incoming]) -> Applied:
        try:
            return await self._transaction(incoming, [])
        except _DATA_FAULTS as error:
            if len(incoming) > 1:
                middle = len(incoming) // 2
                applied = await self.apply(incoming[:middle])
                applied.add(await self.apply(incoming[middle:]))
                return applied
            return await self._retry_alone(incoming[0], error)

    async def _retry_alone(self, item: Incoming, error: Exception) -> Applied:
        for _ in range(self._max_retries):
            metrics.CONSUMER_PROCESSED.labels("retried").inc()
            try:
                return await self._transaction([item], [])
            except _DATA_FAULTS as again:
                error = again
        letter = _dead_letter(item, "data", describe(error), attempts=1 + self._max_retries)
        return await self._transaction([], [letter])

    async def _transaction(self, incoming: Sequence[Incoming], letters: Sequence[DeadLetter]) -> Applied:
        unread = [item for item in incoming if item.message is None]
        letters = [*letters, *(_dead_letter(item, item.kind, item.read_error or "", attempts=1) for item in unread)]
        messages = [item.message for item in incoming if item.message is not None]
        stamps = [item.erasures for item in incoming if item.message is not None]
        started = time.perf_counter()
        async with self._database.connection() as connection:
            keys = await self._keys.of(connection, _item_ids(messages))
            async with connection.transaction():
                applied = await self._count(connection, messages, stamps, keys) if messages else Applied()
                if letters:
                    await dead_letters.store(connection, letters)
        metrics.STAGE_LATENCY.labels("consumer_transaction").observe((time.perf_counter() - started) * 1000)
        for letter in letters:
            # Its error stays in the row, where an erasure finds it: it quotes the message.
            _log.warning(
                "dead_letter",
                topic=letter.topic,
                partition=letter.partition,
                offset=letter.offset,
                kind=letter.error_kind,
            )
        applied.dead = len(letters)
        return applied

    async def _count(
        self,
        connection: "Connection",
        messages: Sequence[Message],
        stamps: Sequence[int | None],
        keys: Mapping[str, int],
    ) -> Applied:
        """`stamps`: for each message the number of the last erasure when it was stored, if that is known."""
        fresh_ids = await features.consume(connection, list({message.event_id for message in messages}))
        # Those of duplicates are read as well: the first delivery may have died before it reached the cache.
        users = {message.user_id for message in messages if not isinstance(message, ImpressionMessage)}
        stored = await features.lock_histories(connection, list(users)) if users else {}
        erased = await erasures.last(connection, {message.user_id for message in messages})
        fresh: list[Message] = []
        for message, stamp in zip(messages, stamps, strict=True):
            last = erased.get(message.user_id)
            if message.event_id in fresh_ids and (last is None or not last.came_after(stamp, message.received_ms)):
                fresh_ids.remove(message.event_id)
                fresh.append(message)
        if fresh_ids:
            # Of before an erasure. The same event may have been sent again since, and that one counts.
            await features.unconsume(connection, list(fresh_ids))
        folded = await _fold_in_chunks(fresh, stored)
        histories = await _encode_in_chunks(folded.histories)
        if histories:
            await features.write_histories(connection, histories)
        if folded.items:
            await features.add_to_items(connection, folded.items, keys)
        if folded.pairs:
            pair_ids = {item_id for pair in folded.pairs for item_id in pair}
            await features.add_to_pairs(connection, folded.pairs, await self._keys.of(connection, pair_ids))
            await changes.record(connection, pair_ids)
        if begun := _sessions(fresh):
            await sessions.remember(connection, begun)
        current = {
            user_id: Versioned(entry.version, histories.get(user_id, entry.history))
            for user_id, entry in stored.items()
        }
        return Applied(counted=len(fresh), duplicates=len(messages) - len(fresh), histories=current)


async def _fold_in_chunks(messages: Sequence[Message], stored: Mapping[str, Versioned]) -> Fold:
    total = Fold()
    histories: dict[str, History] = {}
    for start in range(0, len(messages), _CHUNK):
        chunk = messages[start : start + _CHUNK]
        for user_id in {message.user_id for message in chunk}.difference(histories).intersection(stored):
            histories[user_id] = features.history_of(stored[user_id])
        part = fold(chunk, histories, onto=total)
        histories.update(part.histories)
        total.histories.update(part.histories)
        await asyncio.sleep(0)
    return total


async def _encode_in_chunks(histories: Mapping[str, History]) -> dict[str, bytes]:
    encoded: dict[str, bytes] = {}
    users = iter(histories.items())
    while chunk := list(islice(users, _CHUNK)):
        encoded.update((user_id, encode_history(history)) for user_id, history in chunk)
        await asyncio.sleep(0)
    return encoded


def _item_ids(messages: Sequence[Message]) -> set[str]:
    found: set[str] = set()
    for message in messages:
        if isinstance(message, ImpressionMessage):
            found.update(item.item_id for item in message.items)
        else:
            found.add(message.item_id)
    return found


def _sessions(messages: Sequence[Message]) -> dict[str, Session]:
    """The sessions in which something was done, each with its first event."""
    found: dict[str, Session] = {}
    for message in messages:
        if not isinstance(message, ImpressionMessage):
            held = found.get(message.session_id)
            if held is None or message.ts_ms < held.started_ms:
                found[message.session_id] = Session(message.user_id, message.ts_ms)
    return found


def _dead_letter(item: Incoming, kind: str, error: str, *, attempts: int) -> DeadLetter:
    record = item.record
    headers = [(str(name), bytes(value or b"")) for name, value in record.headers]
    named = dict(headers)
    event_id = item.message.event_id if item.message is not None else readable(named.get("event_id"))
    return DeadLetter(
        topic=item.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=headers,
        event_id=event_id,
        traceparent=readable(named.get("traceparent")),
        error_kind=kind,
        error=error[:2000].replace("\x00", "\\0"),
        attempts=attempts,
        replays=_number(headers, "replays") or 0,
        erasures=_number(headers, "erasures"),
    )


def _number(headers: Sequence[tuple[str, bytes | None]], name: str) -> int | None:
    """A number among the headers that the relay sets; None when it is not there or not a number."""
    for key, value in headers:
        if key == name:
            return int(value) if value is not None and value.isdigit() and len(value) < 10 else None
    return None
