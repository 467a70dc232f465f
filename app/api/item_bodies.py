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
from app.core.decoding import InvalidInput, decode, decode_partly
from app.core.events import PRINTABLE, Id
from app.core.field_errors import FieldError

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


class _RawItems(Struct):
    items: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_ITEMS)]


_item_decoder: Final = msgspec.json.Decoder(CatalogueItemInput)
_patch_decoder: Final = msgspec.json.Decoder(CatalogueItemPatch)
_items_decoder: Final = msgspec.json.Decoder(CatalogueBatch)
_named_decoder: Final = msgspec.json.Decoder(CatalogueBatchItem)
_raw_items_decoder: Final = msgspec.json.Decoder(_RawItems)

Declared = Mapping[str, AttributeType]
_Times = Mapping[str, datetime | None]


def decode_item(body: bytes) -> tuple[CatalogueItemInput, list[FieldError]]:
    """With the faults of what is left out of it. Raises `InvalidInput` unless it is an object."""
    return decode_partly(_item_decoder, body)


def decode_patch(body: bytes) -> tuple[CatalogueItemPatch, list[FieldError]]:
    """As `decode_item`."""
    return decode_partly(_patch_decoder, body)


def decode_items(body: bytes) -> tuple[Mapping[int, CatalogueBatchItem], list[FieldError]]:
    """By their places, with the faults of what is left out. Raises `InvalidInput` unless it is a list of items."""
    try:
        return dict(enumerate(decode(_items_decoder, body).items)), []
    except InvalidInput as error:
        if error.malformed:
            raise
        # The decoder stops at the first error; a client that sends a thousand items wants all errors.
        items, faults = _partly(decode(_raw_items_decoder, body).items)
        if not faults:
            raise
        return items, faults


def checked_item(item: CatalogueItemInput, declared: Declared, faults: Sequence[FieldError]) -> StoredItem:
    """The row of an item, still without its id. Raises `InvalidInput`, with the `faults` that there are already."""
    stored, more = _row_of("", item, declared, "$")
    if faults or more:
        raise InvalidInput(*faults, *more)
    return stored


def checked_items(
    items: Mapping[int, CatalogueBatchItem], declared: Declared, faults: Sequence[FieldError]
) -> list[StoredItem]:
    """The rows of several items. Raises `InvalidInput` with the faults of each, up to 100, and those there are."""
    rows, found = [], [*faults, *_repeated(items)]
    for index, item in items.items():
        stored, more = _row_of(item.item_id, item, declared, f"$.items[{index}]")
        rows.append(stored)
        found += more
    if found:
        raise InvalidInput(*found[:_MAX_FIELD_ERRORS])
    return rows


def patched_item(
    stored: StoredItem, patch: CatalogueItemPatch, declared: Declared, faults: Sequence[FieldError]
) -> StoredItem:
    """The row with the changes. Raises `InvalidInput` as `checked_item`."""
    given = {name: value for name, value in structs.asdict(patch).items() if value is not UNSET}
    changed: dict[str, GivenValue | None] = given.pop("attributes", {})
    named = {name: value for name, value in changed.items() if value is not None}
    values, wrong = stored_values(named, declared, read_ms, "$.attributes")
    times: _Times = {name: given[name] for name in _TIMES if name in given}
    after = {name: times.get(name, getattr(stored, name)) for name in _TIMES}
    found = [*faults, *_time_faults(times, after, "$"), *wrong]
    attributes = {name: value for name, value in stored.attributes.items() if name not in changed} | values
    if len(attributes) > MAX_OF_AN_ITEM:
        found.append(FieldError("$.attributes", f"an item has at most {MAX_OF_AN_ITEM}"))
    if found:
        raise InvalidInput(*found)
    for name in ("categories", "tags"):
        if name in given:
            given[name] = list(dict.fromkeys(given[name]))
    return structs.replace(stored, **given, attributes=attributes)


def shown_item(item: StoredItem) -> CatalogueItem:
    fields = structs.asdict(item)
    fields |= {name: with_zone(fields[name]) for name in _TIMES}
    fields["attributes"] = shown_values(item.attributes, write_ms)
    fields["updated_at"] = item.updated_at or datetime.now(UTC)
    return CatalogueItem(**fields)


def _row_of(
    item_id: str, item: CatalogueItemInput, declared: Declared, path: str
) -> tuple[StoredItem, list[FieldError]]:
    attributes, faults = stored_values(item.attributes, declared, read_ms, f"{path}.attributes")
    row = StoredItem(
        item_id=item_id,
        title=item.title,
        categories=list(dict.fromkeys(item.categories)),
        tags=list(dict.fromkeys(item.tags)),
        published_at=item.published_at,
        expires_at=item.expires_at,
        hidden=item.hidden,
        attributes=attributes,
    )
    times = {name: getattr(item, name) for name in _TIMES}
    return row, [*_time_faults(times, times, path), *faults]


def _time_faults(given: _Times, after: _Times, path: str) -> list[FieldError]:
    """`after`: the times that the item would have."""
    found = [fault for name, time in given.items() for fault in timestamp_faults(time, f"{path}.{name}")]
    if found or not given or in_order(*(after[name] for name in _TIMES)):
        return found
    if "expires_at" in given:
        return [FieldError(f"{path}.expires_at", _NEVER_SERVED.format("after `published_at`"))]
    return [FieldError(f"{path}.published_at", _NEVER_SERVED.format("before `expires_at`"))]


def _partly(items: Sequence[msgspec.Raw]) -> tuple[dict[int, CatalogueBatchItem], list[FieldError]]:
    found: dict[int, CatalogueBatchItem] = {}
    faults: list[FieldError] = []
    for index, item in enumerate(items):
        wrong: Sequence[FieldError]
        try:
            found[index], wrong = decode_partly(_named_decoder, item)
        except InvalidInput as error:
            wrong = error.field_errors
        faults += [FieldError(f"$.items[{index}]{fault.path[1:]}", fault.message) for fault in wrong]
        if len(faults) >= _MAX_FIELD_ERRORS:
            break
    return found, faults


def _repeated(items: Mapping[int, CatalogueBatchItem]) -> list[FieldError]:
    seen: dict[str, int] = {}
    found = []
    for index, item in items.items():
        first = seen.setdefault(item.item_id, index)
        if first != index:
            found.append(FieldError(f"$.items[{index}].item_id", f"the same item is at $.items[{first}]"))
    return found
