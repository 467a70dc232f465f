"""When a standby ends so many reads that the primary answers them for a while."""

from app.core.interruptions import AWAY_SEC, MOST, WITHIN_SEC, Interruptions


def test_many_within_a_short_time_keep_reads_away_for_a_while() -> None:
    found = Interruptions()
    assert [found.add(100.0 + second) for second in range(MOST)] == [False] * (MOST - 1) + [True]
    last = 100.0 + MOST - 1
    assert found.keep_away(last)
    assert found.keep_away(last + AWAY_SEC - 0.1)
    assert not found.keep_away(last + AWAY_SEC)
    # None of them counts again.
    assert [found.add(200.0 + second) for second in range(MOST)] == [False] * (MOST - 1) + [True]


def test_reads_that_one_change_ends_are_one() -> None:
    found = Interruptions()
    assert not any(found.add(100.0 + number / 1_000) for number in range(100))


def test_few_in_a_long_time_are_not_too_many() -> None:
    found, apart = Interruptions(), WITHIN_SEC / (MOST - 1) + 0.1
    assert not any(found.add(100.0 + number * apart) for number in range(100))
    assert not found.keep_away(100.0 + 100 * apart)


def test_reads_come_back_before_their_time_once() -> None:
    found = Interruptions()
    assert not found.end(99.0)
    assert any(found.add(100.0 + second) for second in range(MOST))
    assert found.keep_away(110.0)
    assert [found.end(110.0), found.end(110.1)] == [True, False]
    assert not found.keep_away(110.0)
