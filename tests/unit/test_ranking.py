"""Lists that follow the evidence, and never serve what they must not."""

from array import array
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.history import NO_HISTORY, Entry, History, merge_history, seen_hash
from app.core.model import MODEL
from app.core.profile import Profile
from app.core.ranking import (
    COVISITATION,
    NO_POPULAR,
    POPULAR,
    REPEAT,
    ItemIndex,
    Neighbours,
    Popular,
    Ranked,
    Ranking,
    evidence,
    neighbours_of,
    popular,
    popular_of,
    rank,
    similar,
    similarity,
)
from app.core.signals import COVISITATION_HALF_LIFE_MS, DAY_MS, HOUR_MS, LANDMARK_MS, Kind, forward_weight

NOW_MS = LANDMARK_MS
SLOTS = ItemIndex()
TOP = popular_of([("hit", 100.0), ("known", 25.0), ("rare", 1.0)], index=SLOTS)


def bought(*item_ids: str, ago_ms: int = 60_000, weight: float = 1.0) -> History:
    """The first is the latest."""
    entries = [Entry(item_id, NOW_MS - ago_ms - n, Kind.PURCHASE, weight) for n, item_id in enumerate(item_ids)]
    return merge_history(NO_HISTORY, entries)


def near(similarities: Mapping[str, float], repeat_rate: float = 0.0) -> Neighbours:
    numbers = SLOTS.number(list(similarities)).tobytes()
    return Neighbours(numbers, array("f", similarities.values()).tobytes(), repeat_rate)


def members(neighbours: Neighbours) -> list[str]:
    return [SLOTS.ids[number] for number in array("i", neighbours.numbers)]


def ids(history: History, neighbours: Mapping[str, Neighbours], top: Popular = TOP, k: int = 20) -> list[str]:
    return rank(Profile(history), neighbours, top, now_ms=NOW_MS, index=SLOTS).best(k)


def shown(ranking: Ranking, k: int = 20) -> list[Ranked]:
    return [ranking.show(item_id) for item_id in ranking.best(k)]


def test_a_new_user_gets_what_is_popular() -> None:
    ranked = shown(rank(Profile(NO_HISTORY), {}, TOP, now_ms=NOW_MS, index=SLOTS), 2)
    assert [(item.item_id, item.source) for item in ranked] == [("hit", POPULAR), ("known", POPULAR)]


def test_strong_evidence_goes_before_popularity_and_weak_does_not() -> None:
    assert ids(bought("a"), {"a": near({"b": 0.5, "c": 0.001})}) == ["b", "hit", "known", "rare", "c"]


def test_what_the_user_did_last_weighs_most() -> None:
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


def test_what_the_user_has_is_left_out() -> None:
    assert ids(bought("a", "hit"), {"a": near({"hit": 0.9, "b": 0.1})}) == ["b", "known", "rare"]


def test_what_the_user_had_long_ago_is_left_out() -> None:
    history = History(bought("a").entries, (seen_hash("hit"),))
    assert ids(history, {}) == ["known", "rare"]


@pytest.mark.parametrize(
    ("ago_ms", "repeat_rate", "offered"),
    [(7 * HOUR_MS, 0.02, True), (7 * HOUR_MS, 0.0, False), (HOUR_MS, 0.02, False)],
)
def test_an_item_is_offered_again_if_users_come_back_to_it(ago_ms: int, repeat_rate: float, offered: bool) -> None:
    history = bought("hit", ago_ms=ago_ms)
    ranked = shown(rank(Profile(history), {"hit": near({}, repeat_rate)}, TOP, now_ms=NOW_MS, index=SLOTS))
    assert ("hit" in [item.item_id for item in ranked]) is offered
    assert [item.source for item in ranked if item.item_id == "hit"] == [REPEAT] * offered


def test_excluded_items_make_room_for_others() -> None:
    top = popular_of([(f"item-{number:03}", 1_000.0 - number) for number in range(300)], index=SLOTS)
    ranked = rank(
        Profile(NO_HISTORY), {}, top, now_ms=NOW_MS, index=SLOTS, exclude={f"item-{number:03}" for number in range(295)}
    )
    assert ranked.best(20) == ["item-295", "item-296", "item-297", "item-298", "item-299"]


def test_only_what_was_done_in_the_named_way_is_left_out() -> None:
    history = merge_history(bought("hit"), [Entry("known", NOW_MS - 5, Kind.VIEW, 0.3)])
    profile = Profile(History(history.entries, (seen_hash("rare"),)))
    ranked = rank(profile, {}, TOP, now_ms=NOW_MS, index=SLOTS, seen={Kind.PURCHASE})
    assert ranked.best(20) == ["known", "rare"]
    assert rank(Profile(history), {}, TOP, now_ms=NOW_MS, index=SLOTS, seen=()).best(20) == ["hit", "known", "rare"]
    assert ranked.left_out("hit")
    assert not ranked.left_out("known")
    assert rank(Profile(history), {}, TOP, now_ms=NOW_MS, index=SLOTS).left_out("known")


def test_rules_multiply_scores() -> None:
    factors = {"rare": 20.0, "hit": 0.0, "absent": 2.0}
    ranked = shown(rank(Profile(NO_HISTORY), {}, TOP, now_ms=NOW_MS, index=SLOTS, factors=factors))
    assert [item.item_id for item in ranked] == ["rare", "known"]
    assert ranked[0].score == pytest.approx(20.0 * ranked[0].popularity)
    assert (ranked[0].factor, ranked[0].source, ranked[1].factor) == (20.0, POPULAR, 1.0)


def test_explanations_name_the_strongest_causes_first() -> None:
    neighbours = {"a": near({"x": 0.1}), "b": near({"x": 0.9}), "c": near({"y": 0.9})}
    ranked = shown(rank(Profile(bought("a", "b", "c")), neighbours, TOP, now_ms=NOW_MS, index=SLOTS))
    found = {item.item_id: (item.source, [cause.item_id for cause in item.causes]) for item in ranked}
    assert found["x"] == (COVISITATION, ["b", "a"])
    assert found["hit"] == (POPULAR, [])


def test_the_parts_of_a_score_sum_to_it() -> None:
    neighbours = {"a": near({"hit": 0.1, "x": 0.3}), "b": near({"x": 0.9})}
    for item in shown(rank(Profile(bought("a", "b")), neighbours, TOP, now_ms=NOW_MS, index=SLOTS)):
        assert item.score == pytest.approx(item.popularity + sum(cause.part for cause in item.causes))
        assert all(cause.kind == Kind.PURCHASE for cause in item.causes)


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
    top = popular_of(sorted(popularity.items(), key=lambda pair: -pair[1]), index=SLOTS)
    ranking = rank(Profile(bought(*had)), neighbours, top, now_ms=NOW_MS, index=SLOTS, exclude=exclude)
    ranked = shown(ranking, k)
    served = [item.item_id for item in ranked]
    assert len(set(served)) == len(served)
    assert not set(served) & (exclude | set(had))
    assert [item.score for item in ranked] == sorted((item.score for item in ranked), reverse=True)
    assert len(served) == k or set(served) >= popularity.keys() - exclude - set(had)
    assert ranking.best(2 * k)[:k] == served
    for item in ranked:
        assert all(item.item_id in members(neighbours[cause.item_id]) for cause in item.causes)


@given(st.sets(st.integers(0, 199)), st.integers(1, 40))
def test_a_list_is_full_however_many_items_the_user_had_long_ago(old: set[int], k: int) -> None:
    top = popular_of([(f"item-{number:03}", 1_000.0 - number) for number in range(200)], index=SLOTS)
    history = History(bought("now").entries, tuple(seen_hash(f"item-{number:03}") for number in old))
    left = [f"item-{number:03}" for number in range(200) if number not in old]
    assert rank(Profile(history), {}, top, now_ms=NOW_MS, index=SLOTS).best(k) == left[:k]


def test_seeds_are_the_latest_items_each_once() -> None:
    history = merge_history(bought("b", "a"), [Entry("a", NOW_MS - 1, Kind.VIEW, 0.3)])
    assert [seed.item_id for seed in Profile(history).seeds] == ["a", "b"]
    assert len(Profile(bought(*(f"item-{number}" for number in range(40)))).seeds) == MODEL.seeds


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.integers(0, 3_000))
def test_a_similarity_fades_with_its_evidence_only(weight: float, seed: float, other: float, days: int) -> None:
    """All three sums shrink alike with time; what is left of it is that thin evidence counts less."""
    now = similarity(weight, seed, other, NOW_MS)
    later = similarity(weight, seed, other, NOW_MS + days * DAY_MS)
    assert 0.0 < later <= now * 1.000001
    assert similarity(2 * weight, seed, other, NOW_MS) > now > similarity(weight, 2 * seed, other, NOW_MS)


def test_of_two_that_fit_alike_the_rare_one_is_less_similar() -> None:
    """A tenth of the meetings with a tenth of the users; but the common one is not preferred for being common."""
    assert similarity(0.2, 3.0, 0.3, NOW_MS) < similarity(2.0, 3.0, 3.0, NOW_MS)
    assert similarity(2.0, 3.0, 100.0, NOW_MS) > similarity(2.0, 3.0, 200.0, NOW_MS)


def test_the_evidence_that_halves_a_similarity_is_stored_at_its_time() -> None:
    half = evidence(NOW_MS + 400 * DAY_MS)
    assert half == pytest.approx(MODEL.shrinkage * forward_weight(NOW_MS + 400 * DAY_MS, COVISITATION_HALF_LIFE_MS))


@given(st.lists(st.tuples(ITEMS, st.floats(0.001, 50.0), st.floats(0.1, 50.0)), max_size=30, unique_by=lambda p: p[0]))
def test_the_order_of_the_sql_is_that_of_the_similarity(pairs: list[tuple[str, float, float]]) -> None:
    """app/adapters/features.sql cuts lists by this expression; it must never cut off what would rank higher."""
    half = evidence(NOW_MS)
    by_sql = [w / other**MODEL.candidate_power * (other / (other + half)) for _, w, other in pairs]
    by_core = [similarity(w, 3.0, other, NOW_MS) for _, w, other in pairs]
    for sql_one, one in zip(by_sql, by_core, strict=True):
        for sql_other, other_one in zip(by_sql, by_core, strict=True):
            assert sql_one <= sql_other * 1.000001 or one >= other_one * 0.999999


def test_neighbours_are_the_most_similar_ones() -> None:
    numbers = range(1, MODEL.neighbours + 20)
    pairs = [f"item-{number}" for number in numbers], [float(number) for number in numbers], [10.0] * len(numbers)
    found = neighbours_of(5.0, 1.0, pairs, now_ms=NOW_MS, index=SLOTS)
    assert members(found)[0] == f"item-{MODEL.neighbours + 19}"
    assert len(members(found)) == MODEL.neighbours
    similarities = array("f", found.similarities).tolist()
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] == pytest.approx(similarity(MODEL.neighbours + 19.0, 5.0, 10.0, NOW_MS))
    assert found.repeat_rate == pytest.approx(1.0 / (5.0 + MODEL.repeat_evidence))


def test_an_item_without_frequency_has_no_neighbours() -> None:
    assert neighbours_of(0.0, 0.0, (["a"], [1.0], [1.0]), now_ms=NOW_MS, index=SLOTS) == Neighbours()
    unusable = ["a", "b"], [1.0, 0.0], [0.0, 1.0]
    assert members(neighbours_of(1.0, 0.0, unusable, now_ms=NOW_MS, index=SLOTS)) == []


def test_similar_items_are_the_neighbours() -> None:
    ranked = shown(similar(near({"b": 0.75, "c": 0.5, "d": 0.25}), index=SLOTS, exclude={"b"}), 2)
    assert [(item.item_id, item.score, item.source) for item in ranked] == [
        ("c", 0.5, COVISITATION),
        ("d", 0.25, COVISITATION),
    ]


def test_popular_items_have_their_popularity_of_now() -> None:
    ranked = shown(popular(TOP, now_ms=NOW_MS + MODEL.popularity_half_life_ms, index=SLOTS, exclude={"known"}))
    assert [(item.item_id, item.score, item.source) for item in ranked] == [
        ("hit", 50.0, POPULAR),
        ("rare", 0.5, POPULAR),
    ]
