"""Whether events come in the order of their times."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.core.arrivals import Arrivals
from app.core.signals import DAY_MS

MINUTE_MS = 60_000
events = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100).map(lambda minute: minute * 10 * MINUTE_MS)))


def arrivals_of(*seen: tuple[int, int]) -> Arrivals:
    arrivals = Arrivals()
    for received_ms, ts_ms in seen:
        arrivals.saw(received_ms, ts_ms)
    return arrivals


@given(events, st.tuples(st.integers(0, 50), st.integers(0, 1000).map(lambda minute: minute * MINUTE_MS)))
def test_event_is_behind_the_latest_of_those_that_were_received_before_it(
    seen: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    received_ms, ts_ms = asked
    latest = max((ts for received, ts in seen if received < received_ms), default=0)
    assert arrivals_of(*seen).behind_ms(received_ms, ts_ms) == max(0, latest - ts_ms)


def test_order_in_which_partitions_are_read_makes_nothing_late() -> None:
    log = [(number, number * MINUTE_MS) for number in range(600)]
    arrivals = arrivals_of(*log[::2], *log[1::2])
    assert max(arrivals.behind_ms(*event) for event in log) == 0


def test_log_in_the_order_of_its_users_is_late_from_the_second_on() -> None:
    arrivals = Arrivals()
    late = []
    for received_ms in range(100):
        ts_ms = received_ms % 10 * DAY_MS
        late.append(arrivals.behind_ms(received_ms, ts_ms) > 0)
        arrivals.saw(received_ms, ts_ms)
    assert not any(late[:10])
    assert [index for index, is_late in enumerate(late[10:]) if not is_late] == [9, 19, 29, 39, 49, 59, 69, 79, 89]


def test_memory_is_bounded_and_the_latest_are_known() -> None:
    arrivals = arrivals_of(*((number, number * 10 * MINUTE_MS) for number in range(100_000)))
    assert arrivals.behind_ms(100_000, 0) == 99_999 * 10 * MINUTE_MS
    assert arrivals.behind_ms(99_500, 0) == 99_499 * 10 * MINUTE_MS
    assert arrivals.behind_ms(1_000, 0) == 0
    assert len(arrivals._received) == len(arrivals._latest) <= 2_000
    assert all(one < other for one, other in pairwise(arrivals._latest))
