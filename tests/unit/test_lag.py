"""The lag as a function of offsets, and when a lag that does not fall means a stuck client."""

import pytest
from aiokafka import TopicPartition

from workers.lag import StallDetector, Stuck, lags

ONE, TWO = TopicPartition("watches", 0), TopicPartition("watches", 1)


def test_lag_is_the_distance_to_the_end() -> None:
    assert lags({ONE: 10, TWO: 4}, {ONE: 7, TWO: 4}, {}) == {ONE: 3, TWO: 0}


def test_batch_in_hand_counts_as_waiting() -> None:
    assert lags({ONE: 10}, {ONE: 10}, {ONE: 4}) == {ONE: 6}


def test_end_behind_the_position_is_no_negative_lag() -> None:
    """A topic that was created again may end before the position that was read in the old one."""
    assert lags({ONE: 2}, {ONE: 7}, {}) == {ONE: 0}


def test_messages_that_wait_while_none_arrives_mean_stuck() -> None:
    stall = StallDetector(0.0)
    stall.check(5, 20.0)
    with pytest.raises(Stuck, match="5 messages wait"):
        stall.check(5, 20.1)


def test_arriving_messages_restart_the_time() -> None:
    stall = StallDetector(0.0)
    stall.moved(15.0)
    stall.check(5, 35.0)


def test_no_waiting_message_restarts_the_time() -> None:
    stall = StallDetector(0.0)
    stall.check(0, 30.0)
    stall.check(5, 45.0)


def test_stuck_names_what_waits() -> None:
    stall = StallDetector(0.0, "{} leaders do not say what waits")
    with pytest.raises(Stuck, match="2 leaders do not say what waits for 20 s"):
        stall.check(2, 20.1)
