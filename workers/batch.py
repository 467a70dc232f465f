"""One batch of messages into Postgres: decode, dedupe, fold, write, in one transaction; halved when its data fails."""

import asyncio
import time
import traceback
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog
from msgspec import Struct, field

from app import metrics
from app.adapters import changes, dead_letters, erasures, features, sessions, user_links
from app.adapters.dead_letters import DeadLetter
from app.adapters.generations import ServingGeneration
from app.adapters.history_cache import Versioned
from app.adapters.postgres import Database
from app.adapters.postgres_errors import may_cost_a_message, reason_of
from app.core.brake import Brake
from app.core.features import Fold, History, encode_history, fold
from app.core.messages import ImpressionMessage, Message
from app.core.model import Model
from app.core.pairing import PairTerms
from app.core.ranking_samples import RankingSample
from app.errors import DependencyDown
from app.process import process_name
from workers.contents import event_keys_of, item_ids_of, links_of, sessions_of
from workers.fresh import take_fresh
from workers.incoming import Incoming, dead_letter, failed_now, unread_letter
from workers.sampler import BatchSampler, Sampler

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_log = structlog.get_logger(__name__)

# The fold is pure computation on the event loop: it gives way to the others after so many messages or histories.
_CHUNK: Final = 50


class Applied(Struct):
    """What became of a batch: events counted, duplicates, dead letters; histories to write through to the cache, the
    keys of the events that they count by now (`own_writes.keys_of`), and samples for the learner.

    `done`: how many records that is, from the first one on. `generation`: the one of the histories.
    """

    counted: int = 0
    duplicates: int = 0
    dead: int = 0
    done: int = 0
    histories: dict[str, Versioned] = field(default_factory=dict)
    event_keys: dict[str, bytes] = field(default_factory=dict)
    samples: list[RankingSample] = field(default_factory=list)
    generation: int | None = None

    def add(self, other: "Applied") -> None:
        self.counted += other.counted
        self.duplicates += other.duplicates
        self.dead += other.dead
        self.done += other.done
        if other.histories:
            if other.generation != self.generation:
                self.histories, self.generation = {}, other.generation  # those of before are read from the new tables
            self.histories.update(other.histories)
            for user_id, keys in other.event_keys.items():
                self.event_keys[user_id] = self.event_keys.get(user_id, b"") + keys
        self.samples += other.samples


class Braked(Exception):
    """Too many messages cannot be counted although they were read: the next one does not become a dead letter."""


class FeatureWriter:
    """Applies batches. Raises `DependencyDown` for every error of Postgres that the messages' values do not cause:
    nothing of the failing part is written then. `TooLarge` means that a smaller part may pass.

    Raises `Braked` for a message that cannot be counted while `brake` allows no dead letter of its user (its key).
    """

    def __init__(
        self, database: Database, *, max_retries: int, brake: Brake | None = None, sampler: Sampler | None = None
    ) -> None:
        self._database = database
        self._sampler = sampler
        self._max_retries = max_retries
        self._brake = brake
        self._keys = features.ItemKeys()
        self._generation = ServingGeneration()
        self.thins_pairs = False
        """Set by the consumer while it is behind. It takes no samples for the learner then, either."""

    async def apply(self, incoming: Sequence[Incoming], *, onto: Applied | None = None) -> Applied:
        """Adds to `onto` what is committed, so that it is known there even if the rest fails."""
        total = Applied() if onto is None else onto
        try:
            applied = await self._attempt(incoming)
        except DependencyDown:
            raise
        except Exception as error:
            if len(incoming) == 1:
                applied = await self._retry_alone(incoming[0], error)
            else:
                middle = len(incoming) // 2
                await self.apply(incoming[:middle], onto=total)
                return await self.apply(incoming[middle:], onto=total)
        if self._brake is not None:
            self._brake.counted(applied.counted, (item.record.key for item in incoming))
        total.add(applied)
        return total

    async def _attempt(self, incoming: Sequence[Incoming]) -> Applied:
        """One transaction. Any exception but `DependencyDown` may be caused by a message."""
        for item in incoming:
            if item.kind == "data":
                raise ValueError(item.read_error)
        try:
            applied = await self._transaction(incoming, [])
        except asyncpg.PostgresError as error:
            if may_cost_a_message(error):
                raise
            raise DependencyDown("postgres", reason_of(error)) from error
        applied.done = len(incoming)
        return applied

    async def _retry_alone(self, item: Incoming, error: Exception) -> Applied:
        failures = [failed_now(error)]
        is_the_users = self._brake is not None and self._brake.blames(item.record.key)
        for _ in range(0 if is_the_users else self._max_retries):
            metrics.CONSUMER_PROCESSED.labels("retried").inc()
            try:
                return await self._attempt([item])
            except DependencyDown:
                raise
            except Exception as again:
                error = again
                failures.append(failed_now(error))
        if self._brake is not None and not self._brake.allows(item.record.key):
            raise Braked(
                f"too many messages that were read cannot be counted, the last one for {_place(error)}; no more of "
                "them become dead letters. Correct the cause; see FEATURE_CONSUMER_BRAKE_RETRY_SEC"
            ) from error
        _log.warning(
            "message_not_counted",
            topic=item.topic,
            partition=item.record.partition,
            offset=item.record.offset,
            error=_place(error),
        )
        letter = dead_letter(item, "data", failures)
        applied = await self._transaction([], [letter])
        if self._brake is not None:
            self._brake.refused(item.record.key)
        applied.done = 1
        return applied

    async def _transaction(self, incoming: Sequence[Incoming], letters: Sequence[DeadLetter]) -> Applied:
        letters = [*letters, *(unread_letter(item) for item in incoming if item.message is None)]
        messages = [item.message for item in incoming if item.message is not None]
        stamps = [item.erasures for item in incoming if item.message is not None]
        started = time.perf_counter()
        async with self._database.connection() as connection:
            self._keys.forget_before(self._database.sessions)
            try:
                applied = await self._write(connection, messages, stamps, letters)
            except features.ItemsRemoved:
                applied = await self._write(connection, messages, stamps, letters)
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
            applied = await self._count(connection, messages, stamps, keys) if messages else Applied()
            if letters:
                await dead_letters.store(connection, letters, now=time.monotonic(), process=process_name())
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
        model = await self._generation.follow(connection)
        self._keys.check(self._generation.removals)
        # Those of duplicates are read as well: the first delivery may have died before it reached the cache.
        users = {message.user_id for message in messages if not isinstance(message, ImpressionMessage)}
        links = await user_links.missing(connection, named) if (named := links_of(messages)) else []
        locked = users.union(*links)
        stored = await features.lock_histories(connection, list(locked)) if locked else {}
        erased = await erasures.last(connection, locked.union(message.user_id for message in messages))
        fresh, linked = take_fresh(messages, stamps, fresh_ids, erased)
        made = [link for link in sorted(linked.intersection(links)) if await user_links.make(connection, link)]
        if fresh_ids:
            # Of before an erasure. The same event may have been sent again since, and that one counts.
            await features.unconsume(connection, list(fresh_ids))
        samples: list[RankingSample] = []
        sampler = None if self._sampler is None or self.thins_pairs else self._sampler.for_batch(len(fresh))
        onto = Fold(pairs=PairTerms(model, thinned=self.thins_pairs))
        folded = await _fold_in_chunks(fresh, stored, model, sampler, samples, onto)
        # Other joined ids are another version, too.
        histories = {link.user_id: stored[link.user_id].history for link in made}
        histories |= await _encode_in_chunks(folded.histories)
        if histories:
            await features.write_histories(connection, histories)
        if nothing := [user_id for user_id, entry in stored.items() if not entry.history and user_id not in histories]:
            await features.drop_empty_histories(connection, nothing)
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
        if begun := sessions_of(fresh):
            await sessions.remember(connection, begun)
        joined = await user_links.joined(connection, stored)
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
            samples=samples,
            generation=self._generation.number,
        )


async def _fold_in_chunks(
    messages: Sequence[Message],
    stored: Mapping[str, Versioned],
    model: Model,
    sampler: BatchSampler | None,
    samples: list[RankingSample],
    total: Fold,
) -> Fold:
    """Adds to `total`, which is returned, and to `samples` what the sampler takes."""
    histories: dict[str, History] = {}
    for start in range(0, len(messages), _CHUNK):
        chunk = messages[start : start + _CHUNK]
        for user_id in {message.user_id for message in chunk}.difference(histories).intersection(stored):
            histories[user_id] = features.history_of(stored[user_id])
        if sampler is not None:
            samples += sampler.take(chunk, histories)
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


def _place(error: Exception) -> str:
    """The error's type and the line that raised it. Its message may quote what users sent."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name}, {Path(frame.filename).name}:{frame.lineno}"
