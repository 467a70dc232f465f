"""What a type annotation of a struct's field consists of."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct

_ARRAYS: Final = (list, tuple, set, frozenset)


def options_of(kind: Any, metas: tuple[Meta, ...] = ()) -> Iterator[tuple[Any, tuple[Meta, ...]]]:
    """Each type of a union, or the type, without its constraints and with them."""
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        yield from options_of(inner, (*metas, *(meta for meta in more if isinstance(meta, Meta))))
    elif get_args(kind) and get_origin(kind) not in (*_ARRAYS, dict):
        for option in get_args(kind):
            yield from options_of(option)
    else:
        yield kind, metas


def struct_of(value: Mapping[str, Any], kind: Any) -> type[Struct] | None:
    """The struct that this object is to be: the only one, or the one that it names."""
    found = [option for option, _ in options_of(kind) if isinstance(option, type) and issubclass(option, Struct)]
    if len(found) == 1:
        return found[0]
    return next((one for one in found if value.get(one.__struct_config__.tag_field or "") == tag_of(one)), None)


def item_of(kind: Any) -> Any:
    """The type of an array's items; None for what is no array."""
    return next((get_args(option)[0] for option, _ in options_of(kind) if get_origin(option) in _ARRAYS), None)


def value_of(kind: Any) -> Any:
    """The type of the values of an object with free names; None for what is none."""
    return next((get_args(option)[1] for option, _ in options_of(kind) if get_origin(option) is dict), None)


def tag_of(struct: type[Struct]) -> Any:
    return struct.__struct_config__.tag


@cache
def hints_of(struct: type[Struct]) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)
