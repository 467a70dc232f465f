"""Requests that are valid but for a few changes, at random: none is answered with a 5xx, and the service goes on.

RECO_FUZZ_REQUESTS says how many (2,000 by default) and RECO_FUZZ_SEED which; a failure names its seed and its request.
"""

import asyncio
import json
import os
import random
from collections import Counter
from typing import Any, Final

import pytest

from tests.support.api import watch
from tests.support.service import running

_REQUESTS: Final = int(os.environ.get("RECO_FUZZ_REQUESTS", "2000"))
_SEED: Final = int(os.environ.get("RECO_FUZZ_SEED", "1"))
_CLIENTS: Final = 32
# For the few whose mutation makes the server wait for more.
_WAIT_SEC: Final = 1.0
_FOLLOWED_BY: Final = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

_EVENT: Final = {"event_type": "view", "user_id": "ann", "session_id": "s", "item_id": "tent"}
_SHOWN: Final = {"user_id": "ann", "session_id": "s", "items": [{"item_id": "tent", "position": 0}]}
_ITEM: Final = {"title": "A tent", "categories": ["camp"], "published_at": "2026-01-01T00:00:00Z", "hidden": False}
_VIEWED: Final = {
    "messageId": "m1",
    "userId": "ann",
    "event": "Order Completed",
    "properties": {"products": [{"product_id": "tent", "position": 1}, {"sku": 7}]},
    "timestamp": "2026-11-26T10:15:28.123Z",
}
_CHOICE: Final = {"category": "camp", "filter": "price < 9", "exclude": ["stove"], "repeats": "avoid"}
_CALLS: Final[list[tuple[str, str, Any]]] = [
    ("POST", "/event", _EVENT),
    ("POST", "/event", {**_EVENT, "event_id": "event-0001", "context": {"a": [1, {"b": None}]}}),
    ("POST", "/log/watch", watch(percent_watched=10, ended=True)),
    ("POST", "/log/impression", _SHOWN),
    ("POST", "/log/batch?atomic=true", [_EVENT, {**_EVENT, "event_type": "purchase"}]),
    ("POST", "/log/batch", {"events": [_EVENT] * 3 + [{**_SHOWN, "event_type": "impression"}]}),
    ("POST", "/v1/track", _VIEWED),
    ("POST", "/v1/batch", {"batch": [{**_VIEWED, "type": "track"}] * 3, "sentAt": "2026-11-26T10:15:29.000Z"}),
    ("GET", "/reco?user_id=ann&session_id=s&k=5&exclude=tent,stove&explain=true&max_per_category=2", None),
    ("GET", "/reco?user_id=ann&exclude_seen=view&category=camp", None),
    ("GET", "/similar/tent?k=3", None),
    ("GET", "/popular?k=3&category=camp", None),
    ("PUT", "/items/tent", _ITEM),
    ("POST", "/items", {"items": [{**_ITEM, "item_id": "tent"}, {**_ITEM, "item_id": "stove"}]}),
    ("GET", "/items/tent", None),
    ("DELETE", "/items/stove", None),
    ("GET", "/users/ann", None),
    ("DELETE", "/users/bob", None),
    ("GET", "/rules", None),
    ("PUT", "/rules/first", {"action": "pin", "item_id": "tent", "position": 0}),
    ("PUT", "/rules/second", {"action": "boost", "category": "camp", "factor": 0.5}),
    ("DELETE", "/rules/second", None),
    ("GET", "/analytics/baseline?days=3", None),
    ("GET", "/analytics/conversions?days=3", None),
    ("GET", "/metrics/reco", None),
    ("GET", "/contract", None),
    ("GET", "/openapi.json", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", None),
    ("POST", "/reco", {"user_id": "ann", "k": 3, "history": [{"item_id": "tent", "event_type": "view"}], **_CHOICE}),
    ("POST", "/rank", {"user_id": "ann", "items": ["tent", "stove"], "explain": True}),
    ("POST", "/reco/batch", {"user_ids": ["ann", "bob"], "k": 2, **_CHOICE}),
    ("POST", "/rules/preview", {"rule": {"action": "pin", "item_id": "tent", "position": 1}, "user_id": "ann"}),
    ("GET", "/rules:history?rule_id=first&before=7&limit=1", None),
    ("POST", "/rules:undo", {"change_id": 1}),
    ("GET", "/items?limit=5&title=tent&filter=price%20%3E%203%20and%20not%20hidden", None),
    ("PATCH", "/items/tent", {"attributes": {"price": 3.5}, "tags": ["warm"]}),
    ("POST", "/items:delete", {"item_ids": ["stove"]}),
    ("PUT", "/attributes/price", {"type": "number"}),
    ("PUT", "/event-types/wish", {"weight": 0.6, "meaning": "interest", "rating_scale": {"worst": 1, "best": 5}}),
    ("POST", "/users/ann/merge", {"anonymous_id": "visitor"}),
    ("DELETE", "/users/ann/merge?anonymous_id=visitor", None),
    ("GET", "/dead-letters?source=dlq&status=pending&after=3&limit=2&error=x", None),
    ("POST", "/dead-letters/discard", {"source": "dlq", "ids": [1, 2], "reason": "a test"}),
    ("GET", "/reco?user_id=ann&filter=category%20%3D%20'camp'%20or%20price%20%3C%209&repeats=avoid", None),
    ("POST", "/api/feedback", [{"FeedbackType": "read", "UserId": "ann", "ItemId": "tent"}]),
    ("POST", "/api/item", {"ItemId": "tent", "Categories": ["camp"], "Timestamp": "2026-01-01T00:00:00Z"}),
    ("GET", "/api/recommend/ann?n=3", None),
    ("OPTIONS", "/event", None),
    ("HEAD", "/", None),
]
_PIECES: Final = [
    *(b"\x00", b"\x01", b"\n", b"\r\n", b"\r\n\r\n", b"\xff", b"\xf0\x9f\x98\x80", b"\xe2\x80\xa8", b"%00", b"%FF"),
    *(b"%2F", b"/", b"..", b"?", b"#", b"&", b"=", b",", b";", b" ", b'"', b"\\", rb"\ud83d", rb"\u0000", b"[", b"]"),
    *(b"{", b"}", b"[" * 500, b'{"a":' * 300, b"null", b"true", b"NaN", b"-1", b"1e400", b"9" * 30, b"9" * 5000),
    *(
        b"x" * 300,
        b"x" * 70_000,
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Expect: 100-continue\r\n",
    ),
    *(b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Content-Length: 5\r\n", b"X-Autolog-Impressions: true\r\n"),
    *(
        b"Content-Type: application/x-ndjson\r\n",
        b"Authorization: Bearer x\r\n",
        b"X-Request-ID: \xff\r\n",
        b"HTTP/1.0",
    ),
]


def whole(random_: random.Random, method: str, target: bytes, body: bytes) -> bytes:
    """A request whose length is right, or chunked."""
    head = b"%s %s HTTP/1.1\r\nHost: x\r\n" % (method.encode(), target)
    if not body:
        return head + b"\r\n"
    if random_.random() < 0.2:
        cut = random_.randrange(len(body))
        chunks = [chunk for chunk in (body[:cut], body[cut:]) if chunk]
        framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"
    return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def mutated(random_: random.Random, text: bytes) -> bytes:
    for _ in range(random_.choice((1, 1, 1, 2, 5))):
        at = random_.randrange(len(text) + 1)
        to = min(len(text), at + random_.choice((0, 1, 3, 20)))
        match random_.randrange(4):
            case 0:
                text = text[:at] + random_.choice(_PIECES) + text[to:]
            case 1:
                text = text[:at] + text[to:]
            case 2:
                text = text[:to] + text[at:]
            case 3:
                text = text[:at] + random_.randbytes(to - at) + text[to:]
    return text


def request(random_: random.Random) -> bytes:
    method, target, content = random_.choice(_CALLS)
    body = b"" if content is None else json.dumps(content).encode()
    match random_.randrange(4):
        case 0 if body:
            return whole(random_, method, target.encode(), mutated(random_, body))
        case 0 | 1:
            return whole(random_, method, mutated(random_, target.encode()).replace(b" ", b"+"), body)
        case 2:
            return mutated(random_, whole(random_, method, target.encode(), body))
        case _:
            start, _, rest = whole(random_, method, target.encode(), body).partition(b"\r\n")
            return start + b"\r\n" + random_.choice(_PIECES) + rest


async def statuses(port: int, sent: bytes) -> list[int]:
    """The statuses of all answers on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        writer.write(sent + _FOLLOWED_BY)
        async with asyncio.timeout(_WAIT_SEC):
            while data := await reader.read(65536):
                received += data
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]


async def fuzz(port: int, seed: int, count: int) -> Counter[int]:
    random_ = random.Random(seed)
    found: Counter[int] = Counter()
    left = iter(range(count))

    async def client() -> None:
        for _ in left:
            sent = request(random_)
            got = await statuses(port, sent)
            found.update(got)
            assert not [status for status in got if status >= 500], f"seed {seed}: {sent!r} gave {got}"

    async with asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS):
            group.create_task(client())
    return found


@pytest.mark.slow
@pytest.mark.timeout(120 + _REQUESTS // 20)
async def test_mutated_requests_get_no_answer_that_blames_the_service(environment: dict[str, str]) -> None:
    # A busy machine must not be the reason of a 503.
    patient = {"HTTP_REQUEST_TIMEOUT_SEC": "60", "INGEST_TIMEOUT_SEC": "50", "DB_STATEMENT_TIMEOUT_MS": "40000"}
    patient |= {"ONLINE_CACHE_REDIS_TIMEOUT_SEC": "30", "DB_LOCK_TIMEOUT_MS": "40000", "DB_CONNECT_TIMEOUT_SEC": "30"}
    with running({**environment, **patient, "ROLE": "api", "GORSE_API": "true"}) as service:
        found = await fuzz(int(environment["HTTP_PORT"]), _SEED, _REQUESTS)
        print(sorted(found.items()))
        assert {200, 202, 400, 404, 405, 414, 422} <= found.keys()
        assert "Traceback" not in service.log()
        assert service.status("/readyz") == 200
