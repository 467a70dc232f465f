"""Which items of a long catalogue a filter keeps, so that lists are full however few these are."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.catalogue import NO_ATTRIBUTES, Card
from app.core.filter_columns import Columns
from app.core.filters import Mask, Node
from app.core.item_table import ItemTable
from app.core.needs import FALLBACK_LIMIT, MatchesOf
from app.core.newest_first import Paced, newest_first

MAX_MATCHES: Final = 500
"""So many of the items that a filter keeps are candidates for a place, by each half-life."""

_MAX_KEPT: Final = 50
# Most filters keep `MAX_MATCHES` of so many of the most popular items.
_LOOK: Final = 8 * MAX_MATCHES

_attributes: Final = msgspec.json.Decoder(dict[str, Any])


class Filterable(Struct, frozen=True, gc=False):
    """An item of the catalogue, as far as filters look at it. `attributes`: JSON, empty for none. `since_ms`: when it
    was published or, where that is not known, added.
    """

    title: str | None
    categories: tuple[str, ...]
    tags: tuple[str, ...]
    attributes: bytes
    since_ms: int
    published_ms: int | None
    expires_ms: int | None

    def has_expired(self, now_ms: int) -> bool:
        return self.expires_ms is not None and self.expires_ms <= now_ms

    def card(self) -> Card:
        return Card(
            title=self.title,
            categories=frozenset(self.categories),
            tags=frozenset(self.tags),
            published_ms=self.published_ms,
            expires_ms=self.expires_ms,
            attributes=_attributes.decode(self.attributes) if self.attributes else NO_ATTRIBUTES,
        )


class Matches(Struct, frozen=True):
    """What a filter keeps of the indexed items that may be served: `numbers` of the 500 most popular by each half-life
    or, where fewer are popular, of the newest too; their `popularity`, a row for each, by half-life; the ids of the
    `newest`. `rejected`: by item number, whether it is one of the other indexed items.
    """

    numbers: NDArray[np.int32]
    popularity: NDArray[np.float32]
    newest: Sequence[str]
    rejected: Mask

    def without(self, numbers: NDArray[np.int32]) -> list[int]:
        """Those of these item numbers that are rejected."""
        # A number that is newer than the index is clipped to the last place, which is nobody's.
        found: list[int] = numbers[self.rejected.take(numbers, mode="clip")].tolist()
        return found


class _Kept(Struct):
    """What a filter keeps, by row, and the matches as of a version of the table."""

    rows: Mask
    rejected: Mask
    version: int = -1
    matches: Matches | None = None


class FilterIndex:
    """Set the `numbers` of its `ids` before it is asked. Not thread-safe. The answers to the latest 50 filters are
    kept, for as long as no item begins or ceases to be served: 0.2 MB each in a catalogue of 100,000 items.
    """

    def __init__(self, items: Mapping[str, Filterable], limit: int, now_ms: int, paced: Paced = iter) -> None:
        """Of the `limit` newest items that have not expired. `paced`: goes through them, as fast as it may."""
        live = [item_id for item_id in paced(items) if not items[item_id].has_expired(now_ms)]
        newest = newest_first(live, [items[item_id].since_ms for item_id in paced(live)], limit)
        self.ids: Sequence[str] = newest
        self._columns = Columns((item_id, items[item_id].card()) for item_id in paced(newest))
        self._from = np.array([items[item_id].published_ms or -np.inf for item_id in newest], np.float64)
        ends = [items[item_id].expires_ms for item_id in newest]
        self._until = np.array([np.inf if end is None else end for end in ends], np.float64)
        self.until_ms = float(self._until.min(initial=np.inf)) if len(live) > limit else np.inf
        """When one of them expires, and another takes its place."""
        self._boundaries = np.unique(np.concatenate([self._from, self._until]))
        self.numbers: NDArray[np.int32] = np.zeros(0, np.int32)
        self._kept: dict[tuple[Node, str | None, int], _Kept] = {}
        self._popular: tuple[int, list[NDArray[np.intp]]] = (-1, [])

    def matches(self, need: MatchesOf, table: ItemTable) -> Matches:
        table.make_room()
        kept = self._keeps(need)
        if need.request.shown:
            return self._matches(self._not_shown(kept, need.request.shown, table), table)
        if kept.matches is None or kept.version != table.version:
            kept.matches, kept.version = self._matches(kept, table), table.version
        return kept.matches

    def _keeps(self, need: MatchesOf) -> _Kept:
        request = need.request
        # What may be served changes at these times alone.
        interval = int(np.searchsorted(self._boundaries, request.now_ms, side="right"))
        key = (need.filter.root, request.category, interval)
        found = self._kept.pop(key, None)
        if found is None:
            rows = need.filter.within(request.category).keeps(self._columns, request.now_ms)
            rows &= (self._from <= request.now_ms) & (self._until > request.now_ms)
            rejected = np.zeros(int(self.numbers.max(initial=-1)) + 2, np.bool_)
            rejected[self.numbers] = ~rows
            found = _Kept(rows, rejected)
        if not need.filter.goes_by_the_clock:
            self._kept[key] = found
            if len(self._kept) > _MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        return found

    def _not_shown(self, kept: _Kept, shown: frozenset[int], table: ItemTable) -> _Kept:
        rows = kept.rows.copy()
        rows &= ~np.isin(table.hashes[self.numbers], np.fromiter(shown, np.uint32, len(shown)))
        return _Kept(rows, kept.rejected)

    def _matches(self, kept: _Kept, table: ItemTable) -> Matches:
        if self._popular[0] != table.version:
            self._popular = table.version, table.most_popular(self.numbers, _LOOK)
        newest = kept.rows.nonzero()[0]
        found = [rows[kept.rows[rows]][:MAX_MATCHES] for rows in self._popular[1]]
        if any(len(rows) < MAX_MATCHES for rows in found):
            found = [newest[places] for places in table.most_popular(self.numbers[newest], MAX_MATCHES)]
        rows = np.unique(np.concatenate(found))
        best = self.numbers[rows]
        if len(rows) < MAX_MATCHES:
            best = np.concatenate([best, self.numbers[newest[~np.isin(newest, rows)][: MAX_MATCHES - len(rows)]]])
        ids = [self.ids[row] for row in newest[:FALLBACK_LIMIT].tolist()]
        return Matches(best, table.popularity(best), ids, kept.rejected)


NO_FILTERABLE: Final = FilterIndex({}, 0, 0)
