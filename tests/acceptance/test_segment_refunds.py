"""Refunds and late events by Segment's protocol, on a running service."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, Final

import psycopg
import pytest

from app.devstack import Stack
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import shared_environment

PRODUCTS: Final = [{"product_id": "tent", "quantity": 2}, {"product_id": "stove"}, {"product_id": "lamp"}]


@pytest.fixture(scope="module")
def service(stack: Stack, template_database: str, redis_base_url: str) -> Iterator[Service]:
    """One for all tests of this module; each has a user of its own."""
    with (
        shared_environment(stack, template_database, redis_base_url, "refunds", EVENT_TIMES="clamp") as settings,
        running(settings) as service,
    ):
        yield service


def send(service: Service, *messages: dict[str, Any]) -> dict[str, Any]:
    answer = service.client.post("/v1/batch", json={"batch": messages})
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if value and name != "success"}


def track(user_id: str, event: str, message_id: str, **properties: Any) -> dict[str, Any]:
    return {"type": "track", "userId": user_id, "event": event, "messageId": message_id, "properties": properties}


def bought(service: Service, user_id: str) -> set[str]:
    """What the user's history says was bought, once all events are counted."""

    def counted() -> bool:
        with psycopg.connect(service.environment["DATABASE_URL"]) as database:
            query = """
            SELECT count(*) FROM events AS e
            WHERE NOT EXISTS (SELECT FROM feature_event_consumed AS c WHERE c.event_id = e.event_id)
            """
            return database.execute(query).fetchone() == (0,)

    eventually(counted, describe=service.describe)
    history = service.client.get(f"/users/{user_id}").json()["history"]
    return {entry["item_id"] for entry in history if entry["kind"] == "purchase"}


def test_refund_takes_an_order_back_in_parts_and_as_a_whole(service: Service) -> None:
    order = track("ann", "Order Completed", "o1-done", order_id="o1", products=PRODUCTS)
    other = track("ann", "Order Completed", "o2-done", order_id=2, products=[{"product_id": "boat"}])
    assert send(service, order, other) == {"accepted": 4}
    part = track("ann", "Order Refunded", "o1-part", order_id="o1", products=[{"product_id": "stove"}])
    assert send(service, part) == {"accepted": 1}
    assert send(service, part) == {"duplicate": 1}
    assert bought(service, "ann") == {"tent", "lamp", "boat"}
    assert send(service, track("ann", "Order Cancelled", "o1-gone", order_id="o1")) == {"accepted": 2}
    assert send(service, track("ann", "Order Refunded", "o2-gone", order_id="2")) == {"accepted": 1}
    assert bought(service, "ann") == set()


def test_refund_in_front_of_its_order_in_one_batch_and_a_retry_of_both(service: Service) -> None:
    order = track("bob", "Order Completed", "b-done", order_id="b", products=PRODUCTS)
    refund = track("bob", "order_refunded", "b-back", order_id="b", products=PRODUCTS[:2])
    assert send(service, refund, order) == {"accepted": 5}
    assert send(service, refund, order) == {"duplicate": 5}
    assert bought(service, "bob") == {"lamp"}


def test_order_of_a_visitor_is_refunded_to_the_account(service: Service) -> None:
    order = track("", "Order Completed", "v-done", order_id="v", products=PRODUCTS) | {"anonymousId": "visitor"}
    assert send(service, order, {"type": "identify", "userId": "cleo", "anonymousId": "visitor"}) == {
        "accepted": 3,
        "linked": 1,
    }
    assert send(service, track("cleo", "Order Refunded", "v-back", order_id="v")) == {"accepted": 3}
    assert bought(service, "cleo") == set()


def test_order_log_in_alias_and_refund_in_one_batch_in_any_order(service: Service) -> None:
    accounts = []
    for place, order in enumerate(permutations(range(4))):
        visitor, name, account = f"visitor-{place}", f"name-{place}", f"account-{place}"
        bought_then = track("", "Order Completed", f"{account}-done", order_id="x", products=PRODUCTS[1:])
        messages = [
            bought_then | {"anonymousId": visitor},
            {"type": "identify", "userId": name, "anonymousId": visitor},
            {"type": "alias", "userId": account, "previousId": name},
            track(account, "Order Refunded", f"{account}-back", order_id="x"),
        ]
        batch = [messages[one] for one in order]
        assert send(service, *batch) == {"accepted": 4, "linked": 2}, order
        assert send(service, *batch) == {"duplicate": 4}, order
        accounts.append(account)
    assert [bought(service, account) for account in accounts] == [set()] * len(accounts)


def test_orders_of_two_visitors_of_one_account_are_refunded_in_the_batch_that_joins_both(service: Service) -> None:
    visitors = ("phone", "laptop")
    orders = [
        track("", "Order Completed", f"gil-{one}", order_id=one, products=PRODUCTS) | {"anonymousId": one}
        for one in visitors
    ]
    log_ins = [{"type": "identify", "userId": "gil", "anonymousId": one} for one in visitors]
    refunds = [track("gil", "Order Cancelled", f"gil-{one}-back", order_id=one) for one in visitors]
    assert send(service, orders[0], *log_ins, *refunds, orders[1]) == {"accepted": 12, "linked": 2}
    assert bought(service, "gil") == set()


def test_refund_of_what_nobody_ordered_costs_itself_alone_and_says_why(service: Service) -> None:
    before = service.metric("reco_segment_messages_total", type="track", outcome="invalid")
    answer = send(
        service,
        track("dan", "Order Completed", "d-done", order_id="d", products=PRODUCTS),
        track("dan", "Order Refunded", "d-else", order_id="o1"),
        track("dan", "Order Refunded", "d-back", order_id="d", products=[{"product_id": "boat"}, PRODUCTS[1]]),
    )
    assert (answer["accepted"], answer["invalid"]) == (4, 2)
    assert [error["path"] for error in answer["errors"]] == [
        "$.batch[1].properties.order_id",
        "$.batch[2].properties.products[0]",
    ]
    assert service.metric("reco_segment_messages_total", type="track", outcome="invalid") == before + 2
    assert bought(service, "dan") == {"tent", "lamp"}


def test_erased_user_leaves_no_order_to_refund(service: Service) -> None:
    order = track("eve", "Order Completed", "e-done", order_id="e", products=PRODUCTS)
    assert send(service, order) == {"accepted": 3}
    assert service.client.delete("/users/eve").status_code in (200, 202, 204)
    assert send(service, track("eve", "Order Refunded", "e-back", order_id="e"))["invalid"] == 1


def test_late_event_is_clamped_as_those_of_the_other_calls(service: Service) -> None:
    """The setting is of all calls that take events."""
    now = datetime.now(UTC)
    late = track("fay", "Product Viewed", "f-late", product_id="tent") | {
        "timestamp": (now - timedelta(days=30)).isoformat()
    }
    early = track("fay", "Product Viewed", "f-early", product_id="stove") | {
        "timestamp": (now + timedelta(days=30)).isoformat()
    }
    assert send(service, late, early) == {"accepted": 2}
    assert send(service, late, early) == {"duplicate": 2}
    with psycopg.connect(service.environment["DATABASE_URL"]) as database:
        rows = database.execute("SELECT ts_ms FROM events WHERE user_id = 'fay' ORDER BY ts_ms").fetchall()
    assert [round((now.timestamp() * 1000 - ts_ms) / 86_400_000) for (ts_ms,) in rows] == [7, 0]
    assert service.metric("reco_event_times_total", kind="late", outcome="clamp") == 2
    assert service.metric("reco_event_times_total", kind="early", outcome="clamp") == 2
