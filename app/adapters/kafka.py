"""Clients of Kafka: the one place that knows aiokafka's options and its errors."""

import contextlib
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import OffsetAndMetadata
from msgspec import Struct

from app.adapters import topic_settings
from app.adapters.kafka_bounds import FETCH_WAIT_MS, bounded, stop_consumer, stop_producer
from app.adapters.kafka_tokens import Tokens
from app.errors import DependencyDown, UserError, describe

# A message may be a full event (32 KiB) plus what we add to it; a batch of messages is a producer request.
_MAX_REQUEST_BYTES: Final = 1024 * 1024
_REQUEST_TIMEOUT_MS: Final = 10_000
_CLOSE_TIMEOUT_SEC: Final = 1.0

# The broker says these of one message or one topic. They are errors of the row itself, and each costs an attempt.
_ROW_ERRORS: Final = (
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
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    ssl_key_password: str = ""
    tokens: Tokens | None = None

    def client_arguments(self) -> dict[str, Any]:
        """The keyword arguments that every client of aiokafka takes. Certificates are read each time, since they are
        replaced while the service runs. Raises `UserError` when they cannot be read.
        """
        arguments: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.bootstrap_servers.split(",") if server.strip()],
            "client_id": self.client_id,
            "request_timeout_ms": _REQUEST_TIMEOUT_MS,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            arguments["ssl_context"] = self._ssl_context()
        if self.security_protocol.startswith("SASL"):
            arguments |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
                "sasl_oauth_token_provider": self.tokens,
            }
        return arguments

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ssl_cafile or None)
            if self.ssl_certfile:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile or None, self.ssl_key_password)
        except OSError as error:  # ssl.SSLError too
            raise UserError(f"The certificates for Kafka (KAFKA_SSL_*) cannot be read: {describe(error)}") from error
        return context


class TopicOptions(Struct, frozen=True, kw_only=True):
    """How the topics are named (their names after the prefix) and made where they are missing."""

    prefix: str = ""
    partitions: int = 6
    replication_factor: int = 1


def is_row_error(error: BaseException) -> bool:
    """True when the broker refuses this message or its topic, false when the broker is what fails."""
    return isinstance(error, _ROW_ERRORS)


def may_be_the_batch(error: BaseException | None) -> bool:
    """True for a refusal that may be due to the size of the batch that the message travelled in."""
    return isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError)


async def start_producer(options: KafkaOptions, *, timeout_sec: float, idempotent: bool = True) -> AIOKafkaProducer:
    """A producer that waits for all replicas. Raises `DependencyDown`."""
    producer = AIOKafkaProducer(
        **options.client_arguments(),
        acks="all",
        enable_idempotence=idempotent,
        compression_type="lz4",
        linger_ms=0,  # a relay's batch fills the producer's batches by itself
        max_batch_size=256 * 1024,
        max_request_size=_MAX_REQUEST_BYTES,
        retry_backoff_ms=100,
    )
    try:
        await bounded(producer.start(), timeout_sec)
    except BaseException:
        await stop_producer(producer)
        raise
    return producer


async def start_consumer(
    options: KafkaOptions, *, group: str, timeout_sec: float, max_poll_interval_ms: int = 300_000
) -> AIOKafkaConsumer:
    """A consumer whose offsets we commit ourselves; the caller subscribes it. Raises `DependencyDown`."""
    consumer = AIOKafkaConsumer(
        **options.client_arguments(),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_interval_ms=max_poll_interval_ms,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=3_000,
        metadata_max_age_ms=30_000,  # how late new partitions are found
        fetch_max_wait_ms=FETCH_WAIT_MS,
        retry_backoff_ms=100,
    )
    try:
        await bounded(consumer.start(), timeout_sec)
    except BaseException:
        await stop_consumer(consumer, timeout_sec=_CLOSE_TIMEOUT_SEC)
        raise
    return consumer


async def committed_offsets(
    options: KafkaOptions, group: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Where the group stands in each of these, with what was committed beside the offset; -1 where nothing was. Raises
    `DependencyDown` when Kafka does not say it of all. The caller sets the deadline.
    """
    admin = AIOKafkaAdminClient(**options.client_arguments())
    try:
        await admin.start()
        found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(
            group, partitions=list(partitions)
        )
        # An answer with an error of the whole group (it is being loaded, or another broker has it) names no partition.
        # aiokafka passes over that error, and without offsets the topics would be read from their beginnings.
        if unknown := set(partitions) - found.keys():
            raise DependencyDown("kafka", f"the offsets of {len(unknown)} partitions are not known to the broker now")
        return found
    finally:
        await admin.close()


async def ensure_topics(
    options: KafkaOptions, names: Sequence[str], topics: TopicOptions, *, timeout_sec: float
) -> list[str]:
    """Creates the topics that are missing and returns their names, prefix included.

    Raises `DependencyDown` when the broker is away, and `UserError` when it is there but refuses, or when a topic has
    settings that may lose messages.
    """
    admin = AIOKafkaAdminClient(**options.client_arguments())
    try:
        await bounded(admin.start(), timeout_sec)
        wanted = {topics.prefix + name for name in names}
        missing = sorted(wanted - set(await bounded(admin.list_topics(), timeout_sec)))
        if missing:
            new = [
                NewTopic(name, topics.partitions, topics.replication_factor, topic_configs=dict(topic_settings.OURS))
                for name in missing
            ]
            answer = await bounded(admin.create_topics(new), timeout_sec)
            refused = {
                topic: f"Kafka error {code}: {message[0] or 'none'}"
                for topic, code, *message in answer.topic_errors
                if code not in (0, TopicAlreadyExistsError.errno)
            }
            if refused:
                raise UserError(_cannot_be_created(refused, topics))
        await topic_settings.ensure(admin, sorted(wanted), partitions=topics.partitions, timeout_sec=timeout_sec)
    finally:
        with contextlib.suppress(DependencyDown):
            await bounded(admin.close(), _CLOSE_TIMEOUT_SEC)
    return missing


def _cannot_be_created(refused: Mapping[str, str], topics: TopicOptions) -> str:
    """`refused`: topic → why. A topic that this client may not describe looks missing, too."""
    return (
        f"Topic {', '.join(sorted(refused))} is missing and cannot be created "
        f"({'; '.join(dict.fromkeys(refused.values()))}). {how_to_create(topics)}, or allow this client to create them."
    )


def how_to_create(topics: TopicOptions) -> str:
    """For operators: the command for each topic, and the rights."""
    configs = "".join(f" --config {name}={value}" for name, value in topic_settings.OURS.items())
    return (
        f"Create each with kafka-topics.sh --create --topic NAME --partitions {topics.partitions} --replication-factor "
        f"{topics.replication_factor}{configs}, and allow this client to read, write and describe it"
    )


async def read_topic_settings(
    options: KafkaOptions, topics: Sequence[str], *, timeout_sec: float
) -> dict[str, dict[str, topic_settings.TopicSetting]]:
    """As `topic_settings.read`."""
    admin = AIOKafkaAdminClient(**options.client_arguments())
    try:
        await bounded(admin.start(), timeout_sec)
        return await topic_settings.read(admin, topics, timeout_sec=timeout_sec)
    finally:
        with contextlib.suppress(DependencyDown):
            await bounded(admin.close(), _CLOSE_TIMEOUT_SEC)


def headers_of(fields: Mapping[str, str | None]) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in fields.items() if value]
