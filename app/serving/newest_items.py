"""The newest items of the catalogue in this process, as fresh as the change feed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from heapq import nlargest
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from app.adapters import catalogue
from app.adapters.read_replica import ReadSource
from app.clock import clock
from app.core.content_index import MAX_ITEMS

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

# Between two answers' worth of other work: so many rows take the loop two to four milliseconds.
_BATCH: Final = 200
# After each batch, but for the first reading, which is waited for: answers take a third longer meanwhile, and not three
# times as long.
_REST_SEC: Final = 0.01


class Dated(Protocol):
    @property
    def since_ms(self) -> int: ...

    @property
    def expires_ms(self) -> int | None: ...


V = TypeVar("V", bound=Dated)


class NewestItems(Generic[V]):
    """`items` by id, up to twice 100,000 of those that were neither hidden nor expired when they were read.
    `changed` collects what the change feed announces; `refresh` reads it. `version` is another one whenever an item is.
    """

    def __init__(
        self, database: ReadSource, read: Callable[["Connection", list[str]], Awaitable[Mapping[str, V]]]
    ) -> None:
        """`read`: those of these items that are to be kept."""
        self.items: dict[str, V] = {}
        self.version = 0
        self._database = database
        self._read_items = read
        self._changed: set[str] = set()
        self._is_filled = False

    def changed(self, item_ids: Iterable[str]) -> None:
        if self._is_filled:
            self._changed.update(item_ids)
            if len(self._changed) > MAX_ITEMS:
                self.forget()

    def forget(self) -> None:
        """The next refresh reads everything again."""
        self._is_filled = False
        self._changed.clear()

    async def refresh(self) -> None:
        """Not for two callers at the same time. Raises `DependencyDown` when Postgres cannot be read."""
        is_filled, changed = self._is_filled, self._changed
        if is_filled and not changed:
            return
        self._is_filled, self._changed = True, set()
        try:
            if not is_filled:
                async with self._database.connection() as connection:
                    changed = {*self.items, *await catalogue.read_newest_to_come(connection, MAX_ITEMS)}
            rest_sec = _REST_SEC if is_filled or self.items else 0.0
            await self._read_changed(list(changed), rest_sec)
        except BaseException:
            self._is_filled = is_filled and self._is_filled
            self._changed |= changed
            raise
        if len(self.items) > 2 * MAX_ITEMS:
            self._keep_newest(clock.now_ms())

    def _keep_newest(self, now_ms: int) -> None:
        """Nothing is announced when an item expires; a change of an expired one is, and it is read again."""
        live = [i for i, item in self.items.items() if item.expires_ms is None or item.expires_ms > now_ms]
        newest = nlargest(MAX_ITEMS, live, key=lambda item_id: self.items[item_id].since_ms)
        self.items = {item_id: self.items[item_id] for item_id in newest}

    async def _read_changed(self, item_ids: list[str], rest_sec: float) -> None:
        """Without a connection while it rests, which may be a transaction that must not take long."""
        for start in range(0, len(item_ids), _BATCH):
            if start:
                await asyncio.sleep(rest_sec)
            batch = item_ids[start : start + _BATCH]
            async with self._database.connection() as connection:
                found = await self._read_items(connection, batch)
            for item_id in batch:
                if self.items.get(item_id) != found.get(item_id):
                    self.version += 1
                    if item_id in found:
                        self.items[item_id] = found[item_id]
                    else:
                        del self.items[item_id]
