"""Which partitions the relay passes over, and how long their rows wait."""

from app.core.failing_partitions import FailingPartitions, postponed_sec

ONE, TWO = ("watches", 1), ("watches", 2)


def test_partition_that_takes_nothing_is_passed_over_for_twice_as_long_each_time() -> None:
    failing, now, pauses = FailingPartitions(), 100.0, []
    for _ in range(7):
        assert set(failing.judge({TWO}, {ONE}, now)) == {ONE}
        ends = next(sec for sec in range(1, 99) if ONE not in failing.passed_over(now + sec))
        pauses.append(ends)
        now += ends
    assert pauses == [1, 2, 4, 8, 16, 16, 16]
    assert TWO not in failing.passed_over(100.0)


def test_partition_that_took_a_row_is_not_passed_over() -> None:
    failing = FailingPartitions()
    failing.judge({TWO}, {ONE}, 100.0)
    assert not failing.judge({ONE, TWO}, {ONE}, 100.5)
    assert not failing.passed_over(100.5)
    assert not failing


def test_only_one_producer_tries_a_failing_partition_at_a_time() -> None:
    failing = FailingPartitions()
    failing.judge({TWO}, {ONE}, 100.0)
    assert not failing.passed_over(101.0)
    failing.begin_try(ONE, until=111.0)
    failing.begin_try(TWO, until=111.0)
    assert failing.passed_over(110.0) == {ONE}
    failing.judge({TWO}, {ONE}, 111.0)
    assert failing.passed_over(112.0) == {ONE}, "the pause grows as if there had been no try"


def test_row_waits_longer_the_older_it_is_up_to_a_bound() -> None:
    assert [postponed_sec(age) for age in (0.0, 4.0, 20.0, 3600.0)] == [1.0, 1.0, 2.0, 60.0]
