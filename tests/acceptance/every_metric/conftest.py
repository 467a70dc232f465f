"""One scripted run of a whole service, recorded once for all tests of this folder."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
import redis

from app.core.events import TOPIC_INTERACTIONS
from app.devstack import Stack
from app.devstack.ports import choose
from tests.acceptance.every_metric import faults, ranking, traffic
from tests.acceptance.every_metric.recording import Recording
from tests.acceptance.every_metric.run import ADMIN, BROWSER, READ, WRITE, Run
from tests.support.damaged_log import break_checksum, damage_log, log_of, make_topics, produce
from tests.support.database import cloned_database
from tests.support.service import running
from tests.support.topics import delete_topics

_OWN_SERVERS = 3
STEPS = {
    "traffic": traffic.traffic,
    "refusals": traffic.refusals,
    "key file": traffic.key_file_breaks,
    "messages": traffic.messages,
    "operators": traffic.operators,
    "dead rows": traffic.dead_rows,
    "crash": faults.crash,
    "wrong topic setting": faults.wrong_topic_setting,
    "old rows": traffic.old_rows,
    "ranking": ranking.ranking_behind,
    "lag": faults.lag,
    "lock": faults.lock,
    "slow statement": faults.slow_statement,
    "lost event": faults.lost_event,
    "redis": faults.redis,
    "cache choice": faults.cache_chosen,
    "topic setting": faults.topic_setting,
    "kafka": faults.kafka_away,
    "postgres": faults.postgres,
    "kpis": traffic.kpis,
    "late heads": traffic.late_heads,
}


@pytest.fixture(scope="package")
def recording(
    stack: Stack, template_database: str, redis_base_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recording]:
    if len(stack.servers) < _OWN_SERVERS:
        pytest.skip("the servers were given by URL, so they are not ours to break")
    with redis.Redis.from_url(redis_base_url) as cache:
        cache.flushdb()
    key_file = tmp_path_factory.mktemp("keys") / "keys"
    key_file.write_text("\n".join(key.entry() for key in (ADMIN, WRITE, READ, BROWSER)))
    prefix = f"metrics-{secrets.token_hex(3)}."
    make_topics(stack.kafka_bootstrap_servers, prefix)
    asyncio.run(produce(stack.kafka_bootstrap_servers, prefix + TOPIC_INTERACTIONS, 0, ["event-damaged"]))
    damage_log(log_of(stack, prefix + TOPIC_INTERACTIONS, 0), b"event-damaged", break_checksum)
    with cloned_database(stack, template_database) as database_url:
        expire(database_url)
        environment = {
            "APP_ENV": "test",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(choose()),
            "DATABASE_URL": database_url,
            "DB_STATEMENT_TIMEOUT_MS": "2000",
            "ONLINE_CACHE_REDIS_URL": redis_base_url,
            "KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": prefix,
            "API_KEYS_FILE": str(key_file),
            "BROWSER_REQUESTS_PER_MINUTE": "5",
            "BROWSER_NEW_VISITORS_PER_MINUTE": "3",
            "RATE_LIMIT_REQUESTS": "800",
            "RATE_LIMIT_WINDOW_SEC": "3600",  # however slow the client is
            "INGEST_MAX_PENDING_EVENTS": "20",
            "EVENT_TIMES": "keep",
            "EVENTS_COUNTED_WITHIN_SEC": "5",
            "FEATURE_CONSUMER_THIN_PAIRS_LAG": "10000",
            "OUTBOX_MAX_ATTEMPTS": "2",
            "OUTBOX_RELAY_BASE_RETRY_SEC": "0.1",
            "SHUTDOWN_GRACE_SEC": "0",
            "HTTP_MAX_CONNECTIONS": "50",
        }
        try:
            with running(environment) as service, ExitStack() as connections:
                run = Run(service, stack, environment, key_file, connections)
                for name, step in STEPS.items():
                    with run.recording.step(name):
                        step(run)
                assert service.terminate() == 0, service.log()
        finally:
            stack.restore()
        yield run.recording
    delete_topics(stack.kafka_bootstrap_servers, prefix)


def expire(database_url: str) -> None:
    """A row in each table whose time is over."""
    old = "now() - interval '40 days'"
    rows = {
        "events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at)": (
            f"'old', 'view', 'u', 's', 1, '', '{{}}', {old}"
        ),
        "feature_event_consumed (event_id, consumed_at)": f"'old', {old}",
        "event_outbox (event_id, topic, message_key, payload, status, created_at, resolved_at)": (
            f"'old', 't', 'k', '', 'discarded', {old}, {old}"
        ),
        "feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, error_kind, error, attempts, status, "
        "created_at, resolved_at)": f"'t', 0, -1, 1, 'k', 'e', 1, 'discarded', {old}, {old}",
        "sessions (session_id, user_id, started_ms, created_at)": f"'old', 'ann', 1, {old}",
    }
    with psycopg.connect(database_url, autocommit=True) as database:
        for columns, values in rows.items():
            database.execute(f"INSERT INTO {columns} VALUES ({values})".encode())
