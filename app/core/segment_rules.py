"""Which of Segment's events become which of ours: the names of its e-commerce specification, and those of a setting."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from app.core.field_errors import field_error_of

EventType = Literal["view", "click", "purchase", "watch", "impression", "none"]
# Names of properties, a dot between those of objects inside of each other: `film.id`.
_Path = Annotated[str, Meta(min_length=1, max_length=256)]

MAX_RULES: Final = 200
ITEM_ID_NAMES: Final = ("product_id", "productId", "item_id", "itemId", "sku")

_SPACES: Final = re.compile(r"[\s_-]+")


class SegmentRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of an event of a name. `none`: nothing, it is counted as unmapped.

    `item_id`: the property with the item's id; by default the first of `ITEM_ID_NAMES` that is there. `items`: the
    property with the list of items. Without such a list the properties themselves are the only item.
    `watch_time_sec`: the property with the seconds of a watch.
    """

    event_type: EventType
    item_id: _Path | None = None
    items: _Path = "products"
    watch_time_sec: _Path = "watch_time_sec"


class NamedRule(Struct, frozen=True):
    """A rule of the setting, and the name of the event."""

    name: str
    rule: SegmentRule


Rules = Mapping[str, SegmentRule]
"""By folded name."""

# The service has no event for a cart; a click is its sign of interest between a view and a purchase. The names with the
# verb first are those of the specification's first version.
_BUILT_IN: Final[Mapping[str, EventType]] = {
    "Product Viewed": "view",
    "Viewed Product": "view",
    "Product Clicked": "click",
    "Clicked Product": "click",
    "Product Added": "click",
    "Added Product": "click",
    "Product Added to Wishlist": "click",
    "Order Completed": "purchase",
    "Completed Order": "purchase",
    "Product List Viewed": "impression",
    "Product List Filtered": "impression",
}


def fold(name: str) -> str:
    """Names that differ in case, or in spaces, underscores and hyphens, are the same: `product_viewed`."""
    return _SPACES.sub(" ", name.strip()).casefold()


def with_built_in(own: Iterable[NamedRule]) -> Rules:
    """All rules; one of the setting replaces the built-in one of its name."""
    found = {fold(name): SegmentRule(event_type=event_type) for name, event_type in _BUILT_IN.items()}
    return found | {fold(entry.name): entry.rule for entry in own}


def parse(text: str) -> tuple[NamedRule, ...]:
    """From JSON such as `{"Article Read": "view", "Film Played": {"event_type": "watch", "item_id": "film.id"}}`.

    Raises `ValueError` that names every error and its path.
    """
    try:
        entries = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(entries, dict) or len(entries) > MAX_RULES:
        raise ValueError(f'expected an object of at most {MAX_RULES} events, such as {{"Article Read": "view"}}')
    errors: list[str] = []
    names: dict[str, str] = {}
    found = []
    for name, entry in entries.items():
        if (first := names.setdefault(fold(name), name)) != name:
            errors.append(f"{name!r} and {first!r} are the same event")
        try:
            found.append(NamedRule(name, _rule(entry)))
        except msgspec.ValidationError as error:
            wrong = field_error_of(error, SegmentRule)
            errors.append(f"$[{name!r}]{wrong.path.removeprefix('$')}: {wrong.message}")
    if errors:
        raise ValueError("; ".join(errors))
    return tuple(found)


def _rule(entry: Any) -> SegmentRule:
    return msgspec.convert({"event_type": entry} if isinstance(entry, str) else entry, SegmentRule)
