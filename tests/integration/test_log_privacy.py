"""What a live service logs: JSON with the ids of the request, nothing of whom the events are about, and no secret."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from app.core import keys
from app.core.events import TOPIC_INTERACTIONS
from app.devstack import Stack
from tests.support.service import Service, eventually, running

# In every value that must not be logged, so that one search finds them all.
MARK: Final = "zebra"
USER: Final = f"{MARK}-user"
SESSION: Final = f"{MARK}-session"
EVENT: Final = {"user_id": USER, "session_id": SESSION, "item_id": "item-1", "event_type": "view"}
CONTEXT: Final = {"mail": f"{MARK}@example.org", f"{MARK}-field": [f"{MARK}-value"]}

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
IDS: Final = {
    "X-Request-Id": "request-0001",
    "X-Correlation-Id": "correlation-0001",
    "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
}
# Of one outage, whatever its length: the turns of dependency and loops, and ten lines of a kind in ten seconds.
OUTAGE_LINES: Final = 60

POISON: Final = (
    f"{MARK} is no JSON".encode(),
    json.dumps(f"{MARK} is a string").encode(),
    json.dumps({"v": 1, "event_id": f"{MARK}-poison-1", **EVENT, f"{MARK}-key": MARK, "ts_ms": MARK}).encode(),
    json.dumps({"v": 1, "event_id": f"{MARK}-poison-2", **EVENT, "event_type": MARK, "ts_ms": 1}).encode(),
    json.dumps({"v": MARK, "event_id": f"{MARK}-poison-3", **EVENT}).encode(),
    json.dumps({"v": 1, "event_id": f"{MARK}-poison-4", **EVENT, "user_id": f"{MARK}\x00"}).encode(),
)


class Talk:
    """The service, its key, and how each call of the walk went."""

    def __init__(self, service: Service, token: str) -> None:
        self.service = service
        self._headers = {"Authorization": f"Bearer {token}"}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        answer = self.service.client.request(method, path, content=content, headers={**self._headers, **headers})
        return answer.status_code


@contextmanager
def talking(environment: Mapping[str, str], level: str) -> Iterator[Talk]:
    key, token = keys.make("shop", ["admin"], f"{MARK}-secret")
    added = {"API_KEYS": key.entry(), "API_KEYS_IN_QUERY": "true", "LOG_FORMAT": "json", "LOG_LEVEL": level}
    with running({**environment, **added}) as service:
        yield Talk(service, token)


def lines_of(log: str) -> list[dict[str, Any]]:
    """Fails for a line that is not a JSON object with a name, a level and a time."""
    found = [json.loads(line) for line in log.splitlines()]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in found)
    return found


def assert_nothing_private(log: str, *secrets: str) -> None:
    for word in (MARK, *secrets):
        assert [line for line in log.splitlines() if word in line] == []


@pytest.mark.parametrize("level", [pytest.param("INFO", marks=pytest.mark.slow), "DEBUG"])
def test_no_line_tells_of_whom_or_gives_a_secret_away(
    breakable_stack: Stack, environment: dict[str, str], topic_prefix: str, level: str
) -> None:
    stack = breakable_stack
    with talking(environment, level) as talk:
        view = {**EVENT, "event_id": f"{MARK}-event-1", "context": CONTEXT}
        assert talk.send("POST", "/event", view, **IDS) == 202
        assert talk.send("POST", "/event", view) == 200
        assert talk.send("POST", "/event", {**view, "item_id": f"{MARK}-item"}) == 409
        assert talk.send("POST", "/event", {**EVENT, f"{MARK}-unknown": f"{MARK}-value"}) == 422
        assert talk.send("POST", "/event", f"{{{MARK}".encode()) == 400
        batch = [{**EVENT, "event_id": f"{MARK}-event-{n}"} for n in (2, 3)]
        assert talk.send("POST", "/log/batch", [*batch, {MARK: MARK}]) == 200
        assert talk.send("GET", f"/reco?user_id={USER}&session_id={SESSION}") == 200
        assert talk.send("GET", f"/reco?user_id={USER}&{MARK}=1") == 422
        assert talk.send("GET", f"/{MARK}-path/{USER}") == 404
        assert talk.send("POST", "/event", view, Authorization=f"Bearer {MARK}.wrong") == 401
        assert talk.send("POST", f"/log/batch?key={MARK}.wrong", batch, Authorization="") == 401

        producer = Producer({"bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"]})
        for value in POISON:
            producer.produce(topic_prefix + TOPIC_INTERACTIONS, value, key=USER, headers={"event_id": MARK})
        assert producer.flush(15) == 0
        dead = "reco_feature_consumer_processed_total"
        eventually(lambda: talk.service.metric(dead, status="dlq") >= len(POISON), 30.0, talk.service.describe)

        with ExitStack() as again:
            stack.redis.kill()
            again.callback(stack.redis.start)
            assert talk.send("GET", f"/reco?user_id={USER}") == 200
            stack.postgres.kill()
            again.callback(stack.postgres.start)
            assert talk.send("POST", "/event", {**EVENT, "context": CONTEXT}, **IDS) == 503
            assert talk.send("DELETE", f"/users/{USER}") == 503
        eventually(lambda: talk.service.readiness()["status"] == "ready", 30.0, talk.service.describe)
        eventually(lambda: talk.send("DELETE", f"/users/{USER}") == 200, 30.0, talk.service.describe)
        assert talk.service.terminate() == 0
        log = talk.service.log()

    assert_nothing_private(log, stack.folder.password)
    lines = lines_of(log)
    requests = [line for line in lines if line["event"] == "request"]
    refused = [line for line in requests if line["status"] == 503 and line.get("request_id") == "request-0001"]
    assert [(line["correlation_id"], line["trace_id"], line["caller"]) for line in refused] == [
        ("correlation-0001", TRACE, "shop")
    ]
    assert sum(line["event"] == "dead_letter" for line in lines) == len(POISON)
    counted = [line["events"] for line in requests if line["events"]]
    if level == "INFO":
        assert counted == []
        assert all(line["status"] >= 500 for line in requests)
    else:
        one = [{"accepted": 1}, {"duplicate": 1}, {"conflict": 1}, {"invalid": 1}, {"invalid": 1}]
        assert counted == [*one, {"accepted": 2, "invalid": 1}]


@pytest.mark.slow
def test_an_outage_is_a_bounded_number_of_lines(breakable_stack: Stack, environment: dict[str, str]) -> None:
    servers = (breakable_stack.postgres, breakable_stack.kafka, breakable_stack.redis)
    with talking(environment, "INFO") as talk:
        before = len(lines_of(talk.service.log()))
        with ExitStack() as again:
            for server in servers:
                server.kill()
                again.callback(server.start)
            eventually(lambda: talk.service.readiness()["dependencies"]["kafka"]["state"] == "down", 30.0)
            for _ in range(300):
                assert talk.send("POST", "/event", EVENT) == 503
        eventually(lambda: talk.service.readiness()["status"] == "ready", 60.0, talk.service.describe)
        lines = lines_of(talk.service.log())[before:]
    assert {line["name"] for line in lines if line["event"] == "dependency" and line["state"] == "down"} == {
        "postgres",
        "kafka",
        "redis",
    }
    assert len(lines) <= OUTAGE_LINES
