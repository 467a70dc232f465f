"""Which types of Gorse's feedback become which events: the usual names, and those of a setting."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from app.core.field_errors import field_error_of

GorseEventType = Literal["view", "click", "purchase", "watch", "none"]
"""`watch`: the feedback's value is the seconds. `none`: it is accepted and becomes nothing."""

GorseTypes = Mapping[str, GorseEventType]
"""By the type's name in lower case."""

_Own = Annotated[dict[str, GorseEventType], Meta(max_length=200)]

_BUILT_IN: Final[Mapping[GorseEventType, tuple[str, ...]]] = {
    "view": ("read", "view", "visit", "open"),
    "click": (
        *("click", "like", "star", "favorite", "bookmark", "share", "comment", "follow", "cart", "add_to_cart"),
        *("watch", "play", "listen"),
    ),
    "purchase": ("purchase", "buy", "order"),
}


def with_usual_names(own: GorseTypes) -> GorseTypes:
    """All types; one of the setting replaces the usual one of its name."""
    return {name: event_type for event_type, names in _BUILT_IN.items() for name in names} | dict(own)


def parse_gorse_types(text: str) -> GorseTypes:
    """From JSON such as `{"subscribe": "purchase", "mute": "none"}`. Raises `ValueError` that says what is wrong."""
    try:
        own = msgspec.json.decode(text, type=_Own)
    except msgspec.ValidationError as error:
        wrong = field_error_of(error, _Own)
        raise ValueError(f"{wrong.path}: {wrong.message}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    return {name.lower(): event_type for name, event_type in own.items()}
