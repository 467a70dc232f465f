"""Topics, the relay's rows and the consumer's batches."""

from datetime import datetime

import psycopg
import pytest

from app.core.events import TOPIC_INTERACTIONS, TOPICS
from tests.acceptance.every_setting.world import World
from tests.support.database import ask
from tests.support.service import eventually
from tests.support.topics import members, partitions


@pytest.mark.shows("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TOPIC_PREFIX", "KAFKA_TOPIC_PARTITIONS", "FEATURE_CONSUMER_GROUP")
def test_topics_and_group_are_named_and_made_as_told(world: World) -> None:
    servers, prefix = world.stack.kafka_bootstrap_servers, world.settings.kafka_topic_prefix
    assert partitions(servers, prefix) == {prefix + topic: 3 for topic in TOPICS}
    eventually(lambda: members(servers, f"{prefix}settings-group") == 3, describe=world.describe)


@pytest.mark.shows("OUTBOX_MAX_ATTEMPTS", "OUTBOX_RELAY_BASE_RETRY_SEC", "OUTBOX_RELAY_MAX_RETRY_SEC")
def test_rows_that_kafka_refuses_wait_and_die_as_told(world: World) -> None:
    rows = [world.queue("nowhere", attempts=attempts) for attempts in (0, 4, 6)]
    world.await_counted(world.send())

    def state(start: str) -> tuple[str, int, float]:
        with psycopg.connect(world.database_url) as connection:
            row = connection.execute(
                "SELECT status, attempts, extract(EPOCH FROM available_at - failed_at)::float8 FROM event_outbox "
                "WHERE starts_with(event_id, %s)",
                [start],
            ).fetchone()
        assert row is not None
        return row

    eventually(lambda: state(rows[2])[0] == "dead", describe=world.describe)
    first, fifth = state(rows[0]), state(rows[1])
    assert first[:2] == ("pending", 1)
    assert 500 <= first[2] <= 1000
    assert fifth[:2] == ("pending", 5)
    assert 2500 <= fifth[2] <= 5000


@pytest.mark.shows("OUTBOX_RELAY_POLL_INTERVAL_MS")
def test_rows_without_a_notification_wait_for_the_next_poll(world: World) -> None:
    waiting = "SELECT count(*) FROM event_outbox WHERE status = 'pending' AND attempts = 0"

    def one_waits() -> bool:
        # Right after an outage, such as the start, the relay polls each second whatever the setting.
        world.queue(TOPIC_INTERACTIONS)
        world.await_probes()
        return bool(ask(world.database_url, waiting) > 0)

    eventually(one_waits, 60.0, world.describe)
    # A relay that waits for rows has not stalled, however long it waits.
    progress = world.service.readiness()["tasks"]["outbox-relay"]["last_progress"]
    eventually(
        lambda: world.service.readiness()["tasks"]["outbox-relay"]["last_progress"] != progress,
        describe=world.describe,
    )
    assert ask(world.database_url, waiting) > 0
    world.send()
    eventually(lambda: ask(world.database_url, waiting) == 0, describe=world.describe)


@pytest.mark.shows("OUTBOX_RELAY_BATCH_SIZE", "FEATURE_CONSUMER_MAX_POLL_RECORDS", "FEATURE_CONSUMER_MEMBERS")
def test_batches_of_relay_and_consumer_are_as_small_as_told(world: World) -> None:
    published = world.metric("reco_stage_latency_ms_count", stage="relay_publish")
    world.queue(TOPIC_INTERACTIONS, count=70)
    world.await_counted(world.send())
    eventually(lambda: world.metric("reco_outbox_relay_published_total") > 70, describe=world.describe)
    eventually(
        lambda: world.metric("reco_stage_latency_ms_count", stage="relay_publish") >= published + 10,
        describe=world.describe,
    )
    batches = world.metric("reco_feature_consumer_batch_events_count")
    assert batches > 0
    assert world.metric("reco_feature_consumer_batch_events_bucket", le="5.0") >= batches
    assert {"feature-consumer", "feature-consumer-2", "feature-consumer-3"} <= world.service.readiness()["tasks"].keys()


@pytest.mark.shows("FEATURE_CONSUMER_POLL_TIMEOUT_MS")
def test_an_idle_consumer_waits_for_messages_as_long_as_told(world: World) -> None:
    def progress() -> datetime:
        return datetime.fromisoformat(world.service.readiness()["tasks"]["feature-consumer"]["last_progress"])

    def one_poll_sec() -> float:
        first = progress()
        eventually(lambda: progress() != first, describe=world.describe)
        return (progress() - first).total_seconds()

    eventually(lambda: one_poll_sec() > 1.4, 30.0, world.describe)


@pytest.mark.shows("FEATURE_CONSUMER_MAX_RETRIES_PER_MESSAGE")
def test_a_message_that_postgres_refuses_is_retried_as_often_as_told(world: World) -> None:
    world.execute(
        "CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.event_id = 'refused-event' "
        "THEN RAISE EXCEPTION 'refused' USING ERRCODE = '22003'; END IF; RETURN NEW; END $$; "
        "CREATE TRIGGER refuse_one BEFORE INSERT ON feature_event_consumed FOR EACH ROW EXECUTE FUNCTION refuse_one()"
    )
    retried = world.metric("reco_feature_consumer_processed_total", status="retried")
    world.send(event_id="refused-event")
    letters = "SELECT coalesce(max(attempts), 0) FROM feature_consumer_dlq WHERE event_id = 'refused-event'"
    eventually(lambda: ask(world.database_url, letters) == 7, 30.0, world.describe)
    assert world.metric("reco_feature_consumer_processed_total", status="retried") == retried + 6


@pytest.mark.shows("OUTBOX_RELAY_PUBLISH_TIMEOUT_SEC")
def test_rows_are_released_when_kafka_does_not_acknowledge_in_time(world: World) -> None:
    """The first failure comes sooner than the default time."""
    before = world.metric("reco_outbox_relay_errors_total", kind="kafka")
    world.stack.kafka.pause()
    try:
        world.send()
        eventually(lambda: world.metric("reco_outbox_relay_errors_total", kind="kafka") > before, 9.0, world.describe)
    finally:
        world.stack.restore()
