"""Which items are alike by their content, so that an item has a place before users have shown what it goes with.

Terms that few items have count most (TF-IDF: K. Spärck Jones, "A Statistical Interpretation of Term Specificity",
Journal of Documentation 28(1), 1972), and two items are as alike as the cosine of their weighted terms. The sums are
added up term at a time, from lists of the items that have each term.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.catalogue import NEVER_MS
from app.core.content import COLD_EVENTS, IS_CATEGORY, Content
from app.core.item_index import ItemIndex
from app.core.newest_first import Paced, newest_first
from app.core.profile import Profile
from app.core.weights import CONTENT_FEATURES

MAX_ITEMS: Final = 100_000
"""So many items are indexed, the newest of those that may be served."""

MAX_COLD: Final = 2_000
"""So many cold items are candidates for a place, the newest."""

# Of one of the user's items. 40 gain nothing.
_CANDIDATES: Final = 20
_ALIKE: Final = 200
_MAX_CATEGORIES: Final = 4
_MAX_LISTS: Final = 20_000
_TERM_BYTES: Final = 4
# As the neighbour features' scales: its logarithm reaches from 0 to about 4.
_SCALE: Final = 20.0

Rows = NDArray[np.intp]
Values = NDArray[np.float32]


class ContentCandidates(Struct, frozen=True):
    """Item `numbers`, each once, and a row of `weights.CONTENT_FEATURES` for each."""

    numbers: NDArray[np.int32]
    features: Values


class Alike(Struct, frozen=True):
    """The items most like one item, best first, and their similarities, above 0 to 1."""

    item_ids: Sequence[str] = ()
    similarities: Sequence[float] = ()


class _List(Struct, frozen=True):
    """What an item of the user's says: places of cold items (int32), their similarities squared (float32), and the
    item's categories (int32).
    """

    places: bytes
    values: bytes
    categories: bytes


_NO_LIST: Final = _List(b"", b"", b"")


class _Postings:
    """The `rows` of the items that have each of `count` terms, term after term."""

    def __init__(self, terms: Rows, rows: Rows, count: int) -> None:
        self._rows = rows[np.argsort(terms, kind="stable")]
        self._starts = _starts(np.bincount(terms, minlength=count))

    def add_up(self, terms: Rows, weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """For each of `count` rows the sum of the weights of those of these terms that its item has."""
        starts, ends = self._starts[terms], self._starts[terms + 1]
        rows = [self._rows[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        sums = np.bincount(np.concatenate(rows), weights.repeat(ends - starts), count)
        return sums.astype(np.float64, copy=False)


class ContentIndex:
    """Of items that may be served at one time. `number` it before it is asked for candidates.

    Keeps the lists that it was asked for, 20,000 at most. Otherwise immutable; not thread-safe.
    """

    def __init__(self, items: Mapping[str, Content], now_ms: int, paced: Paced = iter) -> None:
        """`paced`: goes through the items, as fast as it may."""
        servable = [item_id for item_id in paced(items) if items[item_id].servable(now_ms)]
        self.until_ms = min((items[item_id].settled_until_ms(now_ms) for item_id in paced(items)), default=NEVER_MS)
        """When another item begins or ceases to be servable."""
        ids = newest_first(servable, [items[item_id].since_ms for item_id in paced(servable)], MAX_ITEMS)
        self._ids = ids
        self._row_of = {item_id: row for row, item_id in enumerate(paced(ids))}
        terms = [items[item_id].terms for item_id in paced(ids)]
        lengths = np.fromiter(map(len, terms), np.intp, len(terms)) // _TERM_BYTES
        hashes, self._terms = np.unique(np.frombuffer(b"".join(terms), np.uint32), return_inverse=True)
        self._starts = _starts(lengths)
        rows, count = np.arange(len(ids)).repeat(lengths), len(hashes)
        having = np.bincount(self._terms, minlength=count)
        self._weights = np.log(len(ids) / having) ** 2
        norms = np.sqrt(np.bincount(rows, self._weights[self._terms], len(ids)))
        self._inverse_norms = np.divide(1.0, norms, out=np.zeros(len(ids)), where=norms > 0.0)
        self._all = _Postings(self._terms, rows, count)

        is_cold = [items[item_id].events < COLD_EVENTS for item_id in paced(ids)]
        cold = np.array(is_cold, np.bool_).nonzero()[0][:MAX_COLD]
        self.cold_ids: Sequence[str] = [ids[row] for row in cold.tolist()]
        """The cold items, the newest first."""
        self.counted_ids: Sequence[str] = [item_id for item_id in self.cold_ids if items[item_id].events]
        """Those of them that have events."""
        place_of = np.full(len(ids), -1)
        place_of[cold] = np.arange(len(cold))
        places = place_of[rows]
        self._of_cold = _Postings(self._terms[places >= 0], places[places >= 0], count)
        self._inverse_norms_of_cold = self._inverse_norms[cold]
        is_category = (hashes & IS_CATEGORY).astype(np.bool_)
        self._category_of_term = np.where(is_category, np.cumsum(is_category) - 1, -1)
        self._no_category = int(is_category.sum())
        self._categories_of_cold = self._first_categories(cold)
        self.numbers: NDArray[np.int32] = np.zeros(0, np.int32)
        """Of the cold items."""
        self._lists: dict[str, _List] = {}

    def number(self, index: ItemIndex) -> None:
        """Gives all cold items a number in `index`."""
        self.numbers = index.number(self.cold_ids)

    def candidates(self, profile: Profile) -> ContentCandidates | None:
        """The cold items that are like the user's latest ones; None: there are none."""
        if not len(self.numbers):
            return None
        kept = self._lists
        lists = [kept.get(seed.item_id) or self._list(seed.item_id) for seed in profile.seeds]
        weights = np.array(profile.weights, np.float32)
        places = np.frombuffer(b"".join([one.places for one in lists]), np.int32)
        if not len(places):
            return None
        values = np.frombuffer(b"".join([one.values for one in lists]), np.float32)
        sums = np.bincount(places, values * weights.repeat([len(one.places) // _TERM_BYTES for one in lists]))
        found = np.bincount(places).nonzero()[0]
        features = np.empty((len(found), len(CONTENT_FEATURES)), np.float32)
        features[:, 0] = np.copysign(np.log1p(_SCALE * np.abs(sums[found])), sums[found])
        features[:, 1] = self._affinity(lists, np.maximum(weights, 0.0))[self._categories_of_cold[found]].max(axis=1)
        return ContentCandidates(self.numbers[found], features)

    def part(self, seed_id: str, item_id: str) -> float:
        """What one of the user's items says for a cold item: their similarity squared, or 0."""
        one = self._list(seed_id)
        places = np.frombuffer(one.places, np.int32).tolist()
        values: list[float] = np.frombuffer(one.values, np.float32).tolist()
        found = {self.cold_ids[place]: value for place, value in zip(places, values, strict=True)}
        return found.get(item_id, 0.0)

    def alike(self, item_id: str) -> Alike:
        """Up to 200 items, of all that are indexed. None for an item that is not."""
        row = self._row_of.get(item_id)
        if row is None:
            return Alike()
        similarities = self._similarities(row, self._all, self._inverse_norms)
        similarities[row] = 0.0
        best = _best(similarities, _ALIKE)
        return Alike([self._ids[row] for row in best.tolist()], similarities[best].tolist())

    def _list(self, item_id: str) -> _List:
        found = self._lists.get(item_id)
        if found is None:
            row = self._row_of.get(item_id)
            if row is None:
                return _NO_LIST
            if len(self._lists) == _MAX_LISTS:
                self._lists.clear()
            similarities = self._similarities(row, self._of_cold, self._inverse_norms_of_cold)
            best = _best(similarities, _CANDIDATES)
            categories = self._category_of_term[self._terms[self._starts[row] : self._starts[row + 1]]]
            found = self._lists[item_id] = _List(
                best.astype(np.int32).tobytes(),
                # Squared: what shares half of its terms is not half as good as what shares all of them.
                (similarities[best] ** 2).astype(np.float32).tobytes(),
                categories[categories >= 0].astype(np.int32).tobytes(),
            )
        return found

    def _similarities(self, row: int, postings: _Postings, inverse_norms: NDArray[np.float64]) -> NDArray[np.float64]:
        """To each of the items of these postings."""
        terms = self._terms[self._starts[row] : self._starts[row + 1]]
        terms = terms[self._weights[terms] > 0.0]
        if not len(terms):
            return np.zeros(len(inverse_norms))
        sums = postings.add_up(terms, self._weights[terms], len(inverse_norms))
        found: NDArray[np.float64] = sums * inverse_norms * self._inverse_norms[row]
        return found

    def _affinity(self, lists: Sequence[_List], weights: Values) -> NDArray[np.float64]:
        """By category, the share of the user's items that have it; 0 for `_no_category`, which is the last."""
        categories = np.frombuffer(b"".join([one.categories for one in lists]), np.int32)
        of_each = weights.repeat([len(one.categories) // _TERM_BYTES for one in lists])
        sums = np.bincount(categories, of_each, self._no_category + 1)
        return sums / max(float(weights.sum()), 1e-9)

    def _first_categories(self, rows: Rows) -> Rows:
        """Up to four categories of each of these items, and `_no_category` for the places that are left."""
        found = np.full((len(rows), _MAX_CATEGORIES), self._no_category)
        for column in range(_MAX_CATEGORIES):  # categories are an item's first terms
            places = self._starts[rows] + column
            has = places < self._starts[rows + 1]
            categories = self._category_of_term[self._terms[places[has]]]
            found[has, column] = np.where(categories >= 0, categories, self._no_category)
        return found


def _starts(lengths: Rows) -> Rows:
    """Where each of the parts of these lengths begins, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.intp), np.cumsum(lengths, dtype=np.intp)])


def _best(values: NDArray[np.float64], count: int) -> Rows:
    """The places of the `count` highest values above 0, highest first; of equal ones the first."""
    found = values.nonzero()[0]
    if len(found) > count:
        least = np.partition(values[found], len(found) - count)[len(found) - count]
        found = found[values[found] >= least]
    return found[np.argsort(-values[found], kind="stable")[:count]]


NO_CONTENT: Final = ContentIndex({}, 0)
