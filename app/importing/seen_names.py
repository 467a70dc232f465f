"""Which names the values of a file have: those of its columns, and in JSON those of its first objects."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from app.errors import UserError
from app.importing.contents import FileFormat, Values, read_values
from app.importing.delimited import TOO_LONG
from app.importing.items import USUAL_ITEM_COLUMNS
from app.importing.json_shapes import other_shape
from app.importing.lines import before_damage
from app.importing.mapping import USUAL_COLUMNS, has_column, plain_name
from app.importing.rows import BadRow
from app.importing.values import as_list, finder, paths_of

_SHAPE_BY: Final = 100
_LISTS_BY: Final = 100


def names_of(path: Path, file: FileFormat, looked_at: int | None) -> list[str]:
    """The names of the first values (None: of all), with paths to those within objects."""
    keys: dict[str, None] = dict.fromkeys(file.header)
    for values in _first(path, file, looked_at):
        keys |= dict.fromkeys(paths_of(values))
    return list(keys)


def with_nested(path: Path, file: FileFormat, present: Sequence[str], nested: str, looked_at: int | None) -> list[str]:
    """The names, and those of the objects in the lists `nested`; `nested` itself only where it is a list."""
    keys = dict.fromkeys(name for name in present if name != nested)
    find = finder(nested)
    for values in _first(path, file, looked_at):
        inner = as_list(find(values))
        if inner is not None:
            keys[nested] = None
            for event in inner:
                keys |= dict.fromkeys(paths_of(event)) if isinstance(event, dict) else {}
    return list(keys)


def list_of_events(path: Path, file: FileFormat, present: Sequence[str], item: str) -> str | None:
    """A list of objects that one of the first rows has, or the path to one: that of a usual name, or else, where
    nothing is known to be the item, one whose objects have an item. `item`: the column that is given as the item's.
    """
    rows = list(_first(path, file, _LISTS_BY))
    usual, items = USUAL_COLUMNS["events"], set(USUAL_COLUMNS["item_id"])
    has_item = (item != "" and has_column(item, present)) or any(
        plain_name(name.rpartition(".")[2]) in items for name in present
    )
    with_items: str | None = None
    for name in sorted(present, key=lambda name: name.count(".")):
        objects = [inner[0] for inner in map(as_list, map(finder(name), rows)) if inner and isinstance(inner[0], dict)]
        if objects and name.rpartition(".")[2] in usual and not item.startswith(f"{name}."):
            return name
        if objects and not (has_item or with_items) and not items.isdisjoint(map(plain_name, objects[0])):
            with_items = name
    return with_items


def list_of_items(path: Path, file: FileFormat, present: Sequence[str]) -> str | None:
    """The list of a catalogue in JSON, or the path to it, whose objects are the items: where nothing around them has an
    id of its own.
    """
    ids = set(USUAL_ITEM_COLUMNS["item_id"])
    if file.header or any(plain_name(name) in ids for name in present):
        return None
    rows = list(_first(path, file, _LISTS_BY))
    for name in sorted(present, key=lambda name: name.count(".")):
        objects = [inner[0] for inner in map(as_list, map(finder(name), rows)) if inner and isinstance(inner[0], dict)]
        if objects and not ids.isdisjoint(map(plain_name, objects[0])):
            return name
    return None


def holds_lists(path: Path, file: FileFormat, column: str) -> bool:
    """Whether one of the first values is a list."""
    return any(as_list(value) is not None for value in map(finder(column), _first(path, file, _LISTS_BY)))


def refuse_other_shapes(path: Path, file: FileFormat) -> None:
    """Raises `UserError` where the JSON has no object for each row."""
    first = list(islice(before_damage(read_values(path, file, lambda values: False)), _SHAPE_BY))
    if first and all(isinstance(found, BadRow) for found in first):
        reason = first[0].reason  # type: ignore[union-attr]
        hint = "; unwrap the rows first: jq -c '.data[]' FILE | reco import -" if reason == TOO_LONG else ""
        raise UserError(f"{path}: none of the first objects can be read: {reason}{hint}")
    if len(first) == 1 and (why := other_shape(first[0][0])):  # type: ignore[index]
        raise UserError(f"{path}: {why}")


def _first(path: Path, file: FileFormat, looked_at: int | None) -> Iterator[Values]:
    found = islice(before_damage(read_values(path, file, lambda values: False)), looked_at)
    return (values[0] for values in found if not isinstance(values, BadRow))
