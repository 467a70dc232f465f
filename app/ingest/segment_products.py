"""The products of a message of Segment's protocol, and the events that they become."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from app.core.decoding import InvalidInput, read_noting
from app.core.events import Action, Click, DirectEvent, Purchase, Seconds, ShownItem, View, Watch
from app.core.field_errors import FieldError, field_error_of
from app.core.segment_rules import ITEM_ID_NAMES, SegmentRule
from app.ingest.segment_numbers import numbers_of
from app.ingest.segment_values import id_at, value_at

ProductFaults = dict[str, list[FieldError]]
"""What is wrong with each product that becomes nothing, by the product's path."""

Envelope = Callable[[int], dict[str, Any]]
"""What the event of the product at this place has in common with the others."""

_SINGLE: Final[Mapping[str, Callable[..., DirectEvent]]] = {"view": View, "click": Click, "purchase": Purchase}


def items_of(properties: Mapping[str, Any], rule: SegmentRule) -> Iterator[tuple[str, Any]]:
    """Each product with its path; the properties themselves when they have no list of products."""
    products = value_at(properties, rule.items)
    if isinstance(products, list):
        yield from ((f"$.properties.{rule.items}[{index}]", product) for index, product in enumerate(products))
    elif rule.event_type != "impression":
        yield "$.properties", properties


def item_id_of(item: Any, rule: SegmentRule, path: str) -> str:
    """Raises `InvalidInput`."""
    names = (rule.item_id,) if rule.item_id else ITEM_ID_NAMES
    for name in names:
        found = id_at(value_at(item, name), f"{path}.{name}")
        if found is not None:
            return found
    raise InvalidInput(FieldError(f"{path}.{names[0]}", "the product has no id"))


def shown_of(
    items: Sequence[tuple[str, Any]],
    properties: Mapping[str, Any],
    rule: SegmentRule,
    wrong: list[FieldError],
    products: ProductFaults,
) -> list[ShownItem]:
    """The products of a list that was shown, each once. Segment's positions begin at 1 or at 0. Where one is missing,
    the order of the list counts.
    """
    feed_id = read_noting(wrong, id_at, properties.get("list_id"), "$.properties.list_id")
    once: dict[str, tuple[int, Any]] = {}
    for place, (path, item) in enumerate(items):
        faults: list[FieldError] = []
        item_id = read_noting(faults, item_id_of, item, rule, path)
        if item_id is None:
            products[path] = faults
        else:
            once.setdefault(item_id, (place, item.get("position")))
    given = [position for _, position in once.values() if type(position) is int and 0 <= position <= 100_000]
    if once and len(set(given)) == len(once):
        first = min(1, *given)
        return [
            ShownItem(item_id=item_id, position=position - first, feed_id=feed_id)
            for item_id, (_, position) in once.items()
        ]
    return [ShownItem(item_id=item_id, position=place, feed_id=feed_id) for item_id, (place, _) in once.items()]


def events_of(
    items: Sequence[tuple[str, Any]],
    properties: Mapping[str, Any],
    rule: SegmentRule,
    envelope: Envelope,
    products: ProductFaults,
) -> Iterator[tuple[str, DirectEvent]]:
    """The event of each product, with the product's path."""
    for place, (path, item) in enumerate(items):
        faults: list[FieldError] = []
        item_id = read_noting(faults, item_id_of, item, rule, path)
        event: DirectEvent | None = None
        if rule.event_type == "watch":
            seconds = read_noting(faults, _seconds, item, rule, path)
            if item_id is not None and seconds is not None:
                event = Watch(item_id=item_id, watch_time_sec=seconds, **envelope(place))
        elif item_id is not None:
            about = {"item_id": item_id, **numbers_of(item, properties), **envelope(place)}
            kind = _SINGLE.get(rule.event_type)
            event = Action(event_type=rule.event_type, **about) if kind is None else kind(**about)
        if event is None:
            products[path] = faults
        else:
            yield path, event


def _seconds(item: Mapping[str, Any], rule: SegmentRule, path: str) -> float:
    try:
        return msgspec.convert(value_at(item, rule.watch_time_sec), Seconds)
    except msgspec.ValidationError as error:
        message = field_error_of(error, Seconds).message
        raise InvalidInput(FieldError(f"{path}.{rule.watch_time_sec}", message)) from None
