"""The synthetic world: the same for the same seed, popular items and users as they should be, tastes in clusters."""

import itertools
from collections import Counter

import msgspec
import pytest

from app.core.event_times import MAX_AGE_MS
from app.core.events import MAX_EVENT_BYTES, AnyEvent, Impression, accept
from app.core.submitted import decode_any
from app.load.workload import MIX, SHARE_FROM_CLUSTERS, Population, Shape

SHAPE = Shape(users=300, items=500, history=8, seed=7)
NOW_MS = 1_790_000_000_000


def live(shape: Shape, count: int, stream: str = "live") -> list[AnyEvent]:
    return list(itertools.islice(Population(shape).events(stream), count))


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    other = msgspec.structs.replace(SHAPE, seed=8)
    assert live(SHAPE, 50) == live(SHAPE, 50)
    assert live(SHAPE, 50) != live(other, 50)
    assert live(SHAPE, 50) != live(SHAPE, 50, "another stream")


def test_every_event_is_one_the_api_takes() -> None:
    world = Population(SHAPE)
    for event in [*live(SHAPE, 500), *world.seed_events(NOW_MS)]:
        body = msgspec.json.encode(event)
        assert 100 < len(body) < MAX_EVENT_BYTES
        accept(decode_any(body), now_ms=NOW_MS, entropy=bytes(10))


def test_types_are_mixed_as_stated() -> None:
    counts = Counter(type(event).__name__.lower() for event in live(SHAPE, 5_000))
    for kind, share in MIX.items():
        assert counts[kind] / 5_000 == pytest.approx(share, abs=0.03)


def test_popular_items_come_often_and_most_items_seldom() -> None:
    world = Population(SHAPE)
    counts = Counter(
        item_id
        for event in live(SHAPE, 10_000)
        for item_id in ([shown.item_id for shown in event.items] if isinstance(event, Impression) else [event.item_id])
    )
    head = sum(counts[item_id] for item_id in world.popular_items(50))
    assert head / sum(counts.values()) > 0.3  # a tenth of the items; an even spread would give 0.1
    assert len(counts) > 400


def test_users_stay_with_their_clusters() -> None:
    world = Population(SHAPE)
    rank = {item_id: index for index, item_id in enumerate(world.item_ids)}
    clusters = len(world.clusters)
    number = {user_id: index for index, user_id in enumerate(world.user_ids)}
    events = [event for event in live(SHAPE, 5_000) if not isinstance(event, Impression)]
    inside = sum(rank[event.item_id] % clusters in world.tastes[number[event.user_id]] for event in events)
    assert inside / len(events) > SHARE_FROM_CLUSTERS - 0.02


def test_histories_are_complete_in_order_and_recent_enough() -> None:
    events = list(Population(SHAPE).seed_events(NOW_MS))
    times = [event.ts_ms for event in events if isinstance(event.ts_ms, int)]
    assert len(times) == len(events)
    assert set(Counter(event.user_id for event in events).values()) == {SHAPE.history}
    assert len({event.user_id for event in events}) == SHAPE.users
    assert times == sorted(times)
    assert NOW_MS - MAX_AGE_MS < times[0] <= times[-1] <= NOW_MS
