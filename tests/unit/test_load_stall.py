"""A backlog that stands still is told from one that only changed its place."""

from app.load.stall import Stall


def test_a_slowly_falling_backlog_is_not_a_stall() -> None:
    stall = Stall(30.0, now=0.0)
    assert not any(stall.at(100 - n, now=29.0 * n) for n in range(50))


def test_a_backlog_that_stays_is_one() -> None:
    stall = Stall(30.0, now=0.0)
    assert [stall.at(100, now) for now in (0.0, 15.0, 30.0, 31.0)] == [False, False, False, True]


def test_events_that_reach_the_next_stage_restart_the_stall_clock() -> None:
    """The last of the outbox is 100 events; then the consumer has 200,000, and takes minutes to come below 100."""
    stall = Stall(30.0, now=0.0)
    assert not stall.at(100, now=0.0)
    assert not any(stall.at(200_000 - 1_000 * second, now=float(second)) for second in range(1, 120))
