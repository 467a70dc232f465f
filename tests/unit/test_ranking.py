"""Lists that follow the evidence, and never serve what they must not."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.candidates import Candidates
from app.core.history import NO_HISTORY, Entry, History, seen_hash
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.model import MODEL
from app.core.profile import Profile
from app.core.ranked import NO_EXCLUSIONS, NOT_RANKED, Exclusions, Ranked
from app.core.ranking import Ranking
from app.core.signals import DAY_MS, HOUR_MS, Kind
from app.core.slate import COVISITATION, POPULAR, REPEAT
from app.core.weights import FEATURES, FIXED, START, Weights, size_of, weights_of
from tests.support.histories import merge_history
from tests.support.serving_store import NOW_MS, PLAIN, bought, item_table, near

TOP = {"hit": 100.0, "known": 25.0, "rare": 1.0}
Similarities = Mapping[str, Mapping[str, float]]


def ranking_of(
    history: History,
    similar: Similarities,
    table: ItemTable,
    weights: Weights = PLAIN,
    following: Similarities | None = None,
    more: Sequence[str] = (),
) -> Ranking:
    """`more`: other candidates."""
    profile = Profile(history)
    lists = {
        seed.item_id: near(table.index, similar.get(seed.item_id, {}), (following or {}).get(seed.item_id))
        for seed in profile.seeds
    }
    beside = np.concatenate([table.best(MODEL.popular), table.index.number(more)]).astype(np.int32)
    candidates = Candidates(profile, lists, beside.tobytes(), table, now_ms=NOW_MS)
    size = size_of(len(profile.latest))
    return Ranking(table.index, candidates, *table.scored(weights).by_size[size])


def ranked(ranking: Ranking, **changes: Any) -> Ranked:
    given = {"factors": {}, "without": (), "repeats": "learned", "exclusions": NO_EXCLUSIONS} | changes
    return ranking.ranked(**given)


def ids(
    history: History, similar: Similarities, top: Mapping[str, float] = TOP, *, repeat_rate: float = 0.0, **changes: Any
) -> list[str]:
    return ranked(ranking_of(history, similar, item_table(top, repeat_rate)), **changes).best(20)


@pytest.mark.parametrize("weights", [PLAIN, START, -START])
def test_what_matches_a_filter_and_nobody_knows_is_not_ranked(weights: Weights) -> None:
    table, matches = item_table(TOP), ["known", "new", "cheap"]
    ranking = ranking_of(NO_HISTORY, {}, table, weights, more=matches)
    found = ranked(ranking, matches=table.index.number(matches))
    assert set(found.best(20)) == {"hit", "known", "rare"}
    assert found.score("new") == 0.0


def test_a_new_user_gets_what_is_popular() -> None:
    assert ids(NO_HISTORY, {}) == ["hit", "known", "rare"]


def test_strong_evidence_goes_before_popularity_and_weak_does_not() -> None:
    assert ids(bought("a"), {"a": {"b": 0.9, "c": 0.001}}) == ["b", "hit", "known", "rare", "c"]


def test_the_latest_item_weighs_most() -> None:
    assert ids(bought("new", "old"), {"new": {"x": 0.3}, "old": {"y": 0.3}}, {}) == ["x", "y"]


def test_a_neighbour_of_two_items_goes_before_that_of_one() -> None:
    assert ids(bought("a", "b"), {"a": {"x": 0.3, "both": 0.3}, "b": {"both": 0.3}}, {}) == ["both", "x"]


def test_popularity_takes_over_when_the_user_was_away() -> None:
    assert ids(bought("a"), {"a": {"b": 0.3}})[0] == "b"
    assert ids(bought("a", ago_ms=90 * DAY_MS), {"a": {"b": 0.3}})[0] == "hit"


def test_an_item_that_was_given_up_speaks_against_its_neighbours() -> None:
    history = merge_history(bought("a"), [Entry("b", NOW_MS - 1, Kind.WATCH, -0.2)])
    assert ids(history, {"a": {"x": 0.2, "y": 0.2}, "b": {"x": 0.5}}, {}) == ["y", "x"]
    assert ids(history, {"a": {"y": 0.2}, "b": {"x": 1.0}}, {}) == ["y", "x"]


def test_followers_of_the_latest_items_are_candidates() -> None:
    weights = weights_of({"following": (1.0, 1.0, 1.0, 1.0), "similar": (0.1, 0.1, 0.1, 0.1), "own": (-3.0,) * 4})
    table = item_table({})
    following = {"a": {"x": 0.9}, "d": {"z": 0.9}}
    found = ranking_of(bought("a", "b", "c", "d"), {"d": {"y": 0.1}}, table, weights, following)
    assert ranked(found).best(20) == ["x", "y"]  # `z` follows what is not among the last three


def test_the_users_own_items_come_again_as_the_caller_says() -> None:
    history, top = bought("hit", ago_ms=7 * HOUR_MS), TOP
    assert ids(history, {}, top) == ["known", "rare"]
    assert ids(history, {}, top, repeat_rate=0.9) == ["hit", "known", "rare"]
    assert ids(history, {}, top, repeat_rate=0.9, repeats="avoid") == ["known", "rare"]
    assert ids(history, {}, top, repeats="only") == ["hit"]


def test_items_from_long_ago_are_the_users_own() -> None:
    history = History(bought("a").entries, (seen_hash("hit"),))
    assert ids(history, {}) == ["known", "rare"]
    assert ids(history, {}, repeats="only") == ["hit"]


def test_each_candidate_says_what_carried_it() -> None:
    table = item_table(TOP, 0.9)
    ranking = ranking_of(bought("hit", ago_ms=7 * HOUR_MS), {"hit": {"x": 0.9}}, table)
    found = ranked(ranking)
    best = [*found.best(20), "absent"]
    sources = dict(zip(best, ranking.sources(found.rows_and_scores(best)[0]), strict=True))
    assert sources == {"hit": REPEAT, "x": COVISITATION, "known": POPULAR, "rare": POPULAR, "absent": POPULAR}


def test_the_terms_of_two_candidates_say_how_their_scores_compare() -> None:
    table = item_table(TOP)
    ranking = ranking_of(bought("a"), {"a": {"b": 0.9, "known": 0.2}}, table, START)
    found = ranked(ranking)
    best = found.best(20)
    sums = [sum(ranking.terms(found.row(item_id)).values()) for item_id in best]
    scores = np.array(found.rows_and_scores(best)[1])
    assert scores[0] == 1.0
    assert np.log(scores) == pytest.approx(np.array(sums) - sums[0], abs=1e-4)
    assert ranking.terms(found.row(best[0])).keys() <= set(FEATURES)
    assert ranking.terms(found.row("absent")) == {}


def test_rules_multiply_scores() -> None:
    ranking = ranking_of(NO_HISTORY, {}, item_table(TOP))
    plain, boosted = ranked(ranking), ranked(ranking, factors={"rare": 1e6, "hit": 0.0, "absent": 2.0})
    assert boosted.best(20) == ["rare", "known"]
    assert boosted.score("rare") == pytest.approx(1e6 * plain.score("rare"))
    assert boosted.score("absent") == 0.0


def test_what_the_user_has_is_told_for_other_sources() -> None:
    found = Exclusions({"a"}, frozenset([seen_hash("b")]))
    assert "a" in found
    assert "b" in found
    assert "c" not in found
    assert "a" not in NO_EXCLUSIONS


ITEMS = st.sampled_from([f"item-{number}" for number in range(30)])
NEIGHBOURS = st.dictionaries(ITEMS, st.floats(0.001, 1.0), max_size=15)


@given(
    st.lists(ITEMS, max_size=25, unique=True),
    st.dictionaries(ITEMS, NEIGHBOURS),
    st.dictionaries(ITEMS, st.floats(0.1, 100.0)),
    st.frozensets(ITEMS),
    st.integers(1, 30),
    st.sampled_from([FIXED, START]),
)
def test_a_list_is_full_ordered_and_has_nothing_it_must_not(
    had: list[str],
    similar: dict[str, dict[str, float]],
    popularity: dict[str, float],
    exclude: frozenset[str],
    k: int,
    weights: Weights,
) -> None:
    table = item_table(popularity)
    ranking = ranking_of(bought(*had), similar, table, weights)
    found = ranked(ranking, without=table.index.numbers(exclude), repeats="avoid")
    served = found.best(k)
    _, scores = found.rows_and_scores(served)
    assert len(set(served)) == len(served)
    assert not set(served) & (exclude | set(had))
    assert scores == sorted(scores, reverse=True)
    assert len(served) == k or set(served) >= popularity.keys() - exclude - set(had)
    assert found.best(2 * k)[:k] == served
    with_all = ranked(ranking, repeats="avoid").best(60)
    assert found.best(60) == [item_id for item_id in with_all if item_id not in exclude]


@given(st.sets(st.integers(0, 199)), st.integers(1, 40))
def test_a_list_is_full_however_many_items_the_user_had_long_ago(old: set[int], k: int) -> None:
    top = {f"item-{number:03}": 1_000.0 - number for number in range(MODEL.popular)}
    history = History(bought("now").entries, tuple(seen_hash(f"item-{number:03}") for number in old))
    left = [f"item-{number:03}" for number in range(MODEL.popular) if number not in old]
    assert ids(history, {}, top)[:k] == left[: min(k, 20)]


def test_equal_scores_stand_by_the_items_ids() -> None:
    table = item_table(dict.fromkeys(["d", "b", "a", "c"], 5.0))
    found = ranked(ranking_of(NO_HISTORY, {}, table))
    assert [found.best(count) for count in (2, 4)] == [["a", "b"], ["a", "b", "c", "d"]]


def test_seeds_are_the_latest_items_each_once() -> None:
    history = merge_history(bought("b", "a"), [Entry("a", NOW_MS - 1, Kind.VIEW, 0.3)])
    assert [seed.item_id for seed in Profile(history).seeds] == ["a", "b"]
    assert len(Profile(bought(*(f"item-{number}" for number in range(40)))).seeds) == MODEL.seeds


def test_a_log_of_views_ranks_as_one_of_purchases() -> None:
    viewed = merge_history(NO_HISTORY, [Entry("a", NOW_MS - 60_000, Kind.VIEW, 0.3)])
    assert ids(viewed, {"a": {"b": 0.2}}) == ids(bought("a"), {"a": {"b": 0.2}})


@pytest.mark.parametrize("count", [10, 300])
def test_the_rows_of_few_and_of_many_items_are_found_alike(count: int) -> None:
    index = ItemIndex()
    index.number([f"other-{number}" for number in range(50)])
    numbers = index.number([f"i{number}" for number in range(0, 2 * count, 2)])
    found = Ranked(index, numbers, np.arange(count, dtype=np.float32))
    found.best(3)
    rows, _ = found.rows_and_scores([f"i{number}" for number in range(count)] + ["other-7", "unknown"])
    assert list(rows) == [n // 2 if n % 2 == 0 else NOT_RANKED for n in range(count)] + [NOT_RANKED, NOT_RANKED]
