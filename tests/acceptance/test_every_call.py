"""Each call of the document answers with each status that the document lists for it, on one running service."""

import gzip
import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import psycopg

from app.core.event_types import MAX_TYPES
from app.core.persons import MAX_LINKS
from app.http.problem_codes import ProblemCode
from tests.support.service import eventually, running

LONG_ID: Final = "x" * 129
EVENT: Final = {"user_id": "ann", "session_id": "s1"}
# By call: a valid body, and an event with the same id and other content.
EVENTS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "/log/watch": ({**EVENT, "item_id": "tent", "watch_time_sec": 60}, {"watch_time_sec": 61}),
    "/log/impression": ({**EVENT, "items": [{"item_id": "tent", "position": 0}]}, {"session_id": "s2"}),
    "/event": ({**EVENT, "item_id": "tent", "event_type": "purchase"}, {"item_id": "stove"}),
}
POSTED: Final[dict[str, dict[str, Any]]] = {
    "/reco": {"history": [{"item_id": "tent", "event_type": "watch"}], "candidates": ["stove"], "explain": True},
    "/rank": {"user_id": "ann", "items": ["stove", "tent"]},
    "/rules/preview": {"user_id": "ann", "rule": {"action": "pin", "item_id": "tent", "position": 1}},
    "/reco/batch": {"user_ids": ["ann", "bob"], "k": 3},
}
PLACES: Final = (
    "/similar/tent",
    "/popular",
    "/trending",
    "/bought-together/tent",
    "/users/ann/recent",
    "/users/ann/buy-again",
)
WISH: Final = {"weight": 0.6, "meaning": "interest"}
# Statuses of every call that other tests show: keys, rate limits and outages.
ELSEWHERE: Final = {"401", "403", "429", "503"}
_MOST_RULES: Final = 1_000

Call = tuple[str, str, dict[str, Any]]


def bad_bodies(method: str, path: str) -> Iterator[Call]:
    """Not JSON, too large, packed in an unknown way, and not valid."""
    yield method, path, {"content": b"{"}
    yield method, path, {"content": b" " * 1_100_000}
    yield method, path, {"content": b"{}", "headers": {"content-encoding": "br"}}
    yield method, path, {"json": {"unknown": 1}}


OTHER_STATE: Final = {"headers": {"if-match": '"another"'}}


def changes_of_a_state(path: str) -> Iterator[Call]:
    """Of an item that is there."""
    yield "PATCH", path, {"json": {"tags": ["new"]}}
    yield "PATCH", path + "-that-is-not-there", {"json": {}}
    yield from bad_bodies("PATCH", path)
    for method, content in (("PUT", {"json": {}}), ("PATCH", {"json": {}}), ("DELETE", {})):
        yield method, path, {**content, **OTHER_STATE}


def of_the_catalogue() -> Iterator[Call]:
    yield "GET", "/items?title=stove&filter=not%20hidden", {}
    yield "GET", "/items?filter=x", {}
    yield "POST", "/items:delete", {"json": {"item_ids": ["nobody"]}}
    yield from bad_bodies("POST", "/items:delete")


def of_one_thing() -> Iterator[Call]:
    bodies: dict[str, dict[str, Any]] = {
        "/items/tent": {"title": "A tent", "categories": ["camping"]},
        "/rules/first": {"action": "boost", "category": "camping", "factor": 2},
        "/attributes/price": {"type": "number"},
        "/event-types/wish": WISH,
    }
    for path, body in bodies.items():
        yield "PUT", path, {"json": body}
        yield "PUT", path, {"json": body}
        yield from bad_bodies("PUT", path)
        yield "PUT", path, {"json": {"type": "text"}}
        if "items" in path:
            yield from changes_of_a_state(path)
        elif "attributes" not in path:
            yield from (("PUT", path, {"json": body, **OTHER_STATE}), ("DELETE", path, OTHER_STATE))
        for method in ("GET", "DELETE", "GET", "DELETE"):
            yield method, path, {}
        for method in ("GET", "DELETE"):
            yield method, path.rpartition("/")[0] + "/" + LONG_ID, {}


def of_experiments() -> Iterator[Call]:
    new = {"name": "bold", "hypothesis": "New.", "variants": [{"name": "bolder", "share": 0.5}], "primary": "ctr"}
    shares = {"shares": {"bolder": 0.25}}
    yield "POST", "/experiments", {"json": new}
    yield "POST", "/experiments", {"json": new}
    yield from bad_bodies("POST", "/experiments")
    size = {"metric": "conversion", "baseline": 0.05}
    yield "POST", "/experiments:sample-size", {"json": size}
    yield from bad_bodies("POST", "/experiments:sample-size")
    yield "GET", "/experiments", {}
    yield "GET", f"/experiments/{LONG_ID}", {}
    yield "DELETE", f"/experiments/{LONG_ID}", {}
    yield "DELETE", "/experiments/bold", {}
    for method, call, body in (("PUT", "shares", shares), ("POST", "stop", {})):
        yield from bad_bodies(method, f"/experiments/bold/{call}")
        for path in (f"/experiments/bold/{call}", f"/experiments/bold/{call}", f"/experiments/none/{call}"):
            yield method, path, {"json": body}
    yield "PUT", "/experiments/bold/shares", {"json": shares}
    for method in ("GET", "DELETE", "GET", "DELETE"):
        yield method, "/experiments/bold", {}


def of_the_rules_history() -> Iterator[Call]:
    yield "GET", "/rules:history?rule_id=first", {}
    yield "GET", "/rules:history?limit=0", {}
    # The first change made a rule that was replaced; the third deleted it.
    for change in (1, 3, 99):
        yield "POST", "/rules:undo", {"json": {"change_id": change}}
    yield "DELETE", "/rules/first", {}
    yield from bad_bodies("POST", "/rules:undo")


def calls() -> Iterator[Call]:
    for path, (body, change) in EVENTS.items():
        event = {**body, "event_id": "event-" + path.strip("/").replace("/", "-")}
        yield "POST", path, {"json": event}
        yield "POST", path, {"json": event}
        yield "POST", path, {"json": {**event, **change}}
        yield from bad_bodies("POST", path)
    purchase = {**EVENTS["/event"][0], "event_id": "event-of-a-batch"}
    batch = [purchase, {"event_type": "view"}]
    packed = {"content": gzip.compress(b'{"events": []}'), "headers": {"content-encoding": "gzip"}}
    lines = {"content": b'{"event_type": "view"}\n{}\n', "headers": {"content-type": "application/x-ndjson"}}
    yield "POST", "/log/batch", {"json": batch}
    yield "POST", "/log/batch", lines
    yield "POST", "/log/batch", packed
    yield "POST", "/log/batch", {"content": iter([b"[", b"]"])}
    yield "POST", "/log/batch", {"json": [{**purchase, "context": {"name": "nul\x00"}}]}
    yield "POST", "/log/batch?atomic=true", {"json": batch}
    yield "POST", "/log/batch?atomic=true", {"json": [{**purchase, "item_id": "stove"}]}
    yield from bad_bodies("POST", "/log/batch")
    message = {"messageId": "m1", "userId": "ann", "event": "Product Viewed", "properties": {"sku": "tent"}}
    for kind in ("track", "identify", "page", "screen", "alias", "group", "batch"):
        yield "POST", f"/v1/{kind}", {"json": message if kind != "batch" else {"batch": [{**message, "type": "track"}]}}
        yield from bad_bodies("POST", f"/v1/{kind}")
    yield from of_one_thing()
    yield "POST", "/items", {"json": {"items": [{"item_id": "stove", "title": "A stove"}]}}
    yield "POST", "/items", {"json": {"items": [{"item_id": LONG_ID}]}}
    yield from bad_bodies("POST", "/items")
    for path in ("/rules", "/attributes", "/event-types"):
        yield "GET", path, {}
    yield from of_the_catalogue()
    for query in ("explain=true&exclude_seen=none", "exclude=stove&max_per_category=1", "category=camping&k=3"):
        yield "GET", f"/reco?user_id=ann&{query}", {}
    for path, body in POSTED.items():
        yield "POST", path, {"json": body}
        yield from bad_bodies("POST", path)
    for path in ("/reco", "/rank"):
        yield "POST", path, {"json": {**POSTED[path], "variant": "bolder"}}
        yield "POST", path, {"json": {**POSTED[path], "variant": "none"}}
    for path in (
        "/analytics/baseline?days=7",
        "/analytics/conversions?days=7",
        "/contract",
        "/metrics/reco",
        "/healthz",
    ):
        yield "GET", path, {}
    for path in PLACES:
        yield "GET", path, {}
        yield "GET", f"{path}?k=x", {}
    for path in ("/readyz", "/model", "/metrics", "/", "/openapi.json", "/docs", "/users/ann", "/users/nobody"):
        yield "GET", path, {}
    for path in (
        "/reco",
        "/analytics/baseline?days=99",
        "/analytics/conversions?days=99",
        f"/users/{LONG_ID}",
        "/users?limit=0",
        "/users",
        "/variants",
    ):
        yield "GET", path, {}
    for path in ("", "?source=none", "/1", "/1?source=none", "/9", "/first"):
        yield "GET", f"/dead-letters{path}", {}
    for act, more in (("replay", {}), ("discard", {"reason": "a test"})):
        yield "POST", f"/dead-letters/{act}", {"json": {"source": "dlq", "ids": [9], **more}}
        yield from bad_bodies("POST", f"/dead-letters/{act}")
    yield from model_calls()
    yield from of_experiments()
    yield from of_the_rules_history()
    yield "GET", "/reco?user_id=ann&variant=bolder", {}
    yield "GET", "/reco?user_id=ann&variant=none", {}
    yield from merging()
    yield "DELETE", "/users/ann", {}
    yield "DELETE", f"/users/{LONG_ID}", {}
    yield "OPTIONS", "/items/tent", {}


def with_reads_again(asked: Iterator[Call]) -> Iterator[Call]:
    """As a client reads again that has kept an answer, too."""
    for method, target, content in asked:
        yield method, target, content
        if method == "GET" and not content:
            yield method, target, {"headers": {"if-none-match": "*"}}


def merging() -> Iterator[Call]:
    yield "POST", "/users/ann/merge", {"json": {"anonymous_id": "visitor-1"}}
    yield from bad_bodies("POST", "/users/ann/merge")
    for _ in range(2):
        yield "DELETE", "/users/ann/merge?anonymous_id=visitor-1", {}
    yield "DELETE", "/users/ann/merge", {}
    for number in range(MAX_LINKS + 1):
        yield "POST", "/users/ann/merge", {"json": {"anonymous_id": f"visitor-{number}"}}


def model_calls() -> Iterator[Call]:
    for path, body in (("promote", {"version": 1}), ("rollback", {}), ("pin", {"pinned": False})):
        yield "POST", f"/model/{path}", {"json": body}
        wanted = "instead_of" if path == "promote" else "version"
        yield "POST", f"/model/{path}", {"json": {**body, wanted: 99}}
        yield from bad_bodies("POST", f"/model/{path}")
    yield "POST", "/model/promote", {"json": {"version": 99}}
    for target in ("/models", "/models?limit=0", *(f"/reco?user_id=ann&variant=model-{one}" for one in (1, 9))):
        yield "GET", target, {}


def test_every_call_answers_with_every_status_that_is_documented(
    environment: dict[str, str], database_url: str
) -> None:
    variants = '[{"name": "bolder", "share": 0.5, "weights": {"popular_week": 2}}]'
    with running({**environment, "VARIANTS": variants}) as service:
        document = service.client.get("/openapi.json").json()
        documented = {
            (method.upper(), path, status)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            for status in set(operation["responses"]) - ELSEWHERE
        }
        # What the explanation explains.
        assert service.client.post("/event", json=EVENTS["/event"][0]).status_code == 202
        eventually(lambda: service.client.get("/users/ann").status_code == 200, describe=service.describe)
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute(
                "INSERT INTO feature_consumer_dlq "
                "(id, topic, partition, record_offset, record_ts_ms, error_kind, error, attempts) "
                "OVERRIDING SYSTEM VALUE VALUES (1, 'recsys.watches.v1', 0, 1, 1, 'decode', 'not JSON', 1)"
            )
        seen = {answered(service.client, document, call) for call in with_reads_again(calls())}
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute("INSERT INTO user_links VALUES ('bob', 'old', DEFAULT, now() - interval '2 days')")
            database.execute(
                "INSERT INTO serving_rules (rule_id, action, item_id, position) "
                f"SELECT 'rule-' || n, 'pin', 'tent', 1 FROM generate_series(1, {_MOST_RULES}) AS n"
            )
            database.execute(
                "INSERT INTO event_types (name, number, weight, meaning, pairs, ends_offer) "
                f"SELECT 'type-' || n, 1000 + n, 1, 'interest', TRUE, FALSE FROM generate_series(1, {MAX_TYPES}) AS n"
            )
        seen.add(answered(service.client, document, ("PUT", "/event-types/one-too-many", {"json": WISH})))
        full = {"action": "boost", "item_id": "tent", "factor": 2}
        assert service.client.put("/rules/rule-1", json=full).status_code == 200  # which announces all of them
        refused = ("POST", "/rules/preview", {"json": {"rule": full}})
        eventually(lambda: answered(service.client, document, refused)[2] == "409", describe=service.describe)
        seen.add(answered(service.client, document, refused))
        seen.add(answered(service.client, document, ("PUT", "/rules/one-too-many", {"json": full})))
        seen.add(answered(service.client, document, ("DELETE", "/users/bob/merge?anonymous_id=old", {})))
        assert documented - seen == set()
        assert service.client.get("/v1/rules").json() == service.client.get("/rules").json()
        assert service.client.post("/v1/event", json=EVENTS["/event"][0]).status_code == 202
        routes = set(re.findall(r'route="(/v1/[^"]+)"', service.client.get("/metrics").text))
        assert routes <= {path for path in document["paths"] if path.startswith("/v1/")}
        assert {status for _, _, status in seen} & {"500"} == set()


def answered(client: httpx.Client, document: dict[str, Any], call: Call) -> tuple[str, str, str]:
    """The method, the documented path and the status."""
    method, target, content = call
    answer = client.request(method, target, **content)
    status = answer.status_code
    if status >= 400 and method != "HEAD":
        assert ProblemCode[answer.json()["code"].upper()].status == status
    path = target.partition("?")[0]
    if path not in document["paths"]:
        with_ids = (known.partition("{") for known in document["paths"] if "{" in known)
        fitting = [
            (before, name, behind)
            for before, _, rest in with_ids
            for name, _, behind in [rest.partition("}")]
            if path.startswith(before) and path.endswith(behind)
        ]
        before, name, behind = max(fitting, key=lambda known: len(known[2]))
        path = f"{before}{{{name}}}{behind}"
    return method, path, str(status)
