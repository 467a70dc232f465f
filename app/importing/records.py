"""Turns rows into events: stable ids, validated and stored as by the API."""

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from app.core import events
from app.core.events import Action, Click, DirectEvent, Impression, ItemEvent, Purchase, Record, ShownItem, View, Watch
from app.importing.rows import Row

REMEMBERED_ROWS: Final = 100_000

_encoder: Final = msgspec.msgpack.Encoder()


class RowIds:
    """Derives event ids from the rows' content, so that a row has the same id in every run and every file.

    An id is a version 7 UUID: its time is the event's, and its random part is a hash of the row. Events that are close
    in time are close in the id index, which keeps the import of a long history fast. Identical rows are numbered to
    tell them apart, as long as at most `remembered` to twice as many other rows lie between them; further apart they
    count as one event that was exported twice. That bounds the memory for a file of any length.
    """

    def __init__(self, remembered: int = REMEMBERED_ROWS) -> None:
        self._remembered = remembered
        self._recent: dict[bytes, int] = {}
        self._older: dict[bytes, int] = {}

    def event_id(self, row: Row) -> str:
        """Rows must come in the file's order, from its start."""
        if row.event_id is not None:
            return row.event_id
        said = _hash(_encoder.encode(_said(row)))
        times = self._recent.get(said) or self._older.get(said, 0)
        if len(self._recent) >= self._remembered:
            self._older, self._recent = self._recent, {}
        self._recent[said] = times + 1
        return events.uuid7(row.ts_ms, _hash(said + times.to_bytes(4, "big")) if times else said)


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=10).digest()


def _said(row: Row) -> tuple[object, ...]:
    # Without title, line number and amounts: correcting a title or a price, or adding a line above, keeps the id.
    said = (
        row.user_id,
        row.session_id,
        row.item_id,
        row.event_type,
        row.ts_ms,
        row.watch_time_sec,
        row.percent_watched,
        row.ended,
        row.position,
    )
    return said if row.rating is None else (*said, row.rating)


def to_record(row: Row, event_id: str, *, now_ms: int, shift_ms: int = 0) -> Record:
    """The row as Postgres stores it, with `shift_ms` added to its time."""
    event = _EVENTS.get(row.event_type, _action)(row)
    event.event_id = event_id
    event.ts_ms = row.ts_ms + shift_ms
    if row.amounts is not None:
        assert isinstance(event, ItemEvent)  # rows.py gives a watch and an impression none
        event.value, event.currency = row.amounts.value, row.amounts.currency
        event.quantity = row.amounts.quantity
    return events.accept(event, counts=row.counts, now_ms=now_ms, entropy=b"", any_time=True)


def to_message(row: Row, event_id: str, *, now_ms: int) -> bytes:
    """The row as the consumer reads it from Kafka."""
    return to_record(row, event_id, now_ms=now_ms).payload.encode()


def _watch(row: Row) -> Watch:
    assert row.watch_time_sec is not None  # rows.py refuses a watch without it
    return Watch(
        user_id=row.user_id,
        session_id=row.session_id,
        item_id=row.item_id,
        watch_time_sec=row.watch_time_sec,
        percent_watched=row.percent_watched,
        ended=row.ended,
    )


def _impression(row: Row) -> Impression:
    return Impression(
        user_id=row.user_id,
        session_id=row.session_id,
        items=[ShownItem(item_id=row.item_id, position=row.position)],
    )


def _action(row: Row) -> Action:
    return Action(
        user_id=row.user_id,
        session_id=row.session_id,
        item_id=row.item_id,
        event_type=row.event_type,
        rating=row.rating,
    )


_EVENTS: Final[dict[str, Callable[[Row], DirectEvent]]] = {
    "watch": _watch,
    "impression": _impression,
    "view": lambda row: View(user_id=row.user_id, session_id=row.session_id, item_id=row.item_id),
    "click": lambda row: Click(user_id=row.user_id, session_id=row.session_id, item_id=row.item_id),
    "purchase": lambda row: Purchase(user_id=row.user_id, session_id=row.session_id, item_id=row.item_id),
}
