"""Maps a file's columns to event fields: guessed from usual names, overridden by the options."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct, structs

from app.core.event_types import FIXED, NO_OWN_TYPES, READY, EventTypes
from app.errors import UserError
from app.importing.amounts import AMOUNT_FIELDS
from app.importing.attributes import WantedAttribute
from app.importing.filters import Condition
from app.importing.values import ALTERNATIVES, JOINED

EVENT_TYPES: Final = (*(name for name in FIXED if name != "cancel"), *READY)
"""What rows may be, besides types that the application has made."""
IGNORE: Final = "ignore"
_deterministic: Final = msgspec.json.Encoder(order="deterministic")

# The usual names of each field's column, compared without case, spaces, dashes and underscores. `events` is a list of
# objects in a JSON line (a session's events, say), each of which takes what it lacks from the line around it.
USUAL_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "user_id": (
        *("userid", "user", "uid", "customerid", "customer", "visitorid", "memberid"),
        *("distinctid", "anonymousid", "clientid"),
    ),
    "session_id": ("sessionid", "session", "usersession", "visitid", "invoiceno", "invoice", "orderid"),
    "item_id": ("itemid", "item", "productid", "product", "aid", "movieid", "videoid", "articleid", "stockcode", "sku"),
    "time": (
        *("occurredat", "tsms", "ts", "timestamp", "eventtime", "time", "datetime", "date", "invoicedate"),
        *("createdat", "eventtimestamp", "orderdate", "purchasedate", "eventdate", "dt", "ds"),
    ),
    "event_type": ("eventtype", "event", "type", "action", "behavior", "behaviour", "behaviortype"),
    "event_id": ("eventid",),
    "title": ("title", "itemtitle", "itemname", "productname", "description"),
    "watch_time_sec": ("watchtimesec",),
    "percent_watched": ("percentwatched",),
    "ended": ("ended",),
    "position": ("position",),
    "rating": ("rating",),
    "value": ("value",),
    "price": ("unitprice",),
    "currency": ("currency", "currencycode"),
    "quantity": ("quantity", "qty"),
    "time_offset_ms": (),
    "events": ("events", "records", "rows", "results", "data", "hits", "docs"),
}
_IDS: Final = ("user_id", "session_id", "item_id")
_REQUIRED: Final = ("user_id", "item_id", "time")
USUAL_TYPES: Final[dict[str, str | None]] = {
    **{name: name for name in EVENT_TYPES},
    "views": "view",
    "pageview": "view",
    "cart": "view",
    "carts": "view",
    "addtocart": "view",
    "clicks": "click",
    "purchases": "purchase",
    "transaction": "purchase",
    "order": "purchase",
    "orders": "purchase",
    "ratings": "rating",
    "removefromcart": None,
}


class ImportOptions(Struct, frozen=True, kw_only=True):
    """The options given for a file; everything else is guessed. An empty column in `columns` unmaps the field.

    `header` names the columns of a CSV file that has no header line. `quote` is empty where quotes are text. `preset`
    is the name of a known layout, none, or auto. `where`: conditions that all must hold of a row that is taken.
    `separator` stands between the labels of an item. `flags`: columns that say whether an item is of the category that
    they name. `attributes`: of the items of a catalogue. `known`: the event types of the database. `exact_types`: the
    file's types have the names of ours.
    """

    preset: str = "auto"
    columns: dict[str, str] = {}
    where: tuple[Condition, ...] = ()
    types: dict[str, str] = {}
    other_types_ignored: bool = False
    event_type: str | None = None
    time_format: str = "auto"
    timezone: str = "UTC"
    delimiter: str | None = None
    quote: str = '"'
    header: tuple[str, ...] = ()
    encoding: str = "utf-8"
    separator: str = "|"
    flags: tuple[str, ...] = ()
    attributes: tuple[WantedAttribute, ...] = ()
    known: EventTypes = NO_OWN_TYPES
    exact_types: bool = False

    @property
    def digest(self) -> str:
        """Of what was given, the same in every process: without the types of the database."""
        told = _deterministic.encode(structs.asdict(self) | {"known": None})
        return blake2b(told, digest_size=8).hexdigest()


class Columns(Struct, frozen=True, kw_only=True):
    """The column layout: field → column, and the file's event type → ours (None: the row is skipped)."""

    fields: dict[str, str]
    types: dict[str, str | None]
    exact_types: bool = False
    known: EventTypes = NO_OWN_TYPES
    other_types_ignored: bool = False
    event_type: str | None = None
    time_format: str = "auto"
    timezone: str = "UTC"

    @property
    def used(self) -> list[str]:
        """The columns that are read."""
        return list(self.fields.values())

    @property
    def tell_ids(self) -> bool:
        """Whether they have the ids of all events that may be taken back: not so where ids are derived from the rows.
        Nobody takes an impression back.
        """
        return "event_id" in self.fields or self.event_type == "impression"


def guess(present: Sequence[str], options: ImportOptions) -> Columns:
    """The mapping for a file that has the columns `present`. Raises `UserError` that lists every error."""
    fields, errors = match(present, options, USUAL_COLUMNS)
    errors += _wrong_types(options)
    if "session_id" in fields:
        fields = {"user_id": fields["session_id"]} | fields  # anonymous sessions: each session is its own user
    if options.event_type is not None:
        fields.pop("event_type", None)
        if not options.known.is_rated(options.event_type) and "rating" not in options.columns:
            fields.pop("rating", None)
    elif "event_type" not in fields:
        errors.append("no column is known to be the event type: say --event-type purchase, or --map event_type=COLUMN")
    errors += [
        f"no column is known to be the {field}: say --map {field}=COLUMN" for field in _REQUIRED if field not in fields
    ]
    refuse(errors, present)
    types = _types(options)
    return Columns(
        fields=fields,
        types=types,
        exact_types=options.exact_types,
        known=options.known,
        other_types_ignored=options.other_types_ignored,
        event_type=options.event_type,
        time_format=options.time_format,
        timezone=options.timezone,
    )


def match(
    present: Sequence[str], options: ImportOptions, usual_columns: Mapping[str, Sequence[str]]
) -> tuple[dict[str, str], list[str]]:
    """Field → column from the options, else from the usual names; and the errors in the options."""
    by_plain_name = {plain_name(column): column for column in reversed(present)}
    wrapped: dict[str, str] = {}
    if "item_id" not in options.columns and by_plain_name.keys().isdisjoint(usual_columns["item_id"]):
        wrapped = _wrapped(present, usual_columns)
    fields: dict[str, str] = {}
    for field, usual in usual_columns.items():
        found = next((names[name] for names in (wrapped, by_plain_name) for name in usual if name in names), "")
        if field in _IDS or field == "event_type":
            found = _within(found, present, ("id", *usual) if field in _IDS else usual)
        elif field in AMOUNT_FIELDS and any(path.startswith(f"{found}.") for path in present):
            found = ""  # an object, and no number
        if column := options.columns.get(field, found):
            fields[field] = column
    errors = []
    for field, column in options.columns.items():
        if field not in usual_columns:
            errors.append(f"--map {field}={column}: no such field; the fields are {', '.join(usual_columns)}")
        elif column and not has_column(column, present):
            errors.append(f"--map {field}={column}: the file has no such column")
    return fields, errors


def _wrapped(present: Sequence[str], usual_columns: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The names within the object that an export has put each row into, as `_source` or `after`: plain name → path.

    It is the one with an item and with most of the usual names; empty where there is none.
    """
    within: dict[str, dict[str, str]] = {}
    for path in reversed(present):
        wrapper, dot, name = path.rpartition(".")
        if dot:
            within.setdefault(wrapper, {})[plain_name(name)] = path
    usual = {name for names in usual_columns.values() for name in names}
    found = [names for names in within.values() if not names.keys().isdisjoint(usual_columns["item_id"])]
    return max(found, key=lambda names: len(names.keys() & usual), default={})


def _within(column: str, present: Sequence[str], names: Sequence[str]) -> str:
    """The path to the first of the names, where the column holds objects: `{"user": {"id": 7}}`; else the column."""
    inner = {plain_name(path.removeprefix(f"{column}.")): path for path in present if path.startswith(f"{column}.")}
    return next((inner[name] for name in names if name in inner), column) if column else column


def refuse(errors: Sequence[str], present: Sequence[str]) -> None:
    """Raises `UserError` with all errors, if there are any."""
    if errors:
        listed = "\n".join(f"  - {error}" for error in errors)
        raise UserError(f"The columns are not clear:\n{listed}\nThe file has: {', '.join(present)}")


def plain_type(name: str) -> str:
    """The name of an event type as it is compared: without case, spaces, dashes and underscores."""
    return plain_name(name) or name.strip()


def has_column(column: str, present: Sequence[str]) -> bool:
    """Whether the file has the column, or what a path begins with. Of a choice, one is enough; of joined ones, all."""
    return any(
        name in present or all(part in present or part.partition(".")[0] in present for part in name.split(JOINED))
        for name in column.split(ALTERNATIVES)
    )


def columns_read(columns: Sequence[str], present: Sequence[str]) -> list[str]:
    """Those of the file's columns that these need: each part of a choice and of joined ones, and a path's beginning."""
    names = {name for column in columns for name in column.split(ALTERNATIVES)}
    paths = [part.split(".") for name in names for part in (name, *name.split(JOINED))]
    # A name may hold dots itself.
    wanted = {".".join(path[:length]) for path in paths for length in range(1, len(path) + 1)}
    return [name for name in present if name in wanted]


def _types(options: ImportOptions) -> dict[str, str | None]:
    made = {name: plain_type(name) for name in options.known.names() if name not in READY}
    types: dict[str, str | None] = {name: name for name in EVENT_TYPES} if options.exact_types else dict(USUAL_TYPES)
    if not options.exact_types:
        types |= {plain: name for name, plain in made.items() if plain not in EVENT_TYPES}
    types |= {name: name for name in made}
    # Those last that name a type of the application exactly, and no other that is spelt alike.
    for name, ours in sorted(options.types.items(), key=lambda given: given[0] in made):
        plain, spelt = plain_type(name), {name}
        if name not in made or types.get(plain) == name:
            spelt.add(plain)
        if name not in made and name not in EVENT_TYPES:
            spelt |= {one for one in made if made[one] == plain}
        types |= dict.fromkeys(spelt, None if ours == IGNORE else ours)
    return types


def refuse_unknown_type(options: ImportOptions) -> None:
    """Raises `UserError` where all rows are to be of a type that is not there."""
    if options.event_type is not None and options.event_type not in (known := _names(options)):
        raise UserError(f"--event-type {options.event_type}: must be one of {', '.join(known)}")


def _names(options: ImportOptions) -> list[str]:
    return list(dict.fromkeys((*EVENT_TYPES, *options.known.names())))


def _wrong_types(options: ImportOptions) -> list[str]:
    known = _names(options)
    return [
        f"--map-type {name}={ours}: the right side must be one of {', '.join(known)} or {IGNORE}"
        for name, ours in options.types.items()
        if ours != IGNORE and ours not in known
    ]


def plain_name(column: str) -> str:
    """The name as names are compared: without case, spaces, dashes and underscores."""
    return "".join(letter for letter in column.lower() if letter.isalnum())
