"""A dead row or a dead letter with all that is stored about it, as the API shows it."""

import base64
from typing import Any, Final

import msgspec
from msgspec import Struct

from app.adapters.dead_letters import readable
from app.api.timestamps import Timestamp

_SHOWN_BYTES: Final = 64 * 1024


class FailedAttempt(Struct, frozen=True, kw_only=True):
    """`task`: `outbox-relay` if Kafka refused the message, `feature-consumer` if it could not be counted. `process`:
    its host and pid. `replays`: how often the message had been sent again by then.
    """

    at: Timestamp
    task: str
    process: str
    replays: int
    error: str


class DeadLetter(Struct, kw_only=True):
    """All that is stored about one. `payload`: the message if it is JSON; `raw`: its bytes in base64, up to 64 KiB of
    `size`. `headers`: of Kafka's record, as text. `position`: topic, partition and offset of a dead letter. `errors`:
    of the last ten attempts, the latest at the end, and those of before a replay as well.
    """

    id: int
    status: str
    topic: str
    event_id: str | None
    position: str | None
    key: str | None
    headers: dict[str, str]
    traceparent: str | None
    kind: str
    error: str | None
    errors: list[FailedAttempt]
    attempts: int
    replays: int
    failed_at: Timestamp | None
    resolved_at: Timestamp | None
    resolved_by: str | None
    resolution: str | None
    payload: Any
    raw: str
    size: int


def opened(row: dict[str, Any]) -> DeadLetter:
    """Of either table: a dead row has no position, headers or kind."""
    value: bytes = row["value"] or b""
    names = zip(row.get("header_names") or (), row.get("header_values") or (), strict=True)
    key = row["message_key"]
    return DeadLetter(
        id=row["id"],
        status="pending" if row["status"] == "dead" else row["status"],
        topic=row["topic"],
        event_id=row["event_id"],
        position=f"partition {row['partition']}, offset {row['record_offset']}" if "partition" in row else None,
        key=readable(key) if isinstance(key, bytes) else key,
        headers={name: readable(content) or "" for name, content in names},
        traceparent=row["traceparent"],
        kind=row.get("error_kind") or "refused",
        error=row["error"] if "error" in row else row["last_error"],
        errors=msgspec.json.decode(row["errors"] or "[]", type=list[FailedAttempt]),
        attempts=row["attempts"],
        replays=row["replays"],
        failed_at=row["created_at"] if "error_kind" in row else row["failed_at"],
        resolved_at=row["resolved_at"],
        resolved_by=row["resolved_by"],
        resolution=row["resolution"],
        payload=_payload(value),
        raw=base64.b64encode(value[:_SHOWN_BYTES]).decode(),
        size=len(value),
    )


def _payload(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
