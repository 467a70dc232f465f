"""What is read from `/metrics`, and what an answer of `/reco` tells about a marked event."""

import asyncio
import json
import math
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from app.load import freshness, scrape
from app.load.freshness import Marked, reflects
from app.load.requests import ACCEPTED, UNKNOWN, Endpoint, Gets, SentEvents, Singles, template
from app.load.workload import Population, Shape
from tests.support.http_server import Request, serving


def exposition(registry: CollectorRegistry) -> scrape.Samples:
    return scrape.parse(generate_latest(registry).decode())


def test_counters_are_summed_over_the_labels_asked_for() -> None:
    registry = CollectorRegistry()
    counter = Counter("processed_total", "Messages", ["status"], registry=registry)
    counter.labels("applied").inc(40)
    counter.labels("duplicate").inc(2)
    samples = exposition(registry)
    assert scrape.total(samples, "processed_total") == 42
    assert scrape.total(samples, "processed_total", 'status="applied"') == 40
    assert scrape.total(samples, "processed_total", 'status="dlq"') is None
    assert scrape.total(samples, "process") is None


def test_a_percentile_of_buckets_is_that_of_what_was_observed_in_between() -> None:
    registry = CollectorRegistry()
    lag = Histogram("lag_ms", "Lag", registry=registry, buckets=(1, 10, 100))
    for _ in range(1000):
        lag.observe(99)
    before = exposition(registry)
    assert scrape.bucket_percentile(before, before, "lag_ms", 99) is None
    for value in [0.5] * 98 + [5, 5]:
        lag.observe(value)
    after = exposition(registry)
    assert scrape.bucket_percentile(before, after, "lag_ms", 98) == 1
    assert scrape.bucket_percentile(before, after, "lag_ms", 99) == 10
    lag.observe(5000)
    assert scrape.bucket_percentile(after, exposition(registry), "lag_ms", 99) == math.inf


def answer(*because: list[str]) -> bytes:
    return json.dumps({"items": [{"item_id": "x", "score": 1.0, "because": ids} for ids in because]}).encode()


def test_an_answer_reflects_an_item_that_it_names_as_a_reason() -> None:
    assert reflects(answer([], ["a", "b"]), "b")
    assert not reflects(answer([], ["a"]), "b")
    assert not reflects(b'{"items": [{"item_id": "b", "score": 1.0}]}', "b")


def marked(endpoint: Endpoint, history: SentEvents) -> Marked:
    return Marked(endpoint, Gets(endpoint, ["/plain"]), history, ["popular-1", "popular-2"], 2)


async def test_a_marked_event_is_followed_until_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "_PAUSE_SEC", 0.0)
    history, asked = SentEvents("abcdefgh"), []

    async def reflect_the_third_time(request: Request, writer: asyncio.StreamWriter) -> None:
        asked.append(parse_qs(urlsplit(request.target).query)["user_id"][0])
        body = answer([]) if len(asked) < 3 else answer(["popular-1", "popular-2"])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with serving(reflect_the_third_time) as (_, endpoint):
        source = marked(endpoint, history)
        plain, event = source.next(), source.next()
        assert plain is not None
        assert event is not None
        assert b"/plain" in plain[0]
        body = msgspec.json.decode(event[0].partition(b"\r\n\r\n")[2])
        assert body["item_id"] in ("popular-1", "popular-2")
        assert source.settle(event[1], 202, b"") == (1, None)
        await source.finish()
    assert asked == [body["user_id"]] * 3
    assert (source.visible.good, source.visible.latency.count) == (1, 1)
    assert not source.visible.errors
    assert list(history.states) == [ACCEPTED]


async def test_an_event_that_never_shows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "_GIVE_UP_SEC", 0.0)
    source = marked(Endpoint("127.0.0.1", 9), SentEvents("abcdefgh"))
    source.next()
    event = source.next()
    assert event is not None
    source.settle(event[1], 202, b"")
    await source.finish()
    assert source.visible.errors == {"not visible after 0 s": 1}
    assert source.visible.good == 0


async def test_a_marked_event_that_was_not_accepted_is_not_followed() -> None:
    history = SentEvents("abcdefgh")
    source = marked(Endpoint("127.0.0.1", 9), history)
    source.next()
    event = source.next()
    assert event is not None
    assert source.settle(event[1], 503, b"") == (0, "503")
    await source.finish()
    assert source.visible.requests == 0
    assert list(history.states) == [UNKNOWN]


async def test_plain_and_marked_events_share_one_history() -> None:
    endpoint, history = Endpoint("127.0.0.1", 9), SentEvents("abcdefgh")
    events = Population(Shape(users=5, items=20, history=1, seed=1)).events("some")
    plain = Singles(endpoint, [template(next(events)) for _ in range(3)], history)
    source = Marked(endpoint, plain, history, ["popular-1"], 2)
    tokens = [request[1] for request in (source.next() for _ in range(6)) if request is not None]
    assert tokens == list(range(6))
    for token in tokens:
        source.settle(token, 503, b"")
    assert list(history.states) == [UNKNOWN] * 6
