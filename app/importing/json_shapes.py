"""JSON that does not have an object for each row: how to bring it into that form."""

from collections.abc import Mapping
from typing import Any, Final

from app.importing.items import USUAL_ITEM_COLUMNS
from app.importing.mapping import plain_name

_OF_ROWS: Final = "write one object a row instead"
_FEWEST: Final = 2
# An object that names an item is a row, whatever its other values are.
_ITEMS: Final = frozenset(USUAL_ITEM_COLUMNS["item_id"]) - {"id"}


def other_shape(values: Mapping[str, Any]) -> str:
    """What the only object of a file is, and what to do; an empty text for an object that may be a row."""
    inner = list(values.values())
    if len(inner) < _FEWEST or any(
        plain_name(name) in _ITEMS and not isinstance(value, list | dict) for name, value in values.items()
    ):
        return ""
    if any(_is_table(value) for value in inner):
        return f"its rows are lists within an object; {_OF_ROWS}: jq -c '.data[]' FILE, with --header"
    if all(isinstance(value, list) and len(value) == len(inner[0]) for value in inner):
        return f"it has a list for each column; {_OF_ROWS}, as to_json(orient='records', lines=True) of pandas does"
    if not all(isinstance(value, dict) and value and value.keys() == inner[0].keys() for value in inner):
        return ""
    if any(isinstance(value, list | dict) for value in inner[0].values()) or _are_rows(inner):
        return f"it has an object for each row, by keys; {_OF_ROWS}: jq -c '.[]' FILE | reco import -"
    return f"it has an object for each column; {_OF_ROWS}, as to_json(orient='records', lines=True) of pandas does"


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(row, list) for row in value)


def _are_rows(objects: list[Any]) -> bool:
    """Whether these are rows and no columns: names of columns are no numbers."""
    return not all(name.isdecimal() for name in objects[0])
