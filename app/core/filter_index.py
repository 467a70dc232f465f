"""Which items of a long catalogue a filter keeps, so that lists are full however few these are."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.catalogue import NO_ATTRIBUTES, Card
from app.core.filter_columns import Columns
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.needs import FALLBACK_LIMIT, MatchesOf

MAX_MATCHES: Final = 500
"""So many of the items that a filter keeps are candidates for a place, by each half-life."""

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
    `newest`. `rejected`: the numbers of all other indexed items.
    """

    numbers: NDArray[np.int32]
    popularity: NDArray[np.float32]
    newest: Sequence[str]
    rejected: NDArray[np.int32]


class FilterIndex:
    """`number` it before it is asked. Otherwise immutable; not thread-safe."""

    def __init__(self, items: Mapping[str, Filterable], limit: int) -> None:
        """Of the `limit` newest items."""
        newest = sorted(items, key=lambda item_id: (-items[item_id].since_ms, item_id))[:limit]
        self.ids: Sequence[str] = newest
        self._columns = Columns((item_id, items[item_id].card()) for item_id in newest)
        self._from = np.array([items[item_id].published_ms or -np.inf for item_id in newest], np.float64)
        ends = [items[item_id].expires_ms for item_id in newest]
        self._until = np.array([np.inf if end is None else end for end in ends], np.float64)
        self.numbers: NDArray[np.int32] = np.zeros(0, np.int32)

    def number(self, index: ItemIndex) -> None:
        """Gives all items a number in `index`."""
        self.numbers = index.number(self.ids)

    def matches(self, need: MatchesOf, table: ItemTable) -> Matches:
        table.make_room()
        request = need.request
        kept = need.filter.within(request.category).keeps(self._columns, request.now_ms)
        kept &= (self._from <= request.now_ms) & (self._until > request.now_ms)
        rejected, rows = self.numbers[~kept], kept.nonzero()[0]
        if request.shown:
            hashes = table.hashes[self.numbers[rows]]
            rows = rows[~np.isin(hashes, np.fromiter(request.shown, np.uint32, len(request.shown)))]
        numbers = self.numbers[rows]
        best = table.best(MAX_MATCHES, numbers)
        if len(best) < MAX_MATCHES:
            best = np.concatenate([best, numbers[~np.isin(numbers, best)][: MAX_MATCHES - len(best)]])
        newest = [self.ids[row] for row in rows[:FALLBACK_LIMIT].tolist()]
        return Matches(best, table.popularity(best), newest, rejected)


NO_FILTERABLE: Final = FilterIndex({}, 0)
