"""A store that is told the time: what is fresh, what is stale, and what is gone, against a plain model."""

from collections.abc import Sized

from hypothesis import given
from hypothesis import strategies as st

from app.core.expiring_store import ExpiringStore

KEYS = "abcdef"
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sets(st.sampled_from(KEYS), min_size=1), st.sets(st.sampled_from(KEYS))),
        st.tuples(st.just("outdate"), st.sets(st.sampled_from(KEYS)), st.just(set())),
        st.tuples(st.just("pass"), st.integers(1, 7), st.just(set())),
    ),
    max_size=30,
)


@given(steps)
def test_values_are_fresh_for_their_time_then_stale_then_overdue(steps: list) -> None:
    store: ExpiringStore[int] = ExpiringStore(ttl_sec=10.0, max_keys=100)
    values: dict[str, int] = {}
    fresh_until: dict[str, int] = {}
    overdue_from: dict[str, int] = {}
    now = 0
    for number, (what, some, outdated) in enumerate(steps):
        if what == "pass":
            now += some
        elif what == "put":
            store.put(dict.fromkeys(some, number), at=now, outdated=outdated)
            values |= dict.fromkeys(some, number)
            for key in some:
                fresh_until[key], overdue_from[key] = now + 10, now + 20
            fresh_until |= dict.fromkeys(outdated, 0)
            overdue_from |= dict.fromkeys(outdated, 0)
        else:
            store.outdate(some)
            fresh_until |= dict.fromkeys(some, 0)
            overdue_from |= dict.fromkeys(some, 0)
        again_at = store.expire(now)
        assert again_at is None or again_at > now
        assert store.fresh == {key: value for key, value in values.items() if fresh_until.get(key, 0) > now}
        assert store.take(KEYS) == (values, [key for key in KEYS if key not in values])
        assert [key for key in values if store.is_overdue([key], now)] == [
            key for key in values if overdue_from[key] <= now
        ]
        assert store.is_overdue(values, now) == any(overdue_from[key] <= now for key in values)


@given(st.lists(st.sets(st.sampled_from(KEYS), min_size=1), max_size=20), st.integers(1, 6))
def test_a_full_store_drops_the_oldest_loads(loads: list[set[str]], max_keys: int) -> None:
    store: ExpiringStore[int] = ExpiringStore(ttl_sec=10.0, max_keys=max_keys)
    latest: dict[str, int] = {}
    for number, keys in enumerate(loads):
        store.put(dict.fromkeys(sorted(keys), number), at=number)
        latest |= dict.fromkeys(keys, number)
        assert len(store._values) == min(max_keys, len(latest))
        kept, _ = store.take(KEYS)
        assert all(latest[key] == value for key, value in kept.items())
        assert all(latest[gone] <= min(kept.values()) for gone in latest if gone not in kept)
        assert store.fresh.keys() <= kept.keys()


def test_what_is_loaded_again_and_again_takes_no_more_room() -> None:
    store: ExpiringStore[int] = ExpiringStore(ttl_sec=1_000.0, max_keys=10)
    for number in range(1_000):
        store.put(dict.fromkeys(KEYS, number), at=number)
    assert sum(len(part) for part in vars(store).values() if isinstance(part, Sized)) == 2 * len(KEYS)
