"""Kafka loses messages that nobody has read: it is told, and a replay makes it good."""

import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from app.adapters.topic_settings import OURS
from app.core.events import TOPIC_INTERACTIONS, TOPICS
from app.devstack.ports import choose
from tests.faults.checker import check, client_of
from tests.support.service import ROOT, Service, eventually, running
from tests.support.topics import AdminClient, admin_client

_LOST = 20


def delete(admin: AdminClient, topics: list[str]) -> None:
    for deletion in admin.delete_topics(topics).values():
        deletion.result(20.0)


def expire(admin: AdminClient, topics: list[str]) -> None:
    """As when the topic's retention has passed: the partitions begin where they end."""
    partitions = [
        TopicPartition(topic, number, OFFSET_END)
        for topic in topics
        for number in admin.list_topics(topic, timeout=20.0).topics[topic].partitions
    ]
    for expiry in admin.delete_records(partitions).values():
        expiry.result(20.0)


@pytest.mark.shows("EVENTS_COUNTED_WITHIN_SEC")
@pytest.mark.parametrize("lose", [delete, pytest.param(expire, marks=pytest.mark.slow)])
def test_events_of_lost_messages_are_reported_and_counted_after_a_replay(
    environment: dict[str, str],
    kafka: str,
    topic_prefix: str,
    database_url: str,
    redis_url: str,
    lose: Callable[[AdminClient, list[str]], None],
) -> None:
    front_only = {**environment, "ROLE": "api,relay", "EVENTS_COUNTED_WITHIN_SEC": "1"}
    consumer_only = {**environment, "ROLE": "consumer", "HTTP_PORT": str(choose())}
    with admin_client(kafka) as admin, running(front_only) as front, client_of(front.url) as client:
        client.send(_LOST)
        eventually(lambda: front.metric("reco_outbox_relay_published_total") == _LOST, 20.0, front.describe)
        lose(admin, [topic_prefix + topic for topic in TOPICS])
        with running(consumer_only):
            eventually(lambda: front.metric("reco_events_uncounted") == _LOST, 60.0, front.describe)
            said = front.readiness()["tasks"]["maintenance"]["detail"]
            assert said.startswith(f"{_LOST} accepted events were not counted within 1 s")
            assert "`reco replay events`" in said
            assert reco(environment, "replay", "events", "--older-than", "1s") == (
                f"{_LOST} events were requeued in the outbox.\n"
            )
            check(client, database_url=database_url, redis_url=redis_url, within_sec=60.0)
            eventually(lambda: front.metric("reco_events_uncounted") == 0, 30.0, front.describe)
            assert front.readiness()["tasks"]["maintenance"]["detail"] is None


@pytest.mark.slow
def test_a_topic_that_the_broker_made_anew_is_configured_as_ours_are(
    environment: dict[str, str], kafka: str, topic_prefix: str, database_url: str, redis_url: str
) -> None:
    topic = topic_prefix + TOPIC_INTERACTIONS
    with admin_client(kafka) as admin, running(environment) as service, client_of(service.url) as client:
        client.send(5)
        check(client, database_url=database_url, redis_url=redis_url, within_sec=20.0)
        delete(admin, [topic])
        client.send(5)
        check(client, database_url=database_url, redis_url=redis_url, within_sec=60.0)
        assert OURS.items() <= settings_of(admin, topic).items()
        assert_told_of_a_wrong_setting(service, admin, topic)


def assert_told_of_a_wrong_setting(service: Service, admin: AdminClient, topic: str) -> None:
    compact = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource("topic", topic, incremental_configs=[compact])
    for change in admin.incremental_alter_configs([changed]).values():
        change.result(20.0)
    eventually(
        lambda: service.metric("reco_topic_setting_wrong", topic=topic, setting="cleanup.policy") == 1,
        60.0,
        service.describe,
    )
    said = f"topic {topic}: cleanup.policy=compact; it must be delete"
    eventually(
        lambda: said in (service.readiness()["tasks"]["feature-consumer"]["detail"] or ""), 60.0, service.describe
    )


def settings_of(admin: AdminClient, topic: str) -> dict[str, str]:
    (found,) = admin.describe_configs([ConfigResource("topic", topic)]).values()
    return {name: entry.value for name, entry in found.result(20.0).items()}


def reco(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
