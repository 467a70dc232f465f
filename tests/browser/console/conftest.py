"""A service with its keys for the tests of each module, which leave events and dead letters in it, and the checker."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest

from app.devstack import Stack
from app.devstack.ports import choose
from tests.browser.console.looking import OPS, OPS_TOKEN, VIEWER, axe_script
from tests.support.database import cloned_database
from tests.support.service import Service, running
from tests.support.topics import delete_topics


@pytest.fixture(scope="package")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_script(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="module")
def console(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    prefix = f"console-{secrets.token_hex(3)}."
    with cloned_database(stack, template_database) as database_url:
        environment = {
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(choose()),
            "DATABASE_URL": database_url,
            "ONLINE_CACHE_REDIS_URL": redis_base_url,
            "KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_TOPIC_PARTITIONS": "2",
            "SHUTDOWN_GRACE_SEC": "0",
            "API_KEYS": f"{OPS.entry()},{VIEWER.entry()}",
            "VARIANTS": '[{"name": "bolder", "share": 0.1, "weights": {"popular_week": 2}}]',
        }
        with running(environment) as service:
            yield service
        delete_topics(stack.kafka_bootstrap_servers, prefix)


@pytest.fixture
def operator() -> dict[str, str]:
    """The headers of a program with the operator's key."""
    return {"x-api-key": OPS_TOKEN}


@pytest.fixture
def poison(console: Service) -> Iterator[int]:
    """How many dead letters there are, more than anybody scrolls through."""
    count = 10_000
    with psycopg.connect(console.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(
            "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, message_key, value, "
            "header_names, header_values, event_id, error_kind, error, attempts) "
            "SELECT 'recsys.interactions.v1', 0, n, 1, 'ann', convert_to('{\"item_id\": ' || n || '}', 'UTF8'), "
            "ARRAY['traceparent'], ARRAY['00-1'::bytea], 'poison-' || n, 'data', "
            "CASE WHEN n % 2 = 0 THEN 'item_id: expected str' ELSE 'ts_ms: expected int' END, 3 "
            f"FROM generate_series(1, {count}) AS n"
        )
        yield count
        database.execute("DELETE FROM feature_consumer_dlq WHERE event_id LIKE 'poison-%'")
