"""What an event was worth, and how many there were of its item, as files have it."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from app.importing.values import Refused, absent, amount_of, number_of, shown

AMOUNT_FIELDS: Final = ("value", "price", "currency", "quantity")
"""Of a row. `price` is that of one: the value is the price times the quantity where the row has no value."""
_MOST_WORTH: Final = 1e12
_MOST_PIECES: Final = 1_000_000
_DECIMALS: Final = 6
_CURRENCY: Final = re.compile("[A-Z]{3}")


class Amounts(Struct, frozen=True, gc=False):
    """`value`: what all of it was worth, in the `currency` (three letters of ISO 4217)."""

    value: float | None = None
    currency: str | None = None
    quantity: int | None = None


def amounts_reader(fields: Mapping[str, str]) -> Callable[[Mapping[str, Any], str], Amounts | None] | None:
    """A function of (column → value, event type) that gives the amounts of a row; None where the file has no column of
    them.

    What is not valid is left out, because the row is about the item. But it raises `Refused` for a purchase of fewer
    than none: that is a return.
    """
    if not fields.keys() & set(AMOUNT_FIELDS):
        return None
    value_of, price_of, currency_of, quantity_of = (_getter(fields.get(field)) for field in AMOUNT_FIELDS)

    def read(values: Mapping[str, Any], event_type: str) -> Amounts | None:
        pieces = _number(quantity_of(values))
        if pieces is not None and pieces < 0 and event_type == "purchase":
            column = fields["quantity"]
            raise Refused(
                f"{column}: {shown(quantity_of(values))} is a return and no purchase; --where '{column}>0' leaves "
                "returns out, --map quantity= takes them as purchases"
            )
        quantity = int(pieces) if pieces is not None and 1 <= pieces <= _MOST_PIECES and pieces.is_integer() else None
        value = _number(value_of(values))
        if value is None and (price := _number(price_of(values))) is not None:
            value = round(price * (quantity or 1), _DECIMALS)
        if value is None or not 0 <= value <= _MOST_WORTH:
            return None if quantity is None else Amounts(quantity=quantity)
        return Amounts(value, _currency(currency_of(values)), quantity)

    return read


def _getter(column: str | None) -> Callable[[Mapping[str, Any]], Any]:
    if column is None:
        return lambda values: None
    return lambda values: values.get(column)


def _number(value: Any) -> float | None:
    if absent(value) or isinstance(value, bool):
        return None
    return amount_of(value) if isinstance(value, str) else number_of(value)


def _currency(value: Any) -> str | None:
    text = str(value).strip().upper()
    return text if _CURRENCY.fullmatch(text) else None
