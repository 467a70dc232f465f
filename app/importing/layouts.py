"""What was found out about a file: its format, its columns, and which of its rows are taken."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from app.importing.contents import FileFormat, Values
from app.importing.exploded import Lists
from app.importing.filters import Condition, checker
from app.importing.instacart import OrderTimes
from app.importing.items import ItemColumns
from app.importing.mapping import Columns
from app.importing.presets import Preset
from app.importing.values import Refused, finder, is_simple

C = TypeVar("C", Columns, ItemColumns)
Prepare = Callable[[Values], bool]


class FileLayout(FileFormat, Generic[C], frozen=True, kw_only=True):
    """A file's format and column layout. `preset` is the known layout that it was recognised as.

    `where`: the conditions of the rows that are taken. `orders`: the file that Instacart's rows are joined with.
    `items`: of a catalogue the list, or the path to it, whose objects are the items.
    """

    columns: C
    preset: Preset | None = None
    where: tuple[Condition, ...] = ()
    orders: Path | None = None
    items: str = ""

    @property
    def row_lists(self) -> Lists:
        """The lists of which each entry is a row."""
        nested = self.items or self.columns.fields.get("events")
        return (nested, nested == self.columns.fields.get("item_id")) if nested else None


def preparer(source: FileLayout[C]) -> Prepare:
    """A function that adds what paths and choices name to the values, and tells whether the row is taken."""
    found = [(name, finder(name)) for name in source.columns.used if not is_simple(name, source.header)]
    conditions = [checker(wanted) for wanted in source.where]
    orders = OrderTimes(source.orders) if source.orders is not None else None
    if not (found or conditions or orders):
        return lambda values: True

    def prepare(values: Values) -> bool:
        if orders is not None:
            orders.add(values)
        for name, find in found:
            values[name] = find(values)
        return all(condition(values) for condition in conditions)

    return prepare


def is_taken(prepare: Prepare, values: Values) -> bool:
    """Whether the row is taken, and not refused."""
    try:
        return prepare(values)
    except Refused:
        return False
