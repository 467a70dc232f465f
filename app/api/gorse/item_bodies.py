"""Gorse's items as clients send them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from app.adapters.catalogue import StoredItem
from app.core.all_faults import MAX_FAULTS
from app.core.decoding import InvalidInput, decode, decode_known, read_noting
from app.core.events import Id
from app.core.field_errors import FieldError
from app.core.known_parts import beside, or_none
from app.ingest.gorse import time_ms

_MAX_ITEMS: Final = 1_000
_MAX_LABELS: Final = 50
_MAX_LABEL: Final = 128
_MAX_TITLE: Final = 500


class GorseItem(Struct, rename="pascal", kw_only=True):
    item_id: Id
    is_hidden: bool | None = False
    categories: list[Id] | None = None
    timestamp: str | int | float | None = None
    labels: Any = None
    comment: str | None = ""


class GorseItemPatch(Struct, rename="pascal", kw_only=True):
    """What is null stays as it is."""

    is_hidden: bool | None = None
    categories: list[Id] | None = None
    timestamp: str | int | float | None = None
    labels: Any = None
    comment: str | None = None


_item: Final = msgspec.json.Decoder(GorseItem)
_raw_items: Final = msgspec.json.Decoder(list[msgspec.Raw])
_patch: Final = msgspec.json.Decoder(GorseItemPatch)


def read_item(body: bytes | msgspec.Raw, path: str = "$") -> StoredItem:
    """Raises `InvalidInput` with all that is wrong; `path`: where the item is in what was sent."""
    try:
        item, wrong = decode_known(_item, body)
    except InvalidInput as error:
        raise InvalidInput(*_below(path, error.field_errors), malformed=error.malformed) from None
    if wrong:
        item = or_none(item)
    faults: list[FieldError] = []
    row = StoredItem(
        item_id=item.item_id,
        title=_title(item.comment or ""),
        categories=categories_of(item.categories or [], path, faults),
        tags=_labels(item.labels),
        published_at=read_noting(faults, _time, item.timestamp, f"{path}.Timestamp"),
        expires_at=None,
        hidden=bool(item.is_hidden),
    )
    if faults := beside(_below(path, wrong), faults):
        raise InvalidInput(*faults)
    return row


def read_items(body: bytes) -> list[StoredItem]:
    """As `read_item`, of an array of up to 1,000, with up to 100 faults."""
    items: list[StoredItem] = []
    faults: list[FieldError] = []
    raw = decode(_raw_items, body)
    if len(raw) > _MAX_ITEMS:
        raise InvalidInput(FieldError("$", f"{len(raw)} items; a request has at most {_MAX_ITEMS}"))
    for index, one in enumerate(raw):
        if (item := read_noting(faults, read_item, one, f"$[{index}]")) is not None:
            items.append(item)
    if faults:
        raise InvalidInput(*faults[:MAX_FAULTS])
    return items


def read_changes(body: bytes) -> dict[str, Any]:
    """The fields of a stored item that change. Raises `InvalidInput` as `read_item`."""
    given, wrong = decode_known(_patch, body)
    if wrong:
        given = or_none(given)
    faults: list[FieldError] = []
    changes: dict[str, Any] = {}
    if given.is_hidden is not None:
        changes["hidden"] = given.is_hidden
    if given.timestamp is not None:
        changes["published_at"] = read_noting(faults, _time, given.timestamp, "$.Timestamp")
    if given.categories is not None:
        changes["categories"] = categories_of(given.categories, "$", faults)
    if given.labels is not None:
        changes["tags"] = _labels(given.labels)
    if given.comment is not None:
        changes["title"] = _title(given.comment)
    if faults := beside(wrong, faults):
        raise InvalidInput(*faults)
    return changes


def categories_of(names: Sequence[str], path: str, faults: list[FieldError]) -> list[str]:
    """Each once. What is wrong with them goes to `faults`."""
    found = list(dict.fromkeys(names))
    if len(found) > _MAX_LABELS:
        faults.append(FieldError(f"{path}.Categories", f"{len(found)} categories; an item has at most 50"))
    return found


def _below(path: str, faults: Sequence[FieldError]) -> list[FieldError]:
    return [FieldError(path + fault.path.removeprefix("$"), fault.message) for fault in faults]


def _time(value: str | float | None, path: str) -> datetime | None:
    at_ms = time_ms(value, path)
    return None if at_ms is UNSET else datetime.fromtimestamp(at_ms / 1000, UTC)


def _title(comment: str) -> str | None:
    """The comment in one line of printable characters, cut to the length of a title."""
    return " ".join("".join(c if c.isprintable() else " " for c in comment).split())[:_MAX_TITLE] or None


def _labels(labels: Any) -> list[str]:
    """The words of labels as tags, those of objects as `name:word`. Numbers are left out: they are embeddings.

    Labels may be nested as deep as JSON is read, so no depth of them is a depth of calls.
    """
    found: dict[str, None] = {}
    left: list[tuple[str, Any]] = [("", labels)]  # the next one last
    while left and len(found) < _MAX_LABELS:
        name, value = left.pop()
        if isinstance(value, str):
            text = f"{name}:{value}" if name else value
            if value and len(text) <= _MAX_LABEL and text.isprintable():
                found[text] = None
        elif isinstance(value, list):
            left += [(name, inner) for inner in reversed(value)]
        elif isinstance(value, dict):
            names = [(f"{name}.{key}" if name else key, inner) for key, inner in reversed(value.items())]
            left += [one for one in names if len(one[0]) < _MAX_LABEL]  # a longer one leaves no room for a word
    return [*found]
