"""A history stays made while what was read of it is the same: the stored one, and own events that wait."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
import pytest_asyncio

from app.adapters.history_cache import CachedHistories, OwnLog, Versioned
from app.core import own_writes
from app.core.history import CANCELS, Entry, History, encode_history
from app.core.model import MODEL, Model
from app.core.own_writes import OwnWrite
from app.core.signals import Kind
from app.serving.histories import Histories
from app.serving.own_writes import OwnWrites

TENT = Entry("tent", 1_000, Kind.VIEW, 0.3)
OTHER_MODEL = Model(popularity_half_lives_ms=(1, 2, 3))


class Shared:
    """The cache, with one history and one log for whoever is asked for."""

    def __init__(self) -> None:
        self.stored = Versioned(1, encode_history(History((TENT,))))
        self.log: OwnLog | None = None

    async def get_many(self, user_ids: Sequence[str]) -> CachedHistories:
        own = {} if self.log is None else dict.fromkeys(user_ids, self.log)
        return CachedHistories(dict.fromkeys(user_ids, self.stored), b"", own)


@pytest.fixture
def shared() -> Shared:
    return Shared()


@pytest_asyncio.fixture
async def histories(shared: Shared) -> AsyncIterator[Histories]:
    own = OwnWrites(None, max_events=100)
    no_database: Any = None
    found = Histories(no_database, cast(Any, shared), own, strict_cache=False, cache_timeout_sec=1.0, max_keys=100)
    yield found
    await found.close()


def viewed(item_id: str, at_ms: int) -> bytes:
    return own_writes.encode(OwnWrite(own_writes.key_of(item_id), 1, Entry(item_id, at_ms, Kind.VIEW, 0.3)))


async def read(histories: Histories, counted: Model = MODEL) -> History:
    return await histories.of("ann", None, counted)


def items(history: History) -> list[str]:
    return [entry.item_id for entry in history.entries]


@pytest.mark.asyncio
async def test_own_events_make_another_history_and_the_same_ones_the_same(shared: Shared, histories: Histories) -> None:
    counted = await read(histories)
    assert await read(histories) is counted
    shared.log = OwnLog(0, viewed("lamp", 2_000))
    laid_over = await read(histories)
    assert items(laid_over) == ["lamp", "tent"]
    shared.log = OwnLog(0, viewed("lamp", 2_000))
    assert await read(histories) is laid_over
    shared.log = OwnLog(0, viewed("lamp", 2_000) + viewed("mat", 3_000))
    assert items(await read(histories)) == ["mat", "lamp", "tent"]


@pytest.mark.asyncio
async def test_an_erasure_or_another_model_makes_another_history(shared: Shared, histories: Histories) -> None:
    shared.log = OwnLog(0, viewed("lamp", 2_000))
    laid_over = await read(histories)
    assert await read(histories, OTHER_MODEL) is not laid_over
    shared.log = OwnLog(2, shared.log.records)
    assert items(await read(histories)) == ["tent"]


@pytest.mark.asyncio
async def test_a_forgotten_user_leaves_no_history(shared: Shared, histories: Histories) -> None:
    shared.log = OwnLog(0, viewed("lamp", 2_000))
    laid_over = await read(histories)
    histories.forget("ann")
    again = await read(histories)
    assert again is not laid_over
    assert again == laid_over


@pytest.mark.asyncio
async def test_what_was_taken_back_is_left_out(shared: Shared, histories: Histories) -> None:
    taken_back = Entry("lamp", 2_000, Kind.PURCHASE, -1.0, 1.0, CANCELS)
    shared.stored = Versioned(2, encode_history(History((taken_back, TENT))))
    assert items(await read(histories)) == ["tent"]
