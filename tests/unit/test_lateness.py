"""How long reads stay away from a replica that is late again and again."""

from app.core.lateness import FIRST_SEC, FORGOTTEN_SEC, LONGEST_SEC, Lateness


def returns_after(lateness: Lateness, now: float) -> float:
    """For how long it is kept away after it was late once more at `now`."""
    lateness.is_late(now)
    waited = 0.0
    while lateness.keep_away(now + waited):
        waited += 0.5
    return waited


def test_reads_come_back_later_each_time_and_at_once_after_a_long_time() -> None:
    lateness, now, waits = Lateness(), 1000.0, []
    for _ in range(9):
        waits.append(returns_after(lateness, now))
        now += waits[-1] + 30.0
    assert waits == [0.0, FIRST_SEC, 10.0, 20.0, 40.0, 80.0, 160.0, LONGEST_SEC, LONGEST_SEC]
    assert returns_after(lateness, now + FORGOTTEN_SEC) == 0.0


def test_replica_that_is_late_every_half_minute_is_left_alone() -> None:
    """As one whose replay waits for a long statement of others, again and again."""
    lateness, is_used, changes = Lateness(), True, 0
    for second in range(3600):
        if second % 35 < 10:
            lateness.is_late(float(second))
            found = False
        else:
            found = not lateness.keep_away(float(second))
        changes += found is not is_used
        is_used = found
    assert changes < 10


def test_one_lateness_counts_once_however_long_it_is() -> None:
    lateness = Lateness()
    for now in range(100):
        lateness.is_late(float(now))
    assert not lateness.keep_away(100.0)


def test_only_a_replica_that_keeps_up_is_used_before_its_time() -> None:
    lateness = Lateness()
    returns_after(lateness, 0.0)
    assert not lateness.end()
    lateness.is_late(1.0)
    assert not lateness.end()  # it is late still
    assert lateness.keep_away(2.0)
    lateness.asks()
    assert not lateness.end()  # it has not answered
    assert lateness.keep_away(2.5)
    assert lateness.end()
    assert not lateness.keep_away(2.5)
