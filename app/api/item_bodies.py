"""Items as clients send and see them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from app.adapters.catalogue import StoredItem
from app.adapters.timestamps import in_order, read_ms, with_zone, write_ms
from app.api.timestamps import Timestamp, timestamp_faults
from app.core.attributes import (
    MAX_OF_AN_ITEM,
    AttributeName,
    AttributeType,
    GivenValue,
    shown_values,
    stored_values,
)
from app.core.decoding import InvalidInput, decode_known
from app.core.events import PRINTABLE, Id
from app.core.field_errors import FieldError
from app.core.known_parts import beside, known_items

MAX_ITEMS: Final = 1_000
_MAX_FIELD_ERRORS: Final = 100
_TIMES: Final = ("published_at", "expires_at")
_NEVER_SERVED: Final = "the item would never be served: expected a time {}; null is no bound"

Title = Annotated[
    str, Meta(min_length=1, max_length=500, pattern=PRINTABLE, description="1 to 500 printable characters")
]
Labels = Annotated[list[Id], Meta(max_length=50, description="one that is given twice is stored once")]
_BY_NAME: Final = Meta(
    max_length=MAX_OF_AN_ITEM,
    description="values of declared attributes, by name: a number, text, true or false, a time as text, a list of"
    " texts, or a place",
)
Attributes = Annotated[dict[AttributeName, GivenValue], _BY_NAME]
ChangedAttributes = Annotated[dict[AttributeName, GivenValue | None], _BY_NAME]


class CatalogueItemInput(Struct, kw_only=True, forbid_unknown_fields=True):
    """An item without its id. It is served from `published_at` until `expires_at`, which must be later, unless it is
    `hidden`.
    """

    title: Title | None = None
    categories: Labels = []
    tags: Labels = []
    published_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    hidden: bool = False
    attributes: Attributes = {}


class CatalogueBatchItem(CatalogueItemInput, kw_only=True, forbid_unknown_fields=True):
    """An item with its id."""

    item_id: Id


class CatalogueItemPatch(Struct, kw_only=True, forbid_unknown_fields=True):
    """What changes of an item; all else stays. Of `attributes`, those that are named change; null removes one."""

    title: Title | UnsetType | None = UNSET
    categories: Labels | UnsetType = UNSET
    tags: Labels | UnsetType = UNSET
    published_at: Timestamp | UnsetType | None = UNSET
    expires_at: Timestamp | UnsetType | None = UNSET
    hidden: bool | UnsetType = UNSET
    attributes: ChangedAttributes | UnsetType = UNSET


class CatalogueItem(Struct, kw_only=True):
    """An item as it is stored."""

    item_id: str
    title: str | None
    categories: list[str]
    tags: list[str]
    published_at: Timestamp | None
    expires_at: Timestamp | None
    hidden: bool
    attributes: dict[str, Any]
    updated_at: Timestamp


class CatalogueBatch(Struct, forbid_unknown_fields=True):
    """Several items; each replaces the stored item of its id."""

    items: Annotated[list[CatalogueBatchItem], Meta(min_length=1, max_length=MAX_ITEMS)]


_item_decoder: Final = msgspec.json.Decoder(CatalogueItemInput)
_patch_decoder: Final = msgspec.json.Decoder(CatalogueItemPatch)
_items_decoder: Final = msgspec.json.Decoder(CatalogueBatch)

Declared = Mapping[str, AttributeType]


def decode_item(body: bytes) -> tuple[CatalogueItemInput, Sequence[FieldError]]:
    """What is known of an item, and the faults of the rest. Raises `InvalidInput` unless it is an object."""
    return decode_known(_item_decoder, body)


def decode_patch(body: bytes) -> tuple[CatalogueItemPatch, Sequence[FieldError]]:
    """As `decode_item`."""
    return decode_known(_patch_decoder, body)


def decode_items(body: bytes) -> tuple[Sequence[CatalogueBatchItem | UnsetType], Sequence[FieldError]]:
    """As `decode_item`, of several."""
    batch, faults = decode_known(_items_decoder, body)
    return known_items(batch.items), faults


def checked_item(
    item: CatalogueItemInput | CatalogueItemPatch, declared: Declared, faults: Sequence[FieldError]
) -> StoredItem:
    """The row of an item, still without its id. Raises `InvalidInput`, with the `faults` that there are already."""
    return patched_item(_empty(""), item, declared, faults)


def checked_items(
    items: Sequence[CatalogueBatchItem | UnsetType], declared: Declared, faults: Sequence[FieldError]
) -> list[StoredItem]:
    """The rows of several items. Raises `InvalidInput` with the faults of each, up to 100, and those there are."""
    known = {index: item for index, item in enumerate(items) if isinstance(item, CatalogueBatchItem)}
    rows, found = [], _repeated(known)
    for index, item in known.items():
        row, more = _changed(_empty(item.item_id), item, declared, f"$.items[{index}]")
        rows.append(row)
        found += more
    if faults := beside(faults, found):
        raise InvalidInput(*faults[:_MAX_FIELD_ERRORS])
    return rows


def patched_item(
    stored: StoredItem, patch: CatalogueItemInput | CatalogueItemPatch, declared: Declared, faults: Sequence[FieldError]
) -> StoredItem:
    """The row with the changes. Raises `InvalidInput` as `checked_item`."""
    row, more = _changed(stored, patch, declared, "$")
    if faults := beside(faults, more):
        raise InvalidInput(*faults)
    return row


def shown_item(item: StoredItem) -> CatalogueItem:
    fields = structs.asdict(item)
    fields |= {name: with_zone(fields[name]) for name in _TIMES}
    fields["attributes"] = shown_values(item.attributes, write_ms)
    fields["updated_at"] = item.updated_at or datetime.now(UTC)
    return CatalogueItem(**fields)


def _empty(item_id: str) -> StoredItem:
    return StoredItem(
        item_id=item_id, title=None, categories=[], tags=[], published_at=None, expires_at=None, hidden=False
    )


def _changed(
    stored: StoredItem, body: CatalogueItemInput | CatalogueItemPatch, declared: Declared, path: str
) -> tuple[StoredItem, list[FieldError]]:
    """The row with what is known of the body, and what is wrong with that."""
    given = {name: value for name, value in structs.asdict(body).items() if value is not UNSET}
    changed: dict[str, GivenValue | None] = given.pop("attributes", {})
    named = {name: value for name, value in changed.items() if value is not None}
    values, wrong = stored_values(named, declared, read_ms, f"{path}.attributes")
    attributes = {name: value for name, value in stored.attributes.items() if name not in changed} | values
    if len(attributes) > MAX_OF_AN_ITEM:
        wrong.append(FieldError(f"{path}.attributes", f"an item has at most {MAX_OF_AN_ITEM}"))
    for name in ("categories", "tags"):
        if name in given:
            given[name] = list(dict.fromkeys(given[name]))
    row = structs.replace(stored, **given, attributes=attributes)
    return row, [*_time_faults({name: given[name] for name in _TIMES if name in given}, row, path), *wrong]


def _time_faults(given: Mapping[str, datetime | None], after: StoredItem, path: str) -> list[FieldError]:
    """`after`: the item with these times."""
    found = [fault for name, time in given.items() for fault in timestamp_faults(time, f"{path}.{name}")]
    if found or not given or in_order(after.published_at, after.expires_at):
        return found
    if "expires_at" in given:
        return [FieldError(f"{path}.expires_at", _NEVER_SERVED.format("after `published_at`"))]
    return [FieldError(f"{path}.published_at", _NEVER_SERVED.format("before `expires_at`"))]


def _repeated(items: Mapping[int, CatalogueBatchItem]) -> list[FieldError]:
    seen: dict[str, int] = {}
    found = []
    for index, item in items.items():
        first = seen.setdefault(item.item_id, index) if isinstance(item.item_id, str) else index
        if first != index:
            found.append(FieldError(f"$.items[{index}].item_id", f"the same item is at $.items[{first}]"))
    return found
