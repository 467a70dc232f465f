"""How a batch of events is sent and what its answer means: the same for both clients."""

import gzip
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct

from reco_client.buffer import Buffer, Line
from reco_client.calls import ApiError
from reco_client.models import Event, EventBatchResult

log: Final = logging.getLogger("reco_client")

_CLOSED: Final = "the client was closed before the service answered"

_GZIP_FROM: Final = 2_000
_TOO_LARGE: Final = 413


class Refused(Struct, frozen=True):
    """An event that is not stored, and why."""

    event: Event
    reason: str


class Counts(Struct):
    """Events by outcome. `refused` ones are not stored; `waiting` ones are in the buffer."""

    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    waiting: int = 0


class Options(Struct, frozen=True, kw_only=True):
    """`max_buffered` events wait at most. `batch_events`, as many bytes as a request may have, or those of
    `interval_sec` are sent at once.

    A batch that may be sent again waits between 0 and `backoff_sec`, doubled with each try up to `max_backoff_sec`, and
    at least as long as the service asks. `call_retries`: how often other calls are tried again. `exit_sec`: how long
    `close` and the end of the process wait for the buffer. `on_refused` is told of each event that is given up, from
    the sending thread.
    """

    max_buffered: int = 10_000
    batch_events: int = 500
    interval_sec: float = 0.5
    timeout_sec: float = 10.0
    backoff_sec: float = 0.5
    max_backoff_sec: float = 30.0
    call_retries: int = 2
    exit_sec: float = 5.0
    on_refused: Callable[[Refused], None] | None = None


def http_options(url: str, key: str | None, options: Options) -> dict[str, Any]:
    """The arguments of `httpx.Client`. Raises `ValueError` for a URL that no attempt could reach."""
    if httpx.URL(url).scheme not in ("http", "https") or not httpx.URL(url).host:
        raise ValueError(f"{url!r} is not a valid service URL; expected http://host:port or https://host")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return {"base_url": url, "headers": headers, "timeout": options.timeout_sec}


def request(lines: Sequence[Line]) -> dict[str, Any]:
    """The arguments of `post` for a batch, as NDJSON."""
    content = b"\n".join(line.body for line in lines)
    headers = {"content-type": "application/x-ndjson"}
    if len(content) >= _GZIP_FROM:
        content = gzip.compress(content, compresslevel=1)
        headers["content-encoding"] = "gzip"
    return {"url": "/log/batch", "content": content, "headers": headers}


def wait_sec(failures: int, error: Exception, chance: float, options: Options) -> float:
    """How long to wait after so many failures in a row (1 or more). `chance`: 0 to 1."""
    backoff = min(options.max_backoff_sec, options.backoff_sec * 2.0 ** min(failures - 1, 32))
    asked = error.retry_after_sec if isinstance(error, ApiError) else None
    return chance * backoff if asked is None else asked + chance * options.backoff_sec


def may_be_retried(error: Exception) -> bool:
    return isinstance(error, httpx.TransportError) or (isinstance(error, ApiError) and error.may_be_retried)


def goes_in_parts(lines: Sequence[Line], error: Exception, buffer: Buffer) -> bool:
    """Whether this batch was too large for somebody on the way to the service, and is no single event. From now on
    batches have half of its bytes at most.
    """
    if not isinstance(error, ApiError) or error.status != _TOO_LARGE or len(lines) == 1:
        return False
    size = sum(line.size for line in lines)
    buffer.max_batch_bytes = most = min(size // 2, buffer.max_batch_bytes)
    log.warning("a batch of %d bytes is too large, so later ones have %d at most: %s", size, most, error)
    return True


class Outcomes:
    """Counts what became of events, and tells of those that were given up. From any thread."""

    def __init__(self, options: Options) -> None:
        self._on_refused = options.on_refused
        self._lock = threading.Lock()
        self._ended = False
        self._settled: Sequence[Line] = ()
        """Of the last batch: they may wait in the buffer until all are told of that were given up."""
        self.counts = Counts()

    def settle(self, lines: Sequence[Line], response: httpx.Response) -> None:
        """Takes the answer to a batch. Raises `ApiError` for one that is an error, or not the service's."""
        if not response.is_success:
            raise ApiError(response)
        try:
            answer = msgspec.json.decode(response.content, type=EventBatchResult)
        except msgspec.DecodeError:
            raise ApiError(response) from None
        if len(answer.results) != len(lines):
            raise ApiError(response)
        given_up = [
            ([line], f"{result.status} {'; '.join(f'{one.path}: {one.message}' for one in result.errors)}".strip())
            for line, result in zip(lines, answer.results, strict=True)
            if result.status not in ("accepted", "duplicate")
        ]
        with self._lock:
            if self._ended:
                return
            self._settled = lines
            self.counts.accepted += answer.accepted
            self.counts.duplicate += answer.duplicate
            self.counts.refused += len(given_up)
        for refused, reason in given_up:
            self._tell(refused, reason)

    def refuse(self, lines: Sequence[Line], reason: str) -> None:
        with self._lock:
            if self._ended:
                return
            self._settled = lines
            self.counts.refused += len(lines)
        self._tell(lines, reason)

    def end(self, left: Sequence[Line]) -> None:
        """Gives up what is left. What comes later is not counted."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            settled = set(map(id, self._settled))
            left = [line for line in left if id(line) not in settled]
            self.counts.refused += len(left)
        self._tell(left, _CLOSED)

    def _tell(self, lines: Sequence[Line], reason: str) -> None:
        """Without the lock: the application's code may wait for another thread."""
        if not lines:
            return
        log.error("%d events are given up: %s; the first is %s", len(lines), reason, lines[0].event_id)
        if self._on_refused is not None:
            for line in lines:
                try:
                    self._on_refused(Refused(line.event, reason))
                except Exception:  # the application's code, which must not end the sending
                    log.exception("on_refused failed")
