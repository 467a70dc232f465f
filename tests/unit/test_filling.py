"""How deep the places of a list are filled by the candidates."""

import pytest

from app.core import counted_lists
from app.core.catalogue import Card
from app.core.needs import CardsOf
from app.core.recommendation import RecommendationRequest
from app.core.rules import Rule, Rules
from tests.support.serving_store import BOOKS, FILMS, NOW_MS, Store, answer, boost, bought, ids

MANY = [f"film-{n:03}" for n in range(300)]


def looked_at(store: Store) -> int:
    return sum(len(need.item_ids) for need in store.needs if isinstance(need, CardsOf))


def films_and(last: str, card: Card, *rules: Rule) -> Store:
    return Store(popular=[*MANY, last], cards=dict.fromkeys(MANY, FILMS) | {last: card}, rules=rules)


def test_a_category_that_is_buried_lets_the_others_pass_however_many_it_has() -> None:
    store = films_and("book", BOOKS, boost(0.001, category="films"))
    assert ids(store.for_user(bought("other"), k=5)) == ["book", *MANY[:4]]
    request = RecommendationRequest(k=5, now_ms=NOW_MS)
    assert ids(answer(counted_lists.popular(request, index=store.index), store.fetch)) == ["book", *MANY[:4]]


def test_a_category_that_is_buried_waits_for_candidates_far_behind() -> None:
    names = [f"film-{n:04}" for n in range(2_500)]
    cards = dict.fromkeys(names, FILMS) | {"film-2000": BOOKS}
    store = Store(popular=names, cards=cards, rules=[boost(0.001, category="films")])
    assert ids(store.for_user(bought("other"), k=5)) == ["film-2000", *names[:4]]


def test_a_tag_that_is_raised_comes_first_however_deep_it_is() -> None:
    store = films_and("book", BOOKS, boost(10.0, tag="sale"))
    assert ids(store.for_user(bought("other"), k=5)) == ["book", *MANY[:4]]


def test_boosts_that_change_no_order_look_no_deeper() -> None:
    store = films_and("book", BOOKS, boost(0.5, category="music"))
    assert ids(store.for_user(bought("other"), k=5)) == MANY[:5]
    assert looked_at(store) == 205


def test_many_boosts_look_deeper_once() -> None:
    names = [f"film-{n:04}" for n in range(1_000)]
    rules = [boost(1.5, category=f"other-{n}") for n in range(20)]
    store = Store(popular=names, cards=dict.fromkeys(names, FILMS), rules=rules)
    assert ids(store.for_user(bought("other"), k=5)) == names[:5]
    assert looked_at(store) == 4 * 205


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
