"""The suite finds deliberate flaws: each story fails when the process that it is about has the flaw."""

from pathlib import Path

import pytest

from app.devstack import Stack
from tests.faults import stories
from tests.faults.flawed import flawed
from tests.faults.test_clocks import erase_with_events_on_the_way

pytestmark = pytest.mark.slow


def test_publish_before_commit_is_found(environment: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="'counted and not stored': 1"):
        stories.api_killed_while_it_inserts(environment, flawed("publish before commit"))


def test_event_acknowledged_and_not_stored_is_found(environment: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="acknowledged events are not stored"):
        stories.api_acknowledges(environment, flawed("acknowledged and not stored"))


def test_deletion_before_publishing_is_found(breakable_stack: Stack, environment: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match=r"'stored and not counted': [1-9]"):
        stories.relay_killed_while_kafka_does_not_answer(breakable_stack, environment, flawed("delete before publish"))


def test_offset_before_commit_is_found(environment: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match=r"'stored and not counted': [1-9]"):
        stories.consumer_killed_before_its_commit(environment, flawed("offset before commit"))


def test_dedupe_off_is_found(environment: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match=r"counted otherwise than once|is not that of the events"):
        stories.relay_killed_before_its_commit(environment, flawed("dedupe off"))


def test_sums_committed_before_their_batch_are_found(environment: dict[str, str]) -> None:
    """The events, the counts and the histories are right: only the sums are not."""
    with pytest.raises(AssertionError, match=r"users met both of|the sums of"):
        stories.consumer_killed_before_its_commit(environment, flawed("pairs apart"))


def test_retention_off_is_found(environment: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="'counted and not stored': 1"):
        stories.rows_expire(environment, flawed("retention off"))


@pytest.mark.parametrize("seconds", [-20, 20], ids=["api 20 seconds behind", "api 20 seconds ahead"])
def test_erasure_by_the_wrong_clock_is_found(environment: dict[str, str], tmp_path: Path, seconds: int) -> None:
    """From 30 seconds on, the API would go by the right one."""
    with pytest.raises(AssertionError, match="still not so"):
        erase_with_events_on_the_way(environment, tmp_path, seconds, flawed("erasure by the wrong clock"))
