"""JSON in which a value is an object that names its type: MongoDB's extended JSON, and an export of DynamoDB."""

from collections.abc import Mapping
from typing import Any, Final

_MONGO: Final = frozenset(
    {"$oid", "$date", "$numberLong", "$numberInt", "$numberDouble", "$numberDecimal", "$uuid", "$symbol"}
)
_DYNAMO: Final = frozenset({"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"})
_MARKS: Final = (b'"$', b'"Item"')


def may_be_typed(raw: bytes) -> bool:
    """Whether the text has a mark of either, so that most text is not looked at again."""
    return any(mark in raw for mark in _MARKS)


def without_types(values: dict[str, Any]) -> dict[str, Any]:
    """The object with plain values in the place of typed ones. Raises `RecursionError` for a deep one."""
    item = values.get("Item")
    if len(values) == 1 and isinstance(item, dict) and item and all(map(_is_of_dynamo, item.values())):
        return {name: _of_dynamo(value) for name, value in item.items()}
    return {name: _of_mongo(value) for name, value in values.items()}


def _of_mongo(value: Any) -> Any:
    if isinstance(value, list):
        return [_of_mongo(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and not _MONGO.isdisjoint(value):
        ((name, inner),) = value.items()
        inner = _of_mongo(inner)
        return int(inner) if name in ("$numberLong", "$numberInt") and _is_integer(inner) else inner
    return {name: _of_mongo(inner) for name, inner in value.items()}


def _is_integer(value: Any) -> bool:
    return isinstance(value, str) and value.removeprefix("-").isdecimal()


def _is_of_dynamo(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and not _DYNAMO.isdisjoint(value)


def _of_dynamo(value: Any) -> Any:
    if not _is_of_dynamo(value):
        return value
    ((kind, inner),) = value.items()
    if kind == "M" and isinstance(inner, dict):
        return {name: _of_dynamo(each) for name, each in inner.items()}
    if kind == "L" and isinstance(inner, list):
        return [_of_dynamo(each) for each in inner]
    return None if kind == "NULL" else inner
