"""Asks each dependency for its version, latency, permissions and clock, as this host and these settings see it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import asyncpg
import psycopg
from redis.exceptions import RedisError

from app.adapters import audit, building, generations, migrations, poolers, schema_check, sequences
from app.adapters.direct_url import check_direct_url
from app.adapters.kafka import KafkaOptions, TopicOptions, how_to_create, read_topic_settings
from app.adapters.kafka_bounds import silence_abandoned_tasks
from app.adapters.kafka_probe import check_listening, describe_cluster
from app.adapters.pooled_connection import SESSIONLESS
from app.adapters.postgres_connect import Connector
from app.adapters.postgres_errors import DRIVER_ERRORS
from app.adapters.read_replica import LogPosition, is_replay_paused, position_of
from app.adapters.redis_client import close_redis, open_redis
from app.adapters.redis_histories import RedisHistoryCache
from app.adapters.topic_settings import RETENTION_MS, kept_too_long, wrong_settings
from app.checks import findings, redis_cluster
from app.checks.findings import Finding
from app.core import cache_entry
from app.core.redis_url import cluster_of
from app.daemon import in_daemon
from app.errors import DependencyDown, UserError, describe

_TIMEOUT_SEC: Final = 5.0
# A statement may wait for a lock that somebody holds, or for a server that is frozen.
_STATEMENT_SEC: Final = 30.0
_POLL_SEC: Final = 0.05
_POSTGRES_AT_LEAST: Final = 150_000
_TABLES: Final = (
    "events",
    "event_outbox",
    "feature_event_consumed",
    "feature_consumer_dlq",
    "item_stats",
    "user_history",
    "item_pairs",
    "feature_generations",
    "items",
    "cache_epoch",
    "table_walks",
    "audit_log",
)
# A list of privileges in one call of has_table_privilege means any of them.
_MAY_ALL: Final = (
    "SELECT bool_and(has_table_privilege($1, may)) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS may"
)
_REDIS_KEY: Final = "reco:doctor:"


async def pooler(url: str, direct_url: str, *, has_sessions: bool) -> AsyncIterator[Finding]:
    """`url`: of DATABASE_URL. `has_sessions`: it leads to no pooler in transaction mode, as the settings say."""
    try:
        async with _asked(url) as connection:
            version = await connection.fetchval("SHOW server_version")
        check = partial(check_direct_url, url, direct_url, has_sessions=has_sessions)
        await in_daemon(check, within_sec=_STATEMENT_SEC)
    except (*DRIVER_ERRORS, psycopg.Error, DependencyDown) as error:
        yield Finding("FAIL", "pooler", describe(error), "check DATABASE_URL, and that the pooler runs")
    except UserError as error:
        yield Finding("FAIL", "pooler", str(error), "see docs/scaling.md, poolers")
    else:
        yield Finding("ok", "pooler", f"runs statements on version {version}")


async def replica(url: str, primary_url: str, *, has_sessions: bool, max_lag_sec: float) -> AsyncIterator[Finding]:
    """`url`: of DATABASE_READ_URL. `has_sessions`: it leads to no pooler in transaction mode, as the settings say.
    `max_lag_sec`: DATABASE_READ_MAX_LAG_SEC.
    """
    primary = None
    with contextlib.suppress(*DRIVER_ERRORS, DependencyDown):  # it has a finding of its own
        async with _asked(primary_url) as connection:
            primary = await position_of(connection)
    waits_sec = min(max_lag_sec, _TIMEOUT_SEC)
    ends = time.monotonic() + waits_sec
    try:
        async with _asked(url) as connection, _asked(url) as another:
            found = await position_of(connection)
            if has_sessions:
                await poolers.check_reads(connection, another)
            is_paused = await is_replay_paused(connection)
            while not is_paused and _lacks(found, primary) and time.monotonic() < ends:
                await asyncio.sleep(_POLL_SEC)
                found = await position_of(connection)
    except (*DRIVER_ERRORS, DependencyDown) as error:
        remedy = "reads go to the primary meanwhile; check DATABASE_READ_URL, and that the replica runs"
        yield Finding("warn", "replica", describe(error), remedy)
        return
    behind = 0 if primary is None else max(0, primary.position - found.position)
    if primary is not None and found.cluster != primary.cluster:
        text = "another database than that of DATABASE_URL, or not a streaming replica of it"
        yield Finding("FAIL", "replica", text, "correct DATABASE_READ_URL")
    elif is_paused:
        yield Finding("warn", "replica", "its replay is paused", "run SELECT pg_wal_replay_resume() on it")
    elif primary is None:
        text = "answers; by how much it is behind is not known, since the primary does not answer"
        yield Finding("warn", "replica", text, "see what is said of postgres")
    elif behind and waits_sec == max_lag_sec:
        text = f"is behind by more than the {max_lag_sec:g} s of DATABASE_READ_MAX_LAG_SEC, and by {behind:,} bytes"
        remedy = "reads go to the primary meanwhile; see pg_stat_replication there, and what runs on the replica"
        yield Finding("warn", "replica", text, remedy)
    else:
        yield Finding("ok", "replica", f"has replayed the log up to the last {behind:,} bytes")


def _lacks(found: LogPosition, primary: LogPosition | None) -> bool:
    return primary is not None and found.cluster == primary.cluster and found.position < primary.position


@asynccontextmanager
async def _asked(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await Connector(url).connect(timeout=_TIMEOUT_SEC, command_timeout=_STATEMENT_SEC, **SESSIONLESS)
    try:
        yield connection
    finally:
        connection.terminate()


async def postgres(url: str, pool_size: int) -> AsyncIterator[Finding]:
    """`url`: where there are sessions. `pool_size`: connections that one process opens at most."""
    try:
        async with asyncio.timeout(_TIMEOUT_SEC):
            connection = await Connector(url).connect(timeout=_TIMEOUT_SEC, command_timeout=_STATEMENT_SEC)
    except (*DRIVER_ERRORS, DependencyDown) as error:
        remedy = "check the host, port, user, password and database of DATABASE_URL, and that the server runs"
        yield Finding("FAIL", "postgres", describe(error), remedy)
        return
    try:
        (await in_daemon(migrations.connect, url, within_sec=_STATEMENT_SEC)).close()
        async for finding in _postgres(connection, url, pool_size):
            yield finding
    except TimeoutError:
        text = f"a statement had no answer within {_STATEMENT_SEC:g} s"
        yield Finding("FAIL", "postgres", text, "see in pg_stat_activity who holds its tables")
    except (*DRIVER_ERRORS, psycopg.Error, DependencyDown) as error:
        yield Finding("FAIL", "postgres", describe(error), "see the server's log")
    except UserError as error:
        yield Finding("FAIL", "postgres", str(error), "see docs/scaling.md, poolers")
    finally:
        connection.terminate()


async def _postgres(
    connection: "asyncpg.Connection[asyncpg.Record]", url: str, pool_size: int
) -> AsyncIterator[Finding]:
    number = int(await connection.fetchval("SHOW server_version_num"))
    version = await connection.fetchval("SHOW server_version")
    if number >= _POSTGRES_AT_LEAST:
        yield Finding("ok", "postgres", f"version {version}")
    else:
        yield Finding("FAIL", "postgres", f"version {version}", "upgrade to PostgreSQL 15 or later")
    yield findings.encoding(await connection.fetchval("SHOW server_encoding"))
    started = time.time()
    theirs = float(await connection.fetchval("SELECT extract(EPOCH FROM clock_timestamp())::float8"))
    ended = time.time()
    yield findings.latency("postgres", (ended - started) * 1000)
    yield findings.clock("postgres", theirs - (started + ended) / 2)
    if await connection.fetchval("SHOW transaction_read_only") == "on":
        yield Finding("FAIL", "postgres", "read-only", "point DATABASE_URL at the primary")
    limit = int(await connection.fetchval("SHOW max_connections"))
    fits = limit // (pool_size + 4)
    text = f"max_connections {limit}: enough for {fits} processes with {pool_size} pool connections and 4 others each"
    if fits >= 3:
        yield Finding("ok", "postgres", text)
    else:
        yield Finding("warn", "postgres", text, "raise max_connections, or lower DB_POOL_MAX_SIZE")
    schema = await in_daemon(schema_check.check, url, within_sec=_STATEMENT_SEC)
    for error in schema.errors:
        yield Finding("FAIL", "schema", error, "see `reco migrate --check`")
    if schema.pending:
        yield Finding("warn", "schema", f"not applied yet: {', '.join(schema.pending)}", "run `reco migrate`")
        return
    if not schema.errors:
        yield Finding("ok", "schema", "matches the migrations")
    refused = [table for table in _TABLES if not await connection.fetchval(_MAY_ALL, table)]
    if refused:
        remedy = "grant SELECT, INSERT, UPDATE and DELETE on them to the user of DATABASE_URL"
        yield Finding("FAIL", "postgres", f"no full access to {', '.join(refused)}", remedy)
    if numbers := await sequences.refused(connection):
        remedy = "grant SELECT and UPDATE on these sequences to the user of DATABASE_URL"
        yield Finding("FAIL", "postgres", f"no full access to {', '.join(numbers)}", remedy)
    if refused:
        return  # what follows reads them
    if not numbers:
        yield Finding("ok", "postgres", "may read and write the tables and sequences")
    yield findings.generation(await generations.serving(connection))
    if unfinished := await generations.building(connection):
        text = f"the rebuild of generation {unfinished[0]} is unfinished: no item that is gone is removed until it ends"
        yield Finding("warn", "sums", text, "go on with `reco rebuild`, or give it up with `reco rebuild --drop`")
    elif left := await building.schemas(connection):
        yield findings.left_by_rebuild(left)
    for key in await audit.exposed_keys(connection):
        text = f"pages in browsers use the key {key}, so anybody can have it"
        remedy = "give them one of the scope browser (docs/browsers.md), and replace this one"
        yield Finding("warn", "keys", text, remedy)


async def kafka(
    options: KafkaOptions, topics: Sequence[str], made: TopicOptions, *, dedupe_days: float
) -> AsyncIterator[Finding]:
    """`topics`: those that the service uses, by their full names. `made`: how it makes them. `dedupe_days`: for how
    long it is known which events were counted.
    """
    silence_abandoned_tasks(asyncio.get_running_loop())
    try:
        await check_listening(options, timeout_sec=_TIMEOUT_SEC)
    except DependencyDown as error:
        yield Finding("FAIL", "kafka", error.reason, "start Kafka, or correct KAFKA_BOOTSTRAP_SERVERS")
        return
    started, asked = time.perf_counter(), "cluster metadata"
    try:
        cluster = await describe_cluster(options, timeout_sec=_TIMEOUT_SEC)
        took_ms, asked = (time.perf_counter() - started) * 1000, "settings of topics"
        settings_of = await read_topic_settings(options, topics, timeout_sec=_TIMEOUT_SEC)
    except DependencyDown as error:
        remedy = (
            "see the broker's log; check KAFKA_SECURITY_PROTOCOL and the KAFKA_SASL_* settings, and that the broker's"
        )
        yield Finding(
            "FAIL",
            "kafka",
            f"accepts connections but returns no {asked}: {error.reason}",
            f"{remedy} advertised address can be reached from here",
        )
        return
    yield Finding("ok", "kafka", f"{cluster.brokers} brokers; connects in {took_ms:.0f} ms")
    for topic in topics:
        count = cluster.partitions.get(topic)
        if count:
            yield Finding("ok", "kafka", f"{topic}: {count} partitions, so at most {count} consumers share the work")
        else:
            remedy = f"feature-consumer creates it at start if it has the permission. Otherwise: {how_to_create(made)}"
            yield Finding("warn", "kafka", f"{topic}: does not exist, or this user may not see it", remedy)
    for topic, settings in settings_of.items():
        for wrong in wrong_settings(topic, settings):
            yield Finding("FAIL", "kafka", str(wrong), "change it with kafka-configs.sh, or remove it to have ours set")
        if (kept_ms := kept_too_long(settings, dedupe_days)) is not None:
            text = (
                f"topic {topic}: retention.ms={kept_ms} is longer than RETENTION_DEDUPE_DAYS less the 7 days that an "
                "event may be late: if the offsets are lost, what is older is counted twice"
            )
            yield Finding("warn", "kafka", text, f"set it to {RETENTION_MS}, or raise RETENTION_DEDUPE_DAYS")


async def redis(url: str, timeout_sec: float, *, key_prefix: str) -> AsyncIterator[Finding]:
    if (address := cluster_of(url)) is not None:
        async for finding in redis_cluster.examine(address, timeout_sec, key_prefix=key_prefix):
            yield finding
        return
    client: Any = open_redis(url, timeout_sec=timeout_sec)
    try:
        await client.ping()  # connects first: requests use open connections
        started = time.time()
        seconds, micros = await client.time()
        ended = time.time()
        server = await client.info("server")
        yield Finding("ok", "redis", f"version {server['redis_version']}")
        yield findings.latency("redis", (ended - started) * 1000)
        yield findings.clock("redis", seconds + micros / 1e6 - (started + ended) / 2)
        await _use_as_cache(url, timeout_sec, key_prefix + _REDIS_KEY)
        yield Finding("ok", "redis", "may write and delete")
        memory = await client.info("memory")
        if memory.get("maxmemory") and memory.get("maxmemory_policy") == "noeviction":
            yield Finding("warn", "redis", "noeviction: refuses writes when full", "set maxmemory-policy allkeys-lru")
    except (RedisError, OSError, TimeoutError, DependencyDown) as error:
        remedy = "check ONLINE_CACHE_REDIS_URL; ONLINE_CACHE_BACKEND=memory runs without Redis meanwhile"
        yield Finding("FAIL", "redis", error.reason if isinstance(error, DependencyDown) else describe(error), remedy)
    finally:
        await close_redis(client)


async def _use_as_cache(url: str, timeout_sec: float, key_prefix: str) -> None:
    """Runs all commands that the service does. Raises `DependencyDown`."""

    async def confirm(server: str, went_back: bool) -> bytes:
        return bytes(cache_entry.EPOCH_BYTES)

    cache = RedisHistoryCache(url, key_prefix=key_prefix, ttl_sec=10.0, timeout_sec=timeout_sec, confirm=confirm)
    try:
        await cache.probe()
        await cache.get_many(["doctor"])
    finally:
        await cache.close()
