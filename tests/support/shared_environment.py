"""The settings of a service that several tests share, with a database and topics of its own."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.devstack import Stack
from app.devstack.ports import choose
from tests.support.database import cloned_database
from tests.support.topics import delete_topics

PATIENT: Final = {
    "HTTP_REQUEST_TIMEOUT_SEC": "15",
    "INGEST_TIMEOUT_SEC": "20",
    "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "10",
}
"""A machine that is busy with other tests may take long for a large batch, or let Redis wait: no reason for a 503."""


@contextmanager
def shared_environment(
    stack: Stack, template_database: str, redis_url: str, name: str, **settings: str
) -> Iterator[dict[str, str]]:
    """As the environment of a process; database and topics are gone afterwards. `settings` come on top."""
    prefix = f"{name}-{secrets.token_hex(3)}."
    with cloned_database(stack, template_database) as database_url:
        yield {
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(choose()),
            "DATABASE_URL": database_url,
            "ONLINE_CACHE_REDIS_URL": redis_url,
            "KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_TOPIC_PARTITIONS": "2",
            "SHUTDOWN_GRACE_SEC": "0",
            **PATIENT,
            **settings,
        }
        delete_topics(stack.kafka_bootstrap_servers, prefix)
