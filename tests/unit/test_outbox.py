"""When a refused row is tried again, and where claims begin."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.outbox import RESTART_AFTER_SEC, SCAN_PAUSE, ClaimCursor, retry_delay

LONGEST = 25.0


@given(attempts=st.integers(1, 60), limit=st.integers(1, 60), chance=st.floats(0, 0.999))
def test_a_row_is_dead_exactly_when_its_attempts_are_used_up(attempts: int, limit: int, chance: float) -> None:
    delay = retry_delay(attempts, max_attempts=limit, base_sec=1.0, max_sec=300.0, chance=chance)
    assert (delay is None) == (attempts >= limit)
    if delay is not None:
        assert 0.5 <= delay <= 300.0


def claim(cursor: ClaimCursor, now: float, last_id: int | None, *, full: bool = True, took: float = 0.0) -> int:
    """A claim that began at `now`; returns where."""
    after_id = cursor.begin(now)
    cursor.claimed(after_id, last_id, full=full, began=now, now=now + took)
    return after_id


def test_a_claim_goes_on_where_the_last_full_one_ended() -> None:
    cursor = ClaimCursor(LONGEST)
    assert claim(cursor, 10.0, 500) == 0
    assert cursor.begin(10.1) == 500
    cursor.claimed(500, 1_000, full=True, began=10.1, now=10.1)
    cursor.claimed(500, 700, full=True, began=10.1, now=10.1)  # another lane's claim, of lower ids
    assert cursor.begin(10.2) == 1_000


@pytest.mark.parametrize("how", ["time", "restart", "not full"])
def test_a_cursor_restarts_once_a_second_and_when_told(how: str) -> None:
    cursor = ClaimCursor(LONGEST)
    claim(cursor, 10.0, 500)
    if how == "restart":
        cursor.restart()
    if how == "not full":
        claim(cursor, 10.1, None, full=False)
    assert cursor.begin(10.0 + (RESTART_AFTER_SEC if how == "time" else 0.1)) == 0


def test_a_claim_after_a_slow_scan_begins_at_what_no_transaction_can_insert_below() -> None:
    cursor = ClaimCursor(LONGEST)
    claim(cursor, 0.0, 500)
    claim(cursor, LONGEST / 2, 900)
    assert claim(cursor, LONGEST, 950, full=False, took=3.0) == 0
    now = LONGEST + 3.0
    assert cursor.begin(now) == 500
    assert cursor.next_in(500, now) == pytest.approx(3.0 * SCAN_PAUSE)
    assert claim(cursor, LONGEST * 1.5, 1_000) == 900
    assert cursor.begin(LONGEST * 1.5) == 1_000
    cursor.restart()
    assert cursor.begin(LONGEST * 1.5) == 900
    assert cursor.begin(now + 3.0 * SCAN_PAUSE) == 0


def test_a_scan_that_was_given_up_goes_on_from_the_floor() -> None:
    cursor = ClaimCursor(LONGEST)
    claim(cursor, 0.0, 500)
    claim(cursor, LONGEST, 600, full=False)
    assert cursor.begin(LONGEST + 1.0) == 0
    cursor.gave_up(0, began=LONGEST + 1.0, now=LONGEST + 6.0)
    assert cursor.begin(LONGEST + 6.0) == 500


def test_rows_that_wait_for_a_partition_let_newer_ones_come_first() -> None:
    cursor = ClaimCursor(LONGEST)
    claim(cursor, 0.0, 500)
    claim(cursor, LONGEST, 600, full=False)
    now = LONGEST + 1.0
    assert cursor.begin(now) == 0
    cursor.claimed(0, 100, full=True, began=now, now=now)
    cursor.held_up(0, now)
    assert cursor.begin(now) == 500
    cursor.claimed(500, None, full=False, began=now, now=now)
    assert cursor.begin(now + 0.9 * RESTART_AFTER_SEC) == 500
    now += RESTART_AFTER_SEC
    assert cursor.begin(now) == 100
    cursor.claimed(100, 110, full=False, began=now, now=now)
    cursor.held_up(100, now)
    assert cursor.begin(now) == 500
    assert cursor.begin(now + RESTART_AFTER_SEC) == 0


def test_a_claim_of_newer_rows_leaves_the_scans_where_they_are() -> None:
    cursor = ClaimCursor(LONGEST)
    claim(cursor, 0.0, 500)
    claim(cursor, 1.6, 900)
    claim(cursor, LONGEST, 950, full=False)
    assert cursor.begin(26.0) == 0
    cursor.claimed(0, 100, full=True, began=26.0, now=26.0)
    cursor.held_up(0, 26.0)
    assert cursor.begin(26.5) == 500
    assert cursor.begin(26.7) == 900  # the floor has moved
    cursor.claimed(500, None, full=False, began=26.5, now=26.71)
    assert cursor.begin(27.0) == 100


def test_scans_end_where_the_floor_was_when_they_began() -> None:
    """Else those of a floor that moves as fast would never come back to the first rows."""
    cursor, now, greatest, starts = ClaimCursor(LONGEST), 0.0, 0, []
    for _ in range(2_000):
        after_id = cursor.begin(now)
        if after_id < greatest - 3 * LONGEST * 10:
            starts.append(after_id)
            cursor.claimed(after_id, after_id + 10, full=True, began=now, now=now)
            cursor.held_up(after_id, now)
        else:
            greatest = int(now * 10) + 1
            cursor.claimed(after_id, greatest, full=False, began=now, now=now)
        now += 0.1
    assert starts.count(0) > 1


@pytest.mark.parametrize("due_again_sec", [5.0, 60.0])
def test_rows_behind_many_that_wait_for_a_partition_have_their_turn(due_again_sec: float) -> None:
    size, waiting, now = 10, 300, LONGEST + 1.0
    cursor = ClaimCursor(LONGEST)
    claim(cursor, 0.0, waiting + 2)
    claim(cursor, LONGEST, waiting + 3, full=False)
    due_at = dict.fromkeys(range(1, waiting + 2), 0.0)  # the last one is of a partition that takes rows again
    newer = 0
    while waiting + 1 in due_at:
        assert now < LONGEST + 2.0 * waiting / size * RESTART_AFTER_SEC
        after_id = cursor.begin(now)
        found = [row for row, at in due_at.items() if row > after_id and at <= now][:size]
        newer += after_id == waiting + 2
        cursor.claimed(after_id, found[-1] if found else None, full=len(found) == size, began=now, now=now)
        due_at.pop(waiting + 1 if waiting + 1 in found else 0, None)
        if found and waiting + 1 not in found:
            due_at.update(dict.fromkeys(found, now + due_again_sec))
            cursor.held_up(after_id, now)
        now += 0.1
    assert newer > waiting / size


def test_rows_found_from_the_start_are_followed_by_those_behind_them() -> None:
    """The other lane claims further up meanwhile, and its claims do not lead past them."""
    cursor = ClaimCursor(LONGEST)
    claim(cursor, 0.0, 5_000)
    assert cursor.begin(0.5) == 5_000
    assert cursor.begin(1.0) == 0
    cursor.claimed(0, 100, full=True, began=1.0, now=1.1)
    cursor.claimed(5_000, 6_000, full=True, began=0.5, now=1.2)
    assert cursor.begin(1.3) == 100
    cursor.claimed(5_000, None, full=False, began=0.5, now=1.4)
    assert cursor.begin(1.4) in (0, 100)


def test_nothing_is_left_below_a_claim_from_the_start_that_was_not_full() -> None:
    cursor = ClaimCursor(LONGEST)
    assert claim(cursor, 0.0, 500, full=False) == 0
    assert cursor.next_in(0, 0.0) == math.inf


Steps = st.lists(
    st.tuples(
        st.floats(0.0, 20.0),
        st.integers(1, 1000),
        st.floats(0.0, 2.0),
        st.sampled_from(["full", "some", "none", "gave up", "released"]),
    ),
    min_size=1,
    max_size=60,
)


@given(Steps)
def test_no_claim_that_restarts_begins_above_what_may_still_be_inserted(
    steps: list[tuple[float, int, float, str]],
) -> None:
    """Nor does one that continues: it was full, and all below it were claimed in a row from such a place."""
    cursor, now, greatest = ClaimCursor(LONGEST), 100.0, 0
    claimed: list[tuple[float, int]] = []
    for pause, more, took, how in steps:
        now += pause
        after_id = cursor.begin(now)
        began, now = now, now + took
        last_id = greatest + more
        if how in ("gave up", "released"):
            cursor.gave_up(after_id, began=began, now=now)
        else:
            cursor.claimed(after_id, None if how == "none" else last_id, full=how == "full", began=began, now=now)
            if how != "none":
                greatest = last_id
                claimed.append((now, last_id))
        if how != "full":
            cursor.begin(now)  # where the floor is known
            settled = [one for at, one in claimed if now - at >= LONGEST]
            cursor.restart()
            assert cursor.begin(now) <= max(settled, default=0)


@given(Steps)
def test_no_row_waits_longer_for_a_scan_from_the_start_than_its_cost_allows(
    steps: list[tuple[float, int, float, str]],
) -> None:
    cursor, now, greatest = ClaimCursor(LONGEST), 100.0, 0
    scanned_at, scan_sec = 0.0, 0.0
    for pause, more, took, how in steps:
        now += pause
        after_id = cursor.begin(now)
        began, now = now, now + took
        greatest += more
        if after_id:
            assert began - scanned_at < max(RESTART_AFTER_SEC, SCAN_PAUSE * scan_sec) + 1e-6
        else:
            scanned_at, scan_sec = now, took
        if how in ("gave up", "released"):
            cursor.gave_up(after_id, began=began, now=now)
        else:
            cursor.claimed(after_id, greatest, full=how == "full", began=began, now=now)
