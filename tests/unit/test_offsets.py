"""The consumer's bookkeeping of one assignment after another."""

from aiokafka import TopicPartition

from workers.offsets import Offsets, Polled

ONE, TWO = TopicPartition("watches", 0), TopicPartition("watches", 1)


def polled(offsets: Offsets) -> Polled:
    return Polled([], {}, offsets.generation)


def test_new_assignment_is_unchecked_until_it_is_admitted() -> None:
    offsets = Offsets()
    offsets.assigned([ONE, TWO])
    assert set(offsets.unchecked) == {ONE, TWO}
    offsets.admitted({ONE: 7})
    assert not offsets.unchecked


def test_records_polled_before_a_rebalance_are_not_held_after_it() -> None:
    offsets = Offsets()
    offsets.assigned([ONE])
    before = polled(offsets)
    assert offsets.holds(before)
    offsets.revoked()
    assert not offsets.holds(before)
    between = polled(offsets)
    offsets.assigned([ONE])
    assert not offsets.holds(between)


def test_batch_is_in_hand_from_its_poll_until_it_is_settled() -> None:
    offsets = Offsets()
    offsets.took({ONE: 3}, {ONE: 9})
    assert offsets.in_hand == {ONE: 3}
    offsets.settled()
    assert offsets.in_hand == {}


def test_revoked_batch_is_not_in_hand() -> None:
    offsets = Offsets()
    offsets.took({ONE: 3}, {ONE: 9})
    offsets.revoked()
    assert offsets.in_hand == {}


def test_reading_starts_behind_what_was_polled_and_not_before_the_first_offset() -> None:
    offsets = Offsets()
    offsets.assigned([ONE, TWO])
    offsets.admitted({ONE: 3, TWO: 3})
    offsets.took({ONE: 3}, {ONE: 9})
    assert offsets.starts({ONE: 0, TWO: 5}) == {ONE: 9, TWO: 5}


def test_offsets_of_an_earlier_assignment_are_forgotten() -> None:
    offsets = Offsets()
    offsets.took({ONE: 3}, {ONE: 9})
    offsets.assigned([ONE])
    assert offsets.starts({ONE: 2}) == {ONE: 2}


def test_batch_that_grows_is_in_hand_from_its_first_record() -> None:
    offsets = Offsets()
    offsets.took({ONE: 3}, {ONE: 9})
    offsets.took({ONE: 9, TWO: 5}, {ONE: 12, TWO: 6})
    assert offsets.in_hand == {ONE: 3, TWO: 5}


def test_two_polls_are_one_batch_up_to_the_later_offsets() -> None:
    first, second = Polled(["a", "b"], {ONE: 9, TWO: 2}, 1), Polled(["c"], {ONE: 10}, 1)
    assert first.followed_by(second) == Polled(["a", "b", "c"], {ONE: 10, TWO: 2}, 1)


def test_records_polled_before_a_rebalance_are_dropped_for_those_after_it() -> None:
    first, second = Polled(["a", "b"], {ONE: 9}, 1), Polled(["a"], {ONE: 8}, 2)
    assert first.followed_by(second) is second
