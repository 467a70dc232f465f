"""Lists that follow the evidence, and never serve what they must not."""

from array import array
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.attribution import COVISITATION, POPULAR, REPEAT, Attribution
from app.core.candidates import Candidates
from app.core.history import NO_HISTORY, Entry, History, seen_hash
from app.core.item_index import ItemIndex
from app.core.model import MODEL
from app.core.neighbours import Neighbours
from app.core.popularity import NO_POPULAR, Popular, popular_of
from app.core.profile import Profile
from app.core.ranking import popular, rank, similar
from app.core.signals import DAY_MS, HOUR_MS, LANDMARK_MS, Kind
from tests.support.histories import merge_history

NOW_MS = LANDMARK_MS
INDEX = ItemIndex()
TOP = popular_of([("hit", 100.0), ("known", 25.0), ("rare", 1.0)], index=INDEX)


def bought(*item_ids: str, ago_ms: int = 60_000, weight: float = 1.0) -> History:
    """The first is the latest."""
    entries = [Entry(item_id, NOW_MS - ago_ms - n, Kind.PURCHASE, weight) for n, item_id in enumerate(item_ids)]
    return merge_history(NO_HISTORY, entries)


def near(similarities: Mapping[str, float], repeat_rate: float = 0.0) -> Neighbours:
    numbers = INDEX.number(list(similarities)).tobytes()
    return Neighbours(numbers, array("f", similarities.values()).tobytes(), repeat_rate)


def ranked(
    history: History, neighbours: Mapping[str, Neighbours], top: Popular = TOP, **changes: Any
) -> tuple[Candidates, Attribution]:
    return rank(Profile(history), neighbours, top, now_ms=NOW_MS, index=INDEX, **changes)


def ids(history: History, neighbours: Mapping[str, Neighbours], top: Popular = TOP, k: int = 20) -> list[str]:
    candidates, _ = ranked(history, neighbours, top)
    return candidates.best(k)


def sources(candidates: Candidates, attribution: Attribution, k: int = 20) -> dict[str, str]:
    """Item → source, best first."""
    best = candidates.best(k)
    return dict(zip(best, attribution.sources(best, candidates.scores(best)), strict=True))


def test_a_new_user_gets_what_is_popular() -> None:
    assert sources(*ranked(NO_HISTORY, {}), 2) == {"hit": POPULAR, "known": POPULAR}
    assert ids(NO_HISTORY, {}) == ["hit", "known", "rare"]


def test_strong_evidence_goes_before_popularity_and_weak_does_not() -> None:
    assert ids(bought("a"), {"a": near({"b": 0.5, "c": 0.001})}) == ["b", "hit", "known", "rare", "c"]


def test_the_latest_item_weighs_most() -> None:
    neighbours = {"new": near({"x": 0.3}), "old": near({"y": 0.3})}
    assert ids(bought("new", "old"), neighbours, NO_POPULAR) == ["x", "y"]


def test_a_neighbour_of_two_items_goes_before_that_of_one() -> None:
    neighbours = {"a": near({"x": 0.3, "both": 0.3}), "b": near({"both": 0.3})}
    assert ids(bought("a", "b"), neighbours, NO_POPULAR) == ["both", "x"]


def test_popularity_takes_over_when_the_user_was_away() -> None:
    neighbours = {"a": near({"b": 0.3})}
    assert ids(bought("a"), neighbours)[0] == "b"
    assert ids(bought("a", ago_ms=30 * DAY_MS), neighbours)[0] == "hit"


def test_an_item_that_was_given_up_speaks_against_its_neighbours() -> None:
    liked = bought("a").entries
    history = merge_history(History(liked), [Entry("b", NOW_MS - 1, Kind.WATCH, -0.2)])
    neighbours = {"a": near({"x": 0.2, "y": 0.2}), "b": near({"x": 0.5})}
    assert ids(history, neighbours, NO_POPULAR) == ["y", "x"]


def test_a_log_of_views_ranks_as_one_of_purchases() -> None:
    neighbours = {"a": near({"b": 0.2})}
    assert ids(bought("a", weight=0.3), neighbours) == ids(bought("a"), neighbours)


def test_items_of_the_user_are_left_out() -> None:
    assert ids(bought("a", "hit"), {"a": near({"hit": 0.9, "b": 0.1})}) == ["b", "known", "rare"]


def test_items_from_long_ago_are_left_out() -> None:
    history = History(bought("a").entries, (seen_hash("hit"),))
    assert ids(history, {}) == ["known", "rare"]


@pytest.mark.parametrize(
    ("ago_ms", "repeat_rate", "offered"),
    [(7 * HOUR_MS, 0.02, True), (7 * HOUR_MS, 0.0, False), (HOUR_MS, 0.02, False)],
)
def test_an_item_is_offered_again_if_users_come_back_to_it(ago_ms: int, repeat_rate: float, offered: bool) -> None:
    found = sources(*ranked(bought("hit", ago_ms=ago_ms), {"hit": near({}, repeat_rate)}))
    assert found.get("hit") == (REPEAT if offered else None)


def test_excluded_items_make_room_for_others() -> None:
    top = popular_of([(f"item-{number:03}", 1_000.0 - number) for number in range(300)], index=INDEX)
    candidates, _ = ranked(NO_HISTORY, {}, top, exclude={f"item-{number:03}" for number in range(295)})
    assert candidates.best(20) == ["item-295", "item-296", "item-297", "item-298", "item-299"]


def test_only_what_was_done_in_the_named_way_is_left_out() -> None:
    history = merge_history(bought("hit"), [Entry("known", NOW_MS - 5, Kind.VIEW, 0.3)])
    with_hashes = History(history.entries, (seen_hash("rare"),))
    candidates, _ = ranked(with_hashes, {}, seen={Kind.PURCHASE})
    assert candidates.best(20) == ["known", "rare"]
    assert "hit" in candidates.exclusions
    assert "known" not in candidates.exclusions
    assert "rare" not in candidates.exclusions
    assert ranked(with_hashes, {}, seen=())[0].best(20) == ["hit", "known", "rare"]
    assert all(item_id in ranked(with_hashes, {})[0].exclusions for item_id in ("hit", "known", "rare"))


def test_rules_multiply_scores() -> None:
    factors = {"rare": 20.0, "hit": 0.0, "absent": 2.0}
    candidates, attribution = ranked(NO_HISTORY, {}, factors=factors)
    assert candidates.best(20) == ["rare", "known"]
    assert candidates.score("rare") == pytest.approx(20.0 * attribution.popularity("rare"))
    assert (attribution.factor("rare"), attribution.factor("known")) == (20.0, 1.0)
    assert sources(candidates, attribution)["rare"] == POPULAR


ITEMS = st.sampled_from([f"item-{number}" for number in range(30)])
NEIGHBOURS = st.dictionaries(ITEMS, st.floats(0.001, 1.0), max_size=15).map(
    lambda found: near(dict(sorted(found.items(), key=lambda pair: -pair[1])), 0.01)
)


@given(
    st.lists(ITEMS, max_size=25, unique=True),
    st.dictionaries(ITEMS, NEIGHBOURS),
    st.dictionaries(ITEMS, st.floats(0.1, 100.0)),
    st.frozensets(ITEMS),
    st.integers(1, 30),
)
def test_a_list_is_full_ordered_and_has_nothing_it_must_not(
    had: list[str],
    neighbours: dict[str, Neighbours],
    popularity: dict[str, float],
    exclude: frozenset[str],
    k: int,
) -> None:
    top = popular_of(sorted(popularity.items(), key=lambda pair: -pair[1]), index=INDEX)
    candidates, _ = ranked(bought(*had), neighbours, top, exclude=exclude)
    served = candidates.best(k)
    scores = candidates.scores(served)
    assert len(set(served)) == len(served)
    assert not set(served) & (exclude | set(had))
    assert scores == sorted(scores, reverse=True)
    assert len(served) == k or set(served) >= popularity.keys() - exclude - set(had)
    assert candidates.best(2 * k)[:k] == served


@given(st.sets(st.integers(0, 199)), st.integers(1, 40))
def test_a_list_is_full_however_many_items_the_user_had_long_ago(old: set[int], k: int) -> None:
    top = popular_of([(f"item-{number:03}", 1_000.0 - number) for number in range(200)], index=INDEX)
    history = History(bought("now").entries, tuple(seen_hash(f"item-{number:03}") for number in old))
    left = [f"item-{number:03}" for number in range(200) if number not in old]
    assert ids(history, {}, top, k) == left[:k]


def test_seeds_are_the_latest_items_each_once() -> None:
    history = merge_history(bought("b", "a"), [Entry("a", NOW_MS - 1, Kind.VIEW, 0.3)])
    assert [seed.item_id for seed in Profile(history).seeds] == ["a", "b"]
    assert len(Profile(bought(*(f"item-{number}" for number in range(40)))).seeds) == MODEL.seeds


def test_similar_items_are_the_neighbours() -> None:
    candidates, attribution = similar(near({"b": 0.75, "c": 0.5, "d": 0.25}), index=INDEX, exclude={"b"})
    assert sources(candidates, attribution, 2) == {"c": COVISITATION, "d": COVISITATION}
    assert candidates.scores(["c", "d"]) == [0.5, 0.25]


def test_popular_items_have_their_popularity_of_now() -> None:
    now_ms = NOW_MS + MODEL.popularity_half_life_ms
    candidates, attribution = popular(TOP, now_ms=now_ms, index=INDEX, exclude={"known"})
    assert sources(candidates, attribution) == {"hit": POPULAR, "rare": POPULAR}
    assert candidates.scores(["hit", "rare"]) == [50.0, 0.5]
