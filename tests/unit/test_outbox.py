"""When a refused row is tried again, and where claims begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.outbox import RESTART_AFTER_SEC, ClaimCursor, retry_delay


@given(attempts=st.integers(1, 60), limit=st.integers(1, 60), chance=st.floats(0, 0.999))
def test_a_row_is_dead_exactly_when_its_attempts_are_used_up(attempts: int, limit: int, chance: float) -> None:
    delay = retry_delay(attempts, max_attempts=limit, base_sec=1.0, max_sec=300.0, chance=chance)
    assert (delay is None) == (attempts >= limit)
    if delay is not None:
        assert 0.5 <= delay <= 300.0


def test_a_claim_goes_on_where_the_last_full_one_ended() -> None:
    cursor = ClaimCursor()
    assert cursor.begin(10.0) == 0
    cursor.claimed(500)
    assert cursor.begin(10.1) == 500
    cursor.claimed(400)  # another lane's claim, of lower ids
    assert cursor.begin(10.2) == 500


@pytest.mark.parametrize("how", ["time", "restart"])
def test_a_cursor_restarts_once_a_second_and_when_told(how: str) -> None:
    cursor = ClaimCursor()
    cursor.begin(10.0)
    cursor.claimed(500)
    if how == "restart":
        cursor.restart()
    assert cursor.begin(10.0 + (RESTART_AFTER_SEC if how == "time" else 0.1)) == 0


@given(st.lists(st.tuples(st.floats(0.0, 0.4), st.integers(1, 1000)), min_size=1, max_size=60))
def test_no_row_waits_longer_than_that_however_full_the_claims(steps: list[tuple[float, int]]) -> None:
    cursor, now, from_start = ClaimCursor(), 100.0, 100.0
    for pause, last_id in steps:
        now += pause
        if cursor.begin(now) == 0:
            from_start = now
        assert now - from_start < RESTART_AFTER_SEC
        cursor.claimed(last_id)
