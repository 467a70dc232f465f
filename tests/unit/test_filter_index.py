"""What a filter keeps of a long catalogue is the same however often, when and on which page it is asked for."""

import random
from typing import Final

import numpy as np
import pytest

from app.adapters.timestamps import read_ms
from app.core import filter_index
from app.core.attributes import AttributeType
from app.core.filter_index import MAX_MATCHES, Filterable, FilterIndex
from app.core.filter_language import filter_of
from app.core.history import seen_hash
from app.core.item_features import SUMS
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.model import MODEL
from app.core.needs import FALLBACK_LIMIT, MatchesOf
from app.core.recommendation import RecommendationRequest

NOW_MS: Final = 1_700_000_000_000
TYPES: Final[dict[str, AttributeType]] = {"price": "number", "brand": "text"}
TEXTS: Final = (
    "price < 20",
    "brand = 'b1'",
    "not brand in ('b1', 'b2')",
    "price >= 10 and (brand = 'b3' or categories has 'c1')",
    "published_at > now - 1h",
    "price > 100000",
)


class Catalogue:
    """1,200 items, of which some have begun or ended, and some are popular."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.items = {f"i{number}": self.item(number) for number in range(1_200)}
        self.table = ItemTable(ItemIndex(), MODEL)
        self.table.index.number(["elsewhere"])
        self.index = FilterIndex(self.items, 1_100, NOW_MS - 5_000_000)
        self.index.numbers = self.table.index.number(self.index.ids)
        self.table.make_room()

    def item(self, number: int) -> Filterable:
        rng = self.rng
        brand = f',"brand":"b{rng.randrange(4)}"' if rng.random() < 0.9 else ""
        attributes = f'{{"price":{rng.randrange(200)}.0{brand}}}'.encode()
        begins, ends = (rng.choice([None, None, NOW_MS + rng.randrange(-5, 5) * 1_000_000]) for _ in range(2))
        return Filterable("A", (f"c{rng.randrange(3)}",), (), attributes, number, begins, ends)

    def popularity(self) -> None:
        numbers = self.index.numbers
        sums = np.zeros((len(numbers), len(SUMS)))
        popular = np.array(self.rng.sample(range(len(numbers)), 700))
        sums[popular, 1:4] = np.random.default_rng(self.rng.randrange(99)).permutation(2_100).reshape(-1, 3) + 1.0
        sums[popular, SUMS.index("events")] = 1.0
        sums[:, 0] = NOW_MS
        self.table.update(numbers, sums)
        self.table.refresh(NOW_MS)

    def check(self, text: str, at_ms: int, category: str | None, shown: frozenset[int]) -> None:
        wanted = filter_of(text, TYPES, read_ms)
        request = RecommendationRequest(k=20, now_ms=at_ms, category=category, filter=wanted, shown=shown)
        found = self.index.matches(MatchesOf(wanted, request), self.table)
        cards = {item_id: self.items[item_id].card() for item_id in self.index.ids}
        kept = [i for i in wanted.kept(self.index.ids, cards, at_ms) if cards[i].servable(at_ms, category)]
        number_of = dict(zip(self.index.ids, self.index.numbers.tolist(), strict=True))
        rejected = {number_of[item_id] for item_id in self.index.ids} - {number_of[item_id] for item_id in kept}
        every = np.arange(len(self.table.index.ids) + 7, dtype=np.int32)
        assert {*found.without(every)} == rejected
        fresh = [item_id for item_id in kept if seen_hash(item_id) not in shown]
        numbers = np.array([number_of[item_id] for item_id in fresh], np.int32)
        best = self.table.best(MAX_MATCHES, numbers)
        matched = found.numbers.tolist()
        assert {*best.tolist()} <= {*matched} <= {*numbers.tolist()}
        assert len(matched) == len({*matched}) >= min(MAX_MATCHES, len(fresh))
        assert found.newest == fresh[:FALLBACK_LIMIT]
        assert np.array_equal(found.popularity, self.table.popularity(found.numbers))


@pytest.mark.parametrize("look", [8 * MAX_MATCHES, 510])
@pytest.mark.parametrize("seed", range(4))
def test_filter_that_is_asked_again_keeps_what_it_would_keep_anew(
    seed: int, look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filter_index, "_LOOK", look)
    catalogue = Catalogue(seed)
    rng = random.Random(seed)
    for _ in range(3):
        catalogue.popularity()
        for _ in range(15):
            shown = frozenset(seen_hash(f"i{rng.randrange(1_200)}") for _ in range(rng.choice([0, 0, 300])))
            at_ms = NOW_MS + rng.randrange(-6_000_000, 6_000_000)
            catalogue.check(rng.choice(TEXTS), at_ms, rng.choice([None, None, "c2"]), shown)


def test_more_filters_than_are_kept_are_answered() -> None:
    catalogue = Catalogue(9)
    catalogue.popularity()
    for price in range(60):
        catalogue.check(f"price < {price}", NOW_MS, None, frozenset())
    catalogue.check("price < 1", NOW_MS, None, frozenset())


def test_items_that_have_expired_take_no_places_of_the_newest() -> None:
    def ending(since_ms: int, expires_ms: int | None) -> Filterable:
        return Filterable("A", (), (), b"", since_ms, None, expires_ms)

    items = {"old": ending(1, None), "expired": ending(3, NOW_MS), "ends": ending(2, NOW_MS + 5)}
    index = FilterIndex(items, 1, NOW_MS)
    assert (index.ids, index.until_ms) == (["ends"], NOW_MS + 5)
    index = FilterIndex(items, 1, NOW_MS + 5)
    assert (index.ids, index.until_ms) == (["old"], np.inf)
    assert FilterIndex(items, 2, NOW_MS).until_ms == np.inf
