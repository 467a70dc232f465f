"""One process for all tests of this folder: every setting that can be changed beside the others is changed."""

import secrets
from collections.abc import Iterator

import pytest
import redis

from app.devstack import Stack
from app.devstack.ports import choose
from app.settings import Settings
from tests.acceptance.every_setting.world import ADMIN, BROWSER, NEXT_USER_SECRET, READ, USER_SECRET, WRITE, World
from tests.faults.proxy import proxied_url
from tests.support.database import cloned_database
from tests.support.service import running
from tests.support.topics import delete_topics


@pytest.fixture(scope="package")
def world(
    stack: Stack, template_database: str, redis_base_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with redis.Redis.from_url(redis_base_url) as cache:
        cache.flushdb()
    key_file = tmp_path_factory.mktemp("keys") / "keys"
    key_file.write_text(f"{WRITE.entry()}\n{READ.entry()}\n{BROWSER.entry()}\n")
    secret_file = key_file.with_name("user-token-secrets")
    secret_file.write_text(f"# the next one\n{NEXT_USER_SECRET}\n")
    prefix = f"settings-{secrets.token_hex(3)}."
    with (
        cloned_database(stack, template_database) as database_url,
        proxied_url(redis_base_url) as (redis_proxy, redis_url),
    ):
        environment = {
            "LOG_FORMAT": "console",
            "LOG_LEVEL": "DEBUG",
            "SHUTDOWN_TIMEOUT_SEC": "4",
            "SHUTDOWN_GRACE_SEC": "6",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(choose()),
            "HTTP_REUSE_PORT": "true",
            "HTTP_REQUEST_TIMEOUT_SEC": "40",
            "CORS_ALLOW_ORIGINS": "https://shop.example",
            "API_KEYS": ADMIN.entry(),
            "API_KEYS_FILE": str(key_file),
            "API_KEYS_IN_QUERY": "true",
            "HTTP_TRUSTED_PROXIES": "127.0.0.0/8",
            "USER_TOKEN_SECRETS": f"{'o' * 32},{USER_SECRET}",
            "USER_TOKEN_SECRETS_FILE": str(secret_file),
            "BROWSER_CATALOGUE_ONLY": "false",
            "BROWSER_REQUESTS_PER_MINUTE": "5",
            "BROWSER_NEW_VISITORS_PER_MINUTE": "2",
            "RATE_LIMIT_REQUESTS": "1000",
            "RATE_LIMIT_WINDOW_SEC": "3600",
            "DATABASE_URL": database_url,
            "DB_POOL_MIN_SIZE": "6",
            "DB_POOL_MAX_SIZE": "10",
            "DB_CONNECT_TIMEOUT_SEC": "25",
            "DB_STATEMENT_TIMEOUT_MS": "30000",
            "DB_LOCK_TIMEOUT_MS": "25000",
            "KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_TOPIC_PARTITIONS": "3",
            "INGEST_MAX_PENDING_EVENTS": "50",
            "INGEST_FLUSH_MAX_EVENTS": "10",
            "INGEST_FLUSHERS": "3",
            "INGEST_TIMEOUT_SEC": "35",
            "EVENT_TIMES": "keep",
            "OUTBOX_MAX_ATTEMPTS": "7",
            "OUTBOX_RELAY_POLL_INTERVAL_MS": "3600000",
            "OUTBOX_RELAY_BATCH_SIZE": "7",
            "OUTBOX_RELAY_BASE_RETRY_SEC": "1000",
            "OUTBOX_RELAY_MAX_RETRY_SEC": "5000",
            "OUTBOX_RELAY_PUBLISH_TIMEOUT_SEC": "1",
            "FEATURE_CONSUMER_GROUP": "settings-group",
            "FEATURE_CONSUMER_MEMBERS": "3",
            "FEATURE_CONSUMER_POLL_TIMEOUT_MS": "1500",
            "FEATURE_CONSUMER_MAX_POLL_RECORDS": "5",
            "FEATURE_CONSUMER_MAX_RETRIES_PER_MESSAGE": "6",
            "ONLINE_CACHE_STRICT_BACKEND": "true",
            "ONLINE_CACHE_REDIS_URL": redis_url,
            "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "20",
            "ONLINE_CACHE_KEY_PREFIX": "shop-a.",
            "ONLINE_CACHE_MEMORY_MAX_KEYS": "10",
            "ONLINE_CACHE_HISTORY_TTL_SEC": "200000",
            "ONLINE_CACHE_RELATED_TTL_SEC": "1",
            "ONLINE_CACHE_POPULARITY_TTL_SEC": "3600",
            "EXPLORATION_SHARE": "0.5",
            "EXPLORATION_SEED": "summer",
            "VARIANTS": '[{"name": "bolder", "share": 0.5, "weights": {"popular_week": 2}}]',
        }
        with running(environment) as service:
            yield World(service, Settings.from_env(environment), redis_proxy, stack, secret_file)
        delete_topics(stack.kafka_bootstrap_servers, prefix)
