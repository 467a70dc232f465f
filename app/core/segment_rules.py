"""Which of Segment's events become which of ours: the names of its e-commerce specification, and those of a setting."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from app.core.event_types import NAME_PATTERN, READY
from app.core.field_errors import field_error_of

_FIXED: Final = ("view", "click", "purchase", "watch", "impression", "cancel", "none")
# Names of properties, a dot between those of objects inside of each other: `film.id`.
_Path = Annotated[str, Meta(min_length=1, max_length=256)]

MAX_RULES: Final = 200
ITEM_ID_NAMES: Final = ("product_id", "productId", "item_id", "itemId", "sku")

_SPACES: Final = re.compile(r"[\s_-]+")


class SegmentRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of an event of a name. `event_type`: one of the service, or one that was made with `PUT
    /event-types/{name}`. `cancel`: it takes back purchases of its order. `none`: nothing, it is counted as unmapped.

    `item_id`: the property with the item's id; by default the first of `ITEM_ID_NAMES` that is there. `items`: the
    property with the list of items. Without such a list the properties themselves are the only item.
    `watch_time_sec`: the property with the seconds of a watch.
    """

    event_type: str
    item_id: _Path | None = None
    items: _Path = "products"
    watch_time_sec: _Path = "watch_time_sec"


class NamedRule(Struct, frozen=True):
    """A rule of the setting, and the name of the event."""

    name: str
    rule: SegmentRule


Rules = Mapping[str, SegmentRule]
"""By folded name."""

# The names with the verb first are those of the specification's first version.
_BUILT_IN: Final[Mapping[str, str]] = {
    "Product Viewed": "view",
    "Viewed Product": "view",
    "Product Clicked": "click",
    "Clicked Product": "click",
    "Product Added": "cart",
    "Added Product": "cart",
    "Product Added to Wishlist": "like",
    "Product Shared": "share",
    "Product Reviewed": "rating",
    "Order Completed": "purchase",
    "Completed Order": "purchase",
    "Order Cancelled": "cancel",
    "Order Refunded": "cancel",
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
    rule = msgspec.convert({"event_type": entry} if isinstance(entry, str) else entry, SegmentRule)
    if rule.event_type not in _FIXED and re.match(NAME_PATTERN, rule.event_type) is None:
        known = ", ".join(map(repr, (*_FIXED, *READY)))
        message = f"Invalid value {rule.event_type[:64]!r}; expected one of {known}, or an event type of your own"
        raise msgspec.ValidationError(f"{message} - at `$.event_type`")
    return rule
