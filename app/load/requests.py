"""HTTP/1.1 requests as bytes, made before the measurement; only the event's id is filled in when one is sent.

A source hands out requests and is told how each was answered, so that it knows of every event id whether the service
accepted it, refused it, or left the client in doubt.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from app.core.events import DirectEvent, Impression, Watch

PENDING: Final = 0
ACCEPTED: Final = 1
REFUSED: Final = 2
UNKNOWN: Final = 3

_ID_LENGTH: Final = 24
_PLACEHOLDER: Final = "#" * _ID_LENGTH
_encoder: Final = msgspec.json.Encoder()


class Endpoint(Struct, frozen=True):
    """Where requests go: `prefix` is the path before `/event` and the rest; `headers` are added to each request."""

    host: str
    port: int
    tls: bool = False
    prefix: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def head(self, method: str, path: str, content_length: int | None = None) -> bytes:
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [f"{method} {self.prefix}{path} HTTP/1.1", f"Host: {host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if content_length is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {content_length}"]
        return "\r\n".join([*lines, "", ""]).encode()


class SentEvents:
    """What became of every event id this generator has sent: one byte for each, by its number."""

    def __init__(self, run: str) -> None:
        self._prefix = f"load-{run}-".encode()
        if len(self._prefix) != _ID_LENGTH - 10:
            raise ValueError(f"the run's name must have 8 characters, got {run!r}")
        self.states = bytearray()

    def take(self, count: int) -> int:
        """The first of `count` new numbers."""
        first = len(self.states)
        self.states.extend(bytes(count))
        return first

    def event_id(self, number: int) -> bytes:
        return self._prefix + b"%010d" % number

    def number(self, event_id: str) -> int:
        return int(event_id[len(self._prefix) :])


class Template(NamedTuple):
    """An event around its id. `head` and `tail` are JSON; `route` is the call that takes this event alone."""

    head: bytes
    tail: bytes
    route: str

    @property
    def size(self) -> int:
        return len(self.head) + _ID_LENGTH + len(self.tail)


def template(event: DirectEvent) -> Template:
    event.event_id = _PLACEHOLDER
    head, tail = _encoder.encode(event).split(_PLACEHOLDER.encode())
    route = {Watch: "/log/watch", Impression: "/log/impression"}.get(type(event), "/event")
    return Template(head, tail, route)


class RequestSource(Protocol):
    """Makes requests and evaluates answers."""

    def next(self) -> tuple[bytes, int] | None:
        """A request and a token for `settle`; None when there are no more."""

    def settle(self, token: int, status: int, body: bytes) -> tuple[int, str | None]:
        """Takes the answer, `status` 0 when there was none.

        Returns the number of successful events or reads, and a complaint or None.
        """


class Singles:
    """One event a request."""

    def __init__(self, endpoint: Endpoint, templates: Sequence[Template], history: SentEvents) -> None:
        self._history = history
        self._requests = itertools.cycle([(endpoint.head("POST", t.route, t.size) + t.head, t.tail) for t in templates])

    def next(self) -> tuple[bytes, int]:
        head, tail = next(self._requests)
        number = self._history.take(1)
        return head + self._history.event_id(number) + tail, number

    def settle(self, token: int, status: int, body: bytes) -> tuple[int, str | None]:
        self._history.states[token] = state = _state(status)
        return (1, None) if state == ACCEPTED else (0, complaint(status, body))


class Batches:
    """Many events a request. With `once`, each template is sent once and then there are no more requests."""

    def __init__(
        self, endpoint: Endpoint, templates: Iterable[Template], history: SentEvents, size: int, *, once: bool = False
    ) -> None:
        self._endpoint = endpoint
        self._history = history
        self._size = size
        self._templates = iter(templates) if once else itertools.cycle(templates)
        self._sizes: dict[int, int] = {}

    def next(self) -> tuple[bytes, int] | None:
        templates = list(itertools.islice(self._templates, self._size))
        if not templates:
            return None
        first = self._history.take(len(templates))
        self._sizes[first] = len(templates)
        event_id = self._history.event_id
        events = b",".join([t.head + event_id(first + index) + t.tail for index, t in enumerate(templates)])
        body = b'{"events":[' + events + b"]}"
        return self._endpoint.head("POST", "/log/batch", len(body)) + body, first

    def settle(self, token: int, status: int, body: bytes) -> tuple[int, str | None]:
        count = self._sizes.pop(token)
        if status == 200:
            states = bytes(_ITEM_STATES.get(result.status, REFUSED) for result in _batch_decoder.decode(body).results)
        else:
            states = bytes([_state(status)]) * count
        if len(states) != count:
            raise ValueError(f"/log/batch answered {len(states)} results to {count} events")
        self._history.states[token : token + count] = states
        accepted = states.count(ACCEPTED)
        if accepted == count:
            return count, None
        return accepted, "200, but not every event was accepted" if status == 200 else complaint(status, body)


class Gets:
    """Read requests, in turn."""

    def __init__(self, endpoint: Endpoint, paths: Iterable[str]) -> None:
        self._requests = itertools.cycle([endpoint.head("GET", path) for path in paths])

    def next(self) -> tuple[bytes, int]:
        return next(self._requests), 0

    def settle(self, token: int, status: int, body: bytes) -> tuple[int, str | None]:
        return (1, None) if status == 200 else (0, complaint(status, body))


def reco_path(user_id: str, k: int) -> str:
    return "/reco?" + urlencode({"user_id": user_id, "session_id": f"session-{user_id}", "k": k}, quote_via=quote)


class _Result(Struct):
    status: str


class _BatchCounts(Struct):
    results: list[_Result]


_batch_decoder: Final = msgspec.json.Decoder(_BatchCounts)
_ITEM_STATES: Final = {"accepted": ACCEPTED, "duplicate": ACCEPTED, "unavailable": UNKNOWN}


def complaint(status: int, body: bytes) -> str:
    """What errors are counted under: the status, or why there was none."""
    return str(status) if status else body.decode(errors="replace")


def _state(status: int) -> int:
    """After a 5xx or no answer it is unknown whether the event is stored."""
    if status in (200, 202):
        return ACCEPTED
    return REFUSED if 400 <= status < 500 else UNKNOWN
