"""A polled record as the consumer reads it, and as it becomes a dead letter."""

import time
from collections.abc import Sequence

from aiokafka import ConsumerRecord
from msgspec import Struct

from app.adapters.dead_letters import DeadLetter, Failure, readable
from app.adapters.record_batches import Unreadable
from app.core.decoding import InvalidInput
from app.core.messages import Message, check_times, decode_message, named_user
from app.errors import describe


class Incoming(Struct, frozen=True):
    """A record as polled; `message` is None when it could not be read, and `read_error` says why.

    `kind` of the error: `decode`; `batch` when the record stands for a whole batch; `data` when the error may be ours.
    `erasures`: the number of the last erasure when the event was stored; None where the message does not say.
    """

    record: ConsumerRecord
    topic: str
    message: Message | None
    read_error: str | None
    kind: str = "decode"
    erasures: int | None = None


def read_record(record: ConsumerRecord, *, topic: str) -> Incoming:
    """Decodes a record; `topic` is its name without the prefix."""
    try:
        message = decode_message(record.value)
        check_times(message, record.timestamp)
    except InvalidInput as error:
        return Incoming(record, topic, None, str(error))
    except Exception as error:  # a fault of the decoder must not end the task
        return Incoming(record, topic, None, describe(error), kind="data")
    return Incoming(record, topic, message, None, erasures=_number(record.headers, "erasures"))


def read_unreadable(batch: Unreadable, *, topic: str) -> Incoming:
    """A batch that nobody can read, as one record without a key: its bytes, at its first offset."""
    record = ConsumerRecord(
        topic=batch.partition.topic,
        partition=batch.partition.partition,
        offset=batch.first,
        timestamp=batch.timestamp_ms,
        timestamp_type=0,
        key=None,
        value=batch.raw,
        checksum=None,
        serialized_key_size=-1,
        serialized_value_size=len(batch.raw),
        headers=(),
    )
    read_error = f"batch of the offsets {batch.first} to {batch.after - 1} cannot be read: {batch.reason}"
    return Incoming(record, topic, None, read_error, kind="batch")


def was_replayed(item: Incoming) -> bool:
    """True for a message that was read, and that an operator had sent again."""
    return item.message is not None and any(name == "replays" for name, _ in item.record.headers)


def failed_now(error: BaseException) -> Failure:
    return Failure(time.monotonic(), describe(error))


def unread_letter(item: Incoming) -> DeadLetter:
    """Of a record that could not be read, in the one attempt that it has."""
    return dead_letter(item, item.kind, [Failure(time.monotonic(), item.read_error or "")])


def dead_letter(item: Incoming, kind: str, failures: Sequence[Failure]) -> DeadLetter:
    record = item.record
    headers = [(str(name), bytes(value or b"")) for name, value in record.headers]
    named = dict(headers)
    user_id = named_user(record.value) if item.message is None else item.message.user_id
    event_id = item.message.event_id if item.message is not None else readable(named.get("event_id"))
    return DeadLetter(
        topic=item.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        # Another producer may have set another key, or none: an erasure finds the letters of a user by it.
        key=record.key if user_id is None else user_id.encode(),
        value=record.value,
        headers=headers,
        event_id=event_id,
        traceparent=readable(named.get("traceparent")),
        error_kind=kind,
        failures=[Failure(one.at, one.error[:2000].replace("\x00", "\\0")) for one in failures],
        replays=_number(headers, "replays") or 0,
        erasures=_number(headers, "erasures"),
        letter_id=_number(headers, "letter_id", digits=18),
    )


def _number(headers: Sequence[tuple[str, bytes | None]], name: str, *, digits: int = 9) -> int | None:
    """A number among the headers that the relay sets; None when it is not there or not a number."""
    for key, value in headers:
        if key == name:
            return int(value) if value is not None and value.isdigit() and len(value) <= digits else None
    return None
