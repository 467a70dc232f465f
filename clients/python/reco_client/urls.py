"""How ids and options are written in a URL."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote


def segment(item_id: str) -> str:
    """The id as one part of a path: whole, since dots and slashes would be resolved before it is sent."""
    return quote(item_id, safe="").replace(".", "%2E")


def params(**given: Any) -> dict[str, Any]:
    """Leaves out what was left out. A list becomes several parameters."""
    found: dict[str, Any] = {}
    for name, value in _with_whole_ids(given).items():
        if isinstance(value, bool):
            found |= {name: "true"} if value else {}
        elif isinstance(value, str) or not isinstance(value, Iterable):
            found |= {} if value is None else {name: value}
        else:
            found |= {name: list(value)} if value else {}
    return found


def _with_whole_ids(given: dict[str, Any]) -> dict[str, Any]:
    """Each entry of a list of `exclude` is one id. The service divides values of `exclude` at commas, so ids that hold
    some are sent as `exclude_id`.
    """
    listed = given.get("exclude")
    if listed is None or isinstance(listed, str):
        return given
    ids, whole = list(listed), given.get("exclude_id") or ()
    with_commas = [item_id for item_id in ids if "," in item_id]
    return {
        **given,
        "exclude": [item_id for item_id in ids if "," not in item_id],
        "exclude_id": [*([whole] if isinstance(whole, str) else whole), *with_commas],
    }
