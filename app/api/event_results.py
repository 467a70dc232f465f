"""The answers to events: what became of each."""

from typing import Literal

from msgspec import Struct

from app.core.field_errors import FieldError


class EventResult(Struct):
    """The answer to one event."""

    event_id: str
    status: Literal["accepted", "duplicate"]


class BatchEventResult(Struct, kw_only=True, omit_defaults=True):
    """The result of one event of a batch. `event_id` is null for an event that could not be read."""

    status: Literal["accepted", "duplicate", "conflict", "invalid"]
    event_id: str | None
    errors: list[FieldError] = []


class EventBatchResult(Struct):
    """One result per event, in the order sent, and the number of each status."""

    accepted: int
    duplicate: int
    conflict: int
    invalid: int
    results: list[BatchEventResult]
