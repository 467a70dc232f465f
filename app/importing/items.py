"""Maps a catalogue file's columns to fields, and turns one line's values into a checked item."""

import ast
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, structs

from app.adapters.timestamps import in_order, is_finite
from app.core.attributes import AttributeType
from app.core.events import Id
from app.core.field_errors import field_error_of
from app.importing.attributes import (
    PICTURE,
    AttributeColumn,
    WantedAttribute,
    attributes_maker,
    columns_of,
    readers_of,
    typed,
)
from app.importing.mapping import USUAL_COLUMNS, ImportOptions, has_column, match, refuse
from app.importing.rows import clean_title
from app.importing.times import TimeParser, time_parser
from app.importing.values import Refused, absent, flag_of, id_of, shown

# Usual names, as `USUAL_COLUMNS` of events: first MovieLens' (movieId, title, genres), last those of shops.
USUAL_ITEM_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "item_id": (*USUAL_COLUMNS["item_id"], "id", "parentasin", "asin"),
    "title": ("title", "itemtitle", "itemname", "productname", "productdisplayname", "prodname", "name", "description"),
    "categories": (
        *("categories", "category", "genres", "genre", "categorycode", "categoryid", "productcategory", "producttype"),
        *("googleproductcategory", "maincategory", "productgroupname", "department"),
    ),
    "tags": ("tags", "tag", "keywords", "labels"),
    "published_at": ("publishedat", "published", "publishdate", "publicationdate", "releasedate", "availabilitydate"),
    "expires_at": ("expiresat", "expires", "expirydate", "expirationdate", "availableuntil"),
    "hidden": ("hidden", "ishidden"),
    PICTURE: (
        "pictureurl",
        "imageurl",
        "imagelink",
        "imagesrc",
        "productimageurl",
        "imurl",
        "image",
        "picture",
        "thumbnail",
        "coverurl",
    ),
}

_NO_LABELS: Final = ("(no genres listed)",)  # MovieLens' placeholder for no genre
# Words of shops for what is not shown yet, or no longer.
_HIDDEN_WORDS: Final = {
    **dict.fromkeys(
        ("draft", "archived", "unlisted", "hidden", "search", "private", "pending", "future", "trash"), True
    ),
    **dict.fromkeys(("active", "publish", "visible", "catalog"), False),
}
_DRAFT: Final = "-1"  # in the place of WooCommerce's flag for what is published
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

ItemLabels = Annotated[list[Id], Meta(max_length=50)]


class ItemColumns(Struct, frozen=True, kw_only=True):
    """The column layout: field → column."""

    fields: dict[str, str]
    time_format: str = "auto"
    timezone: str = "UTC"
    separator: str = "|"
    flags: tuple[str, ...] = ()
    """Columns that say whether the item is of the category that they name."""
    attributes: tuple[AttributeColumn, ...] = ()

    @property
    def used(self) -> list[str]:
        """The columns that are read."""
        return [*self.fields.values(), *(attribute.column for attribute in self.attributes)]

    @property
    def absent(self) -> list[str]:
        """The fields except the id that have no column in the file."""
        found = {*self.fields, *(["categories"] if self.flags else [])}
        return [field for field in USUAL_ITEM_COLUMNS if field not in found and field != PICTURE]


class ItemRow(Struct, frozen=True, kw_only=True):
    """One item of a file, checked. `line` and `pos` as in `Row`."""

    item_id: Id
    title: str | None = None
    categories: ItemLabels = []
    tags: ItemLabels = []
    published_at: datetime | None = None
    expires_at: datetime | None = None
    hidden: bool = False
    attributes: dict[str, Any] = {}
    line: int
    pos: int


def guess_items(present: Sequence[str], options: ImportOptions) -> ItemColumns:
    """The mapping for a file that has the columns `present`. Raises `UserError` that lists every error."""
    fields, errors = match(present, options, USUAL_ITEM_COLUMNS)
    if "item_id" not in fields:
        errors.append("no column is known to be the item_id: say --map item_id=COLUMN")
    elif len(fields) == 1 and not options.attributes:
        others = ", ".join(field for field in USUAL_ITEM_COLUMNS if field != "item_id")
        errors.append(f"no column besides {fields['item_id']} is known; say --map FIELD=COLUMN for one of {others}")
    refuse(errors, present)
    picture = fields.pop(PICTURE, None)
    attributes = columns_of(options.attributes, present, [*fields.values(), *([] if picture is None else [picture])])
    if picture is not None and all(one.name != PICTURE for one in attributes):
        attributes.append(WantedAttribute(PICTURE, picture, "text"))
    missing = [one.column for one in attributes if not has_column(one.column, present)]
    refuse([f"--attribute {column}: the file has no such column" for column in missing], present)
    return ItemColumns(
        fields=fields,
        # Which types those without one have is found in the rows.
        attributes=tuple(
            AttributeColumn(one.name, one.column, one.type or "text", guessed=one.type is None) for one in attributes
        ),
        time_format=options.time_format,
        timezone=options.timezone,
        separator=options.separator,
        flags=() if "categories" in options.columns else options.flags,
    )


def with_attribute_types(columns: ItemColumns, rows: Iterable[Mapping[str, Any]]) -> ItemColumns:
    """With the types of the attributes as the rows tell, where none was given."""
    wanted = [WantedAttribute(one.name, one.column, None if one.guessed else one.type) for one in columns.attributes]
    return structs.replace(columns, attributes=typed(wanted, rows, _attribute_readers(columns)))


def _attribute_readers(columns: ItemColumns) -> Mapping[AttributeType, Callable[[Any], Any]]:
    parse_time = time_parser(columns.time_format, columns.timezone, latest_ms=None, old_dates=True)
    return readers_of(lambda value: _labels(value, columns.separator), parse_time)


def item_maker(columns: ItemColumns) -> Callable[[Mapping[str, Any], int, int], ItemRow]:
    """A function of (column → value, line, pos) that gives the item, or raises `Refused` with the reason.

    Raises `UserError` for a time format or a time zone that does not exist.
    """
    parse_time = time_parser(columns.time_format, columns.timezone, latest_ms=None, old_dates=True)
    readers: dict[str, Callable[[Any], Any]] = {
        "title": _title,
        "categories": lambda value: _labels(value, columns.separator),
        "tags": lambda value: _labels(value, columns.separator),
        "published_at": lambda value: _timestamp(value, parse_time),
        "expires_at": lambda value: _timestamp(value, parse_time),
        "hidden": _flag,
    }
    fields = columns.fields
    id_column = fields["item_id"]
    read = [(field, fields[field], reader) for field, reader in readers.items() if field in fields]
    attributes = attributes_maker(columns.attributes, _attribute_readers(columns)) if columns.attributes else None

    def make(values: Mapping[str, Any], line: int, pos: int) -> ItemRow:
        found: dict[str, Any] = {"item_id": id_of(values, id_column), "line": line, "pos": pos}
        if attributes is not None:
            found["attributes"] = attributes(values)
        if columns.flags:
            found["categories"] = [name for name in columns.flags if flag_of(values.get(name))]
        unpublished = False
        for field, column, reader in read:
            value = values.get(column)
            if absent(value):
                continue
            if field == "published_at" and (hidden := _unpublished(value)) is not None:
                # A flag is no date: what is not published is hidden, whatever else says so.
                unpublished = hidden
                continue
            try:
                found[field] = reader(value)
            except ValueError as error:
                raise Refused(f"{column}: {error}") from None
        if unpublished:
            found["hidden"] = True
        if not in_order(found.get("published_at"), found.get("expires_at")):
            raise Refused(f"{fields['expires_at']}: not after {fields['published_at']}; the item would never be served")
        try:
            return msgspec.convert(found, ItemRow)
        except msgspec.ValidationError as error:
            field_error = field_error_of(error, ItemRow)
            field, bracket, index = field_error.path.removeprefix("$.").partition("[")
            raise Refused(f"{fields.get(field, field)}{bracket}{index}: {field_error.message}") from None

    return make


def _unpublished(value: Any) -> bool | None:
    """Whether a flag says that something is not published; None for what is no flag."""
    published = False if str(value).strip() == _DRAFT else flag_of(value)
    return None if published is None else not published


def _title(value: Any) -> str | None:
    if isinstance(value, dict | list | bool):
        raise ValueError(f"{shown(value)} is not text")
    return clean_title(str(value)) or None


def _labels(value: Any, separator: str) -> list[str]:
    """Names from a list (of lists, of objects with a name), an object of lists, JSON, or separated text; each once."""
    if isinstance(value, str):
        value = _of_text(value, separator)
    if isinstance(value, dict) and "name" not in value:
        value = list(value.values())
    elif not isinstance(value, list):
        value = [value]
    labels: dict[str, None] = {}
    for entry in _flat(value):
        if not isinstance(entry, str | int) or isinstance(entry, bool):
            raise ValueError(f"{shown(entry)} is not a name; expected a list of names, or names separated by |")
        label = str(entry).strip()
        if label and label not in _NO_LABELS:
            labels[label] = None
    return list(labels)


def _flat(entries: list[Any]) -> Iterator[Any]:
    for entry in entries:
        for part in entry if isinstance(entry, list) else (entry,):
            yield part.get("name") if isinstance(part, dict) else part


def _of_text(text: str, separator: str) -> Any:
    if text.lstrip().startswith("["):
        return _json_list(text)
    if text.lstrip().startswith('{"'):
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            return msgspec.json.decode(text, type=dict[str, Any])
    if f"\\{separator}" not in text:
        return text.split(separator)
    # A backslash before a separator makes it a part of the name.
    parts = re.split(rf"(?<!\\){re.escape(separator)}", text)
    return [part.replace(f"\\{separator}", separator) for part in parts]


def _json_list(text: str) -> list[Any]:
    try:
        return msgspec.json.decode(text, type=list[Any])
    except (msgspec.DecodeError, RecursionError):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            if isinstance(found := ast.literal_eval(text.strip()), list):  # as Python writes it
                return found
        raise ValueError(f"{shown(text)} starts like a JSON list but is not valid JSON") from None


def _timestamp(value: Any, parse_time: TimeParser) -> datetime:
    at_ms = parse_time(value)
    with contextlib.suppress(OverflowError):
        timestamp = _EPOCH + timedelta(milliseconds=at_ms)
        if is_finite(timestamp):
            return timestamp
    raise ValueError(f"{shown(value)} is not between the years 1 and 9999 in UTC")


def _flag(value: Any) -> bool:
    flag = flag_of(value)
    if flag is None:
        flag = _HIDDEN_WORDS.get(str(value).strip().lower())
    if flag is not None:
        return flag
    raise ValueError(f"{shown(value)} is neither true nor false")
