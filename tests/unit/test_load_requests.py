"""Requests as bytes, and what the generator remembers of their answers."""

import itertools
from email.parser import BytesHeaderParser

import httptools
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.batch_body import decode_batch
from app.core.submitted import decode_any, decode_impression, decode_interaction, decode_watch
from app.load.requests import (
    ACCEPTED,
    PENDING,
    REFUSED,
    UNKNOWN,
    Batches,
    Endpoint,
    Gets,
    SentEvents,
    Singles,
    template,
)
from app.load.workload import Population, Shape

ENDPOINT = Endpoint("127.0.0.1", 8080, prefix="/shop", headers=(("X-API-Key", "secret"),))
TEMPLATES = [
    template(e) for e in itertools.islice(Population(Shape(users=50, items=50, history=1, seed=1)).events("x"), 40)
]
DECODERS = {"/log/watch": decode_watch, "/log/impression": decode_impression, "/event": decode_interaction}


class Request:
    """What a server reads from the bytes."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.body = b""
        self.headers: dict[str, str] = {}
        self.complete = 0
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method = parser.get_method().decode()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


def batch_answer(*statuses: str) -> bytes:
    return msgspec.json.encode({"results": [{"status": status, "event_id": None} for status in statuses]})


def test_single_events_are_whole_requests_with_ids_of_their_own() -> None:
    history = SentEvents("abcdefgh")
    source = Singles(ENDPOINT, TEMPLATES, history)
    ids = set()
    for expected in range(2 * len(TEMPLATES)):
        data, number = source.next()
        request = Request(data)
        event = DECODERS[request.url.decode().removeprefix("/shop")](request.body)
        assert (request.method, request.complete, number) == ("POST", 1, expected)
        assert request.headers["x-api-key"] == "secret"
        assert request.headers["host"] == "127.0.0.1:8080"
        assert event.event_id == history.event_id(number).decode()
        assert history.number(str(event.event_id)) == number
        ids.add(event.event_id)
    assert len(ids) == 2 * len(TEMPLATES)


def test_batches_hold_as_many_events_as_asked_and_end_when_sent_once() -> None:
    source = Batches(ENDPOINT, TEMPLATES, SentEvents("abcdefgh"), 15, once=True)
    sizes = []
    while (made := source.next()) is not None:
        request = Request(made[0])
        events = [decode_any(raw) for raw in decode_batch(request.body).events]
        sizes.append(len(events))
        assert request.url == b"/shop/log/batch"
        assert int(request.headers["content-length"]) == len(request.body)
    assert sizes == [15, 15, 10]


def test_reads_go_round() -> None:
    source = Gets(ENDPOINT, ["/reco?user_id=a", "/reco?user_id=b"])
    urls = [Request(source.next()[0]).url for _ in range(3)]
    assert urls == [b"/shop/reco?user_id=a", b"/shop/reco?user_id=b", b"/shop/reco?user_id=a"]
    assert source.settle(0, 200, b"") == (1, None)
    assert source.settle(0, 503, b"later") == (0, "503")


def test_an_address_of_version_six_stands_in_brackets() -> None:
    head = Endpoint("::1", 80).head("GET", "/reco").split(b"\r\n", 1)[1]
    assert BytesHeaderParser().parsebytes(head)["Host"] == "[::1]:80"


@pytest.mark.parametrize(
    ("status", "state", "complaint"),
    [(202, ACCEPTED, None), (200, ACCEPTED, None), (409, REFUSED, "409"), (422, REFUSED, "422"), (503, UNKNOWN, "503")],
)
def test_the_state_of_a_single_event_goes_by_the_status(status: int, state: int, complaint: str | None) -> None:
    history = SentEvents("abcdefgh")
    source = Singles(ENDPOINT, TEMPLATES, history)
    _, token = source.next()
    assert history.states[token] == PENDING
    assert source.settle(token, status, b"") == (int(state == ACCEPTED), complaint)
    assert history.states[token] == state


def test_no_answer_leaves_the_event_open() -> None:
    history = SentEvents("abcdefgh")
    source = Singles(ENDPOINT, TEMPLATES, history)
    source.next()
    assert source.settle(0, 0, b"timeout") == (0, "timeout")
    assert history.states[0] == UNKNOWN


def test_each_event_of_a_batch_has_its_own_state() -> None:
    history = SentEvents("abcdefgh")
    source = Batches(ENDPOINT, TEMPLATES, history, 4)
    assert source.next() is not None
    answer = batch_answer("accepted", "duplicate", "conflict", "invalid")
    assert source.settle(0, 200, answer) == (2, "200, but not every event was accepted")
    assert list(history.states) == [ACCEPTED, ACCEPTED, REFUSED, REFUSED]
    assert source.next() is not None
    assert source.settle(4, 503, b"") == (0, "503")
    assert list(history.states[4:]) == [UNKNOWN] * 4
    assert source.next() is not None
    assert source.settle(8, 200, batch_answer(*["accepted"] * 4)) == (4, None)


def test_an_answer_to_another_batch_is_noticed() -> None:
    source = Batches(ENDPOINT, TEMPLATES, SentEvents("abcdefgh"), 4)
    assert source.next() is not None
    with pytest.raises(ValueError, match="3 results to 4 events"):
        source.settle(0, 200, batch_answer("accepted", "accepted", "accepted"))


@given(st.lists(st.integers(min_value=1, max_value=50), max_size=20))
def test_numbers_are_never_given_twice(counts: list[int]) -> None:
    history = SentEvents("abcdefgh")
    taken = [first + offset for count in counts for first in [history.take(count)] for offset in range(count)]
    assert taken == list(range(sum(counts)))
