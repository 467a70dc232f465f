"""The transaction that counts messages: dedupe rows, histories, links, sums of items and pairs, and dead letters."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from msgspec import structs

from app import metrics
from app.adapters import changes, dead_letters, erasures, features, sessions, user_links
from app.adapters.dead_letters import DeadLetter
from app.adapters.generations import ServingGeneration
from app.adapters.history_cache import Versioned
from app.adapters.postgres import Database
from app.core.features import Fold, History, encode_history, fold
from app.core.messages import ImpressionMessage, Message
from app.core.model import Model
from app.core.pairing import PairTerms
from app.process import process_name
from workers.applied import Applied
from workers.batch_samples import BatchSamples
from workers.contents import event_keys_of, item_ids_of, links_of, sessions_of
from workers.fresh import take_fresh
from workers.sampler import Sampler

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_T = TypeVar("_T")

_log = structlog.get_logger(__name__)

# The fold is pure computation on the event loop: it gives way to the others after so many messages or histories.
_CHUNK: Final = 50


class Counting:
    """Writes batches, each in one transaction. Any error of Postgres, the fold or the sums: nothing was written."""

    def __init__(self, database: Database, sampler: Sampler | None) -> None:
        self._database = database
        self._sampler = sampler
        self._keys = features.ItemKeys()
        self._generation = ServingGeneration()
        self.thins_pairs = False
        """Set by the consumer while it is behind."""

    async def write(
        self, messages: Sequence[Message], stamps: Sequence[int | None], letters: Sequence[DeadLetter]
    ) -> Applied:
        """Counts the messages and keeps the dead letters.

        `stamps`: for each message the number of the last erasure when it was stored, if that is known.
        """
        started = time.perf_counter()
        applied = await self._attempt(lambda connection: self._write(connection, messages, stamps, letters))
        metrics.STAGE_LATENCY.labels("consumer_transaction").observe((time.perf_counter() - started) * 1000)
        return applied

    async def holds(self, letter: DeadLetter) -> bool:
        """Whether the dead letter is stored already."""
        async with self._database.connection() as connection:
            return await dead_letters.holds(connection, letter)

    async def try_as_another_users(self, message: Message) -> None:
        """Counts the message as if users had sent it of whom nothing is stored, and rolls that back.

        Raises what counting it raises.
        """
        name = f"probe-{uuid.uuid4().hex}"
        anonymous_id = f"{name}-anonymous" if message.anonymous_id else None
        probe = structs.replace(message, event_id=name, user_id=name, session_id=name, anonymous_id=anonymous_id)
        await self._attempt(lambda connection: self._try(connection, probe))

    async def _attempt(self, attempt: "Callable[[Connection], Awaitable[_T]]") -> _T:
        """Makes the attempt, again whenever items were removed since it read their keys: a message must not fail for
        that.
        """
        async with self._database.connection() as connection:
            self._keys.forget_before(self._database.sessions)
            while True:
                with contextlib.suppress(features.ItemsRemoved):
                    return await attempt(connection)

    async def _try(self, connection: "Connection", message: Message) -> None:
        """A transaction that is rolled back. Raises `ItemsRemoved` as `_write` does."""
        keys = await self._keys.of(connection, item_ids_of([message]))
        transaction = connection.transaction()
        await transaction.start()
        try:
            await self._count(connection, [message], [None], keys, None)
        finally:
            await transaction.rollback()

    async def _write(
        self,
        connection: "Connection",
        messages: Sequence[Message],
        stamps: Sequence[int | None],
        letters: Sequence[DeadLetter],
    ) -> Applied:
        """The transaction. Raises `ItemsRemoved` before it has written anything."""
        keys = await self._keys.of(connection, item_ids_of(messages))
        async with connection.transaction():
            applied = await self._count(connection, messages, stamps, keys, self._sampler) if messages else Applied()
            if letters:
                process = process_name()
                kept = await dead_letters.store(connection, letters, now=time.monotonic(), process=process)
        if letters:
            _tell(kept, letters)
            applied.dead = len(kept)
            applied.duplicates += len(letters) - len(kept)
        return applied

    async def _count(
        self,
        connection: "Connection",
        messages: Sequence[Message],
        stamps: Sequence[int | None],
        keys: Mapping[str, int],
        sampler: Sampler | None,
    ) -> Applied:
        fresh_ids = await features.consume(connection, list({message.event_id for message in messages}))
        model = await self._generation.follow(connection)
        self._keys.check(self._generation.removals)
        # Those of duplicates are read as well: the first delivery may have died before it reached the cache.
        users = {message.user_id for message in messages if not isinstance(message, ImpressionMessage)}
        named = links_of(messages)
        new_links = await user_links.missing(connection, named) if named else []
        locked = users.union(*new_links)
        stored = await features.lock_histories(connection, list(locked)) if locked else {}
        erased = await erasures.last(connection, locked.union(message.user_id for message in messages))
        fresh, linked = take_fresh(messages, stamps, fresh_ids, erased)
        made = [link for link in sorted(linked.intersection(new_links)) if await user_links.make(connection, link)]
        if fresh_ids:
            # Of before an erasure. The same event may have been sent again since, and that one counts.
            await features.unconsume(connection, list(fresh_ids))
        joined = await user_links.joined(connection, stored)
        choices = sum(not isinstance(message, ImpressionMessage) for message in fresh)
        samples = BatchSamples(connection, None if sampler is None else sampler.for_batch(choices), joined, model)
        total = Fold(pairs=PairTerms(model, thinned=self.thins_pairs))
        folded = await _fold_in_chunks(fresh, stored, model, total, samples.look)
        # Other joined ids are another version, too.
        histories = {link.user_id: stored[link.user_id].history for link in made}
        histories |= await _encode_in_chunks(folded.histories)
        await _write_histories(connection, stored, histories)
        await self._add_sums(connection, folded, keys, model)
        if begun := sessions_of(fresh):
            await sessions.remember(connection, begun)
        current = {
            user_id: Versioned(
                entry.version + (user_id in histories),
                histories.get(user_id, entry.history),
                joined.get(user_id, ()),
            )
            for user_id, entry in stored.items()
        }
        return Applied(
            counted=len(fresh),
            duplicates=len(messages) - len(fresh),
            histories=current,
            event_keys=event_keys_of(messages),
            samples=samples.taken,
            generation=self._generation.number,
        )

    async def _add_sums(self, connection: "Connection", folded: Fold, keys: Mapping[str, int], model: Model) -> None:
        """Of items, then of pairs, and tells the API which items have others now."""
        if folded.items:
            await features.add_to_items(connection, folded.items, keys, model)
        changed = {item_id for item_id, delta in folded.items.items() if delta.popular_ms}
        if near := folded.pairs.sums():
            # A history may hold items that are gone: without sums they are in no list.
            known = await self._keys.existing(connection, near.ids)
            if pairs := near.between(known):
                await features.add_to_pairs(connection, pairs, known)
            changed.update(pairs.ids)
        if changed:
            await changes.record_items(connection, changed)


async def _write_histories(
    connection: "Connection", stored: Mapping[str, Versioned], histories: Mapping[str, bytes]
) -> None:
    """Those that changed; the rows of the locked users (`stored`) that hold nothing go."""
    if histories:
        await features.write_histories(connection, histories)
    if nothing := [user_id for user_id, entry in stored.items() if not entry.history and user_id not in histories]:
        await features.drop_empty_histories(connection, nothing)


def _tell(kept: Collection[tuple[str, int, int]], letters: Sequence[DeadLetter]) -> None:
    """Counts and logs those of the letters that are stored now. Once they are: none of them is new when the batch comes
    again, as after a failed commit of its offsets.
    """
    metrics.CONSUMER_PROCESSED.labels("dlq").inc(len(kept))
    metrics.DLQ_EVENTS.labels("stored").inc(len(kept))
    for letter in letters:
        if (letter.topic, letter.partition, letter.offset) in kept:
            # Its error stays in the row, where an erasure finds it: it quotes the message.
            _log.warning(
                "dead_letter",
                topic=letter.topic,
                partition=letter.partition,
                offset=letter.offset,
                kind=letter.error_kind,
            )


async def _fold_in_chunks(
    messages: Sequence[Message],
    stored: Mapping[str, Versioned],
    model: Model,
    total: Fold,
    look: "Callable[[Sequence[Message], Mapping[str, History]], Awaitable[None]]",
) -> Fold:
    """Adds to `total`, which is returned. `look` is called with each chunk and its users' histories before it."""
    histories: dict[str, History] = {}
    for start in range(0, len(messages), _CHUNK):
        chunk = messages[start : start + _CHUNK]
        for user_id in {message.user_id for message in chunk}.difference(histories).intersection(stored):
            histories[user_id] = features.history_of(stored[user_id])
        await look(chunk, histories)
        part = fold(chunk, histories, model, onto=total)
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
