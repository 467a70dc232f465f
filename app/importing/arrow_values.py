"""The values of Arrow tables as those of other files are: text, numbers, times, lists and objects."""

from decimal import Decimal
from typing import Any, Final
from uuid import UUID

_UUID_BYTES: Final = 16
_OUTSIDE: Final = "a time outside the years 1 to 9999"


def tuples_of(batch: Any) -> list[tuple[Any, ...]]:
    """The rows of a `pyarrow.RecordBatch`."""
    return list(zip(*map(_values, batch.columns), strict=True))


def _values(column: Any) -> list[Any]:
    import pyarrow as pa

    types = pa.types
    simple = _simple(column.type)
    if simple != column.type:
        column = column.cast(simple, safe=False)
    try:
        found: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    except (ValueError, OverflowError):
        found = [_known(scalar) for scalar in column]
    if types.is_fixed_size_binary(simple) and simple.byte_width == _UUID_BYTES:
        return [value if value is None else _text_or_uuid(value) for value in found]
    other = types.is_nested(simple) or types.is_decimal(simple) or isinstance(simple, pa.BaseExtensionType)
    return [_plain(value) for value in found] if other or _is_bytes(types, simple) else found


def _simple(kind: Any) -> Any:
    """The type with microseconds instead of nanoseconds, which no datetime has, and without dictionaries."""
    import pyarrow as pa

    types = pa.types

    def made(field: Any) -> Any:
        return field.with_type(_simple(field.type))

    if types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz) if kind.unit == "ns" else kind
    if types.is_time64(kind):
        return pa.time64("us")
    if types.is_duration(kind):
        return pa.duration("us") if kind.unit == "ns" else kind
    if types.is_dictionary(kind):
        return _simple(kind.value_type)
    if types.is_struct(kind):
        return pa.struct([made(kind.field(place)) for place in range(kind.num_fields)])
    if types.is_list(kind):
        return pa.list_(made(kind.value_field))
    if types.is_large_list(kind):
        return pa.large_list(made(kind.value_field))
    if types.is_map(kind):
        return pa.map_(_simple(kind.key_type), _simple(kind.item_type), kind.keys_sorted)
    return kind


def _is_bytes(types: Any, kind: Any) -> bool:
    """Spark and Impala may write text as bytes."""
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _known(scalar: Any) -> Any:
    """The value; of a time that Python does not know, which costs no other row, that it is one."""
    try:
        return scalar.as_py(maps_as_pydicts="lossy")
    except (ValueError, OverflowError):
        return _OUTSIDE


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):
        # Warehouses write whole numbers, ids among them, as decimals.
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, UUID):
        return str(value)
    return _text(value) if isinstance(value, bytes) else value


def _text_or_uuid(value: bytes) -> str:
    text = _text(value)
    return text if isinstance(text, str) and text.isprintable() else str(UUID(bytes=value))


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
