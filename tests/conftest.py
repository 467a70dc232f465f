"""The real servers for all tests: started once a session, separated for each test.

A test gets a database cloned from a migrated template, a Redis database of its own and a prefix for Kafka's topics and
group. Servers named by DATABASE_URL, ONLINE_CACHE_REDIS_URL or KAFKA_BOOTSTRAP_SERVERS are used instead of ours.
`scripts/test -n auto` runs two workers (pytest-xdist), each a session with servers of its own.
"""

import itertools
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePosixPath
from typing import Any, Final

import asyncpg
import pytest
import redis
import structlog
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from xdist.scheduler import LoadScopeScheduling

from app.adapters.migrations import migrate
from app.devstack import Stack
from app.devstack.ports import choose
from app.devstack.stack import DATABASE_URL, KAFKA, REDIS_URL
from app.settings import Settings
from tests.support import forked
from tests.support.database import cloned_database, create_database, drop_database, url_of
from tests.support.service import eventually
from tests.support.topics import delete_topics, has_brokers

# A shell starts background jobs with SIGINT ignored, and children inherit that: they could not be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asserts a time: what is slow may be the machine.
hypothesis_settings.register_profile("reco", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("reco")

_OWN_SERVERS: Final = 3
_numbers: Final = itertools.count(1)
_WORKERS: Final = 2
_MODULE_PARTS: Final = 3


def pytest_xdist_auto_num_workers() -> int:
    """Two workers, since most tests wait for a service. None for servers given by URL: they cannot be shared."""
    given = any(os.environ.get(name, "").strip() for name in (DATABASE_URL, REDIS_URL, KAFKA))
    return 0 if given else _WORKERS


class _Together(LoadScopeScheduling):
    """One worker runs all tests that may share a fixture: those of a module, or of a folder with a conftest."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """`tests/kind/test_module.py` is a module by itself; deeper ones go with their folder."""
    path = PurePosixPath(nodeid.partition("::")[0])
    return str(path if len(path.parts) <= _MODULE_PARTS else path.parent)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Our own: `--dist=loadgroup` of pytest-xdist 3.8 groups nothing with pytest 9.2, whose ids it cannot change."""
    return _Together(config, log)


@pytest.fixture(autouse=True)
def _default_logs() -> Iterator[None]:
    """A command that runs in the test's own process sets up the logs; the next test begins with the defaults."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _same_interpreter() -> Iterator[None]:
    """A command or a tool that runs in the test's own process changes how deep it recurses and how threads switch."""
    limit, interval = sys.getrecursionlimit(), sys.getswitchinterval()
    yield
    sys.setrecursionlimit(limit)
    sys.setswitchinterval(interval)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The servers. A test that harms them uses `breakable_stack`."""
    forked.begin()
    with Stack.throwaway() as stack:
        yield stack


@pytest.fixture
def breakable_stack(stack: Stack) -> Iterator[Stack]:
    """The same servers for a test that kills or freezes them; all of them run again afterwards."""
    if len(stack.servers) < _OWN_SERVERS:
        pytest.skip("the servers were given by URL, so they are not ours to break")
    yield stack
    stack.restore()
    eventually(lambda: has_brokers(stack.kafka_bootstrap_servers), describe=stack.kafka.log_tail)


@pytest.fixture(scope="session")
def template_database(stack: Stack) -> Iterator[str]:
    name = f"reco_template_{secrets.token_hex(4)}"
    create_database(stack, name)
    migrate(url_of(stack, name))
    yield name
    drop_database(stack, name)


@pytest.fixture
def database_url(stack: Stack, template_database: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    with cloned_database(stack, template_database) as url:
        yield url


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=8) as pool:
        yield pool


@pytest.fixture(scope="session")
def redis_base_url(stack: Stack) -> Iterator[str]:
    with redis.Redis.from_url(stack.redis_url) as client:
        if client.dbsize():
            # The tests empty it: never one that somebody uses.
            pytest.exit("the database of ONLINE_CACHE_REDIS_URL holds keys; the tests need an empty one", returncode=2)
    yield stack.redis_url
    with redis.Redis.from_url(stack.redis_url) as client:
        client.flushdb()


@pytest.fixture
def redis_url(redis_base_url: str) -> str:
    """A Redis database that is empty at the start of the test."""
    with redis.Redis.from_url(redis_base_url) as client:
        client.flushdb()
    return redis_base_url


@pytest.fixture
def topic_prefix(stack: Stack) -> Iterator[str]:
    """Goes before the names of the topics and of the group, for KAFKA_TOPIC_PREFIX; the topics are removed after."""
    prefix = f"t{next(_numbers)}-{secrets.token_hex(3)}."
    yield prefix
    delete_topics(stack.kafka_bootstrap_servers, prefix)


@pytest.fixture
def kafka(stack: Stack) -> str:
    """The bootstrap servers; use `topic_prefix` with them."""
    return stack.kafka_bootstrap_servers


@pytest.fixture
def environment(database_url: str, redis_url: str, kafka: str, topic_prefix: str) -> dict[str, str]:
    """Settings of a whole service of the test's own, as the environment of a process."""
    return {
        "APP_ENV": "test",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(choose()),
        "DATABASE_URL": database_url,
        "ONLINE_CACHE_REDIS_URL": redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "KAFKA_TOPIC_PARTITIONS": "2",
        "FEATURE_CONSUMER_GROUP": f"{topic_prefix}group",
        "SHUTDOWN_GRACE_SEC": "0",
    }


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    """The same, read."""
    return Settings.from_env(environment)
