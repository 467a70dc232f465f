"""Libraries of Segment and RudderStack, as they are published, send to a running service."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest
import rudderstack.analytics.client as rudderstack
import segment.analytics.client as segment

from app.core import keys
from app.devstack import Stack
from tests.support.npm import npm_install
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import shared_environment

WRITE, WRITE_TOKEN = keys.make("shop", ["write"], "w" * 43)
READ, READ_TOKEN = keys.make("front", ["read"], "r" * 43)
NODE: Final = "@segment/analytics-node@3.1.0"
PRODUCTS: Final = [{"product_id": "tent", "price": 99.5, "quantity": 2}, {"product_id": "stove"}]
RULES: Final = {"Film Played": {"event_type": "watch", "item_id": "film.id", "watch_time_sec": "seconds"}}

FROM_NODE: Final = """\
const { Analytics } = require("@segment/analytics-node");
const analytics = new Analytics({ writeKey: process.env.KEY, host: process.env.URL, flushAt: 20 });
analytics.on("error", error => { console.error(error); process.exitCode = 1; });
analytics.identify({ userId: "node", traits: { plan: "free" } });
analytics.track({ userId: "node", event: "Product Viewed", properties: { product_id: "tent" } });
analytics.track({ userId: "node", event: "Order Completed",
  properties: { products: [{ product_id: "tent" }, { product_id: "stove" }] } });
analytics.closeAndFlush();
"""


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    """One for all tests of this module; each has a user of its own."""
    environment = shared_environment(
        stack,
        template_database,
        redis_base_url,
        "segment",
        API_KEYS=f"{WRITE.entry()},{READ.entry()}",
        SEGMENT_EVENTS=json.dumps(RULES),
    )
    with environment as settings, running(settings) as service:
        yield service


def stored(service: Service, user_id: str) -> list[tuple[str, str]]:
    """Type and item of each event, impressions without items, in the order of their times."""
    with psycopg.connect(service.environment["DATABASE_URL"]) as database:
        rows = database.execute(
            "SELECT event_type, coalesce(payload ->> 'item_id', '') FROM events WHERE user_id = %s "
            "ORDER BY ts_ms, 1, 2",
            [user_id],
        )
        return [(str(kind), str(item)) for kind, item in rows]


def send(service: Service, path: str, body: Any, **options: Any) -> httpx.Response:
    return httpx.post(f"{service.url}{path}", json=body, auth=(WRITE_TOKEN, ""), **options)


def test_segments_python_client_fills_a_history(service: Service) -> None:
    before = counted(service)
    errors: list[Any] = []
    client = segment.Client(WRITE_TOKEN, host=service.url, gzip=True, on_error=lambda *said: errors.append(said))
    started = datetime.now(UTC) - timedelta(minutes=5)
    client.identify("ann", {"plan": "free"})
    client.page("ann", "Shop", "Orders of Ann")
    client.track("ann", "Product List Viewed", {"list_id": "home", "products": PRODUCTS}, timestamp=started)
    client.track("ann", "Product Viewed", PRODUCTS[0], timestamp=started + timedelta(seconds=1))
    client.track(
        "ann", "Film Played", {"film": {"id": "alien"}, "seconds": 90}, timestamp=started + timedelta(seconds=2)
    )
    client.track("ann", "Order Completed", {"order_id": "o1", "products": PRODUCTS}, timestamp=started)
    client.track("ann", "Coupon Applied", {"order_id": "o1"})
    client.alias("visitor", "ann")
    client.flush()
    client.join()
    assert errors == []
    assert stored(service, "ann") == [
        ("impression", ""),
        ("purchase", "stove"),
        ("purchase", "tent"),
        ("view", "tent"),
        ("watch", "alien"),
    ]
    eventually(lambda: popular(service) >= {"tent", "stove", "alien"}, describe=service.describe)
    after = counted(service)
    assert [later - earlier for earlier, later in zip(before, after, strict=True)] == [4, 1, 1]
    assert '"name": "Coupon Applied"' in service.log()
    assert "Orders of Ann" not in service.log()


def counted(service: Service) -> list[float]:
    """Messages so far: mapped, unmapped, and other ids of users."""
    return [
        service.metric("reco_segment_messages_total", type=kind, outcome=outcome)
        for kind, outcome in (("track", "mapped"), ("track", "unmapped"), ("alias", "mapped"))
    ]


def popular(service: Service) -> set[str]:
    answer = service.client.get("/popular", headers={"x-api-key": READ_TOKEN})
    return {item["item_id"] for item in answer.json()["items"]}


@pytest.mark.slow
def test_rudderstacks_python_client_sends_orders(service: Service) -> None:
    errors: list[Any] = []
    client = rudderstack.Client(WRITE_TOKEN, host=service.url, on_error=lambda *said: errors.append(said))
    client.track("bob", "Product Added", PRODUCTS[0])
    client.track("bob", "Order Completed", {"products": PRODUCTS})
    client.screen("bob", "Shop", "Home")
    client.flush()
    client.join()
    assert errors == []
    assert sorted(stored(service, "bob")) == [("cart", "tent"), ("purchase", "stove"), ("purchase", "tent")]


@pytest.mark.slow
def test_segments_node_client_sends_orders(service: Service, tmp_path: Path) -> None:
    npm_install(tmp_path, NODE)
    environment = {"KEY": WRITE_TOKEN, "URL": service.url}
    sent = subprocess.run(
        [str(shutil.which("node")), "-e", FROM_NODE],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (sent.returncode, sent.stderr) == (0, "")
    assert sorted(stored(service, "node")) == [("purchase", "stove"), ("purchase", "tent"), ("view", "tent")]


@pytest.mark.shows("SEGMENT_EVENTS")
def test_message_sent_again_is_a_duplicate_and_a_bad_one_costs_itself_alone(service: Service) -> None:
    """As a browser sends it: `text/plain`. The clock of the sender is an hour ahead."""
    ahead = datetime.now(UTC) + timedelta(hours=1)
    batch = [
        {"type": "track", "event": "film played", "properties": {"film": {"id": "alien"}, "seconds": 60}},
        {"type": "track", "event": "Order Completed", "properties": {"products": [*PRODUCTS, {}]}},
        {"type": "track", "event": "Product Viewed"},
        {"type": "delete"},
        "nonsense",
        {"type": "group", "groupId": "g1"},
        {"type": "identify", "traits": {"name": "caf\ud83d"}},
    ]
    for number, message in enumerate(batch):
        if isinstance(message, dict):
            message |= {"messageId": f"m{number}", "anonymousId": "cleo", "timestamp": ahead.isoformat()}
    outcomes = []
    for _ in range(2):
        body = json.dumps({"batch": batch, "sentAt": (datetime.now(UTC) + timedelta(hours=1)).isoformat()})
        answer = httpx.post(
            f"{service.url}/v1/batch", content=body, auth=(WRITE_TOKEN, ""), headers={"content-type": "text/plain"}
        )
        assert (answer.status_code, answer.json()["success"]) == (200, True)
        outcomes.append([answer.json()[name] for name in ("accepted", "duplicate", "conflict", "unmapped", "invalid")])
    assert outcomes == [[3, 0, 0, 1, 5], [0, 3, 0, 1, 5]]
    assert [error["path"] for error in answer.json()["errors"]] == [
        "$.batch[1].properties.products[2].product_id",
        "$.batch[2].properties.product_id",
        "$.batch[3].type",
        "$.batch[4]",
        "$.batch[6]",
    ]
    with psycopg.connect(service.environment["DATABASE_URL"]) as database:
        ((latest,),) = database.execute("SELECT max(ts_ms) FROM events WHERE user_id = 'cleo'").fetchall()
    assert latest < datetime.now(UTC).timestamp() * 1000


def test_late_message_is_told_once_with_the_path_of_its_time(service: Service) -> None:
    order = {"userId": "eli", "event": "Order Completed", "properties": {"products": [{"sku": "a"}, {"sku": "b"}]}}
    for field in ("timestamp", "originalTimestamp"):
        answer = send(service, "/v1/track", {**order, field: "2001-01-01T00:00:00Z"}).json()
        assert (answer["invalid"], [error["path"] for error in answer["errors"]]) == (2, [f"$.{field}"])


def test_more_products_than_a_batch_may_have_are_stored_in_parts(service: Service) -> None:
    products = [{"product_id": f"item-{number}"} for number in range(400)]
    order = {"type": "track", "userId": "dan", "event": "Order Completed", "properties": {"products": products}}
    answer = send(service, "/v1/batch", {"batch": [{**order, "messageId": f"order-{n}"} for n in range(6)]})
    assert (answer.status_code, answer.json()["accepted"]) == (200, 2400)
    bad = {**order, "properties": {"products": [{}] * 400}}
    answer = send(service, "/v1/track", bad)
    assert (answer.status_code, answer.json()["invalid"], len(answer.json()["errors"])) == (200, 400, 100)
    told = [line for line in service.log().splitlines() if "the product has no id" in line and "products[" in line]
    assert len(told) == 1


def test_key_as_the_user_name_is_needed_and_has_scopes(service: Service) -> None:
    message = {"userId": "ann", "event": "Product Viewed", "properties": {"product_id": "tent"}}
    assert send(service, "/v1/track", message).json()["accepted"] == 1
    for auth, status in ((None, 401), (("wrong.key", ""), 401), ((READ_TOKEN, ""), 403)):
        answer = httpx.post(f"{service.url}/v1/track", json=message, auth=auth)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    broken = {"authorization": "Basic not-base64!"}
    assert httpx.post(f"{service.url}/v1/track", json=message, headers=broken).status_code == 401
    assert send(service, "/v1/batch", {"batch": [{}] * 2_501}).status_code == 422


def test_a_message_that_is_too_deep_costs_itself_alone(service: Service) -> None:
    good = json.dumps({"type": "track", "event": "Product Viewed", "userId": "deep", "properties": PRODUCTS[0]})
    deep = good.replace('"userId"', '"context": {"a": ' + "[" * 3_000 + "]" * 3_000 + '}, "userId"')
    headers = {"content-type": "application/json"}
    body = f'{{"batch": [{deep}, {good}], "sentAt": "{datetime.now(UTC).isoformat()}"}}'
    answer = httpx.post(f"{service.url}/v1/batch", content=body, auth=(WRITE_TOKEN, ""), headers=headers)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["invalid"]) == (200, 1, 1), answer.text
    assert answer.json()["errors"] == [{"path": "$.batch[0]", "message": "nested too deeply"}]
