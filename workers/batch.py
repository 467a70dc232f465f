"""A batch of messages: counted in one transaction, halved when its data fails; what is bad becomes a dead letter."""

import traceback
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import structlog

from app import metrics
from app.adapters.dead_letters import DeadLetter
from app.adapters.postgres import Database
from app.adapters.postgres_errors import may_cost_a_message, reason_of
from app.core.brake import Brake
from app.errors import DependencyDown
from workers.applied import Applied
from workers.counting import Counting
from workers.incoming import Incoming, dead_letter, failed_now, unread_letter
from workers.sampler import Sampler

_log = structlog.get_logger(__name__)


class Braked(Exception):
    """Too many messages cannot be counted although they were read: the next one does not become a dead letter."""


class FeatureWriter:
    """Applies batches. Raises `DependencyDown` for every error of Postgres that the messages' values do not cause:
    nothing of the failing part is written then. `TooLarge` means that a smaller part may pass.

    Raises `Braked` for a message that cannot be counted while `brake` allows no dead letter of it.
    """

    def __init__(
        self, database: Database, *, max_retries: int, brake: Brake | None = None, sampler: Sampler | None = None
    ) -> None:
        self.counting = Counting(database, sampler)
        self._max_retries = max_retries
        self._brake = brake

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
            self._brake.counted(applied.counted)
        total.add(applied)
        return total

    async def _attempt(self, incoming: Sequence[Incoming]) -> Applied:
        """One transaction. Any exception but `DependencyDown` may be caused by a message."""
        for item in incoming:
            if item.kind == "data":
                raise ValueError(item.read_error)
        try:
            applied = await self._write(incoming, [unread_letter(item) for item in incoming if item.message is None])
        except asyncpg.PostgresError as error:
            if may_cost_a_message(error):
                raise
            raise DependencyDown("postgres", reason_of(error)) from error
        applied.done = len(incoming)
        return applied

    async def _retry_alone(self, item: Incoming, error: Exception) -> Applied:
        failures = [failed_now(error)]
        user = await self._user_at_fault(item)
        for _ in range(0 if self._knows(user) else self._max_retries):
            metrics.CONSUMER_PROCESSED.labels("retried").inc()
            try:
                return await self._attempt([item])
            except DependencyDown:
                raise
            except Exception as again:
                error = again
                failures.append(failed_now(error))
        letter = dead_letter(item, "data", failures)
        if self._brake is not None and not self._brake.allows(user) and not await self._is_stored(letter):
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
        applied = await self._write([], [letter])
        if self._brake is not None and applied.dead:
            self._brake.refused(user)
        applied.done = 1
        return applied

    async def _user_at_fault(self, item: Incoming) -> str | None:
        """The user of the message if only the rows of that user can be why it fails: others' can be counted.

        None without a brake, which alone needs it.
        """
        if self._brake is None or item.message is None:
            return None
        try:
            await self.counting.try_as_another_users(item.message)
        except DependencyDown:
            raise
        except Exception:
            return None  # the same error, or one of its like: it is told where the message itself is tried
        return item.message.user_id

    async def _is_stored(self, letter: DeadLetter) -> bool:
        try:
            return await self.counting.holds(letter)
        except asyncpg.PostgresError as error:
            raise DependencyDown("postgres", reason_of(error)) from error

    def _knows(self, user: str | None) -> bool:
        return self._brake is not None and self._brake.knows(user)

    async def _write(self, incoming: Sequence[Incoming], letters: Sequence[DeadLetter]) -> Applied:
        read = [(item.message, item.erasures) for item in incoming if item.message is not None]
        return await self.counting.write([message for message, _ in read], [stamp for _, stamp in read], letters)


def _place(error: Exception) -> str:
    """The error's type and the line that raised it. Its message may quote what users sent."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name}, {Path(frame.filename).name}:{frame.lineno}"
