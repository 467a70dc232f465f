"""Which offsets still mean something, by the ids of their topics."""

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from workers.topic_identity import Recreated, check_same_topics, plan_start, with_topic_ids

ONE, TWO = TopicPartition("watches", 0), TopicPartition("watches", 1)
IDS = {"watches": "a1"}


def test_offset_with_the_topics_id_is_resumed() -> None:
    plan = plan_start({ONE: OffsetAndMetadata(5, "a1")}, IDS)
    assert (plan.resumed, plan.restarted) == ({ONE: 5}, [])


def test_offset_of_a_deleted_topic_is_restarted() -> None:
    plan = plan_start({ONE: OffsetAndMetadata(5, "old"), TWO: OffsetAndMetadata(6, "a1")}, IDS)
    assert (plan.resumed, plan.restarted) == ({TWO: 6}, [ONE])


@pytest.mark.parametrize("metadata", ["", None])
def test_offset_without_an_id_is_resumed(metadata: str | None) -> None:
    plan = plan_start({ONE: OffsetAndMetadata(5, metadata)}, IDS)
    assert (plan.resumed, plan.restarted) == ({ONE: 5}, [])


def test_partition_without_an_offset_is_left_to_the_client() -> None:
    plan = plan_start({ONE: OffsetAndMetadata(-1, "old")}, IDS)
    assert (plan.resumed, plan.restarted) == ({}, [])


def test_offset_with_an_id_is_resumed_where_the_broker_gives_none() -> None:
    """As `check_same_topics` has it. Brokers that are upgraded in turn: one gives ids and another one none."""
    plan = plan_start({ONE: OffsetAndMetadata(5, "a1")}, {"watches": ""})
    assert (plan.resumed, plan.restarted) == ({ONE: 5}, [])


def test_offset_of_a_topic_that_is_missing_is_restarted() -> None:
    assert plan_start({ONE: OffsetAndMetadata(5, "a1")}, {}).restarted == [ONE]


def test_committed_offset_carries_its_topics_id() -> None:
    foreign = TopicPartition("other", 0)
    assert with_topic_ids({ONE: 5, foreign: 6}, IDS) == {ONE: (5, "a1"), foreign: (6, "")}


def test_same_topics_pass() -> None:
    check_same_topics(IDS, {"watches": "a1", "other": "b2"})


@pytest.mark.parametrize(("known", "current"), [("a1", ""), ("", "a1"), ("", "")])
def test_topic_without_an_id_is_the_same(known: str, current: str) -> None:
    """Brokers that are upgraded in turn: one gives ids and another one none."""
    check_same_topics({"watches": known}, {"watches": current})


def test_missing_topic_was_deleted() -> None:
    with pytest.raises(Recreated, match=r"topic watches was deleted$"):
        check_same_topics(IDS, {})


def test_topic_with_another_id_was_created_again() -> None:
    with pytest.raises(Recreated, match="topic watches was deleted and created again"):
        check_same_topics(IDS, {"watches": "b2"})
