"""What an item is by its content: its categories, its tags and the words of its title."""

from collections.abc import Iterable
from typing import Final
from zlib import crc32

import numpy as np
from msgspec import Struct

from app.core.catalogue import NEVER_MS
from app.core.title_words import words_of

COLD_EVENTS: Final = 5
"""An item with fewer events is cold."""

IS_CATEGORY: Final = 1
"""The bit of a term's number that is set for categories alone."""

_MAX_TERMS: Final = 64


class Content(Struct, frozen=True, gc=False):
    """An item of the catalogue, as far as its place by content depends on it.

    `terms`: see `terms_of`. `events`: how often users did anything with it, at least up to `COLD_EVENTS`. Times are
    milliseconds; `since_ms` is when the item was published or, where that is not known, added.
    """

    terms: bytes
    events: int = 0
    since_ms: int = 0
    published_ms: int | None = None
    expires_ms: int | None = None

    def servable(self, now_ms: int) -> bool:
        return (self.published_ms is None or self.published_ms <= now_ms) and (
            self.expires_ms is None or self.expires_ms > now_ms
        )

    def settled_until_ms(self, now_ms: int) -> int:
        """When it begins or ceases to be servable next; `NEVER_MS`: it does not."""
        times = [time for time in (self.published_ms, self.expires_ms) if time is not None and time > now_ms]
        return min(times, default=NEVER_MS)


def terms_of(title: str | None, categories: Iterable[str], tags: Iterable[str]) -> bytes:
    """Numbers (uint32) for the terms, each once, the categories first. Of more than 64 the first ones.

    They are hashes: of 100,000 terms some three share their number with another, and then say less of an item.
    """
    found = dict.fromkeys([_hash(f"category {name}") | IS_CATEGORY for name in categories])
    found |= dict.fromkeys([_hash(f"tag {name}") & ~IS_CATEGORY for name in tags])
    found |= dict.fromkeys([_hash(word) & ~IS_CATEGORY for word in words_of(title or "")])
    return np.array([*found][:_MAX_TERMS], np.uint32).tobytes()


def _hash(term: str) -> int:
    return crc32(term.casefold().encode())
