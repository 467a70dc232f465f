"""The numbers of Segment's e-commerce events: price, quantity, currency and rating of a product."""

from collections.abc import Mapping
from typing import Any

import msgspec

from app.core.events import Currency, Quantity, Rated, Value


def numbers_of(product: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an event. What a product does not say may stand in the `properties` around it; what is not valid
    is left out, because the event is about the product.
    """
    quantity = _valid(product.get("quantity"), Quantity)
    price = _valid(product.get("price"), Value)
    value = None if price is None else _valid(price * (quantity or 1), Value)
    currency = None if value is None else _valid(product.get("currency") or properties.get("currency"), Currency)
    rating = _valid(product.get("rating") or properties.get("rating"), Rated)
    found = {"quantity": quantity, "value": value, "currency": currency, "rating": rating}
    return {name: number for name, number in found.items() if number is not None}


def _valid(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)  # shops write numbers as text
    except msgspec.ValidationError:
        return None
