"""How deep the places of a list are filled, by the candidates and by the rest of the catalogue."""

from typing import Any

import numpy as np
import pytest

from app.adapters.timestamps import read_ms
from app.core import counted_lists, serving
from app.core.catalogue import Card
from app.core.filter_index import Matches
from app.core.filter_language import filter_of
from app.core.history import NO_HISTORY
from app.core.needs import MOST_LOOKS, CardsOf, CatalogueAfter, MatchesOf, Need
from app.core.recommendation import RecommendationRequest
from app.core.rules import Rule, Rules
from tests.support.serving_store import BOOKS, FILMS, NOW_MS, Store, answer, boost, bought, ids

MANY = [f"film-{n:03}" for n in range(300)]
EVERY = filter_of("not title exists", {}, read_ms)
CATALOGUE = [f"item-{n:04}" for n in range(3_000)]
"""More than a fallback list has, the newest first."""
NEWEST, OLDER = CATALOGUE[:2_600], CATALOGUE[2_600:]


def looked_at(store: Store) -> int:
    return sum(len(need.item_ids) for need in store.needs if isinstance(need, CardsOf))


def films_and(last: str, card: Card, *rules: Rule) -> Store:
    return Store(popular=[*MANY, last], cards=dict.fromkeys(MANY, FILMS) | {last: card}, rules=rules)


def test_a_category_that_is_buried_lets_the_others_pass_however_many_it_has() -> None:
    store = films_and("book", BOOKS, boost(0.001, category="films"))
    assert ids(store.for_user(bought("other"), k=5)) == ["book", *MANY[:4]]
    request = RecommendationRequest(k=5, now_ms=NOW_MS)
    assert ids(answer(counted_lists.popular(request, index=store.index), store.fetch)) == ["book", *MANY[:4]]


def test_a_tag_that_is_raised_comes_first_however_deep_it_is() -> None:
    store = films_and("book", BOOKS, boost(10.0, tag="sale"))
    assert ids(store.for_user(bought("other"), k=5)) == ["book", *MANY[:4]]


def test_boosts_that_change_no_order_look_no_deeper() -> None:
    store = films_and("book", BOOKS, boost(0.5, category="music"))
    assert ids(store.for_user(bought("other"), k=5)) == MANY[:5]
    assert looked_at(store) == 205


@pytest.mark.parametrize(
    ("rules", "of_cards", "with_items"),
    [
        ([], 1.0, 1.0),
        ([boost(0.1, category="films"), boost(0.0, tag="sale")], 1.0, 1.0),
        ([boost(2.0, category="films"), boost(3.0, tag="sale"), boost(0.5, tag="new")], 6.0, 6.0),
        ([boost(2.0, category="films"), boost(4.0, item_id="a"), boost(5.0, item_id="b")], 2.0, 10.0),
        ([boost(10.0, tag=f"t{n}") for n in range(9)], 1e6, 1e6),
    ],
)
def test_no_factor_is_above_the_greatest(rules: list[Rule], of_cards: float, with_items: float) -> None:
    found = Rules(rules)
    assert found.greatest_factor(NOW_MS, None, with_items=False) == of_cards
    assert found.greatest_factor(NOW_MS, None, with_items=True) == with_items


def test_exclusions_of_all_that_is_newest_leave_the_rest_of_the_catalogue() -> None:
    store = Store(fallback=CATALOGUE)
    found = store.for_user(k=5, exclude=frozenset(NEWEST))
    assert ids(found) == OLDER[:5]
    assert found.strategy == "catalogue"
    assert ids(store.for_user(bought(*NEWEST[:50]), k=200, exclude=frozenset(NEWEST[50:] + OLDER[:-7]))) == OLDER[-7:]


def test_a_rule_that_forbids_all_that_is_newest_leaves_the_rest_of_the_catalogue() -> None:
    store = Store(fallback=CATALOGUE, cards=dict.fromkeys(NEWEST, FILMS), rules=[boost(0.0, category="films")])
    assert ids(store.for_user(k=5)) == OLDER[:5]
    assert ids(store.for_user(k=5, category="films")) == []


def test_a_bound_on_the_category_of_all_that_is_newest_leaves_the_rest_of_the_catalogue() -> None:
    store = Store(fallback=CATALOGUE, cards=dict.fromkeys(NEWEST, FILMS))
    assert ids(store.for_user(k=5, max_per_category=2)) == [*NEWEST[:2], *OLDER[:3]]


def test_a_list_that_no_category_has_room_for_ends_soon() -> None:
    many = [f"film-{n:05}" for n in range(20_000)]
    store = Store(fallback=many, cards=dict.fromkeys(many, FILMS))
    assert ids(store.for_user(k=5, max_per_category=2)) == many[:2]
    assert sum(isinstance(need, CatalogueAfter) for need in store.needs) == 2


def test_a_list_that_rules_leave_empty_ends_after_so_many_looks() -> None:
    many = [f"film-{n:05}" for n in range(20_000)]
    store = Store(fallback=many, cards=dict.fromkeys(many, FILMS), rules=[boost(0.0, category="films")])
    assert ids(store.for_user(k=5)) == []
    assert sum(isinstance(need, CatalogueAfter) for need in store.needs) == MOST_LOOKS


def test_exclusions_of_the_newest_that_a_filter_keeps_leave_the_others() -> None:
    store = Store(fallback=["other"])
    no_number, kept = np.zeros(0, np.int32), np.arange(len(CATALOGUE), dtype=np.int32)
    matches = Matches(no_number, np.zeros((0, 3), np.float32), np.zeros(1, np.bool_), CATALOGUE, kept)
    request = RecommendationRequest(k=5, now_ms=NOW_MS, filter=EVERY, exclude=frozenset(NEWEST))

    def fetch(need: Need) -> Any:
        return matches if isinstance(need, MatchesOf) else store.fetch(need)

    assert ids(answer(serving.for_user(NO_HISTORY, request, table=store.table), fetch)) == OLDER[:5]
