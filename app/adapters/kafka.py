"""Clients of Kafka: the one place that knows aiokafka's options, its errors and what it forgets to bound."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from msgspec import Struct

from app.errors import DependencyDown, UserError, describe

# A message may be a full event (32 KiB) plus what we add to it; a batch of messages is a producer request.
_MAX_REQUEST_BYTES: Final = 1024 * 1024
_REQUEST_TIMEOUT_MS: Final = 10_000
_PROBE_TIMEOUT_SEC: Final = 1.5

# What the broker says of one message or one topic, whatever else is well: the row's own fault, it costs an attempt.
_ROW_FAULTS: Final = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTopicError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)


class KafkaOptions(Struct, frozen=True, kw_only=True):
    bootstrap_servers: str
    client_id: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str = ""
    sasl_password: str = ""
    ssl_cafile: str = ""

    def client_arguments(self) -> dict[str, Any]:
        """The keyword arguments that every client of aiokafka takes."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.bootstrap_servers.split(",") if server.strip()],
            "client_id": self.client_id,
            "request_timeout_ms": _REQUEST_TIMEOUT_MS,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            arguments["ssl_context"] = ssl.create_default_context(cafile=self.ssl_cafile or None)
        if self.security_protocol.startswith("SASL"):
            arguments |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        return arguments


def is_row_fault(error: BaseException) -> bool:
    """True when the broker refuses this message or its topic, false when the broker is what fails."""
    return isinstance(error, _ROW_FAULTS)


async def start_producer(options: KafkaOptions, *, timeout_sec: float) -> AIOKafkaProducer:
    """An idempotent producer that waits for all replicas. Raises `DependencyDown`."""
    producer = AIOKafkaProducer(
        **options.client_arguments(),
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        linger_ms=0,  # a relay's batch fills the producer's batches by itself
        max_batch_size=256 * 1024,
        max_request_size=_MAX_REQUEST_BYTES,
        retry_backoff_ms=100,
    )
    return await _start(producer, timeout_sec)


async def start_consumer(
    options: KafkaOptions, *, group: str, timeout_sec: float, max_poll_interval_ms: int = 300_000
) -> AIOKafkaConsumer:
    """A consumer whose offsets we commit ourselves, from the earliest on. Subscribe it after. Raises `DependencyDown`."""
    consumer = AIOKafkaConsumer(
        **options.client_arguments(),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_interval_ms=max_poll_interval_ms,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=3_000,
        fetch_max_wait_ms=100,
        retry_backoff_ms=100,
    )
    return await _start(consumer, timeout_sec)


async def stop_client(client: AIOKafkaProducer | AIOKafkaConsumer, *, timeout_sec: float) -> None:
    """Stops a client; one that cannot say goodbye to its broker in time is left to the garbage collector."""
    try:
        async with asyncio.timeout(timeout_sec):
            await client.stop()
    except (TimeoutError, KafkaError, OSError):
        pass


async def ensure_topics(
    options: KafkaOptions, topics: Sequence[str], *, partitions: int, replication_factor: int, timeout_sec: float
) -> list[str]:
    """Creates the topics that are missing and returns their names.

    Raises `DependencyDown` when the broker is away, and `UserError` when it is there but refuses.
    """
    admin = AIOKafkaAdminClient(**options.client_arguments())
    try:
        async with asyncio.timeout(timeout_sec):
            await admin.start()
            missing = sorted(set(topics) - set(await admin.list_topics()))
            if missing:
                answer = await admin.create_topics([NewTopic(name, partitions, replication_factor) for name in missing])
                for topic, code, *message in answer.topic_errors:
                    if code not in (0, TopicAlreadyExistsError.errno):
                        raise UserError(
                            f"Topic {topic} is missing and cannot be created (Kafka error {code} {message}). "
                            f"Create it with {partitions} partitions, or allow this client to."
                        )
    except (KafkaError, OSError) as error:
        raise DependencyDown("kafka", describe(error)) from error
    finally:
        await _close_admin(admin)
    return missing


class KafkaProbe:
    """Asks for fresh metadata on a connection of its own."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._client: AIOKafkaClient | None = None

    async def __call__(self) -> None:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_SEC):
                if self._client is None:
                    self._client = AIOKafkaClient(**self._options.client_arguments())
                    await self._client.bootstrap()
                await self._client.fetch_all_metadata()
        except (KafkaError, OSError) as error:
            await self.close()
            raise DependencyDown("kafka", describe(error)) from error

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def headers_of(fields: Mapping[str, str | None]) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in fields.items() if value]


async def _start(client: Any, timeout_sec: float) -> Any:
    try:
        async with asyncio.timeout(timeout_sec):
            await client.start()
    except (KafkaError, OSError) as error:
        await stop_client(client, timeout_sec=1.0)
        raise DependencyDown("kafka", describe(error)) from error
    except BaseException:
        await stop_client(client, timeout_sec=1.0)
        raise
    return client


async def _close_admin(admin: AIOKafkaAdminClient) -> None:
    try:
        async with asyncio.timeout(1.0):
            await admin.close()
    except (TimeoutError, KafkaError, OSError):
        pass
