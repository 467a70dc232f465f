"""Items as clients send and see them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from app.adapters.catalogue import StoredItem
from app.adapters.timestamps import read_ms, with_zone, write_ms
from app.api.timestamps import Timestamp, timestamp_faults
from app.core.attributes import (
    MAX_OF_AN_ITEM,
    AttributeName,
    AttributeType,
    GivenValue,
    shown_values,
    stored_values,
)
from app.core.decoding import InvalidInput, decode
from app.core.events import PRINTABLE, Id
from app.core.field_errors import FieldError

MAX_ITEMS: Final = 1_000
_MAX_FIELD_ERRORS: Final = 100

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
    """An item without its id. It is served from `published_at` until `expires_at`, unless it is `hidden`."""

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


def decode_item(body: bytes) -> CatalogueItemInput:
    return decode(_item_decoder, body)


def decode_patch(body: bytes) -> CatalogueItemPatch:
    return decode(_patch_decoder, body)


def decode_items(body: bytes) -> list[CatalogueBatchItem]:
    """Raises `InvalidInput` with the errors of each item, up to 100."""
    try:
        return decode(_items_decoder, body).items
    except InvalidInput as error:
        if error.malformed:
            raise
        # The decoder stops at the first error; a client that sends a thousand items wants all errors.
        field_errors = _item_errors(decode(_raw_items_decoder, body).items)
        raise (InvalidInput(*field_errors) if field_errors else error) from None


def checked_item(item_id: str, item: CatalogueItemInput, declared: Declared) -> StoredItem:
    """The row of an item. Raises `InvalidInput`."""
    stored, faults = _row_of(item_id, item, declared, "$")
    if faults:
        raise InvalidInput(*faults)
    return stored


def checked_items(items: Sequence[CatalogueBatchItem], declared: Declared) -> list[StoredItem]:
    """The rows of several items. Raises `InvalidInput` with the errors of each, up to 100."""
    rows, faults = [], _repeated(items)
    for index, item in enumerate(items):
        stored, more = _row_of(item.item_id, item, declared, f"$.items[{index}]")
        rows.append(stored)
        faults += more
    if faults:
        raise InvalidInput(*faults[:_MAX_FIELD_ERRORS])
    return rows


def patched_item(stored: StoredItem, patch: CatalogueItemPatch, declared: Declared) -> StoredItem:
    """The row with the changes. Raises `InvalidInput`."""
    given = {name: value for name, value in structs.asdict(patch).items() if value is not UNSET}
    changed: dict[str, GivenValue | None] = given.pop("attributes", {})
    named = {name: value for name, value in changed.items() if value is not None}
    values, faults = stored_values(named, declared, read_ms, "$.attributes")
    faults = [*_time_faults(given, "$"), *faults]
    attributes = {name: value for name, value in stored.attributes.items() if name not in changed} | values
    if len(attributes) > MAX_OF_AN_ITEM:
        faults.append(FieldError("$.attributes", f"an item has at most {MAX_OF_AN_ITEM}"))
    if faults:
        raise InvalidInput(*faults)
    for name in ("categories", "tags"):
        if name in given:
            given[name] = list(dict.fromkeys(given[name]))
    return structs.replace(stored, **given, attributes=attributes)


def shown_item(item: StoredItem) -> CatalogueItem:
    fields = structs.asdict(item)
    fields |= {name: with_zone(fields[name]) for name in ("published_at", "expires_at")}
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
    return row, [*_time_faults(structs.asdict(item), path), *faults]


def _time_faults(fields: Mapping[str, Any], path: str) -> list[FieldError]:
    return [
        fault
        for name in ("published_at", "expires_at")
        for fault in timestamp_faults(fields.get(name), f"{path}.{name}")
    ]


def _item_errors(items: Sequence[msgspec.Raw]) -> list[FieldError]:
    field_errors: list[FieldError] = []
    for index, item in enumerate(items):
        try:
            decode(_named_decoder, item)
        except InvalidInput as error:
            field_errors += [
                FieldError(f"$.items[{index}]{field_error.path[1:]}", field_error.message)
                for field_error in error.field_errors
            ]
            if len(field_errors) >= _MAX_FIELD_ERRORS:
                break
    return field_errors


def _repeated(items: Sequence[CatalogueBatchItem]) -> list[FieldError]:
    seen: dict[str, int] = {}
    found = []
    for index, item in enumerate(items):
        first = seen.setdefault(item.item_id, index)
        if first != index:
            found.append(FieldError(f"$.items[{index}].item_id", f"the same item is at $.items[{first}]"))
    return found
