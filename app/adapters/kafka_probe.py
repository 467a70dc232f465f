"""Whether Kafka answers, what it says of itself, and why it does not let this client in."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from msgspec import Struct

from app.adapters.kafka import KafkaOptions
from app.adapters.kafka_bounds import bounded
from app.errors import DependencyDown, describe

_PROBE_TIMEOUT_SEC: Final = 1.5
_CLOSE_TIMEOUT_SEC: Final = 1.0


async def check_listening(options: KafkaOptions, *, timeout_sec: float) -> None:
    """Connects to the bootstrap servers and sends nothing. Raises `DependencyDown` when none takes the connection."""
    reasons: list[str] = []
    for host, port, _ in collect_hosts(options.bootstrap_servers, randomize=False):
        try:
            async with asyncio.timeout(timeout_sec):
                _, writer = await asyncio.open_connection(host, port)
        except OSError as error:  # a TimeoutError too
            reasons.append(f"{host}:{port} ({describe(error)})")
        else:
            writer.close()
            return
    raise DependencyDown("kafka", f"does not answer at {', '.join(reasons)}")


async def refusal(options: KafkaOptions) -> str:
    """Why the first bootstrap server does not let this client in, which aiokafka logs and does not tell."""
    arguments = options.client_arguments()
    for host, port, _ in collect_hosts(arguments.pop("bootstrap_servers"), randomize=False):
        try:
            connection = await create_conn(host, port, **arguments)
        except (OSError, KafkaError) as reason:  # a TimeoutError too
            return f"{host}:{port}: {describe(reason)}"
        connection.close()
    return "no bootstrap server answered just now"


class Cluster(Struct, frozen=True):
    """What the brokers say of themselves. `partitions`: how many each topic has that we may see."""

    brokers: int
    partitions: Mapping[str, int]


async def describe_cluster(options: KafkaOptions, *, timeout_sec: float) -> Cluster:
    """Connects, asks, and goes. Raises `DependencyDown`."""
    client = AIOKafkaClient(**options.client_arguments())
    try:
        try:
            await bounded(client.bootstrap(), timeout_sec)
        except DependencyDown as error:
            raise DependencyDown("kafka", await bounded(refusal(options), timeout_sec)) from error
        metadata = await bounded(client.fetch_all_metadata(), timeout_sec)
        partitions = {topic: len(metadata.partitions_for_topic(topic) or ()) for topic in metadata.topics()}
        return Cluster(len(metadata.brokers()), partitions)
    finally:
        with contextlib.suppress(DependencyDown):
            await bounded(client.close(), _CLOSE_TIMEOUT_SEC)


class KafkaProbe:
    """Asks for fresh metadata on a connection of its own."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._client: AIOKafkaClient | None = None

    async def __call__(self) -> None:
        connected = self._client is not None
        try:
            await bounded(self._ask(), _PROBE_TIMEOUT_SEC)
        except DependencyDown:
            await self.close()
            if not connected:
                raise
            # The broker may have ended this connection alone.
            try:
                await bounded(self._ask(), _PROBE_TIMEOUT_SEC)
            except DependencyDown:
                await self.close()
                raise

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(DependencyDown):
                await bounded(client.close(), _CLOSE_TIMEOUT_SEC)

    async def _ask(self) -> None:
        if self._client is None:
            self._client = AIOKafkaClient(**self._options.client_arguments())
            try:
                await self._client.bootstrap()
            except KafkaConnectionError as error:
                raise DependencyDown("kafka", await refusal(self._options)) from error
        await self._client.fetch_all_metadata()
