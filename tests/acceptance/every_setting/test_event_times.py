"""What becomes of events whose time is not the server's, on a process with `EVENT_TIMES=keep`."""

import time
from datetime import UTC, datetime

import pytest

from tests.acceptance.every_setting.world import World
from tests.support.database import ask

_DAY_MS = 86_400_000


@pytest.mark.shows("EVENT_TIMES")
def test_old_event_is_kept_and_one_ahead_becomes_of_now(world: World) -> None:
    now_ms = int(time.time() * 1000)
    old = world.send(ts_ms=now_ms - 30 * _DAY_MS)
    ahead = world.send(ts_ms=now_ms + 30 * _DAY_MS)
    world.await_counted(old)
    world.await_counted(ahead)

    def age_days(event_id: str) -> int:
        stored = ask(world.database_url, f"SELECT ts_ms FROM events WHERE event_id = '{event_id}'")
        return round((now_ms - int(stored)) / _DAY_MS)

    assert (age_days(old), age_days(ahead)) == (30, 0)
    assert world.metric("reco_event_times_total", kind="late", outcome="keep") == 1
    assert world.metric("reco_event_times_total", kind="early", outcome="clamp") == 1


def test_clock_of_a_device_is_corrected_in_every_spelling_and_numbers_are_ids(world: World) -> None:
    wrong = int(time.time()) + 400 * 24 * 3600
    event_id = world.send(
        user_id=17, item_id=2**60 + 1, ts_ms=datetime.fromtimestamp(wrong - 5, UTC).isoformat(), sent_at=wrong
    )
    stored = ask(world.database_url, f"SELECT ts_ms FROM events WHERE event_id = '{event_id}'")
    assert abs(int(stored) - time.time() * 1000) < _DAY_MS
    world.await_counted(event_id)
    assert world.client.get("/users/17").json()["history"][0]["item_id"] == "1152921504606846977"
    assert world.metric("reco_event_times_total", kind="clock", outcome="correct") == 1


def test_event_of_before_1970_by_our_clock_is_kept_as_of_then(world: World) -> None:
    """A device whose clock began at 1970 sends once the clock is set, to a time ahead of ours."""
    event_id = world.send(ts_ms=60_000, sent_at=int(time.time()) + 3600)
    world.await_counted(event_id)
    assert ask(world.database_url, f"SELECT ts_ms FROM events WHERE event_id = '{event_id}'") == 0
