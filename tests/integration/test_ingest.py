"""What the API takes, what it refuses, and what is stored of both."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import cramjam
import httpx
import msgspec
import pytest

from app.core.signals import DAY_MS
from app.settings import Settings
from tests.support.api import serving, stored, watch


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as client:
        yield client


def shown(*places: Any, **changes: Any) -> dict[str, Any]:
    items = [{"item_id": item_id, "position": position} for item_id, position in places]
    return {"user_id": "ann", "session_id": "s1", "items": items, **changes}


def bad_inputs(now_ms: int) -> list[tuple[str, str, Any, int, str]]:
    """(what, call, body, status, path of the error)"""
    click = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "event_type": "click"}
    long = "x" * 129
    return [
        ("not JSON", "/log/watch", b"{", 400, "$"),
        ("empty", "/log/watch", b"", 400, "$"),
        ("not UTF-8", "/log/watch", json.dumps(watch()).encode().replace(b"ann", b"\xff"), 400, "$"),
        ("NaN", "/log/watch", json.dumps(watch(watch_time_sec=float("nan"))).encode(), 400, "$"),
        ("infinity", "/log/watch", json.dumps(watch(watch_time_sec=float("inf"))).encode(), 400, "$"),
        ("too great a number", "/log/watch", b'{"watch_time_sec":1e999}', 422, "$.watch_time_sec"),
        ("array", "/log/watch", b"[]", 422, "$"),
        ("null", "/event", b"null", 422, "$"),
        ("wrong type", "/log/watch", watch(watch_time_sec="60"), 422, "$.watch_time_sec"),
        ("wrong type of id", "/log/watch", watch(user_id=7.5), 422, "$.user_id"),
        ("missing field", "/log/watch", watch(item_id=None), 422, "$"),
        ("unknown field", "/log/watch", watch(itemid="x"), 422, "$"),
        ("negative", "/log/watch", watch(watch_time_sec=-1), 422, "$.watch_time_sec"),
        ("percent", "/log/watch", watch(percent_watched=100.5), 422, "$.percent_watched"),
        ("empty id", "/log/watch", watch(user_id=""), 422, "$.user_id"),
        ("long id", "/log/watch", watch(item_id=long), 422, "$.item_id"),
        ("long event id", "/log/watch", watch(event_id=long), 422, "$.event_id"),
        ("short event id", "/log/watch", watch(event_id="1234567"), 422, "$.event_id"),
        ("control character", "/log/watch", watch(session_id="a\nb"), 422, "$.session_id"),
        ("delete character", "/log/watch", watch(session_id="a\x7fb"), 422, "$.session_id"),
        ("NUL in the context", "/log/watch", watch(context={"a": ["\x00"]}), 422, "$.context"),
        ("too old", "/log/watch", watch(ts_ms=now_ms - 7 * DAY_MS - 60_000), 422, "$.ts_ms"),
        ("too far ahead", "/log/watch", watch(ts_ms=now_ms + 6 * 60_000), 422, "$.ts_ms"),
        ("too old in seconds", "/log/watch", watch(ts_ms=now_ms // 1000 - 8 * 86_400), 422, "$.ts_ms"),
        ("too large", "/log/watch", watch(context={"a": "x" * 32_768}), 413, ""),
        ("too deep", "/log/watch", b'{"context":' + b"[" * 20_000 + b"]" * 20_000 + b"}", 413, ""),
        ("unknown kind", "/event", {**click, "event_type": "wish"}, 422, "$.event_type"),
        ("a watch at /event", "/event", watch(event_type="watch"), 422, "$.event_type"),
        ("no kind", "/event", {**click, "event_type": 3}, 422, "$.event_type"),
        ("no items", "/log/impression", shown(), 422, "$.items"),
        ("501 items", "/log/impression", shown(*((f"i{n}", n) for n in range(501))), 422, "$.items"),
        ("position twice", "/log/impression", shown(("a", 1), ("b", 1)), 422, "$.items[1].position"),
        ("item twice", "/log/impression", shown(("a", 1), ("a", 2)), 422, "$.items[1].item_id"),
        ("negative position", "/log/impression", shown(("a", 0), ("b", -1)), 422, "$.items[1].position"),
        ("empty batch", "/log/batch", {"events": []}, 422, "$.events"),
        ("empty array", "/log/batch", [], 422, "$"),
        ("1,001 events", "/log/batch", {"events": [click] * 1001}, 422, "$.events"),
        ("no events", "/log/batch", {}, 422, "$"),
        ("large batch", "/log/batch", {"events": [watch(context={"a": "x" * 30_000})] * 36}, 413, ""),
        ("bad query", "/log/batch?atomic=perhaps", {"events": [click]}, 422, "$.atomic"),
        ("unknown query", "/log/batch?atom=true", {"events": [click]}, 422, "$.atom"),
    ]


async def test_bad_input_is_refused_with_its_path_and_nothing_is_stored(
    api: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    wrong = []
    for what, call, body, status, path in bad_inputs(time.time_ns() // 1_000_000):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await api.post(call, content=content)
        problem = answer.json()
        paths = [error["path"] for error in problem.get("errors", [])]
        named = paths == ([path] if path else [])
        if not (
            answer.status_code == status
            and answer.headers["content-type"] == "application/problem+json"
            and problem["status"] == status
            and problem["request_id"] == answer.headers["x-request-id"]
            and problem["detail"]
            and named
        ):
            wrong.append((what, answer.status_code, problem))
    assert wrong == []
    assert await stored(pool) == (0, 0)


async def test_an_event_is_stored_with_its_outbox_row_before_the_answer(
    api: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x-request-id": "req-1"}
    answer = await api.post("/log/watch", json=watch(request_id="shown-1"), headers=headers)
    assert answer.status_code == 202
    assert answer.json()["status"] == "accepted"
    assert (answer.headers["x-request-id"], answer.headers["x-correlation-id"]) == ("req-1", "req-1")
    row = await pool.fetchrow(
        "SELECT e.event_type, e.request_id, o.topic, o.message_key, o.traceparent, o.payload::jsonb = e.payload AS same"
        " FROM events AS e JOIN event_outbox AS o USING (event_id) WHERE event_id = $1",
        answer.json()["event_id"],
    )
    assert tuple(row) == ("watch", "shown-1", "recsys.watches.v1", "ann", headers["traceparent"], True)


async def test_the_same_event_is_a_duplicate_and_other_content_a_conflict(
    api: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    event = watch(event_id="event-0001")
    answers = [await api.post("/log/watch", json=body) for body in (event, event, {**event, "item_id": "heat"})]
    assert [answer.status_code for answer in answers] == [202, 200, 409]
    assert [answer.json()["status"] for answer in answers] == ["accepted", "duplicate", 409]
    assert answers[2].json()["event_id"] == "event-0001"
    assert await stored(pool) == (1, 1)


async def test_the_same_ids_at_once_through_two_processes(settings: Settings, pool: asyncpg.Pool) -> None:
    patient = msgspec.structs.replace(settings, ingest_timeout_sec=20.0)
    async with serving(patient) as api, serving(patient) as other:
        for turn in range(20):
            event = watch(event_id=f"turn-{turn:04}")
            answers = await asyncio.gather(
                *(client.post("/log/watch", json=event) for client in (api, other, api, other)),
                *(client.post("/log/watch", json={**event, "item_id": "heat"}) for client in (api, other)),
            )
            statuses = sorted(answer.status_code for answer in answers)
            assert statuses in ([200, 200, 200, 202, 409, 409], [200, 202, 409, 409, 409, 409]), statuses
    assert await stored(pool) == (20, 20)


async def test_a_batch_answers_each_event_in_its_place(api: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    first = {"event_type": "watch", **watch(event_id="event-0001")}
    assert (await api.post("/log/batch", json=[first])).json()["accepted"] == 1
    batch = [
        first,
        {**first, "item_id": "heat"},
        {**first, "event_id": "event-0002"},
        {**first, "event_id": "event-0002"},
        {**first, "event_id": "event-0002", "item_id": "heat"},
        {**first, "event_id": "event-0003", "watch_time_sec": -1},
        {"event_type": "click", "user_id": "ann", "session_id": "s1", "item_id": "alien"},
        "not an event",
        {**first, "event_id": "event-0004", "context": {"a": "x" * 33_000}},
        {**first, "event_id": "event-0005", "ts_ms": 1},
    ]
    answer = (await api.post("/log/batch", json={"events": batch})).json()
    assert [result["status"] for result in answer["results"]] == [
        "duplicate", "conflict", "accepted", "duplicate", "conflict", "invalid", "accepted", "invalid", "invalid",
        "invalid",
    ]  # fmt: skip
    assert {name: answer[name] for name in ("accepted", "duplicate", "conflict", "invalid")} == {
        "accepted": 2, "duplicate": 2, "conflict": 2, "invalid": 4,
    }  # fmt: skip
    paths = [result["errors"][0]["path"] for result in answer["results"] if result["status"] == "invalid"]
    assert paths == ["$.watch_time_sec", "$", "$", "$.ts_ms"]
    assert answer["results"][9]["event_id"] == "event-0005"
    assert await stored(pool) == (3, 3)


async def test_atomic_batch_with_an_invalid_event_stores_nothing(api: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    taken = {"event_type": "watch", **watch(event_id="event-0001")}
    assert (await api.post("/log/watch", json=watch(event_id="event-0001"))).status_code == 202
    new = {**taken, "event_id": "event-0002"}

    invalid = await api.post("/log/batch?atomic=true", json=[new, {**taken, "user_id": ""}])
    assert invalid.status_code == 422
    assert invalid.json()["errors"][0]["path"] == "$[1].user_id"

    conflict = await api.post("/log/batch?atomic=true", json=[new, {**taken, "item_id": "heat"}])
    assert conflict.status_code == 409
    assert conflict.json()["errors"][0]["path"] == "$[1].event_id"
    assert await stored(pool) == (1, 1)

    good = await api.post("/log/batch?atomic=true", json=[new, taken])
    assert good.status_code == 200
    assert [result["status"] for result in good.json()["results"]] == ["accepted", "duplicate"]
    assert await stored(pool) == (2, 2)


async def test_every_shape_of_a_batch(api: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    def numbered(name: str) -> list[dict[str, Any]]:
        return [{"event_type": "watch", **watch(event_id=f"{name}-{number:06}")} for number in range(3)]

    def as_json(name: str) -> bytes:
        return json.dumps({"events": numbered(name)}).encode()

    lines = b"\r\n".join(json.dumps(event).encode() for event in numbered("lines")) + b"\n\n"
    requests: list[tuple[bytes, dict[str, str]]] = [
        (b" \n" + json.dumps(numbered("array")).encode(), {}),
        (as_json("object"), {"content-type": "application/json; charset=utf-8"}),
        (as_json("beacon"), {"content-type": "text/plain;charset=UTF-8"}),
        (lines, {"content-type": "application/x-ndjson"}),
        (gzip.compress(as_json("gzipped")), {"content-encoding": "gzip"}),
        (bytes(cramjam.zstd.compress(as_json("zstd"))), {"content-encoding": "ZSTD"}),
    ]
    for body, headers in requests:
        answer = await api.post("/log/batch", content=body, headers=headers)
        assert answer.json()["accepted"] == 3, (headers, answer.text)
    assert await stored(pool) == (18, 18)


async def test_one_bad_line_costs_itself_alone(api: httpx.AsyncClient) -> None:
    lines = b'{"broken\n' + json.dumps({"event_type": "watch", **watch()}).encode()
    answer = await api.post("/log/batch", content=lines, headers={"content-type": "application/x-ndjson"})
    assert [result["status"] for result in answer.json()["results"]] == ["invalid", "accepted"]


async def test_a_small_body_cannot_become_a_large_one(api: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    bomb = b'{"events":[' + b" " * 50_000_000
    for name, body in (("gzip", gzip.compress(bomb)), ("zstd", bytes(cramjam.zstd.compress(bomb)))):
        assert len(body) < 100_000
        assert (await api.post("/log/batch", content=body, headers={"content-encoding": name})).status_code == 413
    for name, status in (("gzip", 400), ("zstd", 400), ("br", 415)):
        answer = await api.post("/log/watch", content=b"not packed", headers={"content-encoding": name})
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert await stored(pool) == (0, 0)


async def test_a_chunked_body_is_bounded_too(api: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    assert (await api.post("/log/batch", content=endless())).status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        for byte in json.dumps(watch()).encode():
            yield bytes([byte])

    assert (await api.post("/log/watch", content=pieces())).status_code == 202


async def test_a_client_that_never_sends_its_body_is_not_waited_for(settings: Settings) -> None:
    async with serving(settings, http_request_timeout_sec=0.2) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(b"POST /log/watch HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()


NOT_STORABLE = {
    "a cut emoji": (b"context", rb'{"title": "caf\ud83d"}', "half of a surrogate pair, such as a cut emoji"),
    "a control character": (b"context", b'{"title": "a\x01b"}', "invalid character"),
    "NaN": (b"context", b'{"share": NaN}', "invalid character"),
    "deep, with U+0000": (b"context", b'{"a": ' * 900 + rb'"\u0000"' + b"}" * 900, "nested more than 100 levels deep"),
    "too deep to decode": (b"context", b'{"a": ' * 3000 + b"1" + b"}" * 3000, "nested too deeply"),
    "U+0000": (b"context", rb'{"title": "a\u0000b"}', "U+0000"),
    "broken UTF-8": (b"request_id", b'"\xff"', "not UTF-8: 0xff"),
}


@pytest.mark.parametrize("what", NOT_STORABLE)
async def test_a_batch_with_one_event_that_cannot_be_read_stores_the_others(
    api: httpx.AsyncClient, pool: asyncpg.Pool, what: str
) -> None:
    field, value, message = NOT_STORABLE[what]
    good = [
        json.dumps({"event_type": "view", "user_id": f"u{n}", "session_id": "s", "item_id": "i"}) for n in range(99)
    ]
    bad = good[0].encode()[:-1] + b', "' + field + b'": ' + value + b"}"
    sent = [bad, *(event.encode() for event in good)]
    bodies = [
        (b"[" + b", ".join(sent) + b"]", {}, "$[0]"),
        (b'{"events": [' + b", ".join(sent) + b"]}", {}, "$.events[0]"),
        (b"\n".join(sent), {"content-type": "application/x-ndjson"}, "$[0]"),
    ]
    for body, headers, path in bodies:
        refused = await api.post("/log/batch?atomic=true", content=body, headers=headers)
        assert refused.status_code == 422, refused.text
        (error,) = refused.json()["errors"]
        assert error["path"].startswith(path)
        assert message in error["message"]
    assert await stored(pool) == (0, 0)
    for body, headers, _ in bodies:
        answer = (await api.post("/log/batch", content=body, headers=headers)).json()
        assert (answer["invalid"], answer["accepted"]) == (1, 99), answer
        assert message in answer["results"][0]["errors"][0]["message"]
    assert await stored(pool) == (3 * 99, 3 * 99)


async def test_a_batch_that_cannot_be_taken_apart_is_refused_with_the_position(api: httpx.AsyncClient) -> None:
    answer = await api.post("/log/batch", content=b'[{"user_id": "u}, {"user_id": "u"}]')
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"path": "$", "message": "not JSON: a string is never closed (byte 32)"}]
