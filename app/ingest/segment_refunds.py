"""Which purchases of an order a refund takes back."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from app.adapters.stored_events import OrderLine
from app.core.events import Cancellation, Quantity
from app.core.field_errors import FieldError
from app.core.messages import Message


class Refund(Struct, frozen=True, kw_only=True):
    """`products`: path, item and how many (None: all), of those that are named. `whole`: none is, so all are meant.
    `about`: the fields of the cancellations.
    """

    order_id: str
    products: Sequence[tuple[str, str, int | None]]
    whole: bool
    about: dict[str, Any]

    @property
    def user_ids(self) -> list[str]:
        """Whose order it may be: the user's, or that of the visitor who is now the user."""
        return [user_id for user_id in (self.about["user_id"], self.about["anonymous_id"]) if user_id is not None]

    def orders(self, joined: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        """User and order, of each id of the person. `joined`: the ids that are joined into a user's, by user."""
        persons = {one: None for user_id in self.user_ids for one in (user_id, *joined.get(user_id, ()))}
        return [(user_id, self.order_id) for user_id in persons]

    @property
    def message_id(self) -> str:
        """Empty where it has none: then another message without one may be the same."""
        found: str | None = self.about["context"]["message_id"]
        return found or ""


def refunded_of(product: Any) -> int | None:
    """How many of the product; None where it does not say."""
    try:
        return msgspec.convert(product.get("quantity"), Quantity, strict=False)
    except msgspec.ValidationError:
        return None


def taken_back(
    refund: Refund, order: Sequence[OrderLine], errors: list[FieldError]
) -> Iterator[tuple[Cancellation, Message]]:
    """The cancellations, and what each takes back. What is wrong with a product goes to `errors`.

    A purchase of several of an item counts until all of them are refunded at once. A message that is sent again takes
    back what it took before, and nothing else.
    """
    if not order:
        message = f"no stored purchase of this user is of the order {refund.order_id!r}; send refunds after the order"
        errors.append(FieldError("$.properties.order_id", message))
        return
    open_lines = [line for line in order if line.cancelled_by in (None, refund.message_id)]
    if refund.whole:
        yield from (_cancel(refund, line) for line in open_lines)
        return
    for path, item_id, quantity in refund.products:
        if all(line.item.item_id != item_id for line in order):
            errors.append(FieldError(path, f"the order {refund.order_id!r} has no purchase of {item_id!r}"))
        left = math.inf if quantity is None else quantity
        for line in list(open_lines):
            if line.item.item_id == item_id and line.item.quantity <= left:
                left -= line.item.quantity
                open_lines.remove(line)
                yield _cancel(refund, line)


def _cancel(refund: Refund, line: OrderLine) -> tuple[Cancellation, Message]:
    line.cancelled_by = refund.message_id
    user_id, visitor = line.item.user_id, refund.about["anonymous_id"]
    about = refund.about | {"user_id": user_id, "anonymous_id": None if visitor == user_id else visitor}
    return Cancellation(cancels=line.item.event_id, **about), line.item
