"""Records as the consumer polls them, without Kafka."""

from collections.abc import Sequence

from aiokafka import ConsumerRecord

from app.core.events import TOPIC_INTERACTIONS
from workers.incoming import Incoming, read_record

_DATED_MS = 4_102_444_800_000  # 2100: no message was received after it


def incoming(
    *values: str | bytes | None, headers: Sequence[tuple[str, bytes]] = (), key: bytes = b"ann", first: int = 0
) -> list[Incoming]:
    return [
        read_record(
            ConsumerRecord(
                topic=TOPIC_INTERACTIONS,
                partition=0,
                offset=offset,
                timestamp=_DATED_MS,
                timestamp_type=0,
                key=key,
                value=value.encode() if isinstance(value, str) else value,
                checksum=None,
                serialized_key_size=len(key),
                serialized_value_size=0,
                headers=tuple(headers),
            ),
            topic=TOPIC_INTERACTIONS,
        )
        for offset, value in enumerate(values, first)
    ]
