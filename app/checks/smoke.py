"""One event of each kind, walked from its POST to the recommendations, and taken back and erased again."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from app.checks.client import Client, HttpReply

# The same two items each time: a smoke test every minute must not fill the tables with items of its own. Their events
# are taken back, or they would be what everybody likes.
ITEMS: Final = ("reco-smoke-1", "reco-smoke-2")
_POLL_SEC: Final = 0.05


class Step(Struct, frozen=True):
    """`found`: the observed result."""

    name: str
    ok: bool
    ms: float
    found: str = ""


def events(run: str) -> list[tuple[str, dict[str, Any]]]:
    """Path and body of one event of each kind, for a user of this run alone; `run` makes the ids unique."""
    who = {"user_id": f"reco-smoke-{run}", "session_id": f"reco-smoke-{run}"}
    first, second = ITEMS

    def named(kind: str) -> dict[str, Any]:
        return {**who, "event_id": f"reco-smoke-{run}-{kind}"}

    shown = [{"item_id": item, "position": position} for position, item in enumerate(ITEMS, start=1)]
    return [
        ("/log/impression", {**named("impression"), "items": shown}),
        ("/event", {**named("view"), "event_type": "view", "item_id": first}),
        ("/event", {**named("click"), "event_type": "click", "item_id": first}),
        ("/log/watch", {**named("watch"), "item_id": second, "watch_time_sec": 30.0, "percent_watched": 90.0}),
        ("/event", {**named("purchase"), "event_type": "purchase", "item_id": second}),
    ]


def walk(client: Client, *, run: str, patience_sec: float) -> Iterator[Step]:
    """Yields the steps as they are done; ends after the first failure that makes the others pointless."""
    for path in ("/healthz", "/readyz"):
        answer = client.call("GET", path)
        yield Step(f"GET {path}", answer.status == 200, answer.ms, answer.shown())
        if answer.status == 0:
            return
    taken = []
    for path, body in events(run):
        answer = client.call("POST", path, body)
        if answer.status == 202:
            taken.append(body)
        yield _step(f"POST {path} {body.get('event_type', '')}".rstrip(), answer, 202)
    path, body = events(run)[1]
    user = body["user_id"]
    if len(taken) < len(events(run)):
        if taken:
            yield from _ended(client, user, taken, patience_sec)
        return
    again = client.call("POST", path, body)
    yield _step("the same again is a duplicate", again, 200, lambda body: body["status"] == "duplicate")
    batch = {"events": [body]}
    yield _step("POST /log/batch", client.call("POST", "/log/batch", batch), 200, lambda body: body["duplicate"] == 1)
    yield _history(client, user, set(ITEMS), "in the recommendations", patience_sec)
    yield _step("GET /reco", client.call("GET", f"/reco?user_id={user}&k=5"), 200, lambda body: "items" in body)
    yield _step(f"GET /similar/{ITEMS[0]}", client.call("GET", f"/similar/{ITEMS[0]}?k=5"), 200)
    yield _popular(client, patience_sec)
    yield from _ended(client, user, taken, patience_sec)


def _ended(client: Client, user: str, taken: Sequence[dict[str, Any]], patience_sec: float) -> Iterator[Step]:
    """Takes the events back, so that their items are as if nobody had had them, and erases the user."""
    cancelled = [body["event_id"] for body in taken if "item_id" in body]
    for event_id in cancelled:
        body = {"user_id": user, "session_id": user, "event_type": "cancel", "cancels": event_id}
        yield _step("POST /event cancel", client.call("POST", "/event", body), 202)
    if cancelled:
        yield _history(client, user, set(), "no longer in the recommendations", patience_sec)
    yield _step("DELETE /users, which erases the walk", client.call("DELETE", f"/users/{user}"), 200)


def _history(client: Client, user: str, items: set[str], name: str, patience_sec: float) -> Step:
    """Waits until the user's history has these items."""
    started = time.monotonic()
    while True:
        answer = client.call("GET", f"/users/{user}?limit=0")
        elapsed = time.monotonic() - started
        if answer.status in (401, 403):
            return Step(name, False, elapsed * 1000, f"{answer.shown()} It needs the scope users.")
        history = answer.body.get("history", []) if isinstance(answer.body, dict) else []
        if {entry["item_id"] for entry in history} == items and not _queued(answer):
            return Step(name, True, elapsed * 1000)
        if elapsed > patience_sec:
            why = "still queued: look at outbox-relay" if _queued(answer) else "published: look at feature-consumer"
            return Step(name, False, elapsed * 1000, f"not after {patience_sec:g} s; {why}")
        time.sleep(_POLL_SEC)


def _popular(client: Client, patience_sec: float) -> Step:
    """Waits until something is popular: the list of a service without events is kept for a second."""
    started = time.monotonic()
    while True:
        step = _step("GET /popular", client.call("GET", "/popular?k=5"), 200, lambda body: len(body["items"]) > 0)
        if step.ok or time.monotonic() - started > patience_sec:
            return step
        time.sleep(_POLL_SEC)


def _queued(answer: HttpReply) -> bool:
    return isinstance(answer.body, dict) and answer.body.get("queued", 0) > 0


def _step(name: str, answer: HttpReply, status: int, also: Callable[[Any], bool] = lambda body: True) -> Step:
    ok = answer.status == status and isinstance(answer.body, dict) and also(answer.body)
    return Step(name, ok, answer.ms, "" if ok else answer.shown())
