"""A service with its keys and a browser, for all tests of the console."""

import secrets
from collections.abc import Iterator

import pytest

from app.devstack import Stack
from app.devstack.ports import choose
from tests.browser.console.looking import OPS, VIEWER, axe_script
from tests.support.database import cloned_database
from tests.support.service import Service, running
from tests.support.topics import delete_topics


@pytest.fixture(scope="package")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_script(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="package")
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
