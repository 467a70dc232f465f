"""The serving core over plain dicts: what it asks for, and what becomes of a page."""

from collections import Counter
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from app.core import counted_lists
from app.core.catalogue import Card
from app.core.exploration import EMPTY_POOL
from app.core.history import NO_HISTORY, History, seen_hash
from app.core.needs import (
    CardsOf,
    ChanceFrom,
    FallbackOf,
    RankingInputsFor,
)
from app.core.recommendation import RecommendationRequest
from app.core.rules import Rule
from app.core.serving import Exploration
from app.core.signals import HOUR_MS, Kind
from tests.support.serving_store import (
    BOOKS,
    FILMS,
    HIDDEN,
    NOW_MS,
    TRYING,
    Store,
    answer,
    boost,
    bought,
    ids,
    pin,
    sources,
)


def test_a_plain_answer_needs_two_things_in_turn() -> None:
    store = Store(popular=["hit", "rare"], neighbours={"tent": {"stove": 0.9}})
    found = store.for_user(bought("tent"), k=2)
    assert sources(found) == {"stove": "covisitation", "hit": "popular"}
    assert store.needs == [RankingInputsFor(["tent"], {"tent"}, None, explore=False), CardsOf(["stove", "hit", "rare"])]


def test_an_empty_store_answers_with_nothing() -> None:
    found = Store().for_user()
    assert (found.items, found.strategy) == ([], "none")


def test_most_places_name_the_strategy() -> None:
    store = Store(popular=["hit"], fallback=["plain-1", "plain-2"])
    assert store.for_user(k=1).strategy == "popular"
    assert store.for_user(k=3).strategy == "catalogue"


def test_hidden_best_candidates_make_the_core_look_deeper() -> None:
    popular = [f"item-{n:03}" for n in range(300)]
    store = Store(popular=popular, cards=dict.fromkeys(popular[:280], HIDDEN))
    assert ids(store.for_user(bought("other"), k=3)) == popular[280:283]
    looked_at = [item_id for need in store.needs if isinstance(need, CardsOf) for item_id in need.item_ids]
    assert len(looked_at) == len(set(looked_at))


def test_an_unknown_user_gets_several_categories_first() -> None:
    films, books = [f"film-{n}" for n in range(8)], ["book-0", "book-1"]
    store = Store(popular=films + books, cards=dict.fromkeys(films, FILMS) | dict.fromkeys(books, BOOKS))
    assert ids(store.for_user(k=8)) == ["film-0", "film-1", *books, "film-2", "film-3", "film-4", "film-5"]
    assert ids(store.for_user(bought("other"), k=8)) == films
    assert ids(store.for_user(k=8, category="films")) == films


def test_a_bound_on_a_category_leaves_places_free() -> None:
    films = [f"film-{n}" for n in range(8)]
    store = Store(popular=[*films, "book"], cards=dict.fromkeys(films, FILMS) | {"book": BOOKS}, fallback=films)
    assert ids(store.for_user(bought("other"), k=5, max_per_category=2)) == ["film-0", "film-1", "book"]


def test_free_places_are_filled_from_the_fallback() -> None:
    store = Store(popular=["hit"], fallback=["had", "old", "hit", "out", "gone", "plain"], cards={"gone": HIDDEN})
    history = History(bought("had").entries, (seen_hash("old"),))
    assert sources(store.for_user(history, exclude=frozenset(["out"]))) == {"hit": "popular", "plain": "catalogue"}


def test_an_unknown_users_page_is_filled_even_from_a_single_category() -> None:
    names = [f"book-{number}" for number in range(8)]
    store = Store(cards={name: Card(categories=frozenset({"books"})) for name in names}, fallback=names)
    assert ids(store.for_user(NO_HISTORY, 8)) == names


def test_what_was_seen_in_no_named_way_comes_from_the_fallback() -> None:
    store = Store(fallback=["had", "plain"])
    assert ids(store.for_user(bought("had"), seen=frozenset([Kind.VIEW]))) == ["had", "plain"]


def test_a_full_page_asks_for_no_fallback() -> None:
    store = Store(popular=["hit", "rare"], fallback=["plain"])
    store.for_user(k=2)
    assert not store.asked(FallbackOf)


def test_a_pinned_item_has_its_place_even_if_the_user_has_it() -> None:
    store = Store(popular=["hit", "rare"], rules=[pin("had", 2), pin("gone", 1)], cards={"gone": HIDDEN})
    found = store.for_user(bought("had"), k=3)
    assert sources(found) == {"hit": "popular", "had": "pinned", "rare": "popular"}
    assert ids(found) == ["hit", "had", "rare"]


def test_a_pinned_item_that_the_user_has_is_left_out_where_the_request_says_so() -> None:
    store = Store(popular=["hit", "rare"], rules=[pin("had", 1)])
    assert ids(store.for_user(bought("had"), repeats="avoid")) == ["hit", "rare"]
    assert ids(store.for_user(bought("had"), seen=frozenset([Kind.PURCHASE]))) == ["hit", "rare"]
    assert ids(store.for_user(bought("had"), seen=frozenset([Kind.VIEW]))) == ["had", "hit", "rare"]


def test_a_pinned_item_that_a_rule_forbids_is_not_served() -> None:
    store = Store(popular=["hit", "rare"], rules=[pin("rare", 1), boost(0.0, item_id="rare")], fallback=["rare"])
    assert ids(store.for_user()) == ["hit"]


def test_boosts_of_items_and_cards_multiply_once_each() -> None:
    plain = Store(popular=["hit", "book"], cards={"hit": FILMS, "book": BOOKS})
    (_, before) = plain.for_user(bought("other")).items
    rules = [boost(3.0, item_id="book"), boost(2.0, tag="sale"), boost(0.5, category="films")]
    boosted = Store(popular=["hit", "book"], cards={"hit": FILMS, "book": BOOKS}, rules=rules)
    found = boosted.for_user(bought("other"), explain=True)
    assert ids(found) == ["book", "hit"]
    assert found.items[0].score == pytest.approx(6.0 * before.score, abs=1e-5)
    assert [item.parts.factor for item in found.items if item.parts is not UNSET] == [6.0, 0.5]


def test_a_category_that_a_rule_forbids_is_served_by_no_way() -> None:
    cards = {"hit": FILMS, "new": FILMS, "plain": FILMS, "book": BOOKS}
    rules = [boost(0.0, category="films"), pin("plain", 1)]
    store = Store(popular=["hit", "book"], cards=cards, rules=rules, pool=["new"], fallback=["plain"])
    assert all(ids(store.for_user(exploration=Exploration(0.5, f"{n}"))) == ["book"] for n in range(20))


def test_new_items_take_their_share_behind_the_first_places() -> None:
    store = Store(popular=[f"item-{n:02}" for n in range(40)], pool=["new-0", "new-1", "had"])
    for number in range(20):
        found = store.for_user(bought("had"), exploration=Exploration(0.25, f"{number}"))
        assert len(found.items) == 20
        assert set(sources(found).values()) == {"popular", "explore"}
        assert "had" not in ids(found)
        assert all(item.source == "popular" for item in found.items[:5])


def test_the_same_seed_tries_out_the_same_items() -> None:
    store = Store(popular=[f"item-{n:02}" for n in range(40)], pool=[f"new-{n:02}" for n in range(40)])
    answers = [ids(store.for_user(exploration=Exploration(0.25, seed))) for seed in ("one", "one", "other")]
    assert answers[0] == answers[1] != answers[2]


def test_without_new_items_or_a_share_no_chance_is_needed() -> None:
    store = Store(popular=["hit"], pool=["new"])
    store.for_user()
    store.pool = EMPTY_POOL
    store.for_user(exploration=TRYING)
    assert [need.explore for need in store.needs if isinstance(need, RankingInputsFor)] == [False, True]
    assert not store.asked(ChanceFrom)


def test_an_item_that_users_come_back_to_is_offered_again() -> None:
    store = Store(popular=["hit", "rare"], neighbours={"hit": {}}, repeat_rate=0.5)
    found = store.for_user(bought("hit", ago_ms=7 * HOUR_MS), explain=True)
    assert sources(found) == {"hit": "repeat", "rare": "popular"}
    assert found.items[0].why == "Taken again by those who have it. Popular this week."
    assert ids(Store(popular=["hit", "rare"]).for_user(bought("hit"))) == ["rare"]
    assert ids(store.for_user(bought("hit"), repeats="avoid")) == ["rare"]
    assert ids(store.for_user(bought("hit"), repeats="only")) == ["hit"]


def test_an_explanation_has_causes_parts_and_words() -> None:
    store = Store(
        popular=["hit"],
        neighbours={"tent": {"stove": 0.75}},
        cards={"tent": Card(title="A tent"), "stove": Card(title="A stove")},
        fallback=["plain"],
    )
    stove, hit, plain = store.for_user(bought("tent"), explain=True).items
    assert (stove.title, stove.because) == ("A stove", ["tent"])
    assert stove.why == "Users take it together with what this one bought: A tent."
    assert (hit.because, hit.why) == ([], "Popular this week.")
    assert (plain.because, plain.score) == ([], 0.0)
    for item in (stove, hit, plain):
        assert item.parts is not UNSET
        assert item.parts.factor == 1.0
    assert stove.parts is not UNSET
    assert hit.parts is not UNSET
    by_features = sum(hit.parts.features.values()) - sum(stove.parts.features.values())
    assert hit.score / stove.score == pytest.approx(exp(by_features), rel=1e-4)


def test_a_request_without_explain_has_no_explanation() -> None:
    (stove,) = Store(neighbours={"tent": {"stove": 0.75}}).for_user(bought("tent")).items
    assert (stove.because, stove.parts, stove.why) == (UNSET, UNSET, UNSET)


def test_similar_items_go_without_pins_and_fallback() -> None:
    store = Store(
        popular=["hit"],
        neighbours={"tent": {"stove": 0.9, "tent": 0.5, "lamp": 0.4, "mat": 0.3}},
        cards={"lamp": BOOKS},
        rules=[boost(4.0, tag="sale"), pin("hit", 1)],
        fallback=["plain"],
    )
    request = RecommendationRequest(k=5, now_ms=NOW_MS, exclude=frozenset(["mat"]))
    found = answer(counted_lists.similar("tent", request, index=store.index), store.fetch)
    assert sources(found) == {"lamp": "covisitation", "stove": "covisitation"}
    assert [item.score for item in found.items] == pytest.approx([1.6, 0.9])
    assert not store.asked(FallbackOf)


def test_popular_items_go_without_pins_and_fallback() -> None:
    store = Store(
        popular=["hit", "book", "gone"],
        cards={"book": BOOKS, "gone": HIDDEN},
        rules=[boost(2.0, item_id="book"), pin("plain", 1)],
        fallback=["plain"],
    )
    request = RecommendationRequest(k=5, now_ms=NOW_MS)
    found = answer(counted_lists.popular(request, index=store.index), store.fetch)
    assert sources(found) == {"book": "popular", "hit": "popular"}


NAMES = [f"item-{number:02}" for number in range(30)]
ITEMS = st.sampled_from(NAMES)
CARDS = st.dictionaries(
    ITEMS,
    st.builds(
        Card,
        categories=st.frozensets(st.sampled_from(["films", "books"]), max_size=2),
        tags=st.frozensets(st.sampled_from(["sale", "new"]), max_size=2),
        hidden=st.booleans(),
    ),
)
RULES = st.lists(
    st.builds(pin, ITEMS, st.integers(1, 25))
    | st.builds(lambda factor, item_id: boost(factor, item_id=item_id), st.sampled_from([0.0, 0.5, 4.0]), ITEMS)
    | st.builds(lambda factor, tag: boost(factor, tag=tag), st.sampled_from([0.0, 4.0]), st.sampled_from(["sale"])),
    max_size=4,
    unique_by=lambda rule: rule.rule_id,
)


@given(
    st.lists(ITEMS, unique=True),
    CARDS,
    st.dictionaries(ITEMS, st.dictionaries(ITEMS, st.floats(0.001, 1.0), max_size=10)),
    RULES,
    st.lists(ITEMS, max_size=10, unique=True),
    st.lists(ITEMS, max_size=10, unique=True),
    st.integers(1, 40),
    st.frozensets(ITEMS, max_size=10),
    st.sampled_from([None, None, "films"]),
    st.none() | st.integers(1, 4),
)
def test_a_page_is_full_and_has_nothing_it_must_not(
    popular: list[str],
    cards: dict[str, Card],
    neighbours: dict[str, dict[str, float]],
    rules: list[Rule],
    pool: list[str],
    had: list[str],
    k: int,
    exclude: frozenset[str],
    category: str | None,
    max_per_category: int | None,
) -> None:
    store = Store(popular=popular, cards=cards, neighbours=neighbours, rules=rules, pool=pool, fallback=NAMES)
    found, explained = (
        store.for_user(
            bought(*had),
            k,
            exploration=TRYING,
            exclude=exclude,
            category=category,
            max_per_category=max_per_category,
            explain=explain,
        )
        for explain in (False, True)
    )
    served = ids(found)
    assert [(i.item_id, i.score, i.source) for i in explained.items] == [
        (i.item_id, i.score, i.source) for i in found.items
    ]
    assert len(set(served)) == len(served) <= k
    pins = {rule.item_id for rule in rules if rule.action == "pin"}
    factors = {i: store.rules.factor(i, store.card(i), NOW_MS, category) for i in NAMES}
    may = [i for i in NAMES if i not in exclude and store.card(i).servable(NOW_MS, category)]
    assert set(served) <= {i for i in may if factors[i] > 0.0 and (i in pins or i not in had)}
    if max_per_category is None:
        assert len(served) >= min(k, sum(i not in had and factors[i] > 0.0 for i in may))
    else:
        counts = Counter(name for i in served for name in store.card(i).categories if name != category)
        assert all(count <= max_per_category for count in counts.values())
