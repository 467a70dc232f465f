"""The part of a catalogue item that serving needs."""

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, structs

NO_ATTRIBUTES: Final[Mapping[str, Any]] = {}

NEVER_MS: Final = 2**62
"""Later than any time."""

PICTURE_URL: Final = "picture_url"
"""The attribute (a text) that answers carry beside the title, where it is an https URL or a path such as `/a.jpg`."""

# Not `//host` nor `/\host`, which browsers take for another host.
_PICTURE: Final = re.compile(r"https://|/(?![/\\])")


class Card(Struct, frozen=True, gc=False):
    """An item as it is served. `attributes`: as they are stored (`app.core.attributes`). `picture_url`: the one of
    this name, where it is an https URL. It may be served from `served_from_ms` until before `served_until_ms`. An
    answer reads these of each item, so they are found once.
    """

    title: str | None = None
    categories: frozenset[str] = frozenset()
    hidden: bool = False
    published_ms: int | None = None
    expires_ms: int | None = None
    tags: frozenset[str] = frozenset()
    attributes: Mapping[str, Any] = NO_ATTRIBUTES
    picture_url: str | None = None
    served_from_ms: int = 0
    served_until_ms: int = NEVER_MS

    def __post_init__(self) -> None:
        found = self.attributes.get(PICTURE_URL)
        if isinstance(found, str) and _PICTURE.match(found):
            structs.force_setattr(self, PICTURE_URL, found)
        if self.hidden or self.published_ms is not None:
            structs.force_setattr(self, "served_from_ms", NEVER_MS if self.hidden else self.published_ms)
        if self.expires_ms is not None:
            structs.force_setattr(self, "served_until_ms", self.expires_ms)

    def servable(self, now_ms: int, category: str | None) -> bool:
        in_time = self.served_from_ms <= now_ms < self.served_until_ms
        return in_time and (category is None or category in self.categories)


UNKNOWN: Final = Card()
"""An item that is missing from the catalogue."""

NEVER_SERVED: Final = Card(hidden=True)
"""The same, where only items of the catalogue are served."""
