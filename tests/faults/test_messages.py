"""Poison in the topics, and topics that are not what they were."""

import gzip
import json
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from app.core.events import TOPIC_INTERACTIONS, TOPIC_WATCHES, TOPICS
from app.devstack.ports import choose
from tests.faults.checker import check, check_service, client_of, dead_values
from tests.faults.roles import role
from tests.faults.slow_kafka import SLOW_KAFKA
from tests.support.service import Service, eventually, running
from tests.support.topics import admin_client

GOOD: dict[str, Any] = {
    "v": 1,
    "event_type": "view",
    "event_id": "good-event-0001",
    "user_id": "user-1",
    "session_id": "s1",
    "item_id": "item-1",
    "ts_ms": 1_767_225_600_000,
    "received_ms": 1_767_225_600_000,
}


def encoded(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


POISON: Sequence[bytes | None] = (
    None,
    b"",
    b"\x00\xff\xfe",
    b"{",
    b"[]",
    b"null",
    gzip.compress(encoded()),
    encoded(event_type="teleport"),
    encoded(v=2),
    encoded(v="1"),
    encoded(item_id=7),
    encoded(item_id=""),
    encoded(user_id="u" * 129),
    encoded(user_id="nul\x00"),
    encoded(ts_ms="yesterday"),
    encoded(ts_ms=10**30),
    encoded(ts_ms=float("nan")),
    encoded(ts_ms=GOOD["received_ms"] + 301_000),
    encoded(ts_ms=2**53 - 1, received_ms=2**53 - 1),
    encoded(event_type="watch", watch_time_sec=float("nan")),
    encoded(event_type="watch", watch_time_sec=-1),
    encoded(event_type="watch", watch_time_sec=1e308),
    encoded(event_type="impression", items=[]),
    encoded(event_type="impression", items=[{"item_id": "x", "position": 0}] * 501),
    b"x" * 900_000,
    b"[" * 100_000,
)


def test_poison_goes_to_the_dead_letters_and_the_partition_moves_on(
    environment: dict[str, str], kafka: str, topic_prefix: str, database_url: str, redis_url: str
) -> None:
    with running(environment) as service, client_of(service.url) as client:
        eventually(service.reads_all, describe=service.describe)  # or a batch comes twice
        client.send(10)
        topic = topic_prefix + TOPIC_INTERACTIONS
        producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True})
        for codec in (None, "gzip", "snappy", "lz4", "zstd"):
            sender = producer if codec is None else Producer({"bootstrap.servers": kafka, "compression.type": codec})
            sender.produce(topic, encoded(event_id=f"good-event-{codec}"), key=b"user-1", partition=0)
            sender.flush(20.0)
        for value in POISON:
            producer.produce(topic, value, key=b"user-1", partition=0, headers=[("who", b"\xff")])
        last = encoded(event_id="good-event-last", ts_ms=GOOD["received_ms"] + 300_000)
        producer.produce(topic, last, key=b"user-1", partition=0)
        assert producer.flush(20.0) == 0
        client.send(10)
        check(
            client,
            database_url=database_url,
            redis_url=redis_url,
            within_sec=10.0,
            dead_letters=len(POISON),
            also_counted=6,
        )
        assert dead_values(database_url) == Counter(POISON)
        eventually(
            lambda: service.metric("reco_feature_consumer_processed_total", status="dlq") == len(POISON),
            describe=service.describe,
        )
        eventually(
            lambda: service.metric("reco_feature_consumer_dlq_backlog", status="pending") == len(POISON),
            describe=service.describe,
        )


def test_topic_of_nothing_but_poison(environment: dict[str, str], kafka: str, topic_prefix: str) -> None:
    """The other topics keep up, and what the alerts look at moves."""
    count = 2_000
    with running(environment) as service, client_of(service.url) as client:
        eventually(service.reads_all, describe=service.describe)  # or a batch comes twice
        client.send(10)
        producer = Producer({"bootstrap.servers": kafka})
        for number in range(count):
            producer.produce(topic_prefix + TOPIC_WATCHES, b"{poison", key=b"user-1", partition=number % 2)
        assert producer.flush(20.0) == 0
        client.send(30)
        check_service(client, environment, within_sec=30.0, dead_letters=count)
        assert dead_values(environment["DATABASE_URL"]) == {b"{poison": count}
        eventually(
            lambda: service.metric("reco_feature_consumer_dlq_backlog", status="pending") == count,
            describe=service.describe,
        )
        assert service.metric("reco_feature_consumer_dlq_oldest_pending_ms") > 0
        assert service.metric("reco_feature_consumer_dlq_events_total", outcome="stored") == count
        assert service.metric("reco_feature_consumer_processed_total", status="applied") == 40
        assert service.status("/readyz") == 200


@pytest.mark.slow
def test_topic_recreated_under_a_consumer_that_looked_away(
    environment: dict[str, str], kafka: str, topic_prefix: str, database_url: str, redis_url: str
) -> None:
    """The new topic reaches beyond the old offsets, so that without the topic's id the difference would be skipped."""
    api_and_relay = {**environment, "ROLE": "api,relay"}
    consumer_only = {**environment, "ROLE": "consumer", "HTTP_PORT": str(choose())}
    with running(api_and_relay) as front, client_of(front.url) as client, running(consumer_only) as consumer:
        client.send(20)
        check(client, database_url=database_url, redis_url=redis_url, within_sec=20.0)
        eventually(lambda: lag(consumer, topic_prefix) == 0, describe=consumer.describe)
        consumer.process.send_signal(signal.SIGSTOP)
        recreate(kafka, [topic_prefix + topic for topic in TOPICS])
        client.send(60)
        eventually(lambda: front.metric("reco_outbox_relay_published_total") >= 80, 30.0, front.describe)
        consumer.process.send_signal(signal.SIGCONT)
        check(client, database_url=database_url, redis_url=redis_url, within_sec=60.0)


@pytest.mark.slow
def test_groups_offsets_lost(environment: dict[str, str], database_url: str, redis_url: str) -> None:
    with running({**environment, "ROLE": "api,relay"}) as front, client_of(front.url) as client:
        consumer_only = {**environment, "ROLE": "consumer", "HTTP_PORT": str(choose())}
        with running(consumer_only) as consumer:
            client.send(20)
            check(client, database_url=database_url, redis_url=redis_url, within_sec=20.0)
            assert consumer.terminate() == 0
        client.send(20)
        # A group without offsets is what is left of one whose offsets were lost.
        with running({**consumer_only, "FEATURE_CONSUMER_GROUP": "another"}) as consumer:
            check(client, database_url=database_url, redis_url=redis_url, within_sec=30.0)
            eventually(
                lambda: consumer.metric("reco_feature_consumer_processed_total", status="duplicate") == 20,
                describe=consumer.describe,
            )


def recreate(kafka: str, topics: Sequence[str]) -> None:
    with admin_client(kafka) as admin:
        for future in admin.delete_topics(list(topics)).values():
            future.result(20.0)

        def made() -> bool:
            # The relay may be quicker than we are; either way there is a new topic.
            for future in admin.create_topics([NewTopic(topic, 2, 1) for topic in topics]).values():
                future.exception(20.0)
            return set(topics) <= set(admin.list_topics(timeout=10.0).topics)

        eventually(made, 30.0)


def lag(consumer: Service, topic_prefix: str) -> float:
    return sum(
        consumer.metric("reco_feature_consumer_partition_lag", partition=str(partition), topic=topic_prefix + topic)
        for partition in range(2)
        for topic in TOPICS
    )


@pytest.mark.slow
def test_topic_that_takes_less_than_a_batch_behind_a_slow_line(
    environment: dict[str, str], kafka: str, topic_prefix: str
) -> None:
    """Kafka refuses every batch of several messages: they go one by one, longer than a batch of them may take.

    Each that is acknowledged leaves the outbox, and no row costs an attempt.
    """
    small = {"max.message.bytes": "700"}
    with admin_client(kafka) as admin:
        topics = [NewTopic(topic_prefix + topic, 2, 1, config=small) for topic in TOPICS]
        for made in admin.create_topics(topics).values():
            made.result(10.0)
    impatient = role(environment, "relay", OUTBOX_RELAY_PUBLISH_TIMEOUT_SEC="0.5")
    with running(role(environment, "api,consumer")) as service, client_of(service.url) as client:
        client.send_batch(600)
        with running(impatient, module=SLOW_KAFKA) as relay:
            check_service(client, environment, within_sec=30.0)
            assert relay.metric("reco_outbox_relay_retried_total") == 0
            assert relay.metric("reco_outbox_relay_failed_total") == 0
