"""Events that wait to be sent, each encoded once with its id, in the order in which they came."""

import os
import time
import uuid
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final, get_args

import msgspec
from msgspec import UNSET, Struct

from reco_client.models import Action, Event, TaggedEvent

MAX_EVENT_BYTES: Final = 32 * 1024
MAX_BATCH_EVENTS: Final = 1_000
# The service takes 1 MiB. A proxy may take less: the client learns that from its answers.
MAX_BATCH_BYTES: Final = 1_000_000

_encode: Final = msgspec.json.Encoder().encode
_decoder: Final[msgspec.json.Decoder[TaggedEvent]] = msgspec.json.Decoder(TaggedEvent)
_action_decoder: Final = msgspec.json.Decoder(Action)
_TAGS: Final = frozenset(str(kind.__struct_config__.tag) for kind in get_args(TaggedEvent))


class _Head(Struct):
    event_type: str


_head_decoder: Final = msgspec.json.Decoder(_Head)


class BufferFull(Exception):
    """As many events wait as may. The event was not taken: keep it, or give it up."""


class Line(Struct, frozen=True):
    """An event as it is sent, a line of NDJSON."""

    event_id: str
    body: bytes

    @property
    def size(self) -> int:
        """In bytes, with its line break."""
        return len(self.body) + 1

    @property
    def event(self) -> Event:
        return decode_event(self.body)


def line_of(event: Event) -> Line:
    """Gives the event an id and a time where it has none. They stay the same however often it is sent.

    Raises `msgspec.ValidationError` for values that the service would refuse, with the path of the field.
    """
    now_ms = time.time_ns() // 1_000_000
    event = msgspec.structs.replace(
        event,
        event_id=uuid7(now_ms, os.urandom(10)) if event.event_id is UNSET else event.event_id,
        ts_ms=now_ms if event.ts_ms is UNSET else event.ts_ms,
    )
    body = _encode(event)
    if len(body) > MAX_EVENT_BYTES:
        raise msgspec.ValidationError(f"{len(body)} bytes; an event has at most {MAX_EVENT_BYTES}")
    decode_event(body)
    return Line(str(event.event_id), body)


def decode_event(body: bytes) -> Event:
    is_tagged = _head_decoder.decode(body).event_type in _TAGS
    event: Event = _decoder.decode(body) if is_tagged else _action_decoder.decode(body)
    return event


def uuid7(now_ms: int, entropy: bytes) -> str:
    """A UUID of version 7 (RFC 9562), from 10 bytes of entropy."""
    value = now_ms << 80 | int.from_bytes(entropy, "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


class Buffer:
    """At most `max_events` lines. Those of a batch stay until they are removed, so that nothing is lost in between.

    A batch has at most `max_batch_bytes`, or is one line.
    """

    def __init__(self, max_events: int) -> None:
        self.max_batch_bytes = MAX_BATCH_BYTES
        self._max_events = max_events
        self._lines: deque[Line] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._lines)

    def fills(self, max_events: int) -> bool:
        """Whether a batch would not have room for more than waits."""
        return len(self._lines) >= min(max_events, MAX_BATCH_EVENTS) or self._bytes >= self.max_batch_bytes

    def add(self, line: Line) -> None:
        if len(self._lines) >= self._max_events:
            raise BufferFull(f"{self._max_events} events wait to be sent")
        self._lines.append(line)
        self._bytes += line.size

    def batch(self, max_events: int) -> list[Line]:
        """The first lines, as many as one request takes."""
        return self.fitting(list(islice(self._lines, min(max_events, MAX_BATCH_EVENTS))))

    def fitting(self, lines: Sequence[Line]) -> list[Line]:
        """The first of these lines whose bytes fit into one request; at least one."""
        size = 0
        for count, line in enumerate(lines):
            size += line.size
            if size > self.max_batch_bytes:
                return list(lines[: max(1, count)])
        return list(lines)

    def remove(self, count: int) -> None:
        for _ in range(min(count, len(self._lines))):
            self._bytes -= self._lines.popleft().size

    def clear(self) -> list[Line]:
        lines = list(self._lines)
        self._lines.clear()
        self._bytes = 0
        return lines
