"""The ids of topics, which tell a topic from another one of the same name that was made after its deletion.

aiokafka speaks the metadata request up to version 5; ids came with version 10 (KIP-516, Kafka 2.8), so that version is
spelled out here.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_UUID_BYTES: Final = 16
_ANSWER_SEC: Final = 1.5


class _Uuid:
    """16 bytes, shown in hex."""

    @classmethod
    def encode(cls, value: str) -> bytes:
        return bytes.fromhex(value)

    @classmethod
    def decode(cls, data: Any) -> str:
        read: bytes = data.read(_UUID_BYTES)
        return read.hex()

    @classmethod
    def repr(cls, value: str) -> str:
        return value


_NO_ID: Final = "00" * _UUID_BYTES


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        wanted: list[tuple[object, str, dict[str, object]]] = [(_NO_ID, topic, {}) for topic in self._topics]
        return request_struct_class(wanted, False, False, False, {})


class TopicIdReader:
    """Asks any broker. One that was silent is asked after the others until it answers, so that it costs its turn once,
    however long it is among those that are known: it may be away for this client alone.
    """

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client
        self._silent: set[int] = set()

    async def read(self, topics: Sequence[str]) -> dict[str, str]:
        """Topic → id, for those that exist; the id is empty where the broker has none. Never makes a topic. Raises
        `KafkaError`.
        """
        nodes = [broker.nodeId for broker in self._client.cluster.brokers()]
        failed: Exception = KafkaError("no broker is known")
        random.shuffle(nodes)
        nodes.sort(key=self._silent.__contains__)
        for turn, node in enumerate(nodes, 1):
            try:
                # The last one has until the caller's deadline.
                async with asyncio.timeout(_ANSWER_SEC if turn < len(nodes) else None):
                    found = await self._ask(node, topics)
            except (KafkaError, OSError) as error:
                if isinstance(error, TimeoutError):
                    self._silent.add(node)
                failed = error
            else:
                self._silent.discard(node)
                return found
        raise failed

    async def _ask(self, node: int, topics: Sequence[str]) -> dict[str, str]:
        try:
            response = await self._client.send(node, _MetadataRequest(topics))
        except NotImplementedError:  # a broker before 2.8, one of another brand, or a mock
            response = await self._client.send(node, MetadataRequest())  # of all: some make those that are named
            return {topic: "" for error_code, topic, *_ in response.topics if error_code == 0 and topic in topics}
        return {
            topic: "" if topic_id == _NO_ID else topic_id
            for error_code, topic, topic_id, *_ in response.topics
            if error_code == 0
        }
