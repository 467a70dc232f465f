"""Which purchases a refund takes back: of which lines of the order, and the same ones at each try."""

import json
from collections.abc import Sequence
from typing import Any, Final

import pytest

from app.adapters.stored_events import OrderedItem, OrderLine
from app.core.field_errors import FieldError
from app.core.segment_rules import with_built_in
from app.ingest.segment import Mapped, read_message
from app.ingest.segment_refunds import Refund, taken_back

NOW_MS: Final = 1_795_000_000_000
RULES: Final = with_built_in(())


def read(event: str = "Order Refunded", **properties: Any) -> Mapped:
    message = {"type": "track", "messageId": "m1", "userId": "ann", "event": event, "properties": properties}
    return read_message(json.dumps(message).encode(), RULES, received_ms=NOW_MS)


def refund_of(**properties: Any) -> Refund:
    refund = read(order_id="o1", **properties).refund
    assert refund is not None
    return refund


def order(*lines: tuple[str, int]) -> list[OrderLine]:
    return [
        OrderLine(
            OrderedItem(
                v=1,
                event_id=f"purchase-{place}",
                user_id="ann",
                session_id="s1",
                ts_ms=NOW_MS,
                received_ms=NOW_MS,
                item_id=item_id,
                quantity=quantity,
            ),
            None,
        )
        for place, (item_id, quantity) in enumerate(lines)
    ]


def cancelled(refund: Refund, lines: Sequence[OrderLine], errors: list[FieldError] | None = None) -> list[str]:
    return [event.cancels for event, _ in taken_back(refund, lines, [] if errors is None else errors)]


def test_refund_without_products_takes_the_whole_order_back() -> None:
    assert cancelled(refund_of(total=30), order(("tent", 1), ("stove", 2))) == ["purchase-0", "purchase-1"]


def test_quantity_as_text_takes_back_no_more_than_it_says() -> None:
    refund = refund_of(products=[{"product_id": "tent", "quantity": "1"}])
    assert cancelled(refund, order(("tent", 1), ("tent", 1))) == ["purchase-0"]


def test_products_are_found_by_item_as_often_as_they_are_refunded() -> None:
    lines = order(("tent", 1), ("stove", 1), ("tent", 1))
    refund = refund_of(products=[{"product_id": "tent", "quantity": 1}, {"product_id": "tent", "quantity": 1}])
    assert cancelled(refund, lines) == ["purchase-0", "purchase-2"]
    assert cancelled(refund_of(products=[{"sku": "tent"}]), order(("tent", 2), ("tent", 1))) == [
        "purchase-0",
        "purchase-1",
    ]


def test_item_of_which_some_are_kept_stays_bought() -> None:
    assert cancelled(refund_of(products=[{"product_id": "tent", "quantity": 1}]), order(("tent", 2))) == []


def test_refund_that_is_sent_again_takes_back_the_same_and_another_one_the_rest() -> None:
    lines = order(("tent", 1), ("tent", 1))
    first = refund_of(products=[{"product_id": "tent", "quantity": 1}])
    assert [cancelled(first, lines) for _ in range(2)] == [["purchase-0"], ["purchase-0"]]
    other = Refund(
        order_id="o1", products=first.products, whole=False, about={**first.about, "context": {"message_id": "m2"}}
    )
    assert cancelled(other, lines) == ["purchase-1"]
    assert cancelled(first, lines) == ["purchase-0"]


def test_unknown_order_and_product_are_told() -> None:
    errors: list[FieldError] = []
    assert cancelled(refund_of(), [], errors) == []
    refund = refund_of(products=[{"product_id": "tent"}, {"product_id": "boat"}])
    assert cancelled(refund, order(("tent", 1)), errors) == ["purchase-0"]
    assert [error.path for error in errors] == ["$.properties.order_id", "$.properties.products[1]"]


@pytest.mark.parametrize("order_id", [None, "", True, ["o1"], "x" * 129])
def test_refund_without_a_valid_order_is_an_error(order_id: Any) -> None:
    mapped = read(order_id=order_id)
    assert (mapped.refund, [error.path for error in mapped.errors]) == (None, ["$.properties.order_id"])


@pytest.mark.parametrize(("order_id", "kept"), [(17.0, "17"), ("o1", "o1"), (None, None), ("x" * 129, None)])
def test_purchase_keeps_the_order_that_it_is_of(order_id: Any, kept: str | None) -> None:
    (event,) = read("Order Completed", order_id=order_id, product_id="tent").events
    assert event.context is not None
    assert event.context.get("order_id") == kept


def test_product_without_an_id_costs_itself_alone() -> None:
    mapped = read(order_id="o1", products=[{"product_id": "tent"}, {}, "stove"])
    assert mapped.refund is not None
    assert [item for _, item, _ in mapped.refund.products] == ["tent"]
    assert [error.path for error in mapped.errors] == [
        "$.properties.products[1].product_id",
        "$.properties.products[2].product_id",
    ]
