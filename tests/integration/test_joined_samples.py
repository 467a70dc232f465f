"""Samples of users with several ids: the learner ranks the history that the API ranks."""

from collections.abc import Collection, Mapping, Sequence

import asyncpg

from app import metrics
from app.adapters.postgres import Database
from app.core.content_index import ContentIndex
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.model import MODEL
from app.core.neighbours import NO_NEIGHBOURS, Neighbours
from app.core.popularity import NO_POPULAR, Popular
from app.core.weights import size_of
from app.serving.histories import Histories
from app.serving.own_writes import OwnWrites
from tests.support.consuming import incoming
from tests.support.pipeline import counted, message
from workers.batch import FeatureWriter
from workers.sampler import Sampler

Lists = tuple[Mapping[str, Neighbours], Popular, ContentIndex | None]
BEGIN_MS = 1_790_000_000_000


async def test_sample_of_who_signed_in_has_the_history_of_all_ids(opened: Database, pool: asyncpg.Pool) -> None:
    asked: list[Sequence[str]] = []

    def at_hand(seeds: Sequence[str], _own: Collection[str]) -> Lists:
        asked.append(seeds)
        return dict.fromkeys(seeds, NO_NEIGHBOURS), NO_POPULAR, None

    sampler = Sampler(at_hand, _table())
    writer = FeatureWriter(opened, max_retries=1, sampler=sampler)
    views = [
        message(f"event-{device}-{n}", user_id=device, item_id=f"{device}-{n}", ts_ms=BEGIN_MS + n)
        for device in ("phone", "tablet")
        for n in range(10)
    ]
    await writer.apply(incoming(*views))
    links = {"ann": "phone", "phone": "tablet"}
    signed_in = [
        message(f"event-{user}", user_id=user, anonymous_id=device, item_id="hut", ts_ms=BEGIN_MS + 100)
        for user, device in links.items()
    ]
    await writer.apply(incoming(*signed_in))
    sampler.is_active = True
    back = message("event-back", user_id="ann", item_id="phone-7", ts_ms=BEGIN_MS + 200)
    applied = await writer.apply(incoming(back))
    (sample,) = applied.samples
    assert not sample.is_new
    assert sample.size == size_of(21)
    assert asked[-1][0] == "hut"
    assert {item.split("-")[0] for item in asked[-1]} == {"hut", "phone", "tablet"}
    own = OwnWrites(None, max_events=10)
    histories = Histories(opened, None, own, strict_cache=False, cache_timeout_sec=1.0, max_keys=10)
    try:
        served = await histories.of("ann", None, MODEL)
    finally:
        await histories.close()
    assert len(served.entries) == 21


async def test_damaged_history_of_a_linked_id_costs_a_sample_and_no_event(opened: Database, pool: asyncpg.Pool) -> None:
    """The event is counted by the history of its own id alone."""
    sampler = Sampler(lambda seeds, _: (dict.fromkeys(seeds, NO_NEIGHBOURS), NO_POPULAR, None), _table())
    writer = FeatureWriter(opened, max_retries=1, sampler=sampler)
    await writer.apply(incoming(message("event-phone", user_id="phone")))
    await writer.apply(incoming(message("event-signs-in", user_id="ann", anonymous_id="phone")))
    await pool.execute("UPDATE user_history SET history = '\\xff' WHERE user_id = 'phone'")
    sampler.is_active = True
    before = counted(metrics.LEARNER_SAMPLES, result="failed")
    back, other = message("event-back", user_id="ann"), message("event-other", user_id="eve")
    applied = await writer.apply(incoming(back, other))
    assert (applied.counted, applied.dead, len(applied.samples)) == (2, 0, 1)
    assert counted(metrics.LEARNER_SAMPLES, result="failed") == before + 1


def _table() -> ItemTable:
    return ItemTable(ItemIndex(), MODEL)
