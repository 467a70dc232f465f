"""Items without events are placed by their content: the index equals a slow and plain computation of the same."""

from collections.abc import Mapping
from math import copysign, log, log1p, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import content_index, counted_lists
from app.core.catalogue import NEVER_MS
from app.core.content import COLD_EVENTS, IS_CATEGORY, Content, terms_of
from app.core.content_index import NO_CONTENT, ContentIndex
from app.core.history import NO_HISTORY, Entry, History
from app.core.item_index import ItemIndex
from app.core.needs import AlikeTo
from app.core.profile import Profile
from app.core.recommendation import Recommendation, RecommendationRequest, ScoreParts
from app.core.signals import LANDMARK_MS, Kind
from app.core.weights import FIXED
from app.serving.paced import paced
from tests.support.serving_store import Store, answer, bought, ids, sources

NOW_MS = LANDMARK_MS
NAMES = [f"item-{number:02}" for number in range(12)]
CATEGORIES = ["tents", "lamps", "stoves"]
WORDS = ["red", "blue", "small", "large", "tent", "lamp", "stove"]


def item(
    title: str | None = None,
    *categories: str,
    tags: tuple[str, ...] = (),
    events: int = 0,
    published_ms: int | None = None,
    expires_ms: int | None = None,
) -> Content:
    return Content(terms_of(title, categories, tags), events, published_ms or 0, published_ms, expires_ms)


ITEMS = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        lambda words, categories, events: item(" ".join(words), *categories, events=events),
        st.lists(st.sampled_from(WORDS), max_size=4),
        st.lists(st.sampled_from(CATEGORIES), max_size=2),
        st.integers(0, 2 * COLD_EVENTS),
    ),
    max_size=12,
)
HISTORIES = st.lists(
    st.tuples(st.sampled_from([*NAMES, "unknown"]), st.sampled_from([-0.2, 0.3, 1.0])),
    max_size=8,
    unique_by=lambda entry: entry[0],
)


def history_of(entries: list[tuple[str, float]]) -> History:
    return History(
        [Entry(item_id, NOW_MS - place, int(Kind.CLICK), weight) for place, (item_id, weight) in enumerate(entries)]
    )


def numbers_of(one: Content) -> list[int]:
    return np.frombuffer(one.terms, np.uint32).tolist()


def cosine(items: Mapping[str, Content], one: str, other: str) -> float:
    """Of the TF-IDF weights of the terms."""
    having: dict[int, int] = {}
    for of_item in items.values():
        for term in numbers_of(of_item):
            having[term] = having.get(term, 0) + 1
    idf = {term: log(len(items) / count) for term, count in having.items()}
    a, b = set(numbers_of(items[one])), set(numbers_of(items[other]))
    lengths = sqrt(sum(idf[term] ** 2 for term in a)) * sqrt(sum(idf[term] ** 2 for term in b))
    return sum(idf[term] ** 2 for term in a & b) / lengths if lengths else 0.0


def index_of(items: Mapping[str, Content]) -> tuple[ContentIndex, ItemIndex]:
    found, numbers = ContentIndex(items, NOW_MS), ItemIndex()
    found.number(numbers)
    return found, numbers


@given(ITEMS)
def test_similarities_are_cosines_of_tf_idf_weights(items: dict[str, Content]) -> None:
    index, _ = index_of(items)
    for one in items:
        expected = {other: cosine(items, one, other) for other in items if other != one}
        found = index.alike(one)
        assert dict(zip(found.item_ids, found.similarities, strict=True)) == pytest.approx(
            {other: value for other, value in expected.items() if value > 0.0}
        )
        assert list(found.similarities) == sorted(found.similarities, reverse=True)


@given(ITEMS, HISTORIES)
def test_cold_items_have_the_content_of_the_users_items(
    items: dict[str, Content], entries: list[tuple[str, float]]
) -> None:
    index, numbers = index_of(items)
    profile = Profile(history_of(entries))
    of_all = list(zip(profile.seeds, profile.weights, strict=True))
    seeds = [(seed.item_id, w) for seed, w in of_all if seed.item_id in items]
    cold = [item_id for item_id, one in items.items() if one.events < COLD_EVENTS]
    expected = {}
    for item_id in cold:
        parts = [w * cosine(items, seed, item_id) ** 2 for seed, w in seeds]
        if any(parts):
            affinity = [
                sum(max(w, 0.0) for seed, w in seeds if category in numbers_of(items[seed]))
                for category in numbers_of(items[item_id])
                if category & IS_CATEGORY
            ]
            shares = max(affinity, default=0.0) / max(1e-9, sum(max(w, 0.0) for _, w in of_all))
            expected[item_id] = (copysign(log1p(20.0 * abs(sum(parts))), sum(parts)), shares)
    found = index.candidates(profile)
    got = (
        {}
        if found is None
        else {
            numbers.ids[number]: tuple(row)
            for number, row in zip(found.numbers.tolist(), found.features.tolist(), strict=True)
        }
    )
    assert set(got) == set(expected)
    for item_id, row in expected.items():
        assert got[item_id] == pytest.approx(row, abs=1e-5)


@given(st.text(max_size=80), st.lists(st.text(max_size=10), max_size=6), st.lists(st.text(max_size=10), max_size=6))
def test_any_text_has_terms_that_are_each_there_once(title: str, categories: list[str], tags: list[str]) -> None:
    found = numbers_of(item(title, *categories, tags=tuple(tags)))
    assert len(found) == len(set(found)) <= 64
    of_categories = [term & IS_CATEGORY for term in found]
    assert of_categories == sorted(of_categories, reverse=True)
    assert found == numbers_of(item(title, *categories, tags=tuple(tags)))


def test_a_category_is_not_taken_for_a_tag_or_a_word_of_the_same_name() -> None:
    terms = [*numbers_of(item("tents")), *numbers_of(item(None, "tents")), *numbers_of(item(None, tags=("tents",)))]
    assert len(set(terms)) == 3


def test_items_that_may_not_be_served_are_not_alike() -> None:
    index, _ = index_of(
        {
            "new": item("red tent"),
            "late": item("red tent", published_ms=NOW_MS + 1),
            "old": item("red tent", expires_ms=NOW_MS),
            "there": item("red lamp", published_ms=NOW_MS, expires_ms=NOW_MS + 1),
            "other": item("blue lamp"),
        }
    )
    assert index.alike("new").item_ids == ["there"]
    assert index.alike("late").item_ids == ()
    assert index.alike("nowhere").item_ids == ()


def test_without_cold_items_nobody_gets_candidates_by_content() -> None:
    index, _ = index_of(
        {"tent": item("red tent", events=5), "mat": item("red mat", events=9), "lamp": item("lamp", events=5)}
    )
    profile = Profile(history_of([("tent", 1.0)]))
    assert index.cold_ids == []
    assert index.candidates(profile) is None
    assert NO_CONTENT.candidates(profile) is None
    assert NO_CONTENT.alike("tent").item_ids == ()


def test_more_cold_items_than_fit_are_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_index, "MAX_COLD", 2)
    monkeypatch.setattr(content_index, "MAX_ITEMS", 3)
    index, _ = index_of({f"item-{n}": item("red", "tents", published_ms=NOW_MS - n) for n in range(5)})
    assert index.cold_ids == ["item-0", "item-1"]
    assert index.alike("item-3").item_ids == ()


CATALOGUE = {
    "tent": item("red tent for two", "tents", events=90),
    "stove": item("gas stove", "stoves", events=90),
    "mat": item("mat", events=90),
    "new-tent": item("blue tent for two", "tents"),
    "new-stove": item("gas stove large", "stoves"),
    "plain": item(None),
}


def explained(store: Store, history: History) -> Recommendation:
    return store.for_user(history, k=3, explain=True)


def test_an_item_without_events_is_recommended_to_a_user_of_its_category() -> None:
    found = explained(Store(popular=["hit"], content=CATALOGUE, weights=FIXED), bought("tent"))
    assert sources(found)["new-tent"] == "content"
    assert "new-stove" not in ids(found)
    place = next(one for one in found.items if one.item_id == "new-tent")
    assert place.because == ["tent"]
    assert place.why == (
        "Hardly anybody knows it yet; its category, tags or title are like those of what this one bought: tent."
    )
    assert isinstance(place.parts, ScoreParts)
    assert place.parts.features["content"] > 0.0


def test_a_user_of_unknown_items_gets_nothing_by_content() -> None:
    store = Store(popular=["hit"], content=CATALOGUE, weights=FIXED)
    assert ids(store.for_user(bought("elsewhere"), k=3)) == ids(store.for_user(NO_HISTORY, k=3)) == ["hit"]


def similar_to(store: Store, item_id: str, k: int, **asked: frozenset[str]) -> Recommendation:
    request = RecommendationRequest(k=k, now_ms=NOW_MS, **asked)
    return answer(counted_lists.similar(item_id, request, index=store.index), store.fetch)


def test_an_item_without_events_is_similar_to_what_is_alike_by_content() -> None:
    store = Store(content=CATALOGUE)
    found = similar_to(store, "new-tent", 5)
    assert sources(found) == {"tent": "content"}
    assert 0.0 < found.items[0].score <= 1.0
    assert similar_to(store, "plain", 5).items == []


def test_few_neighbours_come_before_what_is_alike_by_content() -> None:
    store = Store(neighbours={"tent": {"mat": 0.3, "stove": 0.2}}, content=CATALOGUE)
    found = similar_to(store, "tent", 5, exclude=frozenset(["stove"]))
    assert [(one.item_id, one.source) for one in found.items] == [("mat", "covisitation"), ("new-tent", "content")]
    assert found.items[0].score == pytest.approx(0.3)
    assert 0.0 < found.items[1].score < 0.3


def test_an_item_with_enough_neighbours_is_not_looked_up_by_content() -> None:
    store = Store(neighbours={"tent": {"mat": 0.3, "stove": 0.2}}, content=CATALOGUE)
    assert ids(similar_to(store, "tent", 2)) == ["mat", "stove"]
    assert not store.asked(AlikeTo)


def test_an_index_knows_when_another_item_begins_or_ceases_to_be_servable() -> None:
    items = {
        "now": item("red tent"),
        "expired": item("red tent", expires_ms=NOW_MS - 1),
        "coming": item("red tent", published_ms=NOW_MS + 20, expires_ms=NOW_MS + 30),
    }
    assert ContentIndex(items, NOW_MS).until_ms == NOW_MS + 20
    assert ContentIndex(items, NOW_MS + 20).until_ms == NOW_MS + 30
    assert ContentIndex(items, NOW_MS + 30).until_ms == NEVER_MS


def test_a_paced_index_is_the_same() -> None:
    items = {f"item-{number}": item(f"red tent {number % 7}", events=number % 9) for number in range(500)}
    one, other = ContentIndex(items, NOW_MS), ContentIndex(items, NOW_MS, paced)
    assert (one.cold_ids, one.counted_ids) == (other.cold_ids, other.counted_ids)
    assert one.alike("item-3") == other.alike("item-3")
